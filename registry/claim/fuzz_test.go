package claim_test

import (
	"crypto"
	"crypto/ed25519"
	"crypto/elliptic"
	"encoding/base64"
	"errors"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/iotregistry/sdk/profile"
	"github.com/iotregistry/sdk/registry/claim"
	"github.com/iotregistry/sdk/registry/eid"
)

// judge checks what holds for every list.
func judge(t *testing.T, list *claim.List) {
	at, devices := map[int]bool{}, map[eid.ID]bool{}
	for _, c := range list.Claims {
		require.False(t, c.Device.IsZero() || devices[c.Device], "each device once")
		require.False(t, at[c.Line], "one result a line")
		at[c.Line], devices[c.Device] = true, true
		key, err := profile.ParsePublicKey(c.Key)
		require.NoError(t, err)
		require.Equal(t, c.Key, profile.FormatPublicKey(key))
		if c.CSR != nil {
			_, err := profile.ParseCSR(c.CSR)
			require.NoError(t, err)
		}
	}
	for _, b := range list.Bad {
		require.False(t, at[b.Line], "one result a line")
		at[b.Line] = true
		require.NotEmpty(t, b.Error())
	}
}

// FuzzReadSigned: nothing is read under a made-up signature, and under a good
// one only what is right.
func FuzzReadSigned(f *testing.F) {
	f.Add(header+"1,"+x25519+",Meter\n2,x,\n", []byte(nil))
	f.Add("\uFEFFpublic key,device id\r\n\""+x25519+"\n\",1\r\n", make([]byte, 64))
	f.Add(header, []byte("MEUCIQ\n=="))
	f.Add("Device ID,Public Key,CSR\n1,"+x25519+","+base64.StdEncoding.EncodeToString(csrOf(f, ecKey(f, elliptic.P256())))+"\n", []byte(nil))
	key := edKey(1)
	acme := claim.Maker{Account: "acme", Keys: []crypto.PublicKey{ecKey(f, elliptic.P256()).Public(), key.Public()}}
	f.Fuzz(func(t *testing.T, in string, signature []byte) {
		_, err := claim.ReadSigned(strings.NewReader(in), signature, acme)
		require.ErrorIs(t, err, claim.ErrSignature)
		good := base64.StdEncoding.EncodeToString(ed25519.Sign(key, []byte(in)))
		list, err := claim.ReadSigned(strings.NewReader(in), []byte(good), acme)
		if err != nil {
			require.True(t, errors.Is(err, claim.ErrHeader) || errors.Is(err, claim.ErrTooLarge), "%v", err)
			return
		}
		require.Equal(t, "acme", list.Maker)
		judge(t, list)
	})
}

// FuzzReadCertificates: claims are those of devices that the CA has certified.
func FuzzReadCertificates(f *testing.F) {
	root := newCA(f, "root", nil)
	one := newCA(f, "one", &root)
	pub := ecKey(f, elliptic.P256()).Public()
	f.Add(pemOf(one.device(f, "1", pub)) + one.pem() + pemOf(root.device(f, "2", pub)))
	f.Add(pemOf(root.device(f, "METER", pub)) + pemOf(root.device(f, "1", edKey(1).Public())))
	f.Add("-----BEGIN CERTIFICATE-----\n-----BEGIN PRIVATE KEY-----\n-----END PRIVATE KEY-----\n")
	f.Fuzz(func(t *testing.T, in string) {
		list, err := claim.ReadCertificates(strings.NewReader(in), noon, root.maker("acme"))
		if err != nil {
			require.True(t, errors.Is(err, claim.ErrNoCertificates) || errors.Is(err, claim.ErrTooLarge), "%v", err)
			return
		}
		judge(t, list)
		for _, c := range list.Claims {
			require.Equal(t, "acme", list.Maker)
			require.Contains(t, []string{"1", "2"}, c.Device.String())
		}
		list, err = claim.ReadCertificates(strings.NewReader(in), noon, claim.Maker{Account: "none"})
		require.NoError(t, err)
		require.Empty(t, list.Claims)
	})
}

// FuzzParseTrust: what is read at all is written and read again as the same.
func FuzzParseTrust(f *testing.F) {
	text, err := claim.FormatTrust([]crypto.PublicKey{edKey(1).Public(), ecKey(f, elliptic.P384()).Public()}, nil)
	require.NoError(f, err)
	f.Add(text + newCA(f, "root", nil).pem())
	f.Add("-----BEGIN PUBLIC KEY-----\n" + x25519 + "\n-----END PUBLIC KEY-----\n")
	f.Add(" \n")
	f.Fuzz(func(t *testing.T, in string) {
		keys, roots, err := claim.ParseTrust(in)
		if err != nil {
			require.ErrorIs(t, err, claim.ErrTrust)
			require.Empty(t, keys)
			require.Empty(t, roots)
			return
		}
		text, err := claim.FormatTrust(keys, roots)
		if err != nil { // PEM may need more bytes than the text that it came from
			require.ErrorIs(t, err, claim.ErrTrust)
			require.Greater(t, len(in), 32<<10)
			return
		}
		again, rootsAgain, err := claim.ParseTrust(text)
		require.NoError(t, err)
		require.Equal(t, keys, again)
		require.Len(t, rootsAgain, len(roots))
		for i := range roots {
			require.True(t, roots[i].Equal(rootsAgain[i]))
		}
	})
}
