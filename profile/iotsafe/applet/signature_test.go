package applet_test

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"encoding"
	"fmt"
	"io"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/iotregistry/sdk/profile/iotsafe/applet"
)

func (s signerOnly) Public() crypto.PublicKey { return s.key.Public() }

func (s signerOnly) Sign(r io.Reader, digest []byte, o crypto.SignerOpts) ([]byte, error) {
	return s.key.Sign(r, digest, o)
}

// modes writes the data of an update for the same text in each mode.
func modes(t testing.TB, hash crypto.Hash, text []byte) map[string]string {
	h := hash.New()
	block := h.BlockSize()
	whole := len(text) / block * block
	h.Write(text[:whole])
	state, err := h.(encoding.BinaryMarshaler).MarshalBinary()
	require.NoError(t, err)
	width := 32
	if block == 128 {
		width = 64
	}
	h.Write(text[whole:])
	return map[string]string{
		"01": tlv("9B", text),
		"02": tlv("9A", text[whole:]) + tlv("9C", state[4:4+width]) + fmt.Sprintf("9D04%08X", whole),
		"03": tlv("9E", h.Sum(nil)),
	}
}

// The three modes sign the same, with keys anywhere and all hashes.
func TestComputeSignature(t *testing.T) {
	t.Parallel()
	key := ecKey(t)
	a := selected(t, applet.Config{Objects: []applet.Object{
		applet.PrivateKey{ID: []byte{1}, Label: "soft", Key: key},
		applet.PrivateKey{ID: []byte{2}, Label: "hard", Key: signerOnly{key}},
		applet.PublicKey{ID: []byte{1}, Key: &key.PublicKey},
	}})
	for code, hash := range map[string]crypto.Hash{"0001": crypto.SHA256, "0002": crypto.SHA384, "0004": crypto.SHA512} {
		for _, n := range []int{1, 64, 70, 100, 127} {
			text := bytes.Repeat([]byte{byte(n)}, n)
			h := hash.New()
			h.Write(text)
			digest := h.Sum(nil)
			for mode, data := range modes(t, hash, text) {
				for _, id := range []string{"840101", "840102", "7404 736F6674"} {
					want(t, a, strings.TrimSuffix(command("002A0001", id, "A101"+mode, "9102"+code, "920104"), "00"), "9000")
					sig := ask(t, a, command("002B8001", data))
					require.Equal(t, "330040", fmt.Sprintf("%X", sig[:3]))
					verifyRaw(t, &key.PublicKey, digest, sig[3:])
				}
				for form, sig := range map[string]string{
					"wide": fmt.Sprintf("330040%X", signRaw(t, key, digest)), "short": fmt.Sprintf("3340%X", signRaw(t, key, digest)),
					"long": fmt.Sprintf("338140%X", signRaw(t, key, digest)),
				} {
					want(t, a, command("002C0001", "850101", "A101"+mode, "9102"+code, "920104"), "9000")
					want(t, a, command("002D0001", data), "9000")
					_, sw := send(t, a, command("002D8001", sig))
					require.Equal(t, "9000", sw, form)
				}
			}
		}
	}
}

// A full text may come in parts, with a length that only the first one has.
func TestLongText(t *testing.T) {
	t.Parallel()
	key := ecKey(t)
	a := selected(t, applet.Config{Objects: []applet.Object{applet.PrivateKey{ID: []byte{1}, Key: key}}})
	text := bytes.Repeat([]byte("text "), 100)
	h := crypto.SHA256.New()
	h.Write(text)
	for rule, data := range map[string][]byte{
		"BER":             append(unhex(t, "9B8201F4"), text...),
		"two bytes":       append(unhex(t, "9B01F4"), text...),
		"several objects": append(append(append(unhex(t, "9B81FA"), text[:250]...), unhex(t, "9B81FA")...), text[250:]...),
	} {
		want(t, a, "002A00000D840101A1010191020001920104", "9000")
		want(t, a, fmt.Sprintf("002B0000FF%X", data[:255]), "9000")
		sig, sw := send(t, a, command("002B8000", fmt.Sprintf("%X", data[255:])))
		require.Equal(t, "9000", sw, rule)
		verifyRaw(t, &key.PublicKey, h.Sum(nil), sig[3:])
	}
	want(t, a, "002A00000D840101A1010191020001920104", "9000")
	sw := "9000"
	for i := 0; sw == "9000" && i < 300; i++ {
		_, sw = send(t, a, fmt.Sprintf("002B0000FF%X", make([]byte, 255)))
	}
	require.Equal(t, "6A84", sw, "a text is bounded")
}

func TestSignatureRefuses(t *testing.T) {
	t.Parallel()
	key := ecKey(t)
	a := selected(t, applet.Config{Objects: []applet.Object{
		applet.PrivateKey{ID: []byte{1}, Key: key},
		applet.PrivateKey{ID: []byte{2}, Key: key, Inactive: true},
		applet.PrivateKey{ID: []byte{3}, Key: key, Functions: applet.CanAgree},
		applet.PrivateKey{ID: []byte{4}},
		applet.PrivateKey{ID: []byte{5}, Key: key, Usage: applet.UsageTLS13},
		applet.PublicKey{ID: []byte{1}, Key: &key.PublicKey},
	}})
	digest := bytes.Repeat([]byte{3}, 32)
	good, hash := "002A00000D840101A1010391020001920104", tlv("9E", digest)
	init := func(mode string) string { return "002A00000D840101A101" + mode + "91020001920104" }
	tls := "002A00000D840105A1010191020001920104"
	context := append(bytes.Repeat([]byte{0x20}, 64), "TLS 1.3, client CertificateVerify\x00hash"...)
	verify := "002C00000D850101A1010391020001920104"
	for _, c := range []struct{ rule, init, sw, update, then string }{
		{"inactive", "002A00000D840102A1010391020001920104", "6985", "", ""},
		{"not its function", "002A00000D840103A1010391020001920104", "6981", "", ""},
		{"no key yet", "002A00000D840104A1010391020001920104", "6985", "", ""},
		{"none", "002A00000D840109A1010391020001920104", "6A82", "", ""},
		{"another mode", "002A00000D840101A1010491020001920104", "6A80", "", ""},
		{"another hash", "002A00000D840101A1010391020008920104", "6A80", "", ""},
		{"RSA", "002A00000D840101A1010391020001920101", "6A80", "", ""},
		{"no algorithm", "002A00000A840101A1010391020001", "6A80", "", ""},
		{"no name", "002A00000AA1010391020001920104", "6A80", "", ""},
		{"hash in one byte, as Orange sends it", "002A00000C840101A10103910101920104", "9000", command("002B8000", hash), "9000"},
		{"no session", "002A010000", "9000", command("002B8000", hash), "6985"},
		{"a short hash", good, "9000", command("002B8000", tlv("9E", digest[1:])), "6A80"},
		{"what another mode has", good, "9000", command("002B8000", tlv("9B", digest)), "6A80"},
		{"nothing", good, "9000", "002B8000", "6A80"},
		{"no text", init("01"), "9000", "002B8000", "6A80"},
		{"an empty text", init("01"), "9000", "002B8000029B0000", "9000"},
		{"no middle", init("02"), "9000", command("002B8000", "9A0101", "9D0400000040"), "6A80"},
		{"a short middle", init("02"), "9000", command("002B8000", "9A0101", "9C0101", "9D0400000040"), "6A80"},
		{"half a block", init("02"), "9000", command("002B8000", "9A0101", tlv("9C", digest), "9D0400000020"), "6A80"},
		{"too long a last block", init("02"), "9000", command("002B8000", tlv("9A", make([]byte, 128)), tlv("9C", digest), "9D0400000040"), "6A80"},
		{"another P1", good, "9000", command("002B4000", hash), "6A86"},
		{"another session", good, "9000", command("002B8001", hash), "6985"},
		{"no such session", good, "9000", command("002B8009", hash), "6A86"},
		{"verify in a session to sign", good, "9000", command("002D8000", hash), "6985"},
		{"TLS 1.3", tls, "9000", command("002B8000", tlv("9B", context)), "9000"},
		{"a key for TLS 1.3 signs nothing else", tls, "9000", command("002B8000", tlv("9B", context[1:])), "6985"},
		{"verify: another text", verify, "9000", command("002D8000", hash, fmt.Sprintf("330040%X", signRaw(t, key, digest[1:]))), "6D01"},
		{"verify: zeros", verify, "9000", command("002D8000", hash, fmt.Sprintf("330040%X", make([]byte, 64))), "6D01"},
		{"verify: no signature", verify, "9000", command("002D8000", hash), "6A80"},
		{"verify: ECDSA-Sig-Value", verify, "9000", command("002D8000", hash, tlv("33", asn1Of(t, key, digest))), "9000"},
	} {
		_, sw := send(t, a, c.init)
		require.Equal(t, c.sw, sw, c.rule)
		if c.update != "" {
			_, sw = send(t, a, c.update)
			require.Equal(t, c.then, sw, c.rule)
		}
	}
}

func asn1Of(t testing.TB, key *ecdsa.PrivateKey, digest []byte) []byte {
	b, err := ecdsa.SignASN1(nil, key, digest)
	require.NoError(t, err)
	return b
}

// Sessions are counted together and kept apart by channel.
func TestSessions(t *testing.T) {
	t.Parallel()
	key := ecKey(t)
	a := selected(t, applet.Config{
		Limits:  applet.Limits{Sessions: 2},
		Objects: []applet.Object{applet.PrivateKey{ID: []byte{1}, Key: key}},
	})
	want(t, a, "01A4040007"+gsmaAID, "9000")
	init, hash := "0D840101A1010391020001920104", tlv("9E", make([]byte, 32))
	want(t, a, "002A0000"+init, "9000")
	want(t, a, "002A0000"+init, "9000") // begins anew
	want(t, a, command("012B8000", hash), "6985")
	want(t, a, "012A0000"+init, "9000")
	want(t, a, "012A0001"+init, "6989") // maximum capacity
	want(t, a, "002A0002"+init, "6A86")
	want(t, a, "002A0100", "9000")
	want(t, a, "012A0001"+init, "9000")
	ask(t, a, command("012B8000", hash))
	want(t, a, "01A4040007"+gsmaAID, "9000") // selecting ends sessions
	want(t, a, command("012B8001", hash), "6985")
}

// Responses that do not fit come in parts.
func TestGetResponse(t *testing.T) {
	t.Parallel()
	key := ecKey(t)
	hash, init := tlv("9E", make([]byte, 32)), "002A00000D840101A1010391020001920104"
	objects := []applet.Object{applet.PrivateKey{ID: []byte{1}, Key: key}}
	for i := range 12 {
		objects = append(objects, applet.File{ID: []byte{byte(i)}, Label: fmt.Sprintf("a file with number %02d", i), Data: []byte{1}})
	}
	a := selected(t, applet.Config{Objects: objects})
	want(t, a, init, "9000")
	noLe := strings.TrimSuffix(command("002B8000", hash), "00")
	want(t, a, noLe, "6143") // ISO/IEC 7816-3
	part, sw := send(t, a, "00C0000003")
	require.Equal(t, "3300406140", fmt.Sprintf("%X", part)+sw)
	require.Len(t, ask(t, a, "80C0000000"), 64, "the class may be another")
	want(t, a, "00C0000040", "6985")

	want(t, a, init, "9000")
	want(t, a, noLe, "6143")
	want(t, a, init, "9000")
	want(t, a, "00C0000043", "6985") // whoever goes on does not want it

	list, sw := send(t, a, "00CB010000")
	require.Equal(t, "6100", sw, "256 or more are left")
	for strings.HasPrefix(sw, "61") {
		part, sw = send(t, a, "00C0000000")
		list = append(list, part...)
	}
	require.Equal(t, "9000", sw)
	require.Equal(t, 13, strings.Count(spaced(list), " ")+1)
	require.Len(t, ask(t, a, "00CB0000"), 0x44, "no Le where there are no data either: as many as there are")
	short, sw := send(t, a, "00CB000040")
	require.Len(t, short, 0x40)
	require.Equal(t, "6104", sw)
}
