package smdptest

import (
	"fmt"
	"testing"

	"github.com/iotregistry/sdk/mno"
	"github.com/iotregistry/sdk/mno/smdp"
)

func versions(t *testing.T, s smdp.Store) {
	p := []smdp.Profile{{ICCID: "1"}, {ICCID: "2"}}
	for want := uint64(1); want < 5; want++ {
		put(t, s, p...)
		for i := range p {
			if p[i].Version != want-1 {
				t.Fatalf("Put changed its caller's version to %d", p[i].Version)
			}
			if p[i] = find(t, s, smdp.Query{ICCID: p[i].ICCID}); p[i].Version != want {
				t.Fatalf("version %d of %s, want %d", p[i].Version, p[i].ICCID, want)
			}
		}
	}
}

func otherVersion(t *testing.T, s smdp.Store) {
	put(t, s, smdp.Profile{ICCID: "1", Type: "as it is"})
	put(t, s, smdp.Profile{ICCID: "1", Type: "as it is", Version: 1})
	put(t, s, smdp.Profile{ICCID: "1", Type: "as it is", Version: 2})
	for _, v := range []uint64{0, 1, 2, 4, 1 << 62, 1 << 63, 1<<64 - 1} {
		refused(t, s, fmt.Sprintf("version %d of 3", v), smdp.Profile{ICCID: "1", Type: "other", Version: v})
	}
	for _, v := range []uint64{1, 1<<64 - 1} {
		refused(t, s, fmt.Sprintf("version %d of nothing", v), smdp.Profile{ICCID: "2", Version: v})
	}
	if p := find(t, s, smdp.Query{ICCID: "1"}); p.Version != 3 || p.Type != "as it is" {
		t.Errorf("version %d, type %q after what was refused", p.Version, p.Type)
	}
	finds(t, s, smdp.Query{ICCID: "2"}, "")
}

func taken(t *testing.T, s smdp.Store) {
	a, b := id(t, "1000000000000001"), id(t, "1000000000000002")
	put(t, s, smdp.Profile{ICCID: "1", Device: a, ProfileID: 11, MatchingID: "M1"}, smdp.Profile{ICCID: "2", Device: b, ProfileID: 11, MatchingID: "M2"},
		smdp.Profile{ICCID: "0", ProfileID: 11})
	for rule, p := range map[string]smdp.Profile{
		"a new one with a matching ID that is taken":                {ICCID: "3", MatchingID: "M1"},
		"a new one with a device and profile ID that are taken":     {ICCID: "3", Device: a, ProfileID: 11},
		"a new one with no device, whose profile ID is taken":       {ICCID: "3", ProfileID: 11},
		"a matching ID that is taken":                               {ICCID: "2", Device: b, ProfileID: 11, MatchingID: "M1", Version: 1},
		"a device and profile ID that are taken":                    {ICCID: "2", Device: a, ProfileID: 11, MatchingID: "M2", Version: 1},
		"a matching ID that is taken, and nothing else is the same": {ICCID: "2", MatchingID: "M1", Version: 1},
		"an ICCID that is taken":                                    {ICCID: "1"},
	} {
		refused(t, s, rule, p)
		finds(t, s, smdp.Query{ICCID: "3"}, "")
		finds(t, s, smdp.Query{MatchingID: "M1"}, "1")
		finds(t, s, smdp.Query{MatchingID: "M2"}, "2")
		finds(t, s, smdp.Query{Device: a, ProfileID: 11}, "1")
		finds(t, s, smdp.Query{Device: b, ProfileID: 11}, "2")
	}
	// Its own values are no obstacle to a record, and neither is half of a pair.
	put(t, s, smdp.Profile{ICCID: "1", Device: a, ProfileID: 11, MatchingID: "M1", Version: 1})
	put(t, s, smdp.Profile{ICCID: "3", Device: a, ProfileID: 12}, smdp.Profile{ICCID: "4", Device: id(t, "3"), ProfileID: 11})
}

func twice(t *testing.T, s smdp.Store) {
	a := id(t, "1000000000000001")
	put(t, s, smdp.Profile{ICCID: "1"}, smdp.Profile{ICCID: "2"})
	for rule, ps := range map[string][]smdp.Profile{
		"a new ICCID":             {{ICCID: "3"}, {ICCID: "4"}, {ICCID: "3"}},
		"an ICCID":                {{ICCID: "1", Version: 1}, {ICCID: "1", Version: 1}},
		"an ICCID in a row":       {{ICCID: "1", Version: 1}, {ICCID: "1", Version: 2}},
		"a new ICCID in a row":    {{ICCID: "3"}, {ICCID: "3", Version: 1}},
		"a matching ID":           {{ICCID: "1", MatchingID: "M", Version: 1}, {ICCID: "2", MatchingID: "M", Version: 1}},
		"a new matching ID":       {{ICCID: "3", MatchingID: "M"}, {ICCID: "4", MatchingID: "M"}},
		"a matching ID, half new": {{ICCID: "3", MatchingID: "M"}, {ICCID: "1", MatchingID: "M", Version: 1}},
		"a new device and ID":     {{ICCID: "3", Device: a, ProfileID: 1}, {ICCID: "4", Device: a, ProfileID: 1}},
		"a device and ID":         {{ICCID: "1", Device: a, ProfileID: 1, Version: 1}, {ICCID: "2", Device: a, ProfileID: 1, Version: 1}},
	} {
		refused(t, s, rule, ps...)
		for iccid, version := range map[string]uint64{"1": 1, "2": 1} {
			if got := find(t, s, smdp.Query{ICCID: iccid}).Version; got != version {
				t.Errorf("%s: version %d of %s", rule, got, iccid)
			}
		}
		for _, q := range []smdp.Query{{ICCID: "3"}, {ICCID: "4"}, {MatchingID: "M"}, {Device: a}} {
			finds(t, s, q, "")
		}
	}
}

func nobodys(t *testing.T, s smdp.Store) {
	a := id(t, "1000000000000001")
	put(t, s, smdp.Profile{ICCID: "1"}, smdp.Profile{ICCID: "2"}, smdp.Profile{ICCID: "3", Device: a}, smdp.Profile{ICCID: "4", Device: a})
	put(t, s, smdp.Profile{ICCID: "5"}, smdp.Profile{ICCID: "6", Device: a}, smdp.Profile{ICCID: "1", Device: a, Version: 1})
	finds(t, s, smdp.Query{Device: a}, "")
}

func freed(t *testing.T, s smdp.Store) {
	a, b := id(t, "1000000000000001"), id(t, "1000000000000002")
	put(t, s, smdp.Profile{ICCID: "1", Device: a, ProfileID: 11, MatchingID: "M1"})
	put(t, s, smdp.Profile{ICCID: "1", Device: b, ProfileID: 12, MatchingID: "M2", Version: 1})
	for _, q := range []smdp.Query{{MatchingID: "M1"}, {Device: a}, {Device: a, ProfileID: 11}, {Device: b, ProfileID: 11}} {
		finds(t, s, q, "")
	}
	for _, q := range []smdp.Query{{MatchingID: "M2"}, {Device: b}, {Device: b, ProfileID: 12}} {
		finds(t, s, q, "1")
	}
	put(t, s, smdp.Profile{ICCID: "2", Device: a, ProfileID: 11, MatchingID: "M1"})
	put(t, s, smdp.Profile{ICCID: "1", Version: 2})
	put(t, s, smdp.Profile{ICCID: "3", Device: b, ProfileID: 12, MatchingID: "M2"})
	finds(t, s, smdp.Query{Device: b}, "3")
	finds(t, s, smdp.Query{MatchingID: "M2"}, "3")
}

func allOrNothing(t *testing.T, s smdp.Store) {
	a := id(t, "1000000000000001")
	old := smdp.Profile{ICCID: "old", MatchingID: "M", Type: "as it is", Download: smdp.Download{Transactions: []string{"0A"}}}
	put(t, s, old, smdp.Profile{ICCID: "taken"})
	changed := smdp.Profile{ICCID: "old", MatchingID: "N", Type: "other", Version: 1, Download: smdp.Download{Transactions: []string{"0B"}}}
	fresh := smdp.Profile{ICCID: "new", MatchingID: "new", Device: a, ProfileID: 1, EUICC: a, State: mno.Released, Download: smdp.Download{Transactions: []string{"0C"}}}
	good := []smdp.Profile{changed, fresh}
	for i := range 300 { // more than an implementation may write at once
		good = append(good, smdp.Profile{ICCID: fmt.Sprint(i), MatchingID: fmt.Sprint("M", i)})
	}
	for _, bad := range []smdp.Profile{{ICCID: "taken"}, {ICCID: "taken", Version: 2}, {ICCID: "none", Version: 1}, {ICCID: "zzz", MatchingID: "M299"}} {
		for _, at := range []int{0, 1, 150, len(good)} {
			ps := append(append(append([]smdp.Profile(nil), good[:at]...), bad), good[at:]...)
			refused(t, s, fmt.Sprintf("%s version %d at %d", bad.ICCID, bad.Version, at), ps...)
		}
		for _, q := range []smdp.Query{{ICCID: "new"}, {MatchingID: "new"}, {MatchingID: "N"}, {Device: a}, {EUICC: a}, {ICCID: "0"},
			{ICCID: "299"}, {MatchingID: "M7"}, {Transaction: "0B"}, {Transaction: "0C"}} {
			finds(t, s, q, "")
		}
		finds(t, s, smdp.Query{MatchingID: "M"}, "old")
		finds(t, s, smdp.Query{Transaction: "0A"}, "old")
		if p := find(t, s, smdp.Query{ICCID: "old"}); p.Type != old.Type || p.Version != 1 {
			t.Fatalf("type %q, version %d after what was refused", p.Type, p.Version)
		}
	}
	put(t, s, good...)
	finds(t, s, smdp.Query{MatchingID: "M299"}, "299")
}

func putNothing(t *testing.T, s smdp.Store) {
	put(t, s)
	finds(t, s, smdp.Query{}, "")
}

func thousand(t *testing.T, s smdp.Store) {
	const n = 1001
	ps := make([]smdp.Profile, n)
	for i := range ps {
		ps[i] = smdp.Profile{ICCID: fmt.Sprintf("%04d", (i*7919)%n), MatchingID: fmt.Sprint("M", i), Type: fmt.Sprint(i)}
	}
	put(t, s, ps...)
	for i := 0; i < n; i += 50 {
		p := find(t, s, smdp.Query{MatchingID: fmt.Sprint("M", i)})
		if p.ICCID != ps[i].ICCID || p.Type != ps[i].Type || p.Version != 1 {
			t.Fatalf("got %s of type %s, want %s of type %s", p.ICCID, p.Type, ps[i].ICCID, ps[i].Type)
		}
	}
}
