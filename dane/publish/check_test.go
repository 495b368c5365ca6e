package publish_test

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/iotregistry/sdk/dane/publish"
	"github.com/miekg/dns"
	"github.com/stretchr/testify/require"
)

// The checks here judge answers by the RFCs, with miekg/dns for the
// signatures, and share nothing with the code that made the answers.

// labelsOf returns a name's labels from the top down, lower-case, as octets.
func labelsOf(name string) []string {
	buf := make([]byte, 256)
	if _, err := dns.PackDomainName(name, buf, 0, nil, false); err != nil {
		panic(err)
	}
	for i, c := range buf {
		if c >= 'A' && c <= 'Z' {
			buf[i] = c | 0x20
		}
	}
	var labels []string
	for ; buf[0] != 0; buf = buf[buf[0]+1:] {
		labels = append(labels, string(buf[1:buf[0]+1]))
	}
	slices.Reverse(labels)
	return labels
}

// compareNames compares in canonical order (RFC 4034 s6.1).
func compareNames(a, b string) int { return slices.Compare(labelsOf(a), labelsOf(b)) }

// covers reports whether an NSEC proves that name does not exist.
func covers(n *dns.NSEC, name string) bool {
	owner, next := n.Hdr.Name, n.NextDomain
	if compareNames(owner, name) >= 0 {
		return false
	}
	return compareNames(name, next) < 0 || compareNames(next, owner) <= 0
}

// common returns the deepest name above both.
func common(a, b string) string {
	n := dns.CompareDomainName(a, b)
	labels := dns.SplitDomainName(a)
	return dns.Fqdn(strings.Join(labels[len(labels)-n:], "."))
}

func deeper(a, b string) string {
	if dns.CountLabel(a) > dns.CountLabel(b) {
		return a
	}
	return b
}

// rrsets groups records by owner and type, RRSIGs apart.
func rrsets(rrs []dns.RR) (sets map[string][]dns.RR, sigs map[string][]*dns.RRSIG) {
	sets, sigs = map[string][]dns.RR{}, map[string][]*dns.RRSIG{}
	for _, rr := range rrs {
		owner := strings.ToLower(rr.Header().Name)
		if sig, ok := rr.(*dns.RRSIG); ok {
			id := owner + " " + dns.Type(sig.TypeCovered).String()
			sigs[id] = append(sigs[id], sig)
			continue
		}
		id := owner + " " + dns.Type(rr.Header().Rrtype).String()
		sets[id] = append(sets[id], rr)
	}
	return sets, sigs
}

// verifySets checks the signatures of every RRset of a section, but those in
// bare, and returns the ones that came out of a wildcard.
func verifySets(t *testing.T, rrs []dns.RR, now time.Time, zones []*publish.Zone, bare ...string) (expanded []string) {
	t.Helper()
	sets, sigs := rrsets(rrs)
	for id, set := range sets {
		if slices.Contains(bare, id) {
			require.Empty(t, sigs[id], "%s must not be signed", id)
			continue
		}
		require.NotEmpty(t, sigs[id], "%s has no RRSIG", id)
		for _, sig := range sigs[id] {
			key := keyFor(t, sig, zones)
			require.NoError(t, sig.Verify(key, set), id)
			require.True(t, sig.ValidityPeriod(now), id)
			require.Equal(t, set[0].Header().Ttl, sig.Hdr.Ttl, id)
			owner := set[0].Header().Name
			if labels := dns.CountLabel(owner); int(sig.Labels) < labels && !strings.HasPrefix(owner, "*.") {
				expanded = append(expanded, owner)
			}
		}
	}
	for id := range sigs {
		require.Contains(t, sets, id, "RRSIG without RRset")
	}
	return expanded
}

func keyFor(t *testing.T, sig *dns.RRSIG, zones []*publish.Zone) *dns.DNSKEY {
	t.Helper()
	for _, z := range zones {
		for _, key := range z.DNSKEY() {
			if z.Origin() == sig.SignerName && key.KeyTag() == sig.KeyTag && key.Algorithm == sig.Algorithm {
				require.Equal(t, sig.TypeCovered == dns.TypeDNSKEY, key.Flags == publish.KSK, "wrong key for %v", sig)
				return key
			}
		}
	}
	require.Failf(t, "no key", "%v", sig)
	return nil
}

func nsecs(rrs []dns.RR) []*dns.NSEC {
	var all []*dns.NSEC
	for _, rr := range rrs {
		if n, ok := rr.(*dns.NSEC); ok {
			all = append(all, n)
		}
	}
	return all
}

// encloser returns the closest encloser of name by the NSEC that covers it.
func encloser(t *testing.T, proof []*dns.NSEC, name string) string {
	t.Helper()
	i := slices.IndexFunc(proof, func(n *dns.NSEC) bool { return covers(n, name) })
	require.GreaterOrEqual(t, i, 0, "no NSEC covers %s", name)
	return deeper(common(name, proof[i].Hdr.Name), common(name, proof[i].NextDomain))
}

// requireNXDOMAIN checks the proof of RFC 4035 s5.4 for a name.
func requireNXDOMAIN(t *testing.T, proof []*dns.NSEC, name string) {
	t.Helper()
	wild := "*." + strings.TrimPrefix(encloser(t, proof, name), ".")
	require.True(t, slices.ContainsFunc(proof, func(n *dns.NSEC) bool { return covers(n, wild) }), "no NSEC covers %s", wild)
	for _, n := range proof {
		require.False(t, covers(n, name) && dns.IsSubDomain(name, n.NextDomain), "%s is an empty non-terminal", name)
	}
}

// requireNODATA checks that a name is proved to exist without a type.
func requireNODATA(t *testing.T, proof []*dns.NSEC, name string, qtype uint16) {
	t.Helper()
	lacks := func(n *dns.NSEC) bool {
		return !slices.Contains(n.TypeBitMap, qtype) && !slices.Contains(n.TypeBitMap, dns.TypeCNAME)
	}
	for _, n := range proof {
		if compareNames(n.Hdr.Name, name) == 0 {
			require.True(t, lacks(n), n.String())
			return
		}
		if covers(n, name) && dns.IsSubDomain(name, n.NextDomain) {
			return
		}
	}
	wild := "*." + encloser(t, proof, name)
	require.True(t, slices.ContainsFunc(proof, func(n *dns.NSEC) bool {
		return compareNames(n.Hdr.Name, wild) == 0 && lacks(n)
	}), "no NSEC of %s", wild)
}
