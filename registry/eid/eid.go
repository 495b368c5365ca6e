// Package eid names devices. A device ID is an EID (the 32 digits of an eUICC,
// GSMA SGP.29), an ICCID (the 18 to 20 digits of a SIM, ITU-T E.118) or a plain
// decimal number, as small registries use. Each has one canonical text, which
// is also one DNS label.
//
//	id, err := eid.Parse("89049032123451234512345678901235")
package eid

import (
	"cmp"
	"errors"
	"fmt"
	"strings"
)

// Kind says what sort of number an [ID] is.
type Kind uint8

// The kinds of device ID. The zero Kind belongs to the zero ID.
const (
	None    Kind = iota
	Decimal      // up to 20 digits with no check digit; leading zeros count
	ICCID        // 18 to 20 digits beginning with 89, the last a Luhn digit
	EID          // 32 digits, the last two a check by ISO 7064 MOD 97-10
)

// String returns the kind's name.
func (k Kind) String() string {
	switch k {
	case None:
		return "none"
	case Decimal:
		return "decimal"
	case ICCID:
		return "ICCID"
	case EID:
		return "EID"
	}
	return fmt.Sprintf("kind %d", uint8(k))
}

// Why a text is no device ID. Errors of Parse wrap one of these.
var (
	ErrEmpty       = errors.New("no device ID given")
	ErrCharacter   = errors.New("a device ID has decimal digits only (an ICCID of 19 digits may end in the filler F)")
	ErrSpreadsheet = errors.New("a spreadsheet has rounded this number: format the column as text and export it again")
	ErrLength      = errors.New("a device ID has 1 to 20 digits, or 32 for an EID: a digit is missing or too many")
	ErrCheck       = errors.New("the check digits do not fit: a digit is wrong")
)

// ID is a device ID. IDs are comparable; the zero value is no ID at all.
type ID struct {
	kind Kind
	text string
}

const (
	eidDigits  = 32
	maxDecimal = 20
	// More is cut off before it gets into an error text.
	maxShown = 40
)

// Parse reads a device ID, ignoring blanks around it. Leading zeros are kept,
// an ICCID's filler is not.
func Parse(s string) (ID, error) {
	text := strings.TrimSpace(s)
	id, err := parse(text)
	if err != nil {
		if len(text) > maxShown {
			text = text[:maxShown] + "..."
		}
		return ID{}, fmt.Errorf("eid: %q: %w", text, err)
	}
	return id, nil
}

func parse(s string) (ID, error) {
	if s == "" {
		return ID{}, ErrEmpty
	}
	digits := strings.IndexFunc(s, func(r rune) bool { return r < '0' || r > '9' })
	if digits == 19 && isFiller(s[19:]) && strings.HasPrefix(s, "89") {
		s, digits = s[:19], -1
	}
	switch {
	case digits >= 0 && looksRounded(s):
		return ID{}, ErrSpreadsheet
	case digits >= 0:
		return ID{}, ErrCharacter
	case len(s) == eidDigits:
		return checked(EID, s, s[eidDigits-2:] == checkDigits(s[:eidDigits-2]))
	case len(s) > maxDecimal:
		return ID{}, fmt.Errorf("%w; this has %d and looks like a mistyped EID", ErrLength, len(s))
	case len(s) >= 18 && strings.HasPrefix(s, "89"):
		return checked(ICCID, s, luhn(s))
	}
	return ID{Decimal, s}, nil
}

func isFiller(s string) bool { return s == "F" || s == "f" }

// looksRounded recognises 1E+15, 1.0E15, 8,90490E+31 and 1000000000000001.0.
func looksRounded(s string) bool {
	rest := strings.TrimLeft(s, "0123456789.,")
	if rest == "" {
		return strings.ContainsAny(s, ".,")
	}
	if len(rest) == len(s) || rest[0] != 'E' && rest[0] != 'e' {
		return false
	}
	exp := strings.TrimLeft(rest[1:], "+-")
	return exp != "" && strings.Trim(exp, "0123456789") == ""
}

func checked(k Kind, s string, ok bool) (ID, error) {
	switch {
	case ok:
		return ID{k, s}, nil
	case strings.Trim(s[spreadsheetDigits:], "0") == "":
		return ID{}, ErrSpreadsheet
	}
	return ID{}, fmt.Errorf("%w (this looks like an %s)", ErrCheck, k)
}

// spreadsheetDigits is how many digits of a number a spreadsheet keeps; it puts
// zeros in place of the rest.
const spreadsheetDigits = 15

// checkDigits returns the two digits that complete the first 30 of an EID: 98
// minus the remainder by 97 of these and two zeros (ISO 7064 MOD 97-10, SGP.29
// section 4). They are 02 to 98. Dividing the whole by 97 would take 00, 01 and
// 99 for 97, 98 and 02.
func checkDigits(first string) string {
	n := 0
	for i := range len(first) {
		n = (n*10 + int(first[i]-'0')) % 97
	}
	n = 98 - n*100%97
	return string([]byte{byte('0' + n/10), byte('0' + n%10)})
}

// luhn checks the last digit of s (ISO/IEC 7812-1 annex B).
func luhn(s string) bool {
	sum := 0
	for i := range len(s) {
		d := int(s[len(s)-1-i] - '0')
		if i%2 == 1 {
			if d *= 2; d > 9 {
				d -= 9
			}
		}
		sum += d
	}
	return sum%10 == 0
}

// New makes an EID from its first 30 digits by adding the two check digits.
func New(first string) (ID, error) {
	if len(first) != eidDigits-2 || strings.Trim(first, "0123456789") != "" {
		return ID{}, fmt.Errorf("eid: new: %w: give the first 30 digits", ErrLength)
	}
	return ID{EID, first + checkDigits(first)}, nil
}

// MustParse is Parse for IDs written in a program; it panics on an error.
func MustParse(s string) ID {
	id, err := Parse(s)
	if err != nil {
		panic(err)
	}
	return id
}

// Kind returns what sort of ID this is.
func (id ID) Kind() Kind { return id.kind }

// String returns the canonical text, "" for the zero ID.
func (id ID) String() string { return id.text }

// IsZero reports whether id is no ID at all.
func (id ID) IsZero() bool { return id.kind == None }

// Compare orders IDs by their canonical text, as bytes.
func (id ID) Compare(other ID) int { return cmp.Compare(id.text, other.text) }

// MarshalText returns the canonical text.
func (id ID) MarshalText() ([]byte, error) { return []byte(id.text), nil }

// UnmarshalText is Parse; an empty text gives the zero ID.
func (id *ID) UnmarshalText(b []byte) error {
	if len(b) == 0 {
		*id = ID{}
		return nil
	}
	v, err := Parse(string(b))
	if err == nil {
		*id = v
	}
	return err
}
