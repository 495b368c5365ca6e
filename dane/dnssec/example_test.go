package dnssec_test

import (
	"context"
	"crypto/tls"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"strings"
	"time"

	"github.com/iotregistry/sdk/dane/dnssec"
	"github.com/miekg/dns"
)

// The examples use the zones of RFC 9102 appendix A, whose root is not the
// Internet's.
const exampleRoot = `. IN DS 47005 13 2 2EB6E9F2480126691594D649A5A613DE3052E37861634641BB568746F2FFC4D4`

// exampleChain reads the chain that the RFC prints, and the two octets of
// lifetime that stand before it on the wire.
func exampleChain() []byte {
	text, err := os.ReadFile("testdata/rfc9102-a1.hex")
	if err != nil {
		panic(err)
	}
	chain, err := hex.DecodeString(strings.Join(strings.Fields(string(text)), ""))
	if err != nil {
		panic(err)
	}
	return append([]byte{0, 0}, chain...)
}

func exampleTime() time.Time { return time.Date(2020, 1, 1, 0, 0, 0, 0, time.UTC) }

// exampleServer answers out of the chain, as a server for all its zones would.
func exampleServer(_ context.Context, q *dns.Msg) (*dns.Msg, error) {
	e, err := dnssec.ParseEvidence(exampleChain())
	if err != nil {
		return nil, err
	}
	m := new(dns.Msg).SetReply(q)
	for _, rr := range e.Records {
		sig, signs := rr.(*dns.RRSIG)
		if rr.Header().Name == q.Question[0].Name && (rr.Header().Rrtype == q.Question[0].Qtype || signs && sig.TypeCovered == q.Question[0].Qtype) {
			m.Answer = append(m.Answer, rr)
		}
	}
	return m, nil
}

func exampleAnchors() *dnssec.Anchors {
	anchors, err := dnssec.ParseAnchors(strings.NewReader(exampleRoot))
	if err != nil {
		panic(err)
	}
	return anchors
}

// A program on the Internet needs no field at all: the zero Resolver asks the
// system's resolvers and trusts the IANA root anchors.
func ExampleResolver_Lookup() {
	r := &dnssec.Resolver{Exchanger: exchangeFunc(exampleServer), Anchors: exampleAnchors(), Now: exampleTime}
	res, err := r.Lookup(context.Background(), "_443._tcp.www.example.com", dns.TypeTLSA)
	if err != nil {
		fmt.Println("no verdict:", err)
		return
	}
	if res.Status != dnssec.Secure {
		fmt.Println(res.Status, res.Reason)
		return
	}
	for _, z := range res.Zones {
		fmt.Println(z.Name, z.Status)
	}
	for _, rr := range res.RRs {
		fmt.Println(rr.(*dns.TLSA).Certificate[:16])
	}
	// Output:
	// . secure
	// com. secure
	// example.com. secure
	// 8bd1da95272f7fa4
}

// A device without DNS verifies what its service hands it.
func ExampleParseEvidence() {
	evidence, err := dnssec.ParseEvidence(exampleChain())
	if err != nil {
		fmt.Println(err)
		return
	}
	q := dns.Question{Name: "_443._tcp.www.example.com.", Qtype: dns.TypeTLSA, Qclass: dns.ClassINET}
	res := evidence.Validate(q, exampleAnchors(), exampleTime())
	fmt.Println(res.Status, "until", res.ValidUntil.UTC().Format(time.DateOnly))

	res = evidence.Validate(q, exampleAnchors(), exampleTime().AddDate(1, 0, 0))
	fmt.Println(res.Status, errors.Is(res.Reason, dnssec.ErrExpired))
	// Output:
	// secure until 2020-12-02
	// bogus true
}

// Messages that are at hand are judged without network or clock.
func ExampleValidate() {
	var msgs []*dns.Msg
	for _, q := range []dns.Question{
		{Name: "example.com.", Qtype: dns.TypeDNSKEY}, {Name: ".", Qtype: dns.TypeDNSKEY},
		{Name: "com.", Qtype: dns.TypeDS}, {Name: "com.", Qtype: dns.TypeDNSKEY}, {Name: "example.com.", Qtype: dns.TypeDS},
	} {
		m, err := exampleServer(context.Background(), new(dns.Msg).SetQuestion(q.Name, q.Qtype))
		if err != nil {
			fmt.Println(err)
			return
		}
		msgs = append(msgs, m)
	}
	q := dns.Question{Name: "example.com.", Qtype: dns.TypeDNSKEY, Qclass: dns.ClassINET}
	res := dnssec.Validate(q, exampleAnchors(), exampleTime(), msgs...)
	fmt.Println(res.Status, len(res.RRs), "keys,", res.Verifications, "signatures verified")

	res = dnssec.Validate(q, exampleAnchors(), exampleTime(), msgs[:4]...)
	fmt.Println(res.Status, errors.Is(res.Reason, dnssec.ErrMissing))
	// Output:
	// secure 1 keys, 5 signatures verified
	// indeterminate true
}

func ExampleParseAnchors() {
	anchors, err := dnssec.ParseAnchors(strings.NewReader(`
trust-anchors {
	lab. static-ds 47005 13 2 "2EB6E9F2480126691594D649A5A613DE3052E37861634641BB568746F2FFC4D4";
};`))
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(anchors)
	fmt.Println(anchors.With(dnssec.IANAAnchors()))
	// Output:
	// lab. IN DS 47005 13 2 2EB6E9F2480126691594D649A5A613DE3052E37861634641BB568746F2FFC4D4
	// . IN DS 20326 8 2 E06D44B80B8F1D39A95C0B0D7C65D08458E880409BBC683457104237C7F8EC8D
	// . IN DS 38696 8 2 683D2D0ACB8C9B712A1948B27F741219298D0A450D612C483AF444A4C0FB2B16
	// lab. IN DS 47005 13 2 2EB6E9F2480126691594D649A5A613DE3052E37861634641BB568746F2FFC4D4
}

// Several upstreams, the private one first, the public one by TLS.
func ExampleFailover() {
	list := dnssec.Failover{
		&dnssec.Client{Addr: "192.0.2.53"},
		&dnssec.Client{Addr: "dns.example", TLS: &tls.Config{}},
	}
	fmt.Println(list)
	// Output: 192.0.2.53:53, tls://dns.example:853
}
