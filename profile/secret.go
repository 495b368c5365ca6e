package profile

import (
	"fmt"
	"io"
	"log/slog"
)

// Secret holds bytes that must not be shown by accident: packages fmt, log,
// log/slog and all encodings that are text, such as JSON, give "*****". Reveal
// is the way out. Binary encodings that look at the type alone, encoding/gob
// for one, do see the bytes.
type Secret []byte

const hidden = "*****"

// Reveal returns the bytes themselves.
func (s Secret) Reveal() []byte { return s }

// String hides the secret.
func (Secret) String() string { return hidden }

// GoString hides the secret.
func (Secret) GoString() string { return hidden }

// Format hides the secret from every verb of package fmt.
func (Secret) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, hidden) }

// LogValue hides the secret.
func (Secret) LogValue() slog.Value { return slog.StringValue(hidden) }

// MarshalText hides the secret, in JSON too.
func (Secret) MarshalText() ([]byte, error) { return []byte(hidden), nil }
