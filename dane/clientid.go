package dane

// The value of the TLS extension dane_clientid of
// draft-ietf-dance-client-auth-13, for programs that end TLS outside Go's
// crypto/tls, which has no hook for such extensions:
//
//	opaque ClientName<0..2^8-1>
//
// The server sends it empty in CertificateRequest, and the client answers with
// its name in Certificate. The extension's code point is not assigned yet.

// ClientIDRequest returns the extension's value as a server sends it: a name
// of length zero.
func ClientIDRequest() []byte { return []byte{0} }

// ParseClientIDRequest checks the value that a server sent. Anything but a name
// of length zero gives an error that matches ErrInvalid; an empty value, which
// older drafts had, is one of those.
func ParseClientIDRequest(value []byte) error {
	if len(value) != 1 || value[0] != 0 {
		return fail(Invalid, "", "dane_clientid in CertificateRequest must be a name of length 0")
	}
	return nil
}

// ClientIDValue returns the extension's value as a client sends it. The name is
// the complete owner name of its TLSA records as the server is to ask for it:
// A-labels in ASCII, case kept, no final dot, no wildcard and no escapes.
// Others give an error that matches ErrInvalid.
func ClientIDValue(name string) ([]byte, error) {
	if err := checkClientName(name); err != nil {
		return nil, err
	}
	return append([]byte{byte(len(name))}, name...), nil
}

// ParseClientID returns the name in the value that a client sent, verbatim.
// Everything that ClientIDValue would not build gives an error that matches
// ErrInvalid. The name is only a claim: check it with Allowed before looking it
// up with [Verifier.DeviceChain].
func ParseClientID(value []byte) (string, error) {
	if len(value) == 0 || len(value) != 1+int(value[0]) {
		return "", fail(Invalid, "", "dane_clientid: length octet and %d octets of value disagree", len(value))
	}
	name := string(value[1:])
	if err := checkClientName(name); err != nil {
		return "", err
	}
	return name, nil
}

func checkClientName(name string) error {
	if name != "" && name[len(name)-1] == '.' {
		return fail(Invalid, "", "dane_clientid: the name must not end in a dot")
	}
	_, err := cleanName(name)
	return err
}
