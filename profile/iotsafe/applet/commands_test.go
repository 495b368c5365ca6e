package applet_test

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/hkdf"
	"crypto/sha256"
	"fmt"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/iotregistry/sdk/internal/bertlv"
	"github.com/iotregistry/sdk/profile/iotsafe/applet"
)

func TestChannels(t *testing.T) {
	t.Parallel()
	a := newCard(t, applet.Config{StrictChannels: true, Quirks: applet.Quirks{
		AIDs: [][]byte{unhex(t, gsmaAID), unhex(t, thalesAID)},
	}})
	for _, c := range [][3]string{
		{"a channel that is not open", "01A4040007" + gsmaAID, "6881"},
		{"no applet is selected", "0084000004", "6985"},
		{"open: Le is missing", "00700000", "6C01"},
		{"open", "0070000001", "019000"},
		{"open: Le may be 00", "0070000000", "029000"},
		{"open by number", "00700003", "9000"},
		{"open what is open", "00700003", "6985"},
		{"none is left", "0070000001", "6A81"},
		{"no such channel", "00700004", "6A86"},
		{"with data", "007000000101", "6700"},
		{"whole AID", "01A4040007" + gsmaAID, "9000"},
		{"FCI where Le asks for it", "01A4040007" + gsmaAID + "00", "6F09 8407" + gsmaAID + "9000"},
		{"no FCI wanted", "01A4040C07" + gsmaAID + "00", "9000"},
		{"partial AID: the first", "02A4040005A00000000000", "6A82"},
		{"partial AID", "02A4040005A00000000300", "6A82"},
		{"partial AID of the second", "02A4040005A000000030", "9000"},
		{"another", "02A4040006A00000055911", "6A82"},
		{"and the applet stays selected", "8284000001", ""},
		{"shorter than a provider's five bytes", "02A4040004A0000000", "6700"},
		{"not by AID", "02A40000023F00", "6A86"},
		{"the next occurrence", "02A4040207" + gsmaAID, "6A86"},
		{"secure messaging", "0484000004", "6E00"},
		{"further channels", "4084000004", "6E00"},
		{"command chaining", "1184000004", "6E00"},
		{"close from itself", "0270800200", "9000"},
		{"close what is closed", "00708002", "6985"},
		{"close the basic channel", "00708000", "6A86"},
		{"closed", "8284000001", "6881"},
		{"no command", "0084", "6700"},
		{"Lc and data disagree", "00A4040007A0", "6700"},
		{"nothing to fetch", "01C0000010", "6985"},
		{"GET RESPONSE wants no parameters", "01C0010010", "6A86"},
		{"and a length", "01C00000", "6700"},
		{"an instruction that nobody knows", "01FE000000", "6D00"},
	} {
		data, sw := send(t, a, c[1])
		if c[2] != "" {
			require.Equal(t, strings.ReplaceAll(c[2], " ", ""), fmt.Sprintf("%X", data)+sw, c[0])
		} else {
			require.Equal(t, "9000", sw, c[0])
		}
	}
}

// wolfSSL selects on channel 1 without opening it.
func TestUnopenedChannel(t *testing.T) {
	t.Parallel()
	a := newCard(t, applet.Config{})
	want(t, a, "01A4040007"+gsmaAID, "9000")
	require.Len(t, ask(t, a, "8184000008"), 8)
	want(t, a, "0070000001", "029000") // channel 1 is somebody's
	want(t, a, "00708001", "9000")
	want(t, a, "8184000008", "6985")
}

func TestGetRandom(t *testing.T) {
	t.Parallel()
	a := selected(t, applet.Config{})
	one, two := ask(t, a, "0084000020"), ask(t, a, "0084000020")
	require.NotEqual(t, one, two)
	require.Len(t, ask(t, a, "0084000000"), 256)
	want(t, a, "00840000", "6700")
	want(t, a, "00840000000101", "6700")
	want(t, a, "0084010001", "6A86")

	fixed := selected(t, applet.Config{Random: bytes.NewReader(unhex(t, "0102030405"))})
	want(t, fixed, "0084000004", "01020304 9000")
	want(t, fixed, "0084000004", "6F00")
}

// kinds is a card with an object of each kind.
func kinds(t testing.TB, cfg applet.Config) (*applet.Applet, *ecdsa.PrivateKey) {
	key := ecKey(t)
	cfg.Objects = []applet.Object{
		applet.PrivateKey{ID: []byte{1}, Label: "device", Key: key, Usage: applet.UsageTLS12},
		applet.PublicKey{ID: []byte{1}, Key: &key.PublicKey},
		applet.PublicKey{ID: unhex(t, "0102030405060708090A0B0C0D0E0F1011121314"), Volatile: true},
		applet.Secret{ID: []byte{1}, Label: "psk", Key: []byte("secret")},
		applet.File{ID: []byte{1}, Label: "cert", Data: bytes.Repeat([]byte{7}, 300), Usage: applet.UsageCertificate},
	}
	return selected(t, cfg), key
}

func TestGetData(t *testing.T) {
	t.Parallel()
	a, _ := kinds(t, applet.Config{})
	app := ask(t, a, "00CB000044")
	require.Len(t, app, 0x44)
	require.Equal(t, "1001011120", fmt.Sprintf("%X", app[:5]))
	require.Equal(t, "B10120 B20108 B30110 B40108 90010F 91020007 920104 930101 940103 B70106",
		spaced(app[37:]), "limits, functions, algorithms, sessions")

	private := "C124 7406646576696365 840101 600100 4A0101 4B0113 4E0102 61010F 920104 91020007 6F0101"
	public := "C21C 850101 600103 4A0101 4B0113 4E0101 610105 920104 91020007 6F0101"
	empty := "C22F 85140102030405060708090A0B0C0D0E0F1011121314 600103 4A0100 4B0114 4E0101 610105 920104 91020007 6F0101"
	secret := "C417 760370736B 860101 600100 4A0101 4B01A0 610108 940103"
	file := "C316 730463657274 830101 600101 4A0101 2002012C 210102"
	for _, c := range [][3]string{
		{"a private key", "00CBC10003840101 00", private},
		{"by label", "00CBC10008 7406646576696365 00", private},
		{"by both", "00CBC1000B 7406646576696365 840101 00", private},
		{"a public key", "00CBC20003850101 00", public},
		{"one that is empty is inactive", "00CBC20016 85140102030405060708090A0B0C0D0E0F1011121314 00", empty},
		{"a secret", "00CBC40003860101 00", secret},
		{"a file", "00CBC30003830101 00", file},
		{"all", "00CB010000", private + public + empty + secret + file},
	} {
		got := fmt.Sprintf("%X", ask(t, a, strings.ReplaceAll(c[1], " ", "")))
		require.Equal(t, strings.ReplaceAll(c[2], " ", ""), got, c[0])
	}
	for _, c := range [][3]string{
		{"another ID", "00CBC3000383010200", "6A82"},
		{"another label", "00CBC300067304786578 7400", "6A82"},
		{"ID of one and label of another", "00CBC1000B 7406646576696365 840102 00", "6A82"},
		{"the tag of another kind", "00CBC3000384010100", "6A80"},
		{"an empty ID", "00CBC30002830000", "6A80"},
		{"an ID of 21 bytes", command("00CBC300", tlv("83", make([]byte, 21))), "6A80"},
		{"a label of 61 bytes", command("00CBC300", tlv("73", make([]byte, 61))), "6A80"},
		{"no name", "00CBC30000", "6700"},
		{"cut short", "00CBC30003830201", "6A80"},
		{"the application with data", "00CB000003830101", "6700"},
		{"another P1", "00CB020000", "6A86"},
		{"another P2", "00CB000100", "6A86"},
	} {
		want(t, a, c[1], c[2])
	}
}

// spaced writes flat TLVs apart.
func spaced(b []byte) string {
	var list []string
	for len(b) > 0 {
		t, rest, err := bertlv.Read(b)
		if err != nil {
			return err.Error()
		}
		list, b = append(list, fmt.Sprintf("%X", t.Raw)), rest
	}
	return strings.Join(list, " ")
}

func TestReadFile(t *testing.T) {
	t.Parallel()
	data := make([]byte, 600)
	for i := range data {
		data[i] = byte(i % 251)
	}
	a := selected(t, applet.Config{Objects: []applet.Object{
		applet.File{ID: []byte{2}, Label: "x", Data: data},
		applet.File{ID: []byte{3}, Data: data, Access: applet.AccessNone},
		applet.File{ID: []byte{4}},
	}})
	require.Equal(t, data, readAll(t, a, len(data), "02"))
	require.Equal(t, data[:255], ask(t, a, "00B0000003830102 00"), "no more than 255")
	require.Equal(t, data[:50], ask(t, a, "80B0000003830102 32"), "no more than Le")
	require.Equal(t, data[512:], ask(t, a, "80B0020003730178 00"), "offset in P1 and P2, by label")
	for _, c := range [][3]string{
		{"at the end", "00B0025803830102 00", "6A86"},
		{"far beyond", "00B0FFFF03830102 00", "6A86"},
		{"none", "00B0000003830109 00", "6A82"},
		{"not to be read", "00B0000003830103 00", "6985"},
		{"empty", "00B0000003830104 00", "6985"},
	} {
		want(t, a, c[1], c[2])
	}
}

func TestPublicKeys(t *testing.T) {
	t.Parallel()
	key, peer := ecKey(t), ecKey(t)
	a := selected(t, applet.Config{Objects: []applet.Object{
		applet.PublicKey{ID: []byte{1}, Key: &key.PublicKey, Access: applet.AccessRead},
		applet.PublicKey{ID: []byte{5}, Label: "peer"},
		applet.PublicKey{ID: []byte{6}, Key: &key.PublicKey, Access: applet.AccessNone},
	}})
	require.True(t, key.PublicKey.Equal(parsePoint(t, ask(t, a, "00CD00000385010100"))))
	put := command("00D88002", point(t, &peer.PublicKey))
	for _, c := range [][3]string{
		{"read: empty", "00CD00000385010500", "6985"},
		{"read: not granted", "00CD00000385010600", "6985"},
		{"read: none", "00CD00000385010900", "6A82"},
		{"read: P1", "00CD01000385010100", "6A86"},
		{"put without init", put, "6985"},
		{"init: not granted", "0024000203850101", "6985"},
		{"init: none", "0024000203850109", "6A82"},
		{"init: no such session", "0024000603850105", "6A86"},
		{"init: P1", "0024020203850105", "6A86"},
		{"init", "0024000203850105", "9000"},
		{"update of another kind", "002B800200", "6985"},
		{"no key", "00D880020134", "6A80"},
		{"which ends the session", put, "6985"},
		{"init by label", "0024000206750470656572", "9000"},
		{"a point that is not on the curve", command("00D88002", "344549438641 04", strings.Repeat("11", 64)), "6A80"},
		{"init again", "0024000203850105", "9000"},
		{"in two parts", "00D8000203344549", "9000"},
		{"the rest", command("00D88002", point(t, &peer.PublicKey)[6:]), "9000"},
		{"close what has ended", "0024010200", "9000"},
		{"and again", "00240102", "9000"},
	} {
		data, sw := send(t, a, c[1])
		require.Equal(t, c[2], sw, c[0])
		require.Empty(t, data)
	}
	require.True(t, peer.PublicKey.Equal(parsePoint(t, ask(t, a, "00CD00000385010500"))))
	want(t, a, "0024000103850105", "9000")
	want(t, a, "00240101", "9000")
	want(t, a, command("00D88001", point(t, &peer.PublicKey)), "6985") // closed
}

func TestGenerateKeyPair(t *testing.T) {
	t.Parallel()
	key := ecKey(t)
	a := selected(t, applet.Config{
		Limits: applet.Limits{PublicKeys: 1},
		Objects: []applet.Object{
			applet.PrivateKey{ID: []byte{4}, Label: "ephemeral", Public: []byte{0x14}, Volatile: true},
			applet.PrivateKey{ID: []byte{5}},
			applet.PrivateKey{ID: []byte{6}, Key: key},
			applet.PrivateKey{ID: []byte{7}, Functions: applet.CanSign},
		},
	})
	want(t, a, "00460000068401048501 14 00", "6A82") // the public key is made with the other
	first := ask(t, a, "00B900000384010400")
	require.Equal(t, "840104850114", fmt.Sprintf("%X", first[:6]))
	second := ask(t, a, "00B900000B7409657068656D6572616C00")
	require.False(t, parsePoint(t, first[6:]).Equal(parsePoint(t, second[6:])))
	require.Equal(t, second[6:], ask(t, a, "00CD00000385011400"))
	for _, c := range [][3]string{
		{"no room for another public key", "00B900000384010500", "6A84"},
		{"not to be replaced", "00B900000384010600", "6985"},
		{"cannot generate", "00B900000384010700", "6981"},
		{"none", "00B900000384010900", "6A82"},
		{"no name", "00B9000000", "6700"},
	} {
		want(t, a, c[1], c[2])
	}
	a.Reset()
	want(t, a, "00A4040007"+gsmaAID, "9000")
	want(t, a, "00CD00000385011400", "6985") // volatile

	// A source of randomness decides on the key.
	b := selected(t, applet.Config{
		Random:  bytes.NewReader(unhex(t, strings.Repeat("FF", 32)+strings.Repeat("01", 32))),
		Objects: []applet.Object{applet.PrivateKey{ID: []byte{4}}},
	})
	same, err := ecdsa.ParseRawPrivateKey(elliptic.P256(), bytes.Repeat([]byte{1}, 32))
	require.NoError(t, err)
	require.True(t, same.PublicKey.Equal(parsePoint(t, ask(t, b, "00B900000384010400")[6:])))
	want(t, b, "00B900000384010400", "6F00") // and it has run out
}

func TestComputeDH(t *testing.T) {
	t.Parallel()
	key, peer := ecKey(t), ecKey(t)
	soft, err := key.ECDH()
	require.NoError(t, err)
	a := selected(t, applet.Config{Objects: []applet.Object{
		applet.PrivateKey{ID: []byte{4}, Label: "own", Key: key},
		applet.PrivateKey{ID: []byte{5}, Key: signerOnly{key}},
		applet.PrivateKey{ID: []byte{6}, Key: signerOnly{key}, Exchanger: soft},
		applet.PrivateKey{ID: []byte{7}, Key: key, Functions: applet.CanSign},
		applet.PublicKey{ID: []byte{5}, Label: "peer", Key: &peer.PublicKey},
		applet.PublicKey{ID: []byte{6}},
	}})
	peerKey, err := peer.ECDH()
	require.NoError(t, err)
	shared, err := peerKey.ECDH(soft.PublicKey())
	require.NoError(t, err)
	for _, c := range []string{"00460000068401048501 05 00", "80460000 0B 7403 6F776E 7504 70656572 00", "00460000068401068501 05 00"} {
		require.Equal(t, shared, ask(t, a, c))
	}
	for _, c := range [][3]string{
		{"a signer alone cannot", "00460000068401058501 05 00", "6981"},
		{"not its function", "00460000068401078501 05 00", "6981"},
		{"no key yet", "00460000068401048501 06 00", "6985"},
		{"no private key", "00460000068401098501 05 00", "6A82"},
		{"no public key", "00460000068401048501 09 00", "6A82"},
		{"one name only", "0046000003840104", "6A80"},
		{"P2", "0046000106840104850105", "6A86"},
	} {
		want(t, a, c[1], c[2])
	}
}

// signerOnly hides what else a key can do.
type signerOnly struct{ key *ecdsa.PrivateKey }

// The known answer for P_SHA256 that TLS implementers share; Thales' are in
// TestThalesTrace.
func TestComputePRF(t *testing.T) {
	t.Parallel()
	psk := []byte("0123456789abcdef")
	a := selected(t, applet.Config{Objects: []applet.Object{
		applet.Secret{ID: []byte{1}, Label: "psk", Key: psk},
		applet.Secret{ID: []byte{2}, Key: psk, Inactive: true},
		applet.Secret{ID: []byte{3}, Key: psk, Functions: applet.CanSign},
	}})
	secret := unhex(t, "9bbe436ba940f017b17652849a71db35")
	seed := append([]byte("test label"), unhex(t, "a0ba9f936cda311827a6f796ffd5198c")...)
	out := unhex(t, "e3f229ba727be17b8d122620557cd453c2aab21d07c3d495329b52d4e61edb5a"+
		"6b301791e90d35c9c9a46b4e14baf9af0fa022f7077def17abfd3797c0564bab4fbc91666e9def9b97fce34f796789baa48082d122ee42c5a72e5a5110fff701"+
		"87347b66")
	require.Equal(t, out, ask(t, a, command("00480000", tlv("D1", secret), tlv("D2", seed), "D30164")))
	require.Equal(t, out, ask(t, a, command("00480000", tlv("D1", secret), tlv("D2", seed), "D30164", "91020001")))
	require.Equal(t, out[:7], ask(t, a, command("00480000", tlv("D1", secret), tlv("D2", seed), "D30107")))

	raw := ask(t, a, command("00480000", tlv("D1", psk), tlv("D2", seed), "D30130"))
	require.Equal(t, raw, ask(t, a, command("00480000", "860101", tlv("D2", seed), "D30130")), "a secret of the store")
	require.Equal(t, raw, ask(t, a, command("00480000", "7603 70736B", tlv("D2", seed), "D30130")), "by label")

	z := bytes.Repeat([]byte{9}, 32)
	zeros := fmt.Sprintf("0010%X0010%X", make([]byte, 16), psk) // RFC 4279
	agreed := fmt.Sprintf("0020%X0010%X", z, psk)               // RFC 5489
	require.Equal(t, ask(t, a, command("00480000", tlv("D1", unhex(t, zeros)), tlv("D2", seed), "D30130")),
		ask(t, a, command("00480100", "860101", tlv("D2", seed), "D30130")), "PSK")
	require.Equal(t, ask(t, a, command("00480000", tlv("D1", unhex(t, agreed)), tlv("D2", seed), "D30130")),
		ask(t, a, command("00480200", "860101", tlv("D4", z), tlv("D2", seed), "D30130")), "PSK with ECDHE")
	for _, c := range [][3]string{
		{"P1", command("00480300", "860101", "D20101", "D30101"), "6A86"},
		{"P2", command("00480001", "860101", "D20101", "D30101"), "6A86"},
		{"no secret", command("00480000", "D20101", "D30101"), "6A80"},
		{"two secrets", command("00480000", "860101", "D10101", "D20101", "D30101"), "6A80"},
		{"no seed", command("00480000", "860101", "D30101"), "6A80"},
		{"no length", command("00480000", "860101", "D20101"), "6A80"},
		{"length zero", command("00480000", "860101", "D20101", "D30100"), "6A80"},
		{"a hash that is none", command("00480000", "860101", "D20101", "D30101", "91020008"), "6A80"},
		{"PSK with a premaster secret", command("00480100", "860101", "D40101", "D20101", "D30101"), "6A80"},
		{"ECDHE without", command("00480200", "860101", "D20101", "D30101"), "6A80"},
		{"none", command("00480000", "860109", "D20101", "D30101"), "6A82"},
		{"inactive", command("00480000", "860102", "D20101", "D30101"), "6985"},
		{"not its function", command("00480000", "860103", "D20101", "D30101"), "6981"},
		{"another tag", command("00480000", "860101", "D20101", "D30101", "8A00"), "6A80"},
	} {
		want(t, a, c[1], c[2])
	}
}

func TestComputeHKDF(t *testing.T) {
	t.Parallel()
	ikm, salt := bytes.Repeat([]byte{0x0b}, 22), unhex(t, "000102030405060708090a0b0c")
	a := selected(t, applet.Config{Objects: []applet.Object{applet.Secret{ID: []byte{1}, Key: ikm}}})
	for _, c := range [][3]string{
		{"RFC 5869 A.1", command("004A0000", tlv("D1", ikm), tlv("D5", salt), "91020001"),
			"077709362C2E32DF0DDC3F0DC47BBA6390B6C73BB50F9C3122EC844AD7C2B3E59000"},
		{"with a secret of the store", command("004A0000", "860101", tlv("D5", salt), "91020001"),
			"077709362C2E32DF0DDC3F0DC47BBA6390B6C73BB50F9C3122EC844AD7C2B3E59000"},
		{"RFC 5869 A.3: no salt", command("004A0000", tlv("D1", ikm), "91020001"),
			"19EF24A32C717B167F33A91D6F648BDF96596776AFDB6377AC434C1C293CCB049000"},
		{"and an empty one", command("004A0000", tlv("D1", ikm), "D500", "91020001"),
			"19EF24A32C717B167F33A91D6F648BDF96596776AFDB6377AC434C1C293CCB049000"},
		{"no hash", command("004A0000", tlv("D1", ikm)), "6A80"},
		{"no secret", command("004A0000", tlv("D5", salt), "91020001"), "6A80"},
		{"none", command("004A0000", "860102", "91020001"), "6A82"},
		{"P1", command("004A0100", tlv("D1", ikm), "91020001"), "6A86"},
	} {
		want(t, a, c[1], c[2])
	}
	prk, err := hkdf.Extract(sha256.New, salt, ikm)
	require.NoError(t, err)
	require.Equal(t, prk, ask(t, a, command("004A0000", tlv("D1", salt), tlv("D5", ikm), "91020001")))
	for hash, n := range map[string]int{"0002": 48, "0004": 64} {
		require.Len(t, ask(t, a, command("004A0000", tlv("D1", ikm), "9102"+hash)), n)
	}
}
