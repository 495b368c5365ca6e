package applet_test

import (
	"bytes"
	"crypto/hkdf"
	"crypto/sha256"
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/iotregistry/sdk/profile/iotsafe/applet"
)

// What wolfSSL 5.5.4 sends in a TLS 1.3 handshake with client authentication, in
// its order and without any Le.
func TestWolfSSLTrace(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	a := newCard(t, applet.Config{Quirks: applet.WolfSSLCard(), Objects: w.objects(t)})
	want(t, a, "01A4040007A0000005590010", "9000")
	certificate := func(id string, der []byte) {
		stat := ask(t, a, "81CBC300038301"+id)
		require.EqualValues(t, 0xC3, stat[0])
		require.Contains(t, fmt.Sprintf("%X", stat[2:]), fmt.Sprintf("2002%04X", len(der)), "it skips two bytes and looks for tag 20")
		var b []byte
		for len(b) < len(der) {
			b = append(b, ask(t, a, fmt.Sprintf("81B0%04X038301%s", len(b), id))...)
		}
		require.Equal(t, der, b)
	}
	certificate("02", w.profile.Certificate)
	certificate("03", w.profile.ASPCertificates[0])

	made := ask(t, a, "81B9000003840104") // ECDHE
	require.Equal(t, "840104850104", fmt.Sprintf("%X", made[:6]))
	own, peer, server := parsePoint(t, made[6:]), ecKey(t), ecKey(t)
	want(t, a, "8124000203850105", "9000")
	want(t, a, "81D8800247"+point(t, &peer.PublicKey), "9000")
	want(t, a, "8124010200", "9000")
	shared := ask(t, a, "8146000006840104850105")
	theirs, err := peer.ECDH()
	require.NoError(t, err)
	ours, err := own.ECDH()
	require.NoError(t, err)
	agreed, err := theirs.ECDH(ours)
	require.NoError(t, err)
	require.Equal(t, agreed, shared)

	salt := make([]byte, 32)
	for _, ikm := range [][]byte{make([]byte, 32), shared, make([]byte, 32)} { // early, handshake, master
		prk, err := hkdf.Extract(sha256.New, ikm, salt)
		require.NoError(t, err)
		require.Equal(t, prk, ask(t, a, fmt.Sprintf("814A000048D120%XD520%X91020001", ikm, salt)))
		salt = prk
	}

	digest := sha256.Sum256([]byte("server's CertificateVerify"))
	want(t, a, "8124000203850105", "9000")
	want(t, a, "81D8800247"+point(t, &server.PublicKey), "9000")
	want(t, a, "8124010200", "9000")
	want(t, a, "812C00010D850105A1010391020001920104", "9000")
	want(t, a, fmt.Sprintf("812D8001659E20%X330040%X", digest, signRaw(t, server, digest[:])), "9000")
	want(t, a, "812C010100", "9000")
	want(t, a, "812C00010D850105A1010391020001920104", "9000")
	want(t, a, fmt.Sprintf("812D800165 9E20%X330040%X", digest, signRaw(t, peer, digest[:])), "6D01")
	want(t, a, "812C010100", "9000")

	digest = sha256.Sum256([]byte("client's CertificateVerify"))
	want(t, a, "812A00010D840101A1010391020001920104", "9000")
	sig := ask(t, a, fmt.Sprintf("812B8001229E20%X", digest))
	want(t, a, "812A010100", "9000")
	require.Equal(t, "330040", fmt.Sprintf("%X", sig[:3]))
	verifyRaw(t, &w.key.PublicKey, digest[:], sig[3:])
}

// What Thales' unit tests send: Le 00 wherever there are data to come, session 0.
// The secrets are its known answers of the PRF.
func TestThalesTrace(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	a := newCard(t, applet.Config{Quirks: applet.ThalesCard(), Objects: w.objects(t)})
	want(t, a, "00A404000FA00000003053F12401770101495341", "9000")
	random, sw := send(t, a, "0084000020")
	require.Len(t, random, 32)
	require.Equal(t, "6300", sw)

	secret := unhex(t, "C0485B05486 3F6DFA45878976 8B9035C6CACB160DD1A01834811F5783309DB81")
	seed := append([]byte("extended master secret"), unhex(t, "CE15B44D68440B652624244DB8D2FB7DD601C759E9EB627FB10529AB0DB76049")...)
	master := "A1F02A766DA04C8FD83A40E358267528F8D815C48E3DC353D55FE3861C350622C78B48FE6F49F6E13E1B6B175CFE59FB"
	out := ask(t, a, command("00480000", tlv("D1", secret), tlv("D2", seed), "D301FF"))
	require.Len(t, out, 255)
	require.Equal(t, master, fmt.Sprintf("%X", out[:48]))
	seed = append([]byte("key expansion"), unhex(t, "CB52E451A752CA812EA9646F2E5A0EC138C3D4D8AEFA744E17F014998674508"+
		"15DCADEED3917D046311A4B5D73BBD75E500CE963A7D05D8122EA9745F2E0D9E9")...)
	require.Len(t, seed, 0x4D)
	out = ask(t, a, "0048000084D130"+master+fmt.Sprintf("D24D%XD301FF00", seed))
	require.Equal(t, "ED6C6644C075653F1919FD05A11A93C8", fmt.Sprintf("%X", out[:16]))
	require.Equal(t, "D3DA69669877125B8C0B41", fmt.Sprintf("%X", out[244:]))

	made := ask(t, a, "00B900000384010400")
	require.Len(t, made, 6+71)
	server := unhex(t, "3445494386410 49E5B7F778B7997617C8993B6406608EFE2D3F2D6751D6B3F5F5320FFFD6A7DC9A8F6C5C1474F64D668364AE2ED8DC4C1C6C476742"+
		"3B013937B4499F52C4F89A0")
	want(t, a, "0024000003850105 00", "9000")
	want(t, a, fmt.Sprintf("00D8800047%X00", server), "9000")
	require.Len(t, ask(t, a, "00460000068401048501 0500"), 32)

	want(t, a, "002A00000D840101A1010391020001920104", "9000")
	digest := unhex(t, "7712AAE3BBAAE5C007475A7336F3DDE0BC63380A348D2390C3519E782E9A8298")
	sig := ask(t, a, fmt.Sprintf("002B8000229E20%X00", digest))
	require.Equal(t, "3340", fmt.Sprintf("%X", sig[:2]))
	verifyRaw(t, &w.key.PublicKey, digest, sig[2:])
	for session := range 6 { // closeSessions
		want(t, a, fmt.Sprintf("002A01%02X00", session), "9000")
	}
}

// CIRA's client selects before each file and reads until 2,048 bytes must be over,
// whatever comes.
func TestCIRATrace(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	a := newCard(t, applet.Config{Quirks: applet.CIRACard(), Objects: w.objects(t)})
	for id, data := range map[string][]byte{"02": w.profile.Certificate, "08": []byte(`{"url":"parkoserv.ca","port":443}`)} {
		want(t, a, "00A4040007"+ciraAID, "9000")
		var b []byte
		for {
			part := ask(t, a, fmt.Sprintf("00B0%04X038301%s00", len(b), id))
			require.NotEmpty(t, part)
			b = append(b, part...)
			if len(b)+255 >= 2048+255 {
				break
			}
		}
		require.Equal(t, data, trimZeros(b))
	}
	want(t, a, "00A4040007"+ciraAID, "9000")
	ask(t, a, "002A00000D840101A1010391020001920104")
	digest := sha256.Sum256([]byte("text"))
	sig := ask(t, a, fmt.Sprintf("002B8000229E20%X00", digest))
	require.Equal(t, "3340", fmt.Sprintf("%X", sig[:2]))
}

// atsign's client on a ZARIOT SIM: answers have to be fetched, and keys move.
func TestZariotTrace(t *testing.T) {
	t.Parallel()
	a := newCard(t, applet.Config{Quirks: applet.ZariotCard(), Objects: []applet.Object{
		applet.PrivateKey{ID: []byte("006"), Key: ecKey(t), Access: applet.AccessUpdate},
		applet.PublicKey{ID: []byte("006")},
	}})
	want(t, a, "0070000000", "019000")
	want(t, a, "81A4040007"+gsmaAID, "9000")
	want(t, a, "81B9000005840330303600", "6151")
	made := ask(t, a, "81C0000051")
	require.Equal(t, "84033030378503303037", fmt.Sprintf("%X", made[:10]))
	require.Equal(t, made[10:], func() []byte {
		want(t, a, "81CD0000058503303037", "6147")
		return ask(t, a, "81C0000047")
	}())
	want(t, a, "81B9000005840330303600", "6A82")
	digest := sha256.Sum256(nil)
	want(t, a, "812A00000F8403303037A1010391020001920104", "9000")
	want(t, a, fmt.Sprintf("812B8000229E20%X00", digest), "6143")
	sig := ask(t, a, "81C0000043")
	verifyRaw(t, parsePoint(t, made[10:]), digest[:], sig[3:])
	want(t, a, "81B900000384010600", "6A80") // not three bytes
}

func TestQuirks(t *testing.T) {
	t.Parallel()
	key := ecKey(t)
	digest := bytes.Repeat([]byte{1}, 32)
	sign := func(q applet.Quirks, id string) string {
		a := selected(t, applet.Config{Quirks: q, Objects: []applet.Object{applet.PrivateKey{ID: []byte{2}, Key: key}}})
		want(t, a, fmt.Sprintf("002A0000%02X84%02X%sA1010391020001920104", 12+len(id)/2, len(id)/2, id), "9000")
		return fmt.Sprintf("%X", ask(t, a, command("002B8000", tlv("9E", digest))))
	}
	require.Equal(t, "330040", sign(applet.Quirks{}, "02")[:6])
	require.Equal(t, "3340", sign(applet.Quirks{SignatureLength: applet.ShortLength}, "02")[:4])
	require.Equal(t, "338140", sign(applet.Quirks{SignatureLength: applet.LongLength}, "02")[:6])
	require.Regexp(t, "^3300[0-9A-F]{2}30", sign(applet.Quirks{DERSignatures: true}, "02"))
	sign(applet.Quirks{IDWidth: 4}, "00000002")
	sign(applet.Quirks{IDWidth: 2, IDLittleEndian: true}, "0200")

	data := applet.File{ID: []byte{1}, Data: []byte("data")}
	for _, c := range []struct {
		rule, command, response string
		quirks                  applet.Quirks
	}{
		{"an ID of another width", readOne, "6A80", applet.Quirks{IDWidth: 2}},
		{"padded", "00B0000004 83020001 05", "6461746100 9000", applet.Quirks{IDWidth: 2, FileSize: 2048}},
		{"the end is refused", "00B007FE03830101 00", "0000 9000", applet.Quirks{FileSize: 2048}},
		{"beyond it", "00B0080003830101 00", "6A86", applet.Quirks{FileSize: 2048}},
		{"beyond it nothing", "00B0080003830101 00", "9000", applet.Quirks{FileSize: 2048, End: applet.EndEmpty}},
		{"beyond it zeros", "00B0080003830101 02", "0000 9000", applet.Quirks{FileSize: 2048, End: applet.EndZeros}},
		{"small chunks", readOne, "6461 9000", applet.Quirks{Chunk: 2}},
		{"no GET DATA", "00CB000044", "6D00", applet.Quirks{NoGetData: true}},
		{"zeros for long random numbers", "0084000080", fmt.Sprintf("%0256X9000", 0), applet.Quirks{ShortRandom: true}},
		{"a proactive command waits", readOne, "64617461 9120", applet.Quirks{Proactive: 0x20}},
		{"on a channel too", "0070000001", "01 9120", applet.Quirks{Proactive: 0x20}},
		{"not with errors", "00B0000003830102 00", "6A82", applet.Quirks{Proactive: 0x20}},
		{"exact Le", "00B0000003830101 10", "6C04", applet.Quirks{ExactLe: true}},
		{"is taken", "00B0000003830101 04", "64617461 9000", applet.Quirks{ExactLe: true}},
		{"or shorter, in a file", "00B0000003830101 02", "6461 9000", applet.Quirks{ExactLe: true}},
		{"always fetched", readOne, "6104", applet.Quirks{Answers: applet.AnswersFetch}},
		{"no Le: fetched", "00B0000003830101", "6104", applet.Quirks{}},
		{"no Le: pushed", "00B0000003830101", "64617461 9000", applet.Quirks{Answers: applet.AnswersPush}},
	} {
		aid := gsmaAID
		a := newCard(t, applet.Config{Quirks: c.quirks, Objects: []applet.Object{data}})
		_, _ = send(t, a, "00A4040007"+aid)
		want(t, a, c.command, c.response)
	}

	a := selected(t, applet.Config{Quirks: applet.Quirks{ShortRandom: true, ExactLe: true, Answers: applet.AnswersFetch}})
	want(t, a, "0084000010", "6110")
	want(t, a, "00C0000011", "6C10")
	require.NotEqual(t, make([]byte, 16), ask(t, a, "00C0000010"))

	wrong := ask(t, selected(t, applet.Config{Quirks: applet.Quirks{WrongGetData: true}}), "00CB000000")
	require.Len(t, wrong, 0x42)
	require.Contains(t, fmt.Sprintf("%X", wrong), "90010F910107")
	_, err := applet.New(applet.Config{
		Quirks: applet.Quirks{FileSize: 8}, Objects: []applet.Object{applet.File{ID: []byte{1}, Data: make([]byte, 9)}},
	})
	require.ErrorIs(t, err, applet.ErrObject)
}

// A pair that moves finds the next free place.
func TestMovedKeys(t *testing.T) {
	t.Parallel()
	a := selected(t, applet.Config{Quirks: applet.Quirks{MovesKeys: true}, Objects: []applet.Object{
		applet.PrivateKey{ID: []byte{0, 0xFE}}, applet.PrivateKey{ID: []byte{0, 0xFF}, Public: []byte{9}},
	}})
	require.Equal(t, "8402010085020100", fmt.Sprintf("%X", ask(t, a, "00B90000048402 00FE 00")[:8]))
	require.Equal(t, "84020101850109", fmt.Sprintf("%X", ask(t, a, "00B90000048402 00FF 00")[:7]))
	public, err := a.GenerateKey(t.Context(), []byte{7})
	require.NoError(t, err)
	require.True(t, public.Equal(parsePoint(t, ask(t, a, "00CD00000385010700"))), "its maker knows where it is")
}
