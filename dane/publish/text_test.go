package publish_test

import (
	"bytes"
	"encoding/base64"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/iotregistry/sdk/dane/publish"
	"github.com/miekg/dns"
	"github.com/stretchr/testify/require"
)

func certOf(name string, der []byte) dns.RR {
	return &dns.CERT{
		Hdr:  dns.RR_Header{Name: name, Rrtype: dns.TypeCERT, Class: dns.ClassINET},
		Type: dns.CertPKIX, Certificate: base64.StdEncoding.EncodeToString(der),
	}
}

// oddRecords has one of every kind of name a zone can hold.
var oddRecords = []string{
	`iotregistry.ca. 3600 MX 10 Mail.Iotregistry.CA.`,
	`mail.iotregistry.ca. 300 A 192.0.2.1`,
	`MAIL.iotregistry.ca. 300 AAAA 2001:db8::1`,
	`a.b.c.iotregistry.ca. 60 TXT "under two empty non-terminals"`,
	`*.wild.iotregistry.ca. 60 TXT "wild"`,
	`alias.iotregistry.ca. 60 CNAME Mail.iotregistry.ca.`,
	`moved.iotregistry.ca. 60 DNAME wild.iotregistry.ca.`,
	`_sip._udp.iotregistry.ca. 60 SRV 1 2 5060 Mail.iotregistry.ca.`,
	`e164.iotregistry.ca. 60 NAPTR 100 10 "u" "E2U+sip" "!^.*$!sip:x@example.com!" .`,
	`secure.iotregistry.ca. 60 NS ns.secure.iotregistry.ca.`,
	`secure.iotregistry.ca. 60 DS 12345 13 2 0000000000000000000000000000000000000000000000000000000000000000`,
	`ns.secure.iotregistry.ca. 60 A 192.0.2.53`,
	`insecure.iotregistry.ca. 60 NS insecure.iotregistry.ca.`,
	`insecure.iotregistry.ca. 60 A 192.0.2.54`,
	`zzz.insecure.iotregistry.ca. 60 A 192.0.2.55`,
	`\000\001.iotregistry.ca. 60 TXT "odd"`,
	`a\000.iotregistry.ca. 60 TXT "odd"`,
	`a\.b.iotregistry.ca. 60 TXT "a dot in a label"`,
	`private.iotregistry.ca. 60 TYPE65280 \# 4 DEADBEEF`,
	`_443._tcp.iotregistry.ca. 60 TLSA 3 1 1 AABBCCDDEEFF00112233445566778899AABBCCDDEEFF00112233445566778899`,
}

// TestWriteToVerifies has other people's verifiers judge whole zones.
func TestWriteToVerifies(t *testing.T) {
	t.Parallel()
	for name, keys := range map[string][]publish.Key{
		"P-256 KSK and ZSK": keys13(t), "Ed25519": keys15(), "one P-256 key": keys13(t)[:1],
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			z, err := publish.NewZone(publish.ZoneConfig{Origin: "iotregistry.ca", Keys: keys})
			require.NoError(t, err)
			add := parse(t, oddRecords...)
			for i := range 300 {
				add = append(add, certRR(i))
			}
			_, err = z.Publish(t.Context(), publish.ChangeSet{Add: add})
			require.NoError(t, err)
			_, err = z.Publish(t.Context(), publish.ChangeSet{RemoveNames: []string{deviceName(7), deviceName(299)}})
			require.NoError(t, err)
			path := filepath.Join(t.TempDir(), "zone")
			var text bytes.Buffer
			n, err := z.WriteTo(&text)
			require.NoError(t, err)
			require.EqualValues(t, text.Len(), n)
			require.NoError(t, os.WriteFile(path, text.Bytes(), 0o600))
			verifyFile(t, path, "ldns-verify-zone", path)
			args := []string{"-o", "iotregistry.ca", path}
			if len(keys) == 1 {
				args = append([]string{"-z"}, args...) // one key for everything
			}
			verifyFile(t, path, "dnssec-verify", args...)
		})
	}
}

func verifyFile(t *testing.T, path, tool string, args ...string) {
	t.Helper()
	if _, err := exec.LookPath(tool); err != nil {
		t.Logf("%s is not installed: this check is skipped", tool)
		return
	}
	out, err := exec.Command(tool, args...).CombinedOutput()
	require.NoError(t, err, "%s: %s", tool, out)
}
