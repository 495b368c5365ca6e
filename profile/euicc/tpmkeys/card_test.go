package tpmkeys_test

import (
	"bytes"
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/hpke"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"io"
	"math/big"
	"net"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/iotregistry/sdk/internal/apdu"
	"github.com/iotregistry/sdk/internal/rsp"
	"github.com/iotregistry/sdk/internal/rsp/rsptest"
	"github.com/iotregistry/sdk/profile"
	"github.com/iotregistry/sdk/profile/euicc"
	"github.com/iotregistry/sdk/profile/euicc/tpmkeys"
	"github.com/iotregistry/sdk/registry/eid"
)

const (
	zone = "iotregistry.ca"
	host = "parkoserv.ca"
)

func ecKey(t testing.TB) *ecdsa.PrivateKey {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	require.NoError(t, err)
	return key
}

func newAuthority(t testing.TB) *profile.Authority {
	a, err := profile.NewAuthority(profile.AuthorityConfig{Registry: zone, RootKey: ecKey(t), IssuerKey: ecKey(t)})
	require.NoError(t, err)
	return a
}

func roots(a *profile.Authority) *x509.CertPool {
	pool := x509.NewCertPool()
	pool.AddCert(a.Root())
	return pool
}

func trust(a *profile.Authority) func([]*x509.Certificate) error {
	return profile.TrustRoots(x509.VerifyOptions{Roots: roots(a)})
}

// profileFor has a certificate for signer and no private key: the card signs.
func profileFor(t testing.TB, a *profile.Authority, device eid.ID, signer crypto.Signer) *profile.Profile {
	name := "11." + device.String() + "." + zone
	now := time.Now().UTC().Truncate(time.Second)
	der, err := a.Issue(profile.Request{Name: name, Device: device, PublicKey: signer.Public(), NotAfter: now.AddDate(1, 0, 0)})
	require.NoError(t, err)
	return &profile.Profile{
		ID: 11, Device: device, Registry: zone, Name: name, Host: host, Port: 443,
		Certificate: der, CACertificates: a.Chain(), NotBefore: now, NotAfter: now.AddDate(1, 0, 0),
	}
}

// A maker reads the public keys out; the registry issues and seals; the card
// opens in the TPM, and connects with the key that never left it.
func TestCardWithBothKeysInTheTPM(t *testing.T) {
	onMachines(t, func(t *testing.T, m machine) {
		a, device := newAuthority(t), eid.MustParse("1000000000000001")
		keys := create(t, open(t, m, tpmkeys.Options{Auth: []byte("value")}))
		key, err := hpke.NewDHKEMPrivateKey(keys.Agreement)
		require.NoError(t, err)
		card, err := euicc.New(euicc.Config{ID: device, Key: key, Registry: zone})
		require.NoError(t, err)

		filed, err := profile.ParsePublicKey(profile.FormatPublicKey(card.PublicKey()))
		require.NoError(t, err)
		sealed, err := a.Seal(filed, profileFor(t, a, device, keys.Signer))
		require.NoError(t, err)

		p, err := card.Install(sealed, trust(a))
		require.NoError(t, err)
		require.Empty(t, p.PrivateKey)
		cert, err := p.TLSCertificate(keys.Signer)
		require.NoError(t, err)
		connect(t, a, cert)
	})
}

// connect shakes hands in TLS 1.3 with a server that wants to know who calls.
func connect(t *testing.T, a *profile.Authority, device tls.Certificate) {
	service := ecKey(t)
	template := &x509.Certificate{SerialNumber: big.NewInt(1), DNSNames: []string{host}, NotAfter: time.Now().Add(time.Hour)}
	der, err := x509.CreateCertificate(rand.Reader, template, template, service.Public(), service)
	require.NoError(t, err)
	own, err := x509.ParseCertificate(der)
	require.NoError(t, err)
	services := x509.NewCertPool()
	services.AddCert(own)

	here, there := net.Pipe()
	server := tls.Server(there, &tls.Config{
		Certificates: []tls.Certificate{{Certificate: [][]byte{der}, PrivateKey: service}},
		ClientAuth:   tls.RequireAndVerifyClientCert, ClientCAs: roots(a), MinVersion: tls.VersionTLS13,
	})
	answered := make(chan error, 1)
	go func() {
		_, err := server.Write([]byte("welcome"))
		answered <- err
	}()
	client := tls.Client(here, &tls.Config{
		ServerName: host, RootCAs: services, Certificates: []tls.Certificate{device}, MinVersion: tls.VersionTLS13,
	})
	text := make([]byte, 7)
	_, err = io.ReadFull(client, text)
	require.NoError(t, err)
	require.NoError(t, <-answered)
	require.Equal(t, "welcome", string(text))
	require.EqualValues(t, tls.VersionTLS13, client.ConnectionState().Version)
	require.True(t, server.ConnectionState().PeerCertificates[0].Equal(device.Leaf))
	require.NoError(t, here.Close())
}

func certify(t testing.TB, pki *rsptest.PKI, key crypto.Signer) []byte {
	pattern, err := pki.EUICC(rsptest.EID)
	require.NoError(t, err)
	der, err := x509.CreateCertificate(rand.Reader, pattern.Certificate, pki.EUM.Certificate, key.Public(), pki.EUM.Key)
	require.NoError(t, err)
	return der
}

// SK.EUICC signs what an SM-DP+ asks of a chip, by APDU.
func TestChipSignsInTheTPM(t *testing.T) {
	onMachines(t, func(t *testing.T, m machine) {
		keys := create(t, open(t, m, tpmkeys.Options{}))
		pki, err := rsptest.New(time.Now())
		require.NoError(t, err)
		chip, err := euicc.NewChip(euicc.ChipConfig{
			EID: eid.MustParse(rsptest.EID), Certificate: certify(t, pki, keys.Signer), EUM: pki.EUM.DER, Key: keys.Signer,
			CIs: [][]byte{pki.CI.DER},
		})
		require.NoError(t, err)
		cla := send(t, chip, apdu.Command{INS: 0x70, Le: 1})[0]
		isdr := []byte{0xA0, 0, 0, 5, 0x59, 0x10, 0x10, 0xFF, 0xFF, 0xFF, 0xFF, 0x89, 0, 0, 1, 0}
		send(t, chip, apdu.Command{CLA: cla, INS: 0xA4, P1: 4, Data: isdr})

		challenge := es10[rsp.GetEUICCChallengeResponse](t, chip, cla, &rsp.GetEUICCChallengeRequest{}).Challenge
		q := &rsp.AuthenticateServerRequest{
			ServerSigned1: rsp.ServerSigned1{
				TransactionID: rsp.TransactionID{1}, EUICCChallenge: challenge,
				ServerAddress: "smdp.example.com", ServerChallenge: bytes.Repeat([]byte{7}, 16),
			},
			CIKeyID: pki.CI.Certificate.SubjectKeyId, ServerCertificate: pki.DPAuth.DER,
			CtxParams1: rsp.CtxParams1{Device: rsp.DeviceInfo{TAC: []byte{1, 2, 3, 4}}},
		}
		text, err := q.ServerSigned1.SignedText()
		require.NoError(t, err)
		q.ServerSignature1, err = rsp.Sign(nil, pki.DPAuth.Key, text)
		require.NoError(t, err)

		proof := es10[rsp.AuthenticateServerResponse](t, chip, cla, q).OK
		require.NotNil(t, proof)
		text, err = proof.Signed1.SignedText()
		require.NoError(t, err)
		require.NoError(t, rsp.Verify(keys.Signer.Public().(*ecdsa.PublicKey), text, proof.Signature1))
	})
}

func send(t testing.TB, chip *euicc.Chip, c apdu.Command) []byte {
	r, err := apdu.Send(context.Background(), chip, c)
	require.NoError(t, err)
	return r.Data
}

// es10 has the chip carry out one function.
func es10[T any, P interface {
	*T
	rsp.Message
}](t testing.TB, chip *euicc.Chip, cla byte, request rsp.Message) *T {
	t.Helper()
	b, err := rsp.Encode(request)
	require.NoError(t, err)
	var answer []byte
	for n := byte(0); len(b) > 0; n++ {
		size, p1 := min(255, len(b)), byte(0x11)
		if size == len(b) {
			p1 = 0x91
		}
		answer = send(t, chip, apdu.Command{CLA: 0x80 | cla, INS: 0xE2, P1: p1, P2: n, Data: b[:size]})
		b = b[size:]
	}
	r, err := rsp.Decode[T, P](answer)
	require.NoError(t, err)
	return r
}
