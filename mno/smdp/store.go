package smdp

import (
	"context"
	"errors"
	"time"

	"github.com/iotregistry/sdk/mno"
	"github.com/iotregistry/sdk/registry/eid"
)

// Errors a [Store] returns, wrapped or not.
var (
	// ErrNotFound means that no record answers the query.
	ErrNotFound = errors.New("smdp: no such profile")

	// ErrChanged means that Put changed nothing: a record was changed by
	// somebody else in between, or a unique value is taken. Read again, decide
	// again.
	ErrChanged = errors.New("smdp: profile was changed meanwhile")
)

// Store keeps profiles. Implementations are safe for concurrent use and take
// copies; nobody modifies a Sealed or CodeHash that was stored or read. Package
// smdptest has the tests of what follows.
type Store interface {
	// Find returns the profile that q selects, or ErrNotFound.
	Find(ctx context.Context, q Query) (Profile, error)

	// Put stores all of ps or none. A profile with Version 0 is new, any other
	// replaces the record with that Version; stored versions count up by one. It
	// is ErrChanged when a version is not the stored one, or when ICCID, a
	// non-empty MatchingID, or Device with a non-zero ProfileID would not be
	// unique. A value that is given up in the same call may still count as taken.
	Put(ctx context.Context, ps ...Profile) error
}

// Query selects one profile, by the first of these that is set.
type Query struct {
	ICCID      string
	MatchingID string
	Device     eid.ID // with ProfileID; with none, the device's highest profile ID
	ProfileID  uint64

	// EUICC is an eUICC that comes without a matching ID, for what waits for it: a
	// record with this EUICC in State Released or Downloaded that has a ProfileID,
	// or ByDevice. Of several it is the one with the highest ProfileID, and of
	// those the one with the lowest ICCID.
	EUICC eid.ID

	// Transaction is one of a record's Download.Transactions.
	Transaction string
}

// Profile is one record of the order book.
type Profile struct {
	ICCID       string // canonical
	Type        string
	State       mno.State
	Owner       string // functionRequesterIdentifier that may order it; empty: not yet anybody's
	Device      eid.ID // as the requester calls it
	EUICC       eid.ID // EID of the eUICC it is for, see [Config]; zero: of whoever comes with the matching ID
	ProfileID   uint64
	Sealed      []byte   // the sealed IoT profile; dropped once it is of no more use
	SealedSum   [32]byte // SHA-256 of Sealed, kept to recognise repeats
	MatchingID  string
	ByDevice    bool   // confirmed with an empty matching ID: the device selects
	CodeHash    []byte // SHA-256 of the confirmation code; nil for none
	SMDSAddress string
	Told        mno.Point        // last point the operator has taken news of
	Failure     *mno.StatusError // why State is Error
	Changed     time.Time
	Download    Download // over ES9+, see [Server]
	Version     uint64   // of the record; 0 means not stored yet
}

// Download is what a [Server] has to know of an order after its sessions are
// gone. It is no secret, but for nobody to change: what is stored or read is
// replaced, never written to.
type Download struct {
	CodeTries    int      // wrong confirmation codes so far
	Transactions []string // sessions that were given the package, in hexadecimal, the last one at the end
	EUICC        []byte   // CERT.EUICC of these sessions, DER
	OneTimeKey   []byte   // otPK.EUICC that Bound is for, 65 bytes
	Metadata     []byte   // StoreMetadataRequest in Bound
	Bound        []byte   // the last bound profile package; dropped with Sealed
	Sequence     int64    // highest sequence number of a later notification that was passed on
}
