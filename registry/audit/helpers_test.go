package audit_test

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/sha256"
	"io"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/iotregistry/sdk/registry/audit"
	"github.com/stretchr/testify/require"
)

const zone = "iotregistry.ca"

var start = time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)

// ed25519Key is the same for the same name.
func ed25519Key(name string) ed25519.PrivateKey {
	seed := sha256.Sum256([]byte(name))
	return ed25519.NewKeyFromSeed(seed[:])
}

// p256Key is the same for the same name and signs the same way each time (RFC 6979).
func p256Key(t testing.TB, name string) crypto.Signer {
	t.Helper()
	scalar := sha256.Sum256([]byte(name))
	key, err := ecdsa.ParseRawPrivateKey(elliptic.P256(), scalar[:])
	require.NoError(t, err)
	return deterministic{key}
}

type deterministic struct{ *ecdsa.PrivateKey }

func (d deterministic) Sign(_ io.Reader, digest []byte, opts crypto.SignerOpts) ([]byte, error) {
	return d.PrivateKey.Sign(nil, digest, opts)
}

// trail writes an export as the registry does.
type trail struct {
	t     testing.TB
	chain audit.Chain
	now   time.Time
	lines []string
}

func newTrail(t testing.TB) *trail { return &trail{t: t, now: start} }

// entries adds n of them; the texts try what an encoder might change.
func (tr *trail) entries(n int) *trail {
	tr.t.Helper()
	for range n {
		b, err := audit.Entry{
			Time: tr.now, Actor: "parkoserv", Role: "asp", Op: "activate", Device: strconv.FormatUint(1000000000000001+tr.chain.Seq, 10),
			Subject: "profile 11", Detail: map[string]string{"mno": "télco <A&B>", "note": "\"\\\u2028"}, Request: "a1b2c3d4",
		}.Encode()
		require.NoError(tr.t, err)
		tr.raw(string(b))
	}
	return tr
}

func (tr *trail) raw(entry string) *trail {
	tr.now = tr.now.Add(time.Second)
	line := tr.chain.Append([]byte(entry))
	tr.lines = append(tr.lines, string(line.AppendJSON(nil)))
	return tr
}

// head adds a head, signed unless key is nil.
func (tr *trail) head(key crypto.Signer) audit.Head {
	tr.t.Helper()
	tr.now = tr.now.Add(time.Second)
	h := tr.chain.Head(zone, tr.now)
	if key != nil {
		require.NoError(tr.t, h.Sign(nil, key))
	}
	tr.lines = append(tr.lines, string(h.AppendJSON(nil)))
	return h
}

func (tr *trail) String() string { return join(tr.lines) }

func join(lines []string) string {
	if len(lines) == 0 {
		return ""
	}
	return strings.Join(lines, "\n") + "\n"
}

func verify(v audit.Verifier, export string) (*audit.Report, error) {
	return v.Verify(bytes.NewReader([]byte(export)))
}
