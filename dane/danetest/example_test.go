package danetest_test

import (
	"fmt"
	"testing"

	"github.com/iotregistry/sdk/dane/danetest"
	"github.com/miekg/dns"
)

// A test gets a world of its own, publishes what it needs, and spoils some of
// the answers.
func Example() {
	test := func(t testing.TB) {
		w := danetest.NewWorld(t, danetest.Config{})
		w.AddCERT("11.1000000000000001.iotregistry.ca.", []byte("DER"))
		w.Inject(danetest.Fault{Type: dns.TypeTLSA, Effect: danetest.ServFail()})

		for _, qtype := range []uint16{dns.TypeCERT, dns.TypeTLSA} {
			q := new(dns.Msg).SetQuestion("11.1000000000000001.iotregistry.ca.", qtype)
			m, err := w.Exchange(t.Context(), q)
			if err != nil {
				t.Fatal(err)
			}
			fmt.Println(dns.Type(qtype), dns.RcodeToString[m.Rcode], len(m.Answer))
		}
	}
	testing.Benchmark(func(b *testing.B) { // stands in for a test here
		if b.N == 1 {
			test(b)
		}
		b.SkipNow()
	})
	// Output:
	// CERT NOERROR 1
	// TLSA SERVFAIL 0
}
