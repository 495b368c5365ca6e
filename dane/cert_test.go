package dane_test

import (
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/miekg/dns"
	"github.com/stretchr/testify/require"

	"github.com/iotregistry/sdk/dane"
)

const device = "11.1000000000000001.iotregistry.ca"

func certFor(t testing.TB, p pair) *dns.CERT {
	t.Helper()
	rr, err := dane.NewCERT(device, 3600, p.cert)
	require.NoError(t, err)
	return rr
}

func certOf(typ uint16, data []byte) *dns.CERT {
	return &dns.CERT{
		Hdr:  dns.RR_Header{Name: device + ".", Rrtype: dns.TypeCERT, Class: dns.ClassINET, Ttl: 3600},
		Type: typ, Certificate: base64.StdEncoding.EncodeToString(data),
	}
}

func TestVerifyCERT(t *testing.T) {
	t.Parallel()
	leaf := mint(t, pair{}, names(strings.ToUpper(device)))
	renewed := mint(t, pair{}, names(device))
	other := mint(t, pair{}, names("12.1000000000000001.iotregistry.ca"))
	wild := mint(t, pair{}, names("*.1000000000000001.iotregistry.ca"))
	cn := mint(t, pair{}, subject(strings.ToUpper(device)))
	cnAndSAN := mint(t, pair{}, subject(device), names("x.example"))
	old := mint(t, pair{}, names(device), expired)
	future := mint(t, pair{}, names(device), dates(epoch.Add(time.Second), epoch.AddDate(1, 0, 0)))
	lastSecond := mint(t, pair{}, names(device), dates(epoch.Add(-time.Hour), epoch))
	hash := func(p pair) *dns.CERT { s := sha256.Sum256(p.cert.Raw); return certOf(dns.CertPKIX, s[:]) }
	edit := func(r *dns.CERT, f func(*dns.CERT)) *dns.CERT { f(r); return r }
	trailing := append(append([]byte{}, leaf.cert.Raw...), 0)

	tests := []struct {
		name    string
		leaf    pair
		records []*dns.CERT
		opts    dane.CERTOptions
		want    error
	}{
		{name: "good, case of the name differs", leaf: leaf, records: []*dns.CERT{certFor(t, leaf)}},
		{name: "old and new: any", leaf: leaf, records: []*dns.CERT{certFor(t, renewed), certFor(t, leaf)}},
		{name: "key tag and algorithm are hints", leaf: leaf, records: []*dns.CERT{edit(certFor(t, leaf), func(r *dns.CERT) { r.KeyTag, r.Algorithm = 1, 8 })}},
		{name: "another certificate", leaf: leaf, records: []*dns.CERT{certFor(t, renewed)}, want: dane.ErrNoMatch},
		{name: "one octet more", leaf: leaf, records: []*dns.CERT{certOf(dns.CertPKIX, trailing)}, want: dane.ErrNoMatch},
		{name: "another profile's certificate", leaf: other, records: []*dns.CERT{certFor(t, other)}, want: dane.ErrWrongName},
		{name: "wildcard", leaf: wild, records: []*dns.CERT{certFor(t, wild)}, want: dane.ErrWrongName},
		{name: "name in the subject only", leaf: cn, records: []*dns.CERT{certFor(t, cn)}, want: dane.ErrWrongName},
		{name: "name in the subject, by option", leaf: cn, records: []*dns.CERT{certFor(t, cn)}, opts: dane.CERTOptions{AllowSubjectCN: true}},
		{name: "subject does not count beside a dNSName", leaf: cnAndSAN, records: []*dns.CERT{certFor(t, cnAndSAN)}, opts: dane.CERTOptions{AllowSubjectCN: true}, want: dane.ErrWrongName},
		{name: "expired", leaf: old, records: []*dns.CERT{certFor(t, old)}, want: dane.ErrExpired},
		{name: "not yet valid", leaf: future, records: []*dns.CERT{certFor(t, future)}, want: dane.ErrExpired},
		{name: "last second", leaf: lastSecond, records: []*dns.CERT{certFor(t, lastSecond)}},
		{name: "digest", leaf: leaf, records: []*dns.CERT{hash(leaf)}, want: dane.ErrUnusable},
		{name: "digest, by option", leaf: leaf, records: []*dns.CERT{hash(leaf)}, opts: dane.CERTOptions{AllowHash: true}},
		{name: "digest of another", leaf: leaf, records: []*dns.CERT{hash(renewed)}, opts: dane.CERTOptions{AllowHash: true}, want: dane.ErrNoMatch},
		{name: "whole certificate still counts with digests allowed", leaf: leaf, records: []*dns.CERT{hash(renewed), certFor(t, leaf)}, opts: dane.CERTOptions{AllowHash: true}},
		{name: "PGP", leaf: leaf, records: []*dns.CERT{certOf(dns.CertPGP, leaf.cert.Raw)}, want: dane.ErrUnusable},
		{name: "type 0", leaf: leaf, records: []*dns.CERT{certOf(0, leaf.cert.Raw)}, want: dane.ErrUnusable},
		{name: "IPKIX with the certificate inside", leaf: leaf, records: []*dns.CERT{certOf(dns.CertIPIX, leaf.cert.Raw)}, want: dane.ErrUnusable},
		{name: "no base64", leaf: leaf, records: []*dns.CERT{edit(certFor(t, leaf), func(r *dns.CERT) { r.Certificate = "*" })}, want: dane.ErrUnusable},
		{name: "empty", leaf: leaf, records: []*dns.CERT{certOf(dns.CertPKIX, nil)}, want: dane.ErrNoMatch},
		{name: "nil record beside good", leaf: leaf, records: []*dns.CERT{nil, certFor(t, leaf)}},
		{name: "none", leaf: leaf, want: dane.ErrUnusable},
		{name: "256 records", leaf: leaf, records: repeat(certFor(t, leaf), 256), want: dane.ErrUnusable},
		{name: "no certificate", records: []*dns.CERT{certFor(t, leaf)}, want: dane.ErrInvalid},
		{name: "bad name", leaf: leaf, records: []*dns.CERT{certFor(t, leaf)}, opts: dane.CERTOptions{Name: "a b"}, want: dane.ErrInvalid},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			opts := tt.opts
			opts.Now = atEpoch
			if opts.Name == "" {
				opts.Name = device + "."
			}
			m, err := dane.VerifyCERT(tt.leaf.cert, tt.records, opts)
			if tt.want != nil {
				require.ErrorIs(t, err, tt.want)
				require.Nil(t, m)
				return
			}
			require.NoError(t, err)
			require.Contains(t, tt.records, m.Record)
			require.Same(t, tt.leaf.cert, m.Certificate)
			require.Zero(t, m.Depth)
		})
	}
}

func TestVerifyCERTIndirect(t *testing.T) {
	t.Parallel()
	leaf := mint(t, pair{}, names(device))
	url := func(u string) *dns.CERT { return certOf(dns.CertIPIX, []byte(u)) }
	var asked []string
	fetch := func(data []byte, err error) func(string) ([]byte, error) {
		asked = nil
		return func(u string) ([]byte, error) { asked = append(asked, u); return data, err }
	}
	verify := func(f func(string) ([]byte, error), rrs ...*dns.CERT) error {
		_, err := dane.VerifyCERT(leaf.cert, rrs, dane.CERTOptions{Name: device, Now: atEpoch, Indirect: f})
		return err
	}
	const good = "https://iotregistry.ca/11.der"
	require.NoError(t, verify(fetch(leaf.cert.Raw, nil), url(good)))
	require.Equal(t, []string{good}, asked)
	require.ErrorIs(t, verify(fetch(nil, nil), url(good)), dane.ErrNoMatch)
	boom := errors.New("boom")
	require.ErrorIs(t, verify(fetch(nil, boom), url(good)), boom)
	require.ErrorIs(t, verify(fetch(make([]byte, 1<<16+1), nil), url(good)), dane.ErrUnusable)

	require.ErrorIs(t, verify(fetch(leaf.cert.Raw, nil), url("http://iotregistry.ca/11.der"), url("file:///etc/passwd"), url(good+strings.Repeat("x", 1024))), dane.ErrUnusable)
	require.Empty(t, asked)
	// At most four are followed.
	require.ErrorIs(t, verify(fetch(nil, nil), url(good), url(good), url(good), url(good), url(good), url(good)), dane.ErrNoMatch)
	require.Len(t, asked, 4)
	// A digest inside an indirect record is never a match.
	sum := sha256.Sum256(leaf.cert.Raw)
	_, err := dane.VerifyCERT(leaf.cert, []*dns.CERT{url(good)}, dane.CERTOptions{Name: device, Now: atEpoch, AllowHash: true, Indirect: fetch(sum[:], nil)})
	require.ErrorIs(t, err, dane.ErrNoMatch)
}

func TestMatchCERT(t *testing.T) {
	t.Parallel()
	old := mint(t, pair{}, names("x.example"), expired)
	rr := certFor(t, old)
	got, err := dane.MatchCERT(old.cert, []*dns.CERT{rr}, dane.CERTOptions{})
	require.NoError(t, err) // bytes only: neither name nor dates
	require.Same(t, rr, got)
	_, err = dane.MatchCERT(nil, []*dns.CERT{rr}, dane.CERTOptions{})
	require.ErrorIs(t, err, dane.ErrInvalid)
}
