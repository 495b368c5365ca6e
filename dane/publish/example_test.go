package publish_test

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"fmt"
	"log"
	"os"

	"github.com/iotregistry/sdk/dane/publish"
	"github.com/miekg/dns"
)

// A registry signs its zone in process, publishes a device's record and serves
// it over UDP and TCP.
func Example() {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		log.Fatal(err)
	}
	zone, err := publish.NewZone(publish.ZoneConfig{
		Origin: "iotregistry.ca.",
		Serial: 1,
		Keys:   []publish.Key{{Signer: key, Flags: publish.KSK, Algorithm: dns.ECDSAP256SHA256}},
	})
	if err != nil {
		log.Fatal(err)
	}
	server, err := publish.Listen("127.0.0.1:0", zone)
	if err != nil {
		log.Fatal(err)
	}
	defer server.Close()

	record, err := dns.NewRR(`11.1000000000000001.iotregistry.ca. 300 CERT PKIX 0 0 MIIB`)
	if err != nil {
		log.Fatal(err)
	}
	receipt, err := zone.Publish(context.Background(), publish.ChangeSet{Add: []dns.RR{record}})
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println("visible from serial", receipt.Serial)

	q := new(dns.Msg).SetQuestion(record.Header().Name, dns.TypeCERT).SetEdns0(1232, true)
	answer, err := dns.Exchange(q, server.Addr())
	if err != nil {
		log.Fatal(err)
	}
	signature := answer.Answer[1].(*dns.RRSIG)
	fmt.Println(answer.Answer[0])
	fmt.Println("verified:", signature.Verify(zone.DNSKEY()[0], answer.Answer[:1]) == nil)
	// Output:
	// visible from serial 2
	// 11.1000000000000001.iotregistry.ca.	300	IN	CERT	PKIX 0 0 MIIB
	// verified: true
}

// Withdrawing a device's records removes its name: what is left is a signed
// denial.
func ExampleZone_Publish() {
	ctx := context.Background()
	zone, err := publish.NewZone(publish.ZoneConfig{Origin: "iotregistry.ca."})
	if err != nil {
		log.Fatal(err)
	}
	name := "11.1000000000000001.iotregistry.ca."
	record, err := dns.NewRR(name + " 300 CERT PKIX 0 0 MIIB")
	if err != nil {
		log.Fatal(err)
	}
	if _, err = zone.Publish(ctx, publish.ChangeSet{Add: []dns.RR{record}}); err != nil {
		log.Fatal(err)
	}
	if _, err = zone.Publish(ctx, publish.ChangeSet{RemoveNames: []string{name}}); err != nil {
		log.Fatal(err)
	}
	answer, err := publish.NewAuthority(zone).Exchange(ctx, new(dns.Msg).SetQuestion(name, dns.TypeCERT))
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(dns.RcodeToString[answer.Rcode])
	// Output: NXDOMAIN
}

// A zone is delegated by adding what Delegation returns to the zone above.
func ExampleZone_Delegation() {
	parent, err := publish.NewZone(publish.ZoneConfig{Origin: "ca."})
	if err != nil {
		log.Fatal(err)
	}
	child, err := publish.NewZone(publish.ZoneConfig{Origin: "iotregistry.ca.", NS: []string{"ns1.example."}})
	if err != nil {
		log.Fatal(err)
	}
	records, err := child.Delegation()
	if err != nil {
		log.Fatal(err)
	}
	if _, err = parent.Publish(context.Background(), publish.ChangeSet{Add: records}); err != nil {
		log.Fatal(err)
	}
	fmt.Println(records[0])
	// Output: iotregistry.ca.	3600	IN	NS	ns1.example.
}

// WriteTo gives the whole zone to other servers and tools.
func ExampleZone_WriteTo() {
	zone, err := publish.NewZone(publish.ZoneConfig{Origin: "ca.", Serial: 7})
	if err != nil {
		log.Fatal(err)
	}
	if _, err = zone.WriteTo(os.Stdout); err != nil {
		log.Fatal(err)
	}
	// Output:
	// ca.	900	IN	SOA	ns.ca. hostmaster.ca. 7 7200 1800 2419200 900
	// ca.	3600	IN	NS	ns.ca.
}
