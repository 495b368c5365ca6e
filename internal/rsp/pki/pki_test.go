package pki_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/iotregistry/sdk/internal/rsp/cert"
	"github.com/iotregistry/sdk/internal/rsp/pki"
)

// Certificates with names of one's own pass the same rules, also where the EUM
// alone is there to make eUICCs.
func TestNamed(t *testing.T) {
	t.Parallel()
	start := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	p, err := pki.NewNamed(start, pki.Names{CI: "Own", EUM: "Own EUM", EIN: "89999901", SMDP: "Own SM-DP+", OID: []int{2, 999, 11}})
	require.NoError(t, err)
	v := &cert.Verifier{CIs: [][]byte{p.CI.DER}, Now: func() time.Time { return start }}
	prefixes, err := cert.Prefixes(p.EUM.DER)
	require.NoError(t, err)
	require.Equal(t, []string{"89999901"}, prefixes)
	auth, err := v.Server(cert.RoleDPAuth, p.DPAuth.DER, nil)
	require.NoError(t, err)
	require.Equal(t, "2.999.11", string(auth.OID))

	alone := &pki.PKI{EUM: p.EUM, Start: start}
	for eid, good := range map[string]bool{"89999901000000000000000000000067": true, pki.EID: false} {
		id, err := alone.EUICC(eid)
		require.NoError(t, err)
		_, err = v.EUICC(id.DER, p.EUM.DER, nil)
		require.Equal(t, good, err == nil, "%s: %v", eid, err)
	}
	_, err = cert.Prefixes(p.CI.DER)
	require.Error(t, err, "a CI is no EUM")
}
