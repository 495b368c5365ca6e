package euicc_test

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/iotregistry/sdk/internal/apdu"
	"github.com/iotregistry/sdk/internal/bsp"
	"github.com/iotregistry/sdk/internal/rsp"
	"github.com/iotregistry/sdk/internal/rsp/rsptest"
	"github.com/iotregistry/sdk/profile/euicc"
	"github.com/iotregistry/sdk/registry/eid"
)

const (
	address = "smdp.example.com"
	issuer  = "2.999.77" // of the registry's profile elements
	iccid   = rsp.ICCID("8944476500001224158")
	second  = rsp.ICCID("89000123456789012341")
)

func start() time.Time { return time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC) }

// world is a chip and an SM-DP+, which trusts it without a look: a colleague of
// this test plays the SM-DP+ in earnest.
type world struct {
	pki  *rsptest.PKI
	chip *euicc.Chip
	card *euicc.Card
	cfg  euicc.ChipConfig  // of chip
	key  *ecdsa.PrivateKey // of the chip

	cla        byte // of the LPA's channel
	chunk      int
	challenges byte // makes transaction IDs
	auth       *rsp.AuthenticateServerResponse
	signature2 []byte

	after func() // each command; nil: nothing
}

// newWorld makes a chip of the PKI's EUM and selects its ISD-R.
func newWorld(t testing.TB, change ...func(*euicc.ChipConfig)) *world {
	pki, err := rsptest.New(start())
	require.NoError(t, err)
	chip, err := pki.EUICC(rsptest.EID)
	require.NoError(t, err)
	return newWorldOf(t, pki, chip, change...)
}

func newWorldOf(t testing.TB, pki *rsptest.PKI, identity *rsptest.Identity, change ...func(*euicc.ChipConfig)) *world {
	w := &world{pki: pki, chunk: 255, key: identity.Key}
	cfg := config(pki, identity)
	for _, f := range change {
		f(&cfg)
	}
	var err error
	w.chip, err = euicc.NewChip(cfg)
	require.NoError(t, err)
	w.card, w.cfg = cfg.Card, cfg
	w.connect(t)
	return w
}

func config(pki *rsptest.PKI, identity *rsptest.Identity) euicc.ChipConfig {
	return euicc.ChipConfig{
		EID: eid.MustParse(rsptest.EID), Certificate: identity.DER, EUM: pki.EUM.DER, Key: identity.Key,
		CIs: [][]byte{pki.CI.DER}, DefaultSMDP: address, Now: func() time.Time { return start().AddDate(1, 0, 0) },
	}
}

// connect opens a channel and selects the ISD-R on it.
func (w *world) connect(t testing.TB) {
	r, err := w.send(apdu.Command{INS: 0x70, Le: 1})
	require.NoError(t, err)
	require.Len(t, r, 1)
	w.cla = r[0]
	_, err = w.send(apdu.Command{CLA: w.cla, INS: 0xA4, P1: 4, Data: isdr()})
	require.NoError(t, err)
}

func isdr() []byte {
	return []byte{0xA0, 0, 0, 5, 0x59, 0x10, 0x10, 0xFF, 0xFF, 0xFF, 0xFF, 0x89, 0, 0, 1, 0}
}

func (w *world) send(c apdu.Command) ([]byte, error) {
	r, err := apdu.Send(context.Background(), w, c) // examples have no test to ask
	return r.Data, err
}

// Transmit is the chip's, with after.
func (w *world) Transmit(ctx context.Context, command []byte) ([]byte, error) {
	r, err := w.chip.Transmit(ctx, command)
	if w.after != nil {
		w.after()
	}
	return r, err
}

// store sends b by STORE DATA and returns the whole answer.
func (w *world) store(t testing.TB, b []byte) (answer []byte, err error) {
	for n := 0; len(b) > 0; n++ {
		size, p1 := min(w.chunk, len(b)), byte(0x11)
		if size == len(b) {
			p1 = 0x91
		}
		if answer, err = w.send(apdu.Command{CLA: 0x80 | w.cla, INS: 0xE2, P1: p1, P2: byte(n), Data: b[:size]}); err != nil {
			return nil, err
		}
		b = b[size:]
	}
	return answer, nil
}

// es10 has the chip carry out one function.
func es10[T any, P interface {
	*T
	rsp.Message
}](t testing.TB, w *world, request rsp.Message) *T {
	t.Helper()
	b, err := rsp.Encode(request)
	require.NoError(t, err)
	b, err = w.store(t, b)
	require.NoError(t, err)
	r, err := rsp.Decode[T, P](b)
	require.NoError(t, err)
	return r
}

// authRequest is the server's proof after a fresh challenge.
func (w *world) authRequest(t testing.TB) *rsp.AuthenticateServerRequest {
	challenge := es10[rsp.GetEUICCChallengeResponse](t, w, &rsp.GetEUICCChallengeRequest{}).Challenge
	w.challenges++
	q := &rsp.AuthenticateServerRequest{
		ServerSigned1: rsp.ServerSigned1{
			TransactionID: rsp.TransactionID{0xA1, w.challenges}, EUICCChallenge: challenge,
			ServerAddress: address, ServerChallenge: bytes.Repeat([]byte{7}, 16),
		},
		CIKeyID: w.pki.CI.Certificate.SubjectKeyId, ServerCertificate: w.pki.DPAuth.DER,
		CtxParams1: rsp.CtxParams1{Device: rsp.DeviceInfo{TAC: []byte{1, 2, 3, 4}}},
	}
	w.signAuth(t, q)
	return q
}

func (w *world) signAuth(t testing.TB, q *rsp.AuthenticateServerRequest) {
	text, err := q.ServerSigned1.SignedText()
	require.NoError(t, err)
	q.ServerSignature1, err = rsp.Sign(nil, w.pki.DPAuth.Key, text)
	require.NoError(t, err)
}

// authenticate goes as far as the eUICC's proof.
func (w *world) authenticate(t testing.TB) *rsp.AuthenticateServerRequest {
	t.Helper()
	q := w.authRequest(t)
	w.auth = es10[rsp.AuthenticateServerResponse](t, w, q)
	require.NotNil(t, w.auth.OK, "%+v", w.auth.Error)
	return q
}

// prepareRequest wants authenticate before.
func (w *world) prepareRequest(t testing.TB, otpk []byte) *rsp.PrepareDownloadRequest {
	q := &rsp.PrepareDownloadRequest{
		Signed2:     rsp.SMDPSigned2{TransactionID: w.auth.OK.Signed1.TransactionID, EUICCOTPK: otpk},
		Certificate: w.pki.DPPB.DER,
	}
	w.signPrepare(t, q)
	return q
}

func (w *world) signPrepare(t testing.TB, q *rsp.PrepareDownloadRequest) {
	text, err := q.Signed2.SignedText(w.auth.OK.Signature1)
	require.NoError(t, err)
	q.Signature2, err = rsp.Sign(nil, w.pki.DPPB.Key, text)
	require.NoError(t, err)
	w.signature2 = q.Signature2
}

// prepare goes as far as the one-time key; otpk is one to use again, or nil.
func (w *world) prepare(t testing.TB, otpk []byte) *rsp.PrepareDownloadOK {
	t.Helper()
	w.authenticate(t)
	r := es10[rsp.PrepareDownloadResponse](t, w, w.prepareRequest(t, otpk))
	require.NotNil(t, r.OK, "%+v", r.Error)
	return r.OK
}

// order is what is downloaded.
type order struct {
	metadata rsp.StoreMetadataRequest
	profile  []byte
	keys     *bsp.Keys
	change   func(*bsp.Binding)
}

// newOrder is of a profile with one element of an issuer, sealed or not; nil
// content is none.
func newOrder(t testing.TB, id rsp.ICCID, content []byte) order {
	b, err := rsp.WrapProfile(id, "test", issuer, content)
	require.NoError(t, err)
	return order{profile: b, metadata: rsp.StoreMetadataRequest{
		ICCID: id, ServiceProvider: "Operator", ProfileName: "Profile " + string(id),
		Notifications: []rsp.NotificationConfig{
			{Events: rsp.EventInstall | rsp.EventEnable | rsp.EventDisable | rsp.EventDelete, Address: address},
			{Events: rsp.EventInstall | rsp.EventDelete, Address: "other.example.com"},
		},
	}}
}

// bind makes the bound profile package and cuts it.
func (w *world) bind(t testing.TB, ok *rsp.PrepareDownloadOK, o order) [][]byte {
	t.Helper()
	metadata, err := rsp.Encode(&o.metadata)
	require.NoError(t, err)
	id, err := bsp.ParseEID(rsptest.EID)
	require.NoError(t, err)
	b := bsp.Binding{
		TransactionID: ok.Signed2.TransactionID, HostID: []byte("host"), EID: id, EUICCKey: ok.Signed2.OTPK,
		Signer: w.pki.DPPB.Key, Metadata: metadata, ProfileKeys: o.keys,
	}
	if o.change != nil {
		o.change(&b)
	}
	pkg, err := bsp.Bind(b, o.profile)
	require.NoError(t, err)
	segments, err := bsp.Segments(pkg)
	require.NoError(t, err)
	return segments
}

// load sends segments until the chip answers, and verifies its receipt.
func (w *world) load(t testing.TB, segments [][]byte) *rsp.ProfileInstallationResult {
	t.Helper()
	for _, s := range segments {
		b, err := w.store(t, s)
		require.NoError(t, err)
		if len(b) == 0 {
			continue
		}
		r, err := rsp.Decode[rsp.ProfileInstallationResult](b)
		require.NoError(t, err)
		text, err := r.Data.SignedText()
		require.NoError(t, err)
		w.verify(t, text, r.Signature)
		return r
	}
	return nil
}

// verify checks a signature of the chip.
func (w *world) verify(t testing.TB, text, signature []byte) {
	t.Helper()
	v := verifierOf(w.pki)
	card, err := v.EUICC(w.auth.OK.EUICCCertificate, w.auth.OK.EUMCertificate, nil)
	require.NoError(t, err)
	require.NoError(t, rsp.Verify(card.PublicKey, text, signature))
}

// download goes all the way.
func (w *world) download(t testing.TB, o order) *rsp.ProfileInstallationResult {
	t.Helper()
	r := w.load(t, w.bind(t, w.prepare(t, nil), o))
	require.NotNil(t, r)
	return r
}

func (w *world) install(t testing.TB, o order) {
	t.Helper()
	r := w.download(t, o)
	require.NotNil(t, r.Data.Success, "%+v: %v", r.Data.Error, w.chip.InstallError())
}

func (w *world) enable(t testing.TB, id rsp.ICCID) rsp.ProfileResult {
	return es10[rsp.EnableProfileResponse](t, w, &rsp.EnableProfileRequest{Profile: rsp.ProfileID{ICCID: &id}}).Result
}

func (w *world) disable(t testing.TB, id rsp.ICCID) rsp.ProfileResult {
	return es10[rsp.DisableProfileResponse](t, w, &rsp.DisableProfileRequest{Profile: rsp.ProfileID{ICCID: &id}}).Result
}

func (w *world) remove(t testing.TB, id rsp.ICCID) rsp.ProfileResult {
	return es10[rsp.DeleteProfileResponse](t, w, &rsp.DeleteProfileRequest{Profile: rsp.ProfileID{ICCID: &id}}).Result
}

func failure(r *rsp.ProfileInstallationResult) string {
	if r == nil || r.Data.Error == nil {
		return "none"
	}
	return fmt.Sprintf("%d/%d", r.Data.Error.Command, r.Data.Error.Reason)
}
