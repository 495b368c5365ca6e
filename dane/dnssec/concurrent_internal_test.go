package dnssec

import (
	"context"
	"strings"
	"testing"

	"github.com/miekg/dns"
	"github.com/stretchr/testify/require"

	"github.com/iotregistry/sdk/dane/danetest"
)

// A zone that another look-up puts into the cache while one is judging must not
// turn its verdict: here the cache knows iotregistry.ca. from the second time
// on that it is asked, and its DS reply is still on the way.
func TestCacheFillsDuringJudgement(t *testing.T) {
	t.Parallel()
	w := danetest.NewWorld(t, danetest.Config{})
	w.AddTLSA("_443._tcp.iotregistry.ca", 3, 1, 1, make([]byte, 32))
	anchors, err := ParseAnchors(strings.NewReader(w.Anchor()))
	require.NoError(t, err)
	r := &Resolver{Exchanger: w, Anchors: anchors, Now: w.Now}
	const owner = "_443._tcp.iotregistry.ca."
	res, err := r.Lookup(t.Context(), owner, dns.TypeTLSA)
	require.NoError(t, err)
	require.Equal(t, Secure, res.Status)

	late, ok := parseName("iotregistry.ca.")
	require.True(t, ok)
	q := mustQuestion(t, owner, dns.TypeTLSA)
	take := func(recs *records, q question) {
		m, err := w.Exchange(context.Background(), newQuery(q))
		require.NoError(t, err)
		recs.add(m)
	}
	for hidden := range 4 {
		asked, recs := 0, newRecords(Limits{}.filled())
		v := &validation{
			anchors: anchors, now: w.Now(), recs: recs, online: true, failed: map[question]error{},
			cached: func(n name) *zone {
				if n == late {
					if asked++; asked <= hidden {
						return nil
					}
				}
				return r.cache.get(n, w.Now())
			},
		}
		take(recs, q)
		res := v.run(q)
		require.NotEqual(t, Bogus, res.Status, "hidden %d times: %v", hidden, res.Reason)
		take(recs, question{late, dns.TypeDS})
		take(recs, question{late, dns.TypeDNSKEY})
		res = v.run(q)
		require.Equal(t, Secure, res.Status, "hidden %d times: %v", hidden, res.Reason)
	}
}

func mustQuestion(t *testing.T, owner string, typ uint16) question {
	n, ok := parseName(owner)
	require.True(t, ok)
	return question{n, typ}
}
