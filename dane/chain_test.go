package dane_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/hex"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/miekg/dns"
	"github.com/stretchr/testify/require"

	"github.com/iotregistry/sdk/dane"
)

const host = "parkoserv.ca"

// world is the chain that the cases below share: root, sub CA, leaf.
type world struct {
	root, sub, leaf pair // the good chain
	other           pair // an unrelated CA
	self            pair // a self-signed leaf
	wrongName, old  pair // leaves under sub for another host, and expired
	oldSub, oldLeaf pair // an expired sub CA with a valid leaf
}

func newWorld(t testing.TB) *world {
	w := &world{}
	w.root = mint(t, pair{}, authority("root"))
	w.sub = mint(t, w.root, authority("sub"))
	w.leaf = mint(t, w.sub, names(host))
	w.other = mint(t, pair{}, authority("other"))
	w.self = mint(t, pair{}, subject(host), names(host))
	w.wrongName = mint(t, w.sub, names("evil.example"))
	w.old = mint(t, w.sub, names(host), expired)
	w.oldSub = mint(t, w.root, authority("old sub"), expired)
	w.oldLeaf = mint(t, w.oldSub, names(host))
	return w
}

func pool(ps ...pair) *x509.CertPool {
	p := x509.NewCertPool()
	for _, c := range ps {
		p.AddCert(c.cert)
	}
	return p
}

// TestVerifyChainMatrix runs every usage, selector and matching type against
// every certificate of the chain: usages 1 and 3 accept the leaf only, usages 0
// and 2 its CAs only, whether the root is presented or not.
func TestVerifyChainMatrix(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	presented := map[string][]*x509.Certificate{
		"whole": certs(w.leaf, w.sub, w.root),
		"usual": certs(w.leaf, w.sub),
	}
	for label, chain := range presented {
		for u := range uint8(4) {
			for s := range uint8(2) {
				for m := range uint8(3) {
					for depth, p := range []pair{w.leaf, w.sub, w.root} {
						t.Run(fmt.Sprintf("%s/%d %d %d/depth %d", label, u, s, m, depth), func(t *testing.T) {
							rr := tlsaFor(t, u, s, m, p)
							match, err := dane.VerifyChain(chain, []*dns.TLSA{rr}, dane.ChainOptions{Name: host, Roots: pool(w.root), Now: atEpoch})
							leafUsage := u == dane.UsageDANEEE || u == dane.UsagePKIXEE
							// An absent root is known by digest only, except to usage 0 with
							// its roots and to usage 2 with the full data in the DNS.
							reachable := depth < len(chain) || u == dane.UsagePKIXTA || m == dane.MatchingFull
							if leafUsage != (depth == 0) || !reachable {
								require.ErrorIs(t, err, dane.ErrNoMatch)
								require.Nil(t, match)
								return
							}
							require.NoError(t, err)
							require.Same(t, rr, match.Record)
							require.Equal(t, depth, match.Depth)
							if bare := depth == len(chain) && u == dane.UsageDANETA && s == dane.SelectorSPKI; bare {
								require.Nil(t, match.Certificate)
								require.Len(t, match.Chain, depth)
							} else {
								require.Equal(t, p.cert.Raw, match.Certificate.Raw)
								require.Equal(t, w.leaf.cert.Raw, match.Chain[0].Raw)
							}
						})
					}
				}
			}
		}
	}
}

// ruleCase is one chain against one record set.
type ruleCase struct {
	name    string
	chain   []*x509.Certificate
	records []*dns.TLSA
	opts    dane.ChainOptions // Name, Roots and Now are filled in
	bare    bool              // leave Name and Roots unset
	want    error
	depth   int
}

// options returns the options to run the case with.
func (c *ruleCase) options(w *world) dane.ChainOptions {
	opts := c.opts
	opts.Now = atEpoch
	if !c.bare {
		opts.Name = host
		if opts.Roots == nil {
			opts.Roots = pool(w.root)
		}
	}
	return opts
}

// ruleCases are the rules of RFC 7671, each with what must come of it.
func ruleCases(t testing.TB, w *world) []ruleCase {
	t.Helper()
	good := certs(w.leaf, w.sub, w.root)
	rr := func(u, s, m uint8, p pair) *dns.TLSA { return tlsaFor(t, u, s, m, p) }
	edit := func(r *dns.TLSA, f func(*dns.TLSA)) *dns.TLSA { f(r); return r }
	data := func(r *dns.TLSA, d string) *dns.TLSA { r.Certificate = d; return r }
	clientOnly := mint(t, w.sub, names(host), usage(x509.ExtKeyUsageClientAuth))
	wild := mint(t, w.sub, names("*.parkoserv.ca"))
	notCA := mint(t, w.root, subject("not a CA"), names(host))
	underNotCA := mint(t, pair{notCA.cert, notCA.key}, names(host))
	forged := mint(t, mint(t, pair{}, authority("sub")), names(host)) // claims sub as issuer
	twin := mintWith(t, pair{}, w.sub.key, authority("sub"))          // same key and name as sub, other certificate
	type records = []*dns.TLSA
	return []ruleCase{
		// RFC 7671 section 5.1: nothing but the key or certificate counts.
		{name: "3 ignores the name", chain: certs(w.wrongName), records: records{rr(3, 1, 1, w.wrongName)}},
		{name: "3 ignores expiry", chain: certs(w.old), records: records{rr(3, 1, 1, w.old)}},
		{name: "3 ignores the issuer", chain: certs(w.leaf), records: records{rr(3, 0, 1, w.leaf)}},
		{name: "3 ignores extended key usage", chain: certs(clientOnly), records: records{rr(3, 1, 1, clientOnly)}},
		{name: "3 needs no name or roots", chain: certs(w.self), records: records{rr(3, 1, 2, w.self)}, bare: true},
		{name: "3 strict: name", chain: certs(w.wrongName), records: records{rr(3, 1, 1, w.wrongName)}, opts: dane.ChainOptions{StrictEE: true}, want: dane.ErrWrongName},
		{name: "3 strict: dates", chain: certs(w.old), records: records{rr(3, 1, 1, w.old)}, opts: dane.ChainOptions{StrictEE: true}, want: dane.ErrExpired},
		{name: "3 strict: good", chain: good, records: records{rr(3, 1, 1, w.leaf)}, opts: dane.ChainOptions{StrictEE: true}},
		{name: "3 matches the leaf only", chain: good, records: records{rr(3, 1, 1, w.sub)}, want: dane.ErrNoMatch},
		{name: "3 full, upper-case hex", chain: good, records: records{edit(rr(3, 0, 0, w.leaf), func(r *dns.TLSA) { r.Certificate = strings.ToUpper(r.Certificate) })}},
		{name: "3 with one octet changed", chain: good, records: records{edit(rr(3, 1, 1, w.leaf), flipHex)}, want: dane.ErrNoMatch},

		// RFC 7671 section 5.2: name, dates, and a path to the anchor.
		{name: "2 sub by key", chain: good, records: records{rr(2, 1, 1, w.sub)}, depth: 1},
		{name: "2 root by certificate", chain: good, records: records{rr(2, 0, 2, w.root)}, depth: 2},
		{name: "2 never consults roots", chain: certs(w.leaf, w.sub), records: records{rr(2, 0, 1, w.other)}, want: dane.ErrNoMatch},
		{name: "2 needs no roots", chain: certs(w.leaf, w.sub), records: records{rr(2, 1, 1, w.sub)}, depth: 1},
		{name: "2 needs a name", chain: good, records: records{rr(2, 1, 1, w.sub)}, bare: true, want: dane.ErrWrongName},
		{name: "2 wrong name", chain: certs(w.wrongName, w.sub), records: records{rr(2, 1, 1, w.sub)}, want: dane.ErrWrongName},
		{name: "2 also-name", chain: certs(w.wrongName, w.sub), records: records{rr(2, 1, 1, w.sub)}, opts: dane.ChainOptions{AlsoNames: []string{"EVIL.example."}}, depth: 1},
		{name: "2 wildcard does not cover its parent", chain: certs(wild, w.sub), records: records{rr(2, 1, 1, w.sub)}, want: dane.ErrWrongName},
		{name: "2 wildcard", chain: certs(wild, w.sub), records: records{rr(2, 1, 1, w.sub)}, opts: dane.ChainOptions{AlsoNames: []string{"www.parkoserv.ca"}}, depth: 1},
		{name: "2 expired leaf", chain: certs(w.old, w.sub), records: records{rr(2, 1, 1, w.sub)}, want: dane.ErrExpired},
		{name: "2 expired sub", chain: certs(w.oldLeaf, w.oldSub, w.root), records: records{rr(2, 1, 1, w.root)}, want: dane.ErrExpired},
		{name: "2 expired anchor", chain: certs(w.oldLeaf, w.oldSub), records: records{rr(2, 0, 1, w.oldSub)}, want: dane.ErrExpired},
		{name: "2 wrong extended key usage", chain: certs(clientOnly, w.sub), records: records{rr(2, 1, 1, w.sub)}, want: dane.ErrNoMatch},
		{name: "2 for clients", chain: certs(clientOnly, w.sub), records: records{rr(2, 1, 1, w.sub)}, opts: dane.ChainOptions{KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}}, depth: 1},
		{name: "2 never the leaf", chain: certs(w.leaf), records: records{rr(2, 0, 1, w.leaf)}, want: dane.ErrNoMatch},
		{name: "2 never the self-signed leaf", chain: certs(w.self), records: records{rr(2, 0, 0, w.self)}, want: dane.ErrNoMatch},
		{name: "2 never the self-signed leaf's key", chain: certs(w.self), records: records{rr(2, 1, 0, w.self)}, want: dane.ErrNoMatch},
		{name: "2 never the leaf sent twice", chain: certs(w.self, w.self), records: records{rr(2, 0, 1, w.self), rr(2, 1, 1, w.self), rr(2, 1, 0, w.self)}, want: dane.ErrNoMatch},
		{name: "2 unrelated CA appended", chain: certs(w.leaf, w.other), records: records{rr(2, 0, 1, w.other)}, want: dane.ErrNoMatch},
		{name: "2 chain with a gap", chain: certs(w.leaf, w.root), records: records{rr(2, 0, 1, w.root)}, want: dane.ErrNoMatch},
		{name: "2 forged leaf", chain: certs(forged, w.sub), records: records{rr(2, 0, 1, w.sub)}, want: dane.ErrNoMatch},
		{name: "2 issuer that is no CA", chain: certs(underNotCA, notCA), records: records{rr(2, 0, 1, notCA)}, want: dane.ErrNoMatch},
		{name: "2 shuffled chain", chain: certs(w.leaf, w.root, w.sub), records: records{rr(2, 0, 1, w.root)}, depth: 2},

		// Anchors that are only in the DNS.
		{name: "2 0 0 sub not sent", chain: certs(w.leaf), records: records{rr(2, 0, 0, w.sub)}, depth: 1},
		{name: "2 0 0 root not sent", chain: certs(w.leaf, w.sub), records: records{rr(2, 0, 0, w.root)}, depth: 2},
		{name: "2 1 0 sub not sent", chain: certs(w.leaf), records: records{rr(2, 1, 0, w.sub)}, depth: 1},
		{name: "2 1 0 root not sent", chain: certs(w.leaf, w.sub), records: records{rr(2, 1, 0, w.root)}, depth: 2},
		{name: "2 0 1 root not sent", chain: certs(w.leaf, w.sub), records: records{rr(2, 0, 1, w.root)}, want: dane.ErrNoMatch},
		{name: "2 0 0 other", chain: certs(w.leaf, w.sub), records: records{rr(2, 0, 0, w.other)}, want: dane.ErrNoMatch},
		{name: "2 1 0 other", chain: certs(w.leaf, w.sub), records: records{rr(2, 1, 0, w.other)}, want: dane.ErrNoMatch},
		{name: "2 1 0 wrong name", chain: certs(w.wrongName), records: records{rr(2, 1, 0, w.sub)}, want: dane.ErrWrongName},
		{name: "2 1 0 expired leaf", chain: certs(w.old), records: records{rr(2, 1, 0, w.sub)}, want: dane.ErrExpired},
		{name: "2 1 0 forged leaf", chain: certs(forged), records: records{rr(2, 1, 0, w.sub)}, want: dane.ErrNoMatch},
		{name: "2 1 0 expired anchor that is sent", chain: certs(w.oldLeaf, w.oldSub), records: records{rr(2, 1, 0, w.oldSub)}, want: dane.ErrExpired},
		{name: "2 0 0 expired anchor", chain: certs(w.oldLeaf), records: records{rr(2, 0, 0, w.oldSub)}, want: dane.ErrExpired},
		{name: "2 1 1 another certificate of the same CA", chain: certs(w.leaf, twin), records: records{rr(2, 1, 1, w.sub)}, depth: 1},
		{name: "2 0 1 another certificate of the same CA", chain: certs(w.leaf, twin), records: records{rr(2, 0, 1, w.sub)}, want: dane.ErrNoMatch},

		// Usages 0 and 1: a record and a configured root.
		{name: "1 good", chain: good, records: records{rr(1, 1, 1, w.leaf)}},
		{name: "1 untrusted", chain: certs(w.self), records: records{rr(1, 1, 1, w.self)}, want: dane.ErrNoMatch},
		{name: "1 wrong name", chain: certs(w.wrongName, w.sub), records: records{rr(1, 1, 1, w.wrongName)}, want: dane.ErrWrongName},
		{name: "1 expired", chain: certs(w.old, w.sub), records: records{rr(1, 1, 1, w.old)}, want: dane.ErrExpired},
		{name: "0 root not sent", chain: certs(w.leaf, w.sub), records: records{rr(0, 0, 1, w.root)}, depth: 2},
		{name: "0 leaf", chain: good, records: records{rr(0, 0, 1, w.leaf)}, want: dane.ErrNoMatch},
		{name: "0 not in the path", chain: certs(w.leaf, w.sub, w.other), records: records{rr(0, 0, 1, w.other)}, want: dane.ErrNoMatch},
		{name: "0 untrusted root", chain: good, records: records{rr(0, 0, 1, w.root)}, opts: dane.ChainOptions{Roots: pool(w.other)}, want: dane.ErrNoMatch},
		{name: "0 and 1 without roots", chain: good, records: records{rr(0, 0, 1, w.root), rr(1, 1, 1, w.leaf)}, bare: true, want: dane.ErrUnusable},

		// The mapping of usages 0 and 1.
		{name: "mapped 0 0 1 of the leaf", chain: certs(w.self), records: records{rr(0, 0, 1, w.self)}, opts: dane.ChainOptions{MapPKIX: true}},
		{name: "mapped 1 1 1", chain: certs(w.self), records: records{rr(1, 1, 1, w.self)}, opts: dane.ChainOptions{MapPKIX: true}},
		{name: "mapped 0 0 1 of the CA", chain: certs(w.leaf, w.sub), records: records{rr(0, 0, 1, w.sub)}, opts: dane.ChainOptions{MapPKIX: true, Roots: pool(w.other)}, depth: 1},
		{name: "mapped 0 0 0 of a CA not sent", chain: certs(w.leaf), records: records{rr(0, 0, 0, w.sub)}, opts: dane.ChainOptions{MapPKIX: true}, depth: 1},
		{name: "mapped keeps the name", chain: certs(w.wrongName), records: records{rr(0, 0, 1, w.wrongName)}, opts: dane.ChainOptions{MapPKIX: true}, want: dane.ErrWrongName},
		{name: "mapped keeps the dates", chain: certs(w.old), records: records{rr(1, 0, 1, w.old)}, opts: dane.ChainOptions{MapPKIX: true}, want: dane.ErrExpired},

		// Several records: any match suffices.
		{name: "EE or TA: EE", chain: certs(w.leaf), records: records{rr(2, 0, 1, w.other), rr(3, 1, 1, w.leaf)}},
		{name: "EE or TA: TA", chain: good, records: records{rr(3, 1, 1, w.other), rr(2, 0, 1, w.sub)}, depth: 1},
		{name: "PKIX-EE fails, PKIX-TA set mixed", chain: good, records: records{rr(1, 1, 1, w.other), rr(0, 0, 1, w.root)}, depth: 2},
		{name: "old and new key", chain: good, records: records{rr(3, 1, 1, w.old), rr(3, 1, 1, w.leaf)}},

		// Digest agility, RFC 7671 section 9.
		{name: "weaker digest ignored", chain: good, records: records{rr(3, 1, 1, w.leaf), rr(3, 1, 2, w.other)}, want: dane.ErrNoMatch},
		{name: "other selector not affected", chain: good, records: records{rr(3, 0, 1, w.leaf), rr(3, 1, 2, w.other)}},
		{name: "other usage not affected", chain: good, records: records{rr(3, 1, 1, w.leaf), rr(2, 1, 2, w.other)}},
		{name: "full always counts", chain: good, records: records{rr(3, 1, 0, w.leaf), rr(3, 1, 2, w.other)}},
		{name: "malformed stronger digest does not count", chain: good, records: records{rr(3, 1, 1, w.leaf), data(rr(3, 1, 2, w.leaf), "aabb")}},

		// Unusable records.
		{name: "none", chain: good, want: dane.ErrUnusable},
		{name: "nil record", chain: good, records: records{nil}, want: dane.ErrUnusable},
		{name: "unknown usage", chain: good, records: records{edit(rr(3, 1, 1, w.leaf), func(r *dns.TLSA) { r.Usage = 4 })}, want: dane.ErrUnusable},
		{name: "private usage", chain: good, records: records{edit(rr(3, 1, 1, w.leaf), func(r *dns.TLSA) { r.Usage = 255 })}, want: dane.ErrUnusable},
		{name: "unknown selector", chain: good, records: records{edit(rr(3, 1, 1, w.leaf), func(r *dns.TLSA) { r.Selector = 2 })}, want: dane.ErrUnusable},
		{name: "unknown matching type", chain: good, records: records{edit(rr(3, 1, 1, w.leaf), func(r *dns.TLSA) { r.MatchingType = 3 })}, want: dane.ErrUnusable},
		{name: "no data", chain: good, records: records{data(rr(3, 1, 1, w.leaf), "")}, want: dane.ErrUnusable},
		{name: "no full data", chain: good, records: records{data(rr(3, 1, 0, w.leaf), "")}, want: dane.ErrUnusable},
		{name: "three octets", chain: good, records: records{data(rr(3, 1, 1, w.leaf), "aabbcc")}, want: dane.ErrUnusable},
		{name: "odd hex", chain: good, records: records{data(rr(3, 1, 1, w.leaf), "abc")}, want: dane.ErrUnusable},
		{name: "no hex", chain: good, records: records{data(rr(3, 1, 1, w.leaf), "zz")}, want: dane.ErrUnusable},
		{name: "SHA-512 length with type 1", chain: good, records: records{edit(rr(3, 1, 2, w.leaf), func(r *dns.TLSA) { r.MatchingType = 1 })}, want: dane.ErrUnusable},
		{name: "2 0 0 that is no certificate", chain: good, records: records{data(rr(2, 0, 0, w.sub), "30820102")}, want: dane.ErrUnusable},
		{name: "2 1 0 that is no key", chain: good, records: records{data(rr(2, 1, 0, w.sub), "30820102")}, want: dane.ErrUnusable},
		{name: "unusable beside good", chain: good, records: records{data(rr(3, 1, 1, w.leaf), "aa"), nil, rr(3, 1, 1, w.leaf)}},
		{name: "255 records", chain: good, records: repeat(rr(3, 1, 1, w.leaf), 255)},
		{name: "256 records", chain: good, records: repeat(rr(3, 1, 1, w.leaf), 256), want: dane.ErrUnusable},

		// Bad chains.
		{name: "no chain", records: records{rr(3, 1, 1, w.leaf)}, want: dane.ErrInvalid},
		{name: "nil certificate", chain: []*x509.Certificate{nil}, records: records{rr(3, 1, 1, w.leaf)}, want: dane.ErrInvalid},
		{name: "unparsed certificate", chain: []*x509.Certificate{{}}, records: records{rr(3, 1, 1, w.leaf)}, want: dane.ErrInvalid},
		{name: "17 certificates", chain: certs(repeat(w.leaf, 17)...), records: records{rr(3, 1, 1, w.leaf)}, want: dane.ErrInvalid},
	}
}

func TestVerifyChainRules(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	for _, tt := range ruleCases(t, w) {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			m, err := dane.VerifyChain(tt.chain, tt.records, tt.options(w))
			if tt.want != nil {
				require.ErrorIs(t, err, tt.want)
				require.Nil(t, m)
				return
			}
			require.NoError(t, err)
			require.Equal(t, tt.depth, m.Depth)
			require.Contains(t, tt.records, m.Record)
		})
	}
}

func flipHex(r *dns.TLSA) {
	b, _ := hex.DecodeString(r.Certificate)
	b[0] ^= 1
	r.Certificate = hex.EncodeToString(b)
}

func repeat[T any](v T, n int) []T { return slices.Repeat([]T{v}, n) }

func TestVerifyChainClock(t *testing.T) {
	t.Parallel()
	ca := mint(t, pair{}, authority("ca"), dates(epoch, epoch.AddDate(10, 0, 0)))
	leaf := mint(t, ca, names(host), dates(epoch, epoch.Add(time.Hour)))
	rrs := []*dns.TLSA{tlsaFor(t, 2, 1, 1, ca)}
	for _, tt := range []struct {
		at time.Duration
		ok bool
	}{{-time.Second, false}, {0, true}, {time.Hour, true}, {time.Hour + time.Second, false}} {
		_, err := dane.VerifyChain(certs(leaf, ca), rrs, dane.ChainOptions{Name: host, Now: func() time.Time { return epoch.Add(tt.at) }})
		if tt.ok {
			require.NoError(t, err, tt.at)
		} else {
			require.ErrorIs(t, err, dane.ErrExpired, tt.at)
		}
	}
	// A nil clock is the real one.
	_, err := dane.VerifyChain(certs(leaf, ca), rrs, dane.ChainOptions{Name: host})
	if time.Now().After(epoch.Add(time.Hour)) || time.Now().Before(epoch) {
		require.ErrorIs(t, err, dane.ErrExpired)
	}
}

// TestVerifyChainNameConstraints: an authority that is limited to its zone
// cannot vouch for others, and underscores in names do no harm.
func TestVerifyChainNameConstraints(t *testing.T) {
	t.Parallel()
	ca := mint(t, pair{}, authority("ca"), func(c *x509.Certificate) {
		c.PermittedDNSDomains, c.PermittedDNSDomainsCritical = []string{"iotregistry.ca"}, true
	})
	for name, want := range map[string]error{"1._device.iotregistry.ca": nil, device: nil, "x.evil.example": dane.ErrNoMatch} {
		leaf := mint(t, ca, names(name))
		_, err := dane.VerifyChain(certs(leaf, ca), []*dns.TLSA{tlsaFor(t, 2, 1, 1, ca)}, dane.ChainOptions{Name: name, Now: atEpoch})
		require.ErrorIs(t, err, want, name)
	}
}

// TestVerifyChainManyAnchors: work stays small with as many anchors as a record
// set may hold, all with the name of the leaf's issuer.
func TestVerifyChainManyAnchors(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	var rrs []*dns.TLSA
	for range 255 {
		key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
		require.NoError(t, err)
		rrs = append(rrs, tlsaFor(t, 2, 1, 0, mintWith(t, pair{}, key, authority("sub"))))
	}
	start := time.Now()
	_, err := dane.VerifyChain(certs(w.leaf, w.sub, w.root), rrs, dane.ChainOptions{Name: host, Now: atEpoch})
	require.ErrorIs(t, err, dane.ErrNoMatch)
	require.Less(t, time.Since(start), 2*time.Second) // package x509 stops after 100 signatures
}
