package euicc

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/x509"
	"fmt"
	"slices"

	"github.com/iotregistry/sdk/internal/bertlv"
	"github.com/iotregistry/sdk/internal/rsp"
)

// What a card keeps of eIMs. All of them are one answer of one message.
const (
	maxEIMs     = 16
	maxEIMBytes = 32 << 10
	maxToken    = 1 << 31   // that a maker may set
	maxCounter  = 1<<23 - 1 // the least that SGP.32 section 2.11.1.1 wants of an eUICC
	tagAddEIMs  = 0xBF57    // AddInitialEim
	tagEIMList  = bertlv.Tag(0xA0)
)

// eim is an eIM that may send packages. It is replaced, never changed, so that
// whoever remembers the list can go back to it.
type eim struct {
	data    rsp.EIMConfigurationData // as it is told: with its own token, without counter
	key     *ecdsa.PublicKey
	counter int64 // of its last package
}

// token is what signatures cover, zero for none.
func (e *eim) token() int64 {
	if e.data.AssociationToken == nil {
		return 0
	}
	return *e.data.AssociationToken
}

func (c *Chip) findEIM(id string) *eim {
	i := slices.IndexFunc(c.eims, func(e *eim) bool { return e.data.EIMID == id })
	if i < 0 {
		return nil
	}
	return c.eims[i]
}

// replaceEIM puts e in place of the one with its ID, if that is still there.
func (c *Chip) replaceEIM(e *eim) {
	c.eims = slices.Clone(c.eims)
	for i, old := range c.eims {
		if old.data.EIMID == e.data.EIMID {
			c.eims[i] = e
		}
	}
	c.changed++
}

// newEIM checks an eIM that is to be added and puts in what it leaves to the
// eUICC (SGP.32 section 5.9.4). A token is asked for, not given, but by a maker.
func (c *Chip) newEIM(data rsp.EIMConfigurationData, maker bool) (*eim, rsp.AddEIMError) {
	asked := data.AssociationToken == nil || *data.AssociationToken == rsp.NewAssociationToken
	switch {
	case data.Counter == nil || data.SigningKey == nil:
		return nil, rsp.AddEIMCommandError
	case *data.Counter > maxCounter:
		return nil, rsp.AddEIMCounterOutOfRange
	case !asked && (!maker || *data.AssociationToken > maxToken):
		return nil, rsp.AddEIMInvalidToken
	case data.CIKeyID != nil && !c.signsFor(data.CIKeyID):
		return nil, rsp.AddEIMCIKeyUnknown
	}
	key := signingKey(data.SigningKey)
	if key == nil {
		return nil, rsp.AddEIMCommandError
	}
	e := &eim{data: data, key: key, counter: *data.Counter}
	e.data.Raw, e.data.Counter = nil, nil
	if data.IDType == nil {
		kind := rsp.EIMIDProprietary
		e.data.IDType = &kind
	}
	if data.Protocols == nil {
		protocols := rsp.EIMProprietaryProtocol
		e.data.Protocols = &protocols
	}
	if data.CIKeyID == nil {
		e.data.CIKeyID = c.info.SignKeys[0]
	}
	return e, rsp.AddEIMOK
}

func (c *Chip) signsFor(keyID []byte) bool {
	return slices.ContainsFunc(c.info.SignKeys, func(id []byte) bool { return bytes.Equal(id, keyID) })
}

// signingKey reads the key that packages are checked with, nil where it is none
// on P-256. Whether a certificate is valid nobody asks: whoever may add it
// vouches for it.
func signingKey(k *rsp.EIMKey) *ecdsa.PublicKey {
	for _, der := range [][]byte{k.PublicKey, k.Untagged, k.Certificate} {
		if der == nil {
			continue
		}
		der = rsp.UnwrapCertificate(der)
		public, err := x509.ParsePKIXPublicKey(der)
		if err != nil {
			parsed, err := x509.ParseCertificate(der)
			if err != nil {
				return nil
			}
			public = parsed.PublicKey
		}
		if key, ok := public.(*ecdsa.PublicKey); ok && key.Curve == elliptic.P256() {
			return key
		}
	}
	return nil
}

// draw gives the eIM the token that it asks for: no two are alike, so that what
// was signed in one association is worth nothing in another.
func (c *Chip) draw(e *eim) {
	switch token := e.data.AssociationToken; {
	case token == nil:
	case *token == rsp.NewAssociationToken:
		c.tokens++
		own := c.tokens
		e.data.AssociationToken = &own
	default:
		c.tokens = max(c.tokens, *token)
	}
}

// eimList is what all of list are kept as.
func eimList(list []*eim) ([]byte, error) {
	var m rsp.AddInitialEIMRequest
	for _, e := range list {
		data := e.data
		data.Counter = &e.counter
		m.EIMs = append(m.EIMs, data)
	}
	return rsp.Encode(&m)
}

// fit reports whether a card has room for all of list.
func fit(list []*eim) bool {
	b, err := eimList(list)
	return err == nil && len(list) <= maxEIMs && len(b) <= maxEIMBytes
}

// associate makes the first eIMs known: all of them, or none.
func (c *Chip) associate(wanted []rsp.EIMConfigurationData, maker bool) rsp.AddEIMError {
	var list []*eim
	for _, data := range wanted {
		e, code := c.newEIM(data, maker)
		if code != rsp.AddEIMOK {
			return code
		}
		if slices.ContainsFunc(list, func(other *eim) bool { return other.data.EIMID == data.EIMID }) {
			return rsp.AddEIMCommandError
		}
		list = append(list, e)
	}
	switch {
	case len(list) == 0:
		return rsp.AddEIMCommandError
	case !fit(list):
		return rsp.AddEIMInsufficientMemory
	}
	for _, e := range list {
		c.draw(e)
	}
	c.eims = list
	c.changed++
	return rsp.AddEIMOK
}

// provision puts in the maker's eIMs.
func (c *Chip) provision(list [][]byte) error {
	if len(list) == 0 {
		return nil
	}
	q, err := rsp.Decode[rsp.AddInitialEIMRequest](bertlv.Append(nil, tagAddEIMs, bertlv.Append(nil, tagEIMList, list...)))
	if err != nil {
		return fmt.Errorf("%w: EIMs: %w", ErrConfig, err)
	}
	if code := c.associate(q.EIMs, true); code != rsp.AddEIMOK {
		return fmt.Errorf("%w: EIMs: %v", ErrConfig, code)
	}
	return nil
}

// addInitialEIM is ES10b.AddInitialEim (SGP.32 section 5.9.4).
func (c *Chip) addInitialEIM(q *rsp.AddInitialEIMRequest) (rsp.Message, error) {
	code := rsp.AddEIMError(c.faults.get().AddInitialEIM)
	switch {
	case code != rsp.AddEIMOK:
	case len(c.eims) > 0:
		code = rsp.AddEIMExists
	default:
		code = c.associate(q.EIMs, false)
	}
	if code != rsp.AddEIMOK {
		return &rsp.AddInitialEIMResponse{Error: &code}, nil
	}
	r := &rsp.AddInitialEIMResponse{}
	for _, e := range c.eims {
		r.Added = append(r.Added, rsp.AddedEIM{AssociationToken: e.data.AssociationToken})
	}
	return r, nil
}

// eimConfiguration is ES10b.GetEimConfigurationData (SGP.32 section 5.9.18),
// which tells no counters.
func (c *Chip) eimConfiguration(q *rsp.GetEIMConfigurationDataRequest) (rsp.Message, error) {
	r := &rsp.GetEIMConfigurationDataResponse{}
	for _, e := range c.eims {
		if q.EIMID == nil || *q.EIMID == e.data.EIMID {
			r.EIMs = append(r.EIMs, e.data)
		}
	}
	return r, nil
}
