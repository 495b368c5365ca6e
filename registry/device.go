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
//
// CardKey is the SubjectPublicKeyInfo, in DER, of the signing key that the
// device's card has made: the profiles that come next certify it and carry no
// private key. Empty, the registry makes a key for each. Whether that was so for a
// profile there is, its KeyOnCard says.
//
// A card key stays the same from profile to profile until the device enrols
// another, also when the device changes providers. That links the certificates to
// each other, as the device ID in their names does, and it goes on linking them for
// those who have seen the key alone. Enrol a new key before a transfer to avoid it.
type Device struct {
	ID       eid.ID    `json:"id"`
	Model    string    `json:"model,omitempty"`
	Version  string    `json:"version,omitempty"` // of the model, as the owner's list has it
	Sponsor  string    `json:"sponsor"`           // account of the ASP that answers for it
	Owner    string    `json:"owner"`             // account that may draw its authorization codes
	MNO      string    `json:"mno,omitempty"`     // account of the operator that delivers to it
	Key      string    `json:"key"`               // eUICC key-agreement public key, as profile.FormatPublicKey writes it
	CardKey  []byte    `json:"cardKey,omitempty"` // what its next profile certifies; see below
	Enrolled time.Time `json:"enrolled,omitzero"` // when the device itself last gave it; see Registry.Enroll
	Status   []Status  `json:"status,omitempty"`  // what was set; see Statuses
	Profile  uint64    `json:"profile,omitempty"` // current profile ID; 0 before activation
	Retired  []uint64  `json:"retired,omitempty"` // superseded profiles whose records are still published
	Pending  *Pending  `json:"pending,omitempty"` // the transfer that waits for a decision
	From     string    `json:"from,omitempty"`    // sponsor before the last transfer
	Moved    time.Time `json:"moved,omitzero"`    // when the last transfer took effect
	Undo     time.Time `json:"undo,omitzero"`     // until then it can be undone
	Deleted  time.Time `json:"deleted,omitzero"`  // when it was deleted; it can be restored until Redeem
	Redeem   time.Time `json:"redeem,omitzero"`   // end of the redemption period
	Purge    time.Time `json:"purge,omitzero"`    // from then on the registry does not know it
	Created  time.Time `json:"created"`
	Updated  time.Time `json:"updated"`

	version uint64 // of the stored record
}

// Pending is a change of sponsor that was asked for with the right code and
// waits: it happens at Due unless it is decided earlier.
type Pending struct {
	Transfer  string    `json:"transfer"` // ID of the transfer
	To        string    `json:"to"`       // gaining ASP
	Requested time.Time `json:"requested"`
	Due       time.Time `json:"due"`
	Undo      time.Time `json:"undo"` // until when it can be undone once it has happened
}

// Revision names this state of the device: it grows with every change.
func (d *Device) Revision() uint64 { return d.version }

// SetRevision says which state of the device this is: for clients, which learn
// it from the registry's answer. The registry itself reads it from its store.
func (d *Device) SetRevision(v uint64) { d.version = v }

// project brings d to what its deadlines have made of it at now: a transfer that
// nobody decided has happened. What is left to do about it is in the store's
// timers, so that nobody has to be awake at the deadline.
func (d *Device) project(now time.Time) {
	if p := d.Pending; p != nil && !now.Before(p.Due) {
		d.From, d.Moved, d.Undo, d.Updated = d.Sponsor, p.Due, p.Undo, p.Due
		d.Sponsor, d.Pending = p.To, nil
	}
}

// gone reports whether d was deleted for good.
func (d *Device) gone(now time.Time) bool { return !d.Purge.IsZero() && !now.Before(d.Purge) }

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
	Receipt    mno.Receipt   `json:"receipt"`             // of the operator's order
	KeyOnCard  bool          `json:"keyOnCard,omitempty"` // the private key of its certificate was made on the card, not here
	Created    time.Time     `json:"created"`
	Updated    time.Time     `json:"updated"`
	NotAfter   time.Time     `json:"notAfter,omitzero"`   // end of its certificate
	Connected  time.Time     `json:"connected,omitzero"`  // when the ASP first verified the device with it
	WithdrawAt time.Time     `json:"withdrawAt,omitzero"` // end of the overlap of a superseded profile

	version uint64
}

// Issued is what was made for a profile, once. The profile's plaintext, with
// the device's private key where the registry has made one, exists only inside
// Sealed.
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

// Claim is a maker's word that a device exists and which keys its eUICC has.
type Claim struct {
	Device eid.ID    `json:"device"`
	Model  string    `json:"model,omitempty"`
	Key    string    `json:"key"`           // as profile.FormatPublicKey writes it
	CSR    []byte    `json:"csr,omitempty"` // certificate request for the card's own signing key, as profile.ParseCSR reads it; empty: the registry makes keys
	Maker  string    `json:"maker"`
	Filed  time.Time `json:"filed"`
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
