package smdp_test

import (
	"context"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/iotregistry/sdk/mno"
	"github.com/iotregistry/sdk/mno/mnotest"
	"github.com/iotregistry/sdk/mno/smdp"
)

func TestMemory(t *testing.T) {
	t.Parallel()
	var m smdp.Memory
	ctx := t.Context()
	a, b := mnotest.ID(t, "1"), mnotest.ID(t, "2")
	find := func(q smdp.Query) string {
		p, err := m.Find(ctx, q)
		if err != nil {
			require.ErrorIs(t, err, smdp.ErrNotFound)
		}
		return p.ICCID
	}
	require.Empty(t, find(smdp.Query{}))
	require.Empty(t, find(smdp.Query{ICCID: "x"}))
	one := smdp.Profile{ICCID: "i1", Device: a, ProfileID: 5, MatchingID: "M1"}
	require.NoError(t, m.Put(ctx, one))
	require.ErrorIs(t, m.Put(ctx, one), smdp.ErrChanged, "version 0 is new")
	require.NoError(t, m.Put(ctx, smdp.Profile{ICCID: "i2", Device: a, ProfileID: 9}, smdp.Profile{ICCID: "i3", Device: a, ProfileID: 7}))
	require.Equal(t, "i2", find(smdp.Query{Device: a}), "the highest profile ID")
	require.Equal(t, "i3", find(smdp.Query{Device: a, ProfileID: 7}))
	require.Empty(t, find(smdp.Query{Device: a, ProfileID: 6}))
	require.Empty(t, find(smdp.Query{Device: b}))
	require.Equal(t, "i1", find(smdp.Query{MatchingID: "M1"}))

	for rule, ps := range map[string][]smdp.Profile{
		"matching ID taken":        {{ICCID: "n1", MatchingID: "M1"}},
		"device and ID taken":      {{ICCID: "n1", Device: a, ProfileID: 5}},
		"one of two fails":         {{ICCID: "n1"}, one},
		"ICCID twice":              {{ICCID: "n1"}, {ICCID: "n1"}},
		"matching ID twice":        {{ICCID: "n1", MatchingID: "N"}, {ICCID: "n2", MatchingID: "N"}},
		"device and ID twice":      {{ICCID: "n1", Device: b, ProfileID: 1}, {ICCID: "n2", Device: b, ProfileID: 1}},
		"version of what is not":   {{ICCID: "n1", Version: 1}},
		"version is not the last":  {{ICCID: "i1", Version: 2}},
		"version is from the past": {{ICCID: "i1", Version: 0}},
	} {
		require.ErrorIs(t, m.Put(ctx, ps...), smdp.ErrChanged, rule)
		require.Empty(t, find(smdp.Query{ICCID: "n1"}), "%s: all or nothing", rule)
	}

	one, err := m.Find(ctx, smdp.Query{ICCID: "i1"})
	require.NoError(t, err)
	require.Equal(t, uint64(1), one.Version)
	one.Device, one.ProfileID, one.MatchingID, one.State = b, 3, "", mno.Available
	require.NoError(t, m.Put(ctx, one))
	require.Equal(t, "i1", find(smdp.Query{Device: b}))
	require.Empty(t, find(smdp.Query{Device: a, ProfileID: 5}), "old keys are free")
	require.Empty(t, find(smdp.Query{MatchingID: "M1"}))
	one.Version++
	one.ProfileID = 0
	require.NoError(t, m.Put(ctx, one))
	require.Empty(t, find(smdp.Query{Device: b}))

	plain := smdp.Profile{ICCID: "p2", EUICC: a, ByDevice: true, State: mno.Released}
	plain.Download.Transactions = []string{"T1", "T2"}
	require.NoError(t, m.Put(ctx, plain, smdp.Profile{ICCID: "p1", EUICC: a, ByDevice: true, State: mno.Confirmed}))
	require.Equal(t, "p2", find(smdp.Query{EUICC: a}), "the one that may be downloaded")
	require.Empty(t, find(smdp.Query{EUICC: b}))
	for _, id := range plain.Download.Transactions {
		require.Equal(t, "p2", find(smdp.Query{Transaction: id}))
	}
	require.NoError(t, m.Put(ctx, smdp.Profile{ICCID: "p1", EUICC: a, ByDevice: true, State: mno.Released, Version: 1}))
	require.Equal(t, "p1", find(smdp.Query{EUICC: a}), "always the same of several")
	iot := smdp.Profile{ICCID: "p3", Device: b, EUICC: a, ProfileID: 20, State: mno.Released}
	require.NoError(t, m.Put(ctx, iot, smdp.Profile{ICCID: "p0", Device: b, EUICC: a, ProfileID: 19, State: mno.Downloaded}))
	require.Equal(t, "p3", find(smdp.Query{EUICC: a}), "IoT profiles first, and the newest of them")
	iot.State, iot.Version = mno.Installed, 1
	require.NoError(t, m.Put(ctx, iot, smdp.Profile{ICCID: "p0", Version: 1}))
	require.Equal(t, "p1", find(smdp.Query{EUICC: a}))
	require.NoError(t, m.Put(ctx, smdp.Profile{ICCID: "p1", State: mno.Available, Version: 2}, smdp.Profile{ICCID: "p2", State: mno.Available, Version: 1}))
	require.Empty(t, find(smdp.Query{EUICC: a}))
	require.Empty(t, find(smdp.Query{Transaction: "T1"}))

	stopped, stop := context.WithCancel(ctx)
	stop()
	_, err = m.Find(stopped, smdp.Query{ICCID: "i1"})
	require.ErrorIs(t, err, context.Canceled)
	require.ErrorIs(t, m.Put(stopped, smdp.Profile{ICCID: "n"}), context.Canceled)
}
