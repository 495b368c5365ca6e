package web

import (
	"fmt"
	"io"
	"log/slog"
)

// Secret is a text that package fmt, package log/slog and package encoding/json
// do not show. Converted to string it is itself.
type Secret string

const hidden = "*****"

// String hides the text.
func (Secret) String() string { return hidden }

// GoString hides the text.
func (Secret) GoString() string { return hidden }

// Format hides the text from every verb of package fmt.
func (Secret) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, hidden) }

// LogValue hides the text.
func (Secret) LogValue() slog.Value { return slog.StringValue(hidden) }

// MarshalText hides the text, in JSON too.
func (Secret) MarshalText() ([]byte, error) { return []byte(hidden), nil }

// carried is a secret on its way: only JSON shows it.
type carried string

func (carried) String() string             { return hidden }
func (carried) GoString() string           { return hidden }
func (carried) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, hidden) }
func (carried) LogValue() slog.Value       { return slog.StringValue(hidden) }
