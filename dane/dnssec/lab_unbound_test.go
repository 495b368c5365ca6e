package dnssec_test

import (
	"context"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/miekg/dns"
	"github.com/stretchr/testify/require"

	"github.com/iotregistry/sdk/dane/dnssec"
)

// bothOnOne listens on one port over UDP and TCP. A port that is free for one may
// be taken for the other.
func bothOnOne(t *testing.T) (net.PacketConn, net.Listener) {
	for range 16 {
		pc, err := net.ListenPacket("udp", "127.0.0.1:0")
		require.NoError(t, err)
		ln, err := net.Listen("tcp", pc.LocalAddr().String())
		if err == nil {
			return pc, ln
		}
		require.NoError(t, pc.Close())
	}
	require.FailNow(t, "no port is free for both")
	return nil, nil
}

// serve answers on loopback over UDP, and TCP where it must.
func (l *lab) serve(t *testing.T) (addr string) {
	pc, ln := bothOnOne(t)
	handle := dns.HandlerFunc(func(w dns.ResponseWriter, q *dns.Msg) {
		m, err := l.Exchange(context.Background(), q)
		if err != nil {
			return
		}
		m.RecursionAvailable = true
		if w.RemoteAddr().Network() == "udp" {
			m.Truncate(1232)
		}
		_ = w.WriteMsg(m)
	})
	for _, s := range []*dns.Server{{PacketConn: pc, Handler: handle}, {Listener: ln, Handler: handle}} {
		ready, done := make(chan struct{}), make(chan struct{})
		s.NotifyStartedFunc = func() { close(ready) }
		go func() { defer close(done); _ = s.ActivateAndServe() }()
		<-ready
		t.Cleanup(func() { _ = s.Shutdown(); <-done })
	}
	return pc.LocalAddr().String()
}

// TestUnboundAgrees asks unbound's validator the same questions about the same
// world.
func TestUnboundAgrees(t *testing.T) {
	t.Parallel()
	program, err := exec.LookPath("unbound-host")
	if err != nil {
		t.Skip("unbound-host is not installed (Debian: unbound-host)")
	}
	l := labOttawa(t)
	host, port, err := net.SplitHostPort(l.serve(t))
	require.NoError(t, err)
	conf := filepath.Join(t.TempDir(), "unbound.conf")
	require.NoError(t, os.WriteFile(conf, fmt.Appendf(nil, `
server:
	do-not-query-localhost: no
	do-ip6: no
	use-syslog: no
	val-override-date: %s
	trust-anchor: "%s"
forward-zone:
	name: "."
	forward-addr: %s@%s
`, l.now.UTC().Format("20060102150405"), l.zones["."].keys[0].rr.ToDS(dns.SHA256), host, port), 0o600))
	r := &dnssec.Resolver{Exchanger: l, Anchors: l.anchors(t), Now: func() time.Time { return l.now }}
	count := 0
	ask := func(name string, typ uint16) {
		out, err := exec.CommandContext(t.Context(), program, "-C", conf, "-v", "-t", dns.TypeToString[typ], name).CombinedOutput()
		require.NoError(t, err, "%s", out)
		theirs := dnssec.Indeterminate
		for status, mark := range map[dnssec.Status]string{dnssec.Bogus: "(BOGUS", dnssec.Insecure: "(insecure)", dnssec.Secure: "(secure)"} {
			if strings.Contains(string(out), mark) {
				theirs = status
			}
		}
		res, err := r.Lookup(context.Background(), name, typ)
		require.NoError(t, err)
		require.Equal(t, theirs, res.Status, "%s %s: %v; unbound says: %s", name, dns.Type(typ), res.Reason, out)
		if l.truth(name, typ).rcode == dns.RcodeNameError {
			require.Contains(t, string(out), "NXDOMAIN")
		}
		count++
	}
	for _, q := range labQuestions {
		ask(q.name, q.typ)
	}
	for _, apex := range []string{"example.ca.", "n3.ca.", "oo.ca.", "plain.ca."} {
		for i, name := range labNames(l.zones[apex]) {
			typ := []uint16{dns.TypeA, dns.TypeTXT, dns.TypeMX}[i%3]
			if labValid(name) && i%4 == 0 && !l.truth(name, typ).looping {
				ask(name, typ)
			}
		}
	}
	t.Logf("%d questions", count)
}
