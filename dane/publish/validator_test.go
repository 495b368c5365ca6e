package publish_test

import (
	"strings"
	"testing"
	"time"

	"github.com/iotregistry/sdk/dane/dnssec"
	"github.com/miekg/dns"
	"github.com/stretchr/testify/require"
)

// TestValidatorAgrees puts every kind of answer before the project's own
// validator, in process and over the sockets.
func TestValidatorAgrees(t *testing.T) {
	t.Parallel()
	zones := answerWorld(t)
	ds, err := zones[0].DS(dns.SHA256)
	require.NoError(t, err)
	anchors, err := dnssec.ParseAnchors(strings.NewReader(ds[0].String()))
	require.NoError(t, err)
	want := map[kind]dnssec.Status{
		positive: dnssec.Secure, nodata: dnssec.Secure, nxdomain: dnssec.Secure, unsigned: dnssec.Insecure,
	}
	s := serve(t, zones...)
	for way, upstream := range map[string]dnssec.Exchanger{"in process": s, "sockets": network{s.Addr()}} {
		r := &dnssec.Resolver{Exchanger: upstream, Anchors: anchors, Now: func() time.Time { return epoch }}
		for _, c := range answers {
			if c.kind == referral || strings.Contains(c.rule, "circle") || strings.Contains(c.rule, "itself") && c.qtype == dns.TypeA {
				continue // no zone, or no answer, at the end
			}
			result, err := r.Lookup(t.Context(), c.name, c.qtype)
			require.NoError(t, err, "%s, %s", c.rule, way)
			require.Equal(t, want[c.kind], result.Status, "%s, %s: %v", c.rule, way, result.Reason)
			require.Equal(t, c.kind == nxdomain || c.rule == "unsigned zone, no such name", result.Rcode == dns.RcodeNameError, c.rule)
			if c.kind == positive {
				require.NotEmpty(t, result.RRs, c.rule)
			}
		}
	}
}
