package audit_test

import (
	"bytes"
	"crypto"
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/iotregistry/sdk/registry/audit"
	"github.com/stretchr/testify/require"
)

func TestVerifyReports(t *testing.T) {
	t.Parallel()
	old, current := p256Key(t, "old"), ed25519Key("current")
	tr := newTrail(t)
	empty := tr.head(old)
	tr.entries(3).head(old)
	last := tr.entries(2).head(current)
	tr.entries(1)
	v := audit.Verifier{Log: zone, Keys: []crypto.PublicKey{old.Public(), current.Public()}}
	want := audit.Report{
		Lines: 6, First: 1, Last: 6, FirstTime: start.Add(1e9), LastTime: start.Add(8e9),
		Chain: tr.chain, Heads: 3, Verified: 3, SignedThrough: 5, Head: &last,
	}
	for how, reader := range map[string]func(io.Reader) io.Reader{
		"at once": func(r io.Reader) io.Reader { return r }, "byte by byte": iotest.OneByteReader, "error with data": iotest.DataErrReader,
	} {
		got, err := v.Verify(reader(strings.NewReader(tr.String())))
		require.NoError(t, err, how)
		require.Equal(t, want, *got, how)
	}
	got, err := verify(v, strings.TrimSuffix(tr.String(), "\n"))
	require.NoError(t, err, "the last line end may be missing")
	require.Equal(t, want, *got)

	v.AtLeast = &empty
	_, err = verify(v, tr.String())
	require.NoError(t, err, "every trail contains its empty one")

	v.Keys, want.Verified, want.SignedThrough = nil, 0, 0
	got, err = verify(v, tr.String())
	require.NoError(t, err, "without keys nothing is verified")
	require.Equal(t, want, *got)

	got, err = verify(v, "")
	require.NoError(t, err)
	require.Equal(t, audit.Report{}, *got)
}

func TestVerifyContinues(t *testing.T) {
	t.Parallel()
	key := ed25519Key("a")
	tr := newTrail(t).entries(3)
	kept := tr.head(key)
	first := len(tr.lines)
	tr.entries(2).head(key)
	rest := join(tr.lines[first:])
	from, err := kept.Chain()
	require.NoError(t, err)
	v := audit.Verifier{Log: zone, Keys: []crypto.PublicKey{key.Public()}, From: from, AtLeast: &kept, RequireHead: true}
	report, err := verify(v, rest)
	require.NoError(t, err)
	require.Equal(t, []uint64{4, 5, 5}, []uint64{report.First, report.Last, report.SignedThrough})
	require.Equal(t, tr.chain, report.Chain)

	_, err = verify(v, join(tr.lines[first+1:]))
	require.ErrorIs(t, err, audit.ErrGap)
	_, err = verify(v, tr.String())
	require.ErrorIs(t, err, audit.ErrGap, "the export must begin behind From")
	v.From.Hash[0] ^= 1
	_, err = verify(v, rest)
	require.ErrorIs(t, err, audit.ErrHead, "From and AtLeast contradict each other")
	v.AtLeast = nil
	_, err = verify(v, rest)
	require.ErrorIs(t, err, audit.ErrChain, "another trail was there before")
}

func TestVerifierSetup(t *testing.T) {
	t.Parallel()
	h := newTrail(t).entries(1).chain.Head(zone, start)
	foreign := h
	foreign.Log = "other.example"
	for _, c := range []struct {
		rule string
		v    audit.Verifier
		err  error
	}{
		{"no log", audit.Verifier{}, audit.ErrSetup},
		{"RequireHead without keys", audit.Verifier{Log: zone, RequireHead: true}, audit.ErrSetup},
		{"no kind of key we know", audit.Verifier{Log: zone, Keys: []crypto.PublicKey{"x"}}, audit.ErrKey},
		{"AtLeast before From", audit.Verifier{Log: zone, AtLeast: &h, From: audit.Chain{Seq: 2}}, audit.ErrSetup},
		{"AtLeast of another log", audit.Verifier{Log: zone, AtLeast: &foreign}, audit.ErrSetup},
		{"AtLeast is empty", audit.Verifier{Log: zone, AtLeast: &audit.Head{Log: zone}}, audit.ErrSetup},
	} {
		report, err := verify(c.v, "")
		require.ErrorIs(t, err, c.err, c.rule)
		require.NotNil(t, report, c.rule)
	}
}

func TestVerifyIsBounded(t *testing.T) {
	t.Parallel()
	const before = `{"time":"2026-01-02T03:04:05Z","x":"`
	full := before + strings.Repeat("x", audit.MaxEntry-len(before)-2) + `"}`
	tr := newTrail(t).entries(1).raw(full).entries(1)
	tr.head(nil)
	tr.head(nil)
	v := audit.Verifier{Log: zone}
	report, err := verify(v, tr.String())
	require.NoError(t, err)
	require.EqualValues(t, 3, report.Lines)

	for _, c := range []struct {
		rule   string
		limits audit.Limits
		export io.Reader
		line   int
	}{
		{"an entry too large", audit.Limits{}, strings.NewReader(newTrail(t).raw(full[:len(full)-2] + `x"}`).String()), 1},
		{"a line that never ends", audit.Limits{}, endless{}, 1},
		{"a line that never ends, after another", audit.Limits{}, io.MultiReader(strings.NewReader(tr.lines[0]+"\n"), endless{}), 2},
		{"the caller's limit of bytes", audit.Limits{Line: 1000}, strings.NewReader(tr.String()), 2},
		{"the caller's limit of bytes, a short line", audit.Limits{Line: 10}, strings.NewReader(tr.String()), 1},
		{"a limit above ours", audit.Limits{Line: 2 * audit.MaxLine}, endless{}, 1},
		{"the caller's limit of entries", audit.Limits{Lines: 2}, strings.NewReader(tr.String()), 3},
		{"the caller's limit of heads", audit.Limits{Heads: 1}, strings.NewReader(tr.String()), 5},
	} {
		v.Limits = c.limits
		_, err := v.Verify(c.export)
		require.ErrorIs(t, err, audit.ErrTooLarge, c.rule)
		var typed *audit.Error
		require.ErrorAs(t, err, &typed, c.rule)
		require.Equal(t, c.line, typed.Line, c.rule)
	}
	v.Limits = audit.Limits{Line: audit.MaxLine, Lines: 3, Heads: 2}
	_, err = verify(v, tr.String())
	require.NoError(t, err, "limits that just suffice")
}

// endless gives the same byte for ever.
type endless struct{}

func (endless) Read(b []byte) (int, error) { return copy(b, bytes.Repeat([]byte("x"), len(b))), nil }

func TestVerifyReturnsTheReadersError(t *testing.T) {
	t.Parallel()
	tr := newTrail(t).entries(2)
	for _, broken := range []error{errors.New("cable pulled"), fmt.Errorf("wrapped: %w", io.EOF), io.ErrUnexpectedEOF} {
		for _, cut := range []int{0, 10, len(tr.lines[0]) + 1, len(tr.String())} {
			report, err := (&audit.Verifier{Log: zone}).Verify(io.MultiReader(strings.NewReader(tr.String()[:cut]), iotest.ErrReader(broken)))
			require.ErrorIs(t, err, broken, "after %d bytes", cut)
			require.EqualValues(t, strings.Count(tr.String()[:cut], "\n"), report.Lines)
		}
	}
}

func TestErrorsSayWhere(t *testing.T) {
	t.Parallel()
	tr := newTrail(t).entries(2)
	tr.head(nil)
	tr.entries(1)
	report, err := verify(audit.Verifier{Log: zone}, strings.Replace(tr.String(), "1000000000000003", "1000000000000009", 1))
	require.EqualError(t, err, "audit: line 4: entry 3: hash differs from the computed one: this entry or one before it was changed")
	require.Equal(t, &audit.Error{Line: 4, Seq: 3, Err: audit.ErrChain}, err)
	require.EqualValues(t, 2, report.Lines, "what held before")
	require.NotNil(t, report.Head)
}
