package smdp

import (
	"bytes"
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"

	"github.com/iotregistry/sdk/internal/rsp"
	"github.com/iotregistry/sdk/mno"
	"github.com/iotregistry/sdk/mno/es9"
)

const (
	challengeSize   = 16
	transactionSize = 16
)

// InitiateAuthentication implements [es9.Backend]. It refuses an address that is
// not this SM-DP+'s (8.8.1/3.8), an eUICC of an unknown specification (8.8.3/3.1)
// or of no CI that is trusted here (8.8.2/3.1), and one that does not trust the
// CI of this SM-DP+ (8.8.4/3.7).
func (s *Server) InitiateAuthentication(_ context.Context, r es9.InitiateAuthentication) (es9.Authentication, error) {
	if !sameHost(r.SMDPAddress, s.engine.cfg.Address) {
		return es9.Authentication{}, refuse("8.8.1", mno.ReasonRefused, "this is another SM-DP+")
	}
	if len(r.Challenge) != challengeSize {
		return es9.Authentication{}, refuse(mno.SubjectFunction, mno.ReasonInvalid, "a challenge has 16 bytes")
	}
	info, err := rsp.Decode[rsp.EUICCInfo1](r.Info1)
	if err != nil {
		return es9.Authentication{}, malformed(err)
	}
	if info.SVN[0] < 2 || info.SVN[0] > 3 { // eUICCs of version 3 fall back to what version 2 has
		return es9.Authentication{}, refuse("8.8.3", mno.ReasonUnsupported, "SGP.22 versions 2 and 3 are known here")
	}
	ci, err := s.chooseCI(info)
	if err != nil {
		return es9.Authentication{}, err
	}
	x, err := s.newSession(strings.Clone(r.SMDPAddress), ci)
	if err != nil {
		return es9.Authentication{}, err
	}
	answer, err := s.introduce(x, r.Challenge)
	if err == nil && !s.sessions.add(x) {
		return es9.Authentication{}, errors.New("smdp: the random source repeats itself: set Config.Rand to another one")
	}
	return answer, err
}

// chooseCI returns the key ID of the CI whose eUICC certificate is wanted: that
// of this SM-DP+ if the eUICC has one of it, else the first of the eUICC's.
func (s *Server) chooseCI(info *rsp.EUICCInfo1) ([]byte, error) {
	var chosen []byte
	for _, id := range info.SignKeys {
		if contains(s.ciKeyIDs, id) && (chosen == nil || string(id) == string(s.ciKeyID)) {
			chosen = id
		}
	}
	switch {
	case chosen == nil:
		return nil, refuse("8.8.2", mno.ReasonUnsupported, "no CI of this eUICC's certificates is trusted here")
	case !contains(info.VerifyKeys, s.ciKeyID):
		return nil, refuse("8.8.4", mno.ReasonUnavailable, "the eUICC does not trust the CI of this SM-DP+")
	}
	return bytes.Clone(chosen), nil // what is decoded holds the whole request
}

func (s *Server) newSession(address string, ciKeyID []byte) (*session, error) {
	var b [transactionSize + challengeSize]byte
	if _, err := io.ReadFull(s.engine.cfg.Rand, b[:]); err != nil {
		return nil, fmt.Errorf("smdp: random source: %w", err)
	}
	return &session{id: b[:transactionSize:transactionSize], challenge: b[transactionSize:], address: address, ciKeyID: ciKeyID}, nil
}

// introduce writes the server's proof.
func (s *Server) introduce(x *session, challenge []byte) (es9.Authentication, error) {
	text, err := rsp.Encode(&rsp.ServerSigned1{
		TransactionID: x.id, EUICCChallenge: challenge, ServerAddress: x.address, ServerChallenge: x.challenge,
	})
	if err != nil {
		return es9.Authentication{}, malformed(err)
	}
	raw, err := rsp.Sign(s.engine.cfg.Rand, s.cfg.Auth.Key, text)
	if err != nil {
		return es9.Authentication{}, fmt.Errorf("smdp: %w", err)
	}
	signature, err := rsp.EncodeSignature(raw)
	if err != nil {
		return es9.Authentication{}, fmt.Errorf("smdp: %w", err)
	}
	ci, err := rsp.EncodeKeyID(x.ciKeyID)
	if err != nil {
		return es9.Authentication{}, fmt.Errorf("smdp: %w", err)
	}
	return es9.Authentication{
		TransactionID: x.id, ServerSigned1: text, Signature1: signature, CIKeyID: ci, Certificate: s.cfg.Auth.Certificate,
	}, nil
}

// sameHost compares names without regard to case, and to a port where only one
// of them has one.
func sameHost(got, own string) bool {
	if strings.EqualFold(got, own) {
		return true
	}
	gotHost, gotPort := splitPort(got)
	ownHost, ownPort := splitPort(own)
	return strings.EqualFold(gotHost, ownHost) && (gotPort == "" || ownPort == "")
}

func splitPort(address string) (host, port string) {
	if host, port, err := net.SplitHostPort(address); err == nil {
		return host, port
	}
	return address, ""
}

// keyID returns the subject key ID of a certificate.
func keyID(der []byte) ([]byte, error) {
	c, err := x509.ParseCertificate(der)
	if err != nil {
		return nil, fmt.Errorf("smdp: ServerConfig.CIs: %w", err)
	}
	if len(c.SubjectKeyId) == 0 {
		return nil, fmt.Errorf("smdp: ServerConfig.CIs: %v has no subject key ID", c.Subject)
	}
	return c.SubjectKeyId, nil
}
