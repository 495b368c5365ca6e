package sdk_test

import (
	"context"
	"crypto/ecdh"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/hpke"
	"crypto/rand"
	"crypto/x509"
	"net/http/httptest"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/iotregistry/sdk/internal/rsp/rsptest"
	"github.com/iotregistry/sdk/mno"
	"github.com/iotregistry/sdk/mno/es9"
	"github.com/iotregistry/sdk/mno/smdp"
	"github.com/iotregistry/sdk/profile"
	"github.com/iotregistry/sdk/profile/euicc"
	"github.com/iotregistry/sdk/registry/eid"
)

const downloadRegistry = "iotregistry.ca"

// delivery is an SM-DP+ on a socket, a device with its eUICC, and a registry's
// authority.
type delivery struct {
	t         *testing.T
	now       time.Time
	authority *profile.Authority
	card      *euicc.Card
	chip      *euicc.Chip
	engine    *smdp.Engine
	lpa       *es9.LPA

	mu   sync.Mutex
	news []mno.Point
}

func newDelivery(t *testing.T, asn1 bool) *delivery {
	d := &delivery{t: t, now: time.Date(2026, 11, 25, 12, 0, 0, 0, time.UTC)}
	clock := func() time.Time { return d.now }
	pki, err := rsptest.New(d.now.AddDate(-1, 0, 0))
	require.NoError(t, err)
	id, err := pki.EUICC(rsptest.EID)
	require.NoError(t, err)
	device := eid.MustParse(rsptest.EID)

	d.authority, err = profile.NewAuthority(profile.AuthorityConfig{
		Registry: downloadRegistry, RootKey: newKey(t), IssuerKey: newKey(t), Now: clock,
	})
	require.NoError(t, err)
	sealing, err := hpke.DHKEM(ecdh.P256()).GenerateKey()
	require.NoError(t, err)
	d.card, err = euicc.New(euicc.Config{ID: device, Key: sealing, Registry: downloadRegistry})
	require.NoError(t, err)
	roots := x509.NewCertPool()
	roots.AddCert(d.authority.Root())
	d.chip, err = euicc.NewChip(euicc.ChipConfig{
		EID: device, Certificate: id.DER, EUM: pki.EUM.DER, Key: id.Key, CIs: [][]byte{pki.CI.DER},
		DefaultSMDP: "smdp.example", Card: d.card, Issuer: smdp.DefaultIssuer, Now: clock,
		Trust: profile.TrustRoots(x509.VerifyOptions{Roots: roots, CurrentTime: d.now}),
	})
	require.NoError(t, err)

	d.engine, err = smdp.New(smdp.Config{Address: "smdp.example", Now: clock, NotifyDownloads: true, Notify: d.hear})
	require.NoError(t, err)
	server, err := smdp.NewServer(d.engine, smdp.ServerConfig{
		Auth:    smdp.Credential{Certificate: pki.DPAuth.DER, Key: pki.DPAuth.Key},
		Binding: smdp.Credential{Certificate: pki.DPPB.DER, Key: pki.DPPB.Key}, CIs: [][]byte{pki.CI.DER},
	})
	require.NoError(t, err)
	web := httptest.NewTLSServer(es9.NewHandler(server, nil))
	t.Cleanup(web.Close)
	d.lpa = &es9.LPA{Card: d.chip, Dial: func(address string) (es9.Backend, error) {
		require.Equal(t, "smdp.example", address)
		return &es9.Client{BaseURL: web.URL, HTTP: web.Client(), ASN1: asn1}, nil
	}}
	return d
}

func newKey(t *testing.T) *ecdsa.PrivateKey {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	require.NoError(t, err)
	return key
}

func (d *delivery) hear(_ context.Context, _ string, p mno.Progress) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.news = append(d.news, p.Point)
	return nil
}

// order seals an IoT profile for the card and orders its delivery.
func (d *delivery) order(number uint64, name string) es9.ActivationCode {
	key := newKey(d.t)
	cert, err := d.authority.Issue(profile.Request{Name: name, Device: d.card.ID(), PublicKey: key.Public(), NotAfter: d.now.AddDate(1, 0, 0)})
	require.NoError(d.t, err)
	pkcs8, err := x509.MarshalPKCS8PrivateKey(key)
	require.NoError(d.t, err)
	sealed, err := d.authority.Seal(d.card.PublicKey(), &profile.Profile{
		ID: number, Device: d.card.ID(), Registry: downloadRegistry, Name: name, Host: "parkoserv.ca", Port: 443,
		Certificate: cert, PrivateKey: pkcs8, CACertificates: d.authority.Chain(), NotBefore: d.now, NotAfter: d.now.AddDate(1, 0, 0),
	})
	require.NoError(d.t, err)
	receipt, err := d.engine.Operator("registry").Order(d.t.Context(), mno.Order{
		Device: d.card.ID(), ProfileID: number, Sealed: sealed, ProfileType: "iot",
	})
	require.NoError(d.t, err)
	return es9.ActivationCode{Address: receipt.SMDPAddress, MatchingID: receipt.MatchingID}
}

// A sealed IoT profile travels as an operator carries profiles: bound to the
// eUICC, over ES9+ in either of its bindings, and opened by the card alone.
func TestDownload(t *testing.T) {
	t.Parallel()
	for name, asn1 := range map[string]bool{"JSON": false, "ASN.1": true} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			d := newDelivery(t, asn1)
			for n, owner := range []string{"11." + rsptest.EID + "." + downloadRegistry, "16." + rsptest.EID + "." + downloadRegistry} {
				number := []uint64{11, 16}[n]
				result, err := d.lpa.Download(t.Context(), d.order(number, owner), nil)
				require.NoError(t, err)
				require.NoError(t, result.Unsent)
				require.NoError(t, d.lpa.Enable(t.Context(), result.Metadata.ICCID, false))
				current, ok := d.card.Current()
				require.True(t, ok)
				require.Equal(t, number, current.ID)
				require.Equal(t, owner, current.Name)
				p, err := d.engine.Profile(t.Context(), result.Metadata.ICCID)
				require.NoError(t, err)
				require.Equal(t, mno.Installed, p.State)
			}
			require.Equal(t, []mno.Point{mno.PointDownload, mno.PointInstall, mno.PointDownload, mno.PointInstall}, d.news)
		})
	}
}
