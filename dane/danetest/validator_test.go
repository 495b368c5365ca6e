package danetest_test

import (
	"strings"
	"testing"

	"github.com/iotregistry/sdk/dane/danetest"
	"github.com/iotregistry/sdk/dane/dnssec"
	"github.com/miekg/dns"
	"github.com/stretchr/testify/require"
)

func resolver(t testing.TB, w *danetest.World, x dnssec.Exchanger) *dnssec.Resolver {
	t.Helper()
	anchors, err := dnssec.ParseAnchors(strings.NewReader(w.Anchor()))
	require.NoError(t, err)
	return &dnssec.Resolver{Exchanger: x, Anchors: anchors, Now: w.Now}
}

// TestValidatorAgrees: the project's validator finds the world secure, and
// nothing in it once it is spoilt.
func TestValidatorAgrees(t *testing.T) {
	t.Parallel()
	effects := map[string]danetest.Effect{
		"none": nil, "strip RRSIG": danetest.Strip(), "flip signature": danetest.FlipSignature(), "lie": danetest.Lie(),
		"swap": danetest.Swap("12.1000000000000002.iotregistry.ca."), "expire": danetest.Expire(),
		"not yet valid": danetest.NotYetValid(), "SERVFAIL": danetest.ServFail(), "drop": danetest.Drop(),
		"bogus signatures": danetest.BogusSignatures(5), "KeyTrap": danetest.KeyTrap(100, 100),
		"strip NSEC": danetest.Strip(dns.TypeNSEC), "truncate": danetest.Truncate(),
	}
	for name, effect := range effects {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := danetest.NewWorld(t, danetest.Config{})
			w.AddCERT(device, []byte("one certificate"))
			w.AddCERT("12.1000000000000002.iotregistry.ca.", []byte("another"))
			for _, under := range []string{device, "iotregistry.ca."} {
				remove := func() {}
				if effect != nil {
					remove = w.Inject(danetest.Fault{Under: under, Effect: effect})
				}
				for _, qtype := range []uint16{dns.TypeCERT, dns.TypeTLSA} {
					if name == "KeyTrap" && qtype == dns.TypeTLSA && under == device {
						continue // the NSEC that denies a DS may well prove this, too
					}
					result, err := resolver(t, w, w).Lookup(t.Context(), device, qtype)
					secure := err == nil && result.Status == dnssec.Secure
					// No NSEC stands in the way of a CERT, and a denial has no data to lie about.
					fine := name == "none" || (name == "strip NSEC" && qtype == dns.TypeCERT) ||
						(name == "lie" && qtype == dns.TypeTLSA && under == device)
					require.Equal(t, fine, secure, "%s %s under %s: %v %v", name, dns.Type(qtype), under, result, err)
				}
				remove()
			}
			for _, x := range []dnssec.Exchanger{w, w.Client()} {
				result, err := resolver(t, w, x).Lookup(t.Context(), device, dns.TypeCERT)
				require.NoError(t, err)
				require.Equal(t, dnssec.Secure, result.Status, result.Reason)
			}
		})
	}
}
