package rsp

import (
	"bytes"
	"encoding/hex"
	"fmt"
	"strconv"
	"strings"

	"github.com/iotregistry/sdk/internal/bertlv"
	"github.com/iotregistry/sdk/internal/bsp"
)

const maxTransactionID = 16

// TransactionID names one download session: 1 to 16 bytes that the SM-DP+ draws.
type TransactionID []byte

// String returns the ID as ES9+ writes it in JSON: hexadecimal in upper case.
func (id TransactionID) String() string { return strings.ToUpper(hex.EncodeToString(id)) }

// ParseTransactionID reads the form that String writes. Lower case is refused,
// as SGP.22 section 6.5.2 does.
func ParseTransactionID(s string) (TransactionID, error) {
	b, err := hex.DecodeString(s)
	if err != nil || len(b) == 0 || len(b) > maxTransactionID || strings.ToUpper(s) != s {
		return nil, fmt.Errorf("rsp: %w: a transaction ID has 2 to 32 hexadecimal digits in upper case", ErrFormat)
	}
	return b, nil
}

// EID is an eUICC's identifier as 16 bytes, two digits in each (SGP.29). Whether
// its check digits fit is not this package's matter.
type EID = bsp.EID

// ParseEID reads 32 digits.
func ParseEID(s string) (EID, error) {
	id, err := bsp.ParseEID(s)
	if err != nil {
		return EID{}, fmt.Errorf("rsp: %w: an EID has 32 digits", ErrFormat)
	}
	return id, nil
}

func (c *coder) eid(tag bertlv.Tag, p *EID) {
	member(c, tag, p, eidKind())
}

func eidKind() kind[EID] {
	return kind[EID]{
		func(b []byte) (EID, error) { return ParseEID(hex.EncodeToString(b)) },
		func(id EID) ([]byte, error) { return id[:], eidDigits(id) },
	}
}

func eidDigits(id EID) error {
	_, err := ParseEID(id.String())
	return err
}

func isDigits(s string) bool {
	return strings.IndexFunc(s, func(r rune) bool { return r < '0' || r > '9' }) < 0
}

// ICCID is a profile's number as 18 to 20 digits, without filler. Whether the
// last is its Luhn digit is not this package's matter.
type ICCID string

const iccidSize = 10

// plain returns ten bytes with two digits in each, the first in the high half,
// filled up with F.
func (id ICCID) plain() ([]byte, error) {
	if !isDigits(string(id)) || len(id) < 18 || len(id) > 2*iccidSize {
		return nil, fmt.Errorf("is no ICCID of 18 to 20 digits")
	}
	return hex.DecodeString(string(id) + strings.Repeat("f", 2*iccidSize-len(id)))
}

func iccidFromPlain(b []byte) (ICCID, error) {
	id := ICCID(strings.TrimRight(hex.EncodeToString(b), "f"))
	if len(b) != iccidSize {
		return "", fmt.Errorf("is no ICCID of 10 bytes")
	}
	_, err := id.plain()
	return id, err
}

// swapNibbles turns the order of digits on the wire into the one for reading,
// and back.
func swapNibbles(b []byte) []byte {
	b = bytes.Clone(b)
	for i, x := range b {
		b[i] = x<<4 | x>>4
	}
	return b
}

func iccidKind() kind[ICCID] {
	return kind[ICCID]{
		func(b []byte) (ICCID, error) { return iccidFromPlain(swapNibbles(b)) },
		func(id ICCID) ([]byte, error) {
			b, err := id.plain()
			return swapNibbles(b), err
		},
	}
}

// plainICCIDKind is for headers of profile packages, which do not swap digits.
func plainICCIDKind() kind[ICCID] { return kind[ICCID]{iccidFromPlain, ICCID.plain} }

// OID is an object identifier in dotted form, such as "2.999.10".
type OID string

const (
	maxOIDBytes = 64
	maxArc      = 1<<62 - 1 // as written: 40 times the first and the second are one
)

func oidKind() kind[OID] { return kind[OID]{decodeOID, OID.encode} }

func (c *coder) oid(tag bertlv.Tag, p *OID) { member(c, tag, p, oidKind()) }

func decodeOID(b []byte) (OID, error) {
	var s strings.Builder
	if len(b) == 0 || len(b) > maxOIDBytes || b[len(b)-1]&0x80 != 0 {
		return "", fmt.Errorf("is no object identifier of 1 to %d bytes", maxOIDBytes)
	}
	for len(b) > 0 {
		if b[0] == 0x80 {
			return "", fmt.Errorf("is an object identifier with leading zeros")
		}
		var arc uint64
		more := true
		for ; more; b = b[1:] {
			if arc >= 1<<55 {
				return "", fmt.Errorf("is an object identifier with too large an arc")
			}
			arc = arc<<7 | uint64(b[0]&0x7F)
			more = b[0]&0x80 != 0
		}
		if s.Len() == 0 {
			first := min(arc/40, 2)
			s.WriteString(strconv.FormatUint(first, 10))
			arc -= 40 * first
		}
		s.WriteString("." + strconv.FormatUint(arc, 10))
	}
	return OID(s.String()), nil
}

func (id OID) encode() ([]byte, error) {
	texts := strings.Split(string(id), ".")
	if len(texts) < 2 || len(texts) > maxOIDBytes {
		return nil, fmt.Errorf("is no dotted object identifier")
	}
	var first uint64
	var b []byte
	for i, s := range texts {
		arc, err := strconv.ParseUint(s, 10, 63)
		if err != nil || strconv.FormatUint(arc, 10) != s {
			return nil, fmt.Errorf("is no dotted object identifier")
		}
		switch i {
		case 0:
			first = arc
			continue
		case 1:
			if first > 2 || first < 2 && arc > 39 {
				return nil, fmt.Errorf("is no dotted object identifier")
			}
			arc += 40 * first
		}
		if arc > maxArc {
			return nil, fmt.Errorf("is an object identifier with too large an arc")
		}
		b = appendArc(b, arc)
	}
	if len(b) > maxOIDBytes {
		return nil, fmt.Errorf("is an object identifier of more than %d bytes", maxOIDBytes)
	}
	return b, nil
}

func appendArc(b []byte, arc uint64) []byte {
	n := 1
	for arc>>(7*n) != 0 {
		n++
	}
	for n--; n > 0; n-- {
		b = append(b, byte(arc>>(7*n))|0x80)
	}
	return append(b, byte(arc)&0x7F)
}

// DecodeOID reads the content of an OBJECT IDENTIFIER, without tag and length.
func DecodeOID(content []byte) (OID, error) {
	id, err := decodeOID(content)
	if err != nil {
		return "", fmt.Errorf("rsp: %w: %w", ErrFormat, err)
	}
	return id, nil
}

// ParseOID checks a dotted object identifier.
func ParseOID(s string) (OID, error) {
	if _, err := OID(s).encode(); err != nil {
		return "", fmt.Errorf("rsp: %w: %q %w", ErrFormat, s[:min(len(s), 80)], err)
	}
	return OID(s), nil
}
