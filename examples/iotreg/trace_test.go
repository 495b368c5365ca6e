package main

import (
	"encoding/json"
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/miekg/dns"
	"github.com/stretchr/testify/require"

	"github.com/iotregistry/sdk/dane/danetest"
)

// zoneLines returns the lines of a trace that begin with a zone's name.
func zoneLines(stdout string) (names []string) {
	table := false
	for s := range strings.Lines(stdout) {
		switch {
		case strings.HasPrefix(s, "; ZONE"):
			table = true
		case strings.HasPrefix(s, ";"):
			table = false
		case table:
			names = append(names, strings.Join(strings.Fields(s)[:2], " "))
		}
	}
	return names
}

func TestTrace(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		args   []string
		effect danetest.Effect
		under  string
		code   int
		zones  []string
		tells  []string
	}{
		"device": {
			args: []string{meter}, zones: []string{". secure", "ca. secure", "iotregistry.ca. secure"},
			tells: []string{meter + ". CERT as of 2026-06-01T12:00:00Z", "anchor ", "DS ", " KSK*", " ZSK*", "13 ECDSAP256SHA256", "secure: fully validated, 1 record\n", "6 signatures checked"},
		},
		"denial": {
			args: []string{"nobody.iotregistry.ca", "txt"}, zones: []string{". secure", "ca. secure", "iotregistry.ca. secure"},
			tells: []string{"secure: negative response, fully validated: there is no such name"},
		},
		"no such type": {
			args: []string{meter, "TLSA"}, zones: []string{". secure", "ca. secure", "iotregistry.ca. secure"},
			tells: []string{"the name has no TLSA record"},
		},
		"unsigned": {
			args: []string{"plain.ca"}, code: 1, zones: []string{". secure", "ca. secure", "plain.ca. insecure"},
			tells: []string{"plain.ca. 300 IN A 127.0.0.1", "insecure: unsigned answer", "zone         ca.", "rule         RFC "},
		},
		"one flipped signature": {
			args: []string{meter}, effect: danetest.FlipSignature(), under: meter, code: 1,
			zones: []string{". secure", "ca. secure", "iotregistry.ca. secure"},
			tells: []string{"bogus: validation failed", "zone         iotregistry.ca.", "record       " + meter + ". CERT", "rule         RFC 4035 section 5.3.3"},
		},
		"zone key set expired": {
			args: []string{meter}, effect: danetest.Expire(), under: "iotregistry.ca", code: 1,
			tells: []string{"bogus: validation failed", "zone         ", "EDE          7, Signature Expired"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			l := newLab(t)
			if c.effect != nil {
				l.Inject(danetest.Fault{Under: c.under, Effect: c.effect})
			}
			code, stdout, stderr := l.iotreg(append([]string{"trace"}, c.args...)...)
			require.Empty(t, stderr)
			require.Equal(t, c.code, code, stdout)
			if c.zones != nil {
				require.Equal(t, c.zones, zoneLines(stdout))
			}
			for _, s := range c.tells {
				require.Contains(t, stdout, s)
			}
		})
	}
}

// TestTraceJSON: the fields are a promise.
func TestTraceJSON(t *testing.T) {
	t.Parallel()
	l := newLab(t)
	code, object := l.object("trace", l.target)
	require.Equal(t, 0, code)
	require.Equal(t, []string{"answer", "command", "ok", "subject", "time", "verdict"}, fields(object))
	a := object["answer"].(map[string]any)
	require.Equal(t, []string{"expires", "name", "nsec3_hashes", "queries", "rcode", "records", "status", "type",
		"valid_from", "valid_until", "verifications", "zones"}, fields(a))
	require.Equal(t, []any{l.owner, "TLSA", "secure", "NOERROR"}, []any{a["name"], a["type"], a["status"], a["rcode"]})
	rr, err := dns.NewRR(a["records"].([]any)[0].(string))
	require.NoError(t, err)
	require.Equal(t, dns.TypeTLSA, rr.Header().Rrtype)
	zones := a["zones"].([]any)
	require.Len(t, zones, 3)
	last := zones[2].(map[string]any)
	require.Equal(t, []string{"anchor", "cached", "ds", "expires", "keys", "status", "zone"}, fields(last))
	require.Equal(t, []string{"algorithm", "digest_type", "matched", "tag"}, fields(last["ds"].([]any)[0].(map[string]any)))
	require.Equal(t, []string{"algorithm", "flags", "tag", "used"}, fields(last["keys"].([]any)[0].(map[string]any)))

	l.spoil(l.owner, danetest.FlipSignature())
	code, object = l.object("trace", l.target)
	require.Equal(t, 1, code)
	reason := object["reason"].(map[string]any)
	require.Equal(t, []string{"ede", "name", "rule", "text", "type", "zone"}, fields(reason))
	require.Equal(t, []any{"bogus", "parkoserv.ca.", "TLSA", json.Number("6").String()},
		[]any{object["verdict"], reason["zone"], reason["type"], jsonText(t, reason["ede"])})
}

func fields(object map[string]any) []string { return slices.Sorted(maps.Keys(object)) }

func jsonText(t *testing.T, v any) string {
	t.Helper()
	text, err := json.Marshal(v)
	require.NoError(t, err)
	return string(text)
}

// TestTraceNobody: no upstream is no verdict.
func TestTraceNobody(t *testing.T) {
	t.Parallel()
	l := newLab(t)
	l.Inject(danetest.Fault{Effect: danetest.Drop()})
	code, stdout, _ := l.iotreg("trace", "-timeout", "50ms", meter)
	require.Equal(t, 1, code)
	require.Contains(t, stdout, "; indeterminate: nothing is known about "+meter)
}

// TestTraceServers: a server that does not answer is passed over, over TCP as
// well.
func TestTraceServers(t *testing.T) {
	t.Parallel()
	l := newLab(t)
	code, object := l.object("trace", "-server", "tcp://127.0.0.1:1, tcp://"+l.Addr(), meter)
	require.Equal(t, 0, code, object)
}
