package web

import (
	"fmt"
	"io"
	"log/slog"
)

// Secret is a text that package fmt and package log/slog do not show. Converted
// to string it is itself; in JSON too, which is how it travels.
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
