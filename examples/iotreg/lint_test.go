package main

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/iotregistry/sdk/dane/danetest"
)

func TestLint(t *testing.T) {
	t.Parallel()
	const digest = "5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a"
	for name, c := range map[string]struct {
		spoil   func(l *lab)
		args    func(l *lab) []string
		verdict string
		codes   []string
	}{
		"service":        {args: service, verdict: "usable"},
		"device":         {args: device, verdict: "usable"},
		"other device":   {args: other, verdict: "faulty", codes: []string{"cert-no-match", "not-verified"}},
		"owner name":     {args: func(l *lab) []string { return []string{l.owner} }, verdict: "usable"},
		"0 0 1":          {func(l *lab) { l.replace(0, 0, 1, describe(l.service.Leaf).SHA256) }, service, "faulty", []string{"usage-0-for-leaf"}},
		"wrong selector": {func(l *lab) { l.replace(3, 1, 1, describe(l.service.Leaf).SHA256) }, service, "faulty", []string{"tlsa-selector"}},
		"old key":        {func(l *lab) { l.replace(3, 1, 1, digest) }, service, "faulty", []string{"tlsa-no-match", "not-verified"}},
		"half a digest":  {func(l *lab) { l.replace(3, 1, 1, digest[:32]) }, service, "faulty", []string{"tlsa-length"}},
		"withdrawn":      {func(l *lab) { l.Withdraw(l.owner) }, service, "absent", []string{"no-records"}},
		"forged":         {func(l *lab) { l.spoil(l.owner, danetest.Lie()) }, service, "bogus", []string{"bogus"}},
		"no server":      {func(l *lab) { l.Withdraw("parkoserv.ca.") }, service, "usable", []string{"not-compared"}},
		"long TTL": {func(l *lab) { l.Withdraw(l.owner); l.Add(l.owner + " 604800 TLSA 3 1 1 " + digest) },
			func(l *lab) []string { return []string{l.owner} }, "usable", []string{"long-ttl"}},
		"unsigned": {args: func(*lab) []string { return []string{"plain.ca"} }, verdict: "insecure", codes: []string{"unsigned", "unsigned"}},
		"ends soon": {args: func(l *lab) []string { return []string{"-time", "2026-06-13T00:00:00Z", l.owner} },
			verdict: "usable", codes: []string{"signature-ends"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			l := newLab(t)
			if c.spoil != nil {
				c.spoil(l)
			}
			code, object := l.object(append([]string{"lint"}, c.args(l)...)...)
			require.Equal(t, c.verdict, object["verdict"], object)
			require.Equal(t, c.verdict != "usable", code == 1, "exit status %d", code)
			var codes []string
			for _, f := range object["findings"].([]any) {
				f := f.(map[string]any)
				codes = append(codes, f["code"].(string))
				require.NotEmpty(t, f["text"])
				require.NotEmpty(t, f["fix"])
			}
			require.Equal(t, c.codes, codes)
			_, stdout, _ := l.iotreg(append([]string{"lint"}, c.args(l)...)...)
			require.True(t, strings.HasPrefix(stdout, c.verdict+": "), stdout)
			for _, s := range codes {
				require.Contains(t, stdout, "("+s+")")
			}
		})
	}
}

func service(l *lab) []string { return []string{l.target} }
func device(l *lab) []string  { return []string{"-cert", l.path("meter.pem"), meter} }
func other(l *lab) []string   { return []string{"-cert", l.path("other.pem"), meter} }
