package iotsafe_test

import (
	"bytes"
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/iotregistry/sdk/profile/iotsafe"
	"github.com/iotregistry/sdk/profile/iotsafe/applet"
)

var errLost = errors.New("the line is noisy")

func TestNoApplet(t *testing.T) {
	t.Parallel()
	w := newWorld(t, applet.Quirks{AIDs: [][]byte{{0xA0, 0, 0, 0, 0x77, 1}}})
	_, err := iotsafe.Open(t.Context(), w.card, iotsafe.Options{})
	require.ErrorIs(t, err, iotsafe.ErrNoApplet)
	require.ErrorContains(t, err, "is it this SIM?")
	c, err := iotsafe.Open(t.Context(), w.card, iotsafe.Options{AIDs: [][]byte{{0xA0, 0, 0, 0, 0x77, 1}}})
	require.NoError(t, err)
	require.NoError(t, c.Close())
	require.NoError(t, c.Close(), "closing twice does no harm")
	_, err = c.Random(t.Context(), 1)
	require.ErrorIs(t, err, iotsafe.ErrClosed)
}

func TestOptionsAreChecked(t *testing.T) {
	t.Parallel()
	w := newWorld(t, applet.StandardCard())
	for name, opts := range map[string]iotsafe.Options{
		"chunk too small":   {Chunk: 3},
		"chunk too large":   {Chunk: 256},
		"file too large":    {MaxFile: 1 << 20},
		"negative time":     {Timeout: -1},
		"AID of four bytes": {AIDs: [][]byte{{1, 2, 3, 4}}},
	} {
		_, err := iotsafe.Open(t.Context(), w.card, opts)
		require.ErrorIs(t, err, iotsafe.ErrArgument, name)
	}
	_, err := iotsafe.Open(t.Context(), nil, iotsafe.Options{})
	require.ErrorIs(t, err, iotsafe.ErrArgument)
}

// Quirks that the simulated applet does not have are put in front of it.
func TestQuirksOnTheWay(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		before func(command []byte) []byte
		after  func(command, response []byte) ([]byte, error)
		learnt func(iotsafe.Quirks) bool
	}{
		"no logical channels: the basic one": {
			before: refuse(0x70, "\x68\x81"), learnt: func(q iotsafe.Quirks) bool { return q.Channel == 0 },
		},
		"channels of the card, not of the modem": {
			before: refuse(0x70, "\x6D\x00"), learnt: func(q iotsafe.Quirks) bool { return q.Channel == 0 },
		},
		"an applet for the basic channel only": {
			before: func(b []byte) []byte {
				if is(b, 0xA4) && b[0] != 0 {
					return []byte{0x6A, 0x82}
				}
				return nil
			}, learnt: func(q iotsafe.Quirks) bool { return q.Channel == 0 },
		},
		"proprietary class only": {
			before: func(b []byte) []byte {
				if b[0] < 0x80 && !is(b, 0x70) && !is(b, 0xA4) {
					return []byte{0x6E, 0}
				}
				return nil
			}, learnt: func(q iotsafe.Quirks) bool { return q.ProprietaryClass && !q.PlainGetResponse },
		},
		"proprietary class, but not for GET RESPONSE": {
			before: func(b []byte) []byte {
				if b[0] < 0x80 && !is(b, 0x70) && !is(b, 0xA4) && !is(b, 0xC0) || is(b, 0xC0) && b[0] >= 0x80 {
					return []byte{0x6E, 0}
				}
				return nil
			}, learnt: func(q iotsafe.Quirks) bool { return q.ProprietaryClass && q.PlainGetResponse },
		},
		"no length for the answer": {
			before: func(b []byte) []byte {
				if len(b) > 5 && len(b) == 5+int(b[4])+1 {
					return []byte{0x67, 0}
				}
				return nil
			}, learnt: func(q iotsafe.Quirks) bool { return q.NoLe },
		},
		"sessions from 1 on": {
			before: func(b []byte) []byte {
				if is(b, 0x2A) && b[3] == 0 {
					return []byte{0x6A, 0x86}
				}
				return nil
			}, learnt: func(q iotsafe.Quirks) bool { return q.Session == 1 },
		},
		"sessions that stay open": {before: staysOpen(), learnt: func(q iotsafe.Quirks) bool { return q.CloseSessions }},
		"SHA-256 only": {
			before: func(b []byte) []byte {
				if is(b, 0x2A) && bytes.Contains(b, []byte{0x91, 2, 0, 2}) {
					return []byte{0x6A, 0x80}
				}
				return nil
			}, learnt: func(q iotsafe.Quirks) bool { return q.OnlySHA256 },
		},
		"a modem that cuts at 256 characters": {
			after: func(_, r []byte) ([]byte, error) {
				if len(r) > 128 {
					return nil, iotsafe.ErrTruncated
				}
				return r, nil
			}, learnt: func(q iotsafe.Quirks) bool { return q.Chunk == 120 },
		},
		"a modem that cuts at 110 characters": {
			after: func(b, r []byte) ([]byte, error) {
				if len(r) > 55 && !is(b, 0x2B) && !is(b, 0xCD) {
					return nil, iotsafe.ErrTruncated
				}
				return r, nil
			}, learnt: func(q iotsafe.Quirks) bool { return q.Chunk == 50 },
		},
		"signatures without a tag": {
			after: func(b, r []byte) ([]byte, error) {
				if is(b, 0x2B) && len(r) > 5 {
					return r[3:], nil
				}
				return r, nil
			}, learnt: func(q iotsafe.Quirks) bool { return q.Signature == iotsafe.SignatureBare },
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			quirks := applet.StandardCard()
			if strings.Contains(name, "GET RESPONSE") {
				quirks.Answers = applet.AnswersFetch
			}
			w := newWorld(t, quirks)
			x := &transport{card: w.card, after: c.after}
			if c.before != nil {
				x.before = func(_ int, b []byte) ([]byte, error) { return c.before(b), nil }
			}
			client, err := iotsafe.Open(t.Context(), x, iotsafe.Options{Sleep: noSleep})
			require.NoError(t, err)
			wantProfile(t, w, client)
			wantSignatures(t, w, client)
			require.True(t, c.learnt(client.Quirks()), client.Quirks())
		})
	}
}

// refuse answers one instruction with a status word.
func refuse(ins byte, sw string) func([]byte) []byte {
	return func(b []byte) []byte {
		if is(b, ins) {
			return []byte(sw)
		}
		return nil
	}
}

// staysOpen refuses to open a signature's session that was not closed.
func staysOpen() func([]byte) []byte {
	var mu sync.Mutex
	open := false
	return func(b []byte) []byte {
		mu.Lock()
		defer mu.Unlock()
		switch {
		case is(b, 0x2A) && b[2] == 0 && open:
			return []byte{0x69, 0x85}
		case is(b, 0x2A):
			open = b[2] == 0
		}
		return nil
	}
}

// What is harmless is repeated, what is not is left to the caller.
func TestLostAnswers(t *testing.T) {
	t.Parallel()
	w := newWorld(t, applet.StandardCard())
	c, x := w.open(t, iotsafe.Options{})
	lose := func(ins byte, times int) {
		x.interfere(func(_ int, b []byte) ([]byte, error) {
			if is(b, ins) && times > 0 {
				times--
				return nil, errLost
			}
			return nil, nil
		})
	}
	lose(0xB0, 2)
	_, err := c.ReadFile(t.Context(), iotsafe.Container(2))
	require.NoError(t, err)
	lose(0x2B, 1)
	wantSignatures(t, w, c)
	lose(0xB0, 3)
	_, err = c.ReadFile(t.Context(), iotsafe.Container(2))
	require.ErrorIs(t, err, errLost)
	lose(0xB9, 1)
	_, err = c.GenerateKey(t.Context(), iotsafe.Container(23))
	require.ErrorIs(t, err, errLost)
	require.Equal(t, 1, x.commands(), "a key is made once")
}

// One lost answer neither keeps a client from opening nor teaches it a quirk.
func TestLostAnswersWhileOpening(t *testing.T) {
	t.Parallel()
	w := newWorld(t, applet.StandardCard())
	c, x := w.open(t, iotsafe.Options{})
	want := c.Quirks()
	for lost := 1; ; lost++ {
		w.card.Reset()
		x.interfere(func(n int, _ []byte) ([]byte, error) {
			if n == lost {
				return nil, errLost
			}
			return nil, nil
		})
		again, err := iotsafe.Open(t.Context(), x, iotsafe.Options{Sleep: noSleep})
		require.NoError(t, err, lost)
		got := again.Quirks()
		if lost > 1 {
			require.Equal(t, want, got, lost)
		}
		if x.commands() < lost {
			break
		}
	}
}

// An update that is told while the client opens is no quirk of the card.
func TestUpdateWhileOpening(t *testing.T) {
	t.Parallel()
	w := newWorld(t, applet.Quirks{NoGetData: true, IDWidth: 2})
	require.NoError(t, w.card.Update(w.objects(t, w.profile)...))
	c, _ := w.open(t, iotsafe.Options{})
	require.Equal(t, 2, c.Quirks().IDWidth)
	wantProfile(t, w, c)
}

func TestCardRemovedDuringASignature(t *testing.T) {
	t.Parallel()
	w := newWorld(t, applet.StandardCard())
	c, x := w.open(t, iotsafe.Options{})
	signer, err := c.Signer(t.Context(), iotsafe.Container(1))
	require.NoError(t, err)
	w.card.SetFaults(applet.Faults{RemoveAt: 2})
	x.interfere(nil)
	digest := sha256.Sum256([]byte("x"))
	_, err = signer.Sign(nil, digest[:], crypto.SHA256)
	require.ErrorIs(t, err, iotsafe.ErrCardRemoved)
	require.LessOrEqual(t, x.commands(), 3, "nobody asks a card that is not there")
	w.card.SetFaults(applet.Faults{})
	w.card.Reset()
	_, err = signer.Sign(nil, digest[:], crypto.SHA256)
	require.NoError(t, err, "the applet is selected again after a reset")
	pair, err := c.GenerateKey(t.Context(), iotsafe.Container(23))
	require.NoError(t, err)
	w.card.Reset()
	_, err = c.GenerateKey(t.Context(), pair.Private)
	require.NoError(t, err, "what was refused was not carried out")
}

func TestResetThatTheTransportTells(t *testing.T) {
	t.Parallel()
	w := newWorld(t, applet.StandardCard())
	c, x := w.open(t, iotsafe.Options{})
	once := func(ins byte) {
		done := false
		x.interfere(func(_ int, b []byte) ([]byte, error) {
			if is(b, ins) && !done {
				done = true
				w.card.Reset()
				return nil, iotsafe.ErrCardReset
			}
			return nil, nil
		})
	}
	once(0xB0)
	_, err := c.ReadFile(t.Context(), iotsafe.Container(2))
	require.NoError(t, err)
	once(0xB9)
	_, err = c.GenerateKey(t.Context(), iotsafe.Container(23))
	require.ErrorIs(t, err, iotsafe.ErrCardReset)
	_, err = c.GenerateKey(t.Context(), iotsafe.Container(23))
	require.NoError(t, err)
}

func TestStatusWordsAreNamed(t *testing.T) {
	t.Parallel()
	w := newWorld(t, applet.StandardCard())
	c, x := w.open(t, iotsafe.Options{})
	for name, row := range map[string]struct {
		sw   string
		want error
	}{
		"not found":                   {"\x6A\x82", iotsafe.ErrNotFound},
		"update going on":             {"\x69\x84", iotsafe.ErrChanged},
		"update done, command failed": {"\x69\x89", iotsafe.ErrChanged},
		"update done":                 {"\x63\xCF", iotsafe.ErrChanged},
	} {
		x.interfere(func(int, []byte) ([]byte, error) { return []byte(row.sw), nil })
		_, err := c.PublicKey(t.Context(), iotsafe.Container(1))
		require.ErrorIs(t, err, row.want, name)
		var refused *iotsafe.StatusError
		require.ErrorAs(t, err, &refused)
		require.Equal(t, "READ PUBLIC KEY", refused.Command)
		require.Equal(t, 1, x.commands(), "a refusal is not repeated")
	}
	x.interfere(func(int, []byte) ([]byte, error) { return []byte{0x6F, 0}, nil })
	_, err := c.PublicKey(t.Context(), iotsafe.Container(1))
	require.EqualError(t, err, "iotsafe: READ PUBLIC KEY: card answered 6F00 (no precise diagnosis)")
}

func TestAnswersThatAreNone(t *testing.T) {
	t.Parallel()
	w := newWorld(t, applet.StandardCard())
	c, x := w.open(t, iotsafe.Options{})
	digest := sha256.Sum256([]byte("x"))
	signer, err := c.Signer(t.Context(), iotsafe.Container(1))
	require.NoError(t, err)
	for name, answer := range map[string]string{
		"no status word":        "\x90",
		"a status word alone":   "\x90\x00",
		"random bytes":          "\x51\x07\xFE\x33\x90\x00",
		"an empty signature":    "\x33\x00\x00\x90\x00",
		"half a signature":      "\x33\x00\x20" + strings.Repeat("x", 32) + "\x90\x00",
		"an answer without end": "\x61\x10",
	} {
		x.interfere(func(_ int, b []byte) ([]byte, error) {
			if is(b, 0x2A) {
				return nil, nil
			}
			return []byte(answer), nil
		})
		_, err := signer.Sign(nil, digest[:], crypto.SHA256)
		require.ErrorIs(t, err, iotsafe.ErrMalformed, name)
		_, err = c.PublicKey(t.Context(), iotsafe.Container(1))
		require.ErrorIs(t, err, iotsafe.ErrMalformed, name)
	}
	x.interfere(func(_ int, b []byte) ([]byte, error) {
		if is(b, 0x2B) {
			return []byte("\x33\x00\x40" + strings.Repeat("x", 64) + "\x90\x00"), nil
		}
		return nil, nil
	})
	_, err = signer.Sign(nil, digest[:], crypto.SHA256)
	require.ErrorIs(t, err, iotsafe.ErrSignature, "a signature by another key")
}

func TestRandomThatIsNone(t *testing.T) {
	t.Parallel()
	for name, answer := range map[string]string{
		"zeros":          strings.Repeat("\x00", 255),
		"zeros at end":   strings.Repeat("x", 20) + strings.Repeat("\x00", 8),
		"the same again": "0123456789abcdef",
	} {
		w := newWorld(t, applet.StandardCard())
		c, x := w.open(t, iotsafe.Options{})
		x.interfere(func(_ int, b []byte) ([]byte, error) {
			return append([]byte(answer[:min(len(answer), int(b[len(b)-1]))]), 0x90, 0), nil
		})
		_, err := c.Random(t.Context(), 300)
		require.ErrorIs(t, err, iotsafe.ErrRandom, name)
	}
}

func TestFiles(t *testing.T) {
	t.Parallel()
	for name, row := range map[string]struct {
		data   string
		quirks applet.Quirks
		want   string
		err    error
	}{
		"text, its size known":             {"hello", applet.Quirks{}, "hello", nil},
		"zeros within":                     {"a\x00\x00", applet.Quirks{}, "a\x00\x00", nil},
		"JSON, padded":                     {`{"a":"}"}`, applet.Quirks{FileSize: 2048}, `{"a":"}"}`, nil},
		"JSON, zeros without end":          {`{"a":1}`, applet.Quirks{NoGetData: true, End: applet.EndZeros}, `{"a":1}`, nil},
		"DER, padded":                      {"\x30\x03\x02\x01\x05", applet.Quirks{FileSize: 1000}, "\x30\x03\x02\x01\x05", nil},
		"text that begins as DER does":     {"0.5 " + strings.Repeat("is the rate ", 60), applet.Quirks{}, "0.5 " + strings.Repeat("is the rate ", 60), nil},
		"text, zeros without end, no size": {"hello", applet.Quirks{NoGetData: true, End: applet.EndZeros}, "", iotsafe.ErrTooLarge},
		"text, no size":                    {"hello", applet.Quirks{NoGetData: true}, "hello", nil},
		"text, no size, empty end":         {"hello", applet.Quirks{NoGetData: true, End: applet.EndEmpty}, "hello", nil},
		"random bytes":                     {"\x7f\x02\xff\x13\x37", applet.Quirks{}, "\x7f\x02\xff\x13\x37", nil},
		"DER that ends too early":          {"\x30\x82\x01\x00xy", applet.Quirks{}, "", iotsafe.ErrMalformed},
		"DER that is too long":             {"\x30\x83\x01\x00\x00xy", applet.Quirks{}, "", iotsafe.ErrTooLarge},
		"JSON that ends too early":         {`{"a":`, applet.Quirks{}, "", iotsafe.ErrMalformed},
		"zeros":                            {"\x00\x00\x00\x00", applet.Quirks{}, "", iotsafe.ErrNotFound},
		"FF":                               {"\xff\xff\xff\xff\xff", applet.Quirks{}, "", iotsafe.ErrNotFound},
		"several chunks":                   {strings.Repeat("0123456789", 70)[1:], applet.Quirks{}, strings.Repeat("0123456789", 70)[1:], nil},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, row.quirks)
			require.NoError(t, w.card.Put(applet.File{ID: []byte{50}, Data: []byte(row.data)}))
			c, x := w.open(t, iotsafe.Options{Retries: -1})
			x.interfere(nil)
			b, err := c.ReadFile(t.Context(), iotsafe.Container(50))
			require.ErrorIs(t, err, row.err)
			require.Equal(t, row.want, string(b))
			require.Less(t, x.commands(), 70)
		})
	}
}

// A card that gives all that was asked for or nothing.
func TestFileOfAStrictCard(t *testing.T) {
	t.Parallel()
	w := newWorld(t, applet.StandardCard())
	c, x := w.open(t, iotsafe.Options{})
	x.interfere(func(_ int, b []byte) ([]byte, error) {
		if is(b, 0xB0) && int(b[2])<<8+int(b[3])+int(b[len(b)-1]) > len(w.profile.Certificate) {
			return []byte{0x67, 0}, nil
		}
		return nil, nil
	})
	b, err := c.ReadFile(t.Context(), iotsafe.Container(2))
	require.NoError(t, err)
	require.Equal(t, w.profile.Certificate, b)
}

// silent is a card that never answers.
type silent struct{ asked chan struct{} }

func (s silent) Transmit(ctx context.Context, _ []byte) ([]byte, error) {
	if s.asked != nil {
		s.asked <- struct{}{}
	}
	<-ctx.Done()
	return nil, ctx.Err()
}

func TestNothingHangs(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		start := time.Now()
		_, err := iotsafe.Open(t.Context(), silent{}, iotsafe.Options{Timeout: 3 * time.Second, Retries: -1})
		require.ErrorIs(t, err, context.DeadlineExceeded)
		require.ErrorContains(t, err, "did not answer within 3s")
		require.Equal(t, 3*time.Second, time.Since(start))

		w := newWorld(t, applet.StandardCard())
		c, x := w.open(t, iotsafe.Options{Sleep: func(ctx context.Context, d time.Duration) error { time.Sleep(d); return ctx.Err() }})
		x.interfere(func(int, []byte) ([]byte, error) { return nil, errLost })
		start = time.Now()
		_, err = c.PublicKey(t.Context(), iotsafe.Container(1))
		require.ErrorIs(t, err, errLost)
		require.Equal(t, 600*time.Millisecond, time.Since(start), "200 ms, then 400")
	})
}

func TestEndedContextsReturnAtOnce(t *testing.T) {
	t.Parallel()
	w := newWorld(t, applet.StandardCard())
	c, x := w.open(t, iotsafe.Options{})
	asked := make(chan struct{})
	x.card = silent{}
	first, endFirst := context.WithCancel(t.Context())
	x.interfere(func(n int, _ []byte) ([]byte, error) {
		if n == 1 {
			close(asked)
		}
		return nil, nil
	})
	result := make(chan error)
	go func() {
		_, err := c.Random(first, 8)
		result <- err
	}()
	<-asked
	second, endSecond := context.WithCancel(t.Context())
	endSecond()
	_, err := c.Random(second, 8)
	require.ErrorIs(t, err, context.Canceled, "while another conversation goes on")
	endFirst()
	require.ErrorIs(t, <-result, context.Canceled)
	x.mu.Lock()
	x.card = w.card
	x.mu.Unlock()
	_, err = c.Random(t.Context(), 8)
	require.NoError(t, err)
}

// IDs of decimal digits, as atsign's client expects them.
func TestIDsOfDigits(t *testing.T) {
	t.Parallel()
	for name, quirks := range map[string]applet.Quirks{"told": {}, "found out": {NoGetData: true}} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, applet.StandardCard())
			var objects []applet.Object
			for _, o := range w.objects(t, w.profile) {
				objects = append(objects, withDigits(o))
			}
			var err error
			w.card, err = applet.New(applet.Config{Quirks: quirks, Objects: objects})
			require.NoError(t, err)
			c, _ := w.open(t, iotsafe.Options{})
			wantProfile(t, w, c)
			wantSignatures(t, w, c)
			require.True(t, c.Quirks().IDDigits)
			require.Contains(t, c.Quirks().String(), "ID 3 digits")
		})
	}
}

func withDigits(o applet.Object) applet.Object {
	digits := func(id []byte) []byte { return fmt.Appendf(nil, "%03d", id[0]) }
	switch o := o.(type) {
	case applet.File:
		o.ID = digits(o.ID)
		return o
	case applet.PrivateKey:
		o.ID = digits(o.ID)
		return o
	case applet.PublicKey:
		o.ID = digits(o.ID)
		return o
	case applet.Secret:
		o.ID = digits(o.ID)
		return o
	}
	return o
}

// A card that tells of all objects but not of one.
func TestFindInTheList(t *testing.T) {
	t.Parallel()
	w := newWorld(t, applet.StandardCard())
	c, x := w.open(t, iotsafe.Options{})
	x.interfere(func(_ int, b []byte) ([]byte, error) {
		if is(b, 0xCB) && b[2] >= 0xC1 {
			return []byte{0x6A, 0x86}, nil
		}
		return nil, nil
	})
	for _, name := range []iotsafe.Name{iotsafe.Container(22), iotsafe.ID(22), iotsafe.Label("notes")} {
		o, err := c.Find(t.Context(), iotsafe.File, name)
		require.NoError(t, err, name)
		require.Equal(t, "notes", o.Label)
		require.Equal(t, len("not a structure at all"), o.Size)
	}
	_, err := c.Find(t.Context(), iotsafe.Secret, iotsafe.Label("notes"))
	require.ErrorIs(t, err, iotsafe.ErrNotFound)
}

func TestArguments(t *testing.T) {
	t.Parallel()
	w := newWorld(t, applet.StandardCard())
	c, x := w.open(t, iotsafe.Options{})
	x.interfere(nil)
	for _, name := range []iotsafe.Name{{}, iotsafe.ID(), iotsafe.ID(make([]byte, 21)...), iotsafe.Label(""), iotsafe.Label(strings.Repeat("x", 61))} {
		_, err := c.ReadFile(t.Context(), name)
		require.ErrorIs(t, err, iotsafe.ErrArgument, name)
	}
	other, err := ecdsa.GenerateKey(elliptic.P384(), rand.Reader)
	require.NoError(t, err)
	_, err = c.SignerFor(iotsafe.Container(1), &other.PublicKey)
	require.ErrorIs(t, err, iotsafe.ErrArgument)
	_, err = c.SignerFor(iotsafe.Container(1), nil)
	require.ErrorIs(t, err, iotsafe.ErrArgument)
	require.ErrorIs(t, c.PutPublicKey(t.Context(), iotsafe.Container(5), &other.PublicKey), iotsafe.ErrArgument)
	require.Zero(t, x.commands(), "the card is not asked")
	require.NoError(t, c.PutPublicKey(t.Context(), iotsafe.Container(5), &w.issuer.PublicKey))
	for _, text := range []string{iotsafe.ID(1, 2).String(), iotsafe.Label("x").String(), iotsafe.Container(3).String(), iotsafe.Name{}.String()} {
		require.Contains(t, `ID 0102, label "x", container 3, no name`, text)
	}
	for kind, text := range map[iotsafe.Kind]string{iotsafe.PrivateKey: "private key", iotsafe.PublicKey: "public key", iotsafe.File: "file", iotsafe.Secret: "secret", 1: "kind 01"} {
		require.Equal(t, text, kind.String())
	}
}

// Signatures come and go with the length that the card writes.
func TestVerifyFindsTheForm(t *testing.T) {
	t.Parallel()
	w := newWorld(t, applet.StandardCard())
	c, x := w.open(t, iotsafe.Options{})
	x.interfere(func(_ int, b []byte) ([]byte, error) {
		if is(b, 0x2D) && bytes.Contains(b, []byte{0x33, 0, 64}) {
			return []byte{0x6A, 0x80}, nil
		}
		return nil, nil
	})
	digest := sha256.Sum256(nil)
	signature, err := ecdsa.SignASN1(rand.Reader, w.issuer, digest[:])
	require.NoError(t, err)
	require.NoError(t, c.Verify(t.Context(), iotsafe.Container(21), digest[:], signature, crypto.SHA256))
}

// Channels from 4 on have another class byte (ETSI TS 102 221).
func TestHighChannels(t *testing.T) {
	t.Parallel()
	w := newWorld(t, applet.StandardCard())
	x := &transport{card: w.card}
	x.before = func(_ int, b []byte) ([]byte, error) {
		if is(b, 0x70) {
			return []byte{5, 0x90, 0}, nil
		}
		require.Equal(t, byte(0x41), b[0])
		b[0] = 1
		return nil, nil
	}
	c, err := iotsafe.Open(t.Context(), x, iotsafe.Options{})
	require.NoError(t, err)
	wantSignatures(t, w, c)
}
