package audit_test

import (
	"crypto"
	"crypto/sha256"
	"strings"
	"testing"
	"time"

	"github.com/iotregistry/sdk/registry/audit"
)

// BenchmarkVerify reports the time for a line and how many times that is what
// SHA-256 alone takes for the same bytes. A head is signed every 1000 entries.
func BenchmarkVerify(b *testing.B) {
	key := p256Key(b, "bench")
	tr := newTrail(b)
	for range 10 {
		tr.entries(1000).head(key)
	}
	export := tr.String()
	v := audit.Verifier{Log: zone, Keys: []crypto.PublicKey{key.Public()}, RequireHead: true}
	b.SetBytes(int64(len(export)))
	b.ReportAllocs()
	began, rounds := time.Now(), 0
	for b.Loop() {
		if _, err := v.Verify(strings.NewReader(export)); err != nil {
			b.Fatal(err)
		}
		rounds++
	}
	whole := time.Since(began)
	lines := make([][]byte, len(tr.lines))
	for i, line := range tr.lines {
		lines[i] = []byte(line)
	}
	began = time.Now()
	for range rounds {
		for _, line := range lines {
			sha256.Sum256(line)
		}
	}
	bare := time.Since(began)
	b.ReportMetric(float64(whole.Nanoseconds())/float64(rounds*len(lines)), "ns/line")
	b.ReportMetric(float64(whole)/float64(bare), "x-sha256")
}
