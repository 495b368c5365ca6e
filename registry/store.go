package registry

import "context"

// Table names one kind of record a [Store] keeps.
type Table string

// The tables of the registry. A store refuses any other name with [ErrTable].
const (
	TableAccounts    Table = "accounts"    // key: account ID, parent: role
	TableCredentials Table = "credentials" // key: hash of the secret, parent: account
	TableDevices     Table = "devices"     // key: device ID, parent: sponsor
	TableOwned       Table = "owned"       // key: owner/device ID, parent: owner; an index of devices
	TableIncoming    Table = "incoming"    // key: device ID, parent: the ASP it will go to
	TableClaims      Table = "claims"      // key: device ID, parent: maker
	TableKeys        Table = "keys"        // key: SHA-256 of a key made on a card, parent: device ID
	TableProfiles    Table = "profiles"    // key: profile ID (20 digits), parent: device ID
	TableIssued      Table = "issued"      // key: profile ID (20 digits); written once
	TableCodes       Table = "codes"       // key: device ID
	TableFailures    Table = "failures"    // key: device ID/requester
	TableWork        Table = "work"        // key: what it is about, parent: what is owed
	TableTimers      Table = "timers"      // key: due time/kind/what it is about
	TableTransfers   Table = "transfers"   // key: transfer ID, parent: device ID
	TableRequests    Table = "requests"    // key: hash of account and idempotency key/batch, parent: day
	TableJobs        Table = "jobs"        // key: job ID, parent: account
	TableParts       Table = "parts"       // key: job ID/number, parent: job ID
	TableMessages    Table = "messages"    // key: account/time/event, parent: account
	TableJournal     Table = "journal"     // key: time and chance/device ID; audit entries without a place in the chain yet
	TableAudit       Table = "audit"       // key: sequence number (20 digits), parent: device ID
	TableMeta        Table = "meta"        // key: name
)

// Tables returns every table in a fixed order, for stores that create them.
func Tables() []Table {
	return []Table{
		TableAccounts, TableCredentials, TableDevices, TableOwned, TableIncoming, TableClaims, TableKeys, TableProfiles, TableIssued,
		TableCodes, TableFailures, TableWork, TableTimers, TableTransfers, TableRequests, TableJobs, TableParts,
		TableMessages, TableJournal, TableAudit, TableMeta,
	}
}

// MaxLimit is the most records one [Tx.List] returns, whatever its query asks.
const MaxLimit = 10_000

// Record is one versioned row. What Body holds is the registry's business;
// stores compare keys and parents as bytes and never look inside.
type Record struct {
	Key     string // unique in its table, not empty
	Parent  string // groups records for List; may be empty
	Version uint64 // what the caller read; 0 says "must not exist yet"
	Body    []byte // JSON
}

// Query selects records of one table for [Tx.List].
type Query struct {
	Parent string // only records with this parent; "" means all
	After  string // only keys greater than this, in byte order
	Limit  int    // at most this many; 0 or more than MaxLimit means MaxLimit
}

// Tx is one transaction. Reads see the transaction's own writes. A Tx must not
// be used after the function that received it returned, nor by two goroutines.
type Tx interface {
	// Get returns the records that exist among keys, in byte order of their
	// keys and each once. A missing key is no error.
	Get(ctx context.Context, t Table, keys ...string) ([]Record, error)

	// List returns records in byte order of their keys.
	List(ctx context.Context, t Table, q Query) ([]Record, error)

	// Put writes records. Each must carry the version that was read, or 0 for
	// a new key; otherwise Put returns an error wrapping [ErrConflict] and the
	// transaction must be given up. A stored record's version is one more.
	Put(ctx context.Context, t Table, recs ...Record) error

	// Delete removes records. A missing key is no error.
	Delete(ctx context.Context, t Table, keys ...string) error
}

// Store keeps the registry's records durably. Transactions are serializable:
// a committed Update behaves as if it ran alone. The suite registrytest checks
// an implementation.
type Store interface {
	// View runs fn on a consistent snapshot; what fn writes is refused.
	View(ctx context.Context, fn func(Tx) error) error

	// Update runs fn and commits what it wrote when it returns nil, durably
	// before Update returns. When fn fails nothing is kept and its error is
	// returned as it is. A store may run fn again after a conflict it can
	// resolve by repeating, so fn must not act on anything but its Tx.
	Update(ctx context.Context, fn func(Tx) error) error
}
