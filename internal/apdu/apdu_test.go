package apdu_test

import (
	"bytes"
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/iotregistry/sdk/internal/apdu"
)

func unhex(t testing.TB, s string) []byte {
	b, err := hex.DecodeString(strings.ReplaceAll(s, " ", ""))
	require.NoError(t, err)
	return b
}

// The seven forms of ISO/IEC 7816-4 section 5.1, and commands seen in the wild.
func TestCommandForms(t *testing.T) {
	t.Parallel()
	long := strings.Repeat("AB", 300)
	for in, want := range map[string]apdu.Command{
		"00700000":                        {INS: 0x70},
		"0070000001":                      {INS: 0x70, Le: 1},
		"80C0000000":                      {CLA: 0x80, INS: 0xC0, Le: 256},
		"01A4040007A0000005590010":        {CLA: 1, INS: 0xA4, P1: 4, Data: unhex(t, "A0000005590010")},
		"81E2910003BF2E00":                {CLA: 0x81, INS: 0xE2, P1: 0x91, Data: unhex(t, "BF2E00")},
		"81CBC30003830102FF":              {CLA: 0x81, INS: 0xCB, P1: 0xC3, Data: unhex(t, "830102"), Le: 255},
		"81CBC3000383010200":              {CLA: 0x81, INS: 0xCB, P1: 0xC3, Data: unhex(t, "830102"), Le: 256},
		"00B00000 000000":                 {INS: 0xB0, Le: 65536, Extended: true},
		"00B00000 000101":                 {INS: 0xB0, Le: 257, Extended: true},
		"00B00000 000001":                 {INS: 0xB0, Le: 1, Extended: true},
		"00D60000 00012C" + long:          {INS: 0xD6, Data: unhex(t, long), Extended: true},
		"00D60000 00012C" + long + "0000": {INS: 0xD6, Data: unhex(t, long), Le: 65536, Extended: true},
		"00D60000 000001AA":               {INS: 0xD6, Data: []byte{0xAA}, Extended: true},
	} {
		got, err := apdu.ParseCommand(unhex(t, in))
		require.NoError(t, err, "%.40s", in)
		require.Equal(t, want, got, "%.40s", in)
		b, err := got.Marshal()
		require.NoError(t, err)
		require.Equal(t, unhex(t, in), b)
	}
	b, err := apdu.Command{INS: 0xD6, Data: unhex(t, long)}.Marshal()
	require.NoError(t, err)
	require.Equal(t, unhex(t, "00D60000 00012C"+long), b, "extended where needed")
	b, err = apdu.Command{INS: 0xB0, Le: 257}.Marshal()
	require.NoError(t, err)
	require.Equal(t, unhex(t, "00B00000 000101"), b)
}

func TestMalformed(t *testing.T) {
	t.Parallel()
	for _, in := range []string{"", "00A404", "00A4040002AA", "00A4040001AABBCC", "00A404000001", "00A40400000002AA",
		"00A40400000001AABB", "00A40400000001AABBCCDD", "00A4040000000000", "00A4040000000000BB"} {
		_, err := apdu.ParseCommand(unhex(t, in))
		require.ErrorIs(t, err, apdu.ErrFormat, in)
	}
	_, err := apdu.ParseCommand(make([]byte, 70000))
	require.ErrorIs(t, err, apdu.ErrFormat)
	for _, n := range []int{0, 1, apdu.MaxLe + 3} {
		_, err := apdu.ParseResponse(make([]byte, n))
		require.ErrorIs(t, err, apdu.ErrFormat)
	}
	for _, c := range []apdu.Command{{Le: -1}, {Le: apdu.MaxLe + 1}, {Data: make([]byte, apdu.MaxData+1)}} {
		_, err := c.Marshal()
		require.ErrorIs(t, err, apdu.ErrFormat)
	}
}

func TestStatus(t *testing.T) {
	t.Parallel()
	for _, s := range []apdu.Status{apdu.OK, 0x9120, apdu.OKAdminDone} {
		require.NoError(t, s.Err())
	}
	for _, s := range []apdu.Status{apdu.NotFound, apdu.MoreData, 0x6100, 0x6C10, 0, 0x9100 - 1, 0x9001} {
		require.ErrorIs(t, fmt.Errorf("x: %w", s.Err()), s)
	}
	require.EqualError(t, apdu.SignatureMismatch, "apdu: card answered 6D01 (signature does not match)")
	require.Equal(t, "6143 (more response data available)", apdu.Status(0x6143).String())
	require.Equal(t, "6C43 (wrong Le)", apdu.Status(0x6C43).String())
	require.Equal(t, "9143 (done, proactive command waiting)", apdu.Status(0x9143).String())
	require.Equal(t, "1234", apdu.Status(0x1234).String())
}

// card answers commands by a table, and notes them.
type card struct {
	answers map[string]string
	sent    []string
	err     error
}

func (c *card) Transmit(_ context.Context, b []byte) ([]byte, error) {
	cmd := strings.ToUpper(hex.EncodeToString(b))
	c.sent = append(c.sent, cmd)
	if c.err != nil {
		return nil, c.err
	}
	return hex.DecodeString(c.answers[cmd])
}

func TestSend(t *testing.T) {
	t.Parallel()
	for _, x := range []struct {
		rule    string
		c       apdu.Command
		answers map[string]string
		data    string
		sw      apdu.Status
	}{
		{"short answer", apdu.Command{INS: 0x84, Le: 4}, map[string]string{"0084000004": "010203049000"}, "01020304", apdu.OK},
		{"61 without data, then two parts, as eUICCs do", apdu.Command{CLA: 0x81, INS: 0xE2, P1: 0x91, Data: []byte{0xBF, 0x2E, 0}},
			map[string]string{"81E2910003BF2E00": "6102", "81C0000002": "AABB6101", "81C0000001": "CC9000"}, "AABBCC", apdu.OK},
		{"61 with data at once", apdu.Command{INS: 0xCB}, map[string]string{"00CB0000": "AA6100", "00C0000000": "BB9120"}, "AABB", 0x9120},
		{"6C names the length", apdu.Command{INS: 0xB0, Le: 256}, map[string]string{"00B0000000": "6C02", "00B0000002": "AABB9000"}, "AABB", apdu.OK},
		{"6C on GET RESPONSE", apdu.Command{INS: 0xCB}, map[string]string{"00CB0000": "6100", "00C0000000": "6C01", "00C0000001": "AA9000"}, "AA", apdu.OK},
		{"the chaining bit is not for GET RESPONSE", apdu.Command{CLA: 0x91, INS: 0xE2}, map[string]string{"91E20000": "6101", "81C0000001": "AA9000"}, "AA", apdu.OK},
		{"refused", apdu.Command{INS: 0xA4}, map[string]string{"00A40000": "6A82"}, "", apdu.NotFound},
		{"refused after a part", apdu.Command{INS: 0xCB}, map[string]string{"00CB0000": "AA6101", "00C0000001": "6F00"}, "AA", apdu.Unknown},
	} {
		k := &card{answers: x.answers}
		r, err := apdu.Send(t.Context(), k, x.c)
		require.Equal(t, x.sw.Err(), err, x.rule)
		require.Equal(t, x.sw, r.SW, x.rule)
		require.Equal(t, x.data, strings.ToUpper(hex.EncodeToString(r.Data)), x.rule)
		require.Len(t, k.sent, len(x.answers), x.rule)
	}
}

func TestSendIsBounded(t *testing.T) {
	t.Parallel()
	long := strings.Repeat("AA", 40000)
	for rule, answers := range map[string]map[string]string{
		"61 for ever":           {"00CB0000": "6110", "00C0000010": "6110"},
		"61 with data for ever": {"00CB0000": "6100", "00C0000000": long + "6100"},
		"6C for ever":           {"00CB0000": "6C01", "00CB000001": "6C02", "00CB000002": "6C01"},
	} {
		k := &card{answers: answers}
		_, err := apdu.Send(t.Context(), k, apdu.Command{INS: 0xCB})
		require.ErrorIs(t, err, apdu.ErrEndless, rule)
		require.LessOrEqual(t, len(k.sent), 1<<12, rule)
	}
}

func TestSendFails(t *testing.T) {
	t.Parallel()
	gone := errors.New("modem is gone")
	_, err := apdu.Send(t.Context(), &card{err: gone}, apdu.Command{})
	require.ErrorIs(t, err, gone)
	_, err = apdu.Send(t.Context(), &card{}, apdu.Command{})
	require.ErrorIs(t, err, apdu.ErrFormat, "an empty answer")
	_, err = apdu.Send(t.Context(), &card{}, apdu.Command{Le: -1})
	require.ErrorIs(t, err, apdu.ErrFormat)
	ctx, stop := context.WithCancel(t.Context())
	stop()
	k := &card{}
	_, err = apdu.Send(ctx, k, apdu.Command{})
	require.ErrorIs(t, err, context.Canceled)
	require.Empty(t, k.sent)
}

func FuzzCommand(f *testing.F) {
	for _, s := range []string{"00700000", "0070000001", "81E2910003BF2E00", "81CBC3000383010200", "00B00000000000", "00D60000000001AA0000"} {
		f.Add(unhex(f, s))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		c, err := apdu.ParseCommand(b)
		if err != nil {
			require.ErrorIs(t, err, apdu.ErrFormat)
			return
		}
		again, err := c.Marshal()
		require.NoError(t, err)
		require.Equal(t, b, again)
	})
}

func FuzzResponse(f *testing.F) {
	f.Add([]byte{0x90, 0})
	f.Add([]byte{1, 2, 3, 0x61, 0})
	f.Fuzz(func(t *testing.T, b []byte) {
		r, err := apdu.ParseResponse(b)
		if err != nil {
			require.Less(t, len(b), 2)
			return
		}
		require.True(t, bytes.Equal(b, r.Marshal()))
	})
}

func ExampleSend() {
	sim := &card{answers: map[string]string{"01A4040007A0000005590010": "9000"}}
	_, err := apdu.Send(context.Background(), sim, apdu.Command{
		CLA: 1, INS: 0xA4, P1: 4, Data: []byte{0xA0, 0, 0, 5, 0x59, 0, 0x10},
	})
	fmt.Println("selected:", err == nil)
	_, err = apdu.Send(context.Background(), &card{answers: map[string]string{"01A40400": "6A82"}}, apdu.Command{CLA: 1, INS: 0xA4, P1: 4})
	fmt.Println(err, errors.Is(err, apdu.NotFound))
	// Output:
	// selected: true
	// apdu: card answered 6A82 (not found) true
}
