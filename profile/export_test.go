package profile

import (
	"bytes"
	"crypto/hpke"
	"testing"
)

// Resign replaces chain and signature of a sealed profile, as an attacker with
// an authority of his own would.
func Resign(t testing.TB, b []byte, s Signer) []byte {
	t.Helper()
	old, err := ParseSealed(b)
	must(t, err)
	msg, err := appendBody(bytes.Clone(old.header), s.Chain, old.enc, old.ct)
	must(t, err)
	sig, err := s.sign(msg)
	must(t, err)
	out, err := appendSignature(msg, sig)
	must(t, err)
	return out
}

// SealAs seals p under a header that says what Seal would not write.
func SealAs(t testing.TB, to hpke.PublicKey, p *Profile, a *Authority, aead uint16, bind Binding) []byte {
	t.Helper()
	plain, err := p.Encode()
	must(t, err)
	header, err := appendHeader(nil, to.KEM().ID(), sealKDF().ID(), aead, bind)
	must(t, err)
	enc, sender, err := hpke.NewSender(to, sealKDF(), sealAEAD(), info(header))
	must(t, err)
	ct, err := sender.Seal(nil, plain)
	must(t, err)
	msg, err := appendBody(header, a.Chain(), enc, ct)
	must(t, err)
	sig, err := Signer{Key: a.signer}.sign(msg)
	must(t, err)
	out, err := appendSignature(msg, sig)
	must(t, err)
	return out
}

// Reencode writes what ParseSealed understood of a sealed profile.
func Reencode(t testing.TB, s *Sealed) []byte {
	t.Helper()
	out, err := appendHeader(nil, s.kem, s.kdf, s.aead, s.binding)
	must(t, err)
	var chain [][]byte
	for _, c := range s.chain {
		chain = append(chain, c.Raw)
	}
	out, err = appendBody(out, chain, s.enc, s.ct)
	must(t, err)
	out, err = appendSignature(out, s.signature)
	must(t, err)
	return out
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
