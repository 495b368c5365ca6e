package registry

import (
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base32"
	"fmt"
	"io"
	"log/slog"
	"strings"
	"time"
)

// AuthCode is an authorization code (RFC 9154): the owner's one-use secret that
// lets another provider take over a device. Nothing but [AuthCode.Reveal]
// shows it. The zero value matches nothing.
//
// The text is behind a pointer because package fmt prints what it finds in other
// people's private fields without asking.
type AuthCode struct{ text *string }

const (
	codeChars  = 26 // of Crockford's base 32: 130 bits, RFC 9154 section 4.1 wants 128
	codeHidden = "*****"
	// Longer input is refused before any work is done on it.
	maxCodeInput = 64
)

var crockford = base32.NewEncoding("0123456789ABCDEFGHJKMNPQRSTVWXYZ").WithPadding(base32.NoPadding)

// ParseAuthCode reads a code as people write it: upper or lower case, with or
// without hyphens and blanks, O for 0 and I or L for 1. The error never shows
// the input.
func ParseAuthCode(s string) (AuthCode, error) {
	if len(s) > maxCodeInput {
		return AuthCode{}, fmt.Errorf("registry: %w: authorization code is too long", ErrInvalid)
	}
	s = strings.NewReplacer("-", "", " ", "", "O", "0", "I", "1", "L", "1").Replace(strings.ToUpper(s))
	if _, err := crockford.DecodeString(s); err != nil || len(s) != codeChars {
		return AuthCode{}, fmt.Errorf("registry: %w: an authorization code has %d letters and digits", ErrInvalid, codeChars)
	}
	return AuthCode{&s}, nil
}

// newAuthCode draws a code of 130 random bits from rand.
func newAuthCode(rand io.Reader) (AuthCode, error) {
	var b [17]byte
	if _, err := io.ReadFull(rand, b[:]); err != nil {
		return AuthCode{}, fmt.Errorf("registry: draw authorization code: %w", err)
	}
	s := crockford.EncodeToString(b[:])[:codeChars]
	return AuthCode{&s}, nil
}

// Reveal returns the code in groups of five, for the owner's eyes.
func (c AuthCode) Reveal() string {
	var b strings.Builder
	for i, r := range c.secret() {
		if i > 0 && i%5 == 0 {
			b.WriteByte('-')
		}
		b.WriteRune(r)
	}
	return b.String()
}

// IsZero reports whether c is no code at all.
func (c AuthCode) IsZero() bool { return c.text == nil }

func (c AuthCode) secret() string {
	if c.text == nil {
		return ""
	}
	return *c.text
}

// String hides the code.
func (AuthCode) String() string { return codeHidden }

// GoString hides the code.
func (AuthCode) GoString() string { return codeHidden }

// Format hides the code from every verb of package fmt.
func (AuthCode) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, codeHidden) }

// LogValue hides the code.
func (AuthCode) LogValue() slog.Value { return slog.StringValue(codeHidden) }

// MarshalText hides the code, in JSON too.
func (AuthCode) MarshalText() ([]byte, error) { return []byte(codeHidden), nil }

// UnmarshalText is [ParseAuthCode].
func (c *AuthCode) UnmarshalText(b []byte) (err error) {
	*c, err = ParseAuthCode(string(b))
	return err
}

// codeRecord is all the registry keeps of a code: enough to recognise it once.
// A fast hash is right here, since what it protects has 130 random bits.
type codeRecord struct {
	Alg     string    `json:"alg"` // "sha256": SHA-256(salt || code)
	Salt    []byte    `json:"salt"`
	Hash    []byte    `json:"hash"`
	Issued  time.Time `json:"issued"`
	Expires time.Time `json:"expires"`
}

const codeAlg = "sha256"

func newCodeRecord(rand io.Reader, c AuthCode, now time.Time, ttl time.Duration) (codeRecord, error) {
	salt := make([]byte, 16)
	if _, err := io.ReadFull(rand, salt); err != nil {
		return codeRecord{}, fmt.Errorf("registry: draw salt: %w", err)
	}
	return codeRecord{Alg: codeAlg, Salt: salt, Hash: hashCode(salt, c), Issued: now, Expires: now.Add(ttl)}, nil
}

func hashCode(salt []byte, c AuthCode) []byte {
	h := sha256.New()
	h.Write(salt)
	io.WriteString(h, c.secret())
	return h.Sum(nil)
}

// matches reports whether c is the recorded code and still good at now. It does
// the same work for a nil record, so that time does not tell set from unset.
func (r *codeRecord) matches(c AuthCode, now time.Time) bool {
	rec := codeRecord{Salt: make([]byte, 16), Hash: make([]byte, sha256.Size)}
	set := r != nil && r.Alg == codeAlg
	if set {
		rec = *r
	}
	same := subtle.ConstantTimeCompare(hashCode(rec.Salt, c), rec.Hash) == 1
	return same && set && !c.IsZero() && now.Before(rec.Expires)
}
