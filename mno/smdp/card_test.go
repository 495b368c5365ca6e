package smdp_test

import (
	"bytes"
	"crypto/ecdh"
	"crypto/rand"
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/iotregistry/sdk/internal/bsp"
	"github.com/iotregistry/sdk/internal/rsp"
	"github.com/iotregistry/sdk/internal/rsp/cert"
	"github.com/iotregistry/sdk/internal/rsp/rsptest"
	"github.com/iotregistry/sdk/mno/es9"
	"github.com/iotregistry/sdk/mno/smdp"
	"github.com/iotregistry/sdk/registry/eid"
)

// card is an eUICC with its LPA, written against the messages alone: it checks
// what a real one checks, and signs what a test wants it to.
type card struct {
	t        testing.TB
	server   *smdp.Server
	id       *rsptest.Identity
	eum      []byte
	eid      eid.ID
	verifier cert.Verifier
	info1    rsp.EUICCInfo1
	info2    rsp.EUICCInfo2
	address  string

	challenge  []byte
	auth       es9.Authentication
	signed1    *rsp.ServerSigned1
	signature1 []byte // its own
	offer      es9.Offer
	signed2    *rsp.SMDPSigned2
	signature2 []byte           // the server's
	key        *ecdh.PrivateKey // its one-time key
	sequence   int64
}

func ptr[T any](v T) *T { return &v }

// device returns the n-th EID of the test EUM.
func device(t testing.TB, n int) eid.ID {
	id, err := eid.New(fmt.Sprintf("%s%022d", rsptest.EIN, n))
	require.NoError(t, err)
	return id
}

func newCard(t testing.TB, s *smdp.Server, pki *rsptest.PKI, id eid.ID) *card {
	own, err := pki.EUICC(id.String())
	require.NoError(t, err)
	return insert(t, s, pki, own, id)
}

func insert(t testing.TB, s *smdp.Server, pki *rsptest.PKI, own *rsptest.Identity, id eid.ID) *card {
	keys := [][]byte{bytes.Repeat([]byte{1}, 20), pki.CI.Certificate.SubjectKeyId}
	info1 := rsp.EUICCInfo1{SVN: []byte{2, 5, 0}, VerifyKeys: keys, SignKeys: keys}
	return &card{
		t: t, server: s, id: own, eum: pki.EUM.DER, eid: id, info1: info1, address: "smdp.example",
		verifier: cert.Verifier{CIs: [][]byte{pki.CI.DER}, Now: clock},
		info2: rsp.EUICCInfo2{
			ProfileVersion: []byte{2, 3, 1}, SVN: []byte{2, 5, 0}, Firmware: []byte{1, 0, 0}, ExtCardResource: []byte{0x81, 1, 0, 0x82, 3, 1, 0, 0},
			RSPCapability: rsp.AdditionalProfile, VerifyKeys: keys, SignKeys: keys, PPVersion: []byte{0, 0, 1}, SASNumber: "T-1",
		},
	}
}

func (c *card) encode(m rsp.Message) []byte {
	b, err := rsp.Encode(m)
	require.NoError(c.t, err)
	return b
}

func (c *card) sign(text []byte, err error) []byte {
	require.NoError(c.t, err)
	signature, err := rsp.Sign(rand.Reader, c.id.Key, text)
	require.NoError(c.t, err)
	return signature
}

// initiate begins a session and checks the server's proof.
func (c *card) initiate() error {
	c.challenge = make([]byte, 16)
	_, err := rand.Read(c.challenge)
	require.NoError(c.t, err)
	c.auth, err = c.server.InitiateAuthentication(c.t.Context(), es9.InitiateAuthentication{
		Challenge: c.challenge, Info1: c.encode(&c.info1), SMDPAddress: c.address,
	})
	if err != nil {
		return err
	}
	c.signed1, err = rsp.Decode[rsp.ServerSigned1](c.auth.ServerSigned1)
	require.NoError(c.t, err)
	require.Equal(c.t, c.challenge, c.signed1.EUICCChallenge)
	require.Equal(c.t, c.address, c.signed1.ServerAddress)
	require.Equal(c.t, c.auth.TransactionID, []byte(c.signed1.TransactionID))
	chosen, err := rsp.DecodeKeyID(c.auth.CIKeyID)
	require.NoError(c.t, err)
	dp, err := c.verifier.Server(cert.RoleDPAuth, c.auth.Certificate, chosen)
	require.NoError(c.t, err)
	signature, err := rsp.DecodeSignature(c.auth.Signature1)
	require.NoError(c.t, err)
	return rsp.Verify(dp.PublicKey, c.auth.ServerSigned1, signature)
}

// proof is the eUICC's answer to the server's.
func (c *card) proof(matchingID *string, edit func(*rsp.EUICCSigned1)) es9.AuthenticateClient {
	said := rsp.EUICCSigned1{
		TransactionID: c.signed1.TransactionID, ServerAddress: c.signed1.ServerAddress, ServerChallenge: c.signed1.ServerChallenge,
		Info2: c.info2, CtxParams1: rsp.CtxParams1{MatchingID: matchingID, Device: rsp.DeviceInfo{TAC: []byte{3, 5, 0, 0}}},
	}
	if edit != nil {
		edit(&said)
	}
	c.signature1 = c.sign(said.SignedText())
	return es9.AuthenticateClient{TransactionID: c.auth.TransactionID, Response: c.encode(&rsp.AuthenticateServerResponse{OK: &rsp.AuthenticateOK{
		Signed1: said, Signature1: c.signature1, EUICCCertificate: c.id.DER, EUMCertificate: c.eum,
	}})}
}

// authenticate proves the eUICC and accepts the offer.
func (c *card) authenticate(r es9.AuthenticateClient) error {
	offer, err := c.server.AuthenticateClient(c.t.Context(), r)
	if err != nil {
		return err
	}
	c.offer = offer
	return c.accept()
}

// accept checks the offer.
func (c *card) accept() error {
	offer := c.offer
	pb, err := c.verifier.Server(cert.RoleDPPB, offer.Certificate, nil)
	require.NoError(c.t, err)
	c.signed2, err = rsp.Decode[rsp.SMDPSigned2](offer.SMDPSigned2)
	require.NoError(c.t, err)
	c.signature2, err = rsp.DecodeSignature(offer.Signature2)
	require.NoError(c.t, err)
	text, err := c.signed2.SignedText(c.signature1)
	require.NoError(c.t, err)
	return rsp.Verify(pb.PublicKey, text, c.signature2)
}

// meet is both steps for an order.
func (c *card) meet(matchingID *string) error {
	if err := c.initiate(); err != nil {
		return err
	}
	return c.authenticate(c.proof(matchingID, nil))
}

// consent asks for the package. An eUICC that is reminded of its last one-time
// key uses it again if it still has it.
func (c *card) consent(code string, edit func(*rsp.EUICCSigned2)) es9.GetBoundProfilePackage {
	if c.key == nil || !bytes.Equal(c.signed2.EUICCOTPK, c.key.PublicKey().Bytes()) {
		var err error
		c.key, err = ecdh.P256().GenerateKey(rand.Reader)
		require.NoError(c.t, err)
	}
	said := rsp.EUICCSigned2{TransactionID: c.signed2.TransactionID, OTPK: c.key.PublicKey().Bytes()}
	if code != "" {
		hash := rsp.HashCC(code, c.signed2.TransactionID)
		said.HashCC = hash[:]
	}
	if edit != nil {
		edit(&said)
	}
	return es9.GetBoundProfilePackage{TransactionID: c.auth.TransactionID, Response: c.encode(&rsp.PrepareDownloadResponse{OK: &rsp.PrepareDownloadOK{
		Signed2: said, Signature2: c.sign(said.SignedText(c.signature2)),
	}})}
}

func (c *card) get(r es9.GetBoundProfilePackage) ([]byte, error) {
	p, err := c.server.GetBoundProfilePackage(c.t.Context(), r)
	if err == nil {
		require.Equal(c.t, c.auth.TransactionID, p.TransactionID)
	}
	return p.Bound, err
}

// open installs a package and returns the profile in it.
func (c *card) open(pkg []byte) []byte {
	pb, err := c.verifier.Server(cert.RoleDPPB, c.offer.Certificate, nil)
	require.NoError(c.t, err)
	own, err := bsp.ParseEID(c.eid.String())
	require.NoError(c.t, err)
	reader, err := bsp.NewReader(bsp.Session{
		TransactionID: c.auth.TransactionID, EID: own, Key: c.key,
		Verify: func(signed, signature []byte) error { return bsp.Verify(pb.PublicKey, signed, signature) },
	})
	require.NoError(c.t, err)
	list, err := bsp.Segments(pkg)
	require.NoError(c.t, err)
	for i, command := range list {
		done, err := reader.Feed(command)
		require.NoError(c.t, err)
		require.Equal(c.t, i == len(list)-1, done)
	}
	require.Equal(c.t, c.offer.Metadata, reader.Metadata(), "what was shown is what is installed")
	return reader.Profile()
}

// download is the whole way to a package, for an order without confirmation code.
func (c *card) download(matchingID *string) ([]byte, error) {
	if err := c.meet(matchingID); err != nil {
		return nil, err
	}
	return c.get(c.consent("", nil))
}

func (c *card) metadata() *rsp.StoreMetadataRequest {
	m, err := rsp.Decode[rsp.StoreMetadataRequest](c.offer.Metadata)
	require.NoError(c.t, err)
	return m
}

// result is the receipt for a package; nil means that it is installed.
func (c *card) result(failure *rsp.InstallationFailure, edit func(*rsp.ProfileInstallationResultData)) []byte {
	c.sequence++
	data := rsp.ProfileInstallationResultData{
		TransactionID: c.auth.TransactionID, SMDPOID: ptr(rsp.OID(rsptest.SMDPOID)), Error: failure,
		Notification: rsp.NotificationMetadata{SeqNumber: c.sequence, Event: rsp.EventInstall, Address: "smdp.example", ICCID: &c.metadata().ICCID},
	}
	if failure == nil {
		data.Success = &rsp.InstallationSuccess{AID: bytes.Repeat([]byte{0xA0}, 16), SIMAResponse: []byte{0x30, 0}}
	}
	if edit != nil {
		edit(&data)
	}
	return c.encode(&rsp.ProfileInstallationResult{Data: data, Signature: c.sign(data.SignedText())})
}

// event is a later notification.
func (c *card) event(event rsp.Events, edit func(*rsp.NotificationMetadata)) []byte {
	c.sequence++
	m := rsp.NotificationMetadata{SeqNumber: c.sequence, Event: event, Address: "smdp.example", ICCID: &c.metadata().ICCID}
	if edit != nil {
		edit(&m)
	}
	return c.encode(&rsp.OtherSignedNotification{
		Notification: m, Signature: c.sign(m.SignedText()), EUICCCertificate: c.id.DER, EUMCertificate: c.eum,
	})
}

func (c *card) notify(notification []byte) error {
	return c.server.HandleNotification(c.t.Context(), notification)
}

func (c *card) cancel(reason rsp.CancelReason, edit func(*rsp.EUICCCancelSessionSigned)) error {
	said := rsp.EUICCCancelSessionSigned{TransactionID: c.auth.TransactionID, SMDPOID: rsptest.SMDPOID, Reason: reason}
	if edit != nil {
		edit(&said)
	}
	return c.server.CancelSession(c.t.Context(), es9.CancelSession{TransactionID: c.auth.TransactionID, Response: c.encode(&rsp.CancelSessionResponse{
		OK: &rsp.CancelSessionOK{Signed: said, Signature: c.sign(said.SignedText())},
	})})
}
