package smdpsql

import (
	"encoding/json"
	"time"
	"unicode/utf8"

	"github.com/iotregistry/sdk/internal/strictjson"
	"github.com/iotregistry/sdk/mno"
	"github.com/iotregistry/sdk/mno/smdp"
	"github.com/iotregistry/sdk/registry/eid"
)

// body is what of a profile is in no column of its own. Names and numbers stay as
// they are: databases are full of them. A new field needs no new layout, but a
// program that does not know it yet refuses the record, so that it cannot lose it.
type body struct {
	Type        string    `json:"type,omitzero"`
	State       uint8     `json:"state,omitzero"` // an mno.State
	Owner       string    `json:"owner,omitzero"`
	EUICC       eid.ID    `json:"euicc,omitzero"`
	Sealed      []byte    `json:"sealed,omitzero"`    // bytes are base64 throughout
	SealedSum   []byte    `json:"sealedSum,omitzero"` // 32 bytes, or none for zeros
	ByDevice    bool      `json:"byDevice,omitzero"`
	CodeHash    []byte    `json:"codeHash,omitzero"`
	SMDSAddress string    `json:"smdsAddress,omitzero"`
	Told        int       `json:"told,omitzero"` // an mno.Point
	Failure     *failure  `json:"failure,omitzero"`
	Changed     time.Time `json:"changed,omitzero"`
	Download    download  `json:"download,omitzero"`
}

// failure is an [mno.StatusError].
type failure struct {
	Subject    string `json:"subject,omitzero"`
	Reason     string `json:"reason,omitzero"`
	Identifier string `json:"identifier,omitzero"`
	Message    string `json:"message,omitzero"`
}

// download is an [smdp.Download]. Transactions are here in their order, and in a
// table to be found.
type download struct {
	CodeTries    int      `json:"codeTries,omitzero"`
	Transactions []string `json:"transactions,omitzero"`
	EUICC        []byte   `json:"euicc,omitzero"`
	OneTimeKey   []byte   `json:"oneTimeKey,omitzero"`
	Metadata     []byte   `json:"metadata,omitzero"`
	Bound        []byte   `json:"bound,omitzero"`
	Sequence     int64    `json:"sequence,omitzero"`
}

// shape bounds what decode takes: body has 24 names and two levels.
var shape = strictjson.Limits{Depth: 4, Names: 64, Unknown: true}

func encode(p smdp.Profile) ([]byte, error) {
	b := body{
		Type: p.Type, State: uint8(p.State), Owner: p.Owner, EUICC: p.EUICC, Sealed: p.Sealed, ByDevice: p.ByDevice,
		CodeHash: p.CodeHash, SMDSAddress: p.SMDSAddress, Told: int(p.Told), Failure: (*failure)(p.Failure),
		Changed: p.Changed.UTC(), Download: download(p.Download),
	}
	if p.SealedSum != [32]byte{} {
		b.SealedSum = p.SealedSum[:]
	}
	if !b.isText() {
		return nil, errText
	}
	return json.Marshal(b)
}

// isText reports whether JSON can hold the texts as they are: it would replace
// bytes that are no UTF-8.
func (b *body) isText() bool {
	ok := utf8.ValidString(b.Type) && utf8.ValidString(b.Owner) && utf8.ValidString(b.SMDSAddress)
	if f := b.Failure; f != nil {
		ok = ok && utf8.ValidString(f.Subject) && utf8.ValidString(f.Reason) && utf8.ValidString(f.Identifier) && utf8.ValidString(f.Message)
	}
	return ok
}

// decode reads a body. Its error does not say what is wrong, because it could
// show what nobody is to see.
func decode(data []byte) (smdp.Profile, error) {
	var b body
	if err := strictjson.Decode(data, &b, shape); err != nil {
		return smdp.Profile{}, ErrDamaged
	}
	p := smdp.Profile{
		Type: b.Type, State: mno.State(b.State), Owner: b.Owner, EUICC: b.EUICC, Sealed: b.Sealed, ByDevice: b.ByDevice,
		CodeHash: b.CodeHash, SMDSAddress: b.SMDSAddress, Told: mno.Point(b.Told), Failure: (*mno.StatusError)(b.Failure),
		Changed: b.Changed, Download: smdp.Download(b.Download),
	}
	switch len(b.SealedSum) {
	case 0, len(p.SealedSum):
		copy(p.SealedSum[:], b.SealedSum)
	default:
		return smdp.Profile{}, ErrDamaged
	}
	return p, nil
}
