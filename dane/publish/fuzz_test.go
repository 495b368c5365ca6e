package publish_test

import (
	"bytes"
	"encoding/binary"
	"testing"

	"github.com/iotregistry/sdk/dane/publish"
	"github.com/miekg/dns"
	"github.com/stretchr/testify/require"
)

// FuzzRespond feeds the query path with arbitrary messages: it must not panic,
// and what it answers must be well formed, in size, and signed where DO asks.
func FuzzRespond(f *testing.F) {
	zones := answerWorld(f)
	a := publish.NewAuthority(zones...)
	for _, c := range answers {
		q := new(dns.Msg).SetQuestion(c.name, c.qtype)
		for range 2 {
			wire, err := q.Pack()
			require.NoError(f, err)
			f.Add(wire)
			q.SetEdns0(1232, true)
		}
	}
	f.Add([]byte{})
	f.Add(append(make([]byte, 4), 0, 1, 0, 0, 0, 0, 0, 0, 0xc0, 12, 0, 1, 0, 1))
	f.Add(append(append(make([]byte, 4), 0, 1, 0, 0, 0, 0, 0, 0), bytes.Repeat([]byte("\x01*"), 126)...))
	f.Fuzz(func(t *testing.T, msg []byte) {
		udp, tcp := a.Respond(nil, msg, true), a.Respond(make([]byte, 0, 100), msg, false)
		if (udp == nil) != (tcp == nil) || len(udp) > 1232 {
			t.Fatalf("udp %d, tcp %d octets", len(udp), len(tcp))
		}
		for _, out := range [][]byte{udp, tcp} {
			if out == nil {
				continue
			}
			var m dns.Msg
			if err := m.Unpack(out); err != nil {
				t.Fatalf("answer %x: %v", out, err)
			}
			if !m.Response || m.Id != binary.BigEndian.Uint16(msg) {
				t.Fatalf("answer %v", &m)
			}
			if opt := m.IsEdns0(); opt != nil && opt.Do() && m.Authoritative && !m.Truncated && len(m.Ns) > 0 {
				requireSignedDenial(t, &m)
			}
		}
	})
}

func requireSignedDenial(t *testing.T, m *dns.Msg) {
	sets, sigs := rrsets(m.Ns)
	for id, set := range sets {
		switch set[0].Header().Name {
		case "plain.ca.", "secure.iotregistry.ca.", "insecure.iotregistry.ca.":
		default:
			if len(sigs[id]) == 0 {
				t.Fatalf("%s is not signed in %v", id, m)
			}
		}
	}
}

// FuzzNames checks that any name finds its place: what was published is found,
// and listed under the same name.
func FuzzNames(f *testing.F) {
	for _, name := range []string{"a", `\000`, `\001\000`, `a\.b.c`, "*", "*.x", "x.*", `\255.\254`, "A"} {
		f.Add(name)
	}
	f.Fuzz(func(t *testing.T, name string) {
		name += ".ca."
		rr := &dns.TXT{Hdr: dns.RR_Header{Name: name, Rrtype: dns.TypeTXT, Class: dns.ClassINET}, Txt: []string{"x"}}
		z := newZone(t, "ca.", nil, "m.ca. A 192.0.2.1")
		if _, err := z.Publish(t.Context(), publish.ChangeSet{Add: []dns.RR{rr}}); err != nil {
			return
		}
		m, err := publish.NewAuthority(z).Exchange(t.Context(), new(dns.Msg).SetQuestion(name, dns.TypeTXT))
		require.NoError(t, err)
		require.Len(t, m.Answer, 1)
		found := 0
		for have := range z.Names() {
			if compareNames(have, name) == 0 {
				found++
			}
		}
		require.Equal(t, 1, found)
	})
}
