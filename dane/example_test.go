package dane_test

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/miekg/dns"

	"github.com/iotregistry/sdk/dane"
	"github.com/iotregistry/sdk/dane/danetest"
	"github.com/iotregistry/sdk/dane/dnssec"
)

// exampleTB lets an Example, which has no testing.TB, make a DNS world.
type exampleTB struct{ testing.TB }

func (exampleTB) Helper()                           {}
func (exampleTB) Cleanup(func())                    {}
func (exampleTB) Errorf(format string, args ...any) { panic(fmt.Sprintf(format, args...)) }
func (exampleTB) Fatalf(format string, args ...any) { panic(fmt.Sprintf(format, args...)) }
func (exampleTB) FailNow()                          { panic("test failed") }

// story is a small copy of the Internet: signed zones, a parking service and a
// meter with their records published.
type story struct {
	world          *danetest.World
	resolver       *dnssec.Resolver
	service, meter tls.Certificate
	meterCert      *x509.Certificate
	address        string // where the service listens
	ln             net.Listener
}

func newStory() *story {
	tb := exampleTB{}
	w := danetest.NewWorld(tb, danetest.Config{})
	service, meter := mint(tb, pair{}, names("parkoserv.ca")), mint(tb, pair{}, names("11.1000000000000001.iotregistry.ca"))
	tlsa, _ := dane.NewTLSA("_443._tcp.parkoserv.ca", 3600, 3, 1, 1, service.cert)
	cert, _ := dane.NewCERT("11.1000000000000001.iotregistry.ca", 3600, meter.cert)
	w.AddRR(tlsa, cert)
	anchors, err := dnssec.ParseAnchors(strings.NewReader(w.Anchor()))
	if err != nil {
		panic(err)
	}
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		panic(err)
	}
	return &story{
		world: w, resolver: &dnssec.Resolver{Exchanger: w, Anchors: anchors, Now: w.Now},
		service: service.tls(), meter: meter.tls(), meterCert: meter.cert, address: ln.Addr().String(), ln: ln,
	}
}

// serve accepts one connection at a time and greets the device by its name.
func (s *story) serve(cfg *tls.Config) {
	for {
		c, err := s.ln.Accept()
		if err != nil {
			return
		}
		conn := tls.Server(c, cfg)
		if conn.Handshake() == nil {
			name, _ := dane.ClientIdentity(conn.ConnectionState(), "iotregistry.ca")
			fmt.Fprintf(conn, "hello %s", name)
		}
		conn.Close()
	}
}

// A device connects to its service with nothing built in but the root's key.
func ExampleVerifier_ClientConfig() {
	s := newStory() // stands in for the Internet
	defer s.ln.Close()
	go s.serve((&dane.Verifier{Resolver: s.resolver, Now: s.world.Now}).ServerConfig(&tls.Config{Certificates: []tls.Certificate{s.service}}, "iotregistry.ca"))

	// In production a zero dnssec.Resolver asks the system's resolvers and
	// starts from the root zone's keys, and Now stays nil.
	verifier := &dane.Verifier{Resolver: s.resolver, Now: s.world.Now}
	config := verifier.ClientConfig(&tls.Config{Certificates: []tls.Certificate{s.meter}}, "parkoserv.ca", 443)
	conn, err := tls.Dial("tcp", s.address, config)
	if err != nil {
		fmt.Println("not connected:", err)
		return
	}
	defer conn.Close()
	greeting, _ := io.ReadAll(conn)
	fmt.Printf("%s\n", greeting)
	// Output: hello 11.1000000000000001.iotregistry.ca
}

// A service accepts devices of the registry's zone and nobody else.
func ExampleVerifier_ServerConfig() {
	s := newStory()
	defer s.ln.Close()

	verifier := &dane.Verifier{Resolver: s.resolver, Now: s.world.Now}
	config := verifier.ServerConfig(&tls.Config{Certificates: []tls.Certificate{s.service}}, "iotregistry.ca")
	done := make(chan bool)
	go func() { // one connection of the service
		c, _ := s.ln.Accept()
		conn := tls.Server(c, config)
		defer conn.Close()
		if err := conn.Handshake(); err != nil {
			fmt.Println("refused:", err)
		} else {
			name, _ := dane.ClientIdentity(conn.ConnectionState(), "iotregistry.ca")
			profile, device, _ := dane.ParseDeviceName(name, "iotregistry.ca")
			fmt.Println("device", device, "profile", profile)
		}
		done <- true
	}()

	client := verifier.ClientConfig(&tls.Config{Certificates: []tls.Certificate{s.meter}}, "parkoserv.ca", 443)
	if conn, err := tls.Dial("tcp", s.address, client); err == nil {
		defer conn.Close()
	}
	<-done
	// Output: device 1000000000000001 profile 11
}

// A withdrawn record is a proof that the certificate no longer counts; an
// answer that cannot be trusted is no proof of anything.
func ExampleVerifier_Device() {
	s := newStory()
	defer s.ln.Close()
	verifier := &dane.Verifier{Resolver: s.resolver, Now: s.world.Now}
	const name = "11.1000000000000001.iotregistry.ca"
	verdict := func() string {
		_, err := verifier.Device(context.Background(), name, s.meterCert)
		switch {
		case err == nil:
			return "verified"
		case errors.Is(err, dane.ErrAbsent):
			return "withdrawn"
		case errors.Is(err, dane.ErrNoMatch), errors.Is(err, dane.ErrWrongName), errors.Is(err, dane.ErrExpired):
			return "wrong certificate"
		default:
			return "unknown"
		}
	}
	fmt.Println(verdict())

	s.world.Advance(2 * time.Hour) // the cached answer has expired
	remove := s.world.Inject(danetest.Fault{Name: name + ".", Effect: danetest.FlipSignature()})
	fmt.Println(verdict())

	remove()
	s.world.Withdraw(name + ".")
	s.world.Advance(2 * time.Hour)
	fmt.Println(verdict())
	// Output:
	// verified
	// unknown
	// withdrawn
}

// The comparing alone, for records that come from elsewhere.
func ExampleVerifyChain() {
	leaf := mint(exampleTB{}, pair{}, names("parkoserv.ca")).cert
	record, _ := dane.NewTLSA("_443._tcp.parkoserv.ca", 3600, dane.UsageDANEEE, dane.SelectorSPKI, dane.MatchingSHA256, leaf)

	match, err := dane.VerifyChain([]*x509.Certificate{leaf}, []*dns.TLSA{record}, dane.ChainOptions{})
	fmt.Println(match.Depth, err)

	record.Certificate = strings.Repeat("00", 32)
	_, err = dane.VerifyChain([]*x509.Certificate{leaf}, []*dns.TLSA{record}, dane.ChainOptions{})
	fmt.Println(err)
	// Output:
	// 0 <nil>
	// dane: no record matches the certificate
}

func ExampleDeviceName() {
	name, err := dane.DeviceName(15, "302220601105021", "iotregistry.ca")
	fmt.Println(name, err)
	_, err = dane.DeviceName(15, "3022 2060", "iotregistry.ca")
	fmt.Println(err)
	// Output:
	// 15.302220601105021.iotregistry.ca <nil>
	// dane: 3022 2060: invalid argument: labels hold letters, digits and inner hyphens only (write other scripts as xn-- A-labels)
}

func ExampleServiceName() {
	fmt.Println(dane.ServiceName("parkoserv.ca", 443))
	// Output: _443._tcp.parkoserv.ca <nil>
}

// Lint explains a record that was made from the wrong bytes.
func ExampleLint() {
	leaf := mint(exampleTB{}, pair{}, names("parkoserv.ca")).cert
	record, _ := dane.NewTLSA("_443._tcp.parkoserv.ca", 3600, 0, 0, 1, leaf)
	opts := dane.LintOptions{Chain: []*x509.Certificate{leaf}, Now: atEpoch}
	for _, finding := range dane.Lint("_443._tcp.parkoserv.ca", []dns.RR{record}, opts) {
		fmt.Println(finding)
	}
	// Output: fault: usage 0 names a CA, and this record holds the service's own certificate: publish 3 1 1: the key of the certificate itself, with no CA involved
}
