package audit_test

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/iotregistry/sdk/registry/audit"
	"github.com/stretchr/testify/require"
)

func TestEntryComesBackAsItWas(t *testing.T) {
	t.Parallel()
	e := audit.Entry{
		Time: start.In(time.FixedZone("", -5*3600)), Actor: "city", Role: "owner", Op: "authcode",
		Detail: map[string]string{"a": "<&>\u2028\u2029\x00é", "": ""},
	}
	b, err := e.Encode()
	require.NoError(t, err)
	require.Contains(t, string(b), `"time":"2026-01-02T03:04:05Z"`, "UTC")
	again, err := audit.ParseEntry(b)
	require.NoError(t, err)
	e.Time = start
	require.Equal(t, e, again)

	var chain audit.Chain
	line := chain.Append(b)
	passed, err := json.Marshal(line)
	require.NoError(t, err)
	require.Equal(t, string(line.AppendJSON(nil)), string(passed), "what Encode wrote survives encoding/json")
}

func TestEntryIsNotEncoded(t *testing.T) {
	t.Parallel()
	many := map[string]string{}
	for i := range 257 {
		many[fmt.Sprint(i)] = ""
	}
	for _, c := range []struct {
		rule string
		e    audit.Entry
		err  error
	}{
		{"without a time", audit.Entry{Op: "x"}, audit.ErrFormat},
		{"without an operation", audit.Entry{Time: start}, audit.ErrFormat},
		{"with a year that RFC 3339 cannot say", audit.Entry{Time: start.AddDate(9000, 0, 0), Op: "x"}, audit.ErrFormat},
		{"with names that become equal", audit.Entry{Time: start, Op: "x", Detail: map[string]string{"\xff": "", "\xfe": ""}}, audit.ErrFormat},
		{"with too many details", audit.Entry{Time: start, Op: "x", Detail: many}, audit.ErrFormat},
		{"too large", audit.Entry{Time: start, Op: strings.Repeat("x", audit.MaxEntry)}, audit.ErrTooLarge},
	} {
		_, err := c.e.Encode()
		require.ErrorIs(t, err, c.err, c.rule)
	}
	delete(many, "0")
	_, err := audit.Entry{Time: start, Op: "x", Detail: many}.Encode()
	require.NoError(t, err, "256 are allowed")
}

func TestParseEntry(t *testing.T) {
	t.Parallel()
	const at = `"time":"2026-01-02T03:04:05.123456789+01:00"`
	for _, c := range []struct {
		rule, entry string
		ok          bool
	}{
		{"the least", `{` + at + `}`, true},
		{"members unknown today", `{` + at + `,"v2_x":[1,-2.5e3,true,null,"",{},[]]}`, true},
		{"equal names in different objects", `{"a":{"b":1},"b":{"b":1},` + at + `}`, true},
		{"escapes of any kind", `{` + at + `,"op":"\"\\\/\b\f\n\r\t\u00e9\ud83d\ude00"}`, true},
		{"depth 8", `{` + at + `,"a":` + strings.Repeat("[", 7) + strings.Repeat("]", 7) + `}`, true},
		{"depth 9", `{` + at + `,"a":` + strings.Repeat("[", 8) + strings.Repeat("]", 8) + `}`, false},
		{"array of 256", `{` + at + `,"a":[` + strings.Repeat("1,", 255) + `1]}`, true},
		{"array of 257", `{` + at + `,"a":[` + strings.Repeat("1,", 256) + `1]}`, false},
		{"nothing", ``, false},
		{"no object", `[` + at + `]`, false},
		{"a string", `"x"`, false},
		{"cut off", `{` + at, false},
		{"two objects", `{` + at + `}{}`, false},
		{"no time", `{"op":"x"}`, false},
		{"a time deeper down only", `{"a":{` + at + `}}`, false},
		{"a time of the wrong type", `{"time":1}`, false},
		{"no time of RFC 3339", `{"time":"2026-01-02 03:04:05Z"}`, false},
		{"the time null", `{"time":null}`, false},
		{"the zero time", `{"time":"0001-01-01T00:00:00Z"}`, false},
		{"a name twice", `{` + at + `,"a":1,"a":2}`, false},
		{"a name twice below", `{` + at + `,"a":{"b":1,"b":2}}`, false},
		{"a name twice, once escaped", `{` + at + `,"a":{"b":1,"\u0062":2}}`, false},
		{"a name twice, in an array", `{` + at + `,"a":[{"b":1,"b":2}]}`, false},
		{"a name in capitals", `{"Time":"2026-01-02T03:04:05Z",` + at + `}`, false},
		{"a name with an escape", `{"\u0074ime":"2026-01-02T03:04:05Z"}`, false},
		{"a name that Go takes for op's k", "{" + at + ",\"to\u212Aen\":1}", false},
		{"an empty name", `{` + at + `,"":1}`, false},
		{"a blank before", ` {` + at + `}`, false},
		{"a blank after", `{` + at + `} `, false},
		{"a blank after {", `{ ` + at + `}`, false},
		{"a blank before }", `{` + at + ` }`, false},
		{"a blank before :", `{"a" :1,` + at + `}`, false},
		{"a blank after :", `{"a": 1,` + at + `}`, false},
		{"a blank after ,", `{` + at + `, "a":1}`, false},
		{"a blank after a number", `{"a":1 ,` + at + `}`, false},
		{"a blank in []", `{"a":[ ],` + at + `}`, false},
		{"a blank in {}", `{"a":{ },` + at + `}`, false},
		{"a line end", "{\"a\":1,\n" + at + `}`, false},
		{"invalid UTF-8", "{" + at + ",\"a\":\"\xff\"}", false},
		{"a control character", "{" + at + ",\"a\":\"\x01\"}", false},
	} {
		e, err := audit.ParseEntry([]byte(c.entry))
		if c.ok {
			require.NoError(t, err, c.rule)
			require.Equal(t, 123456789, e.Time.Nanosecond(), c.rule)
			continue
		}
		require.ErrorIs(t, err, audit.ErrFormat, c.rule)
	}
	_, err := audit.ParseEntry([]byte(`{` + at + `,"op":1}`))
	require.ErrorIs(t, err, audit.ErrFormat, "types as in Entry")
}
