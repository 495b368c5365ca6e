package web_test

import (
	"bytes"
	"context"
	"crypto"
	"crypto/ecdh"
	"crypto/hpke"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/iotregistry/sdk/profile"
	"github.com/iotregistry/sdk/registry"
	"github.com/iotregistry/sdk/registry/eid"
	"github.com/iotregistry/sdk/registry/web"
	"github.com/iotregistry/sdk/registry/web/limit"
)

func csrOf(t testing.TB, key crypto.Signer) []byte {
	t.Helper()
	der, err := x509.CreateCertificateRequest(rand.Reader, &x509.CertificateRequest{}, key)
	require.NoError(t, err)
	return der
}

// secure serves the API over TLS and returns clients by their certificates, whose
// answers are held against the document.
func (b *bench) secure() (url string, with func(...tls.Certificate) *web.Client) {
	front := httptest.NewUnstartedServer(b.srv)
	front.TLS = b.srv.TLSConfig(nil)
	front.StartTLS()
	b.t.Cleanup(front.Close)
	return front.URL, func(certs ...tls.Certificate) *web.Client {
		tr := front.Client().Transport.(*http.Transport).Clone()
		tr.TLSClientConfig.Certificates = certs
		return &web.Client{BaseURL: front.URL, HTTP: &http.Client{Transport: newValidating(b.t, tr)}, Retry: web.Retry{Attempts: 1}}
	}
}

// carded brings a device with a card of its own into service and returns what it
// shows in TLS.
func (b *bench) carded(number int) (eid.ID, tls.Certificate) {
	b.t.Helper()
	card := signer(b.t)
	id := eid.MustParse(fmt.Sprint(5000000000000000 + number))
	key, err := ecdh.P256().GenerateKey(rand.Reader)
	require.NoError(b.t, err)
	seal, err := hpke.NewDHKEMPublicKey(key.PublicKey())
	require.NoError(b.t, err)
	b.allDone(b.as(maker).File(context.Background(), []registry.Claim{{Device: id, Key: profile.FormatPublicKey(seal), CSR: csrOf(b.t, card)}}))
	b.allDone(b.reg.Import(context.Background(), parko, registry.Import{Owner: city.Account, MNO: telco.Account, Rows: []registry.Row{{ID: id}}}))
	b.allDone(b.reg.Activate(context.Background(), parko, registry.Options{}, id))
	return id, tls.Certificate{Certificate: [][]byte{b.certificate(id)}, PrivateKey: card}
}

func (b *bench) certificate(id eid.ID) []byte {
	b.t.Helper()
	d, err := b.as(root).Device(context.Background(), id)
	require.NoError(b.t, err)
	issued, err := b.as(root).Issued(context.Background(), id, d.Profile)
	require.NoError(b.t, err)
	return issued.Certificate
}

// A device proves itself by the certificate of its profile, with a key that never
// left its card, and changes that key.
func TestADeviceEnrolls(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	id, shown := b.carded(1)
	_, with := b.secure()
	next := signer(t)
	done, err := with(shown).Enroll(t.Context(), csrOf(t, next))
	require.NoError(t, err)
	require.Equal(t, id, done.Device)
	again, err := with(shown).Enroll(t.Context(), csrOf(t, next))
	require.NoError(t, err)
	require.Equal(t, done, again)
	b.allDone(b.as(parko).Reset(t.Context(), anyOptions, id))
	cert, err := x509.ParseCertificate(b.certificate(id))
	require.NoError(t, err)
	require.True(t, next.PublicKey.Equal(cert.PublicKey))
	profiles, err := b.as(parko).Profiles(t.Context(), id)
	require.NoError(t, err)
	require.True(t, profiles[1].KeyOnCard)

	_, err = with(shown).Enroll(t.Context(), csrOf(t, signer(t)))
	require.ErrorIs(t, err, registry.ErrUnauthentic, "it is superseded")
	_, err = with(tls.Certificate{Certificate: [][]byte{cert.Raw}, PrivateKey: next}).Enroll(t.Context(), csrOf(t, signer(t)))
	require.ErrorIs(t, err, registry.ErrState, "one new key an hour")
	require.NotContains(t, b.log.String(), `"status":500`)
	require.Contains(t, b.log.String(), `"account":"device:`+id.String()+`"`)
}

// Who comes to the devices' route without a device's certificate, and what a device
// is told that brings something else than a request.
func TestOnlyDevicesEnroll(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	_, shown := b.carded(1)
	other, theirs := b.carded(2)
	ours, key := selfSigned(t)
	_, err := b.as(root).TrustCertificate(t.Context(), parko.Account, "box", ours, 0)
	require.NoError(t, err)
	account := tls.Certificate{Certificate: [][]byte{ours.Raw}, PrivateKey: key}
	url, with := b.secure()
	good := `{"csr":"` + base64.StdEncoding.EncodeToString(csrOf(t, signer(t))) + `"}`
	taken := `{"csr":"` + base64.StdEncoding.EncodeToString(csrOf(t, theirs.PrivateKey.(crypto.Signer))) + `"}`
	token := "Bearer " + string(b.tokens[parko.Account])
	for name, c := range map[string]struct {
		certs   []tls.Certificate
		body    string
		headers []string
		status  int
		kind    string
	}{
		"nothing":                     {nil, good, nil, 401, "unauthentic"},
		"an account's certificate":    {[]tls.Certificate{account}, good, nil, 401, "unauthentic"},
		"a token":                     {nil, good, []string{"Authorization", token}, 403, "forbidden"},
		"the operator's token":        {nil, good, []string{"Authorization", "Bearer " + string(b.tokens[root.Account])}, 403, "forbidden"},
		"a token beside a device":     {[]tls.Certificate{shown}, good, []string{"Authorization", token}, 403, "forbidden"},
		"a wrong token":               {[]tls.Certificate{shown}, good, []string{"Authorization", "Bearer x"}, 401, "unauthentic"},
		"a page of another site":      {[]tls.Certificate{shown}, good, []string{"Sec-Fetch-Site", "cross-site"}, 403, "forbidden"},
		"no request":                  {[]tls.Certificate{shown}, `{}`, nil, 400, "invalid"},
		"no base64":                   {[]tls.Certificate{shown}, `{"csr":"?"}`, nil, 400, "invalid"},
		"something else":              {[]tls.Certificate{shown}, `{"csr":"AAAA","device":"` + other.String() + `"}`, nil, 400, "invalid"},
		"too long for a request":      {[]tls.Certificate{shown}, `{"csr":"` + strings.Repeat("A", 8<<10) + `"}`, nil, 400, "invalid"},
		"too long for the route":      {[]tls.Certificate{shown}, `{"csr":"` + strings.Repeat("A", 17<<10) + `"}`, nil, 413, "too-large"},
		"another device's key":        {[]tls.Certificate{shown}, taken, nil, 409, "key-taken"},
		"at last a device by itself":  {[]tls.Certificate{theirs}, good, nil, 200, ""},
		"a device is no account":      {[]tls.Certificate{shown}, "", nil, 401, "unauthentic"},
		"a device that sends no JSON": {[]tls.Certificate{shown}, good, []string{"Content-Type", "text/plain"}, 415, "media-type"},
	} {
		path := "/v1/enroll"
		if c.body == "" {
			path = "/v1/activate"
		}
		r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, url+path, strings.NewReader(c.body))
		require.NoError(t, err)
		r.Header.Set("Content-Type", "application/json")
		for i := 0; i+1 < len(c.headers); i += 2 {
			r.Header.Set(c.headers[i], c.headers[i+1])
		}
		res, err := with(c.certs...).HTTP.Transport.(*validating).base.RoundTrip(r)
		require.NoError(t, err)
		text, err := io.ReadAll(res.Body)
		res.Body.Close()
		require.NoError(t, err)
		require.Equal(t, c.status, res.StatusCode, "%s: %s", name, text)
		if c.kind != "" {
			require.Equal(t, c.kind, problem(t, string(text)).Kind, name)
			require.False(t, bytes.Contains(text, []byte(other.String())), "%s: whose key it is stays hidden", name)
		}
	}
}

// A device's calls count as its own.
func TestADeviceIsHeldBack(t *testing.T) {
	t.Parallel()
	b := newBench(t, func(b *bench, c *web.Config) { c.Limiter = limit.New(1e-6, 20) })
	_, shown := b.carded(1)
	_, with := b.secure()
	c, csr := with(shown), csrOf(t, signer(t))
	for range 20 {
		_, err := c.Enroll(t.Context(), csr)
		require.NoError(t, err)
	}
	_, err := c.Enroll(t.Context(), csr)
	require.ErrorIs(t, err, web.ErrRate)
	_, err = b.as(parko).Me(t.Context())
	require.NoError(t, err)
}
