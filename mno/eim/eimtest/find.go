package eimtest

import (
	"errors"
	"fmt"
	"testing"

	"github.com/iotregistry/sdk/mno/eim"
	"github.com/iotregistry/sdk/registry/eid"
)

func notFound(t *testing.T, s eim.Store) {
	for range 2 { // in a store that is empty, and in one that has another record
		for _, id := range []eid.ID{{}, device(t, 1)} {
			if _, err := s.Find(t.Context(), id); !errors.Is(err, eim.ErrNotFound) {
				t.Errorf("Find %v: got error %v, want eim.ErrNotFound", id, err)
			}
		}
		for _, id := range []string{"", "A", "A\x00", "\xff"} { // some could not be stored
			finds(t, s, id, eid.ID{})
		}
		other := eim.Record{EID: device(t, 2), Queue: queued("B")}
		if _, err := s.Find(t.Context(), other.EID); err != nil {
			put(t, s, other)
		}
	}
}

func findBy(t *testing.T, s eim.Store) {
	put(t, s, eim.Record{EID: device(t, 1), Queue: queued("A", "B"), History: queued("C", "D")})
	put(t, s, eim.Record{EID: device(t, 2), Queue: queued("E")})
	put(t, s, eim.Record{EID: device(t, 3)})
	for n := 1; n <= 3; n++ {
		if r := find(t, s, device(t, n)); r.EID != device(t, n) {
			t.Errorf("Find %v: got %v", device(t, n), r.EID)
		}
	}
	for _, id := range []string{"A", "B", "C", "D"} {
		finds(t, s, id, device(t, 1))
	}
	finds(t, s, "E", device(t, 2))
	finds(t, s, "F", eid.ID{})
}

func moving(t *testing.T, s eim.Store) {
	id := device(t, 1)
	for version, r := range []eim.Record{
		{Queue: queued("A", "B")}, {Queue: queued("B", "A")}, {Queue: queued("B"), History: queued("A")},
		{History: queued("A", "B")}, {Queue: queued("A"), History: queued("B")},
	} {
		r.EID, r.Version = id, uint64(version)
		put(t, s, r)
		finds(t, s, "A", id)
		finds(t, s, "B", id)
	}
}

func leaving(t *testing.T, s eim.Store) {
	put(t, s, eim.Record{EID: device(t, 1), Queue: queued("A", "B"), History: queued("C")})
	put(t, s, eim.Record{EID: device(t, 2), Queue: queued("D")})
	put(t, s, eim.Record{EID: device(t, 1), Queue: queued("B"), Version: 1})
	for id, n := range map[string]int{"A": 0, "B": 1, "C": 0, "D": 2} {
		want := eid.ID{}
		if n > 0 {
			want = device(t, n)
		}
		finds(t, s, id, want)
	}
	put(t, s, eim.Record{EID: device(t, 1), Version: 2})
	finds(t, s, "B", eid.ID{})
	put(t, s, eim.Record{EID: device(t, 1), History: queued("A"), Version: 3})
	finds(t, s, "A", device(t, 1))
}

func exactJobs(t *testing.T, s eim.Store) {
	put(t, s, eim.Record{EID: device(t, 1), Queue: queued("0a", "é", "1 ")})
	put(t, s, eim.Record{EID: device(t, 2), Queue: queued("0A", "e\u0301", "1")})
	for id, n := range map[string]int{"0a": 1, "é": 1, "1 ": 1, "0A": 2, "e\u0301": 2, "1": 2} {
		finds(t, s, id, device(t, n))
	}
	for _, id := range []string{"É", "e", "%", "_", "0", " 1"} {
		finds(t, s, id, eid.ID{})
	}
}

func thousand(t *testing.T, s eim.Store) {
	id, ids := device(t, 1), make([]string, 2000)
	for i := range ids {
		ids[i] = fmt.Sprintf("%08X", i)
	}
	put(t, s, eim.Record{EID: id, Queue: queued(ids[:1000]...)})
	put(t, s, eim.Record{EID: id, Queue: queued(ids[500:1500]...), History: queued(ids[1500:]...), Version: 1})
	for i := 0; i < len(ids); i += 49 {
		want := id
		if i < 500 {
			want = eid.ID{}
		}
		finds(t, s, ids[i], want)
	}
	if r := find(t, s, id); len(r.Queue) != 1000 || len(r.History) != 500 || r.Queue[999].ID != ids[1499] {
		t.Errorf("%d jobs wait and %d are ended, want 1000 and 500 in their order", len(r.Queue), len(r.History))
	}
}
