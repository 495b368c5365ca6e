package rsp_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/iotregistry/sdk/internal/bertlv"
	"github.com/iotregistry/sdk/internal/rsp"
	"github.com/iotregistry/sdk/internal/rsp/cert"
	"github.com/iotregistry/sdk/internal/rsp/rsptest"
)

// find returns the first sample of type T as it is after a trip over the wire.
func find[T any, P interface {
	*T
	rsp.Message
}](t *testing.T, want func(m P) bool) *T {
	for _, m := range samples() {
		if m, ok := m.(P); ok && want(m) {
			b, err := rsp.Encode(m)
			require.NoError(t, err)
			got, err := rsp.Decode[T, P](b)
			require.NoError(t, err)
			return got
		}
	}
	require.Fail(t, "no such sample")
	return nil
}

func any1[T any](*T) bool { return true }

func TestSignedTexts(t *testing.T) {
	t.Parallel()
	signature, point := fill(7, 64), append([]byte{4}, fill(9, 64)...)
	server1 := find(t, any1[rsp.ServerSigned1])
	euicc1 := find(t, any1[rsp.EUICCSigned1])
	smdp2 := find(t, any1[rsp.SMDPSigned2])
	euicc2 := find(t, any1[rsp.EUICCSigned2])
	channel := find(t, any1[rsp.InitialiseSecureChannelRequest])
	data := find(t, any1[rsp.ProfileInstallationResultData])
	notification := find(t, any1[rsp.NotificationMetadata])
	cancelled := find(t, any1[rsp.EUICCCancelSessionSigned])
	signed := bertlv.Append(nil, 0x5F37, signature)

	for _, c := range []struct {
		rule string
		text func() ([]byte, error)
		want []byte
		made func() // forgets what was received
	}{
		{"1 serverSignature1: the object", server1.SignedText, server1.Raw, func() { server1.Raw = nil }},
		{"2 euiccSignature1: the object", euicc1.SignedText, euicc1.Raw, func() { euicc1.Raw = nil }},
		{
			"3 smdpSignature2: the object and 5F37 euiccSignature1", func() ([]byte, error) { return smdp2.SignedText(signature) },
			append(append([]byte{}, smdp2.Raw...), signed...), func() { smdp2.Raw = nil },
		},
		{
			"4 euiccSignature2: the object and 5F37 smdpSignature2", func() ([]byte, error) { return euicc2.SignedText(signature) },
			append(append([]byte{}, euicc2.Raw...), signed...), func() { euicc2.Raw = nil },
		},
		{
			"5 smdpSign: members without tag around, without the signature, and otPK.EUICC",
			func() ([]byte, error) { return channel.SignedText(point) },
			unhex(t, "820101 800201AB A60C 800188 810110 8404686F7374"+"5F4941"+hexOf(point)+"5F4941"+hexOf(point)), func() { channel.Raw = nil },
		},
		{"6 receipt: BF27", data.SignedText, data.Raw, func() { data.Raw = nil }},
		{"6 notification: BF2F", notification.SignedText, notification.Raw, func() { notification.Raw = nil }},
		{"6 cancelled session: 30", cancelled.SignedText, cancelled.Raw, func() { cancelled.Raw = nil }},
	} {
		got, err := c.text()
		require.NoError(t, err, c.rule)
		require.Equal(t, c.want, got, c.rule)
		c.made()
		got, err = c.text()
		require.NoError(t, err, c.rule)
		require.Equal(t, c.want, got, "%s, as sent", c.rule)
	}
	_, err := smdp2.SignedText(signature[1:])
	require.ErrorIs(t, err, rsp.ErrFormat)
	_, err = channel.SignedText(point[1:])
	require.ErrorIs(t, err, rsp.ErrFormat)
	_, err = (&rsp.ServerSigned1{}).SignedText()
	require.ErrorIs(t, err, rsp.ErrFormat)
	_, err = (&rsp.InitialiseSecureChannelRequest{}).SignedText(point)
	require.ErrorIs(t, err, rsp.ErrFormat)
}

// Members of later versions are under the signature where they are in the object,
// and are not where they follow the signature of BF23.
func TestSignedTextsHoldUnknownMembers(t *testing.T) {
	t.Parallel()
	extra := []byte{0x9F, 0x7F, 1, 5}
	server1 := find(t, any1[rsp.ServerSigned1])
	server1.Extra = extra
	b, err := rsp.Encode(server1)
	require.NoError(t, err)
	got, err := rsp.Decode[rsp.ServerSigned1](b)
	require.NoError(t, err)
	text, err := got.SignedText()
	require.NoError(t, err)
	require.Equal(t, b, text)

	channel := find(t, any1[rsp.InitialiseSecureChannelRequest])
	point := append([]byte{4}, fill(9, 64)...)
	want, err := channel.SignedText(point)
	require.NoError(t, err)
	channel.Extra = extra
	b, err = rsp.Encode(channel)
	require.NoError(t, err)
	longer, err := rsp.Decode[rsp.InitialiseSecureChannelRequest](b)
	require.NoError(t, err)
	text, err = longer.SignedText(point)
	require.NoError(t, err)
	require.Equal(t, want, text)
}

func TestHashCC(t *testing.T) {
	t.Parallel()
	id := rsp.TransactionID{1, 2, 3}
	inner := sha256.Sum256([]byte("12345"))
	require.Equal(t, sha256.Sum256(append(inner[:], 1, 2, 3)), rsp.HashCC("12345", id))
	require.Equal(t, rsp.HashCC("12345", id), rsp.HashCCFromHash(inner, id))
	require.NotEqual(t, rsp.HashCC("12345", id), rsp.HashCC("12346", id))
}

func TestSignAndVerify(t *testing.T) {
	t.Parallel()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	require.NoError(t, err)
	text := []byte("text")
	for range 20 { // r and s have leading zeros at times
		signature, err := rsp.Sign(rand.Reader, key, text)
		require.NoError(t, err)
		require.Len(t, signature, 64)
		require.NoError(t, rsp.Verify(&key.PublicKey, text, signature))
		require.ErrorIs(t, rsp.Verify(&key.PublicKey, []byte("other"), signature), rsp.ErrSignature)
		signature[63] ^= 1
		require.ErrorIs(t, rsp.Verify(&key.PublicKey, text, signature), rsp.ErrSignature)
	}
	require.ErrorIs(t, rsp.Verify(&key.PublicKey, text, make([]byte, 64)), rsp.ErrSignature, "zeros")
	require.ErrorIs(t, rsp.Verify(&key.PublicKey, text, nil), rsp.ErrSignature)
	require.ErrorIs(t, rsp.Verify(nil, text, make([]byte, 64)), rsp.ErrSignature)
	large, err := ecdsa.GenerateKey(elliptic.P384(), rand.Reader)
	require.NoError(t, err)
	_, err = rsp.Sign(rand.Reader, large, text)
	require.ErrorIs(t, err, rsp.ErrSignature)
}

// A whole common mutual authentication with SGP.26's PKI, each side reading the
// other's bytes.
func TestMutualAuthentication(t *testing.T) {
	t.Parallel()
	p, euicc := rsptest.SGP26(t), rsptest.SGP26EUICC(t)
	v := &cert.Verifier{CIs: [][]byte{p.CI.DER}, Now: func() time.Time { return p.Start }}
	ciKey := p.CI.Certificate.SubjectKeyId

	server1 := *find(t, any1[rsp.ServerSigned1])
	text, err := server1.SignedText()
	require.NoError(t, err)
	signature, err := rsp.Sign(rand.Reader, p.DPAuth.Key, text)
	require.NoError(t, err)
	b, err := rsp.Encode(&rsp.AuthenticateServerRequest{
		ServerSigned1: server1, ServerSignature1: signature, CIKeyID: ciKey, ServerCertificate: p.DPAuth.DER, CtxParams1: *find(t, any1[rsp.CtxParams1]),
	})
	require.NoError(t, err)

	request, err := rsp.Decode[rsp.AuthenticateServerRequest](b) // the eUICC
	require.NoError(t, err)
	server, err := v.Server(cert.RoleDPAuth, request.ServerCertificate, request.CIKeyID)
	require.NoError(t, err)
	text, err = request.ServerSigned1.SignedText()
	require.NoError(t, err)
	require.NoError(t, rsp.Verify(server.PublicKey, text, request.ServerSignature1))
	euicc1 := rsp.EUICCSigned1{
		TransactionID: request.ServerSigned1.TransactionID, ServerAddress: request.ServerSigned1.ServerAddress,
		ServerChallenge: request.ServerSigned1.ServerChallenge, Info2: *find(t, any1[rsp.EUICCInfo2]), CtxParams1: request.CtxParams1,
	}
	text, err = euicc1.SignedText()
	require.NoError(t, err)
	signature, err = rsp.Sign(rand.Reader, euicc.Key, text)
	require.NoError(t, err)
	b, err = rsp.Encode(&rsp.AuthenticateServerResponse{OK: &rsp.AuthenticateOK{
		Signed1: euicc1, Signature1: signature, EUICCCertificate: euicc.DER, EUMCertificate: p.EUM.DER,
	}})
	require.NoError(t, err)

	response, err := rsp.Decode[rsp.AuthenticateServerResponse](b) // the server
	require.NoError(t, err)
	card, err := v.EUICC(response.OK.EUICCCertificate, response.OK.EUMCertificate, ciKey)
	require.NoError(t, err)
	text, err = response.OK.Signed1.SignedText()
	require.NoError(t, err)
	require.NoError(t, rsp.Verify(card.PublicKey, text, response.OK.Signature1))
	require.Equal(t, rsptest.EID, card.EID.String())
}
