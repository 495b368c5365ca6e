package applet_test

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/json"
	"fmt"
	"math/big"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/iotregistry/sdk/profile/iotsafe/applet"
)

const (
	readOne = "00B000000383010100"
	readTwo = "00B000000383010200"
)

func file(id byte, text string) applet.File { return applet.File{ID: []byte{id}, Data: []byte(text)} }

// What a device sees while the registry replaces its profile.
func TestUpdate(t *testing.T) {
	t.Parallel()
	labelled := file(1, "old")
	labelled.Label = "cert"
	a := selected(t, applet.Config{Objects: []applet.Object{labelled, file(2, "old"), file(3, "old")}})
	u, err := a.BeginUpdate(file(1, "new"), file(4, "new"), applet.Removal{Object: file(3, "")})
	require.NoError(t, err)
	for _, c := range []string{readOne, "00B000000383010300", "00B000000383010400", "00B0000006730463657274 00", "00CBC3000383010100"} {
		want(t, a, c, "6984")
	}
	require.Equal(t, "old", string(ask(t, a, readTwo)), "others go on")
	ask(t, a, "00CB010000")

	_, err = a.BeginUpdate()
	require.ErrorIs(t, err, applet.ErrUpdate)
	require.ErrorIs(t, a.Put(file(2, "x")), applet.ErrUpdate)
	_, err = a.GenerateKey(t.Context(), []byte{1})
	require.ErrorIs(t, err, applet.ErrUpdate)

	require.NoError(t, u.End())
	require.ErrorIs(t, u.End(), applet.ErrUpdate)
	u.Abort()
	want(t, a, readOne, fmt.Sprintf("%X63CF", "new")) // once
	want(t, a, readOne, fmt.Sprintf("%X9000", "new"))
	want(t, a, "00B000030383010400", "6989") // beyond the end: the command failed
	want(t, a, "00B000030383010400", "6A86")
	want(t, a, "00B000000383010300", "6A82")
	want(t, a, readTwo, fmt.Sprintf("%X9000", "old"))

	require.NoError(t, a.Update(file(1, "new")))
	want(t, a, readOne, fmt.Sprintf("%X63CF", "new"))
	want(t, a, "00700003", "9000") // has nothing to do with it

	u, err = a.BeginUpdate(file(1, "newer"))
	require.NoError(t, err)
	u.Abort()
	want(t, a, readOne, fmt.Sprintf("%X9000", "new"))
	u, err = a.BeginUpdate(file(1, "newer"))
	require.NoError(t, err)
	a.Reset()
	require.ErrorIs(t, u.End(), applet.ErrUpdate, "lost with the power")
	want(t, a, "00A4040007"+gsmaAID, "9000")
	want(t, a, readOne, fmt.Sprintf("%X9000", "new"))
}

func TestUpdateThatFailsCommands(t *testing.T) {
	t.Parallel()
	a := selected(t, applet.Config{
		Quirks:  applet.Quirks{FailAfterUpdate: true},
		Objects: []applet.Object{file(1, "old"), applet.PrivateKey{ID: []byte{4}}},
	})
	require.NoError(t, a.Update(file(1, "new"), applet.PrivateKey{ID: []byte{4}}))
	want(t, a, readOne, "6989")
	require.Equal(t, "new", string(ask(t, a, readOne)))
	want(t, a, "00B900000384010400", "6989")
	want(t, a, "00CD00000385010400", "6A82") // nothing was made
	ask(t, a, "00B900000384010400")
}

// Who has to ask again, with another length, is told then.
func TestUpdateAndWrongLe(t *testing.T) {
	t.Parallel()
	a := selected(t, applet.Config{Quirks: applet.Quirks{ExactLe: true}, Objects: []applet.Object{file(1, "old")}})
	require.NoError(t, a.Update(file(1, "new")))
	want(t, a, readOne[:len(readOne)-2]+"10", "6C03")
	want(t, a, readOne[:len(readOne)-2]+"03", fmt.Sprintf("%X63CF", "new"))
	want(t, a, readOne, fmt.Sprintf("%X9000", "new"))
}

// Sessions do not outlive the key that they began with.
func TestUpdateEndsSessions(t *testing.T) {
	t.Parallel()
	old, key := ecKey(t), ecKey(t)
	a := selected(t, applet.Config{Objects: []applet.Object{
		applet.PrivateKey{ID: []byte{1}, Key: old}, applet.PublicKey{ID: []byte{5}},
	}})
	init, digest := "002A00000D840101A1010391020001920104", sha256.Sum256(nil)
	update := command("002B8000", tlv("9E", digest[:]))
	want(t, a, init, "9000")
	want(t, a, "0024000103850105", "9000")
	u, err := a.BeginUpdate(applet.PrivateKey{ID: []byte{1}, Key: key})
	require.NoError(t, err)
	want(t, a, update, "6984")
	want(t, a, init, "6984")
	want(t, a, command("00D88001", point(t, &old.PublicKey)), "9000")
	require.NoError(t, u.End())
	want(t, a, update, "6989")
	want(t, a, update, "6985")
	want(t, a, init, "9000") // told already
	sig := ask(t, a, update)
	verifyRaw(t, &key.PublicKey, digest[:], sig[3:])

	require.NoError(t, a.Update(applet.PrivateKey{ID: []byte{1}, Key: old}))
	want(t, a, init, "63CF")
	want(t, a, init, "9000")
	require.NoError(t, a.Update(applet.Removal{Object: applet.PrivateKey{ID: []byte{1}}}))
	want(t, a, update, "6989")
	want(t, a, init, "6A82")

	// A key pair is not made over a public key that is being replaced.
	require.NoError(t, a.Put(applet.PrivateKey{ID: []byte{5}}))
	u, err = a.BeginUpdate(applet.PublicKey{ID: []byte{5}})
	require.NoError(t, err)
	want(t, a, "00B900000384010500", "6984")
	require.NoError(t, u.End())
}

// End puts all objects or none.
func TestUpdateIsAtomic(t *testing.T) {
	t.Parallel()
	a := selected(t, applet.Config{
		Limits:  applet.Limits{PublicKeys: 1},
		Objects: []applet.Object{file(1, "old"), applet.PrivateKey{ID: []byte{4}}},
	})
	u, err := a.BeginUpdate(file(1, "new"), applet.PublicKey{ID: []byte{9}})
	require.NoError(t, err)
	ask(t, a, "00B900000384010400") // takes the place
	require.ErrorIs(t, u.End(), applet.ErrFull)
	require.Equal(t, "old", string(ask(t, a, readOne)))
	require.ErrorIs(t, a.Update(file(1, "new"), applet.PublicKey{ID: []byte{9}}), applet.ErrFull)
	require.ErrorIs(t, a.Put(file(1, "new"), applet.PublicKey{ID: []byte{9}}), applet.ErrFull)
	require.Equal(t, "old", string(ask(t, a, readOne)))

	var wg sync.WaitGroup
	wg.Go(func() {
		for range 50 {
			require.NoError(t, a.Update(file(1, strings.Repeat("a", 100)), file(2, strings.Repeat("a", 100))))
			require.NoError(t, a.Update(file(1, strings.Repeat("b", 100)), file(2, strings.Repeat("b", 100))))
		}
	})
	for range 100 {
		data, sw := send(t, a, readOne)
		require.Contains(t, []string{"9000", "63CF", "6984"}, sw)
		if sw != "6984" && string(data) != "old" {
			require.Equal(t, bytes.Repeat(data[:1], 100), data)
		}
	}
	wg.Wait()
}

func TestObjectsRefused(t *testing.T) {
	t.Parallel()
	key, other := ecKey(t), ecKey(t)
	agree, err := other.ECDH()
	require.NoError(t, err)
	for rule, o := range map[string]applet.Object{
		"nil":                           nil,
		"no ID":                         applet.File{Data: []byte{1}},
		"an ID of 21 bytes":             applet.File{ID: make([]byte, 21)},
		"a label of 61 bytes":           applet.File{ID: []byte{1}, Label: strings.Repeat("x", 61)},
		"a file of 65,536 bytes":        applet.File{ID: []byte{1}, Data: make([]byte, 1<<16)},
		"an empty secret":               applet.Secret{ID: []byte{1}},
		"a secret of 256 bytes":         applet.Secret{ID: []byte{1}, Key: make([]byte, 256)},
		"a public key of no curve":      applet.PublicKey{ID: []byte{1}, Key: &ecdsa.PublicKey{}},
		"a private key's public ID":     applet.PrivateKey{ID: []byte{1}, Public: make([]byte, 21)},
		"an exchanger of another key":   applet.PrivateKey{ID: []byte{1}, Key: signerOnly{key}, Exchanger: agree},
		"a removal of nothing":          applet.Removal{},
		"a removal of a removal":        applet.Removal{Object: applet.Removal{}},
		"a removal without an ID":       applet.Removal{Object: applet.File{}},
		"a private key without a label": applet.PrivateKey{Label: "x", Key: key},
	} {
		_, err := applet.New(applet.Config{Objects: []applet.Object{o}})
		require.ErrorIs(t, err, applet.ErrObject, rule)
	}
	_, err = applet.New(applet.Config{Objects: []applet.Object{file(1, "a"), file(1, "b")}})
	require.ErrorIs(t, err, applet.ErrObject, "twice")
	_, err = applet.New(applet.Config{Objects: []applet.Object{
		applet.File{ID: []byte{1}, Label: "x"}, applet.File{ID: []byte{2}, Label: "x"},
	}})
	require.ErrorIs(t, err, applet.ErrObject, "a label twice")
	for rule, cfg := range map[string]applet.Config{
		"a negative limit": {Limits: applet.Limits{Files: -1}},
		"too many files":   {Limits: applet.Limits{Files: 256}},
		"a short AID":      {Quirks: applet.Quirks{AIDs: [][]byte{{1, 2, 3, 4}}}},
		"wide IDs":         {Quirks: applet.Quirks{IDWidth: 21}},
		"large files":      {Quirks: applet.Quirks{FileSize: 1 << 16}},
		"large chunks":     {Quirks: applet.Quirks{Chunk: 257}},
	} {
		_, err := applet.New(cfg)
		require.ErrorIs(t, err, applet.ErrConfig, rule)
	}
}

// Nothing prints a private key or a secret.
func TestSecretsAreNotShown(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	secret := applet.Secret{ID: []byte{1}, Key: []byte("very secret")}
	objects := append(w.objects(t), secret)
	a, err := applet.New(applet.Config{Objects: objects})
	require.NoError(t, err)
	d, err := w.key.Bytes()
	require.NoError(t, err)
	number := new(big.Int).SetBytes(d).String()
	for _, o := range objects {
		text := fmt.Sprintf("%v %+v %#v %s %x %v", o, o, o, o, o, &o)
		j, err := json.Marshal(o)
		require.NoError(t, err)
		for _, shown := range []string{text, string(j)} {
			require.NotContains(t, shown, number)
			require.NotContains(t, shown, fmt.Sprintf("%x", d))
			require.NotContains(t, shown, "very secret")
			require.NotContains(t, shown, fmt.Sprintf("%x", "very secret"))
		}
	}
	text := fmt.Sprintf("%v %+v %#v", a, a, a)
	require.NotContains(t, text, number)
	require.NotContains(t, text, "very secret")
	require.Equal(t, "private key 01", applet.PrivateKey{ID: []byte{1}}.LogValue().String())
}

func TestFaults(t *testing.T) {
	t.Parallel()
	var slept time.Duration
	a := selected(t, applet.Config{
		Objects: []applet.Object{file(1, "x"), applet.PrivateKey{ID: []byte{4}}},
		Sleep: func(_ context.Context, d time.Duration) error {
			slept += d
			return nil
		},
	})
	a.SetFaults(applet.Faults{Delay: time.Second, Status: func(c []byte) uint16 {
		if c[1] == 0xB0 {
			return 0x6400
		}
		return 0
	}})
	want(t, a, readOne, "6400")
	require.Len(t, ask(t, a, "0084000001"), 1)
	require.Equal(t, 2*time.Second, slept)

	for _, done := range []bool{false, true} {
		a.SetFaults(applet.Faults{RemoveAt: 2, RemoveDone: done})
		before := a.Changed()
		ask(t, a, "0084000001")
		_, err := a.Transmit(t.Context(), unhex(t, "00B900000384010400"))
		require.ErrorIs(t, err, applet.ErrRemoved)
		_, err = a.Transmit(t.Context(), unhex(t, "0084000001"))
		require.ErrorIs(t, err, applet.ErrRemoved)
		require.Equal(t, done, a.Changed() > before)
		a.Reset()
		want(t, a, "0084000001", "6985")
		want(t, a, "00A4040007"+gsmaAID, "9000")
	}
	ctx, stop := context.WithCancel(t.Context())
	stop()
	_, err := a.Transmit(ctx, unhex(t, "0084000001"))
	require.ErrorIs(t, err, context.Canceled)
	real, err := applet.New(applet.Config{})
	require.NoError(t, err)
	real.SetFaults(applet.Faults{Delay: time.Hour})
	_, err = real.Transmit(ctx, unhex(t, "0084000001"))
	require.ErrorIs(t, err, context.Canceled)
	real.SetFaults(applet.Faults{Delay: time.Nanosecond})
	want(t, real, "0084000001", "6985")
}

// The card makes the key, and the registry certifies it without ever having it.
func TestKeyOnCard(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	a := selected(t, applet.Config{})
	id := []byte{1}
	_, err := a.CSR(id, name)
	require.ErrorIs(t, err, applet.ErrObject, "there is no key yet")
	public, err := a.GenerateKey(t.Context(), id)
	require.NoError(t, err)
	_, err = a.GenerateKey(t.Context(), id)
	require.ErrorIs(t, err, applet.ErrObject, "nor is it replaced")
	want(t, a, "00B900000384010100", "6985")
	der, err := a.CSR(id, name)
	require.NoError(t, err)
	request, err := x509.ParseCertificateRequest(der)
	require.NoError(t, err)
	require.NoError(t, request.CheckSignature())
	require.True(t, public.Equal(request.PublicKey))
	require.Equal(t, []string{name}, request.DNSNames)
	require.Equal(t, name, request.Subject.CommonName)

	p := w.issue(t, request.PublicKey)
	_, err = applet.CIRA(p, applet.CIRAOptions{})
	require.ErrorIs(t, err, applet.ErrProfile, "whose key is it?")
	objects, err := applet.CIRA(p, applet.CIRAOptions{Card: a})
	require.NoError(t, err)
	require.NoError(t, a.Put(objects...))
	want(t, a, "002A00000D840101A1010391020001920104", "9000")
	digest := sha256.Sum256([]byte("text"))
	sig := ask(t, a, command("002B8000", tlv("9E", digest[:])))
	leaf, err := p.Leaf()
	require.NoError(t, err)
	verifyRaw(t, leaf.PublicKey.(*ecdsa.PublicKey), digest[:], sig[3:])
	require.Equal(t, p.Certificate, readAll(t, a, len(p.Certificate), "02"))

	_, err = applet.CIRA(w.issue(t, ecKey(t).Public()), applet.CIRAOptions{Card: a})
	require.ErrorIs(t, err, applet.ErrProfile, "another key than the card's")
	_, err = applet.CIRA(p, applet.CIRAOptions{Card: newCard(t, applet.Config{})})
	require.ErrorIs(t, err, applet.ErrProfile, "a card without a key")

	full := newCard(t, applet.Config{Limits: applet.Limits{PublicKeys: 1}})
	_, err = full.GenerateKey(t.Context(), id)
	require.NoError(t, err)
	_, err = full.GenerateKey(t.Context(), []byte{2})
	require.ErrorIs(t, err, applet.ErrFull)
	_, err = full.GenerateKey(t.Context(), nil)
	require.ErrorIs(t, err, applet.ErrObject)
	long, err := a.CSR(id, "11."+strings.Repeat("1", 62)+"."+zone)
	require.NoError(t, err)
	request, err = x509.ParseCertificateRequest(long)
	require.NoError(t, err)
	require.Empty(t, request.Subject.CommonName)
}

// CIRA's containers, as its prototype reads them.
func TestCIRAContainers(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	a := selected(t, applet.Config{Quirks: applet.CIRACard(), Objects: w.objects(t)})
	read := func(id string) []byte { return trimZeros(readAll(t, a, 2048, id)) }
	require.Equal(t, w.profile.Certificate, read("02"))
	require.Equal(t, w.authority.Root().Raw, read("03"))
	require.Equal(t, w.authority.Root().Raw, read("06"))
	require.Equal(t, w.authority.Issuer().Raw, read("07"))
	require.Equal(t, `{"url":"parkoserv.ca","port":443}`, string(read("08")))
	for signature, text := range map[string]string{"09": "08", "0A": "03"} {
		digest := sha256.Sum256(read(text))
		require.True(t, ecdsa.VerifyASN1(&w.issuer.PublicKey, digest[:], read(signature)), signature)
	}
	require.True(t, w.key.PublicKey.Equal(parsePoint(t, ask(t, a, "00CD00000385010100"))))

	// The next profile has no provider's certificate and nobody signs it.
	next := w.issue(t, w.key.Public())
	next.PrivateKey, next.ASPCertificates, next.Host = w.profile.PrivateKey, nil, "carparkserv.ca"
	objects, err := applet.CIRA(next, applet.CIRAOptions{})
	require.NoError(t, err)
	require.NoError(t, a.Update(objects...))
	data, sw := send(t, a, command("00B00000", "830108"))
	require.Equal(t, "63CF", sw)
	require.Equal(t, `{"url":"carparkserv.ca","port":443}`, string(trimZeros(data)))
	for _, gone := range []string{"03", "09", "0A"} {
		want(t, a, command("00B00000", "8301"+gone), "6A82")
	}

	for rule, change := range map[string]func(){
		"no certificates":              func() { next.CACertificates = nil },
		"an intermediate":              func() { next.CACertificates = append(w.authority.Chain(), w.authority.Root().Raw) },
		"two of the provider":          func() { next.ASPCertificates = w.authority.Chain() },
		"a private key that is none":   func() { next.PrivateKey = []byte{1} },
		"a certificate that is none":   func() { next.Certificate = []byte{1} },
		"another's private key":        func() { next.Certificate = w.issue(t, ecKey(t).Public()).Certificate },
		"a certificate of another key": func() { next.PrivateKey = nil },
	} {
		saved := *next
		change()
		_, err := applet.CIRA(next, applet.CIRAOptions{Card: a})
		if rule == "a certificate of another key" {
			require.NoError(t, err, "it is the card's")
		} else {
			require.ErrorIs(t, err, applet.ErrProfile, rule)
		}
		*next = saved
	}
	_, err = applet.CIRA(next, applet.CIRAOptions{Issuer: w.key})
	require.ErrorIs(t, err, applet.ErrProfile, "another issuer")
	_, err = applet.CIRA(next, applet.CIRAOptions{Issuer: w.issuer})
	require.NoError(t, err)
}
