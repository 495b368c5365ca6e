package euicc_test

import (
	"context"
	"crypto/ecdh"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/hpke"
	"crypto/rand"
	"crypto/x509"
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/iotregistry/sdk/profile"
	"github.com/iotregistry/sdk/profile/euicc"
	"github.com/iotregistry/sdk/registry/eid"
)

const zone = "iotregistry.ca"

var id = eid.MustParse("1000000000000001")

func signer(t testing.TB) *ecdsa.PrivateKey {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	require.NoError(t, err)
	return key
}

func newCard(t testing.TB) *euicc.Card {
	key, err := ecdh.P256().GenerateKey(rand.Reader)
	require.NoError(t, err)
	k, err := hpke.NewDHKEMPrivateKey(key)
	require.NoError(t, err)
	return newCardOf(t, k)
}

func newCardOf(t testing.TB, k hpke.PrivateKey) *euicc.Card {
	card, err := euicc.New(euicc.Config{ID: id, Key: k, Registry: zone})
	require.NoError(t, err)
	return card
}

// sealer returns a function that seals profile n to a card, and its trust.
func sealer(t testing.TB) (func(card *euicc.Card, n uint64) []byte, func([]*x509.Certificate) error) {
	a, err := profile.NewAuthority(profile.AuthorityConfig{Registry: zone, RootKey: signer(t), IssuerKey: signer(t)})
	require.NoError(t, err)
	roots := x509.NewCertPool()
	roots.AddCert(a.Root())
	return func(card *euicc.Card, n uint64) []byte {
		key := signer(t)
		name := fmt.Sprintf("%d.%s.%s", n, id, zone)
		end := time.Now().Add(time.Hour)
		der, err := a.Issue(profile.Request{Name: name, Device: id, PublicKey: key.Public(), NotAfter: end})
		require.NoError(t, err)
		pkcs8, err := x509.MarshalPKCS8PrivateKey(key)
		require.NoError(t, err)
		b, err := a.Seal(card.PublicKey(), &profile.Profile{
			ID: n, Device: id, Registry: zone, Name: name, Host: "parkoserv.ca", Port: 443,
			Certificate: der, PrivateKey: pkcs8, CACertificates: a.Chain(), NotBefore: time.Now(), NotAfter: end,
		})
		require.NoError(t, err)
		return b
	}, profile.TrustRoots(x509.VerifyOptions{Roots: roots})
}

func TestInstall(t *testing.T) {
	t.Parallel()
	card := newCard(t)
	seal, trust := sealer(t)
	require.Equal(t, id, card.ID())
	_, ok := card.Current()
	require.False(t, ok)
	require.Zero(t, card.Newest())

	p, err := card.Install(seal(card, 11), trust)
	require.NoError(t, err)
	cur, ok := card.Current()
	require.True(t, ok)
	require.Same(t, p, cur)

	old := seal(card, 9)
	_, err = card.Install(old, trust)
	require.ErrorIs(t, err, profile.ErrReplayed)
	boom := errors.New("boom")
	_, err = card.Install(seal(card, 12), func([]*x509.Certificate) error { return boom })
	require.ErrorIs(t, err, boom)
	_, err = card.Install(seal(newCard(t), 12), trust)
	require.ErrorIs(t, err, profile.ErrOpen)
	_, err = card.Install([]byte("x"), trust)
	require.ErrorIs(t, err, profile.ErrMalformed)
	require.Equal(t, uint64(11), card.Newest(), "what was refused changed nothing")

	_, err = card.Install(seal(card, 16), trust)
	require.NoError(t, err)
	require.Equal(t, uint64(16), card.Newest())
}

func TestNewestWinsARace(t *testing.T) {
	t.Parallel()
	card := newCard(t)
	seal, trust := sealer(t)
	var sealed [][]byte
	for n := range uint64(8) {
		sealed = append(sealed, seal(card, n+1))
	}
	var wg sync.WaitGroup
	for _, b := range sealed {
		wg.Go(func() { _, _ = card.Install(b, trust) })
	}
	wg.Wait()
	require.Equal(t, uint64(8), card.Newest())
}

// While trust asks the network another profile may be installed. The one that
// was judged against the old one must not replace it.
func TestInstallDuringInstall(t *testing.T) {
	t.Parallel()
	card := newCard(t)
	seal, trust := sealer(t)
	older, newer := seal(card, 11), seal(card, 16)
	_, err := card.Install(older, func(chain []*x509.Certificate) error {
		_, err := card.Install(newer, trust)
		require.NoError(t, err)
		return trust(chain)
	})
	require.ErrorIs(t, err, profile.ErrReplayed)
	require.Equal(t, uint64(16), card.Newest())
	_, err = card.Install(seal(card, 17), nil)
	require.ErrorIs(t, err, profile.ErrInvalid, "nobody is trusted unasked")
}

func TestNewWantsItsParts(t *testing.T) {
	t.Parallel()
	for _, cfg := range []euicc.Config{{}, {ID: id}, {ID: id, Registry: zone}} {
		_, err := euicc.New(cfg)
		require.ErrorIs(t, err, euicc.ErrConfig)
	}
}

func ExampleCard_Install() {
	t := new(testing.T)
	card := newCard(t)
	seal, trust := sealer(t)
	p, err := card.Install(seal(card, 11), trust)
	fmt.Println(p, err)
	_, err = card.Install(seal(card, 11), trust)
	fmt.Println(err)
	// Output:
	// IoT profile 11 of device 1000000000000001 for parkoserv.ca:443 <nil>
	// profile: open 11: profile is not newer than the installed one
}

// While Use is still being told of a profile, nobody who knows it already is woken
// for it, again and again.
func TestWaitWhileUseIsTold(t *testing.T) {
	t.Parallel()
	key, err := ecdh.P256().GenerateKey(rand.Reader)
	require.NoError(t, err)
	k, err := hpke.NewDHKEMPrivateKey(key)
	require.NoError(t, err)
	telling, told := make(chan struct{}), make(chan struct{})
	card, err := euicc.New(euicc.Config{ID: id, Key: k, Registry: zone, Use: func(*profile.Profile) {
		close(telling)
		<-told
	}})
	require.NoError(t, err)
	seal, trust := sealer(t)
	sealed := seal(card, 1)
	var wg sync.WaitGroup
	wg.Go(func() {
		_, err := card.Install(sealed, trust)
		assert.NoError(t, err)
	})
	<-telling
	p, ok := card.Current()
	require.True(t, ok)
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	require.ErrorIs(t, card.Wait(ctx, p), context.DeadlineExceeded)
	close(told)
	wg.Wait()
	require.NoError(t, card.Wait(t.Context(), nil))
	ctx, cancel = context.WithCancel(t.Context())
	cancel()
	require.ErrorIs(t, card.Wait(ctx, p), context.Canceled)
}
