// Package eimtest checks that an [eim.Store] keeps its contract. It uses plain
// package testing, so that makers of other stores can run it:
//
//	func TestStore(t *testing.T) {
//		eimtest.TestStore(t, func(t *testing.T) eim.Store { ... })
//	}
package eimtest

import (
	"context"
	"errors"
	"fmt"
	"testing"

	"github.com/iotregistry/sdk/mno/eim"
	"github.com/iotregistry/sdk/registry/eid"
)

// TestStore runs every case on a store of its own, named after the rule that it
// checks. open returns an empty store for one sub-test, which may be used by many
// goroutines, and cleans up by t.Cleanup.
func TestStore(t *testing.T, open func(t *testing.T) eim.Store) {
	for _, c := range []struct {
		rule string
		run  func(*testing.T, eim.Store)
	}{
		{"what is not there is not found", notFound},
		{"an EID and the jobs of a record find it", findBy},
		{"a job finds its record wherever it stands there", moving},
		{"a job that leaves its record is forgotten", leaving},
		{"job IDs are compared as bytes", exactJobs},
		{"a thousand jobs find their record", thousand},

		{"stored versions count up by one", versions},
		{"another version than the stored one changes nothing", otherVersion},

		{"every field comes back as it was put", everyField},
		{"what is not set stays so", unset},
		{"a replaced record keeps nothing of the old one", replaced},
		{"stored and read records are copies", copies},

		{"of many that make or change one record exactly one wins", oneWinner},
		{"writers of different records do not disturb each other", disjoint},
		{"concurrent changes all count", counted},
		{"an ended context stops the call", ended},
	} {
		t.Run(c.rule, func(t *testing.T) { c.run(t, open(t)) })
	}
}

// device returns the nth eUICC of the suite.
func device(t *testing.T, n int) eid.ID {
	t.Helper()
	id, err := eid.New(fmt.Sprintf("8904903212345123451234%08d", n))
	if err != nil {
		t.Fatalf("eimtest: %v", err)
	}
	return id
}

// queued makes jobs of nothing but their IDs.
func queued(ids ...string) []eim.Job {
	var list []eim.Job
	for _, id := range ids {
		list = append(list, eim.Job{ID: id})
	}
	return list
}

func put(t *testing.T, s eim.Store, r eim.Record) {
	t.Helper()
	if err := s.Put(t.Context(), r); err != nil {
		t.Fatalf("Put of version %d: %v", r.Version, err)
	}
}

// refused wants a Put to change nothing.
func refused(t *testing.T, s eim.Store, what string, r eim.Record) {
	t.Helper()
	if err := s.Put(t.Context(), r); !errors.Is(err, eim.ErrChanged) {
		t.Errorf("%s: got error %v, want eim.ErrChanged", what, err)
	}
}

func find(t *testing.T, s eim.Store, id eid.ID) eim.Record {
	t.Helper()
	r, err := s.Find(t.Context(), id)
	if err != nil {
		t.Fatalf("Find %v: %v", id, err)
	}
	return r
}

// finds wants a job to lead to the record of id, to none where that is zero.
func finds(t *testing.T, s eim.Store, jobID string, id eid.ID) {
	t.Helper()
	r, err := s.FindJob(t.Context(), jobID)
	switch {
	case id.IsZero() && !errors.Is(err, eim.ErrNotFound):
		t.Errorf("FindJob %.40q: got %v and error %v, want eim.ErrNotFound", jobID, r.EID, err)
	case !id.IsZero() && err != nil:
		t.Errorf("FindJob %.40q: %v, want %v", jobID, err, id)
	case !id.IsZero() && r.EID != id:
		t.Errorf("FindJob %.40q: got %v, want %v", jobID, r.EID, id)
	}
}

// repeat puts what change makes of the stored record until no other call comes
// between.
func repeat(ctx context.Context, s eim.Store, id eid.ID, change func(*eim.Record)) error {
	for {
		r, err := s.Find(ctx, id)
		if err != nil {
			return err
		}
		change(&r)
		if err := s.Put(ctx, r); !errors.Is(err, eim.ErrChanged) {
			return err
		}
	}
}
