package publish_test

import (
	"encoding/binary"
	"fmt"
	"io"
	"net"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/iotregistry/sdk/dane/publish"
	"github.com/miekg/dns"
	"github.com/stretchr/testify/require"
)

func serve(t testing.TB, zones ...*publish.Zone) *publish.Server {
	t.Helper()
	s, err := publish.Listen("127.0.0.1:0", zones...)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, s.Close()) })
	return s
}

func overNetwork(t testing.TB, s *publish.Server, network string, q *dns.Msg) *dns.Msg {
	t.Helper()
	c := dns.Client{Net: network, Timeout: 5 * time.Second, UDPSize: 65535}
	m, _, err := c.ExchangeContext(t.Context(), q, s.Addr())
	require.NoError(t, err)
	return m
}

// TestServerAnswersAlike checks that all ways in give the same answers, cut to
// size over UDP.
func TestServerAnswersAlike(t *testing.T) {
	t.Parallel()
	s := serve(t, answerWorld(t)...)
	for _, c := range answers {
		q := new(dns.Msg).SetQuestion(c.name, c.qtype).SetEdns0(1232, true)
		want, err := s.Exchange(t.Context(), q)
		require.NoError(t, err)
		require.Equal(t, want.String(), overNetwork(t, s, "tcp", q).String(), c.rule)
		require.Equal(t, want.String(), overNetwork(t, s, "udp", q).String(), c.rule)
	}
}

func TestServerTruncates(t *testing.T) {
	t.Parallel()
	z := newZone(t, "iotregistry.ca.", keys13(t))
	big := make([]byte, 1500)
	_, err := z.Publish(t.Context(), publish.ChangeSet{Add: []dns.RR{
		certRR(1), certOf("small.iotregistry.ca.", big[:300]), certOf("big.iotregistry.ca.", big),
	}})
	require.NoError(t, err)
	s := serve(t, z)
	for _, c := range []struct {
		rule string
		name string
		q    func(*dns.Msg) *dns.Msg
		cut  bool
	}{
		{"no EDNS, 512 octets", "small.iotregistry.ca.", func(m *dns.Msg) *dns.Msg { return m }, false},
		{"no EDNS, too large", "big.iotregistry.ca.", func(m *dns.Msg) *dns.Msg { return m }, true},
		{"EDNS 512, with signature", deviceName(1), func(m *dns.Msg) *dns.Msg { return m.SetEdns0(512, true) }, true},
		{"EDNS of less than 512 counts as 512", "small.iotregistry.ca.", func(m *dns.Msg) *dns.Msg { return m.SetEdns0(100, false) }, false},
		{"EDNS 1232", deviceName(1), func(m *dns.Msg) *dns.Msg { return m.SetEdns0(1232, true) }, false},
		{"EDNS 4096 counts as 1232", "big.iotregistry.ca.", func(m *dns.Msg) *dns.Msg { return m.SetEdns0(4096, true) }, true},
	} {
		t.Run(c.rule, func(t *testing.T) {
			q := c.q(new(dns.Msg).SetQuestion(c.name, dns.TypeCERT))
			m := overNetwork(t, s, "udp", q)
			require.Equal(t, c.cut, m.Truncated)
			require.Equal(t, c.cut, len(m.Answer) == 0)
			require.Equal(t, q.IsEdns0() != nil, m.IsEdns0() != nil)
			m = overNetwork(t, s, "tcp", q)
			require.False(t, m.Truncated)
			require.NotEmpty(t, m.Answer)
		})
	}
}

// TestUDPAnswerFits checks sizes octet by octet around the limit.
func TestUDPAnswerFits(t *testing.T) {
	t.Parallel()
	z := newZone(t, "ca.", keys15())
	a := publish.NewAuthority(z)
	for size := 900; size < 1300; size++ {
		name := fmt.Sprintf("s%d.ca.", size)
		_, err := z.Publish(t.Context(), publish.ChangeSet{Add: []dns.RR{certOf(name, make([]byte, size))}})
		require.NoError(t, err)
		q, err := new(dns.Msg).SetQuestion(name, dns.TypeCERT).SetEdns0(4096, true).Pack()
		require.NoError(t, err)
		whole, cut := a.Respond(nil, q, false), a.Respond(nil, q, true)
		require.LessOrEqual(t, len(cut), 1232)
		if len(whole) <= 1232 {
			require.Equal(t, whole, cut)
		} else {
			var m dns.Msg
			require.NoError(t, m.Unpack(cut))
			require.True(t, m.Truncated)
		}
	}
}

// TestLargeSetBehindAlias checks that a large set still fits in a message when
// its owner is not the name asked for.
func TestLargeSetBehindAlias(t *testing.T) {
	t.Parallel()
	target := strings.Repeat(strings.Repeat("x", 60)+".", 3) + "ca."
	lines := []string{"alias.ca. CNAME " + target}
	for i := range 3000 {
		lines = append(lines, fmt.Sprintf("%s A 192.0.%d.%d", target, i/256, i%256))
	}
	a := publish.NewAuthority(newZone(t, "ca.", keys15(), lines...))
	m, err := a.Exchange(t.Context(), new(dns.Msg).SetQuestion("alias.ca.", dns.TypeA).SetEdns0(1232, true))
	require.NoError(t, err)
	require.False(t, m.Truncated)
	require.Len(t, m.Answer, 2+3001)
	for _, rr := range m.Answer[2:] {
		require.Equal(t, target, rr.Header().Name)
	}
}

func TestServerZonesChange(t *testing.T) {
	t.Parallel()
	s := serve(t)
	ask := func() *dns.Msg {
		return overNetwork(t, s, "udp", new(dns.Msg).SetQuestion("a.ca.", dns.TypeA))
	}
	require.Equal(t, dns.RcodeRefused, ask().Rcode)
	s.Add(newZone(t, "ca.", keys15()))
	require.Equal(t, dns.RcodeNameError, ask().Rcode)
	s.Add(newZone(t, "CA", keys15(), "a.ca. A 192.0.2.1"))
	require.Len(t, ask().Answer, 1)
	s.Remove("Ca.")
	s.Remove("a..b")
	require.Equal(t, dns.RcodeRefused, ask().Rcode)
}

func TestListenRefuses(t *testing.T) {
	t.Parallel()
	s := serve(t)
	for _, addr := range []string{s.Addr(), "nonsense", "127.0.0.1:99999"} {
		_, err := publish.Listen(addr)
		require.ErrorContains(t, err, "publish: listening on "+addr)
	}
}

// TestServerClose ends idle connections, is repeatable, and frees the port.
func TestServerClose(t *testing.T) {
	t.Parallel()
	s, err := publish.Listen("127.0.0.1:0", newZone(t, "ca.", keys15()))
	require.NoError(t, err)
	conn, err := net.Dial("tcp", s.Addr())
	require.NoError(t, err)
	defer conn.Close()
	// One answer, so that the connection is known to be served.
	require.Equal(t, dns.RcodeSuccess, onConn(t, conn, "ca.").Rcode)
	start := time.Now()
	require.NoError(t, s.Close())
	require.NoError(t, s.Close())
	require.Less(t, time.Since(start), 5*time.Second, "Close must not wait for idle connections")
	_, err = conn.Read(make([]byte, 1))
	require.Error(t, err)
	again, err := publish.Listen(s.Addr())
	require.NoError(t, err)
	require.NoError(t, again.Close())
}

func onConn(t *testing.T, conn net.Conn, name string) *dns.Msg {
	t.Helper()
	c := &dns.Conn{Conn: conn}
	require.NoError(t, c.WriteMsg(new(dns.Msg).SetQuestion(name, dns.TypeSOA)))
	m, err := c.ReadMsg()
	require.NoError(t, err)
	return m
}

// TestTCPStreams sends several queries in one write and one query in several.
func TestTCPStreams(t *testing.T) {
	t.Parallel()
	s := serve(t, newZone(t, "ca.", keys15()))
	conn, err := net.Dial("tcp", s.Addr())
	require.NoError(t, err)
	defer conn.Close()
	require.NoError(t, conn.SetDeadline(time.Now().Add(5*time.Second)))
	wire, err := new(dns.Msg).SetQuestion("ca.", dns.TypeSOA).Pack()
	require.NoError(t, err)
	frame := append(binary.BigEndian.AppendUint16(nil, uint16(len(wire))), wire...)
	_, err = conn.Write(append(append(frame, frame...), frame[:5]...))
	require.NoError(t, err)
	_, err = conn.Write(frame[5:])
	require.NoError(t, err)
	for range 3 {
		m, err := (&dns.Conn{Conn: conn}).ReadMsg()
		require.NoError(t, err)
		require.Len(t, m.Answer, 1)
	}
}

// TestTCPRubbish: connections that do not carry queries are closed.
func TestTCPRubbish(t *testing.T) {
	t.Parallel()
	s := serve(t, newZone(t, "ca.", keys15()))
	for rule, bytes := range map[string]string{
		"too long":       "\xff\xff" + strings.Repeat("x", 100),
		"too short":      "\x00\x03abc",
		"an answer":      "\x00\x0c\x00\x01\x80\x00" + strings.Repeat("\x00", 8),
		"empty":          "\x00\x00",
		"HTTP":           "GET / HTTP/1.1\r\n\r\n",
		"nothing at all": "",
	} {
		conn, err := net.Dial("tcp", s.Addr())
		require.NoError(t, err)
		_, err = conn.Write([]byte(bytes))
		require.NoError(t, err)
		require.NoError(t, conn.(*net.TCPConn).CloseWrite())
		require.NoError(t, conn.SetDeadline(time.Now().Add(5*time.Second)))
		got, _ := io.ReadAll(conn)
		require.Empty(t, got, rule)
		conn.Close()
	}
	require.Equal(t, dns.RcodeSuccess, overNetwork(t, s, "tcp", new(dns.Msg).SetQuestion("ca.", dns.TypeSOA)).Rcode)
}

func TestServerManyClients(t *testing.T) {
	t.Parallel()
	z := newZone(t, "iotregistry.ca.", keys15())
	_, err := z.Publish(t.Context(), publish.ChangeSet{Add: []dns.RR{certRR(0), certRR(1), certRR(2), certRR(3)}})
	require.NoError(t, err)
	s := serve(t, z)
	var group sync.WaitGroup
	for i := range 16 {
		group.Go(func() {
			network := []string{"udp", "tcp"}[i%2]
			for range 20 {
				q := new(dns.Msg).SetQuestion(deviceName(i%4), dns.TypeCERT).SetEdns0(1232, true)
				c := dns.Client{Net: network, Timeout: 5 * time.Second}
				m, _, err := c.Exchange(q, s.Addr())
				if err != nil || len(m.Answer) != 2 {
					t.Errorf("%s: %v %v", network, m, err)
				}
			}
		})
	}
	group.Wait()
}
