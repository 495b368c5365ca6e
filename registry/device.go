package registry

import (
	"encoding/json"
	"fmt"
	"slices"
	"time"

	"github.com/iotregistry/sdk/mno"
	"github.com/iotregistry/sdk/registry/eid"
)

// Device is a mobile IoT device as the registry knows it. At every moment it
// has exactly one sponsor and at most one current profile.
type Device struct {
	ID      eid.ID    `json:"id"`
	Model   string    `json:"model,omitempty"`
	Version string    `json:"version,omitempty"` // of the model, as the owner's list has it
	Sponsor string    `json:"sponsor"`           // account of the ASP that answers for it
	Owner   string    `json:"owner"`             // account that may draw its authorization codes
	MNO     string    `json:"mno,omitempty"`     // account of the operator that delivers to it
	Key     string    `json:"key"`               // eUICC key-agreement public key, as profile.FormatPublicKey writes it
	Status  []Status  `json:"status,omitempty"`  // what was set; see Statuses
	Profile uint64    `json:"profile,omitempty"` // current profile ID; 0 before activation
	Retired []uint64  `json:"retired,omitempty"` // superseded profiles whose records are still published
	Created time.Time `json:"created"`
	Updated time.Time `json:"updated"`

	version uint64 // of the stored record
}

// Status is an EPP status of a device (RFC 5731 section 2.3, adapted). Statuses
// that begin with "client" are the sponsor's to set, those with "server" the
// registry's.
type Status string

// The statuses of a device.
const (
	StatusOK                       Status = "ok"       // nothing else applies
	StatusInactive                 Status = "inactive" // no profile yet
	StatusClientTransferProhibited Status = "clientTransferProhibited"
	StatusServerTransferProhibited Status = "serverTransferProhibited"
	StatusClientUpdateProhibited   Status = "clientUpdateProhibited"
	StatusServerUpdateProhibited   Status = "serverUpdateProhibited"
)

// Statuses returns what holds for d: the statuses that were set, inactive while
// it has no profile, and ok alone when nothing else does.
func (d *Device) Statuses() []Status {
	s := slices.Clone(d.Status)
	if d.Profile == 0 {
		s = append(s, StatusInactive)
	}
	if len(s) == 0 {
		s = append(s, StatusOK)
	}
	return s
}

func (d *Device) has(any ...Status) bool {
	return slices.ContainsFunc(d.Status, func(s Status) bool { return slices.Contains(any, s) })
}

// ProfileStatus says how far a profile has come on its way to the device. It
// only moves forward.
type ProfileStatus string

// The statuses of a profile in the order of a good life, then the ends.
const (
	ProfileGenerated  ProfileStatus = "generated"  // issued and sealed
	ProfilePublished  ProfileStatus = "published"  // its CERT record is in the zone
	ProfileOrdered    ProfileStatus = "ordered"    // the operator has it
	ProfileDownloaded ProfileStatus = "downloaded" // the device has it
	ProfileInstalled  ProfileStatus = "installed"  // the eUICC opened it
	ProfileConnected  ProfileStatus = "connected"  // the ASP verified the device
	ProfileFailed     ProfileStatus = "failed"     // the device could not install it
	ProfileSuperseded ProfileStatus = "superseded" // a newer one is current; records still published
	ProfileRevoked    ProfileStatus = "revoked"    // withdrawn: DNS denies it
)

var profileOrder = []ProfileStatus{
	ProfileGenerated, ProfilePublished, ProfileOrdered, ProfileDownloaded, ProfileInstalled, ProfileConnected,
	ProfileFailed, ProfileSuperseded, ProfileRevoked,
}

func (s ProfileStatus) rank() int { return slices.Index(profileOrder, s) }

// MNOStatus says what the operator has reported about a profile.
type MNOStatus string

// The operator's side of a profile.
const (
	MNONone       MNOStatus = "none"
	MNOOffered    MNOStatus = "offered"
	MNODownloaded MNOStatus = "downloaded"
	MNOInstalled  MNOStatus = "installed"
	MNOFailed     MNOStatus = "failed"
)

// Profile is the registry's record of one issued IoT profile.
type Profile struct {
	ID         uint64        `json:"id"` // unique in the registry, never used again
	Device     eid.ID        `json:"device"`
	Sponsor    string        `json:"sponsor"` // the ASP it leads to
	MNO        string        `json:"mno"`
	Name       string        `json:"name"` // owner name of its DNS records, <ID>.<device>.<zone>
	Status     ProfileStatus `json:"status"`
	MNOStatus  MNOStatus     `json:"mnoStatus"`
	Receipt    mno.Receipt   `json:"receipt"` // of the operator's order
	Created    time.Time     `json:"created"`
	Updated    time.Time     `json:"updated"`
	WithdrawAt time.Time     `json:"withdrawAt,omitzero"` // end of the overlap of a superseded profile

	version uint64
}

// Issued is what was made for a profile, once. The profile's plaintext, with
// the device's private key, exists only inside Sealed.
type Issued struct {
	Certificate []byte `json:"certificate"` // DER, as published
	Sealed      []byte `json:"sealed"`      // as ordered
}

// project returns the status that holds at now: a superseded profile is revoked
// from the end of its overlap, whether or not the withdrawal has run yet.
func (p *Profile) project(now time.Time) {
	if p.Status == ProfileSuperseded && !now.Before(p.WithdrawAt) {
		p.Status = ProfileRevoked
	}
}

// Claim is a maker's word that a device exists and which key its eUICC has.
type Claim struct {
	Device eid.ID    `json:"device"`
	Model  string    `json:"model,omitempty"`
	Key    string    `json:"key"` // as profile.FormatPublicKey writes it
	Maker  string    `json:"maker"`
	Filed  time.Time `json:"filed"`
}

// Result is the outcome for one device of a bulk call, in the caller's order.
type Result struct {
	Line      int    // of the input file; 0 when there was none
	Device    eid.ID // zero when the row had no readable device ID
	ProfileID uint64 // current profile after the call, where one was made
	Err       error  // nil when it was done
}

// Failed returns the results that carry an error.
func Failed(rs []Result) []Result {
	var out []Result
	for _, r := range rs {
		if r.Err != nil {
			out = append(out, r)
		}
	}
	return out
}

// unfinished gives the results that a failing call did not come to its error,
// and returns that as the call's own.
func unfinished(op string, results []Result, err error) error {
	for i := range results {
		if results[i].Err == nil {
			results[i].Err = &Error{Op: op, Device: results[i].Device, Err: err}
		}
	}
	return &Error{Op: op, Err: err}
}

func profileKey(id uint64) string { return fmt.Sprintf("%020d", id) }

func encode(v any) []byte {
	b, err := json.Marshal(v)
	if err != nil {
		// Only types of this package get here, all of which JSON can carry.
		panic("registry: encode record: " + err.Error())
	}
	return b
}

func decode(rec Record, v any) error {
	if err := json.Unmarshal(rec.Body, v); err != nil {
		return fmt.Errorf("registry: record %q is damaged: %w", rec.Key, err)
	}
	return nil
}
