package dnssec_test

import (
	"encoding/base64"
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/iotregistry/sdk/dane/dnssec"
	"github.com/miekg/dns"
	"github.com/stretchr/testify/require"
)

const ianaDS = `. IN DS 20326 8 2 E06D44B80B8F1D39A95C0B0D7C65D08458E880409BBC683457104237C7F8EC8D
. IN DS 38696 8 2 683D2D0ACB8C9B712A1948B27F741219298D0A450D612C483AF444A4C0FB2B16`

// ksk2017 is the root's key with tag 20326, as published.
const ksk2017 = "AwEAAaz/tAm8yTn4Mfeh5eyI96WSVexTBAvkMgJzkKTOiW1vkIbzxeF3+/4RgWOq7HrxRixHlFlExOLAJr5emLvN7SWXgnLh4+B5xQlNVz8Og8kvArMtNROxVQuCaSnIDdD5LKyWbRd2n9WGe2R8PzgCmr3EgVLrjyBxWezF0jLHwVN8efS3rCj/EWgvIWgb9tarpVUDK/b58Da+sqqls3eNbuv7pr+eoZG+SrDK6nWeL3c6H5Apxz7LjVc1uTIdsIXxuOLYA4/ilBmSVIzuDWfdRUfhHdY6+cn8HFRm+2hM8AnXGXws9555KrUB5qihylGa8subX2Nn6UwNR1AkUTV74bU="

func TestIANAAnchors(t *testing.T) {
	t.Parallel()
	require.Equal(t, ianaDS, dnssec.IANAAnchors().String())
	if data, err := os.ReadFile("/usr/share/dns/root.ds"); err == nil {
		a, err := dnssec.ParseAnchors(strings.NewReader(string(data)))
		require.NoError(t, err)
		require.Equal(t, ianaDS, a.String(), "the operating system has others")
	}
}

func TestParseAnchorsForms(t *testing.T) {
	t.Parallel()
	first, _, _ := strings.Cut(ianaDS, "\n")
	for name, text := range map[string]string{
		"DS":     first,
		"DNSKEY": ". 172800 IN DNSKEY 257 3 8 " + ksk2017,
		"unbound root.key": "; autotrust trust anchor file\n;;id: . 1\n. 172800 IN DNSKEY 257 3 8 " + ksk2017 +
			" ;{id = 20326 (ksk), size = 2048b} ;;state=2 [  VALID  ] ;;count=0 ;;lastchange=1502438400 ;;Fri",
		"BIND key":     "trust-anchors {\n # IANA\n . initial-key 257 3 8 \"" + ksk2017[:80] + "\n " + ksk2017[80:] + "\"; // root\n};",
		"BIND DS":      "trust-anchors { . static-ds 20326 8 2 \"E06D44B80B8F1D39A95C0B0D7C65D08458E880409BBC683457104237C7F8EC8D\"; };",
		"BIND trusted": "trusted-keys { \".\" 257 3 8 \"" + ksk2017 + "\"; };",
		"XML": `<?xml version="1.0"?><TrustAnchor id="x" source="s"><Zone>.</Zone><KeyDigest id="k" validFrom="2017-02-02T00:00:00+00:00">
			<KeyTag>20326</KeyTag><Algorithm>8</Algorithm><DigestType>2</DigestType>
			<Digest>E06D44B80B8F1D39A95C0B0D7C65D08458E880409BBC683457104237C7F8EC8D</Digest>
			<PublicKey>` + ksk2017 + `</PublicKey><Flags>257</Flags></KeyDigest></TrustAnchor>`,
		"with unknown digests": first + "\n. DS 1 8 3 00\n. DS 1 8 1 " + strings.Repeat("00", 20),
	} {
		a, err := dnssec.ParseAnchors(strings.NewReader(text))
		require.NoError(t, err, name)
		require.Equal(t, first, a.String(), name)
	}
}

func TestParseAnchorsRefuses(t *testing.T) {
	t.Parallel()
	for name, text := range map[string]string{
		"empty": "", "only comments": "; nothing\n", "other records": ". IN NS a.", "garbage": "hello",
		"short digest":  ". IN DS 1 8 2 00",
		"only SHA-1":    ". IN DS 1 8 1 " + strings.Repeat("00", 20),
		"broken XML":    "<TrustAnchor>",
		"other XML":     "<html></html>",
		"empty XML":     "<TrustAnchor><Zone>.</Zone></TrustAnchor>",
		"wrong date":    `<TrustAnchor><Zone>.</Zone><KeyDigest validFrom="soon"></KeyDigest></TrustAnchor>`,
		"wrong key":     `<TrustAnchor><Zone>.</Zone><KeyDigest><KeyTag>1</KeyTag><Algorithm>8</Algorithm><DigestType>2</DigestType><Digest>` + strings.Repeat("00", 32) + `</Digest><PublicKey>` + ksk2017 + `</PublicKey></KeyDigest></TrustAnchor>`,
		"revoked":       ". IN DNSKEY 385 3 8 " + ksk2017,
		"not zone key":  ". IN DNSKEY 1 3 8 " + ksk2017,
		"BIND nonsense": "trust-anchors { . what; };",
		"huge":          strings.Repeat(";", 1<<20+1),
	} {
		_, err := dnssec.ParseAnchors(strings.NewReader(text))
		require.ErrorIs(t, err, dnssec.ErrAnchors, name)
		require.True(t, strings.HasPrefix(err.Error(), "dnssec: "), err)
	}
	_, err := dnssec.NewAnchors(nil)
	require.ErrorIs(t, err, dnssec.ErrAnchors)
	_, err = dnssec.NegativeAnchor("a..b", time.Time{})
	require.ErrorIs(t, err, dnssec.ErrAnchors)
}

// RFC 9718: an entry outside its window is no anchor; the last one to go leaves
// no verdict, not a false one.
func TestAnchorWindows(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	ds := w.DS()[0]
	xml := func(from, until time.Time) *dnssec.Anchors {
		a, err := dnssec.ParseAnchors(strings.NewReader(fmt.Sprintf(
			`<TrustAnchor id="i" source="s"><Zone>.</Zone><KeyDigest id="k" validFrom="%s" validUntil="%s"><KeyTag>%d</KeyTag>
			<Algorithm>%d</Algorithm><DigestType>%d</DigestType><Digest>%s</Digest></KeyDigest></TrustAnchor>`,
			from.Format(time.RFC3339), until.Format(time.RFC3339), ds.KeyTag, ds.Algorithm, ds.DigestType, ds.Digest)))
		require.NoError(t, err)
		return a
	}
	now := w.Now()
	for want, a := range map[dnssec.Status][]*dnssec.Anchors{
		dnssec.Secure:        {xml(now, now.Add(time.Hour)), xml(now.Add(-time.Hour), now)},
		dnssec.Indeterminate: {xml(now.Add(time.Second), now.Add(time.Hour)), xml(now.Add(-time.Hour), now.Add(-time.Second))},
	} {
		for _, a := range a {
			r := &dnssec.Resolver{Exchanger: w, Anchors: a, Now: w.Now}
			res, err := r.Lookup(t.Context(), "dev1.iotregistry.ca.", dns.TypeTXT)
			require.NoError(t, err)
			require.Equal(t, want, res.Status)
			if want != dnssec.Secure {
				require.ErrorIs(t, res.Reason, dnssec.ErrNoAnchor)
			}
		}
	}
}

func TestForeignAnchorIsBogus(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	r := &dnssec.Resolver{Exchanger: w, Now: w.Now}
	res, err := r.Lookup(t.Context(), "dev1.iotregistry.ca.", dns.TypeTXT)
	require.NoError(t, err)
	require.Equal(t, dnssec.Bogus, res.Status, "the IANA root is not this one")
	require.ErrorIs(t, res.Reason, dnssec.ErrNoKey)
}

func FuzzParseAnchors(f *testing.F) {
	f.Add(ianaDS)
	f.Add(". 172800 IN DNSKEY 257 3 8 " + ksk2017)
	f.Add("trust-anchors { . initial-ds 1 8 2 \"00\"; };")
	f.Add(`<TrustAnchor><Zone>.</Zone><KeyDigest validFrom="2017-02-02T00:00:00+00:00"><KeyTag>1</KeyTag></KeyDigest></TrustAnchor>`)
	f.Add(base64.StdEncoding.EncodeToString([]byte("x")))
	f.Fuzz(func(t *testing.T, text string) {
		a, err := dnssec.ParseAnchors(strings.NewReader(text))
		if err != nil {
			require.True(t, strings.HasPrefix(err.Error(), "dnssec: "))
			return
		}
		again, err := dnssec.ParseAnchors(strings.NewReader(a.String()))
		require.NoError(t, err, a.String())
		require.Equal(t, a.String(), again.String())
	})
}
