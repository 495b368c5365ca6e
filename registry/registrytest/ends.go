package registrytest

import (
	"context"
	"errors"
	"testing"

	"github.com/iotregistry/sdk/registry"
)

// recreated deletes a record that has a history. Its key begins anew, and who
// still holds the old version is refused.
func recreated(t *testing.T, h Harness) {
	s := h.New(t)
	r := rec("a", "old", "1")
	put(t, s, r)
	r.Version = 1
	put(t, s, r)
	update := func(fn func(tx registry.Tx) error) error { return s.Update(t.Context(), fn) }
	if err := update(func(tx registry.Tx) error { return tx.Delete(t.Context(), devices, "a") }); err != nil {
		t.Fatal(err)
	}
	wantKeys(t, list(t, s, registry.Query{}))
	for _, v := range []uint64{1, 2} {
		r.Version = v
		wantErr(t, update(func(tx registry.Tx) error { return tx.Put(t.Context(), devices, r) }), registry.ErrConflict)
	}
	put(t, s, rec("a", "new", "2"))
	got := list(t, s, registry.Query{})
	if len(got) != 1 || got[0].Version != 1 || got[0].Parent != "new" || string(got[0].Body) != "2" {
		t.Fatalf("got %+v, want version 1 of the new record", got)
	}
	wantKeys(t, list(t, s, registry.Query{Parent: "old"}))

	// So it does within one update.
	err := update(func(tx registry.Tx) error {
		if err := tx.Delete(t.Context(), devices, "a"); err != nil {
			return err
		}
		return tx.Put(t.Context(), devices, rec("a", "", "3"))
	})
	if err != nil {
		t.Fatal(err)
	}
	if got := list(t, s, registry.Query{}); len(got) != 1 || got[0].Version != 1 || string(got[0].Body) != "3" {
		t.Fatalf("got %+v, want version 1 of the third record", got)
	}
}

// cancelledInside gives up in the middle of transactions: each operation says so,
// nothing is kept, and the store goes on.
func cancelledInside(t *testing.T, h Harness) {
	s := h.New(t)
	put(t, s, rec("a", "", "{}"))
	type op = func(context.Context, registry.Tx) error
	get := func(ctx context.Context, tx registry.Tx) error { _, err := tx.Get(ctx, devices, "a"); return err }
	page := func(ctx context.Context, tx registry.Tx) error {
		_, err := tx.List(ctx, devices, registry.Query{})
		return err
	}
	for _, do := range []op{
		get, page,
		func(ctx context.Context, tx registry.Tx) error { return tx.Put(ctx, devices, rec("c", "", "{}")) },
		func(ctx context.Context, tx registry.Tx) error { return tx.Delete(ctx, devices, "a") },
	} {
		ctx, cancel := context.WithCancel(t.Context())
		wantErr(t, s.Update(ctx, func(tx registry.Tx) error {
			if err := tx.Put(ctx, devices, rec("b", "", "{}")); err != nil {
				return err
			}
			cancel()
			return do(ctx, tx)
		}), context.Canceled)
	}
	for _, do := range []op{get, page} {
		ctx, cancel := context.WithCancel(t.Context())
		wantErr(t, s.View(ctx, func(tx registry.Tx) error { cancel(); return do(ctx, tx) }), context.Canceled)
	}
	put(t, s, rec("after", "", "{}"))
	wantKeys(t, list(t, s, registry.Query{}), "a", "after")
}

func reopen(t *testing.T, h Harness) {
	if h.Reopen == nil {
		t.Skip("this store keeps nothing")
	}
	s := h.New(t)
	put(t, s, rec("a", "p", "one"))
	again := h.Reopen(t, s)
	got := list(t, again, registry.Query{Parent: "p"})
	wantKeys(t, got, "a")
	if got[0].Version != 1 || string(got[0].Body) != "one" {
		t.Fatalf("got %+v", got[0])
	}
}

// crash reopens a store with a past: changes, deletions and an update that failed.
func crash(t *testing.T, h Harness) {
	if h.Reopen == nil {
		t.Skip("this store keeps nothing")
	}
	s := h.New(t)
	put(t, s, rec("a", "p", "one"), rec("b", "p", "{}"), rec("c", "p", "{}"))
	changed := rec("a", "q", "two")
	changed.Version = 1
	put(t, s, changed)
	if err := s.Update(t.Context(), func(tx registry.Tx) error { return tx.Delete(t.Context(), devices, "b") }); err != nil {
		t.Fatal(err)
	}
	boom := errors.New("boom")
	wantErr(t, s.Update(t.Context(), func(tx registry.Tx) error {
		return errors.Join(tx.Put(t.Context(), devices, rec("lost", "p", "{}")), tx.Delete(t.Context(), devices, "c"), boom)
	}), boom)

	again := h.Reopen(t, s)
	wantKeys(t, list(t, again, registry.Query{}), "a", "c")
	wantKeys(t, list(t, again, registry.Query{Parent: "p"}), "c")
	// Versions go on where they were.
	wantErr(t, again.Update(t.Context(), func(tx registry.Tx) error { return tx.Put(t.Context(), devices, changed) }), registry.ErrConflict)
	changed.Version = 2
	put(t, again, changed)
	if got := list(t, h.Reopen(t, again), registry.Query{Parent: "q"}); len(got) != 1 || got[0].Version != 3 || string(got[0].Body) != "two" {
		t.Fatalf("got %+v, want version 3 of a", got)
	}
}
