package main

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"runtime"
	"slices"
	"sync"
	"time"
)

// report is the JSON object that -json prints last.
type report struct {
	Devices           int                `json:"devices"`
	Activated         int                `json:"activated"`
	ConnectedFirst    int                `json:"connected_first"`
	Transferred       int                `json:"transferred"`
	ConnectedSecond   int                `json:"connected_second"`
	OldProfileRefused int                `json:"old_profile_refused"`
	Proofs            map[string]bool    `json:"proofs"`
	Seconds           map[string]float64 `json:"seconds"`    // wall time by step
	Primitives        map[string]float64 `json:"primitives"` // microseconds each, one core, same run
	FirstSeconds      float64            `json:"first_seconds"`
	TransferSeconds   float64            `json:"transfer_seconds"`
	Verifications     int                `json:"verifications"` // DNSSEC signatures one meter checks in a round
	Ratio             float64            `json:"ratio"`         // core seconds of both rounds to the sum of their primitives
	MemoryMB          float64            `json:"memory_mb"`
	Calls             map[string]int     `json:"calls"` // requests between registry, operator and meters, by interface
	OK                bool               `json:"ok"`

	mu sync.Mutex
}

func newReport() *report {
	return &report{Seconds: map[string]float64{}, Proofs: map[string]bool{}, Primitives: map[string]float64{}, Calls: map[string]int{}}
}

// trace takes the registry's inner steps.
func (r *report) trace(step string, _ int, took time.Duration) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.Seconds["registry_"+step] += took.Seconds()
}

func (r *report) sum(steps ...string) float64 {
	total := 0.0
	for _, s := range steps {
		total += r.Seconds[s]
	}
	return total
}

// judge decides whether everything happened that should have. Meters whose
// cards are elsewhere cannot connect from here.
func (r *report) judge(simulated int) {
	r.OK = r.Devices > 0 && r.Activated == r.Devices && r.Transferred == r.Devices &&
		r.ConnectedFirst == simulated && r.ConnectedSecond == simulated
	for _, held := range r.Proofs {
		r.OK = r.OK && held
	}
	if simulated > 0 {
		r.OK = r.OK && r.OldProfileRefused > 0
	}
	for _, name := range interfaces { // each meter has come by each, in both rounds
		r.OK = r.OK && r.Calls[name] >= 2*simulated
	}
}

// summary measures the primitives and prints times and ratios.
func (s *story) summary() {
	r := s.report
	r.FirstSeconds = r.sum("import", "activate", "deliver", "connect")
	r.TransferSeconds = r.sum("transfer", "deliver_again", "reconnect")
	s.measurePrimitives()
	if sum := s.primitiveSum(); sum > 0 {
		r.Ratio = (r.FirstSeconds + r.TransferSeconds) * float64(runtime.GOMAXPROCS(0)) / sum
	}
	var mem runtime.MemStats
	runtime.ReadMemStats(&mem)
	r.MemoryMB = float64(mem.Sys-mem.HeapReleased) / (1 << 20)
	s.op.calls.into(r.Calls)
	r.judge(len(s.meters))

	s.out.Printf("Summary: %d devices", r.Devices)
	if elsewhere := r.Devices - len(s.meters); elsewhere > 0 {
		s.out.Printf("     %d of them have cards elsewhere, by their public keys, and cannot connect from here", elsewhere)
	}
	s.out.Printf("     import to connected  %s  (%s per device)", seconds(r.FirstSeconds), seconds(r.FirstSeconds/float64(r.Devices)))
	s.out.Printf("     transfer, reconnect  %s  (%s per device)", seconds(r.TransferSeconds), seconds(r.TransferSeconds/float64(r.Devices)))
	s.out.Printf("     %.1f times the sum of the primitive costs, measured in this run:", r.Ratio)
	for _, name := range primitiveNames {
		s.out.Printf("       %-28s %s", name, seconds(r.Primitives[name]/1e6))
	}
	s.out.Printf("     calls                %s", s.op.calls)
	s.out.Printf("     memory               %.0f MB", r.MemoryMB)
}

func seconds(s float64) string {
	d := time.Duration(s * float64(time.Second))
	switch {
	case d >= time.Second:
		return d.Round(10 * time.Millisecond).String()
	case d >= time.Millisecond:
		return d.Round(10 * time.Microsecond).String()
	}
	return d.Round(100 * time.Nanosecond).String()
}

const (
	primKey    = "P-256 key generation"
	primSign   = "P-256 signature"
	primVerify = "P-256 verification"
	primSeal   = "HPKE seal"
	primOpen   = "HPKE open"
	primAgree  = "P-256 key agreement"
)

var primitiveNames = []string{primKey, primSign, primVerify, primAgree, primSeal, primOpen}

// primitiveSum is what the signatures and seals of both rounds cost at least, in
// seconds of one core. For each device and round:
//
//   - at the registry a key; signatures on certificate, seal and CERT record;
//     the seal itself;
//   - at the meter the seal's signature, opening it, the DNSSEC signatures of
//     everything it looks up, and the registry's path from the issuer to the
//     root when it installs and from the leaf when it starts;
//   - between SM-DP+ and eUICC (SGP.22): three signatures of the one, four of the
//     other with that of the enabling, each verified, both sides' certificates,
//     those of the eUICC twice; a key and an agreement on each side;
//   - between eIM and eUICC (SGP.32): a signature on the package and one on its
//     result, both verified, and the download's receipt once more;
//   - TLS handshakes with eIM and SM-DP+, one signature each, and one with the
//     provider, one on each side, each verified once, where the provider also
//     checks the DNSSEC signature of the meter's CERT record.
func (s *story) primitiveSum() float64 {
	p := s.report.Primitives
	const (
		sgp22Signs, sgp22Verifies = 3 + 4, 3 + 4 + 2 + 2*2
		sgp32Signs, sgp32Verifies = 2, 3
	)
	signs := 3 + sgp22Signs + sgp32Signs + 2 + 2
	verifies := 1 + s.report.Verifications + 1 + 2 + sgp22Verifies + sgp32Verifies + 2 + 2 + 1
	round := 3*p[primKey] + 2*p[primAgree] + p[primSeal] + p[primOpen] + float64(signs)*p[primSign] + float64(verifies)*p[primVerify]
	return 2 * float64(len(s.meters)) * round / 1e6
}

// timeEach returns the median time of one call of fn in microseconds.
func timeEach(n int, fn func()) float64 {
	times := make([]time.Duration, n)
	for i := range times {
		begin := time.Now()
		fn()
		times[i] = time.Since(begin)
	}
	slices.Sort(times)
	return float64(times[n/2].Nanoseconds()) / 1e3
}

func (s *story) measurePrimitives() {
	p := s.report.Primitives
	const n = 200
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return // the system has no randomness; the run would have failed before
	}
	digest := sha256.Sum256([]byte("ottawa"))
	sig, _ := ecdsa.SignASN1(rand.Reader, key, digest[:])
	p[primKey] = timeEach(n, func() { _, _ = ecdsa.GenerateKey(elliptic.P256(), rand.Reader) })
	p[primSign] = timeEach(n, func() { _, _ = ecdsa.SignASN1(rand.Reader, key, digest[:]) })
	p[primVerify] = timeEach(n, func() { ecdsa.VerifyASN1(&key.PublicKey, digest[:], sig) })
	if own, err := key.ECDH(); err == nil {
		p[primAgree] = timeEach(n, func() { _, _ = own.ECDH(own.PublicKey()) })
	}
	seal, open := hpkePrimitives()
	p[primSeal], p[primOpen] = timeEach(n, seal), timeEach(n, open)
}
