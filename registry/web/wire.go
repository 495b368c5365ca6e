package web

import (
	"time"

	"github.com/iotregistry/sdk/mno"
	"github.com/iotregistry/sdk/registry"
	"github.com/iotregistry/sdk/registry/audit"
	"github.com/iotregistry/sdk/registry/eid"
	"github.com/iotregistry/sdk/transfer"
)

// What travels, where that is not a type of the engine. Requests come first,
// answers after them. Requests have no members but these.

// devicesBody names the devices of a bulk call.
type devicesBody struct {
	Devices []eid.ID `json:"devices"`
	Atomic  bool     `json:"atomic,omitempty"`
	DryRun  bool     `json:"dryRun,omitempty"`
}

func (b *devicesBody) options() registry.Options {
	return registry.Options{Atomic: b.Atomic, DryRun: b.DryRun}
}

type switchBody struct {
	MNO     string   `json:"mno"`
	Devices []eid.ID `json:"devices"`
	Atomic  bool     `json:"atomic,omitempty"`
	DryRun  bool     `json:"dryRun,omitempty"`
}

type statusBody struct {
	Devices  []eid.ID          `json:"devices"`
	Add      []registry.Status `json:"add,omitempty"`
	Remove   []registry.Status `json:"remove,omitempty"`
	Why      string            `json:"why,omitempty"`
	Case     string            `json:"case,omitempty"`
	Revision uint64            `json:"revision,omitempty"`
}

type codesBody struct {
	Devices []eid.ID `json:"devices"`
}

type confirmBody struct {
	Confirmations []confirmation `json:"confirmations"`
}

type confirmation struct {
	Device  eid.ID `json:"device"`
	Profile uint64 `json:"profile"`
}

type progressBody struct {
	Reports []report `json:"reports"`
}

// report is an mno.Progress.
type report struct {
	Device      eid.ID    `json:"device,omitzero"`
	ICCID       string    `json:"iccid,omitempty"`
	ProfileType string    `json:"profileType,omitempty"`
	Profile     uint64    `json:"profile,omitempty"`
	Time        time.Time `json:"time,omitzero"`
	Point       int       `json:"point"`
	Failure     *failure  `json:"failure,omitempty"`
	Result      []byte    `json:"result,omitempty"`
}

type failure struct {
	Subject    string `json:"subject"`
	Reason     string `json:"reason"`
	Identifier string `json:"identifier,omitempty"`
	Message    string `json:"message,omitempty"`
}

func reportOf(p mno.Progress) report {
	r := report{Device: p.Device, ICCID: p.ICCID, ProfileType: p.ProfileType, Profile: p.ProfileID,
		Time: p.Time, Point: int(p.Point), Result: p.Result}
	if p.Failure != nil {
		r.Failure = (*failure)(p.Failure)
	}
	return r
}

func (r *report) progress() mno.Progress {
	p := mno.Progress{Device: r.Device, ICCID: r.ICCID, ProfileType: r.ProfileType, ProfileID: r.Profile,
		Time: r.Time, Point: mno.Point(r.Point), Result: r.Result}
	if r.Failure != nil {
		p.Failure = (*mno.StatusError)(r.Failure)
	}
	return p
}

type importBody struct {
	Owner  string `json:"owner"`
	MNO    string `json:"mno,omitempty"`
	Rows   []row  `json:"rows"`
	Atomic bool   `json:"atomic,omitempty"`
	DryRun bool   `json:"dryRun,omitempty"`
}

// row is a registry.Row. The code is a plain text here: registry.AuthCode hides
// itself when it is written.
type row struct {
	Line      int     `json:"line,omitempty"`
	Device    eid.ID  `json:"device"`
	Model     string  `json:"model,omitempty"`
	Version   string  `json:"version,omitempty"`
	PublicKey string  `json:"publicKey,omitempty"`
	MNO       string  `json:"mno,omitempty"`
	Code      carried `json:"code,omitempty"`
}

type movesBody struct {
	Moves  []move `json:"moves"`
	Atomic bool   `json:"atomic,omitempty"`
	DryRun bool   `json:"dryRun,omitempty"`
}

type move struct {
	Line   int     `json:"line,omitempty"`
	Device eid.ID  `json:"device"`
	Code   carried `json:"code"`
}

type claimsBody struct {
	Claims []claimed `json:"claims"`
}

type claimed struct {
	Device eid.ID `json:"device"`
	Model  string `json:"model,omitempty"`
	Key    string `json:"key"`
	CSR    []byte `json:"csr,omitempty"` // PKCS #10 in DER
}

type enrollBody struct {
	CSR []byte `json:"csr"` // PKCS #10 in DER
}

// jobBody is a submission. Its items come last, so that they can be read as they
// arrive.
type jobBody struct {
	Op     registry.Op `json:"op"`
	Owner  string      `json:"owner,omitempty"`
	MNO    string      `json:"mno,omitempty"`
	Atomic bool        `json:"atomic,omitempty"`
	DryRun bool        `json:"dryRun,omitempty"`
	Items  []row       `json:"items"`
}

type ackBody struct {
	IDs []string `json:"ids"`
}

type tokenBody struct {
	Label    string `json:"label,omitempty"`
	Lifetime int64  `json:"lifetime,omitempty"` // seconds; 0 until it is revoked
}

type certificateBody struct {
	Label       string `json:"label,omitempty"`
	Lifetime    int64  `json:"lifetime,omitempty"`
	Certificate string `json:"certificate"` // PEM
}

type me struct {
	Account string        `json:"account"`
	Role    registry.Role `json:"role"`
}

type accountsPage struct {
	Accounts []*registry.Account `json:"accounts"`
	Next     string              `json:"next,omitempty"` // for after; absent at the end
}

type credentialsAnswer struct {
	Credentials []*registry.Credential `json:"credentials"`
}

type tokenAnswer struct {
	Credential registry.Credential `json:"credential"`
	Token      carried             `json:"token"`
}

type resultsAnswer struct {
	Results []registry.Result `json:"results"`
}

type codesAnswer struct {
	Codes []issuedCode `json:"codes"`
}

type issuedCode struct {
	Device  eid.ID          `json:"device"`
	Code    carried         `json:"code,omitempty"`
	Expires time.Time       `json:"expires,omitzero"`
	Error   *registry.Error `json:"error,omitempty"`
}

// device is a registry.Device with its revision, which is not part of its record.
type device struct {
	registry.Device
	Rev uint64 `json:"revision"`
}

type devicesPage struct {
	Devices []device `json:"devices"`
	Next    string   `json:"next,omitempty"`
}

type profilesAnswer struct {
	Profiles []*registry.Profile `json:"profiles"`
}

type transfersPage struct {
	Transfers []transfer.Transfer `json:"transfers"`
	Next      string              `json:"next,omitempty"`
}

type linesPage struct {
	Lines []audit.Line `json:"lines"`
	Next  string       `json:"next,omitempty"`
}

type jobsPage struct {
	Jobs []*registry.Job `json:"jobs"`
	Next string          `json:"next,omitempty"`
}

type resultsPage struct {
	Results []registry.Result `json:"results"`
	Next    int               `json:"next,omitempty"` // for from; absent when all results are out
}

type messagesPage struct {
	Code     int                `json:"code"` // EPP: 1301 with messages, 1300 without
	Messages []registry.Message `json:"messages"`
	Next     string             `json:"next,omitempty"`
}

type healthAnswer struct {
	Status string `json:"status"`
}
