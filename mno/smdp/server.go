package smdp

import (
	"bytes"
	"context"
	"crypto"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"time"

	"github.com/iotregistry/sdk/internal/rsp"
	"github.com/iotregistry/sdk/internal/rsp/cert"
	"github.com/iotregistry/sdk/mno"
	"github.com/iotregistry/sdk/mno/es9"
)

// DefaultIssuer is the object identifier under which a profile package carries
// the sealed IoT profile (issuerID of its PE-NonStandard). It is of the arc for
// examples: who runs a registry sets its own in [ServerConfig].
const DefaultIssuer = "2.999.10.1"

// ServerConfig are the settings of a [Server]. Auth, Binding and CIs are
// required.
type ServerConfig struct {
	// Auth (CERT.DPauth) proves the SM-DP+ to an eUICC, Binding (CERT.DPpb) signs
	// the packages. Both name the same SM-DP+ and come from one of CIs.
	Auth, Binding Credential

	// CIs are the root certificates, in DER, whose eUICCs are served.
	CIs [][]byte

	// Package makes the profile package of an order: the operator's own
	// subscription, in the interoperable format of TCA. The sealed IoT profile,
	// if the order has one, is put in as the element before its end. Nil makes a
	// package of header, sealed profile and end, which interpreters load but
	// which is no subscription. It is called once for each binding and must be
	// safe for concurrent use.
	Package func(ctx context.Context, p Profile) ([]byte, error)

	// Issuer is the object identifier of the element with the sealed profile;
	// empty means [DefaultIssuer].
	Issuer string

	// ServiceProvider is the name that users are shown, at most 32 characters;
	// empty means [Config.Address].
	ServiceProvider string

	// Rebind binds an order again when its eUICC comes back from an interruption
	// with another one-time key, as eUICCs do that keep none. Otherwise it is
	// refused (8.2/3.7), and only an eUICC that has kept its key is given the
	// package again.
	Rebind bool

	MaxCodeTries int           // wrong confirmation codes that end an order; 0 means 5
	MaxDownloads int           // sessions that an order's package is handed over in; 0 means 10
	MaxSessions  int           // kept at once, of proven eUICCs and as many of others; 0 means 10,000
	SessionLife  time.Duration // from the last proof on, a minute to an hour; 0 means 10 minutes

	Log *slog.Logger // what notifications were of no use, and why; nil means no log
}

// Credential is a certificate with its key.
type Credential struct {
	Certificate []byte        // DER
	Key         crypto.Signer // ECDSA on P-256
}

// Server is an SM-DP+ towards devices: it lets eUICCs that prove themselves
// download the orders of an [Engine] (GSMA SGP.22 sections 3.1 and 5.6). It is an
// [es9.Backend] and safe for concurrent use.
//
// Orders are in the engine's Store; sessions are in this process and lost with
// it, whereupon devices begin again.
type Server struct {
	engine   *Engine
	cfg      ServerConfig
	verifier cert.Verifier
	oid      rsp.OID
	ciKeyID  []byte   // of the CI of Auth and Binding
	ciKeyIDs [][]byte // of all CIs
	sessions *sessions
	log      *slog.Logger
}

var _ es9.Backend = (*Server)(nil)

// NewServer returns a server for the orders of e, or an error that names the
// setting that is wrong. The certificates must be valid now.
func NewServer(e *Engine, cfg ServerConfig) (*Server, error) {
	if e == nil {
		return nil, errors.New("smdp: a server needs an engine: make one with New")
	}
	if err := cfg.complete(e.cfg.Address); err != nil {
		return nil, err
	}
	s := &Server{engine: e, cfg: cfg, verifier: cert.Verifier{CIs: cfg.CIs, Now: e.cfg.Now}, log: cfg.Log}
	auth, err := s.own("Auth", cert.RoleDPAuth, cfg.Auth)
	if err != nil {
		return nil, err
	}
	binding, err := s.own("Binding", cert.RoleDPPB, cfg.Binding)
	if err != nil {
		return nil, err
	}
	if err := cert.SameServer(auth, binding); err != nil {
		return nil, fmt.Errorf("smdp: ServerConfig.Auth and Binding do not belong together: %w", err)
	}
	s.oid, s.ciKeyID = auth.OID, auth.CIKeyID
	for _, der := range cfg.CIs {
		id, err := keyID(der)
		if err != nil {
			return nil, err
		}
		s.ciKeyIDs = append(s.ciKeyIDs, id)
	}
	s.sessions = newSessions(cfg.MaxSessions, cfg.SessionLife, e.cfg.Now)
	return s, nil
}

// complete puts defaults in and checks what can be checked without certificates.
func (c *ServerConfig) complete(address string) error {
	if c.Issuer == "" {
		c.Issuer = DefaultIssuer
	}
	if _, err := rsp.ParseOID(c.Issuer); err != nil {
		return fmt.Errorf("smdp: ServerConfig.Issuer: %w", err)
	}
	if c.ServiceProvider == "" {
		c.ServiceProvider = address
	}
	c.ServiceProvider = shorten(c.ServiceProvider, 32)
	for _, n := range []struct {
		value   *int
		name    string
		initial int
		most    int
	}{
		{&c.MaxCodeTries, "MaxCodeTries", 5, 100},
		{&c.MaxDownloads, "MaxDownloads", 10, 1000},
		{&c.MaxSessions, "MaxSessions", 10_000, 10_000_000},
	} {
		if *n.value == 0 {
			*n.value = n.initial
		}
		if *n.value < 1 || *n.value > n.most {
			return fmt.Errorf("smdp: ServerConfig.%s is 1 to %d", n.name, n.most)
		}
	}
	if c.SessionLife == 0 {
		c.SessionLife = 10 * time.Minute
	}
	if c.SessionLife < time.Minute || c.SessionLife > time.Hour {
		return errors.New("smdp: ServerConfig.SessionLife is a minute to an hour")
	}
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
	return nil
}

// own checks one of the server's certificates, and that the key is its key.
func (s *Server) own(setting string, role cert.Role, c Credential) (*cert.Server, error) {
	v, err := s.verifier.Server(role, c.Certificate, nil)
	if err != nil {
		return nil, fmt.Errorf("smdp: ServerConfig.%s: %w", setting, err)
	}
	if c.Key == nil || !v.PublicKey.Equal(c.Key.Public()) {
		return nil, fmt.Errorf("smdp: ServerConfig.%s: Key is not the certificate's", setting)
	}
	return v, nil
}

// refuse is an error for the device to read. message says what to do, or why.
func refuse(subject, reason, message string) error {
	return &mno.StatusError{Subject: subject, Reason: reason, Message: message}
}

// malformed answers what is not the message it should be. Its cause is of use to
// who writes the other side, and quotes no content.
func malformed(err error) error {
	return refuse(mno.SubjectFunction, mno.ReasonInvalid, err.Error())
}

// badSignature answers what does not prove that the session's eUICC has said it.
func badSignature(message string) error { return refuse("8.1", "6.1", message) }

// noSession answers an ID of no session, or of one that is at another step.
func noSession() error {
	return refuse("8.10.1", mno.ReasonUnknown, "no session that waits for this: begin again")
}

// status turns a refused certificate into what the device reads.
func status(err error) error {
	var refused *cert.Error
	if errors.As(err, &refused) {
		return refuse(refused.Status.Subject, refused.Status.Reason, refused.Err.Error())
	}
	return err
}

// shorten cuts s to at most n characters.
func shorten(s string, n int) string {
	if r := []rune(strings.ToValidUTF8(s, "?")); len(r) > n {
		return string(r[:n])
	}
	return strings.ToValidUTF8(s, "?")
}

// contains reports whether a list of key IDs has this one.
func contains(list [][]byte, id []byte) bool {
	for _, other := range list {
		if bytes.Equal(other, id) {
			return true
		}
	}
	return false
}
