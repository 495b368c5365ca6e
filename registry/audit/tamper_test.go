package audit_test

import (
	"crypto"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/iotregistry/sdk/registry/audit"
	"github.com/stretchr/testify/require"
)

// The trail that is tampered with: entries 1 to 3, a head, 4 to 6, a head.
type evidence struct {
	lines       []string
	first, last audit.Head
	key         crypto.Signer
}

func newEvidence(t *testing.T) evidence {
	t.Helper()
	e := evidence{key: p256Key(t, "registry")}
	tr := newTrail(t).entries(3)
	e.first = tr.head(e.key)
	e.last = tr.entries(3).head(e.key)
	e.lines = tr.lines
	return e
}

func (e evidence) verifier() audit.Verifier {
	return audit.Verifier{Log: zone, Keys: []crypto.PublicKey{e.key.Public()}, RequireHead: true, AtLeast: &e.last}
}

// resign changes a head and signs it anew, which only the registry can.
func (e evidence) resign(t *testing.T, h audit.Head, key crypto.Signer, change func(*audit.Head)) string {
	t.Helper()
	change(&h)
	require.NoError(t, h.Sign(nil, key))
	return string(h.AppendJSON(nil))
}

func TestTamperingIsSeen(t *testing.T) {
	t.Parallel()
	e := newEvidence(t)
	edit := func(i int, old, with string) []string {
		lines := slices.Clone(e.lines)
		lines[i] = strings.Replace(lines[i], old, with, 1)
		require.NotEqual(t, e.lines[i], lines[i])
		return lines
	}
	set := func(i int, line string) []string {
		lines := slices.Clone(e.lines)
		lines[i] = line
		return lines
	}
	without := func(from, to int) []string { return slices.Delete(slices.Clone(e.lines), from, to) }
	with := func(at int, lines ...string) []string { return slices.Insert(slices.Clone(e.lines), at, lines...) }
	swapped := slices.Clone(e.lines)
	swapped[1], swapped[2] = swapped[2], swapped[1]
	same := func(*audit.Head) {}
	other := p256Key(t, "somebody else")
	forged := newTrail(t).entries(2).raw(`{"time":"2026-01-02T03:04:05Z","op":"forged"}`)
	first, last := string(e.first.AppendJSON(nil)), string(e.last.AppendJSON(nil))
	for _, c := range []struct {
		rule  string
		lines []string
		err   error
		line  int
		alone bool // without the head kept from earlier
	}{
		{"an entry changed", edit(1, "activate", "transfer"), audit.ErrChain, 2, true},
		{"an entry's spelling changed", edit(1, `\u0026`, "&"), audit.ErrChain, 2, true},
		{"a hash changed", edit(2, `"hash":"`+e.first.Hash[:2], `"hash":"`+flip(e.first.Hash[:2])), audit.ErrChain, 3, true},
		{"a number changed", edit(1, `"seq":2`, `"seq":3`), audit.ErrGap, 2, true},
		{"the first dropped", without(0, 1), audit.ErrGap, 1, true},
		{"one dropped", without(1, 2), audit.ErrGap, 2, true},
		{"the last before a head dropped", without(2, 3), audit.ErrHead, 3, true},
		{"one repeated", with(1, e.lines[0]), audit.ErrGap, 2, true},
		{"two swapped", swapped, audit.ErrGap, 2, true},
		{"one inserted, hashed rightly", with(2, forged.lines[2]), audit.ErrGap, 4, true},
		{"one inserted, with a hash that is there", with(2, strings.Replace(e.lines[2], "activate", "transfer", 1)), audit.ErrChain, 3, true},
		{"one replaced, hashed rightly", set(2, forged.lines[2]), audit.ErrHead, 4, true},
		{"another history with its own hashes", append(slices.Clone(forged.lines), e.lines[3:]...), audit.ErrHead, 4, true},
		{"an entry after the last head", with(8, newTrail(t).entries(7).lines[6]), audit.ErrChain, 9, true},
		{"the last head dropped", without(7, 8), audit.ErrUnsigned, 7, true},
		{"all heads dropped", slices.Delete(without(7, 8), 3, 4), audit.ErrUnsigned, 6, true},
		{"everything dropped", nil, audit.ErrUnsigned, 0, true},
		{"everything dropped, but for a head", []string{last}, audit.ErrHead, 1, true},
		{"everything dropped, a trail being known", nil, audit.ErrTruncated, 0, false},
		{"cut back to an earlier head", e.lines[:4], audit.ErrTruncated, 4, false},
		{"a blank line", with(1, ""), audit.ErrFormat, 2, true},
		{"line ends of another system", edit(0, `}}`, "}}\r"), audit.ErrFormat, 1, true},
		{"a foreign line", with(4, `{"note":"trust me"}`), audit.ErrFormat, 5, true},
		{"a head's number changed", edit(3, `"seq":3`, `"seq":2`), audit.ErrHead, 4, true},
		{"a head's hash changed", edit(3, e.first.Hash[:2], flip(e.first.Hash[:2])), audit.ErrHead, 4, true},
		{"a head's time changed", edit(3, `T03:`, `T02:`), audit.ErrSignature, 4, true},
		{"a head's log changed", edit(3, zone, "other.example"), audit.ErrHead, 4, true},
		{"a head's key changed", edit(3, e.first.Key[:2], flip(e.first.Key[:2])), audit.ErrUnknownKey, 4, true},
		{"a head's signature removed", edit(3, first[strings.Index(first, `,"key"`):], "}}"), audit.ErrUnsigned, 4, true},
		{"another head's signature", edit(3, first[strings.Index(first, `"signature"`):], last[strings.Index(last, `"signature"`):]), audit.ErrSignature, 4, true},
		{"a foreign key", set(3, e.resign(t, e.first, other, same)), audit.ErrUnknownKey, 4, true},
		{"another log by the same key", set(3, e.resign(t, e.first, e.key, func(h *audit.Head) { h.Log = "other.example" })), audit.ErrHead, 4, true},
		{"an older head replayed at the end", with(8, first), audit.ErrHead, 9, true},
		{"an older head in place of the last", set(7, first), audit.ErrHead, 8, true},
		{"a head moved up", with(3, last), audit.ErrHead, 4, true},
		{"time goes backwards", set(7, e.resign(t, e.last, e.key, func(h *audit.Head) { h.Time = e.first.Time.Add(-time.Millisecond) })), audit.ErrHead, 8, true},
	} {
		v := e.verifier()
		if c.alone {
			v.AtLeast = nil
		}
		_, err := verify(v, join(c.lines))
		require.ErrorIs(t, err, c.err, c.rule)
		var typed *audit.Error
		require.ErrorAs(t, err, &typed, c.rule)
		require.Equal(t, c.line, typed.Line, "%s: %v", c.rule, err)
	}
	report, err := verify(e.verifier(), join(e.lines))
	require.NoError(t, err)
	require.EqualValues(t, 6, report.SignedThrough)
}

func flip(digits string) string {
	return strings.Map(func(r rune) rune { return rune("123456789abcdef0"[strings.IndexRune("0123456789abcdef", r)]) }, digits)
}

// A registry that signs a second history is seen by whoever kept a head.
func TestSecondHistoryIsSeen(t *testing.T) {
	t.Parallel()
	e := newEvidence(t)
	for _, c := range []struct {
		rule  string
		write func(tr *trail)
		err   error
	}{
		{"rewritten", func(tr *trail) { tr.raw(`{"time":"2026-01-02T03:04:05Z"}`).entries(8) }, audit.ErrHead},
		{"as long", func(tr *trail) { tr.raw(`{"time":"2026-01-02T03:04:05Z"}`).entries(5) }, audit.ErrHead},
		{"shorter", func(tr *trail) { tr.entries(5) }, audit.ErrTruncated},
		{"longer with an older date", func(tr *trail) {
			tr.entries(3).now = start.Add(4e9)
			tr.entries(4).now = start
		}, audit.ErrHead},
		{"shorter with a newer date", func(tr *trail) {
			tr.entries(2).now = start.Add(time.Hour)
			tr.head(e.key)
			tr.now = start.Add(2 * 1e9)
			tr.entries(4)
		}, audit.ErrHead},
	} {
		tr := newTrail(t)
		c.write(tr)
		tr.head(e.key)
		_, err := verify(e.verifier(), tr.String())
		require.ErrorIs(t, err, c.err, c.rule)
	}
}

func TestEveryByteCounts(t *testing.T) {
	t.Parallel()
	e := newEvidence(t)
	v, whole := e.verifier(), []byte(join(e.lines))
	for i := range len(whole) - 1 { // the last line end says nothing
		for _, change := range []byte{0x01, 0x20, 0x80} {
			whole[i] ^= change
			_, err := verify(v, string(whole))
			require.Error(t, err, "byte %d changed by %#x", i, change)
			whole[i] ^= change
		}
		_, err := verify(v, string(whole[:i]))
		require.Error(t, err, "cut to %d bytes", i)
	}
}
