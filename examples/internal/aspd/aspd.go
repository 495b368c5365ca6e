// Package aspd keeps book of the devices that are connected to a provider, for
// as long as the DNS vouches for them. A TLS handshake looks a device up once;
// its connection may then last for months, and nothing in TLS ends it when the
// registry withdraws the certificate. [Sessions] looks again, and again.
//
//	sessions := &aspd.Sessions{Verify: verifier.DeviceChain, …}
//	go sessions.Run(ctx)
//	device, err := aspd.Identify(conn.ConnectionState(), zones...)
//	session, err := sessions.Admit(device, aspd.Link{Drop: …})
//	defer session.Leave()
//
// [Confirmer] tells the registry which devices have come, in batches.
//
// A new connection is refused unless the DNS proves the device (that is the work
// of dane.Verifier.ServerConfig). An open one is three-valued:
//
//   - proved: it stays until the answer runs out, and is then looked up again;
//   - disproved, by a validated denial or by validated records that do not hold
//     this certificate: it is dropped;
//   - unknown, by SERVFAIL, a time-out, a bogus or insecure answer: it stays for
//     the time of grace and is then dropped. An outage of the DNS is no proof of a
//     withdrawal, and whoever can cause one must not gain by it either.
package aspd

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"strings"

	"github.com/iotregistry/sdk/dane"
	"github.com/iotregistry/sdk/registry/eid"
)

// What callers branch on.
var (
	// ErrName means a certificate whose name below an allowed zone is none of a
	// device: <profileID>.<deviceID>.<zone>.
	ErrName = errors.New("aspd: the certificate's name is no device's")
	// ErrFull means that there are as many connections as are allowed.
	ErrFull = errors.New("aspd: too many connections")
	// ErrTaken means that the device ID is connected under another zone.
	ErrTaken = errors.New("aspd: a device of this ID is connected from another registry's zone")
	// ErrClosed means that the program is about to end.
	ErrClosed = errors.New("aspd: no connections are taken any more")
)

// Device is who is at the other end of a connection.
type Device struct {
	Name      string // of its records
	Zone      string // that allowed it
	ID        eid.ID
	ProfileID uint64
	Chain     []*x509.Certificate // as it presented them, leaf first
}

// Identify returns the device at the other end of a connection that
// dane.Verifier.ServerConfig accepted with the same zones.
func Identify(cs tls.ConnectionState, zones ...string) (Device, error) {
	name, err := dane.ClientIdentity(cs, zones...)
	if err != nil {
		return Device{}, err
	}
	d, err := parseName(name, zones)
	d.Chain = cs.PeerCertificates
	return d, err
}

func parseName(name string, zones []string) (Device, error) {
	for _, zone := range zones {
		profile, label, err := dane.ParseDeviceName(name, zone)
		if err != nil {
			continue
		}
		id, err := eid.Parse(label)
		if err != nil {
			return Device{}, fmt.Errorf("%w: %w", ErrName, err)
		}
		zone = strings.ToLower(strings.TrimSuffix(zone, "."))
		return Device{Name: name, Zone: zone, ID: id, ProfileID: profile}, nil
	}
	return Device{}, fmt.Errorf("%w: %s", ErrName, name)
}

// Is reports whether a text that the device calls itself by is its ID or name.
func (d Device) Is(text string) bool {
	return text != "" && (text == d.ID.String() || strings.EqualFold(strings.TrimSuffix(text, "."), d.Name))
}
