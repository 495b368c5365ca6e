// Package registrytest checks that a [registry.Store] keeps its contract. It
// uses plain package testing, so that makers of other stores can run it:
//
//	func TestStore(t *testing.T) {
//		registrytest.TestStore(t, registrytest.Harness{New: func(t *testing.T) registry.Store { ... }})
//	}
package registrytest

import (
	"context"
	"errors"
	"fmt"
	"math"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/iotregistry/sdk/registry"
)

// Harness says how to make the stores under test.
type Harness struct {
	// New returns an empty store and arranges for its end with t.Cleanup.
	New func(t *testing.T) registry.Store

	// Reopen returns a store on what s has kept, as after a crash: s is not
	// closed first. What it returns may be reopened in turn. Nil for a store that
	// keeps nothing.
	Reopen func(t *testing.T, s registry.Store) registry.Store
}

// TestStore runs every case, each on a fresh store, named after the rule it
// checks.
func TestStore(t *testing.T, h Harness) {
	for _, c := range []struct {
		rule string
		run  func(*testing.T, Harness)
	}{
		{"a record comes back as it was put", roundTrip},
		{"an empty body is a body", emptyBody},
		{"a missing key is no error", missing},
		{"Put refuses a version that was not read", versions},
		{"one record of many that conflicts is found", manyConflicts},
		{"a failed update leaves nothing", atomic},
		{"a transaction sees its own writes", ownWrites},
		{"keys are ordered as bytes", byteOrder},
		{"List pages by key and parent", paging},
		{"paging while others write skips and repeats nothing old", pagingWhileWriting},
		{"a changed parent moves the record", reparent},
		{"of five workers one wins", oneWinner},
		{"concurrent increments all count", increments},
		{"of two that read what the other writes one wins", writeSkew},
		{"of two that find nothing and add one wins", phantom},
		{"a repeated update starts clean", cleanRetry},
		{"a deleted key begins again at version 1", recreated},
		{"a view sees one moment", oneMoment},
		{"a view refuses writes", readOnly},
		{"an unknown table is refused", unknownTable},
		{"a record needs a key", needsKey},
		{"a list has a limit of its own", maxLimit},
		{"an update that panics leaves nothing", panics},
		{"a cancelled context changes nothing", cancelled},
		{"a cancelled context ends what is running", cancelledInside},
		{"a body of a megabyte survives", largeBody},
		{"what was committed survives a crash", reopen},
		{"what was refused stays away after a crash", crash},
	} {
		t.Run(strings.ReplaceAll(c.rule, " ", "_"), func(t *testing.T) { c.run(t, h) })
	}
}

const devices = registry.TableDevices

func put(t *testing.T, s registry.Store, recs ...registry.Record) {
	t.Helper()
	err := s.Update(t.Context(), func(tx registry.Tx) error { return tx.Put(t.Context(), devices, recs...) })
	if err != nil {
		t.Fatalf("Put: %v", err)
	}
}

func list(t *testing.T, s registry.Store, q registry.Query) []registry.Record {
	t.Helper()
	var out []registry.Record
	err := s.View(t.Context(), func(tx registry.Tx) (err error) {
		out, err = tx.List(t.Context(), devices, q)
		return err
	})
	if err != nil {
		t.Fatalf("List: %v", err)
	}
	return out
}

func keysOf(recs []registry.Record) []string {
	var out []string
	for _, r := range recs {
		out = append(out, r.Key)
	}
	return out
}

func wantKeys(t *testing.T, got []registry.Record, want ...string) {
	t.Helper()
	if !slices.Equal(keysOf(got), want) {
		t.Fatalf("keys: got %q, want %q", keysOf(got), want)
	}
}

func wantErr(t *testing.T, err, want error) {
	t.Helper()
	if !errors.Is(err, want) {
		t.Fatalf("error: got %v, want %v", err, want)
	}
}

func rec(key, parent, body string) registry.Record {
	return registry.Record{Key: key, Parent: parent, Body: []byte(body)}
}

func roundTrip(t *testing.T, h Harness) {
	s := h.New(t)
	const odd = "{\"name\":\"Ōttawa 🅿️ \\u0000 'quoted' \"}"
	put(t, s, rec("a", "p", odd))
	got := list(t, s, registry.Query{})
	wantKeys(t, got, "a")
	if r := got[0]; r.Parent != "p" || r.Version != 1 || string(r.Body) != odd {
		t.Fatalf("got %+v", r)
	}
	got[0].Body[0] = 'X' // what a caller does to its copy is its own affair
	if again := list(t, s, registry.Query{}); string(again[0].Body) != odd {
		t.Fatalf("the stored body changed with the caller's copy")
	}
}

func emptyBody(t *testing.T, h Harness) {
	s := h.New(t)
	put(t, s, registry.Record{Key: "a"})
	if got := list(t, s, registry.Query{}); len(got) != 1 || len(got[0].Body) != 0 {
		t.Fatalf("got %+v", got)
	}
}

func missing(t *testing.T, h Harness) {
	s := h.New(t)
	put(t, s, rec("b", "", "{}"))
	err := s.Update(t.Context(), func(tx registry.Tx) error {
		got, err := tx.Get(t.Context(), devices, "c", "b", "a", "b")
		if err != nil {
			return err
		}
		wantKeys(t, got, "b")
		if got, err := tx.Get(t.Context(), devices); err != nil || len(got) != 0 {
			return fmt.Errorf("a Get of no keys: %v, %v", got, err)
		}
		return tx.Delete(t.Context(), devices, "nothing")
	})
	if err != nil {
		t.Fatal(err)
	}
}

func versions(t *testing.T, h Harness) {
	s := h.New(t)
	put(t, s, rec("a", "", "1"))
	for _, v := range []uint64{0, 2, 7, math.MaxInt64, math.MaxUint64} {
		r := rec("a", "", "2")
		r.Version = v
		err := s.Update(t.Context(), func(tx registry.Tx) error { return tx.Put(t.Context(), devices, r) })
		wantErr(t, err, registry.ErrConflict)
	}
	r := rec("new", "", "2")
	r.Version = 1
	err := s.Update(t.Context(), func(tx registry.Tx) error { return tx.Put(t.Context(), devices, r) })
	wantErr(t, err, registry.ErrConflict)

	r = rec("a", "", "2")
	r.Version = 1
	put(t, s, r)
	if got := list(t, s, registry.Query{}); len(got) != 1 || got[0].Version != 2 || string(got[0].Body) != "2" {
		t.Fatalf("got %+v", got)
	}
}

// manyConflicts puts so many records at once that a store may write them
// together, among them one that is not as it was read.
func manyConflicts(t *testing.T, h Harness) {
	const n = 130
	s := h.New(t)
	old := make([]registry.Record, n)
	for i := range old {
		old[i] = rec(fmt.Sprintf("old%03d", i), "p", "{}")
	}
	put(t, s, old...)
	for i := range old {
		old[i].Version = 1
	}
	for _, c := range []struct {
		name string
		at   int
		bad  registry.Record
	}{
		{"exists", 5, rec("old007", "", "{}")}, {"exists, last", n - 1, rec("old007", "", "{}")},
		{"new twice", 40, rec("new039", "", "{}")},
		{"not there", 70, registry.Record{Key: "none", Version: 1}}, {"older", 70, registry.Record{Key: "old007", Version: 2}},
	} {
		recs := make([]registry.Record, n)
		for i := range recs {
			recs[i] = rec(fmt.Sprintf("new%03d", i), "p", "{}")
		}
		recs[c.at] = c.bad
		for _, recs := range [][]registry.Record{recs, append(slices.Clone(old[10:]), c.bad)} {
			if c.name == "new twice" && recs[0].Version != 0 {
				continue // once, after old ones
			}
			err := s.Update(t.Context(), func(tx registry.Tx) error { return tx.Put(t.Context(), devices, recs...) })
			if !errors.Is(err, registry.ErrConflict) {
				t.Fatalf("%s: got %v, want a conflict", c.name, err)
			}
		}
	}
	if got := list(t, s, registry.Query{}); len(got) != n {
		t.Fatalf("%d records, want the %d of before", len(got), n)
	}
	put(t, s, append(slices.Clone(old), rec("new", "", "{}"))...)
}

func atomic(t *testing.T, h Harness) {
	s := h.New(t)
	put(t, s, rec("kept", "", "{}"))
	boom := errors.New("boom")
	err := s.Update(t.Context(), func(tx registry.Tx) error {
		if err := tx.Put(t.Context(), devices, rec("a", "", "{}")); err != nil {
			return err
		}
		if err := tx.Delete(t.Context(), devices, "kept"); err != nil {
			return err
		}
		return boom
	})
	wantErr(t, err, boom)
	wantKeys(t, list(t, s, registry.Query{}), "kept")
}

func ownWrites(t *testing.T, h Harness) {
	s := h.New(t)
	put(t, s, rec("b", "p", "{}"), rec("d", "p", "{}"))
	err := s.Update(t.Context(), func(tx registry.Tx) error {
		ctx := t.Context()
		if err := tx.Put(ctx, devices, rec("a", "p", "{}"), rec("c", "q", "{}")); err != nil {
			return err
		}
		if err := tx.Delete(ctx, devices, "b"); err != nil {
			return err
		}
		got, err := tx.List(ctx, devices, registry.Query{})
		if err != nil {
			return err
		}
		wantKeys(t, got, "a", "c", "d")
		if got, err = tx.List(ctx, devices, registry.Query{Parent: "p"}); err != nil {
			return err
		}
		wantKeys(t, got, "a", "d")
		// A deleted key is new again.
		return tx.Put(ctx, devices, rec("b", "", "again"))
	})
	if err != nil {
		t.Fatal(err)
	}
	wantKeys(t, list(t, s, registry.Query{}), "a", "b", "c", "d")
}

// byteOrder has keys that other orders would place elsewhere: languages, numbers,
// and UTF-16, where the last two change places.
func byteOrder(t *testing.T, h Harness) {
	s := h.New(t)
	sorted := []string{"10", "9", "B", "_", "a", "a\x01", "a-", "ab", "é", "\uFFFD", "🅿"}
	for _, i := range []int{4, 2, 0, 10, 1, 8, 3, 7, 5, 9, 6} {
		put(t, s, rec(sorted[i], "p", ""))
	}
	for i, key := range sorted {
		for _, parent := range []string{"", "p"} {
			wantKeys(t, list(t, s, registry.Query{After: key, Parent: parent}), sorted[i+1:]...)
		}
	}
	wantKeys(t, list(t, s, registry.Query{}), sorted...)
	reversed := slices.Clone(sorted)
	slices.Reverse(reversed)
	err := s.View(t.Context(), func(tx registry.Tx) error {
		got, err := tx.Get(t.Context(), devices, reversed...)
		if err == nil {
			wantKeys(t, got, sorted...)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
}

func paging(t *testing.T, h Harness) {
	s := h.New(t)
	var recs []registry.Record
	for i := range 25 {
		recs = append(recs, rec(fmt.Sprintf("%02d", i), []string{"even", "odd"}[i%2], "{}"))
	}
	put(t, s, recs...)
	var all []string
	for after, pages := "", 0; ; pages++ {
		page := list(t, s, registry.Query{Parent: "odd", After: after, Limit: 5})
		if len(page) == 0 {
			break
		}
		if pages > 10 {
			t.Fatalf("paging does not end; keys so far: %q", all)
		}
		all = append(all, keysOf(page)...)
		after = all[len(all)-1]
	}
	if len(all) != 12 || all[0] != "01" || all[11] != "23" || !slices.IsSorted(all) {
		t.Fatalf("pages: %q", all)
	}
}

func pagingWhileWriting(t *testing.T, h Harness) {
	s := h.New(t)
	for i := range 20 {
		put(t, s, rec(fmt.Sprintf("%02d0", i), "", "{}"))
	}
	seen := map[string]int{}
	for after, n := "", 0; ; n++ {
		page := list(t, s, registry.Query{After: after, Limit: 3})
		if len(page) == 0 {
			break
		}
		if n > 100 {
			t.Fatalf("paging does not end after %q", after)
		}
		for _, r := range page {
			seen[r.Key]++
			after = r.Key
		}
		put(t, s, rec(fmt.Sprintf("%02d5", n), "", "{}"))
	}
	for i := range 20 {
		if key := fmt.Sprintf("%02d0", i); seen[key] != 1 {
			t.Fatalf("%s was seen %d times", key, seen[key])
		}
	}
}

func reparent(t *testing.T, h Harness) {
	s := h.New(t)
	put(t, s, rec("a", "old", "{}"))
	r := rec("a", "new", "{}")
	r.Version = 1
	put(t, s, r)
	wantKeys(t, list(t, s, registry.Query{Parent: "old"}))
	wantKeys(t, list(t, s, registry.Query{Parent: "new"}), "a")
}

func oneWinner(t *testing.T, h Harness) {
	s := h.New(t)
	put(t, s, rec("a", "", "{}"))
	var wg sync.WaitGroup
	errs := make([]error, 5)
	for i := range errs {
		wg.Go(func() {
			r := rec("a", fmt.Sprint(i), "{}")
			r.Version = 1
			errs[i] = s.Update(t.Context(), func(tx registry.Tx) error { return tx.Put(t.Context(), devices, r) })
		})
	}
	wg.Wait()
	won := 0
	for _, err := range errs {
		if err == nil {
			won++
		} else {
			wantErr(t, err, registry.ErrConflict)
		}
	}
	if won != 1 {
		t.Fatalf("%d workers won", won)
	}
}

func increments(t *testing.T, h Harness) {
	s := h.New(t)
	put(t, s, rec("n", "", "0"))
	const workers, rounds = 8, 10
	var wg sync.WaitGroup
	errs := make(chan error, workers*rounds)
	for range workers {
		wg.Go(func() {
			for range rounds {
				errs <- s.Update(t.Context(), func(tx registry.Tx) error {
					got, err := tx.Get(t.Context(), devices, "n")
					if err != nil {
						return err
					}
					var n int
					if _, err := fmt.Sscan(string(got[0].Body), &n); err != nil {
						return err
					}
					got[0].Body = fmt.Append(nil, n+1)
					return tx.Put(t.Context(), devices, got...)
				})
			}
		})
	}
	wg.Wait()
	close(errs)
	for err := range errs {
		if err != nil {
			t.Fatal(err)
		}
	}
	if got := list(t, s, registry.Query{}); len(got) != 1 || string(got[0].Body) != fmt.Sprint(workers*rounds) {
		t.Fatalf("counted %s of %d", bodies(got), workers*rounds)
	}
}

// oneMoment writes two records that are always equal and reads them one after
// the other.
func oneMoment(t *testing.T, h Harness) {
	s := h.New(t)
	betweenReads(t, s)
	const rounds = 200
	var wg sync.WaitGroup
	defer wg.Wait()
	wrote := make(chan error, 1)
	wg.Go(func() {
		for i := range rounds {
			err := s.Update(t.Context(), func(tx registry.Tx) error {
				a, b := rec("a", "", fmt.Sprint(i)), rec("b", "", fmt.Sprint(i))
				a.Version, b.Version = uint64(i), uint64(i)
				return tx.Put(t.Context(), devices, a, b)
			})
			if err != nil {
				wrote <- err
				return
			}
		}
		close(wrote)
	})
	for {
		var pair [2][]registry.Record
		err := s.View(t.Context(), func(tx registry.Tx) (err error) {
			for i, key := range []string{"a", "b"} {
				if pair[i], err = tx.Get(t.Context(), devices, key); err != nil {
					return err
				}
			}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
		if a, b := fmt.Sprintf("%s", bodies(pair[0])), fmt.Sprintf("%s", bodies(pair[1])); a != b {
			t.Fatalf("a view saw %s and then %s", a, b)
		}
		select {
		case err := <-wrote:
			if err != nil {
				t.Fatal(err)
			}
			return
		default:
		}
	}
}

// betweenReads has an update come between the two reads of a view, where a store
// lets it. One that makes updates wait for views is given a moment to show it.
func betweenReads(t *testing.T, s registry.Store) {
	t.Helper()
	put(t, s, rec("c", "", "old"), rec("d", "", "old"))
	wrote := make(chan error, 1)
	var seen []string
	err := s.View(t.Context(), func(tx registry.Tx) error {
		first, err := tx.Get(t.Context(), devices, "c")
		if err != nil {
			return err
		}
		go func() {
			wrote <- s.Update(t.Context(), func(tx registry.Tx) error {
				c, d := rec("c", "", "new"), rec("d", "", "new")
				c.Version, d.Version = 1, 1
				return tx.Put(t.Context(), devices, c, d)
			})
		}()
		select {
		case err := <-wrote:
			wrote <- err
		case <-time.After(200 * time.Millisecond):
		}
		second, err := tx.Get(t.Context(), devices, "d")
		seen = append(bodies(first), bodies(second)...)
		return err
	})
	if err := errors.Join(err, <-wrote); err != nil {
		t.Fatal(err)
	}
	if !slices.Equal(seen, []string{"old", "old"}) {
		t.Fatalf("a view saw %q", seen)
	}
}

func bodies(recs []registry.Record) []string {
	var out []string
	for _, r := range recs {
		out = append(out, string(r.Body))
	}
	return out
}

func needsKey(t *testing.T, h Harness) {
	s := h.New(t)
	err := s.Update(t.Context(), func(tx registry.Tx) error { return tx.Put(t.Context(), devices, rec("", "p", "{}")) })
	wantErr(t, err, registry.ErrInvalid)
	wantKeys(t, list(t, s, registry.Query{}))
}

// maxLimit also shows that a store takes that many keys at once.
func maxLimit(t *testing.T, h Harness) {
	s := h.New(t)
	recs := make([]registry.Record, registry.MaxLimit+1)
	keys := make([]string, len(recs))
	for i := range recs {
		keys[i] = fmt.Sprintf("%06d", i)
		recs[i] = rec(keys[i], "p", "{}")
	}
	put(t, s, recs...)
	for _, q := range []registry.Query{{}, {Parent: "p"}, {Limit: -1}, {Limit: registry.MaxLimit + 1}} {
		if n := len(list(t, s, q)); n != registry.MaxLimit {
			t.Fatalf("%+v: %d records, want %d", q, n, registry.MaxLimit)
		}
	}
	err := s.Update(t.Context(), func(tx registry.Tx) error {
		got, err := tx.Get(t.Context(), devices, keys...)
		if err == nil && len(got) != len(keys) {
			err = fmt.Errorf("got %d of %d records", len(got), len(keys))
		}
		if err != nil {
			return err
		}
		return tx.Delete(t.Context(), devices, keys...)
	})
	if err != nil {
		t.Fatal(err)
	}
	wantKeys(t, list(t, s, registry.Query{}))
}

// panics also ends a goroutine inside an update, as a failing test does.
func panics(t *testing.T, h Harness) {
	s := h.New(t)
	half := func(then func()) {
		_ = s.Update(t.Context(), func(tx registry.Tx) error {
			if err := tx.Put(t.Context(), devices, rec("half", "", "{}")); err != nil {
				return err
			}
			then()
			return nil
		})
	}
	func() {
		defer func() {
			if got := recover(); got != "mine" {
				t.Errorf("recovered %v: the panic must reach the caller", got)
			}
		}()
		// The panic is what is tested.
		half(func() { panic("mine") })
	}()
	var wg sync.WaitGroup
	wg.Go(func() { half(runtime.Goexit) })
	wg.Wait()
	put(t, s, rec("after", "", "{}"))
	wantKeys(t, list(t, s, registry.Query{}), "after")
}

func readOnly(t *testing.T, h Harness) {
	s := h.New(t)
	err := s.View(t.Context(), func(tx registry.Tx) error { return tx.Put(t.Context(), devices, rec("a", "", "{}")) })
	wantErr(t, err, registry.ErrReadOnly)
	err = s.View(t.Context(), func(tx registry.Tx) error { return tx.Delete(t.Context(), devices, "a") })
	wantErr(t, err, registry.ErrReadOnly)
	wantKeys(t, list(t, s, registry.Query{}))
}

func unknownTable(t *testing.T, h Harness) {
	s := h.New(t)
	err := s.Update(t.Context(), func(tx registry.Tx) error {
		_, err := tx.Get(t.Context(), "devices; DROP TABLE devices", "a")
		return err
	})
	wantErr(t, err, registry.ErrTable)
}

func cancelled(t *testing.T, h Harness) {
	s := h.New(t)
	ctx, cancel := context.WithCancel(t.Context())
	err := s.Update(ctx, func(tx registry.Tx) error {
		if err := tx.Put(ctx, devices, rec("a", "", "{}")); err != nil {
			return err
		}
		cancel()
		return nil
	})
	wantErr(t, err, context.Canceled)
	wantErr(t, s.Update(ctx, func(registry.Tx) error { return nil }), context.Canceled)
	wantErr(t, s.View(ctx, func(registry.Tx) error { return nil }), context.Canceled)
	wantKeys(t, list(t, s, registry.Query{}))
}

func largeBody(t *testing.T, h Harness) {
	s := h.New(t)
	body := strings.Repeat("0123456789abcdef", 1<<16)
	put(t, s, rec("a", "", body))
	if got := list(t, s, registry.Query{}); len(got) != 1 || string(got[0].Body) != body {
		t.Fatal("the body changed")
	}
}
