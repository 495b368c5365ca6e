// Package smdptest checks that an [smdp.Store] keeps its contract. It uses plain
// package testing, so that makers of other stores can run it:
//
//	func TestStore(t *testing.T) {
//		smdptest.TestStore(t, func(t *testing.T) smdp.Store { ... })
//	}
package smdptest

import (
	"context"
	"errors"
	"testing"

	"github.com/iotregistry/sdk/mno/smdp"
	"github.com/iotregistry/sdk/registry/eid"
)

// TestStore runs every case on a store of its own, named after the rule that it
// checks. open returns an empty store for one sub-test, which may be used by many
// goroutines, and cleans up by t.Cleanup.
func TestStore(t *testing.T, open func(t *testing.T) smdp.Store) {
	for _, c := range []struct {
		rule string
		run  func(*testing.T, smdp.Store)
	}{
		{"what is not there is not found", notFound},
		{"ICCID, matching ID, device and transaction find a profile", findBy},
		{"a device alone has its highest profile ID", highest},
		{"a query goes by the first that is set", precedence},
		{"an eUICC finds what waits for it and nothing else", waiting},
		{"of several that wait it is the newest, then the lowest ICCID", waitingOrder},
		{"what an eUICC finds changes with the record", waitingChanges},
		{"a transaction that leaves its record is forgotten", transactions},
		{"texts are compared as bytes", exactTexts},

		{"stored versions count up by one", versions},
		{"another version than the stored one changes nothing", otherVersion},
		{"unique values that are taken change nothing", taken},
		{"unique values twice in one Put change nothing", twice},
		{"no matching ID and no profile ID are nobody's", nobodys},
		{"unique values that were given up are free", freed},
		{"all of a Put is stored or nothing", allOrNothing},
		{"a Put of nothing is no error", putNothing},
		{"a Put of a thousand is stored", thousand},

		{"every field comes back as it was put", everyField},
		{"what is not set stays so", unset},
		{"a replaced record keeps nothing of the old one", replaced},
		{"stored and read profiles are copies", copies},
		{"a package of a megabyte survives", large},

		{"of many that change one record exactly one wins", oneWinner},
		{"of many that claim one value exactly one wins", oneClaim},
		{"writers of different records do not disturb each other", disjoint},
		{"concurrent changes all count", counted},
		{"writers that cross keep their records together", crossing},
		{"an ended context stops the call", ended},
	} {
		t.Run(c.rule, func(t *testing.T) { c.run(t, open(t)) })
	}
}

// id parses a device ID of the suite.
func id(t *testing.T, s string) eid.ID {
	t.Helper()
	v, err := eid.Parse(s)
	if err != nil {
		t.Fatalf("smdptest: %v", err)
	}
	return v
}

func put(t *testing.T, s smdp.Store, ps ...smdp.Profile) {
	t.Helper()
	if err := s.Put(t.Context(), ps...); err != nil {
		t.Fatalf("Put: %v", err)
	}
}

// refused wants a Put to change nothing.
func refused(t *testing.T, s smdp.Store, what string, ps ...smdp.Profile) {
	t.Helper()
	if err := s.Put(t.Context(), ps...); !errors.Is(err, smdp.ErrChanged) {
		t.Errorf("%s: got error %v, want smdp.ErrChanged", what, err)
	}
}

func find(t *testing.T, s smdp.Store, q smdp.Query) smdp.Profile {
	t.Helper()
	p, err := s.Find(t.Context(), q)
	if err != nil {
		t.Fatalf("Find %+v: %v", q, err)
	}
	return p
}

// finds wants the query to select the profile of this ICCID, none where it is
// empty.
func finds(t *testing.T, s smdp.Store, q smdp.Query, iccid string) {
	t.Helper()
	p, err := s.Find(t.Context(), q)
	switch {
	case iccid == "" && !errors.Is(err, smdp.ErrNotFound):
		t.Errorf("Find %+v: got %q and error %v, want smdp.ErrNotFound", q, p.ICCID, err)
	case iccid != "" && err != nil:
		t.Errorf("Find %+v: %v, want %s", q, err, iccid)
	case p.ICCID != iccid:
		t.Errorf("Find %+v: got %s, want %s", q, p.ICCID, iccid)
	}
}

// repeat puts what change makes of the stored record until no other call comes
// between.
func repeat(ctx context.Context, s smdp.Store, iccid string, change func(*smdp.Profile)) error {
	for {
		p, err := s.Find(ctx, smdp.Query{ICCID: iccid})
		if err != nil {
			return err
		}
		change(&p)
		if err := s.Put(ctx, p); !errors.Is(err, smdp.ErrChanged) {
			return err
		}
	}
}
