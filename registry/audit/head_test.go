package audit_test

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"encoding/json"
	"errors"
	"io"
	"strings"
	"testing"
	"time"

	"github.com/iotregistry/sdk/registry/audit"
	"github.com/stretchr/testify/require"
)

func TestHeadIsSignedByEitherKind(t *testing.T) {
	t.Parallel()
	p384, err := ecdsa.GenerateKey(elliptic.P384(), rand.Reader)
	require.NoError(t, err)
	other := ed25519Key("other")
	for kind, key := range map[string]crypto.Signer{"Ed25519": ed25519Key("a"), "P-256": p256Key(t, "a"), "P-384": p384} {
		h := newTrail(t).entries(2).chain.Head(zone, start.Add(1999*time.Microsecond))
		require.ErrorIs(t, h.Verify(key.Public()), audit.ErrUnsigned, kind)
		require.NoError(t, h.Sign(nil, key), kind)
		require.NoError(t, h.Verify(key.Public()), kind)
		require.Equal(t, start.Add(time.Millisecond), h.Time)
		id, err := audit.KeyID(key.Public())
		require.NoError(t, err)
		require.Equal(t, id, h.Key)
		require.ErrorIs(t, h.Verify(other.Public()), audit.ErrUnknownKey, kind)

		line := h.AppendJSON(nil)
		again, err := audit.ParseHead(line)
		require.NoError(t, err, kind)
		require.Equal(t, h, again)
		std, err := json.Marshal(map[string]audit.Head{"head": h})
		require.NoError(t, err)
		require.Equal(t, string(std), string(line), "encoding/json writes a head the same way")
		changedHeadsFail(t, h, key.Public())
	}
}

func changedHeadsFail(t *testing.T, h audit.Head, pub crypto.PublicKey) {
	t.Helper()
	for field, change := range map[string]func(*audit.Head){
		"log":       func(h *audit.Head) { h.Log += "x" },
		"seq":       func(h *audit.Head) { h.Seq++ },
		"hash":      func(h *audit.Head) { h.Hash = strings.Repeat("0", 64) },
		"time":      func(h *audit.Head) { h.Time = h.Time.Add(time.Millisecond) },
		"signature": func(h *audit.Head) { h.Signature = append([]byte{h.Signature[0] ^ 1}, h.Signature[1:]...) },
		"length":    func(h *audit.Head) { h.Signature = h.Signature[:1] },
	} {
		bad := h
		change(&bad)
		require.ErrorIs(t, bad.Verify(pub), audit.ErrSignature, field)
	}
	h.Signature = nil
	require.ErrorIs(t, h.Verify(pub), audit.ErrFormat, "a key without a signature")
}

func TestHeadChain(t *testing.T) {
	t.Parallel()
	tr := newTrail(t).entries(3)
	chain, err := tr.chain.Head(zone, start).Chain()
	require.NoError(t, err)
	require.Equal(t, tr.chain, chain)
	_, err = audit.Head{Log: zone, Hash: "x"}.Chain()
	require.ErrorIs(t, err, audit.ErrFormat)
}

// signer is what a broken or foreign key manager may be.
type signer struct {
	pub crypto.PublicKey
	sig []byte
	err error
}

func (s signer) Public() crypto.PublicKey { return s.pub }

func (s signer) Sign(io.Reader, []byte, crypto.SignerOpts) ([]byte, error) { return s.sig, s.err }

func TestHeadIsNotSigned(t *testing.T) {
	t.Parallel()
	p224, err := ecdsa.GenerateKey(elliptic.P224(), rand.Reader)
	require.NoError(t, err)
	good := ed25519Key("a")
	failure := errors.New("token removed")
	valid := (&audit.Chain{}).Head(zone, start)
	for _, c := range []struct {
		rule   string
		key    crypto.Signer
		change func(*audit.Head)
		err    error
	}{
		{"no key", nil, nil, audit.ErrKey},
		{"RSA", signer{pub: &rsa.PublicKey{}}, nil, audit.ErrKey},
		{"P-224", p224, nil, audit.ErrKey},
		{"no curve", signer{pub: &ecdsa.PublicKey{}}, nil, audit.ErrKey},
		{"half an Ed25519 key", signer{pub: ed25519.PublicKey{1}}, nil, audit.ErrKey},
		{"no public key", signer{}, nil, audit.ErrKey},
		{"the signer fails", signer{pub: good.Public(), err: failure}, nil, failure},
		{"the signer signs something else", signer{pub: good.Public(), sig: make([]byte, 64)}, nil, audit.ErrSignature},
		{"no log", good, func(h *audit.Head) { h.Log = "" }, audit.ErrFormat},
		{"a line end in the log", good, func(h *audit.Head) { h.Log = "a\n1" }, audit.ErrFormat},
		{"an escape in the log", good, func(h *audit.Head) { h.Log = `a"` }, audit.ErrFormat},
		{"a long log", good, func(h *audit.Head) { h.Log = strings.Repeat("a", 256) }, audit.ErrFormat},
		{"no hash", good, func(h *audit.Head) { h.Hash = "" }, audit.ErrFormat},
		{"year 10000", good, func(h *audit.Head) { h.Time = start.AddDate(8000, 0, 0) }, audit.ErrFormat},
	} {
		h := valid
		if c.change != nil {
			c.change(&h)
		}
		before := h
		require.ErrorIs(t, h.Sign(nil, c.key), c.err, c.rule)
		require.Equal(t, before, h, c.rule)
	}
	_, err = audit.KeyID(nil)
	require.ErrorIs(t, err, audit.ErrKey)
}

func TestParseHeadTakesOneForm(t *testing.T) {
	t.Parallel()
	tr := newTrail(t).entries(1)
	tr.now = tr.now.Add(120 * time.Millisecond)
	signed := tr.head(ed25519Key("a"))
	good := string(signed.AppendJSON(nil))
	require.Contains(t, good, `07.12Z"`)
	edit := func(old, with string) string {
		bad := strings.Replace(good, old, with, 1)
		require.NotEqual(t, good, bad)
		return bad
	}
	long := tr.chain.Head(strings.Repeat("a", 255), start)
	long.Seq, long.Key, long.Signature = 1<<64-1, signed.Key, make([]byte, 256)
	_, err := audit.ParseHead(long.AppendJSON(nil))
	require.NoError(t, err, "the longest head")
	pad := strings.Index(good, `=="}}`) // a signature of 64 bytes ends in 4 spare bits, here zero
	require.Contains(t, "AQgw", good[pad-1:pad])
	for rule, bad := range map[string]string{
		"nothing":            "",
		"a blank":            edit(`,"seq"`, `, "seq"`),
		"data behind":        good + "{}",
		"an unknown member":  edit(`{"log"`, `{"x":1,"log"`),
		"one beside":         edit(`}}`, `},"x":1}`),
		"a member twice":     edit(`{"log"`, `{"log":"x","log"`),
		"a member in caps":   edit(`"log"`, `"Log"`),
		"an escape":          edit(`"iot`, `"\u0069ot`),
		"no UTF-8":           edit(`"iot`, "\"\xffiot"),
		"a fraction":         edit(`"seq":1`, `"seq":1.0`),
		"a negative number":  edit(`"seq":1`, `"seq":-1`),
		"a trailing zero":    edit(`.12Z`, `.120Z`),
		"microseconds":       edit(`.12Z`, `.120001Z`),
		"another time zone":  edit(`.12Z`, `.12+00:00`),
		"no padding":         edit(`=="}}`, `"}}`),
		"spare base64 bits":  edit(good[pad-1:], string(good[pad-1]+1)+good[pad:]),
		"an empty signature": good[:strings.Index(good, `"signature":"`)] + `"signature":""}}`,
		"no key":             edit(`"key":"`+signed.Key+`",`, ``),
		"null":               `{"head":null}`,
	} {
		_, err := audit.ParseHead([]byte(bad))
		require.ErrorIs(t, err, audit.ErrFormat, rule)
	}
	_, err = audit.ParseHead(make([]byte, 4096))
	require.ErrorIs(t, err, audit.ErrTooLarge)
}
