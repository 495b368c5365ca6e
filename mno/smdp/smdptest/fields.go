package smdptest

import (
	"slices"
	"testing"

	"github.com/iotregistry/sdk/mno"
	"github.com/iotregistry/sdk/mno/internal/fieldtest"
	"github.com/iotregistry/sdk/mno/smdp"
)

// full returns a profile in which nothing is zero but Version.
func full(t *testing.T, iccid string, seed int) smdp.Profile {
	t.Helper()
	var p smdp.Profile
	fieldtest.Fill(t, &p, seed)
	p.ICCID, p.State, p.Version = iccid, mno.Released+mno.State(seed/1000%2), 0
	return p
}

func same(t *testing.T, got, want smdp.Profile) {
	t.Helper()
	fieldtest.Same(t, got, want)
}

func everyField(t *testing.T, s smdp.Store) {
	ps := []smdp.Profile{full(t, "1", 0), full(t, "2", 1000)}
	for range 3 {
		put(t, s, ps...)
		for i := range ps {
			ps[i].Version++
			same(t, find(t, s, smdp.Query{ICCID: ps[i].ICCID}), ps[i])
			same(t, find(t, s, smdp.Query{MatchingID: ps[i].MatchingID}), ps[i])
			same(t, find(t, s, smdp.Query{Device: ps[i].Device, ProfileID: ps[i].ProfileID}), ps[i])
			same(t, find(t, s, smdp.Query{EUICC: ps[i].EUICC}), ps[i])
			for _, id := range ps[i].Download.Transactions {
				same(t, find(t, s, smdp.Query{Transaction: id}), ps[i])
			}
			next := full(t, ps[i].ICCID, 5000*int(ps[i].Version)+1000*i)
			next.Version = ps[i].Version
			ps[i] = next
		}
	}
}

// unset is not the same as empty: no CodeHash means that there is no code.
func unset(t *testing.T, s smdp.Store) {
	for version := range uint64(2) {
		p := smdp.Profile{ICCID: "1", Version: version}
		put(t, s, p)
		p.Version++
		got := find(t, s, smdp.Query{ICCID: "1"})
		same(t, got, p)
		if !got.Changed.IsZero() {
			t.Errorf("Changed is %v", got.Changed)
		}
	}
}

func replaced(t *testing.T, s smdp.Store) {
	p := full(t, "1", 0)
	put(t, s, p)
	put(t, s, smdp.Profile{ICCID: "1", Version: 1})
	same(t, find(t, s, smdp.Query{ICCID: "1"}), smdp.Profile{ICCID: "1", Version: 2})
	for _, q := range []smdp.Query{{MatchingID: p.MatchingID}, {Device: p.Device}, {EUICC: p.EUICC}, {Transaction: p.Download.Transactions[0]}} {
		finds(t, s, q, "")
	}
	p.Version = 2
	put(t, s, p)
	p.Version = 3
	same(t, find(t, s, smdp.Query{ICCID: "1"}), p)
}

func copies(t *testing.T, s smdp.Store) {
	want := full(t, "1", 0)
	ps := []smdp.Profile{want, {ICCID: "2", Type: "second"}}
	put(t, s, ps...)
	ps[0].Type, ps[0].Download.CodeTries, ps[0].Sealed, ps[1] = "changed by its caller", 7, nil, smdp.Profile{}
	want.Version = 1
	got := find(t, s, smdp.Query{ICCID: "1"})
	same(t, got, want)
	got.Type, got.Failure, got.Download.Bound = "changed by its reader", nil, nil
	got.Download.Transactions = slices.Clip(got.Download.Transactions)
	got.Download.Transactions = append(got.Download.Transactions, "0F")
	same(t, find(t, s, smdp.Query{ICCID: "1"}), want)
	finds(t, s, smdp.Query{Transaction: "0F"}, "")
	if p := find(t, s, smdp.Query{ICCID: "2"}); p.Type != "second" {
		t.Errorf("the second record has type %q", p.Type)
	}
}

func large(t *testing.T, s smdp.Store) {
	p := full(t, "1", 0)
	for _, b := range []*[]byte{&p.Download.Bound, &p.Sealed} {
		*b = make([]byte, 1<<20)
		for i := range *b {
			(*b)[i] = byte(i * i >> 7)
		}
	}
	for range 2 {
		put(t, s, p)
		p.Version++
		same(t, find(t, s, smdp.Query{ICCID: "1"}), p)
	}
}
