package smdpsql_test

import (
	"encoding/json"
	"errors"
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/iotregistry/sdk/mno"
	"github.com/iotregistry/sdk/mno/mnotest"
	"github.com/iotregistry/sdk/mno/smdp"
	"github.com/iotregistry/sdk/mno/smdp/smdpsql"
)

var update = flag.Bool("update", false, "write testdata")

// stored is what body.json has been made of.
func stored(t testing.TB) smdp.Profile {
	return smdp.Profile{
		Type: "iot", State: mno.Downloaded, Owner: "registry", EUICC: mnotest.ID(t, "89049032123451234512345678901235"),
		Sealed: []byte("sealed \x00\xff"), SealedSum: [32]byte{1, 31: 32}, ByDevice: true, CodeHash: []byte("secret hash"), SMDSAddress: "smds.example",
		Told: mno.PointDownload, Failure: &mno.StatusError{Subject: "8.8.5", Reason: "4.10", Identifier: "8999901", Message: "late"},
		Changed: time.Date(2026, 11, 25, 12, 0, 0, 1, time.UTC),
		Download: smdp.Download{CodeTries: 1, Transactions: []string{"0A", "0B"}, EUICC: []byte("certificate"), OneTimeKey: []byte("key"),
			Metadata: []byte("metadata"), Bound: []byte("secret package"), Sequence: 1<<62 + 1},
	}
}

// What programs have stored is read for ever: the numbers of states and points
// and the names of members must not change. A new field is added to the file.
func TestStoredBody(t *testing.T) {
	t.Parallel()
	path := filepath.Join("testdata", "body.json")
	now, err := smdpsql.Encode(stored(t))
	require.NoError(t, err)
	if *update {
		require.NoError(t, os.WriteFile(path, append(now, '\n'), 0o600))
	}
	before, err := os.ReadFile(path)
	require.NoError(t, err)
	require.JSONEq(t, string(before), string(now))
	p, err := smdpsql.Decode(before)
	require.NoError(t, err)
	require.Equal(t, stored(t), p)
}

func TestDamagedBody(t *testing.T) {
	t.Parallel()
	for rule, text := range map[string]string{
		"nothing":             ``,
		"no object":           `[]`,
		"no JSON":             `{"bound`,
		"cut off":             `{"codeHash":"c2VjcmV0`,
		"more behind it":      `{}{}`,
		"of a newer program":  `{"secret":1}`,
		"a member twice":      `{"owner":"secret","Owner":"b"}`,
		"another type":        `{"codeHash":"secret!"}`,
		"no such device":      `{"euicc":"secret"}`,
		"no such time":        `{"changed":"secret"}`,
		"too large a number":  `{"state":256}`,
		"a sum of 31 bytes":   `{"sealedSum":"` + strings.Repeat("A", 40) + `AA=="}`,
		"nested too deep":     `{"download":{"transactions":[[[["secret"]]]]}}`,
		"bytes that are none": "{\"owner\":\"\xff\"}",
	} {
		_, err := smdpsql.Decode([]byte(text))
		require.ErrorIs(t, err, smdpsql.ErrDamaged, rule)
		require.NotContains(t, err.Error(), "secret", rule)
	}
}

// A damaged row is an error that names it and shows nothing of it.
func TestDamagedRow(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, pool opener) {
		db := pool(t)
		s := open(t, db)
		for rule, change := range map[string]string{
			"a body":       "body = $2",
			"a device":     "device = $2",
			"a profile ID": "profile_id = $2",
		} {
			iccid := rule
			require.NoError(t, s.Put(t.Context(), smdp.Profile{ICCID: iccid}))
			var secret any = "secret"
			if rule == "a body" {
				secret = []byte("{secret")
			}
			_, err := db.ExecContext(t.Context(), "UPDATE smdp_profiles SET "+change+" WHERE iccid = $1", iccid, secret)
			require.NoError(t, err, rule)
			_, err = s.Find(t.Context(), smdp.Query{ICCID: iccid})
			require.ErrorIs(t, err, smdpsql.ErrDamaged, rule)
			require.ErrorContains(t, err, iccid)
			require.NotContains(t, err.Error(), "secret")
		}
	})
}

// What is read from a damaged column is an error, or a profile that can be stored
// and read again.
func FuzzBody(f *testing.F) {
	good, err := smdpsql.Encode(stored(f))
	require.NoError(f, err)
	f.Add(good)
	for _, s := range []string{`{}`, `{"state":9,"told":-1}`, `{"changed":"2026-11-25T12:00:00+23:59"}`, `{"download":{"bound":"","transactions":[]}}`,
		`{"failure":{},"sealed":"","sealedSum":""}`, `{"changed":"9999-12-31T23:59:59-01:00"}`, `{"type":"\ud800"}`} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		p, err := smdpsql.Decode(data)
		if err != nil {
			require.ErrorIs(t, err, smdpsql.ErrDamaged)
			require.Equal(t, smdpsql.ErrDamaged.Error(), err.Error(), "nothing of the text")
			return
		}
		again, err := smdpsql.Encode(p)
		var no *json.MarshalerError
		if errors.As(err, &no) {
			return // a time that is in the year 10000 of UTC
		}
		require.NoError(t, err)
		q, err := smdpsql.Decode(again)
		require.NoError(t, err)
		require.True(t, p.Changed.Equal(q.Changed))
		p.Changed, q.Changed = time.Time{}, time.Time{}
		require.Equal(t, p, q)
	})
}
