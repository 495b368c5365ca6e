package audit_test

import (
	"strings"
	"testing"

	"github.com/iotregistry/sdk/registry/audit"
	"github.com/stretchr/testify/require"
)

func TestLinesAreVerbatim(t *testing.T) {
	t.Parallel()
	for _, entry := range []string{
		`{"time":"2026-01-02T03:04:05Z","op":"<raw & unescaped>"}`,
		`{"time":"2026-01-02T03:04:05Z","op":"\u003cescaped \u0026 odd\u003E \/"}`,
		`{"n":1.0E+2,"time":"2026-01-02T03:04:05.000Z"}`,
		"{\"time\":\"2026-01-02T03:04:05Z\",\"op\":\"\u2028\"}",
	} {
		tr := newTrail(t).raw(entry)
		line, err := audit.ParseLine([]byte(tr.lines[0]))
		require.NoError(t, err)
		require.Equal(t, entry, string(line.Entry))
		require.Equal(t, tr.lines[0], string(line.AppendJSON(nil)))
		_, err = verify(audit.Verifier{Log: zone}, tr.String())
		require.NoError(t, err)
	}
}

func TestParseLineCopies(t *testing.T) {
	t.Parallel()
	b := []byte(newTrail(t).entries(1).lines[0])
	line, err := audit.ParseLine(b)
	require.NoError(t, err)
	want := string(b)
	clear(b)
	require.Equal(t, want, string(line.AppendJSON(nil)))
}

func TestParseLineRefuses(t *testing.T) {
	t.Parallel()
	const entry = `{"time":"2026-01-02T03:04:05Z"}`
	hash := strings.Repeat("0a", 32)
	line := func(seq, hash, rest string) string { return `{"seq":` + seq + `,"hash":"` + hash + `","entry":` + rest }
	_, err := audit.ParseLine([]byte(line("18446744073709551615", hash, entry+"}")))
	require.NoError(t, err)
	for rule, bad := range map[string]string{
		"nothing":                 "",
		"no JSON":                 "x",
		"a head":                  `{"head":{}}`,
		"sequence number 0":       line("0", hash, entry+"}"),
		"a leading zero":          line("01", hash, entry+"}"),
		"a sign":                  line("+1", hash, entry+"}"),
		"a negative number":       line("-1", hash, entry+"}"),
		"a fraction":              line("1.0", hash, entry+"}"),
		"2 to the 64":             line("18446744073709551616", hash, entry+"}"),
		"a number in quotes":      line(`"1"`, hash, entry+"}"),
		"no number":               line("", hash, entry+"}"),
		"capital digits":          line("1", strings.ToUpper(hash), entry+"}"),
		"a short hash":            line("1", hash[2:], entry+"}"),
		"a long hash":             line("1", hash+"00", entry+"}"),
		"no hash digits":          line("1", strings.Repeat("zz", 32), entry+"}"),
		"no entry":                line("1", hash, "}"),
		"entry null":              line("1", hash, "null}"),
		"not closed":              line("1", hash, entry),
		"a member more":           line("1", hash, entry+`,"x":1}`),
		"an object more":          line("1", hash, entry+`,"x":{}}`),
		"entry twice":             line("1", hash, entry+`,"entry":`+entry+`}`),
		"a member more, in front": `{"x":1,` + line("1", hash, entry+"}")[1:],
		"other order":             `{"hash":"` + hash + `","seq":1,"entry":` + entry + `}`,
		"data behind":             line("1", hash, entry+"}{}"),
		"a brace behind":          line("1", hash, entry+"}}"),
		"a blank behind":          line("1", hash, entry+"} "),
		"a blank inside":          line(" 1", hash, entry+"}"),
		"a line end":              line("1", hash, entry+"}\n"),
		"a carriage return":       line("1", hash, entry+"}\r"),
		"a byte order mark":       "\ufeff" + line("1", hash, entry+"}"),
	} {
		_, err := audit.ParseLine([]byte(bad))
		require.ErrorIs(t, err, audit.ErrFormat, rule)
		var typed *audit.Error
		require.ErrorAs(t, err, &typed, rule)
	}
	_, err = audit.ParseLine(make([]byte, audit.MaxLine+1))
	require.ErrorIs(t, err, audit.ErrTooLarge)
}
