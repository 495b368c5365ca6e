package applet_test

import (
	"bytes"
	"crypto/sha256"
	"fmt"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/iotregistry/sdk/profile/iotsafe/applet"
)

// sum puts the header of a state before a body.
func sum(body []byte) []byte {
	return append(fmt.Appendf(nil, "iotsafe-state/1 %x\n", sha256.Sum256(body)), body...)
}

func edited(t testing.TB, state []byte, pattern, with string) []byte {
	_, body, _ := bytes.Cut(state, []byte("\n"))
	re := regexp.MustCompile(pattern)
	require.Regexp(t, re, string(body))
	first := true
	return sum(re.ReplaceAllFunc(body, func(m []byte) []byte {
		if !first {
			return m
		}
		first = false
		return re.ReplaceAll(m, []byte(with))
	}))
}

// see is what a client sees of a card.
func see(t testing.TB, a *applet.Applet, aid string) string {
	t.Helper()
	want(t, a, fmt.Sprintf("00A40400%02X%s", len(aid)/2, aid), "9000")
	list, sw := send(t, a, "00CB010000")
	for strings.HasPrefix(sw, "61") {
		var part []byte
		part, sw = send(t, a, "00C0000000")
		list = append(list, part...)
	}
	require.Equal(t, "9000", sw)
	return fmt.Sprintf("%X", list)
}

func snapshot(t testing.TB, a *applet.Applet) []byte {
	b, err := a.Snapshot()
	require.NoError(t, err)
	return b
}

func TestState(t *testing.T) {
	t.Parallel()
	outside := ecKey(t)
	hard := applet.PrivateKey{ID: []byte{9}, Label: "hard", Key: signerOnly{outside}}
	a, _ := kinds(t, applet.Config{})
	require.NoError(t, a.Put(hard,
		applet.PrivateKey{ID: []byte{4}, Volatile: true}, applet.PrivateKey{ID: []byte{5}, Access: applet.AccessUpdate}))
	before := a.Changed()
	ask(t, a, "00B900000384010400")
	made := ask(t, a, "00B900000384010500")
	require.Greater(t, a.Changed(), before)
	require.NoError(t, a.Update(file(2, "new")))
	before = a.Changed()
	ask(t, a, "00CB000044")
	want(t, a, readOne[:len(readOne)-2]+"01", "079000")
	require.Equal(t, before, a.Changed(), "reading changes nothing")
	state := snapshot(t, a)
	require.NotContains(t, string(state), "hard key")

	cfg := applet.Config{State: state, Objects: []applet.Object{hard, file(7, "is not taken")}}
	b := newCard(t, cfg)
	a.Reset()
	require.Equal(t, see(t, a, gsmaAID), see(t, b, gsmaAID))
	require.Equal(t, made[6:], ask(t, b, "00CD00000385010500"))
	want(t, b, "00CD00000385010400", "6985") // volatile
	want(t, b, "00B000000383010700", "6A82")
	want(t, b, readTwo, fmt.Sprintf("%X63CF", "new")) // nobody was told
	require.Equal(t, uint64(1), b.Changed())
	want(t, b, "002A00000D840109A1010391020001920104", "9000")
	digest := make([]byte, 32)
	sig := ask(t, b, command("002B8000", tlv("9E", digest)))
	verifyRaw(t, &outside.PublicKey, digest, sig[3:])

	for rule, change := range map[string]func(c *applet.Config){
		"without the key that lives elsewhere": func(c *applet.Config) { c.Objects = nil },
		"with another": func(c *applet.Config) {
			c.Objects = []applet.Object{applet.PrivateKey{ID: []byte{9}, Key: signerOnly{ecKey(t)}}}
		},
		"with one in software":   func(c *applet.Config) { c.Objects = []applet.Object{applet.PrivateKey{ID: []byte{9}, Key: outside}} },
		"with unusable objects":  func(c *applet.Config) { c.Objects = []applet.Object{nil} },
		"with less room":         func(c *applet.Config) { c.Limits.PrivateKeys = 2 },
		"on a card of wide IDs":  func(c *applet.Config) { c.Quirks.IDWidth = 2 },
		"on one of small files":  func(c *applet.Config) { c.Quirks.FileSize = 100 },
		"cut short":              func(c *applet.Config) { c.State = c.State[:len(c.State)/2] },
		"empty":                  func(c *applet.Config) { c.State = []byte{} },
		"of another version":     func(c *applet.Config) { c.State = bytes.Replace(state, []byte("/1"), []byte("/2"), 1) },
		"too large":              func(c *applet.Config) { c.State = make([]byte, applet.MaxState+1) },
		"not JSON":               func(c *applet.Config) { c.State = sum([]byte("x")) },
		"with a member too many": func(c *applet.Config) { c.State = edited(t, state, `^\{`, `{"more":1,`) },
		"of no kind":             func(c *applet.Config) { c.State = edited(t, state, `"kind":193`, `"kind":1`) },
		"twice the same":         func(c *applet.Config) { c.State = edited(t, state, `(\{"kind":194,"id":"AQ=="[^}]*\})`, `$1,$1`) },
		"a private key that is none": func(c *applet.Config) {
			c.State = edited(t, state, `"key":"[^"]*"`, `"key":"AAAA"`)
		},
		"a public key that is none": func(c *applet.Config) {
			c.State = edited(t, state, `"public":"[^"]*"`, `"public":"AAAA"`)
		},
		"an access that is none": func(c *applet.Config) { c.State = edited(t, state, `"access":3`, `"access":131`) },
		"a file that is volatile": func(c *applet.Config) {
			c.State = edited(t, state, `("usage":2,)("data")`, `$1"volatile":true,$2`)
		},
	} {
		c := cfg
		change(&c)
		_, err := applet.New(c)
		require.ErrorIs(t, err, applet.ErrState, rule)
	}
}

// split turns the fuzzer's bytes into commands: a length byte before each.
func split(b []byte) [][]byte {
	var list [][]byte
	for len(b) > 0 && len(list) < 64 {
		n := min(int(b[0])+1, len(b)-1)
		list, b = append(list, b[1:1+n]), b[1+n:]
	}
	return list
}

func join(t testing.TB, commands ...string) (b []byte) {
	for _, c := range commands {
		raw := unhex(t, c)
		b = append(append(b, byte(len(raw)-1)), raw...)
	}
	return b
}

// FuzzTransmit: no sequence of commands makes the card panic or grow, private keys
// do not come out, and each command has an answer that ends with a status word.
func FuzzTransmit(f *testing.F) {
	w := newWorld(f)
	objects := append(w.objects(f), applet.Secret{ID: []byte{1}, Key: []byte("0123456789abcdef0123456789abcdef")})
	digest := tlv("9E", make([]byte, 32))
	f.Add(byte(0), join(f, "81CBC30003830102", "81B0000003830102", "81B9000003840104", "8124000203850105", "81D8800247"+point(f, &w.key.PublicKey),
		"8146000006840104850105", command("004A0000", tlv("D1", make([]byte, 32)), "91020001")))
	f.Add(byte(1), join(f, "002A00000D840101A1010391020001920104", command("002B8000", digest), "00C0000043"))
	f.Add(byte(2), join(f, "002C00000D850101A1010191020001920104", command("002D8000", "9B0101", fmt.Sprintf("330040%X", make([]byte, 64)))))
	f.Add(byte(3), join(f, "002A00000D840101A1010291020004920104", command("002B8000", "9A0101", tlv("9C", make([]byte, 64)), "9D0400000080")))
	f.Add(byte(4), join(f, command("00480200", "860101", "D40101", "D20101", "D301FF"), "0070000001", "00708001", "00CB010000", "00C0000000"))
	private, err := w.key.Bytes()
	require.NoError(f, err)
	cards := []applet.Quirks{{}, applet.CIRACard(), applet.ThalesCard(), applet.WolfSSLCard(), {MovesKeys: true, ExactLe: true, Answers: applet.AnswersFetch}}
	f.Fuzz(func(t *testing.T, kind byte, b []byte) {
		q := cards[int(kind)%len(cards)]
		a := selected(t, applet.Config{Quirks: q, Objects: objects, Limits: applet.Limits{PublicKeys: 8}})
		for _, c := range split(b) {
			r, err := a.Transmit(t.Context(), c)
			require.NoError(t, err)
			require.GreaterOrEqual(t, len(r), 2)
			require.LessOrEqual(t, len(r), 1<<11, "the list is the longest")
			require.False(t, bytes.Contains(r, private))
		}
		state := snapshot(t, a)
		require.Less(t, len(state), 1<<15)
		_, err := applet.New(applet.Config{Quirks: q, Limits: applet.Limits{PublicKeys: 8}, State: state})
		require.NoError(t, err)
	})
}

// FuzzState: no bytes, the checksum being right, make New panic, and what it takes
// is a card that answers and can be saved.
func FuzzState(f *testing.F) {
	seed := func(a *applet.Applet) {
		_, body, _ := bytes.Cut(snapshot(f, a), []byte("\n"))
		f.Add(body)
	}
	a, _ := kinds(f, applet.Config{})
	seed(a)
	ask(f, a, "00CB010000")
	require.NoError(f, a.Update(file(3, "new"), applet.PrivateKey{ID: []byte{4}, Volatile: true, Public: []byte{1, 2}}))
	seed(a)
	seed(newCard(f, applet.Config{}))
	f.Fuzz(func(t *testing.T, body []byte) {
		a, err := applet.New(applet.Config{State: sum(body)})
		if err != nil {
			require.ErrorIs(t, err, applet.ErrState)
			return
		}
		state := snapshot(t, a)
		require.Equal(t, sum(body), state)
		b, err := applet.New(applet.Config{State: state})
		require.NoError(t, err)
		require.Equal(t, see(t, a, gsmaAID), see(t, b, gsmaAID))
	})
}
