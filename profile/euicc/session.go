package euicc

import (
	"bytes"
	"crypto/ecdh"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/x509"
	"errors"
	"fmt"
	"slices"

	"github.com/iotregistry/sdk/internal/bsp"
	"github.com/iotregistry/sdk/internal/rsp"
	"github.com/iotregistry/sdk/internal/rsp/cert"
)

// session is the context of one download. It does not survive a loss of power.
type session struct {
	challenge   []byte // waits for AuthenticateServer; nil: none, or used
	transaction rsp.TransactionID
	address     string // of the SM-DP+, as it was given
	server      *cert.Server
	signature1  []byte // euiccSignature1

	binding *cert.Server // CERT.DPpb; nil before PrepareDownload
	key     *ecdh.PrivateKey
	reader  *bsp.Reader // nil before the first segment
	details *rsp.StoreMetadataRequest
}

// maxKept bounds the one-time keys of interrupted downloads.
const maxKept = 4

// oneTimeKey is otSK.EUICC of a download that has no result yet.
type oneTimeKey struct {
	server rsp.OID
	key    *ecdh.PrivateKey
}

// authenticateServer is ES10b.AuthenticateServer (SGP.22 section 5.7.13).
func (c *Chip) authenticateServer(q *rsp.AuthenticateServerRequest) (rsp.Message, error) {
	server, code := c.checkServer(q)
	if fault := c.faults.get().Authenticate; fault != 0 {
		code = rsp.AuthenticateError(fault)
	}
	if code != 0 {
		if c.session.challenge != nil { // it is good for one attempt
			c.session = session{}
		}
		failure := &rsp.AuthenticateFailure{TransactionID: q.ServerSigned1.TransactionID, Code: code}
		return &rsp.AuthenticateServerResponse{Error: failure}, nil
	}
	signed := rsp.EUICCSigned1{
		TransactionID: q.ServerSigned1.TransactionID, ServerAddress: q.ServerSigned1.ServerAddress,
		ServerChallenge: q.ServerSigned1.ServerChallenge, Info2: *c.info2(), CtxParams1: q.CtxParams1,
	}
	text, err := signed.SignedText()
	if err != nil {
		return nil, fmt.Errorf("%w: %v", errInternal, err)
	}
	signature, err := c.sign(text)
	if err != nil {
		return nil, fmt.Errorf("%w: %v", errInternal, err)
	}
	c.session = session{
		transaction: signed.TransactionID, address: signed.ServerAddress, server: server, signature1: signature,
	}
	return &rsp.AuthenticateServerResponse{OK: &rsp.AuthenticateOK{
		Signed1: signed, Signature1: signature, EUICCCertificate: c.cfg.Certificate, EUMCertificate: c.cfg.EUM,
	}}, nil
}

// checkServer verifies the server's proof, in the order of SGP.22.
func (c *Chip) checkServer(q *rsp.AuthenticateServerRequest) (*cert.Server, rsp.AuthenticateError) {
	if c.session.challenge == nil {
		return nil, rsp.AuthNoSession
	}
	if !slices.ContainsFunc(c.info.VerifyKeys, func(id []byte) bool { return bytes.Equal(id, q.CIKeyID) }) {
		return nil, rsp.AuthCIKeyUnknown
	}
	server, err := c.verifier.Server(cert.RoleDPAuth, q.ServerCertificate, q.CIKeyID)
	switch {
	case errors.Is(err, cert.ErrOID):
		return nil, rsp.AuthInvalidOID
	case err != nil && otherCurve(q.ServerCertificate):
		return nil, rsp.AuthUnsupportedCurve
	case err != nil:
		return nil, rsp.AuthInvalidCertificate
	}
	text, err := q.ServerSigned1.SignedText()
	if err != nil {
		return nil, rsp.AuthUndefined
	}
	if rsp.Verify(server.PublicKey, text, q.ServerSignature1) != nil {
		return nil, rsp.AuthInvalidSignature
	}
	if !bytes.Equal(c.session.challenge, q.ServerSigned1.EUICCChallenge) {
		return nil, rsp.AuthChallengeMismatch
	}
	return server, 0
}

// otherCurve tells a certificate with a key on another curve from a bad one.
func otherCurve(der []byte) bool {
	parsed, err := x509.ParseCertificate(der)
	if err != nil {
		return false
	}
	key, ok := parsed.PublicKey.(*ecdsa.PublicKey)
	return ok && key.Curve != elliptic.P256()
}

// prepareDownload is ES10b.PrepareDownload (SGP.22 section 5.7.5).
func (c *Chip) prepareDownload(q *rsp.PrepareDownloadRequest) (rsp.Message, error) {
	binding, code := c.checkDownload(q)
	if fault := c.faults.get().Prepare; fault != 0 {
		code = rsp.DownloadError(fault)
	}
	if code != 0 {
		failure := &rsp.PrepareDownloadFailure{TransactionID: q.Signed2.TransactionID, Code: code}
		return &rsp.PrepareDownloadResponse{Error: failure}, nil
	}
	key, err := c.oneTimeKey(binding.OID, q.Signed2.EUICCOTPK)
	if err != nil {
		return nil, fmt.Errorf("%w: %v", errInternal, err)
	}
	signed := rsp.EUICCSigned2{TransactionID: q.Signed2.TransactionID, OTPK: key.PublicKey().Bytes(), HashCC: q.HashCC}
	text, err := signed.SignedText(q.Signature2)
	if err != nil {
		return nil, fmt.Errorf("%w: %v", errInternal, err)
	}
	signature, err := c.sign(text)
	if err != nil {
		return nil, fmt.Errorf("%w: %v", errInternal, err)
	}
	c.session.binding, c.session.key, c.session.reader, c.session.details = binding, key, nil, nil
	return &rsp.PrepareDownloadResponse{OK: &rsp.PrepareDownloadOK{Signed2: signed, Signature2: signature}}, nil
}

func (c *Chip) checkDownload(q *rsp.PrepareDownloadRequest) (*cert.Server, rsp.DownloadError) {
	s := &c.session
	if s.server == nil {
		return nil, rsp.DownloadNoSession
	}
	if !bytes.Equal(s.transaction, q.Signed2.TransactionID) {
		return nil, rsp.DownloadInvalidTransaction
	}
	binding, err := c.verifier.Server(cert.RoleDPPB, q.Certificate, s.server.CIKeyID)
	if err != nil && otherCurve(q.Certificate) {
		return nil, rsp.DownloadUnsupportedCurve
	}
	if err != nil || cert.SameServer(s.server, binding) != nil {
		return nil, rsp.DownloadInvalidCertificate
	}
	text, err := q.Signed2.SignedText(s.signature1)
	if err != nil {
		return nil, rsp.DownloadUndefined
	}
	if rsp.Verify(binding.PublicKey, text, q.Signature2) != nil {
		return nil, rsp.DownloadInvalidSignature
	}
	if q.Signed2.CCRequired && q.HashCC == nil {
		return nil, rsp.DownloadUndefined
	}
	return binding, 0
}

// oneTimeKey finds the key that the server asks for again, which must have been
// made for this server, or else makes one.
func (c *Chip) oneTimeKey(server rsp.OID, wanted []byte) (*ecdh.PrivateKey, error) {
	i := slices.IndexFunc(c.kept, func(k oneTimeKey) bool {
		return wanted != nil && k.server == server && bytes.Equal(k.key.PublicKey().Bytes(), wanted)
	})
	if i >= 0 {
		return c.kept[i].key, nil
	}
	key, err := ecdh.P256().GenerateKey(c.cfg.Random)
	if err != nil {
		return nil, err
	}
	if len(c.kept) == maxKept { // the oldest of this server goes, if it has one
		i = max(0, slices.IndexFunc(c.kept, func(k oneTimeKey) bool { return k.server == server }))
		c.kept = slices.Delete(c.kept, i, i+1)
	}
	c.kept = append(c.kept, oneTimeKey{server, key})
	c.changed++
	return key, nil
}

// forgetKey is for when a download has a result: its key has served.
func (c *Chip) forgetKey() {
	before := len(c.kept)
	c.kept = slices.DeleteFunc(c.kept, func(k oneTimeKey) bool { return k.key == c.session.key })
	if len(c.kept) < before {
		c.changed++
	}
}

// noSuchTransaction is the cancelSessionErrorCode invalidTransactionId.
const noSuchTransaction = 5

// cancelSession is ES10b.CancelSession (SGP.22 section 5.7.14). What is to be
// tried later keeps its one-time key.
func (c *Chip) cancelSession(q *rsp.CancelSessionRequest) (rsp.Message, error) {
	code := c.faults.get().Cancel
	if s := &c.session; code == 0 && (s.server == nil || !bytes.Equal(s.transaction, q.TransactionID)) {
		code = noSuchTransaction
	}
	if code != 0 {
		return &rsp.CancelSessionResponse{Error: &code}, nil
	}
	signed := rsp.EUICCCancelSessionSigned{TransactionID: q.TransactionID, SMDPOID: c.session.server.OID, Reason: q.Reason}
	text, err := signed.SignedText()
	if err != nil {
		return nil, fmt.Errorf("%w: %v", errInternal, err)
	}
	signature, err := c.sign(text)
	if err != nil {
		return nil, fmt.Errorf("%w: %v", errInternal, err)
	}
	if q.Reason != rsp.CancelPostponed && q.Reason != rsp.CancelTimeout {
		c.forgetKey()
	}
	c.session = session{}
	return &rsp.CancelSessionResponse{OK: &rsp.CancelSessionOK{Signed: signed, Signature: signature}}, nil
}
