package smdptest

import (
	"fmt"
	"math"
	"testing"

	"github.com/iotregistry/sdk/mno"
	"github.com/iotregistry/sdk/mno/smdp"
	"github.com/iotregistry/sdk/registry/eid"
)

func notFound(t *testing.T, s smdp.Store) {
	meter := id(t, "1000000000000001")
	queries := []smdp.Query{
		{}, {ICCID: "89000000000000000001"}, {MatchingID: "M"}, {Device: meter}, {Device: meter, ProfileID: 11},
		{Device: meter, ProfileID: math.MaxUint64}, {EUICC: meter}, {Transaction: "0A"},
		{ICCID: "\x00"}, {MatchingID: "M\x00"}, {MatchingID: "\xff"}, {Transaction: "\xff\x00"}, // no text that could be stored
	}
	for range 2 { // in a store that is empty, and in one that has another profile
		for _, q := range queries {
			finds(t, s, q, "")
		}
		other := smdp.Profile{ICCID: "89000000000000000009", State: mno.Released, Device: id(t, "1000000000000002"), EUICC: id(t, "1000000000000002"),
			ProfileID: 1, MatchingID: "N", Download: smdp.Download{Transactions: []string{"0B"}}}
		if _, err := s.Find(t.Context(), smdp.Query{ICCID: other.ICCID}); err != nil {
			put(t, s, other)
		}
	}
}

func findBy(t *testing.T, s smdp.Store) {
	a, b := id(t, "1000000000000001"), id(t, "1000000000000002")
	put(t, s,
		smdp.Profile{ICCID: "1", Device: a, ProfileID: 11, MatchingID: "M1", Download: smdp.Download{Transactions: []string{"0A", "0B"}}},
		smdp.Profile{ICCID: "2", Device: a, ProfileID: 12, MatchingID: "M2"},
		smdp.Profile{ICCID: "3", Device: b, ProfileID: 11})
	for iccid, queries := range map[string][]smdp.Query{
		"1": {{ICCID: "1"}, {MatchingID: "M1"}, {Device: a, ProfileID: 11}, {Transaction: "0A"}, {Transaction: "0B"}},
		"2": {{ICCID: "2"}, {MatchingID: "M2"}, {Device: a, ProfileID: 12}},
		"3": {{ICCID: "3"}, {Device: b, ProfileID: 11}},
		"":  {{Device: b, ProfileID: 12}, {Device: a, ProfileID: 13}, {ProfileID: 11}, {Transaction: "0a0b"}},
	} {
		for _, q := range queries {
			finds(t, s, q, iccid)
		}
	}
}

func highest(t *testing.T, s smdp.Store) {
	a := id(t, "1000000000000001")
	put(t, s, smdp.Profile{ICCID: "none", Device: a})
	finds(t, s, smdp.Query{Device: a}, "")
	for _, n := range []uint64{9, 10, 2, math.MaxInt64, 1 << 63, 1, math.MaxUint64} { // a text or a signed number would order some wrongly
		put(t, s, smdp.Profile{ICCID: fmt.Sprint(n), Device: a, ProfileID: n})
		finds(t, s, smdp.Query{Device: a, ProfileID: n}, fmt.Sprint(n))
		want := map[uint64]string{2: "10", 1: fmt.Sprint(uint64(1 << 63))}[n]
		if want == "" {
			want = fmt.Sprint(n)
		}
		finds(t, s, smdp.Query{Device: a}, want)
	}
}

func precedence(t *testing.T, s smdp.Store) {
	a, b := id(t, "1000000000000001"), id(t, "1000000000000002")
	put(t, s,
		smdp.Profile{ICCID: "1"}, smdp.Profile{ICCID: "2", MatchingID: "M"}, smdp.Profile{ICCID: "3", Device: a, ProfileID: 11},
		smdp.Profile{ICCID: "4", EUICC: b, ByDevice: true, State: mno.Released},
		smdp.Profile{ICCID: "5", Download: smdp.Download{Transactions: []string{"0A"}}})
	q := smdp.Query{ICCID: "1", MatchingID: "M", Device: a, ProfileID: 11, EUICC: b, Transaction: "0A"}
	finds(t, s, q, "1")
	q.ICCID = ""
	finds(t, s, q, "2")
	q.MatchingID = ""
	finds(t, s, q, "3")
	q.Device = eid.ID{}
	finds(t, s, q, "4")
	q.EUICC = eid.ID{}
	finds(t, s, q, "5")
	finds(t, s, smdp.Query{ICCID: "none", MatchingID: "M"}, "")
	finds(t, s, smdp.Query{MatchingID: "none", Device: a}, "")
	finds(t, s, smdp.Query{Device: b, EUICC: b}, "")
}

func waiting(t *testing.T, s smdp.Store) {
	for state := mno.State(0); state <= mno.Unavailable; state++ {
		for kind, p := range []smdp.Profile{{}, {ProfileID: 11}, {ByDevice: true}, {ProfileID: 12, ByDevice: true}} {
			p.ICCID, p.State = fmt.Sprint(int(state)*10+kind), state
			p.Device = id(t, "2"+p.ICCID)
			p.EUICC = id(t, "1"+p.ICCID)
			put(t, s, p)
			want := ""
			if kind > 0 && (state == mno.Released || state == mno.Downloaded) {
				want = p.ICCID
			}
			finds(t, s, smdp.Query{EUICC: p.EUICC}, want)
			finds(t, s, smdp.Query{EUICC: p.Device}, "")
		}
	}
}

func waitingOrder(t *testing.T, s smdp.Store) {
	a := id(t, "1000000000000001")
	n := 0
	wait := func(iccid string, profileID uint64, want string) {
		t.Helper()
		n++
		put(t, s, smdp.Profile{ICCID: iccid, Device: id(t, fmt.Sprint(5000+n)), EUICC: a, ProfileID: profileID, ByDevice: true, State: mno.Released})
		finds(t, s, smdp.Query{EUICC: a}, want)
	}
	wait("30", 0, "30")
	wait("40", 0, "30")
	wait("20", 0, "20")
	wait("90", 9, "90")
	wait("91", 10, "91")
	wait("92", 10, "91")
	wait("9", 10, "9") // before 91 as a text
	wait("8", 2, "9")
	wait("70", math.MaxInt64, "70")
	wait("80", 1<<63, "80")
	wait("71", math.MaxInt64, "80")
}

func waitingChanges(t *testing.T, s smdp.Store) {
	a, b := id(t, "1000000000000001"), id(t, "1000000000000002")
	p := smdp.Profile{ICCID: "1", EUICC: a, ByDevice: true, State: mno.Confirmed}
	change := func(rule string, atA, atB string, f func()) {
		t.Helper()
		f()
		put(t, s, p)
		p.Version++
		t.Log(rule)
		finds(t, s, smdp.Query{EUICC: a}, atA)
		finds(t, s, smdp.Query{EUICC: b}, atB)
	}
	put(t, s, smdp.Profile{ICCID: "2", EUICC: a, ByDevice: true, State: mno.Downloaded})
	change("not released", "2", "", func() {})
	change("released", "1", "", func() { p.State = mno.Released })
	change("downloaded", "1", "", func() { p.State = mno.Downloaded })
	change("for another eUICC", "2", "1", func() { p.EUICC = b })
	change("by matching ID", "2", "", func() { p.ByDevice = false })
	change("with a profile ID", "2", "1", func() { p.Device, p.ProfileID = b, 11 })
	change("for nobody in particular", "2", "", func() { p.EUICC = eid.ID{} })
	change("back again", "1", "", func() { p.EUICC = a })
	change("installed", "2", "", func() { p.State = mno.Installed })
}

func transactions(t *testing.T, s smdp.Store) {
	p := smdp.Profile{ICCID: "1", MatchingID: "M", Download: smdp.Download{Transactions: []string{"0A"}}}
	all := []string{"0A", "0B", "0C"}
	for _, ids := range [][]string{{"0A"}, {"0A", "0B"}, {"0A", "0B", "0C"}, {"0C", "0B"}, {"0A"}, nil, {"0C"}, {"0C"}} {
		p.Download.Transactions = ids
		put(t, s, p)
		p.Version++
		held := map[string]string{}
		for _, id := range ids {
			held[id] = "1"
		}
		for _, id := range all {
			finds(t, s, smdp.Query{Transaction: id}, held[id])
		}
	}
	// Those of one record are not another's.
	put(t, s, smdp.Profile{ICCID: "2", Download: smdp.Download{Transactions: []string{"0D", "0E"}}})
	p.Download.Transactions = nil
	put(t, s, p)
	finds(t, s, smdp.Query{Transaction: "0C"}, "")
	finds(t, s, smdp.Query{Transaction: "0D"}, "2")
	finds(t, s, smdp.Query{Transaction: "0E"}, "2")
}

func exactTexts(t *testing.T, s smdp.Store) {
	texts := []string{"m", "M", "M ", " M", "M%", "_", "'; DROP TABLE x; --", "?", "$1", `"`, `\`, "é", "e\u0301", "Ω≈ç√", "\t\r\n"}
	for i, text := range texts {
		put(t, s, smdp.Profile{ICCID: fmt.Sprint(i), MatchingID: text, Download: smdp.Download{Transactions: []string{text}}})
	}
	for i, text := range texts {
		finds(t, s, smdp.Query{MatchingID: text}, fmt.Sprint(i))
		finds(t, s, smdp.Query{Transaction: text}, fmt.Sprint(i))
	}
	// 007 and 7 are two devices.
	put(t, s, smdp.Profile{ICCID: "long", Device: id(t, "007"), ProfileID: 1}, smdp.Profile{ICCID: "short", Device: id(t, "7"), ProfileID: 1})
	finds(t, s, smdp.Query{Device: id(t, "007")}, "long")
	finds(t, s, smdp.Query{Device: id(t, "7")}, "short")
}
