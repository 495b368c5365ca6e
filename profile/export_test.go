package profile

import (
	"encoding/binary"
	"testing"
)

// Resign replaces chain and signature of a sealed profile, as an attacker with
// an authority of his own would.
func Resign(t testing.TB, b []byte, s Signer) []byte {
	t.Helper()
	old, err := ParseSealed(b)
	if err != nil {
		t.Fatal(err)
	}
	out := append([]byte(nil), old.header...)
	out = append(out, byte(len(s.Chain)))
	for _, der := range s.Chain {
		out = binary.BigEndian.AppendUint16(out, uint16(len(der)))
		out = append(out, der...)
	}
	out = binary.BigEndian.AppendUint16(out, uint16(len(old.enc)))
	out = append(out, old.enc...)
	out = binary.BigEndian.AppendUint32(out, uint32(len(old.ct)))
	out = append(out, old.ct...)
	sig, err := s.sign(out)
	if err != nil {
		t.Fatal(err)
	}
	out = binary.BigEndian.AppendUint16(out, uint16(len(sig)))
	return append(out, sig...)
}
