package main

import (
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"encoding/asn1"
	"encoding/base64"
	"fmt"
	"io"
	"math/big"
	"strings"
	"sync"
	"testing"

	"github.com/miekg/dns"

	"github.com/iotregistry/sdk/dane/danetest"
	"github.com/iotregistry/sdk/dane/dnssec"
	"github.com/iotregistry/sdk/dane/publish"
)

// certificateSize is what a self-signed P-256 device certificate takes in DER.
const certificateSize = 647

// failure is what went wrong inside a world.
type failure struct{ error }

func (f failure) Unwrap() error { return f.error }

// stage lets a program, which has no testing.TB, make worlds of package
// danetest. What fails in them panics with a failure, which dane catches.
type stage struct {
	testing.TB
	ends []func()
}

func (*stage) Helper()                           {}
func (s *stage) Cleanup(f func())                { s.ends = append(s.ends, f) }
func (*stage) Errorf(format string, args ...any) { panic(failure{fmt.Errorf(format, args...)}) }
func (*stage) Fatalf(format string, args ...any) { panic(failure{fmt.Errorf(format, args...)}) }
func (*stage) Fatal(args ...any)                 { panic(failure{fmt.Errorf("%s", fmt.Sprint(args...))}) }

func (s *stage) end() {
	for _, f := range s.ends {
		f()
	}
}

// threeZones are the zones above a device.
func threeZones() []string { return []string{".", "ca.", "iotregistry.ca."} }

// device is the name of the i-th device.
func device(i int) string { return fmt.Sprintf("%d.%d.iotregistry.ca.", 11+i, 1000000000000001+i) }

// addDevices publishes n certificates.
func addDevices(w *danetest.World, n int) error {
	for i := range n {
		der := make([]byte, certificateSize)
		if _, err := rand.Read(der); err != nil {
			return err
		}
		w.AddCERT(device(i), der)
	}
	return nil
}

func anchorsOf(w *danetest.World) (*dnssec.Anchors, error) {
	return dnssec.ParseAnchors(strings.NewReader(w.Anchor()))
}

// secure looks a name up and insists on a proof.
func secure(ctx context.Context, r *dnssec.Resolver, name string, qtype uint16) (*dnssec.Result, error) {
	res, err := r.Lookup(ctx, name, qtype)
	if err == nil && res.Status != dnssec.Secure {
		err = fmt.Errorf("%s %s is %s: %w", name, dns.Type(qtype), res.Status, res.Reason)
	}
	return res, err
}

// notary keeps what the keys of a world have signed, so that the very same
// signatures can be verified with nothing around them.
type notary struct {
	mu   sync.Mutex
	acts map[string]act // by signature as in an RRSIG
}

type act struct {
	key    *ecdsa.PublicKey
	digest []byte
	asn1   []byte
}

// keys makes a zone's keys, for danetest.Config.
func (n *notary) keys(string) []publish.Key {
	var keys []publish.Key
	for _, flags := range []uint16{publish.KSK, publish.ZSK} {
		key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
		if err != nil {
			panic(failure{err})
		}
		keys = append(keys, publish.Key{Signer: witnessed{key, n}, Flags: flags, Algorithm: dns.ECDSAP256SHA256})
	}
	return keys
}

type witnessed struct {
	*ecdsa.PrivateKey
	notary *notary
}

func (k witnessed) Sign(r io.Reader, digest []byte, opts crypto.SignerOpts) ([]byte, error) {
	sig, err := k.PrivateKey.Sign(r, digest, opts)
	if err != nil {
		return nil, err
	}
	var rs struct{ R, S *big.Int }
	if _, err := asn1.Unmarshal(sig, &rs); err != nil {
		return nil, err
	}
	raw := append(rs.R.FillBytes(make([]byte, 32)), rs.S.FillBytes(make([]byte, 32))...)
	k.notary.mu.Lock()
	defer k.notary.mu.Unlock()
	k.notary.acts[string(raw)] = act{&k.PublicKey, digest, sig}
	return sig, nil
}

// of returns what was signed for an RRSIG.
func (n *notary) of(sig *dns.RRSIG) (act, bool) {
	raw, err := base64.StdEncoding.DecodeString(sig.Signature)
	n.mu.Lock()
	defer n.mu.Unlock()
	a, ok := n.acts[string(raw)]
	return a, ok && err == nil
}
