package smdptest

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/iotregistry/sdk/mno/smdp"
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
		case !errors.Is(err, smdp.ErrChanged):
			t.Fatalf("writer %d: got error %v, want smdp.ErrChanged", w, err)
		}
	}
	if at < 0 {
		t.Fatal("nobody has won")
	}
	return at
}

func oneWinner(t *testing.T, s smdp.Store) {
	const rounds = 10
	put(t, s, smdp.Profile{ICCID: "1"})
	for round := range uint64(rounds) {
		won := winner(t, atOnce(func(w int) error {
			return s.Put(t.Context(), smdp.Profile{ICCID: "1", Type: fmt.Sprint(w), MatchingID: fmt.Sprint("M", w), Version: round + 1,
				Download: smdp.Download{Transactions: []string{fmt.Sprint(w)}}})
		}))
		p := find(t, s, smdp.Query{ICCID: "1"})
		if p.Type != fmt.Sprint(won) || p.Version != round+2 {
			t.Fatalf("writer %d has won, the record is writer %s's at version %d", won, p.Type, p.Version)
		}
		for w := range writers {
			want := ""
			if w == won {
				want = "1"
			}
			finds(t, s, smdp.Query{MatchingID: fmt.Sprint("M", w)}, want)
			finds(t, s, smdp.Query{Transaction: fmt.Sprint(w)}, want)
		}
	}
}

func oneClaim(t *testing.T, s smdp.Store) {
	for round := range 5 {
		claim := func(q smdp.Query, make func(w int) smdp.Profile) {
			t.Helper()
			won := winner(t, atOnce(func(w int) error {
				p := make(w)
				p.Type = fmt.Sprint(w)
				return s.Put(t.Context(), p)
			}))
			if p := find(t, s, q); p.Type != fmt.Sprint(won) {
				t.Fatalf("writer %d has won, the record is writer %s's", won, p.Type)
			}
		}
		iccid, matching, device := fmt.Sprint("I", round), fmt.Sprint("M", round), id(t, fmt.Sprint(1000+round))
		claim(smdp.Query{ICCID: iccid}, func(int) smdp.Profile { return smdp.Profile{ICCID: iccid} })
		claim(smdp.Query{MatchingID: matching}, func(w int) smdp.Profile {
			return smdp.Profile{ICCID: fmt.Sprint("M", round, w), MatchingID: matching}
		})
		claim(smdp.Query{Device: device}, func(w int) smdp.Profile {
			return smdp.Profile{ICCID: fmt.Sprint("D", round, w), Device: device, ProfileID: 11}
		})
		// Records that are there already claim as well.
		own := make([]smdp.Profile, writers)
		for w := range own {
			own[w] = smdp.Profile{ICCID: fmt.Sprint("O", round, w)}
		}
		put(t, s, own...)
		claim(smdp.Query{MatchingID: matching + "x"}, func(w int) smdp.Profile {
			return smdp.Profile{ICCID: own[w].ICCID, MatchingID: matching + "x", Version: 1}
		})
	}
}

func disjoint(t *testing.T, s smdp.Store) {
	const each = 20
	for _, err := range atOnce(func(w int) error {
		for i := range each {
			iccid := fmt.Sprintf("%02d-%02d", i, w)
			for {
				err := s.Put(t.Context(), smdp.Profile{ICCID: iccid, MatchingID: iccid}, smdp.Profile{ICCID: iccid + "x"})
				if err == nil {
					break
				}
				if !errors.Is(err, smdp.ErrChanged) {
					return err
				}
			}
			if err := repeat(t.Context(), s, iccid, func(p *smdp.Profile) { p.Type = "done" }); err != nil {
				return err
			}
		}
		return nil
	}) {
		if err != nil {
			t.Fatal(err)
		}
	}
	for w := range writers {
		for i := range each {
			iccid := fmt.Sprintf("%02d-%02d", i, w)
			if p := find(t, s, smdp.Query{MatchingID: iccid}); p.Type != "done" || p.Version != 2 {
				t.Fatalf("%s has type %q and version %d", iccid, p.Type, p.Version)
			}
		}
	}
}

func counted(t *testing.T, s smdp.Store) {
	const each = 10
	put(t, s, smdp.Profile{ICCID: "1"})
	for w, err := range atOnce(func(int) error {
		for range each {
			if err := repeat(t.Context(), s, "1", func(p *smdp.Profile) { p.Download.CodeTries++ }); err != nil {
				return err
			}
		}
		return nil
	}) {
		if err != nil {
			t.Fatalf("writer %d: %v", w, err)
		}
	}
	if p := find(t, s, smdp.Query{ICCID: "1"}); p.Download.CodeTries != each*writers || p.Version != each*writers+1 {
		t.Fatalf("%d changes are counted at version %d, want %d", p.Download.CodeTries, p.Version, each*writers)
	}
}

// crossing writers each change two records, some in one order and some in the
// other. They may lose to each other, but a record never gets ahead of its pair.
func crossing(t *testing.T, s smdp.Store) {
	put(t, s, smdp.Profile{ICCID: "1"}, smdp.Profile{ICCID: "2"})
	wins := make([]int, writers)
	for w, err := range atOnce(func(w int) error {
		for range 20 {
			a, err := s.Find(t.Context(), smdp.Query{ICCID: "1"})
			if err != nil {
				return err
			}
			b := a
			b.ICCID = "2"
			ps := []smdp.Profile{a, b}
			if w%2 == 1 {
				ps[0], ps[1] = b, a
			}
			switch err := s.Put(t.Context(), ps...); {
			case err == nil:
				wins[w]++
			case !errors.Is(err, smdp.ErrChanged):
				return err
			}
		}
		return nil
	}) {
		if err != nil {
			t.Fatalf("writer %d: %v", w, err)
		}
	}
	won := uint64(1)
	for _, n := range wins {
		won += uint64(n)
	}
	one, two := find(t, s, smdp.Query{ICCID: "1"}), find(t, s, smdp.Query{ICCID: "2"})
	if one.Version != won || two.Version != won || won == 1 {
		t.Fatalf("versions %d and %d after %d that have won", one.Version, two.Version, won-1)
	}
}

func ended(t *testing.T, s smdp.Store) {
	put(t, s, smdp.Profile{ICCID: "1", MatchingID: "M", Type: "as it is"})
	cancelled, stop := context.WithCancel(t.Context())
	stop()
	late, stop := context.WithDeadline(t.Context(), time.Unix(0, 0))
	defer stop()
	for ctx, want := range map[context.Context]error{cancelled: context.Canceled, late: context.DeadlineExceeded} {
		for _, q := range []smdp.Query{{ICCID: "1"}, {MatchingID: "M"}, {ICCID: "none"}, {}, {Transaction: "\xff"}} {
			if _, err := s.Find(ctx, q); !errors.Is(err, want) {
				t.Errorf("Find %+v: got error %v, want %v", q, err, want)
			}
		}
		for _, ps := range [][]smdp.Profile{{{ICCID: "2"}}, {{ICCID: "1", Version: 1}}, {{ICCID: "1", Version: 9}}, {{ICCID: "2"}, {ICCID: "2"}}, {}} {
			if err := s.Put(ctx, ps...); !errors.Is(err, want) {
				t.Errorf("Put of %d: got error %v, want %v", len(ps), err, want)
			}
		}
	}
	finds(t, s, smdp.Query{ICCID: "2"}, "")
	if p := find(t, s, smdp.Query{ICCID: "1"}); p.Version != 1 {
		t.Errorf("version %d after calls that were stopped", p.Version)
	}
	put(t, s, smdp.Profile{ICCID: "1", Version: 1})
}
