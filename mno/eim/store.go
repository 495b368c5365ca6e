package eim

import (
	"context"
	"errors"
	"slices"
	"time"

	"github.com/iotregistry/sdk/registry/eid"
)

// Errors a [Store] returns, wrapped or not.
var (
	// ErrNotFound means that there is no such record.
	ErrNotFound = errors.New("eim: no such eUICC")

	// ErrChanged means that Put changed nothing: the record was changed by
	// somebody else in between. Read again, decide again.
	ErrChanged = errors.New("eim: record was changed meanwhile")
)

// Store keeps one record for each eUICC. Implementations are safe for concurrent
// use; nobody modifies what lies behind the slices and pointers of a record that
// was stored or read.
type Store interface {
	// Find returns the record of an eUICC, or ErrNotFound.
	Find(ctx context.Context, device eid.ID) (Record, error)

	// FindJob returns the record with a job of this ID in Queue or History, or
	// ErrNotFound.
	FindJob(ctx context.Context, jobID string) (Record, error)

	// Put stores r. With Version 0 it is new, otherwise it replaces the one with
	// that Version; stored versions count up by one. It is ErrChanged when Version
	// is not the stored one.
	Put(ctx context.Context, r Record) error
}

// Record is what is known of one eUICC.
type Record struct {
	EID              eid.ID
	Certificate      []byte // CERT.EUICC, checked, DER; nil: not known yet
	AssociationToken int64  // 0: none
	Counter          int64  // the highest that was used

	Queue   []Job // the first is the device's to do
	History []Job // ended, the newest last

	Profiles []Profile // as last listed
	Listed   time.Time // when; zero: never
	Stale    bool      // the device says that its state has changed
	Renewed  time.Time // when they were last to be listed because of that
	Seen     time.Time // last poll, to the minute
	Sequence int64     // highest number of an installation's receipt
	ListedAt int64     // number of the result that Profiles are from

	Version uint64 // 0 means not stored yet
}

// clone returns a copy whose jobs may be modified.
func (r Record) clone() Record {
	r.Queue, r.History = cloneJobs(r.Queue), cloneJobs(r.History)
	return r
}

func cloneJobs(list []Job) []Job {
	list = slices.Clone(list)
	for i := range list {
		list[i].Steps = slices.Clone(list[i].Steps)
	}
	return list
}

// job returns the job that the device was given or has ended.
func (r *Record) job(id string) *Job {
	if len(r.Queue) > 0 && r.Queue[0].ID == id {
		return &r.Queue[0]
	}
	for i := range r.History {
		if r.History[i].ID == id {
			return &r.History[i]
		}
	}
	return nil
}

// current reports whether j, of this record, has not ended.
func (r *Record) current(j *Job) bool { return len(r.Queue) > 0 && j == &r.Queue[0] }
