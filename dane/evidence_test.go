package dane_test

import (
	"crypto/x509"
	"encoding/base64"
	"strings"
	"testing"
	"time"

	"github.com/miekg/dns"
	"github.com/stretchr/testify/require"

	"github.com/iotregistry/sdk/dane"
	"github.com/iotregistry/sdk/dane/danetest"
	"github.com/iotregistry/sdk/dane/dnssec"
)

// A device without any DNS verifies its own certificate by a bundle, until the
// signatures in it expire; with DNS it hears of a withdrawal at once.
func TestEvidence(t *testing.T) {
	t.Parallel()
	const name = "11.1000000000000001.iotregistry.ca"
	world := danetest.NewWorld(t, danetest.Config{})
	leaf := mint(t, pair{}, names(name)).cert
	world.AddCERT(name, leaf.Raw)
	anchors, err := dnssec.ParseAnchors(strings.NewReader(world.Anchor()))
	require.NoError(t, err)
	resolver := func() *dnssec.Resolver {
		return &dnssec.Resolver{Exchanger: world, Anchors: anchors, Now: world.Now}
	}

	// The provider makes the bundle, and it travels as bytes.
	online := &dane.Verifier{Resolver: resolver(), Now: world.Now}
	m, err := online.Device(t.Context(), name, leaf)
	require.NoError(t, err)
	bundle, err := m.Answer.Evidence()
	require.NoError(t, err)
	wire, err := bundle.MarshalBinary()
	require.NoError(t, err)
	bundle, err = dnssec.ParseEvidence(wire)
	require.NoError(t, err)

	verify := func(e ...*dnssec.Evidence) (*dane.Match, error) {
		v := &dane.Verifier{Resolver: resolver(), Now: world.Now, Naming: dane.Deck2020, Evidence: e}
		return v.Device(t.Context(), name, leaf)
	}
	up := world.Inject(danetest.Fault{Effect: danetest.Drop()})
	_, err = verify()
	require.ErrorIs(t, err, dane.ErrIndeterminate)
	m, err = verify(bundle)
	require.NoError(t, err)
	cert, ok := m.Record.(*dns.CERT)
	require.True(t, ok)
	require.Equal(t, base64.StdEncoding.EncodeToString(leaf.Raw), cert.Certificate)
	other, err := x509.ParseCertificate(mint(t, pair{}, names(name)).cert.Raw)
	require.NoError(t, err)
	v := &dane.Verifier{Resolver: resolver(), Now: world.Now, Naming: dane.Deck2020, Evidence: []*dnssec.Evidence{bundle}}
	_, err = v.Device(t.Context(), name, other)
	require.ErrorIs(t, err, dane.ErrIndeterminate, "not the CERT record's; whether a TLSA record has it nobody can tell")
	_, err = v.Device(t.Context(), "12"+name[2:], leaf)
	require.ErrorIs(t, err, dane.ErrIndeterminate, "the bundle proves nothing about other names")
	up()

	// A look-up that gives a verdict beats any bundle.
	lie := world.Inject(danetest.Fault{Name: name + ".", Effect: danetest.FlipSignature()})
	_, err = verify(bundle)
	require.ErrorIs(t, err, dane.ErrBogus)
	lie()
	world.Withdraw(name)
	_, err = verify(bundle)
	require.ErrorIs(t, err, dane.ErrAbsent)

	up = world.Inject(danetest.Fault{Effect: danetest.Drop()})
	defer up()
	_, err = verify(bundle)
	require.NoError(t, err, "without DNS the withdrawal is not known")
	world.Advance(60 * 24 * time.Hour)
	_, err = verify(bundle)
	require.ErrorIs(t, err, dane.ErrIndeterminate, "the signatures have expired")
}
