package main

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/iotregistry/sdk/profile"
	"github.com/iotregistry/sdk/registry/eid"
)

const zone = "iotregistry.example"

// registry is the part of one that seals.
type registry struct {
	t         *testing.T
	authority *profile.Authority
	root      string // file
}

func newRegistry(t *testing.T) *registry {
	a, err := profile.NewAuthority(profile.AuthorityConfig{Registry: zone, RootKey: newKey(t), IssuerKey: newKey(t)})
	require.NoError(t, err)
	r := &registry{t: t, authority: a, root: filepath.Join(t.TempDir(), "authority.pem")}
	var text []byte
	for _, der := range a.Chain() {
		text = append(text, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})...)
	}
	require.NoError(t, os.WriteFile(r.root, text, 0o600))
	return r
}

func newKey(t *testing.T) *ecdsa.PrivateKey {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	require.NoError(t, err)
	return key
}

// seal makes an IoT profile for the card with this public key, and returns its
// private key too.
func (r *registry) seal(number uint64, id, publicKey string) (sealed, private []byte) {
	device, now, key := eid.MustParse(id), time.Now(), newKey(r.t)
	cert, err := r.authority.Issue(profile.Request{Name: "p." + id + "." + zone, Device: device, PublicKey: key.Public(), NotAfter: now.AddDate(1, 0, 0)})
	require.NoError(r.t, err)
	private, err = x509.MarshalPKCS8PrivateKey(key)
	require.NoError(r.t, err)
	to, err := profile.ParsePublicKey(publicKey)
	require.NoError(r.t, err)
	sealed, err = r.authority.Seal(to, &profile.Profile{
		ID: number, Device: device, Registry: zone, Name: "p." + id + "." + zone, Host: "parkoserv.ca", Port: 8443,
		Certificate: cert, PrivateKey: private, CACertificates: r.authority.Chain(), NotBefore: now.Add(-time.Hour), NotAfter: now.AddDate(1, 0, 0),
	})
	require.NoError(r.t, err)
	return sealed, private
}

func infoOf(t *testing.T, card string) (r infoResult) {
	code, stdout, stderr := once(t, "", "info", "-json", "-card", card)
	require.Zero(t, code, stderr)
	require.NoError(t, json.Unmarshal([]byte(stdout), &r))
	return r
}

// TestSealed: the registry's profile within the operator's is opened by the card
// it was sealed for, is there in later runs, and shows no key.
func TestSealed(t *testing.T) {
	t.Parallel()
	o, r := startMNO(t), newRegistry(t)
	card := o.card()
	info := infoOf(t, card)
	sealed, private := r.seal(11, info.EID, info.PublicKey)
	iccid := o.order(info.EID, "IOT", "", sealedMembers(11, sealed))
	trust := []string{"-card", card, "-smdp-address", o.address(), "-registry", zone, "-registry-ca", r.root}
	code, _, stderr := once(t, "", append(trust, "download", "1$smdp.example$IOT")...)
	require.Zero(t, code, stderr)

	code, text, stderr := once(t, "", append(trust, "profiles")...)
	require.Zero(t, code, stderr)
	require.Contains(t, text, "IoT profile 11 of iotregistry.example: parkoserv.ca:8443")
	require.NotContains(t, text, "left alone")
	code, asJSON, _ := once(t, "", append(trust, "profiles", "-json")...)
	require.Zero(t, code)
	var list profilesResult
	require.NoError(t, json.Unmarshal([]byte(asJSON), &list))
	require.Equal(t, zone, list.Opens)
	require.Equal(t, iccid, list.Profiles[0].ICCID)
	require.Equal(t, uint64(11), list.Profiles[0].IoT.ID)
	state, err := os.ReadFile(card + ".state")
	require.NoError(t, err)
	for _, shown := range []string{text, asJSON, string(state)} {
		require.NotContains(t, shown, base64.StdEncoding.EncodeToString(private))
	}

	code, _, stderr = once(t, "", "profiles", "-card", card)
	require.Equal(t, 1, code)
	require.Contains(t, stderr, "-registry")
}

// TestSealedIsLeftAlone: without the registry's root nothing is opened, and the
// operator's profile is installed all the same.
func TestSealedIsLeftAlone(t *testing.T) {
	t.Parallel()
	o, r := startMNO(t), newRegistry(t)
	card := o.card()
	info := infoOf(t, card)
	sealed, _ := r.seal(11, info.EID, info.PublicKey)
	o.order(info.EID, "IOT", "", sealedMembers(11, sealed))
	code, _, stderr := once(t, "", "download", "1$smdp.example$IOT", "-card", card, "-smdp-address", o.address())
	require.Zero(t, code, stderr)
	code, text, _ := once(t, "", "profiles", "-card", card)
	require.Zero(t, code)
	require.Contains(t, text, "left alone")
	require.NotContains(t, text, "parkoserv.ca")
}

// TestSealedByOthers: what the card does not believe is not installed at all.
func TestSealedByOthers(t *testing.T) {
	t.Parallel()
	o, r, other := startMNO(t), newRegistry(t), newRegistry(t)
	card, stranger := o.card(), o.card()
	info := infoOf(t, card)
	for i, row := range []struct {
		name string
		key  string
		from *registry
		zone string
	}{
		{"another registry's root", info.PublicKey, other, zone},
		{"another card's key", infoOf(t, stranger).PublicKey, r, zone},
		{"another zone", info.PublicKey, r, "other.example"},
	} {
		t.Run(row.name, func(t *testing.T) { // one after the other: a newer order ends an older one
			own, number := copyCard(t, card), uint64(i+1)
			sealed, _ := row.from.seal(number, info.EID, row.key)
			id := fmt.Sprintf("ID%d", i)
			o.order(info.EID, id, "", sealedMembers(number, sealed))
			trust := []string{"-card", own, "-smdp-address", o.address(), "-registry", row.zone, "-registry-ca", r.root}
			code, _, stderr := once(t, "", append(trust, "download", "1$smdp.example$"+id)...)
			require.Equal(t, 1, code)
			require.Contains(t, stderr, "not installed")
			_, text, _ := once(t, "", append(trust, "profiles")...)
			require.Contains(t, text, "no profiles")
		})
	}
}
