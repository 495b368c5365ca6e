package main

import (
	"encoding/hex"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/miekg/dns"
	"github.com/stretchr/testify/require"

	"github.com/iotregistry/sdk/dane"
	"github.com/iotregistry/sdk/dane/danetest"
)

func TestVerify(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		spoil   func(l *lab)
		verdict string
		tells   []string
	}{
		"verified":      {func(*lab) {}, "verified", []string{"TLSA 3 1 1", "DANE-EE", "127.0.0.1:", "TLS 1.3", "zone parkoserv.ca."}},
		"one flipped":   {func(l *lab) { l.spoil(l.owner, danetest.FlipSignature()) }, "bogus", []string{"zone         parkoserv.ca.", "RFC 4035 section 5.3.3", "EDE          6"}},
		"expired":       {func(l *lab) { l.spoil(l.owner, danetest.Expire()) }, "bogus", []string{"expired", "EDE          7"}},
		"no answer":     {func(l *lab) { l.spoil(l.owner, danetest.ServFail()) }, "indeterminate", nil},
		"withdrawn":     {func(l *lab) { l.Withdraw(l.owner) }, "absent", []string{"publish", "3 1 1 "}},
		"another key":   {func(l *lab) { l.replace(3, 1, 1, strings.Repeat("5a", 32)) }, "no-match", []string{"tlsa-no-match", "publish", "3 1 1 "}},
		"unusable":      {func(l *lab) { l.replace(3, 1, 1, "5a5a") }, "unusable", []string{"tlsa-length"}},
		"no address":    {func(l *lab) { l.Withdraw("parkoserv.ca.") }, "absent", []string{"-connect"}},
		"bogus address": {func(l *lab) { l.Inject(danetest.Fault{Type: dns.TypeA, Effect: danetest.Lie()}) }, "bogus", []string{"parkoserv.ca. A"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			l := newLab(t)
			c.spoil(l)
			code, stdout, stderr := l.iotreg("verify", l.target)
			require.Empty(t, stderr)
			want := "not verified (" + c.verdict + "): "
			if c.verdict == verified {
				want = "verified: "
			}
			require.Contains(t, stdout, want+l.target)
			for _, s := range c.tells {
				require.Contains(t, stdout, s)
			}
			require.Equal(t, c.verdict != verified, code == 1, "exit status %d", code)
			code, object := l.object("verify", l.target)
			require.Equal(t, c.verdict, object["verdict"])
			require.Equal(t, code == 0, object["ok"])
		})
	}
}

func (l *lab) spoil(name string, effect danetest.Effect) {
	l.Inject(danetest.Fault{Name: name, Effect: effect})
}

// replace publishes this TLSA record instead of the service's.
func (l *lab) replace(usage, selector, matching uint8, data string) {
	l.t.Helper()
	l.Withdraw(l.owner)
	l.Add(fmt.Sprintf("%s 300 TLSA %d %d %d %s", l.owner, usage, selector, matching, data))
}

// TestVerifyElsewhere: with -connect the host needs no address, and one that
// cannot be reached is no verdict on its certificate.
func TestVerifyElsewhere(t *testing.T) {
	t.Parallel()
	l := newLab(t)
	l.Withdraw("parkoserv.ca.")
	_, port, _ := strings.Cut(l.target, ":")
	code, object := l.object("verify", "-connect", "127.0.0.1:"+port, l.target)
	require.Equal(t, 0, code, object)
	code, object = l.object("verify", "-connect", "127.0.0.1:1", l.target)
	require.Equal(t, 1, code)
	require.Equal(t, "indeterminate", object["verdict"])
	require.Contains(t, object["reason"].(map[string]any)["text"], "cannot connect")
}

// TestVerifyAlias: the server is asked for by the name that has the records.
func TestVerifyAlias(t *testing.T) {
	t.Parallel()
	l := newLab(t)
	l.Add("www.carparkserv.ca. 300 CNAME parkoserv.ca.")
	_, port, _ := strings.Cut(l.target, ":")
	code, object := l.object("verify", "www.carparkserv.ca:"+port)
	require.Equal(t, 0, code, object)
	require.Equal(t, l.owner, object["answer"].(map[string]any)["name"])
	require.Equal(t, "parkoserv.ca", l.sni.Load())
	l.Add("www.plain.ca. 300 CNAME parkoserv.ca.") // an alias that proves nothing
	code, object = l.object("verify", "www.plain.ca:"+port)
	require.Equal(t, []any{1, "insecure"}, []any{code, object["verdict"]})
	require.Equal(t, "www.plain.ca", l.sni.Load())
}

func TestVerifyDevice(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		spoil   func(l *lab)
		cert    string
		verdict string
	}{
		"PEM":       {func(*lab) {}, "meter.pem", "verified"},
		"DER":       {func(*lab) {}, "meter.der", "verified"},
		"other":     {func(*lab) {}, "other.pem", "no-match"},
		"withdrawn": {func(l *lab) { l.Withdraw(meter + ".") }, "meter.pem", "absent"},
		"forged":    {func(l *lab) { l.spoil(meter, danetest.Lie()) }, "meter.pem", "bogus"},
		"stripped":  {func(l *lab) { l.Inject(danetest.Fault{Effect: danetest.Strip()}) }, "meter.pem", "bogus"},
		"silence":   {func(l *lab) { l.Inject(danetest.Fault{Effect: danetest.Rcode(dns.RcodeRefused)}) }, "meter.pem", "indeterminate"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			l := newLab(t)
			c.spoil(l)
			code, object := l.object("verify-device", meter, l.path(c.cert))
			require.Equal(t, c.verdict, object["verdict"], object)
			require.Equal(t, c.verdict != verified, code == 1, "exit status %d", code)
		})
	}
}

// TestVerifyDevicePrototype: digests in CERT records count only when asked for.
func TestVerifyDevicePrototype(t *testing.T) {
	t.Parallel()
	l := newLab(t)
	chain, err := readChain(l.path("meter.der"))
	require.NoError(t, err)
	digest, err := hex.DecodeString(describe(chain[0]).SHA256)
	require.NoError(t, err)
	l.Withdraw(meter + ".")
	l.AddCERT(meter, digest)
	code, object := l.object("verify-device", meter, l.path("meter.der"))
	require.Equal(t, []any{1, "unusable"}, []any{code, object["verdict"]})
	code, object = l.object("verify-device", "-prototype", meter, l.path("meter.der"))
	require.Equal(t, []any{0, "verified"}, []any{code, object["verdict"]})
}

// TestTime: the same answer looked at after its signatures have ended.
func TestTime(t *testing.T) {
	t.Parallel()
	l := newLab(t)
	later := l.Now().Add(30 * 24 * time.Hour).Format(time.RFC3339)
	code, object := l.object("verify-device", "-time", later, meter, l.path("meter.pem"))
	require.Equal(t, []any{1, "bogus"}, []any{code, object["verdict"]})
	require.Equal(t, later, object["time"])
}

func TestMeaning(t *testing.T) {
	t.Parallel()
	l := newLab(t)
	for params, want := range map[[3]uint8]string{
		{3, 1, 1}: "DANE-EE: the certificate itself, compared by public key, SHA-256",
		{2, 0, 0}: "DANE-TA: a CA that the domain vouches for, compared by whole certificate, in full",
		{9, 9, 9}: "9, compared by 9, 9",
	} {
		rr := &dns.TLSA{Usage: params[0], Selector: params[1], MatchingType: params[2]}
		require.Contains(t, meaning(rr), want)
	}
	cert, err := dane.NewCERT(meter, 300, l.service.Leaf)
	require.NoError(t, err)
	require.Contains(t, meaning(cert), "RFC 4398")
}
