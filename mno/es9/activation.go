package es9

import (
	"errors"
	"fmt"
	"strings"

	"github.com/iotregistry/sdk/internal/rsp"
)

// ErrActivationCode means that a text is no activation code, or that an
// [ActivationCode] cannot be written as one. Errors of this package wrap it.
var ErrActivationCode = errors.New("no activation code of SGP.22")

// ActivationCode says where a profile waits (SGP.22 section 4.1). Whoever has it
// may download the profile: keep it from logs, where it shows its address only.
type ActivationCode struct {
	Address          string // of the SM-DP+: FQDN, with ":port" in test networks
	MatchingID       string // which order; may be empty where the SM-DP+ knows the device
	OID              string // of the SM-DP+, which its certificate must have; empty for any
	ConfirmationCode bool   // the user will be asked for a confirmation code
}

const maxActivationCode = 4 * maxText

// ParseActivationCode reads "1$host$matchingid[$oid[$1]]", with or without the
// prefix "LPA:" of a QR code. Later fields are skipped.
func ParseActivationCode(s string) (ActivationCode, error) {
	bad := func(why string) (ActivationCode, error) {
		return ActivationCode{}, fmt.Errorf("es9: %w: %s", ErrActivationCode, why)
	}
	if len(s) > maxActivationCode {
		return bad("too long")
	}
	if len(s) >= 4 && strings.EqualFold(s[:4], "LPA:") {
		s = s[4:]
	}
	fields := strings.Split(s, "$")
	if len(fields) < 3 || fields[0] != "1" {
		return bad("it is like LPA:1$smdp.example.net$MATCHING-ID")
	}
	c := ActivationCode{Address: fields[1], MatchingID: fields[2]}
	if len(fields) > 3 {
		c.OID = fields[3]
	}
	if len(fields) > 4 {
		if fields[4] != "" && fields[4] != "1" {
			return bad("the flag for a confirmation code is 1 or left out")
		}
		c.ConfirmationCode = fields[4] == "1"
	}
	if err := c.check(); err != nil {
		return ActivationCode{}, err
	}
	return c, nil
}

// Text returns the activation code as ParseActivationCode reads it, without
// prefix. It is a secret.
func (c ActivationCode) Text() (string, error) {
	if err := c.check(); err != nil {
		return "", err
	}
	s := "1$" + c.Address + "$" + c.MatchingID
	if c.OID != "" || c.ConfirmationCode {
		s += "$" + c.OID
	}
	if c.ConfirmationCode {
		s += "$1"
	}
	return s, nil
}

// Format writes the address and hides the rest, whatever the verb.
func (c ActivationCode) Format(f fmt.State, _ rune) {
	fmt.Fprintf(f, "activation code for %q", c.Address)
}

func (c ActivationCode) check() error {
	why := ""
	switch {
	case !isAddress(c.Address):
		why = "the address is no host name"
	case len(c.MatchingID) > maxText || strings.ContainsFunc(c.MatchingID, notMatching):
		why = "a matching ID has capital letters, digits and '-' only"
	case c.OID != "":
		if _, err := rsp.ParseOID(c.OID); err != nil {
			why = "the object identifier is not like 2.999.10"
		}
	}
	if why != "" {
		return fmt.Errorf("es9: %w: %s", ErrActivationCode, why)
	}
	return nil
}

func notMatching(r rune) bool { return (r < '0' || r > '9') && (r < 'A' || r > 'Z') && r != '-' }

// isAddress accepts a host name with or without a port: nothing that would turn
// into a path, a query or a user when a URL is made of it.
func isAddress(s string) bool {
	host, port, hasPort := strings.Cut(s, ":")
	if host == "" || len(s) > maxText || hasPort && (port == "" || len(port) > 5 || strings.ContainsFunc(port, notDigit)) {
		return false
	}
	return !strings.ContainsFunc(host, func(r rune) bool {
		return notDigit(r) && (r < 'a' || r > 'z') && (r < 'A' || r > 'Z') && r != '-' && r != '.'
	})
}

func notDigit(r rune) bool { return r < '0' || r > '9' }

// sameServer compares addresses, in any case of letters. A port that only one of
// them has makes no difference: SM-DP+s leave theirs out.
func sameServer(a, b string) bool {
	hostA, portA, _ := strings.Cut(a, ":")
	hostB, portB, _ := strings.Cut(b, ":")
	return strings.EqualFold(hostA, hostB) && (portA == portB || portA == "" || portB == "")
}
