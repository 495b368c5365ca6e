package rsptest_test

import (
	"crypto/x509"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/iotregistry/sdk/internal/rsp/cert"
	"github.com/iotregistry/sdk/internal/rsp/rsptest"
)

func TestNewIsAcceptedByTheRules(t *testing.T) {
	t.Parallel()
	start := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	p, err := rsptest.New(start)
	require.NoError(t, err)
	v := &cert.Verifier{CIs: [][]byte{p.CI.DER}, Now: func() time.Time { return start }}
	euicc, err := p.EUICC(rsptest.EID)
	require.NoError(t, err)
	card, err := v.EUICC(euicc.DER, p.EUM.DER, nil)
	require.NoError(t, err)
	require.Equal(t, rsptest.EID, card.EID.String())
	auth, err := v.Server(cert.RoleDPAuth, p.DPAuth.DER, nil)
	require.NoError(t, err)
	pb, err := v.Server(cert.RoleDPPB, p.DPPB.DER, nil)
	require.NoError(t, err)
	require.NoError(t, cert.SameServer(auth, pb))
	require.Equal(t, rsptest.SMDPOID, string(auth.OID))
}

func TestTLSIsGoodForItsHosts(t *testing.T) {
	t.Parallel()
	start := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	for name, p := range map[string]func() *rsptest.PKI{
		"own": func() *rsptest.PKI {
			p, err := rsptest.New(start)
			require.NoError(t, err)
			return p
		},
		"SGP.26": func() *rsptest.PKI { return rsptest.SGP26(t) },
	} {
		p := p()
		tls, err := p.TLS("smdp.example")
		require.NoError(t, err, name)
		roots := x509.NewCertPool()
		roots.AddCert(p.CI.Certificate)
		for host, good := range map[string]bool{"smdp.example": true, "other.example": false} {
			_, err = tls.Certificate.Verify(x509.VerifyOptions{Roots: roots, DNSName: host, CurrentTime: start})
			require.Equal(t, good, err == nil, "%s %s: %v", name, host, err)
		}
	}
}
