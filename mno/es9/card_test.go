package es9_test

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/iotregistry/sdk/internal/bertlv"
	"github.com/iotregistry/sdk/internal/rsp"
	"github.com/iotregistry/sdk/mno/es9"
)

// card is an eUICC that checks the form of APDUs and answers by the tag of the
// command, a long answer by 61xx and GET RESPONSE.
type card struct {
	t        testing.TB
	answers  map[bertlv.Tag]func(command []byte) ([]byte, int) // data and status word
	segment  func(n int) ([]byte, int)                         // answer to the nth segment of a package
	piece    int                                               // bytes per GET RESPONSE
	before   func(command []byte) error                        // may fail the transport
	channel  byte
	lax      bool     // takes repeated commands, as cards do that answer 6Cxx
	commands [][]byte // whole commands in STORE DATA
	loaded   [][]byte // segments
	open     int

	data, waiting []byte
	blocks        int
}

var _ es9.Transport = (*card)(nil)

func word(sw int) []byte { return []byte{byte(sw >> 8), byte(sw)} }

func (c *card) Transmit(ctx context.Context, b []byte) ([]byte, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	if c.before != nil {
		if err := c.before(b); err != nil {
			return nil, err
		}
	}
	ch := c.channel
	switch {
	case b[1] == 0x70 && b[2] == 0:
		require.Equal(c.t, []byte{0, 0x70, 0, 0, 1}, b)
		c.open++
		return []byte{ch, 0x90, 0}, nil
	case b[1] == 0x70:
		require.Equal(c.t, []byte{0, 0x70, 0x80, ch}, b)
		c.open--
		return word(0x9000), nil
	case b[1] == 0xA4:
		require.Equal(c.t, class(0, ch)+"a4040010a0000005591010ffffffff8900000100", hex.EncodeToString(b))
		c.waiting = fill(0x6F, 3)
		return word(0x6103), nil
	case b[1] == 0xC0:
		require.Contains(c.t, []string{class(0, ch), class(0x80, ch)}, hex.EncodeToString(b[:1]))
		return c.next(), nil
	case b[1] == 0xE2:
		require.Equal(c.t, class(0x80, ch), hex.EncodeToString(b[:1]))
		return c.store(b), nil
	}
	return word(0x6D00), nil
}

func class(base, channel byte) string {
	if channel > 3 {
		base, channel = base|0x40, channel-4
	}
	return hex.EncodeToString([]byte{base | channel})
}

func (c *card) next() []byte {
	n := min(c.piece, len(c.waiting))
	b := append([]byte{}, c.waiting[:n]...)
	if c.waiting = c.waiting[n:]; len(c.waiting) > 0 {
		return append(b, word(0x6100|min(c.piece, len(c.waiting), 255))...)
	}
	return append(b, word(0x9000)...)
}

func (c *card) store(b []byte) []byte {
	if !c.lax {
		require.Equal(c.t, byte(c.blocks), b[3], "block number")
		require.Len(c.t, b[5:], int(b[4]), "Lc, and no Le")
	}
	c.data = append(c.data, b[5:5+b[4]]...)
	c.blocks++
	if b[2] == 0x11 {
		return word(0x9000)
	}
	require.Equal(c.t, byte(0x91), b[2], "P1")
	command := c.data
	c.data, c.blocks = nil, 0
	answer, sw := c.run(command)
	if sw != 0x9000 || len(answer) == 0 {
		return word(sw)
	}
	c.waiting = answer
	return word(0x6100 | min(c.piece, len(answer), 255))
}

func (c *card) run(command []byte) ([]byte, int) {
	tag := bertlv.Tag(command[0])
	if tag&0x1F == 0x1F {
		tag = tag<<8 | bertlv.Tag(command[1])
	}
	if f := c.answers[tag]; f != nil {
		c.commands = append(c.commands, command)
		return f(command)
	}
	switch tag {
	case 0xBF36, 0xA0, 0xA1, 0xA2, 0xA3, 0x86, 0x88:
		c.loaded = append(c.loaded, command)
		return c.segment(len(c.loaded))
	}
	require.True(c.t, c.lax, "unexpected command %X", command)
	return nil, 0x6A80
}

// got returns the commands with one tag.
func (c *card) got(tag bertlv.Tag) [][]byte {
	var list [][]byte
	for _, b := range c.commands {
		if x, _, err := bertlv.Read(b); err == nil && x.Tag == tag {
			list = append(list, b)
		}
	}
	return list
}

func (c *card) always(tag bertlv.Tag, answer []byte) {
	c.answers[tag] = func([]byte) ([]byte, int) { return answer, 0x9000 }
}

func (c *card) refuses(tag bertlv.Tag, sw int) {
	c.answers[tag] = func([]byte) ([]byte, int) { return nil, sw }
}

const segments = 8 // of a package by bind: BF36+BF23, A0, A1, 88, 88, A3, 86, 86

// newCard goes through with everything of m.
func newCard(t testing.TB, m *messages) *card {
	c := &card{t: t, channel: 2, piece: 60, answers: map[bertlv.Tag]func([]byte) ([]byte, int){}}
	c.always(0xBF20, m.initiate.Info1)
	c.always(0xBF2E, encode(t, &rsp.GetEUICCChallengeResponse{Challenge: m.initiate.Challenge}))
	c.always(0xBF38, m.authenticate.Response)
	c.always(0xBF21, m.get.Response)
	c.always(0xBF30, encode(t, &rsp.NotificationSentResponse{}))
	c.answers[0xBF41] = func(b []byte) ([]byte, int) {
		r, err := rsp.Decode[rsp.CancelSessionRequest](b)
		require.NoError(t, err)
		return cancelled(t, r.Reason), 0x9000
	}
	c.segment = func(n int) ([]byte, int) {
		if n == segments {
			return m.installed, 0x9000
		}
		return nil, 0x9000
	}
	return c
}

// scripted answers each command with what comes next in a transcript.
type scripted struct {
	t     *testing.T
	lines []string
}

func (s *scripted) Transmit(_ context.Context, b []byte) ([]byte, error) {
	require.NotEmpty(s.t, s.lines, "unexpected %X", b)
	command, answer, _ := strings.Cut(s.lines[0], " -> ")
	require.Equal(s.t, command, hex.EncodeToString(b))
	s.lines = s.lines[1:]
	return hex.DecodeString(answer)
}

func TestTranscript(t *testing.T) {
	t.Parallel()
	s := &scripted{t: t, lines: []string{
		"0070000001 -> 019000",
		"01a4040010a0000005591010ffffffff8900000100 -> 6102", "01c0000002 -> 6f009000",
		"81e2110002bf3e -> 9000",
		"81e2110102035c -> 9000",
		"81e2910202015a -> 610a",
		"81c000000a -> bf3e125a1089049032126109",
		"81c0000009 -> 3451234512345678906102",
		"81c0000002 -> 6c02", // a card that wants the length again
		"81c0000002 -> 12359000",
		"00708001 -> 9000",
	}}
	id, err := (&es9.LPA{Card: s, Chunk: 2}).EID(t.Context())
	require.NoError(t, err)
	require.Equal(t, "89049032123451234512345678901235", id)
	require.Empty(t, s.lines)
}

func TestChannels(t *testing.T) {
	t.Parallel()
	for _, x := range []struct {
		rule, answer string
		fine         bool
	}{
		{"first class", "039000", true}, {"further class", "049000", true}, {"last", "139000", true},
		{"beyond", "149000", false}, {"the basic channel", "009000", false}, {"none left", "6a81", false}, {"nothing", "9000", false}, {"garbage", "90", false},
	} {
		c := newCard(t, newMessages(t))
		c.always(0xBF3E, encode(t, &rsp.GetEIDResponse{EID: rsp.EID{0x89}}))
		answer, err := hex.DecodeString(x.answer)
		require.NoError(t, err)
		c.channel = answer[0]
		opened := false
		_, err = (&es9.LPA{Card: first{c, answer, &opened}}).EID(t.Context())
		require.Equal(t, x.fine, err == nil, "%s: %v", x.rule, err)
		if !x.fine {
			var ce *es9.CardError
			require.ErrorAs(t, err, &ce, x.rule)
		}
	}
}

// first is a card whose first answer is given.
type first struct {
	es9.Transport
	answer []byte
	done   *bool
}

func (f first) Transmit(ctx context.Context, b []byte) ([]byte, error) {
	if !*f.done {
		*f.done = true
		return f.answer, nil
	}
	return f.Transport.Transmit(ctx, b)
}

func TestManagement(t *testing.T) {
	t.Parallel()
	c := newCard(t, newMessages(t))
	l := &es9.LPA{Card: c, Chunk: 255}
	id := rsp.ICCID(iccid)
	c.always(0xBF2D, encode(t, &rsp.ProfileInfoListResponse{List: []rsp.ProfileInfo{
		{ICCID: &id, AID: fill(0xA0, 16), State: ptr(rsp.StateEnabled), Nickname: ptr("n"), ServiceProvider: ptr("s"), ProfileName: ptr("p"), Class: ptr(rsp.ClassTest)}, {},
	}}))
	list, err := l.ListProfiles(t.Context())
	require.NoError(t, err)
	require.Equal(t, []es9.Profile{
		{ICCID: iccid, AID: fill(0xA0, 16), Enabled: true, Nickname: "n", ServiceProvider: "s", ProfileName: "p", Class: es9.ClassTest},
		{Class: es9.ClassOperational}}, list)
	c.always(0xBF2D, encode(t, &rsp.ProfileInfoListResponse{Error: ptr(1)}))
	_, err = l.ListProfiles(t.Context())
	require.ErrorContains(t, err, "GetProfilesInfo: error 1")

	c.always(0xBF3C, encode(t, &rsp.ConfiguredAddressesResponse{DefaultSMDP: ptr("smdp.example"), RootSMDS: "smds.example"}))
	smdp, smds, err := l.Addresses(t.Context())
	require.NoError(t, err)
	require.Equal(t, []string{"smdp.example", "smds.example"}, []string{smdp, smds})

	for result, want := range map[rsp.ProfileResult]error{
		rsp.ProfileOK: nil, rsp.ProfileNotFound: es9.ErrNoSuchProfile, rsp.ProfileWrongState: es9.ErrWrongState, rsp.ProfilePolicy: es9.ErrPolicy,
	} {
		c.always(0xBF31, encode(t, &rsp.EnableProfileResponse{Result: result}))
		c.always(0xBF32, encode(t, &rsp.DisableProfileResponse{Result: result}))
		c.always(0xBF33, encode(t, &rsp.DeleteProfileResponse{Result: result}))
		require.ErrorIs(t, l.Enable(t.Context(), iccid, true), want)
		require.ErrorIs(t, l.Disable(t.Context(), iccid, false), want)
		require.ErrorIs(t, l.Delete(t.Context(), iccid), want)
	}
	require.Equal(t, "bf3111a00c5a0a984474560000214251f88101ff", hex.EncodeToString(c.got(0xBF31)[0]))
	c.always(0xBF33, encode(t, &rsp.DeleteProfileResponse{Result: rsp.ProfileUndefined}))
	require.ErrorContains(t, l.Delete(t.Context(), iccid), "undefinedError")
	require.Error(t, l.Delete(t.Context(), "no number"))
	require.Zero(t, c.open, "each call closes its channel")
}

func TestLPASettings(t *testing.T) {
	t.Parallel()
	m := newMessages(t)
	_, err := (&es9.LPA{}).EID(t.Context())
	require.ErrorContains(t, err, "Card")
	_, err = (&es9.LPA{Card: newCard(t, m), Chunk: 256}).EID(t.Context())
	require.ErrorContains(t, err, "Chunk")
	_, err = (&es9.LPA{Card: newCard(t, m)}).Download(t.Context(), es9.ActivationCode{Address: address}, nil)
	require.ErrorContains(t, err, "Dial")
	_, err = (&es9.LPA{Card: newCard(t, m)}).Download(t.Context(), es9.ActivationCode{}, nil)
	require.ErrorIs(t, err, es9.ErrActivationCode)
	l := &es9.LPA{Card: newCard(t, m), TAC: []byte{1}, Dial: func(string) (es9.Backend, error) { return &backend{m: m}, nil }}
	_, err = l.Download(t.Context(), es9.ActivationCode{Address: address}, nil)
	require.ErrorContains(t, err, "TAC")
	l.Dial = func(string) (es9.Backend, error) { return nil, errors.New("no network") }
	_, err = l.Download(t.Context(), es9.ActivationCode{Address: address}, nil)
	require.ErrorContains(t, err, "no network")
}

// A card that never comes to an end is left alone.
func TestEndlessCard(t *testing.T) {
	t.Parallel()
	n := 0
	_, err := (&es9.LPA{Card: transmit(func(b []byte) ([]byte, error) {
		n++
		if b[1] == 0x70 {
			return []byte{1, 0x90, 0}, nil
		}
		return append(fill(0, 250), 0x61, 0xFF), nil
	})}).EID(t.Context())
	require.Error(t, err)
	require.Less(t, n, 10000, fmt.Sprint(err))
}

type transmit func([]byte) ([]byte, error)

func (f transmit) Transmit(_ context.Context, b []byte) ([]byte, error) { return f(b) }

// A function that the LPA has no method for goes to the eUICC as it is.
func TestCommand(t *testing.T) {
	t.Parallel()
	c := newCard(t, newMessages(t))
	c.always(0xBF56, []byte{0xBF, 0x56, 3, 0x81, 1, 1})
	l := &es9.LPA{Card: c}
	answer, err := l.Command(t.Context(), "GetCerts", []byte{0xBF, 0x56, 0})
	require.NoError(t, err)
	require.Equal(t, []byte{0xBF, 0x56, 3, 0x81, 1, 1}, answer)
	require.Equal(t, [][]byte{{0xBF, 0x56, 0}}, c.commands)
	c.refuses(0xBF56, 0x6A88)
	_, err = l.Command(t.Context(), "GetCerts", []byte{0xBF, 0x56, 0})
	var ce *es9.CardError
	require.ErrorAs(t, err, &ce)
	require.Equal(t, "GetCerts", ce.Function)
	require.Zero(t, c.open)
	_, err = new(es9.LPA).Command(t.Context(), "GetCerts", nil)
	require.ErrorContains(t, err, "set Card")
}
