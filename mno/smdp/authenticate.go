package smdp

import (
	"bytes"
	"context"
	"crypto/subtle"
	"fmt"

	"github.com/iotregistry/sdk/internal/rsp"
	"github.com/iotregistry/sdk/internal/rsp/cert"
	"github.com/iotregistry/sdk/mno"
	"github.com/iotregistry/sdk/mno/es9"
)

// AuthenticateClient implements [es9.Backend]: it checks the eUICC's proof, finds
// the order that it comes for, by matching ID or, without one, by EID, and offers
// it. A refusal leaves the session as it was: nobody can end it who does not have
// the eUICC's key.
func (s *Server) AuthenticateClient(ctx context.Context, r es9.AuthenticateClient) (es9.Offer, error) {
	x := s.sessions.find(r.TransactionID)
	if x == nil {
		return es9.Offer{}, noSession()
	}
	x.mu.Lock()
	defer x.mu.Unlock()
	if x.stage != begun {
		return es9.Offer{}, noSession()
	}
	proof, card, err := s.authenticate(x, r.Response)
	if err != nil {
		return es9.Offer{}, err
	}
	p, err := s.choose(ctx, &proof.Signed1, card)
	if err != nil {
		return es9.Offer{}, err
	}
	x.offer = offer{iccid: p.ICCID, matchingID: p.MatchingID, sum: p.SealedSum, metadata: p.Download.Metadata}
	if p.Download.Bound == nil { // else what the package shows already
		if x.offer.metadata, err = s.metadata(p); err != nil {
			return es9.Offer{}, err
		}
	}
	answer, err := s.propose(x, p, proof.Signature1)
	if err != nil {
		return es9.Offer{}, err
	}
	if !s.sessions.prove(x, card) {
		return es9.Offer{}, noSession()
	}
	x.stage = offered
	return answer, nil
}

// authenticate checks everything about an eUICC but what it comes for.
func (s *Server) authenticate(x *session, response []byte) (*rsp.AuthenticateOK, *cert.EUICC, error) {
	m, err := rsp.Decode[rsp.AuthenticateServerResponse](response)
	if err != nil {
		return nil, nil, malformed(err)
	}
	if m.OK == nil {
		return nil, nil, badSignature("the eUICC has refused this SM-DP+: " + m.Error.Code.String())
	}
	// Certificates stay with the session and the order: not so the whole response.
	card, err := s.verifier.EUICC(bytes.Clone(m.OK.EUICCCertificate), bytes.Clone(m.OK.EUMCertificate), x.ciKeyID)
	if err != nil {
		return nil, nil, status(err)
	}
	said := &m.OK.Signed1
	text, err := said.SignedText()
	if err != nil {
		return nil, nil, malformed(err)
	}
	if err := rsp.Verify(card.PublicKey, text, m.OK.Signature1); err != nil {
		return nil, nil, badSignature("euiccSignature1 does not fit")
	}
	switch {
	case !bytes.Equal(said.TransactionID, x.id):
		return nil, nil, refuse("8.10.1", mno.ReasonUnknown, "the eUICC has signed for another session")
	case subtle.ConstantTimeCompare(said.ServerChallenge, x.challenge) != 1:
		return nil, nil, badSignature("the eUICC has signed another challenge")
	case said.ServerAddress != x.address:
		return nil, nil, badSignature("the eUICC has signed another address")
	}
	return m.OK, card, nil
}

// propose writes the offer. An eUICC that was interrupted is reminded of the
// one-time key that the package is bound to.
func (s *Server) propose(x *session, p Profile, signature1 []byte) (es9.Offer, error) {
	signed2 := &rsp.SMDPSigned2{TransactionID: x.id, CCRequired: p.CodeHash != nil}
	if p.Download.Bound != nil {
		signed2.EUICCOTPK = p.Download.OneTimeKey
	}
	text, err := rsp.Encode(signed2)
	if err != nil {
		return es9.Offer{}, fmt.Errorf("smdp: %w", err)
	}
	signed2.Raw = text
	covered, err := signed2.SignedText(signature1)
	if err != nil {
		return es9.Offer{}, fmt.Errorf("smdp: %w", err)
	}
	if x.signature2, err = rsp.Sign(s.engine.cfg.Rand, s.cfg.Binding.Key, covered); err != nil {
		return es9.Offer{}, fmt.Errorf("smdp: %w", err)
	}
	signature, err := rsp.EncodeSignature(x.signature2)
	if err != nil {
		return es9.Offer{}, fmt.Errorf("smdp: %w", err)
	}
	return es9.Offer{
		TransactionID: x.id, Metadata: x.offer.metadata, SMDPSigned2: text, Signature2: signature, Certificate: s.cfg.Binding.Certificate,
	}, nil
}

// metadata is what users are shown of a profile. Notifications of it come here.
func (s *Server) metadata(p Profile) ([]byte, error) {
	b, err := rsp.Encode(&rsp.StoreMetadataRequest{
		ICCID: rsp.ICCID(p.ICCID), ServiceProvider: s.cfg.ServiceProvider, ProfileName: shorten(p.Type, 64),
		Notifications: []rsp.NotificationConfig{{
			Events:  rsp.EventInstall | rsp.EventEnable | rsp.EventDisable | rsp.EventDelete,
			Address: s.engine.cfg.Address,
		}},
	})
	if err != nil {
		return nil, fmt.Errorf("smdp: metadata of %s: %w", p.ICCID, err)
	}
	return b, nil
}
