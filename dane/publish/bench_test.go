package publish_test

import (
	"crypto"
	"crypto/rand"
	"crypto/sha256"
	"fmt"
	"io"
	"net"
	"testing"

	"github.com/iotregistry/sdk/dane/publish"
	"github.com/miekg/dns"
	"github.com/stretchr/testify/require"
)

func certs(from, n int) []dns.RR {
	add := make([]dns.RR, n)
	for i := range add {
		add[i] = certRR(from + i)
	}
	return add
}

// BenchmarkPublish1000 measures a batch of 1000 new devices, beside 1000 bare
// P-256 signatures, on one worker and on all.
func BenchmarkPublish1000(b *testing.B) {
	b.Run("bare", func(b *testing.B) {
		key := p256(b)
		data := make([]byte, 600)
		for b.Loop() {
			for range 1000 {
				digest := sha256.Sum256(data)
				if _, err := key.Sign(rand.Reader, digest[:], crypto.SHA256); err != nil {
					b.Fatal(err)
				}
			}
		}
	})
	for _, workers := range []int{1, 0} {
		b.Run(fmt.Sprintf("workers=%d", workers), func(b *testing.B) {
			keys := keys13(b)
			add := certs(0, 1000)
			for b.Loop() {
				z, err := publish.NewZone(publish.ZoneConfig{Origin: "iotregistry.ca.", Keys: keys, Workers: workers})
				require.NoError(b, err)
				_, err = z.Publish(b.Context(), publish.ChangeSet{Add: add})
				require.NoError(b, err)
			}
		})
	}
}

// BenchmarkPublishOne measures one device more or less in zones of several
// sizes, without the signature.
func BenchmarkPublishOne(b *testing.B) {
	for _, size := range []int{100, 10_000, 200_000} {
		b.Run(fmt.Sprintf("names=%d", size), func(b *testing.B) {
			z := filled(b, size, nil)
			add := certs(size, 1)
			for i := 0; b.Loop(); i++ {
				c := publish.ChangeSet{Add: add}
				if i%2 == 1 {
					c = publish.ChangeSet{Remove: add}
				}
				_, err := z.Publish(b.Context(), c)
				require.NoError(b, err)
			}
		})
	}
}

func filled(b *testing.B, size int, keys []publish.Key) *publish.Zone {
	z, err := publish.NewZone(publish.ZoneConfig{Origin: "iotregistry.ca.", Keys: keys})
	require.NoError(b, err)
	for from := 0; from < size; from += 10_000 {
		_, err = z.Publish(b.Context(), publish.ChangeSet{Add: certs(from, min(10_000, size-from))})
		require.NoError(b, err)
	}
	return z
}

func BenchmarkAnswer(b *testing.B) {
	const size = 20_000
	a := publish.NewAuthority(filled(b, size, keys13(b)))
	pack := func(name func(i int) string, qtype uint16) [][]byte {
		var all [][]byte
		for i := range 1000 {
			wire, err := new(dns.Msg).SetQuestion(name(i*(size/1000)), qtype).SetEdns0(1232, true).Pack()
			require.NoError(b, err)
			all = append(all, wire)
		}
		return all
	}
	for kind, queries := range map[string][][]byte{
		"positive": pack(deviceName, dns.TypeCERT),
		"nodata":   pack(deviceName, dns.TypeTLSA),
		"nxdomain": pack(func(i int) string { return "99." + deviceName(i)[3:] }, dns.TypeCERT),
	} {
		b.Run(kind, func(b *testing.B) {
			buf := make([]byte, 0, 4096)
			for _, q := range queries { // make the denials
				buf = a.Respond(buf, q, true)
			}
			b.ReportAllocs()
			for i := 0; b.Loop(); i++ {
				buf = a.Respond(buf, queries[i%len(queries)], true)
			}
		})
	}
}

// BenchmarkServerUDP measures a query and its answer over loopback, from
// several clients.
func BenchmarkServerUDP(b *testing.B) {
	s, err := publish.Listen("127.0.0.1:0", filled(b, 1000, keys13(b)))
	require.NoError(b, err)
	defer s.Close()
	q, err := new(dns.Msg).SetQuestion(deviceName(5), dns.TypeCERT).SetEdns0(1232, true).Pack()
	require.NoError(b, err)
	b.RunParallel(func(pb *testing.PB) {
		conn, err := net.Dial("udp", s.Addr())
		if err != nil {
			b.Error(err)
			return
		}
		defer conn.Close()
		in := make([]byte, 2048)
		for pb.Next() {
			if _, err := conn.Write(q); err != nil {
				b.Error(err)
			}
			if _, err := conn.Read(in); err != nil {
				b.Error(err)
			}
		}
	})
}

func BenchmarkWriteTo(b *testing.B) {
	z := filled(b, 10_000, keys13(b))
	_, err := z.WriteTo(io.Discard)
	require.NoError(b, err)
	for b.Loop() {
		_, err := z.WriteTo(io.Discard)
		require.NoError(b, err)
	}
}
