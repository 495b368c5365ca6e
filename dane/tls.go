package dane

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"net"
	"strconv"
	"strings"
	"time"
)

const (
	defaultTimeout       = 10 * time.Second
	defaultMaxConcurrent = 64
	maxSANs              = 100
)

// ClientConfig returns a copy of base, which may be nil, for connecting to
// host and port: TLS 1.3 or later, SNI set to host, and the server's
// certificate verified by [Verifier.Service] in every handshake, resumed ones
// included. Whatever base says about verification by roots is switched off; its
// VerifyConnection, if any, runs afterwards. Add the device's certificate to
// base or to the result.
//
// The look-up happens inside the handshake, bounded by Verifier.Timeout.
// DialTLS does it while it connects, under a context.
func (v *Verifier) ClientConfig(base *tls.Config, host string, port uint16) *tls.Config {
	return v.clientConfig(base, host, func(cs tls.ConnectionState) error {
		ctx, cancel := context.WithTimeout(context.Background(), v.timeout())
		defer cancel()
		_, err := v.Service(ctx, host, port, cs.PeerCertificates)
		return err
	})
}

// DialTLS connects to addr ("host:port", network as for net.Dial) and looks the
// service's records up at the same time, then completes the TLS handshake with
// the server's certificate verified. SNI is the TLSA base domain, as RFC 7671
// section 7 wants it. The context covers everything up to the end of the
// handshake. base is as for ClientConfig.
func (v *Verifier) DialTLS(ctx context.Context, network, addr string, base *tls.Config) (*tls.Conn, error) {
	host, port, err := splitHostPort(addr)
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	type dialed struct {
		conn net.Conn
		err  error
	}
	dial := make(chan dialed, 1)
	go func() {
		c, err := new(net.Dialer).DialContext(ctx, network, addr)
		dial <- dialed{c, err}
	}()
	s, err := v.service(ctx, host, port)
	if err != nil {
		cancel()
	}
	d := <-dial
	if err == nil {
		err = d.err
	}
	if err != nil {
		if d.conn != nil {
			d.conn.Close()
		}
		return nil, err
	}
	conn := tls.Client(d.conn, v.clientConfig(base, s.base, func(cs tls.ConnectionState) error {
		_, err := s.verify(v, cs.PeerCertificates)
		return err
	}))
	if err := conn.HandshakeContext(ctx); err != nil {
		d.conn.Close()
		return nil, err
	}
	return conn, nil
}

func splitHostPort(addr string) (string, uint16, error) {
	host, p, err := net.SplitHostPort(addr)
	if err != nil {
		return "", 0, &Error{Kind: Invalid, Name: addr, Err: err}
	}
	port, err := strconv.ParseUint(p, 10, 16)
	if err != nil {
		return "", 0, fail(Invalid, addr, "port must be a number from 1 to 65535")
	}
	return host, uint16(port), nil
}

func (v *Verifier) clientConfig(base *tls.Config, sni string, verify func(tls.ConnectionState) error) *tls.Config {
	cfg := v.config(base)
	cfg.ServerName = strings.TrimSuffix(sni, ".")
	cfg.InsecureSkipVerify = true // the whole verification is ours
	cfg.VerifyConnection = then(verify, cfg.VerifyConnection)
	return cfg
}

// ServerConfig returns a copy of base, which may be nil, for a service that
// devices connect to: TLS 1.3 or later, a client certificate required, and in
// every handshake, resumed ones included, [Verifier.DeviceChain] must verify it
// for the name that ClientIdentity returns. The name must lie below one of
// zones; that is checked before anything is looked up, so strangers cannot
// make the service ask their own name servers. Without zones no client is
// accepted. base's VerifyConnection, if any, runs afterwards.
//
// Look-ups of one ServerConfig are limited by Verifier.MaxConcurrent and each
// by Verifier.Timeout. They happen before the client's proof of possession is
// checked, which is the order of package crypto/tls.
func (v *Verifier) ServerConfig(base *tls.Config, zones ...string) *tls.Config {
	n := v.MaxConcurrent
	if n <= 0 {
		n = defaultMaxConcurrent
	}
	return v.serverConfig(base, zones, make(chan struct{}, n))
}

func (v *Verifier) serverConfig(base *tls.Config, zones []string, slots chan struct{}) *tls.Config {
	cfg := v.config(base)
	cfg.ClientAuth = tls.RequireAnyClientCert // verified below, by DNS and not by roots
	cfg.VerifyConnection = then(func(cs tls.ConnectionState) error {
		return v.verifyClient(cs.PeerCertificates, zones, slots)
	}, cfg.VerifyConnection)
	if get := cfg.GetConfigForClient; get != nil {
		// A config chosen per connection must not escape the verification.
		cfg.GetConfigForClient = func(hello *tls.ClientHelloInfo) (*tls.Config, error) {
			chosen, err := get(hello)
			if chosen == nil || err != nil {
				return nil, err
			}
			inner := v.serverConfig(chosen, zones, slots)
			inner.GetConfigForClient = nil
			return inner, nil
		}
	}
	return cfg
}

func (v *Verifier) verifyClient(chain []*x509.Certificate, zones []string, slots chan struct{}) error {
	name, fromCN, err := clientName(chain, zones)
	if err != nil {
		return err
	}
	if fromCN && !v.Naming.Has(Prototype2020) {
		return fail(WrongName, name, "name stands only in the subject, not in a dNSName")
	}
	ctx, cancel := context.WithTimeout(context.Background(), v.timeout())
	defer cancel()
	select {
	case slots <- struct{}{}:
		defer func() { <-slots }()
	case <-ctx.Done():
		return fail(Indeterminate, name, "too many look-ups at the same time: %w", ctx.Err())
	}
	_, err = v.DeviceChain(ctx, name, chain)
	return err
}

// ClientIdentity returns the device name of the client at the other end of a
// connection that was accepted under [Verifier.ServerConfig] with the same
// zones: the first dNSName of its certificate, in the certificate's order, that
// lies below one of zones (for a certificate without any dNSName, the subject's
// common name). It is in lower case without a final dot; take it apart with
// ParseDeviceName. ErrNotAllowed means that there is no such name.
//
// On a connection that ServerConfig did not verify the result is only what the
// client claims.
func ClientIdentity(cs tls.ConnectionState, zones ...string) (string, error) {
	if !cs.HandshakeComplete {
		return "", fail(Invalid, "", "TLS handshake is not complete")
	}
	name, _, err := clientName(cs.PeerCertificates, zones)
	return name, err
}

func clientName(chain []*x509.Certificate, zones []string) (name string, fromCN bool, err error) {
	if len(chain) == 0 || chain[0] == nil {
		return "", false, fail(NotAllowed, "", "client presented no certificate")
	}
	names := chain[0].DNSNames
	if len(names) == 0 {
		names, fromCN = []string{chain[0].Subject.CommonName}, true
	}
	for _, n := range names[:min(len(names), maxSANs)] {
		if n, err := Allowed(n, zones...); err == nil {
			return n, fromCN, nil
		}
	}
	return "", false, fail(NotAllowed, "", "certificate has no dNSName below the allowed zones")
}

// Allowed is the allow-list of ServerConfig, for programs that learn a client's
// name in another way, such as ParseClientID or a request: it returns the name
// in lower case without a final dot if it lies strictly below one of zones, and
// an error that matches ErrNotAllowed if not. Wildcards and malformed names
// never do. Call it before Device and DeviceChain.
func Allowed(name string, zones ...string) (string, error) {
	n, err := cleanName(name)
	if err != nil {
		return "", &Error{Kind: NotAllowed, Err: err}
	}
	for _, zone := range zones {
		if z, err := cleanName(zone); err == nil && below(n, z) {
			return n, nil
		}
	}
	return "", fail(NotAllowed, n, "not below an allowed zone")
}

// config returns what both sides share.
func (v *Verifier) config(base *tls.Config) *tls.Config {
	cfg := new(tls.Config)
	if base != nil {
		cfg = base.Clone()
	}
	cfg.MinVersion = max(cfg.MinVersion, tls.VersionTLS13)
	if cfg.Time == nil {
		cfg.Time = v.Now
	}
	return cfg
}

func (v *Verifier) timeout() time.Duration {
	if v.Timeout <= 0 {
		return defaultTimeout
	}
	return v.Timeout
}

// then runs next, if there is one, after first has succeeded.
func then(first, next func(tls.ConnectionState) error) func(tls.ConnectionState) error {
	if next == nil {
		return first
	}
	return func(cs tls.ConnectionState) error {
		if err := first(cs); err != nil {
			return err
		}
		return next(cs)
	}
}
