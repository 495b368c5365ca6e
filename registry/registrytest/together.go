package registrytest

import (
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/iotregistry/sdk/registry"
)

// patience is how long an update waits for the other one of its pair. A store
// that runs updates one after the other never lets two meet; there the first
// goes on alone.
const patience = 100 * time.Millisecond

// pair is two updates that are to be in the middle at the same time.
type pair struct {
	mu      sync.Mutex
	arrived int
	both    chan struct{}
}

func (p *pair) meet() {
	p.mu.Lock()
	if p.arrived++; p.arrived == 2 {
		close(p.both)
	}
	p.mu.Unlock()
	timer := time.NewTimer(patience)
	defer timer.Stop()
	select {
	case <-p.both:
	case <-timer.C:
	}
}

// together runs step twice, for i = 0 and 1, in two updates at the same time and
// returns how many were committed. Between reading and writing, step calls meet,
// which holds up its first run only. A conflict is a fair end for one of two.
func together(t *testing.T, s registry.Store, step func(tx registry.Tx, i int, meet func()) error) (won int) {
	t.Helper()
	p := &pair{both: make(chan struct{})}
	var errs [2]error
	var wg sync.WaitGroup
	for i := range errs {
		wg.Go(func() {
			var once sync.Once
			errs[i] = s.Update(t.Context(), func(tx registry.Tx) error {
				return step(tx, i, func() { once.Do(p.meet) })
			})
		})
	}
	wg.Wait()
	for i, err := range errs {
		switch {
		case err == nil:
			won++
		case !errors.Is(err, registry.ErrConflict):
			t.Fatalf("update %d: %v", i, err)
		}
	}
	return won
}

// writeSkew has two records of which one must stay on: each update switches one
// off if it finds the other one on. Snapshot isolation lets both do so.
func writeSkew(t *testing.T, h Harness) {
	s := h.New(t)
	put(t, s, rec("0", "", "on"), rec("1", "", "on"))
	together(t, s, func(tx registry.Tx, i int, meet func()) error {
		got, err := tx.Get(t.Context(), devices, "0", "1")
		if err != nil {
			return err
		}
		meet()
		if len(got) != 2 || string(got[1-i].Body) == "off" {
			return nil
		}
		got[i].Body = []byte("off")
		return tx.Put(t.Context(), devices, got[i])
	})
	got := bodies(list(t, s, registry.Query{}))
	slices.Sort(got)
	if !slices.Equal(got, []string{"off", "on"}) {
		t.Fatalf("got %q: exactly one may be off, as if one update had run after the other", got)
	}
}

// phantom has two updates that each find nothing and add what the other one
// looked for. There is no record yet whose version could tell.
func phantom(t *testing.T, h Harness) {
	for name, find := range map[string]func(registry.Tx, int) ([]registry.Record, error){
		"List": func(tx registry.Tx, _ int) ([]registry.Record, error) {
			return tx.List(t.Context(), devices, registry.Query{Parent: "p"})
		},
		"Get": func(tx registry.Tx, i int) ([]registry.Record, error) {
			return tx.Get(t.Context(), devices, fmt.Sprint("child", 1-i))
		},
	} {
		s := h.New(t)
		put(t, s, rec("another", "q", "{}"))
		together(t, s, func(tx registry.Tx, i int, meet func()) error {
			got, err := find(tx, i)
			if err != nil {
				return err
			}
			meet()
			if len(got) > 0 {
				return nil
			}
			return tx.Put(t.Context(), devices, rec(fmt.Sprint("child", i), "p", "{}"))
		})
		if got := list(t, s, registry.Query{Parent: "p"}); len(got) != 1 {
			t.Fatalf("%s: got children %q, want one: two updates found none and both added theirs", name, keysOf(got))
		}
	}
}

// cleanRetry has two updates that write the same record, so that one of them is
// repeated or fails. A repetition finds nothing of its own first run.
func cleanRetry(t *testing.T, h Harness) {
	s := h.New(t)
	put(t, s, rec("n", "", ""))
	won := together(t, s, func(tx registry.Tx, i int, meet func()) error {
		trace := rec(fmt.Sprint("trace", i), "", "{}")
		got, err := tx.Get(t.Context(), devices, "n", trace.Key)
		if err != nil {
			return err
		}
		if len(got) != 1 {
			return fmt.Errorf("got %q: a repeated update sees what its first run wrote", keysOf(got))
		}
		if err := tx.Put(t.Context(), devices, trace); err != nil {
			return err
		}
		meet()
		got[0].Body = append(got[0].Body, 'x')
		return tx.Put(t.Context(), devices, got[0])
	})
	got := list(t, s, registry.Query{})
	if won == 0 || len(got) != 1+won || len(got[0].Body) != won || got[0].Version != uint64(1+won) {
		t.Fatalf("%d updates were committed and left %+v", won, got)
	}
	for _, r := range got[1:] {
		if r.Version != 1 {
			t.Fatalf("%s was written %d times", r.Key, r.Version)
		}
	}
}
