package main

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"net/http"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/iotregistry/sdk/registry"
	"github.com/iotregistry/sdk/registry/eid"
	"github.com/iotregistry/sdk/registry/web"
)

// TestCardKeys: with maker -csr the registry makes no keys. A device shows the
// certificate that it published for the card's, and changes to a new one.
func TestCardKeys(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	code, _, stderr := once(t, "maker", "-csr", fleet, "-out", dir)
	require.Zero(t, code, stderr)
	r := start(t, filepath.Join(dir, "data"))
	parko := r.parties(dir)["parkoserv"]
	claims, err := os.Open(filepath.Join(dir, "claims.csv"))
	require.NoError(t, err)
	defer claims.Close()
	signature, err := os.ReadFile(filepath.Join(dir, "claims.csv.sig"))
	require.NoError(t, err)
	results, err := parko.FileSigned(t.Context(), claims, signature)
	require.NoError(t, err)
	require.Empty(t, registry.Failed(results))
	list, err := os.Open(fleet)
	require.NoError(t, err)
	defer list.Close()
	rows, _, err := registry.ReadCSV(list)
	require.NoError(t, err)
	r.job(parko, registry.Batch{Op: registry.OpImport, Owner: "ottawa", MNO: "telco"}, rows...)
	r.job(parko, registry.Batch{Op: registry.OpActivate}, rows...)
	id := rows[0].ID
	require.True(t, r.profile(parko, id).KeyOnCard)

	next, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	require.NoError(t, err)
	csr, err := x509.CreateCertificateRequest(rand.Reader, &x509.CertificateRequest{}, next)
	require.NoError(t, err)
	device := r.device(parko, id, filepath.Join(dir, "cards", id.String()+".pem"))
	done, err := device.Enroll(t.Context(), csr)
	require.NoError(t, err)
	require.Equal(t, id, done.Device)
	r.job(parko, registry.Batch{Op: registry.OpReset}, rows[0])
	require.True(t, next.PublicKey.Equal(r.certificate(parko, id).PublicKey))
	require.Zero(t, r.stop(), "%s", r.log)
}

// certificate is that of a device's current profile.
func (r *running) certificate(c *web.Client, id eid.ID) *x509.Certificate {
	r.t.Helper()
	issued, err := c.Issued(r.t.Context(), id, r.profile(c, id).ID)
	require.NoError(r.t, err)
	cert, err := x509.ParseCertificate(issued.Certificate)
	require.NoError(r.t, err)
	return cert
}

// device is a client with the certificate of a device and the key of its card.
func (r *running) device(c *web.Client, id eid.ID, keyFile string) *web.Client {
	r.t.Helper()
	info, err := os.Stat(keyFile)
	require.NoError(r.t, err)
	require.EqualValues(r.t, 0o600, info.Mode().Perm())
	text, err := os.ReadFile(keyFile)
	require.NoError(r.t, err)
	block, _ := pem.Decode(text)
	key, err := x509.ParsePKCS8PrivateKey(block.Bytes)
	require.NoError(r.t, err)
	shown := tls.Certificate{Certificate: [][]byte{r.certificate(c, id).Raw}, PrivateKey: key}
	return &web.Client{BaseURL: r.API, HTTP: &http.Client{Transport: r.transport(shown)}}
}
