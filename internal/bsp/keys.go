package bsp

import (
	"crypto/ecdh"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"log/slog"
)

// Why keys cannot be derived. Errors of [DeriveKeys], [ParseEID], [Bind] and
// [NewReader] wrap these.
var (
	ErrPoint  = errors.New("not an uncompressed point of P-256, 65 bytes")
	ErrCurve  = errors.New("the one-time key must be on P-256")
	ErrHostID = errors.New("a host ID has 1 to 16 bytes")
	ErrEID    = errors.New("an EID has 32 decimal digits")
)

// What the control reference template announces: AES keys of 16 bytes (SGP.22
// section 5.5.1).
const (
	keyTypeAES = 0x88
	keyLength  = 16
)

// maxID is the longest host ID and transaction ID, in bytes.
const maxID = 16

// EID is an eUICC's identifier as it goes into the key derivation: 16 bytes of
// two digits each. The zero EID is none.
type EID [16]byte

// ParseEID reads 32 digits. It does not look at the check digits: test suites
// use EIDs whose check digits are wrong on purpose, and who may have a profile
// is decided before.
func ParseEID(digits string) (EID, error) {
	var e EID
	if len(digits) != 2*len(e) {
		return EID{}, fmt.Errorf("bsp: %w", ErrEID)
	}
	for _, c := range []byte(digits) {
		if c < '0' || c > '9' {
			return EID{}, fmt.Errorf("bsp: %w", ErrEID)
		}
	}
	_, _ = hex.Decode(e[:], []byte(digits)) // digits only: cannot fail
	return e, nil
}

// String returns the 32 digits.
func (e EID) String() string { return hex.EncodeToString(e[:]) }

// Keys are the three secrets of one chain of blocks: those of a session, or the
// profile protection keys that replace them. They are hidden from package fmt,
// log/slog and JSON.
type Keys struct {
	hidden

	MCV  [16]byte // initial MAC chaining value
	SEnc [16]byte // S-ENC, encrypts
	SMac [16]byte // S-MAC, authenticates
}

// Clear overwrites the keys. What was made from them before works on.
func (k *Keys) Clear() { *k = Keys{} }

// DeriveKeys agrees on the session's keys (SGP.22 section 2.6.4, annex G.2):
// ECKA on P-256 between one's own one-time key and the other side's, given as an
// uncompressed point, then the X9.63 KDF over the host ID and the EID. Both
// sides get the same keys. The errors are [ErrPoint], [ErrCurve], [ErrHostID],
// [ErrEID] and those of the key itself.
func DeriveKeys(own ecdh.KeyExchanger, peer, hostID []byte, eid EID) (Keys, error) {
	if len(hostID) < 1 || len(hostID) > maxID {
		return Keys{}, fmt.Errorf("bsp: %w, not %d", ErrHostID, len(hostID))
	}
	if eid == (EID{}) {
		return Keys{}, fmt.Errorf("bsp: %w", ErrEID)
	}
	point, err := parsePoint(peer)
	if err != nil {
		return Keys{}, err
	}
	if own == nil || own.Curve() != ecdh.P256() {
		return Keys{}, fmt.Errorf("bsp: %w", ErrCurve)
	}
	z, err := own.ECDH(point)
	if err != nil {
		return Keys{}, fmt.Errorf("bsp: agree on a key: %w", err)
	}
	defer clear(z)
	info := append(make([]byte, 0, 4+maxID+len(eid)), keyTypeAES, keyLength, byte(len(hostID)))
	info = append(info, hostID...)
	info = append(info, byte(len(eid)))
	info = append(info, eid[:]...)
	material := KDF(z, info, 3*keyLength)
	defer clear(material)
	return Keys{MCV: [16]byte(material), SEnc: [16]byte(material[16:]), SMac: [16]byte(material[32:])}, nil
}

// parsePoint refuses what is not on the curve, and compressed points.
func parsePoint(b []byte) (*ecdh.PublicKey, error) {
	point, err := ecdh.P256().NewPublicKey(b)
	if err != nil {
		return nil, fmt.Errorf("bsp: %w (%d bytes given)", ErrPoint, len(b))
	}
	return point, nil
}

// KDF is the key derivation function of ANSI X9.63 with SHA-256: n bytes from
// the shared secret z and the shared info. It returns nil where n is negative
// or more than 65535.
func KDF(z, info []byte, n int) []byte {
	if n < 0 || n > 1<<16-1 {
		return nil
	}
	out := make([]byte, 0, n+sha256.Size)
	h := sha256.New()
	for counter := uint32(1); len(out) < n; counter++ {
		h.Reset()
		h.Write(z)
		h.Write(binary.BigEndian.AppendUint32(nil, counter))
		h.Write(info)
		out = h.Sum(out)
	}
	clear(out[n:])
	return out[:n]
}

// hidden keeps what it is embedded in out of texts.
type hidden struct{}

const stars = "*****"

// String hides the value.
func (hidden) String() string { return stars }

// GoString hides the value.
func (hidden) GoString() string { return stars }

// Format hides the value from every verb of package fmt.
func (hidden) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, stars) }

// LogValue hides the value.
func (hidden) LogValue() slog.Value { return slog.StringValue(stars) }

// MarshalText hides the value, in JSON too.
func (hidden) MarshalText() ([]byte, error) { return []byte(stars), nil }
