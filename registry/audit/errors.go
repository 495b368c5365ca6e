package audit

import (
	"errors"
	"fmt"
	"strings"
)

// What callers branch on. Every error of this package is an [*Error] that wraps
// one of these, or what the reader or the signer returned.
var (
	ErrChain      = errors.New("hash differs from the computed one: this entry or one before it was changed")
	ErrGap        = errors.New("sequence number is not the next one: entries were removed, added or moved")
	ErrHead       = errors.New("head disagrees with the trail: entries were removed or rewritten, or the head belongs elsewhere")
	ErrSignature  = errors.New("signature of the head does not verify: the head was changed")
	ErrUnknownKey = errors.New("head is signed by a key that is not trusted: get the registry's current key from a source you trust")
	ErrUnsigned   = errors.New("not covered by a signed head: ask the registry for an export that ends in one")
	ErrTruncated  = errors.New("trail is shorter than it has been: entries at its end were removed, or the export is an old one")
	ErrFormat     = errors.New("not in the format of an audit trail")
	ErrTooLarge   = errors.New("more than the limit allows")

	// Of callers.
	ErrKey   = errors.New("unsupported key: use ECDSA on P-256 or larger, or Ed25519")
	ErrSetup = errors.New("verifier cannot work as it is set up")
)

// Error says where verification failed. Errors.Is sees through it to the
// sentinels above. It never quotes an entry.
type Error struct {
	Line int    // line of the file, from 1; 0 when no file was read
	Seq  uint64 // entry or head concerned; 0 when there is none or it could not be read
	Err  error
}

// Error names the line, the entry and the cause.
func (e *Error) Error() string {
	var b strings.Builder
	b.WriteString("audit: ")
	if e.Line > 0 {
		fmt.Fprintf(&b, "line %d: ", e.Line)
	}
	if e.Seq > 0 {
		fmt.Fprintf(&b, "entry %d: ", e.Seq)
	}
	fmt.Fprint(&b, e.Err)
	return b.String()
}

// Unwrap returns the cause.
func (e *Error) Unwrap() error { return e.Err }

// malformed is ErrFormat with what is wrong.
func malformed(what string) error { return fmt.Errorf("%w: %s", ErrFormat, what) }
