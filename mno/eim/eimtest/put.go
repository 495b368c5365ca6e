package eimtest

import (
	"errors"
	"math"
	"slices"
	"testing"

	"github.com/iotregistry/sdk/mno/eim"
	"github.com/iotregistry/sdk/mno/internal/fieldtest"
	"github.com/iotregistry/sdk/registry/eid"
)

func versions(t *testing.T, s eim.Store) {
	r := eim.Record{EID: device(t, 1), Queue: queued("A")}
	for want := uint64(1); want <= 5; want++ {
		put(t, s, r)
		r = find(t, s, r.EID)
		if r.Version != want {
			t.Fatalf("version %d, want %d", r.Version, want)
		}
		byJob, err := s.FindJob(t.Context(), "A")
		if err != nil || byJob.Version != want {
			t.Fatalf("FindJob: version %d and error %v, want %d", byJob.Version, err, want)
		}
	}
}

func otherVersion(t *testing.T, s eim.Store) {
	id := device(t, 1)
	for _, version := range []uint64{1, 2, math.MaxInt64, math.MaxUint64} {
		refused(t, s, "there is none", eim.Record{EID: id, Version: version, Queue: queued("A")})
	}
	if _, err := s.Find(t.Context(), id); !errors.Is(err, eim.ErrNotFound) {
		t.Fatalf("got error %v after what was refused, want eim.ErrNotFound", err)
	}
	put(t, s, eim.Record{EID: id, Counter: 1, Queue: queued("B")})
	put(t, s, eim.Record{EID: id, Counter: 2, Queue: queued("B"), Version: 1})
	for _, version := range []uint64{0, 1, 3, math.MaxInt64, math.MaxInt64 + 1, math.MaxUint64} {
		refused(t, s, "there is another", eim.Record{EID: id, Counter: 3, Version: version, Queue: queued("A")})
	}
	if r := find(t, s, id); r.Version != 2 || r.Counter != 2 {
		t.Errorf("version %d with counter %d after what was refused", r.Version, r.Counter)
	}
	finds(t, s, "A", eid.ID{})
	finds(t, s, "B", id)
}

// full returns a record in which nothing is zero but Version.
func full(t *testing.T, id eid.ID, seed int) eim.Record {
	t.Helper()
	var r eim.Record
	fieldtest.Fill(t, &r, seed)
	r.EID, r.Version = id, 0
	return r
}

func everyField(t *testing.T, s eim.Store) {
	for n := 1; n <= 2; n++ {
		for version := range uint64(3) {
			r := full(t, device(t, n), 10000*n+1000*int(version))
			r.Version = version
			put(t, s, r)
			r.Version++
			fieldtest.Same(t, find(t, s, r.EID), r)
			for _, job := range []string{r.Queue[2].ID, r.History[0].ID} {
				got, err := s.FindJob(t.Context(), job)
				if err != nil {
					t.Fatal(err)
				}
				fieldtest.Same(t, got, r)
			}
		}
	}
}

// unset is not the same as empty: no certificate means that it is not known, no
// package that it is not signed, no number that the eUICC has given none.
func unset(t *testing.T, s eim.Store) {
	zero := int64(0)
	for version, r := range []eim.Record{
		{}, {Queue: []eim.Job{{ID: "A"}}}, {Queue: []eim.Job{{ID: "A", Download: &eim.Download{}, Sequence: &zero}}},
		{History: []eim.Job{{ID: "A", Steps: []eim.Step{{}}}}, Profiles: []eim.Profile{{}}},
	} {
		r.EID, r.Version = device(t, 1), uint64(version)
		put(t, s, r)
		r.Version++
		got := find(t, s, r.EID)
		fieldtest.Same(t, got, r)
		if !got.Seen.IsZero() || !got.Listed.IsZero() || !got.Renewed.IsZero() {
			t.Errorf("times that were not set are %v, %v and %v", got.Seen, got.Listed, got.Renewed)
		}
	}
}

func replaced(t *testing.T, s eim.Store) {
	r := full(t, device(t, 1), 0)
	put(t, s, r)
	put(t, s, eim.Record{EID: r.EID, Version: 1})
	fieldtest.Same(t, find(t, s, r.EID), eim.Record{EID: r.EID, Version: 2})
	finds(t, s, r.Queue[0].ID, eid.ID{})
	finds(t, s, r.History[0].ID, eid.ID{})
	r.Version = 2
	put(t, s, r)
	r.Version = 3
	fieldtest.Same(t, find(t, s, r.EID), r)
}

func copies(t *testing.T, s eim.Store) {
	want := full(t, device(t, 1), 0)
	r := want
	put(t, s, r)
	r.Counter, r.Queue, r.Certificate = 7, nil, nil
	want.Version = 1
	got := find(t, s, want.EID)
	fieldtest.Same(t, got, want)
	got.Counter, got.History, got.Profiles = 8, nil, nil
	got.Queue = append(slices.Clip(got.Queue), eim.Job{ID: "more"})
	fieldtest.Same(t, find(t, s, want.EID), want)
	finds(t, s, "more", eid.ID{})
}
