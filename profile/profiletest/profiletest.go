// Package profiletest checks that a key can do an eUICC's part in sealed
// profiles, wherever it lives: in memory, in a TPM, in a card. It uses plain
// package testing, so that makers of other key back ends can run it:
//
//	profiletest.RunKeySuite(t, func(t *testing.T) hpke.PrivateKey { ... })
package profiletest

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/hpke"
	"crypto/rand"
	"crypto/x509"
	"errors"
	"sync"
	"testing"
	"time"

	"github.com/iotregistry/sdk/profile"
	"github.com/iotregistry/sdk/registry/eid"
)

const (
	zone       = "registry.example"
	deviceName = "7.1000000000000007." + zone
)

var device = eid.MustParse("1000000000000007")

// RunKeySuite runs every case. newKey returns another key at every call and
// arranges for its end with t.Cleanup.
func RunKeySuite(t *testing.T, newKey func(t *testing.T) hpke.PrivateKey) {
	for _, rule := range []struct {
		name string
		run  func(*testing.T, func(*testing.T) hpke.PrivateKey)
	}{
		{"opens_what_is_sealed_to_it", opens},
		{"opens_nothing_else", opensNothingElse},
		{"refuses_what_nobody_sealed", refusesRubbish},
		{"its_public_key_survives_as_text", publicKeyText},
		{"opens_from_several_goroutines", concurrent},
	} {
		t.Run(rule.name, func(t *testing.T) { rule.run(t, newKey) })
	}
}

// seal makes an authority and a profile sealed by it to key.
func seal(t *testing.T, to hpke.PublicKey) ([]byte, *profile.Profile, profile.OpenOptions) {
	t.Helper()
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	var keys [3]*ecdsa.PrivateKey
	for i := range keys {
		var err error
		keys[i], err = ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
		must(err)
	}
	a, err := profile.NewAuthority(profile.AuthorityConfig{Registry: zone, RootKey: keys[0], IssuerKey: keys[1]})
	must(err)
	now := time.Now()
	der, err := a.Issue(profile.Request{Name: deviceName, Device: device, PublicKey: keys[2].Public(), NotAfter: now.Add(time.Hour)})
	must(err)
	pkcs8, err := x509.MarshalPKCS8PrivateKey(keys[2])
	must(err)
	p := &profile.Profile{
		ID: 7, Device: device, Registry: zone, Name: deviceName, Host: "asp.example", Port: 443,
		Certificate: der, PrivateKey: pkcs8, CACertificates: a.Chain(), NotBefore: now, NotAfter: now.Add(time.Hour),
	}
	sealed, err := a.Seal(to, p)
	must(err)
	roots := x509.NewCertPool()
	roots.AddCert(a.Root())
	return sealed, p, profile.OpenOptions{
		Device: device, Registry: zone, Trust: profile.TrustRoots(x509.VerifyOptions{Roots: roots}),
	}
}

func open(sealed []byte, key hpke.PrivateKey, o profile.OpenOptions) (*profile.Profile, error) {
	s, err := profile.ParseSealed(sealed)
	if err != nil {
		return nil, err
	}
	return s.Open(key, o)
}

func opens(t *testing.T, newKey func(*testing.T) hpke.PrivateKey) {
	key := newKey(t)
	sealed, want, o := seal(t, key.PublicKey())
	got, err := open(sealed, key, o)
	if err != nil {
		t.Fatal(err)
	}
	if !got.Equal(want) {
		t.Fatalf("got %v, want %v", got, want)
	}
}

func opensNothingElse(t *testing.T, newKey func(*testing.T) hpke.PrivateKey) {
	key, other := newKey(t), newKey(t)
	sealed, _, o := seal(t, other.PublicKey())
	if p, err := open(sealed, key, o); !errors.Is(err, profile.ErrOpen) {
		t.Fatalf("a profile for another key: got %v, %v; want ErrOpen", p, err)
	}
}

// refusesRubbish goes round the seal's signature, which would stop all this, to
// what a key back end sees: an encapsulated key and a ciphertext from anybody.
func refusesRubbish(t *testing.T, newKey func(*testing.T) hpke.PrivateKey) {
	key := newKey(t)
	kdf, aead := hpke.HKDFSHA256(), hpke.AES128GCM()
	good, err := hpke.Seal(key.PublicKey(), kdf, aead, nil, []byte("plain"))
	if err != nil {
		t.Fatal(err)
	}
	if plain, err := hpke.Open(key, kdf, aead, nil, good); err != nil || string(plain) != "plain" {
		t.Fatalf("got %q, %v", plain, err)
	}
	changed := func(at int) []byte {
		b := bytes.Clone(good)
		b[at] ^= 1
		return b
	}
	for name, b := range map[string][]byte{
		"nothing":                     nil,
		"half":                        good[:len(good)/2],
		"zeros":                       make([]byte, len(good)),
		"another encapsulated key":    changed(1),
		"another end of it":           changed(len(good) - len("plain") - 16 - 1),
		"another ciphertext":          changed(len(good) - 17),
		"another authentication code": changed(len(good) - 1),
	} {
		if plain, err := hpke.Open(key, kdf, aead, nil, b); err == nil {
			t.Errorf("%s: opened as %q", name, plain)
		}
	}
}

func publicKeyText(t *testing.T, newKey func(*testing.T) hpke.PrivateKey) {
	key := newKey(t)
	pub := key.PublicKey()
	text := profile.FormatPublicKey(pub)
	again, err := profile.ParsePublicKey(text)
	if err != nil {
		t.Fatal(err)
	}
	if again.KEM().ID() != pub.KEM().ID() || !bytes.Equal(again.Bytes(), pub.Bytes()) || profile.FormatPublicKey(again) != text {
		t.Fatal("the key changed on its way through text")
	}
	sealed, _, o := seal(t, again)
	if _, err := open(sealed, key, o); err != nil {
		t.Fatal(err)
	}
}

func concurrent(t *testing.T, newKey func(*testing.T) hpke.PrivateKey) {
	key := newKey(t)
	sealed, _, o := seal(t, key.PublicKey())
	var wg sync.WaitGroup
	errs := make([]error, 4)
	for i := range errs {
		wg.Go(func() { _, errs[i] = open(sealed, key, o) })
	}
	wg.Wait()
	if err := errors.Join(errs...); err != nil {
		t.Fatal(err)
	}
}
