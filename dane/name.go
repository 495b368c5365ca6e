package dane

import (
	"errors"
	"net/netip"
	"strconv"
	"strings"
)

// Limits of RFC 1035 section 2.3.4, for names in text without the final dot.
const (
	maxLabel = 63
	maxName  = 253
)

// DeviceName returns the owner name of a device's records:
// <profileID>.<deviceID>.<zone>, in lower case, without a final dot. The
// device ID is one label of letters, digits and inner hyphens (an EID, an
// ICCID, or any plain identifier); the profile ID is positive. A name that
// does not fit the DNS gives an error that matches ErrInvalid.
func DeviceName(profileID uint64, deviceID, zone string) (string, error) {
	if profileID == 0 {
		return "", fail(Invalid, deviceID, "profile ID must be positive")
	}
	return deviceName(strconv.FormatUint(profileID, 10), deviceID, zone, "")
}

// DanceName returns the owner name of a device's TLSA records in the style of
// IETF DANCE: <deviceID>._device.<zone>, in lower case, without a final dot.
// There is no profile ID in it. The limits are those of DeviceName.
func DanceName(deviceID, zone string) (string, error) {
	return deviceName("", deviceID, zone, deviceLabel)
}

// deviceLabel is the label of draft-ietf-dance-client-auth, Format 2.
const deviceLabel = "_device"

func deviceName(before, deviceID, zone, after string) (string, error) {
	if err := checkDeviceLabel(deviceID); err != nil {
		return "", &Error{Kind: Invalid, Name: deviceID, Err: err}
	}
	z, err := cleanName(zone)
	if err != nil {
		return "", err
	}
	labels := make([]string, 0, 4)
	for _, l := range []string{before, lower(deviceID), after, z} {
		if l != "" {
			labels = append(labels, l)
		}
	}
	name := strings.Join(labels, ".")
	if len(name) > maxName {
		return "", fail(Invalid, name, "name is %d characters long; the DNS allows %d", len(name), maxName)
	}
	return name, nil
}

// ParseDeviceName takes the owner name of a device's records apart: it must be
// <profileID>.<deviceID> directly below zone. Upper and lower case are equal
// and one final dot is ignored; the device ID is returned in lower case.
// Anything that DeviceName would not build (a profile ID of 0 or with leading
// zeros, more labels) gives an error that matches ErrInvalid.
func ParseDeviceName(name, zone string) (profileID uint64, deviceID string, err error) {
	n, err := cleanName(name)
	if err != nil {
		return 0, "", err
	}
	z, err := cleanName(zone)
	if err != nil {
		return 0, "", err
	}
	head, ok := strings.CutSuffix(n, "."+z)
	if !ok {
		return 0, "", fail(Invalid, n, "not below zone %s", z)
	}
	id, device, ok := strings.Cut(head, ".")
	if !ok || strings.Contains(device, ".") {
		return 0, "", fail(Invalid, n, "want <profile ID>.<device ID>.%s", z)
	}
	if err := checkDeviceLabel(device); err != nil {
		return 0, "", &Error{Kind: Invalid, Name: n, Err: err}
	}
	profileID, perr := strconv.ParseUint(id, 10, 64)
	if perr != nil || profileID == 0 || strconv.FormatUint(profileID, 10) != id {
		return 0, "", fail(Invalid, n, "profile ID %q is not a positive decimal number without leading zeros", id)
	}
	return profileID, device, nil
}

// ServiceName returns the owner name of a service's TLSA records,
// _<port>._tcp.<host> (RFC 6698 section 3), in lower case and without a final
// dot. The host is a domain name in A-label form, not an address; port 0,
// addresses and malformed hosts give an error that matches ErrInvalid.
func ServiceName(host string, port uint16) (string, error) {
	h, err := cleanHost(host)
	if err != nil {
		return "", err
	}
	if port == 0 {
		return "", fail(Invalid, h, "port must not be 0")
	}
	name := "_" + strconv.Itoa(int(port)) + "._tcp." + h
	if len(name) > maxName {
		return "", fail(Invalid, name, "name is %d characters long; the DNS allows %d", len(name), maxName)
	}
	return name, nil
}

func cleanHost(host string) (string, error) {
	if _, err := netip.ParseAddr(host); err == nil {
		return "", fail(Invalid, host, "DANE needs a host name, not an address")
	}
	return cleanName(host)
}

// cleanName returns a domain name in lower case without its final dot. It
// accepts letters, digits, hyphens inside labels and underscores, which is
// what every name of this package is made of: no escapes, no U-labels.
func cleanName(name string) (string, error) {
	n := strings.TrimSuffix(name, ".")
	if n == "" {
		return "", fail(Invalid, name, "empty name")
	}
	if len(n) > maxName {
		return "", fail(Invalid, "", "name is %d characters long; the DNS allows %d", len(n), maxName)
	}
	for label := range strings.SplitSeq(n, ".") {
		if err := checkLabel(label, true); err != nil {
			return "", &Error{Kind: Invalid, Name: strconv.QuoteToASCII(name), Err: err}
		}
	}
	return lower(n), nil
}

var (
	errLabelLength = errors.New("each label has 1 to 63 characters")
	errLabelChars  = errors.New("labels hold letters, digits and inner hyphens only (write other scripts as xn-- A-labels)")
)

func checkDeviceLabel(s string) error { return checkLabel(s, false) }

func checkLabel(s string, underscore bool) error {
	if len(s) == 0 || len(s) > maxLabel {
		return errLabelLength
	}
	if s[0] == '-' || s[len(s)-1] == '-' {
		return errLabelChars
	}
	for i := range len(s) {
		switch c := s[i]; {
		case 'a' <= c && c <= 'z', 'A' <= c && c <= 'Z', '0' <= c && c <= '9', c == '-':
		case c == '_' && underscore:
		default:
			return errLabelChars
		}
	}
	return nil
}

// lower maps ASCII only: the DNS compares A to Z without case and nothing else
// (RFC 4343).
func lower(s string) string {
	for i := range len(s) {
		if 'A' <= s[i] && s[i] <= 'Z' {
			b := []byte(s)
			for ; i < len(b); i++ {
				if 'A' <= b[i] && b[i] <= 'Z' {
					b[i] += 'a' - 'A'
				}
			}
			return string(b)
		}
	}
	return s
}

// below reports whether name (clean) lies strictly below zone (clean).
func below(name, zone string) bool {
	return len(name) > len(zone)+1 && strings.HasSuffix(name, zone) && name[len(name)-len(zone)-1] == '.'
}
