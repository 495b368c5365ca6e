package euicc_test

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"errors"
	"io"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/iotregistry/sdk/internal/apdu"
	"github.com/iotregistry/sdk/internal/rsp"
	"github.com/iotregistry/sdk/internal/rsp/cert"
	"github.com/iotregistry/sdk/internal/rsp/rsptest"
	"github.com/iotregistry/sdk/profile/euicc"
)

// issue makes a certificate under the world's CI that differs in something.
func issue(t testing.TB, w *world, role cert.Role, change func(*x509.Certificate)) *rsptest.Identity {
	template, err := w.pki.Template(role)
	require.NoError(t, err)
	change(template)
	identity, err := rsptest.Issue(w.pki.CI, template)
	require.NoError(t, err)
	return identity
}

// onP384 is a server certificate that only the curve speaks against.
func onP384(t testing.TB, w *world, role cert.Role) []byte {
	template, err := w.pki.Template(role)
	require.NoError(t, err)
	key, err := ecdsa.GenerateKey(elliptic.P384(), rand.Reader)
	require.NoError(t, err)
	template.SubjectKeyId = []byte{1}
	der, err := x509.CreateCertificate(rand.Reader, template, w.pki.CI.Certificate, key.Public(), w.pki.CI.Key)
	require.NoError(t, err)
	return der
}

func TestAuthenticate(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	q := w.authenticate(t)
	signed := w.auth.OK.Signed1
	require.Equal(t, q.ServerSigned1.TransactionID, signed.TransactionID)
	require.Equal(t, address, signed.ServerAddress)
	require.Equal(t, q.ServerSigned1.ServerChallenge, signed.ServerChallenge)
	require.Equal(t, q.CtxParams1.Device.TAC, signed.CtxParams1.Device.TAC)
	text, err := signed.SignedText()
	require.NoError(t, err)
	w.verify(t, text, w.auth.OK.Signature1)
}

func TestAuthenticateRefuses(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		change func(t *testing.T, w *world, q *rsp.AuthenticateServerRequest)
		want   rsp.AuthenticateError
	}{
		"a certificate for binding": {func(t *testing.T, w *world, q *rsp.AuthenticateServerRequest) {
			q.ServerCertificate = w.pki.DPPB.DER
		}, rsp.AuthInvalidCertificate},
		"a certificate of another CI": {func(t *testing.T, w *world, q *rsp.AuthenticateServerRequest) {
			other, err := rsptest.New(start())
			require.NoError(t, err)
			q.ServerCertificate = other.DPAuth.DER
		}, rsp.AuthInvalidCertificate},
		"an expired certificate": {func(t *testing.T, w *world, q *rsp.AuthenticateServerRequest) {
			old := issue(t, w, cert.RoleDPAuth, func(c *x509.Certificate) { c.NotAfter = start().Add(time.Hour) })
			q.ServerCertificate = old.DER
		}, rsp.AuthInvalidCertificate},
		"a signature of another key": {func(t *testing.T, w *world, q *rsp.AuthenticateServerRequest) {
			q.ServerSignature1 = bytes.Repeat([]byte{1}, 64)
		}, rsp.AuthInvalidSignature},
		"a changed text": {func(t *testing.T, w *world, q *rsp.AuthenticateServerRequest) {
			q.ServerSigned1.ServerAddress = "evil.example.com"
		}, rsp.AuthInvalidSignature},
		"a key on another curve": {func(t *testing.T, w *world, q *rsp.AuthenticateServerRequest) {
			q.ServerCertificate = onP384(t, w, cert.RoleDPAuth)
		}, rsp.AuthUnsupportedCurve},
		"no session": {func(t *testing.T, w *world, q *rsp.AuthenticateServerRequest) { w.chip.Reset(); w.connect(t) }, rsp.AuthNoSession},
		"no object identifier": {func(t *testing.T, w *world, q *rsp.AuthenticateServerRequest) {
			q.ServerCertificate = issue(t, w, cert.RoleDPAuth, func(c *x509.Certificate) { c.ExtraExtensions = c.ExtraExtensions[:1] }).DER
		}, rsp.AuthInvalidOID},
		"another challenge": {func(t *testing.T, w *world, q *rsp.AuthenticateServerRequest) {
			q.ServerSigned1.EUICCChallenge = make([]byte, 16)
			w.signAuth(t, q)
		}, rsp.AuthChallengeMismatch},
		"an unknown CI": {func(t *testing.T, w *world, q *rsp.AuthenticateServerRequest) { q.CIKeyID = []byte{1} }, rsp.AuthCIKeyUnknown},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			q := w.authRequest(t)
			good := *q
			c.change(t, w, q)
			r := es10[rsp.AuthenticateServerResponse](t, w, q)
			require.NotNil(t, r.Error)
			require.Equal(t, c.want, r.Error.Code)
			require.Equal(t, q.ServerSigned1.TransactionID, r.Error.TransactionID)
			r = es10[rsp.AuthenticateServerResponse](t, w, &good)
			require.Equal(t, rsp.AuthNoSession, r.Error.Code, "a challenge is good for one attempt")
		})
	}
}

func TestChallengesDiffer(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	first := w.authRequest(t)
	second := w.authRequest(t)
	require.NotEqual(t, first.ServerSigned1.EUICCChallenge, second.ServerSigned1.EUICCChallenge)
	r := es10[rsp.AuthenticateServerResponse](t, w, first)
	require.Equal(t, rsp.AuthChallengeMismatch, r.Error.Code, "a new challenge ends the session before")
}

func TestPrepareRefuses(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		change func(t *testing.T, w *world, q *rsp.PrepareDownloadRequest)
		want   rsp.DownloadError
	}{
		"a certificate for authentication": {func(t *testing.T, w *world, q *rsp.PrepareDownloadRequest) { q.Certificate = w.pki.DPAuth.DER }, rsp.DownloadInvalidCertificate},
		"the certificate of another server": {func(t *testing.T, w *world, q *rsp.PrepareDownloadRequest) {
			q.Certificate = issue(t, w, cert.RoleDPPB, func(c *x509.Certificate) { c.ExtraExtensions[1] = rsptest.RegisteredID(2, 999, 11) }).DER
		}, rsp.DownloadInvalidCertificate},
		"a signature over another proof": {func(t *testing.T, w *world, q *rsp.PrepareDownloadRequest) {
			w.auth.OK.Signature1 = make([]byte, 64)
			w.signPrepare(t, q)
		}, rsp.DownloadInvalidSignature},
		"a key on another curve": {func(t *testing.T, w *world, q *rsp.PrepareDownloadRequest) {
			q.Certificate = onP384(t, w, cert.RoleDPPB)
		}, rsp.DownloadUnsupportedCurve},
		"no session": {func(t *testing.T, w *world, q *rsp.PrepareDownloadRequest) { w.chip.Reset(); w.connect(t) }, rsp.DownloadNoSession},
		"another transaction": {func(t *testing.T, w *world, q *rsp.PrepareDownloadRequest) {
			q.Signed2.TransactionID = rsp.TransactionID{9}
			w.signPrepare(t, q)
		}, rsp.DownloadInvalidTransaction},
		"no confirmation code where one is wanted": {func(t *testing.T, w *world, q *rsp.PrepareDownloadRequest) {
			q.Signed2.CCRequired = true
			w.signPrepare(t, q)
		}, rsp.DownloadUndefined},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			w.authenticate(t)
			q := w.prepareRequest(t, nil)
			c.change(t, w, q)
			r := es10[rsp.PrepareDownloadResponse](t, w, q)
			require.NotNil(t, r.Error)
			require.Equal(t, c.want, r.Error.Code)
		})
	}
}

func TestConfirmationCode(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.authenticate(t)
	q := w.prepareRequest(t, nil)
	q.Signed2.CCRequired = true
	w.signPrepare(t, q)
	hash := rsp.HashCC("1234", q.Signed2.TransactionID)
	q.HashCC = hash[:]
	r := es10[rsp.PrepareDownloadResponse](t, w, q)
	require.NotNil(t, r.OK)
	require.Equal(t, hash[:], r.OK.Signed2.HashCC)
	text, err := r.OK.Signed2.SignedText(q.Signature2)
	require.NoError(t, err)
	w.verify(t, text, r.OK.Signature2)
}

// A download that power was lost in goes on with the same one-time key, for the
// same server, until it has a result.
func TestRetry(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	ok := w.prepare(t, nil)
	first := ok.Signed2.OTPK
	require.NotEqual(t, first, w.prepare(t, nil).Signed2.OTPK, "a fresh key where none is asked for")
	segments := w.bind(t, w.prepare(t, first), newOrder(t, iccid, nil))
	require.Nil(t, w.load(t, segments[:3]))
	w.chip.Reset()
	w.connect(t)
	_, err := w.store(t, segments[3])
	require.ErrorIs(t, err, apdu.ConditionsNotMet, "the session is gone")
	require.Empty(t, w.chip.Profiles())

	ok = w.prepare(t, first)
	require.Equal(t, first, ok.Signed2.OTPK)
	require.Equal(t, "0/3", failure(w.load(t, segments)), "the package names the session before")
	require.NotEqual(t, first, w.prepare(t, first).Signed2.OTPK, "a result ends it")

	last := w.prepare(t, nil).Signed2.OTPK
	require.NotNil(t, w.load(t, w.bind(t, w.prepare(t, last), newOrder(t, iccid, nil))).Data.Success)
	require.NotEqual(t, last, w.prepare(t, last).Signed2.OTPK, "and so does success")

	oldest := w.prepare(t, nil).Signed2.OTPK
	for range 4 {
		w.prepare(t, nil)
	}
	require.NotEqual(t, oldest, w.prepare(t, oldest).Signed2.OTPK, "few are kept")
}

func TestCancelSession(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	cancel := func(id rsp.TransactionID, reason rsp.CancelReason) *rsp.CancelSessionResponse {
		return es10[rsp.CancelSessionResponse](t, w, &rsp.CancelSessionRequest{TransactionID: id, Reason: reason})
	}
	require.Equal(t, 5, *cancel(rsp.TransactionID{1}, 0).Error, "no session")
	otpk := w.prepare(t, nil).Signed2.OTPK
	id := w.auth.OK.Signed1.TransactionID
	require.Equal(t, 5, *cancel(rsp.TransactionID{1}, 0).Error, "another session")
	r := cancel(id, rsp.CancelPostponed)
	require.NotNil(t, r.OK)
	require.Equal(t, rsp.OID(rsptest.SMDPOID), r.OK.Signed.SMDPOID)
	require.Equal(t, rsp.CancelPostponed, r.OK.Signed.Reason)
	text, err := r.OK.Signed.SignedText()
	require.NoError(t, err)
	w.verify(t, text, r.OK.Signature)
	require.Equal(t, 5, *cancel(id, 0).Error, "cancelled already")

	require.Equal(t, otpk, w.prepare(t, otpk).Signed2.OTPK, "what is postponed is not given up")
	require.NotNil(t, cancel(w.auth.OK.Signed1.TransactionID, rsp.CancelEndUserRejection).OK)
	require.NotEqual(t, otpk, w.prepare(t, otpk).Signed2.OTPK)
}

func TestAddresses(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	get := func() *rsp.ConfiguredAddressesResponse {
		return es10[rsp.ConfiguredAddressesResponse](t, w, &rsp.ConfiguredAddressesRequest{})
	}
	require.Equal(t, address, *get().DefaultSMDP)
	require.Equal(t, "lpa.ds.gsma.com", get().RootSMDS)
	set := es10[rsp.SetDefaultSMDPResponse](t, w, &rsp.SetDefaultSMDPRequest{Address: "new.example.com"})
	require.Zero(t, set.Result)
	require.Equal(t, "new.example.com", *get().DefaultSMDP)
	es10[rsp.SetDefaultSMDPResponse](t, w, &rsp.SetDefaultSMDPRequest{})
	require.Nil(t, get().DefaultSMDP)
}

func TestInfo(t *testing.T) {
	t.Parallel()
	w := newWorld(t, func(c *euicc.ChipConfig) { c.MaxProfiles, c.ForbidRules = 1, 1<<1 })
	ci := [][]byte{w.pki.CI.Certificate.SubjectKeyId}
	one := es10[rsp.EUICCInfo1](t, w, &rsp.GetEUICCInfo1Request{})
	require.Equal(t, ci, one.VerifyKeys)
	require.Equal(t, ci, one.SignKeys)
	two := es10[rsp.EUICCInfo2](t, w, &rsp.GetEUICCInfo2Request{})
	require.Equal(t, ci, two.VerifyKeys)
	require.Equal(t, rsp.AdditionalProfile, two.RSPCapability)
	require.Equal(t, rsp.PPR1, *two.ForbiddenRules)
	w.install(t, newOrder(t, iccid, nil))
	two = es10[rsp.EUICCInfo2](t, w, &rsp.GetEUICCInfo2Request{})
	require.Zero(t, two.RSPCapability)
	id := es10[rsp.GetEIDResponse](t, w, &rsp.GetEIDRequest{TagList: []byte{0x5A}})
	require.Equal(t, rsptest.EID, id.EID.String())
}

// broken is a key, or randomness, that fails from some time on.
type broken struct {
	*ecdsa.PrivateKey
	fails bool
}

var errBroken = errors.New("broken")

func (b *broken) Sign(random io.Reader, digest []byte, o crypto.SignerOpts) ([]byte, error) {
	if b.fails {
		return nil, errBroken
	}
	return b.PrivateKey.Sign(random, digest, o)
}

func (b *broken) Read(p []byte) (int, error) {
	if b.fails {
		return 0, errBroken
	}
	return rand.Read(p)
}

// The card has no words for what fails within itself. Nothing has changed then.
func TestBrokenKey(t *testing.T) {
	t.Parallel()
	var key *broken
	w := newWorld(t, func(c *euicc.ChipConfig) {
		key = &broken{PrivateKey: c.Key.(*ecdsa.PrivateKey)}
		c.Key, c.Random = key, key
	})
	w.install(t, newOrder(t, iccid, nil))
	w.install(t, newOrder(t, second, nil))
	require.Equal(t, rsp.ProfileOK, w.enable(t, iccid))
	authenticate := w.authRequest(t)
	before := w.chip.Profiles()
	fails := func(m rsp.Message) {
		t.Helper()
		b, err := rsp.Encode(m)
		require.NoError(t, err)
		key.fails = true
		_, err = w.store(t, b)
		key.fails = false
		require.ErrorIs(t, err, apdu.Unknown)
		require.Equal(t, before, w.chip.Profiles())
	}
	fails(authenticate)
	fails(&rsp.GetEUICCChallengeRequest{})
	fails(&rsp.EnableProfileRequest{Profile: rsp.ProfileID{ICCID: ptr(second)}})
	fails(&rsp.DisableProfileRequest{Profile: rsp.ProfileID{ICCID: ptr(iccid)}})
	fails(&rsp.DeleteProfileRequest{Profile: rsp.ProfileID{ICCID: ptr(second)}})
	w.authenticate(t)
	fails(&rsp.CancelSessionRequest{TransactionID: w.auth.OK.Signed1.TransactionID})
	fails(w.prepareRequest(t, nil))

	for _, o := range []order{newOrder(t, "89000000000000001010", nil), newOrder(t, iccid, nil)} {
		s := w.bind(t, w.prepare(t, nil), o)
		var err error
		for _, segment := range s {
			key.fails = segment[0] == 0x88 || segment[0] == 0x86
			if _, err = w.store(t, segment); err != nil {
				break
			}
		}
		key.fails = false
		require.ErrorIs(t, err, apdu.Unknown)
		require.Equal(t, before, w.chip.Profiles())
	}
}

// Downloads from one SM-DP+ that are broken off cost another one no one-time key:
// without it, what is bound already could not be had any more.
func TestKeysOfOtherServers(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	first := w.prepare(t, nil).Signed2.OTPK
	auth, binding := w.pki.DPAuth, w.pki.DPPB
	w.pki.OID = []int{2, 999, 11}
	for role, to := range map[cert.Role]**rsptest.Identity{cert.RoleDPAuth: &w.pki.DPAuth, cert.RoleDPPB: &w.pki.DPPB} {
		template, err := w.pki.Template(role)
		require.NoError(t, err)
		*to, err = rsptest.Issue(w.pki.CI, template)
		require.NoError(t, err)
	}
	for range 6 {
		w.prepare(t, nil)
	}
	w.pki.DPAuth, w.pki.DPPB = auth, binding
	require.Equal(t, first, w.prepare(t, first).Signed2.OTPK)
}
