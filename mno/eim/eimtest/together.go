package eimtest

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/iotregistry/sdk/mno/eim"
	"github.com/iotregistry/sdk/registry/eid"
)

const writers = 8

// atOnce runs f in many goroutines that begin together, and returns their errors.
func atOnce(f func(w int) error) []error {
	errs := make([]error, writers)
	var start, wg sync.WaitGroup
	start.Add(writers)
	for w := range writers {
		wg.Go(func() {
			start.Done()
			start.Wait()
			errs[w] = f(w)
		})
	}
	wg.Wait()
	return errs
}

// winner wants exactly one of the errors to be nil and the others ErrChanged.
func winner(t *testing.T, errs []error) int {
	t.Helper()
	at := -1
	for w, err := range errs {
		switch {
		case err == nil && at >= 0:
			t.Fatalf("writers %d and %d have both won", at, w)
		case err == nil:
			at = w
		case !errors.Is(err, eim.ErrChanged):
			t.Fatalf("writer %d: got error %v, want eim.ErrChanged", w, err)
		}
	}
	if at < 0 {
		t.Fatal("nobody has won")
	}
	return at
}

func oneWinner(t *testing.T, s eim.Store) {
	const rounds = 10
	id := device(t, 1)
	for round := range uint64(rounds) {
		won := winner(t, atOnce(func(w int) error {
			return s.Put(t.Context(), eim.Record{EID: id, Counter: int64(w), Queue: queued(fmt.Sprint("J", w)), Version: round})
		}))
		if r := find(t, s, id); r.Counter != int64(won) || r.Version != round+1 {
			t.Fatalf("writer %d has won, the record is writer %d's at version %d", won, r.Counter, r.Version)
		}
		for w := range writers {
			want := eid.ID{}
			if w == won {
				want = id
			}
			finds(t, s, fmt.Sprint("J", w), want)
		}
	}
}

func disjoint(t *testing.T, s eim.Store) {
	const each = 20
	ids := make([]eid.ID, writers*each)
	for i := range ids {
		ids[i] = device(t, i)
	}
	for _, err := range atOnce(func(w int) error {
		for i := range each {
			id := ids[w*each+i]
			if err := s.Put(t.Context(), eim.Record{EID: id}); err != nil {
				return err
			}
			if err := repeat(t.Context(), s, id, func(r *eim.Record) { r.Queue = queued(id.String()) }); err != nil {
				return err
			}
		}
		return nil
	}) {
		if err != nil {
			t.Fatal(err)
		}
	}
	for _, id := range ids {
		finds(t, s, id.String(), id)
		if r := find(t, s, id); r.Version != 2 {
			t.Fatalf("%v has version %d", id, r.Version)
		}
	}
}

func counted(t *testing.T, s eim.Store) {
	const each = 10
	id := device(t, 1)
	put(t, s, eim.Record{EID: id})
	for w, err := range atOnce(func(int) error {
		for range each {
			if err := repeat(t.Context(), s, id, func(r *eim.Record) { r.Counter++ }); err != nil {
				return err
			}
		}
		return nil
	}) {
		if err != nil {
			t.Fatalf("writer %d: %v", w, err)
		}
	}
	if r := find(t, s, id); r.Counter != each*writers || r.Version != each*writers+1 {
		t.Fatalf("%d changes are counted at version %d, want %d", r.Counter, r.Version, each*writers)
	}
}

func ended(t *testing.T, s eim.Store) {
	id := device(t, 1)
	put(t, s, eim.Record{EID: id, Queue: queued("A")})
	cancelled, stop := context.WithCancel(t.Context())
	stop()
	late, stop := context.WithDeadline(t.Context(), time.Unix(0, 0))
	defer stop()
	for ctx, want := range map[context.Context]error{cancelled: context.Canceled, late: context.DeadlineExceeded} {
		for _, id := range []eid.ID{id, device(t, 2), {}} {
			if _, err := s.Find(ctx, id); !errors.Is(err, want) {
				t.Errorf("Find %v: got error %v, want %v", id, err, want)
			}
		}
		for _, job := range []string{"A", "none", "\xff"} {
			if _, err := s.FindJob(ctx, job); !errors.Is(err, want) {
				t.Errorf("FindJob %q: got error %v, want %v", job, err, want)
			}
		}
		for _, r := range []eim.Record{{EID: device(t, 2)}, {EID: id, Version: 1}, {EID: id, Version: 9}} {
			if err := s.Put(ctx, r); !errors.Is(err, want) {
				t.Errorf("Put of version %d: got error %v, want %v", r.Version, err, want)
			}
		}
	}
	if _, err := s.Find(t.Context(), device(t, 2)); !errors.Is(err, eim.ErrNotFound) {
		t.Errorf("got error %v after calls that were stopped, want eim.ErrNotFound", err)
	}
	put(t, s, eim.Record{EID: id, Version: 1})
}
