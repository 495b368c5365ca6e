package eimsql_test

import (
	"encoding/json"
	"errors"
	"flag"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/iotregistry/sdk/mno/eim"
	"github.com/iotregistry/sdk/mno/eim/eimsql"
)

var update = flag.Bool("update", false, "write testdata")

// stored is what body.json has been made of.
func stored() eim.Record {
	at, number := time.Date(2026, 11, 25, 12, 0, 0, 1, time.UTC), int64(0)
	return eim.Record{
		Certificate: []byte{0, 255}, AssociationToken: 1<<62 + 1, Counter: 3,
		Queue: []eim.Job{{
			ID: "0A", Download: &eim.Download{ActivationCode: "1$smdp.example$SECRET", DefaultSMDP: true, ICCID: "8944476500001224158", Enable: true, Rollback: true},
			State: eim.Offered, Attempts: 1, Added: at, After: 5,
		}},
		History: []eim.Job{{
			ID: "0B", Steps: []eim.Step{{Action: eim.ActionEnable, ICCID: "8944476500001224158", Rollback: true, Address: "smdp.example", Tried: true, Code: 2}},
			Parent: "0A", Refresh: true, State: eim.Failed, Proven: true, Failure: "why", ICCID: "8944476500001224158", Added: at, Ended: at.Add(time.Hour),
			Counter: 2, Package: []byte{1}, Replayed: true, Sequence: &number,
		}},
		Profiles: []eim.Profile{{ICCID: "8944476500001224158", Enabled: true, Name: "iot", ServiceProvider: "telco", Nickname: "é"}},
		Listed:   at, Stale: true, Renewed: at, Seen: at, Sequence: 8,
	}
}

// What programs have stored is read for ever: the names of members must not
// change. A new field is added to the file.
func TestStoredBody(t *testing.T) {
	t.Parallel()
	path := filepath.Join("testdata", "body.json")
	now, err := eimsql.Encode(stored())
	require.NoError(t, err)
	if *update {
		require.NoError(t, os.WriteFile(path, append(now, '\n'), 0o600))
	}
	before, err := os.ReadFile(path)
	require.NoError(t, err)
	require.JSONEq(t, string(before), string(now))
	r, err := eimsql.Decode(before)
	require.NoError(t, err)
	require.Equal(t, stored(), r)
}

func TestDamagedBody(t *testing.T) {
	t.Parallel()
	for rule, text := range map[string]string{
		"nothing":             ``,
		"no object":           `[]`,
		"cut off":             `{"queue":[{"id":"secret`,
		"more behind it":      `{}{}`,
		"of a newer program":  `{"secret":1}`,
		"a member twice":      `{"counter":1,"Counter":2}`,
		"another type":        `{"certificate":"secret!"}`,
		"no such time":        `{"seen":"secret"}`,
		"no whole number":     `{"counter":1.5}`,
		"nested too deep":     `{"queue":[{"steps":[{"iccid":[["secret"]]}]}]}`,
		"bytes that are none": "{\"queue\":[{\"id\":\"\xff\"}]}",
	} {
		_, err := eimsql.Decode([]byte(text))
		require.ErrorIs(t, err, eimsql.ErrDamaged, rule)
		require.NotContains(t, err.Error(), "secret", rule)
	}
}

// What is read from a damaged column is an error, or a record that can be stored
// and read again.
func FuzzBody(f *testing.F) {
	good, err := eimsql.Encode(stored())
	require.NoError(f, err)
	f.Add(good)
	for _, s := range []string{`{}`, `{"queue":[],"history":[{"steps":[]}]}`, `{"seen":"2026-11-25T12:00:00+23:59"}`,
		`{"queue":[{"download":{},"sequence":0,"package":""}]}`, `{"queue":[{"id":"\u0000"}]}`} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		r, err := eimsql.Decode(data)
		if err != nil {
			require.ErrorIs(t, err, eimsql.ErrDamaged)
			require.Equal(t, eimsql.ErrDamaged.Error(), err.Error(), "nothing of the text")
			return
		}
		again, err := eimsql.Encode(r)
		var no *json.MarshalerError
		if errors.As(err, &no) {
			return // a time that is in the year 10000 of UTC
		}
		if err != nil {
			require.ErrorContains(t, err, "NUL", "the ID of a job that no column holds")
			return
		}
		q, err := eimsql.Decode(again)
		require.NoError(t, err)
		last, err := eimsql.Encode(q)
		require.NoError(t, err)
		require.Equal(t, again, last)
	})
}
