package profile_test

import (
	"crypto/ecdh"
	"crypto/hpke"
	"crypto/x509"
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/iotregistry/sdk/profile"
	"github.com/iotregistry/sdk/registry/eid"
)

var update = flag.Bool("update", false, "make the vectors anew")

// A vector is a sealed profile from the past. Every later version must open it
// and find the same document inside; other implementations may use it too.
type vector struct {
	KEM      string    `json:"kem"`      // RFC 9180 section 7.1, hex
	Key      []byte    `json:"key"`      // private, as SerializePrivateKey writes it
	Public   string    `json:"public"`   // its text in lists
	Device   eid.ID    `json:"device"`   // the binding
	Registry string    `json:"registry"` //
	Profile  uint64    `json:"profile"`  //
	Root     []byte    `json:"root"`     // DER of the root to trust
	Time     time.Time `json:"time"`     // at which its chain is valid
	Sealed   []byte    `json:"sealed"`
	Document string    `json:"document"` // the plaintext
}

func (v *vector) key(t testing.TB) hpke.PrivateKey {
	var id uint16
	_, err := fmt.Sscanf(v.KEM, "%04x", &id)
	require.NoError(t, err)
	kem, err := hpke.NewKEM(id)
	require.NoError(t, err)
	key, err := kem.NewPrivateKey(v.Key)
	require.NoError(t, err)
	return key
}

func (v *vector) options(t testing.TB) profile.OpenOptions {
	root, err := x509.ParseCertificate(v.Root)
	require.NoError(t, err)
	roots := x509.NewCertPool()
	roots.AddCert(root)
	return profile.OpenOptions{
		Device: v.Device, Registry: v.Registry,
		Trust: profile.TrustRoots(x509.VerifyOptions{Roots: roots, CurrentTime: v.Time}),
	}
}

// vectors returns the files' contents; seeds of fuzz targets come from them
// because every fuzzing process must know the same keys.
func vectors(t testing.TB) []*vector {
	files, err := filepath.Glob("testdata/sealed-*.json")
	require.NoError(t, err)
	require.NotEmpty(t, files)
	var all []*vector
	for _, file := range files {
		b, err := os.ReadFile(file)
		require.NoError(t, err)
		v := new(vector)
		require.NoError(t, json.Unmarshal(b, v), file)
		all = append(all, v)
	}
	return all
}

func TestVectors(t *testing.T) {
	t.Parallel()
	if *update {
		writeVectors(t)
	}
	for _, v := range vectors(t) {
		key := v.key(t)
		require.Equal(t, v.Public, profile.FormatPublicKey(key.PublicKey()), v.KEM)
		s, err := profile.ParseSealed(v.Sealed)
		require.NoError(t, err, v.KEM)
		require.Equal(t, profile.Binding{Device: v.Device, ProfileID: v.Profile, Registry: v.Registry}, s.Binding())
		p, err := s.Open(key, v.options(t))
		require.NoError(t, err, v.KEM)
		plain, err := p.Encode()
		require.NoError(t, err)
		require.Equal(t, v.Document, string(plain), v.KEM)
	}
}

func writeVectors(t *testing.T) {
	for _, kem := range []hpke.KEM{
		hpke.DHKEM(ecdh.P256()), hpke.DHKEM(ecdh.X25519()), hpke.MLKEM768P256(), hpke.MLKEM768X25519(),
	} {
		key, err := kem.GenerateKey()
		require.NoError(t, err)
		raw, err := key.Bytes()
		require.NoError(t, err)
		a := newAuthority(t)
		b, p := sealed(t, a, key.PublicKey())
		plain, err := p.Encode()
		require.NoError(t, err)
		v := vector{
			KEM: fmt.Sprintf("%04x", kem.ID()), Key: raw, Public: profile.FormatPublicKey(key.PublicKey()),
			Device: p.Device, Registry: p.Registry, Profile: p.ID, Root: a.Root().Raw, Time: p.NotBefore,
			Sealed: b, Document: string(plain),
		}
		out, err := json.MarshalIndent(v, "", "  ")
		require.NoError(t, err)
		require.NoError(t, os.WriteFile("testdata/sealed-"+v.KEM+".json", append(out, '\n'), 0o644))
	}
}
