package main

import (
	"bytes"
	"context"
	"encoding/hex"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/iotregistry/sdk/internal/apdu"
	"github.com/iotregistry/sdk/mno/es9"
	"github.com/iotregistry/sdk/profile/iotsafe"
	"github.com/iotregistry/sdk/profile/iotsafe/applet"
)

func fields(s string) []string { return strings.Fields(s) }

func demo(t testing.TB) *uicc {
	u, err := newDemo(applet.StandardCard(), time.Now())
	require.NoError(t, err)
	return u
}

const (
	selectSafe = "A4040007A000000559001000"
	selectISDR = "A4040010A0000005591010FFFFFFFF8900000100"
)

// TestUICC: which application answers is a matter of the channel.
func TestUICC(t *testing.T) {
	t.Parallel()
	type step struct{ command, want string } // want is the answer's beginning, or with * its end
	for rule, steps := range map[string][]step{
		"nothing is selected at first":                            {{"0084000008", "6985"}, {"00C0000010", "6985"}},
		"a channel that nobody opened":                            {{"0184000008", "6881"}, {"0170800100", "6985"}},
		"channels are numbered once":                              {{"0070000001", "019000"}, {"0070000001", "029000"}, {"0070000001", "039000"}, {"0070000001", "6A81"}, {"0070800200", "9000"}, {"0070000001", "029000"}},
		"a channel of one's choice":                               {{"00700002", "9000"}, {"00700002", "6985"}, {"0070000001", "019000"}, {"0070000001", "039000"}},
		"wrong channel management":                                {{"00700100", "6A86"}, {"00708000", "6A86"}, {"00700004", "6A86"}, {"0070000001FF", "6700"}, {"00700000", "6C01"}},
		"the applet":                                              {{"00" + selectSafe, "*9000"}, {"0084000004", "*9000"}},
		"the ISD-R":                                               {{"00" + selectISDR, "61"}, {"00C0000000", "*9000"}, {"0084000004", "6D00"}},
		"one on each channel":                                     {{"0070000001", "019000"}, {"01" + selectISDR, "61"}, {"00" + selectSafe, "*9000"}, {"0084000004", "*9000"}, {"0184000004", "6D00"}},
		"the last one selected":                                   {{"00" + selectSafe, "*9000"}, {"00" + selectISDR, "61"}, {"0084000004", "6D00"}, {"00" + selectSafe, "*9000"}, {"0084000004", "*9000"}},
		"an unknown AID leaves what was selected":                 {{"00" + selectSafe, "*9000"}, {"00A4040005A000000099", "6A82"}, {"0084000004", "*9000"}},
		"the provider's five bytes are the applet's":              {{"00A4040005A00000055900", "*9000"}, {"0084000004", "*9000"}},
		"closing forgets":                                         {{"0070000001", "019000"}, {"01" + selectSafe, "*9000"}, {"00708001", "9000"}, {"0184000004", "6881"}, {"0070000001", "019000"}, {"0184000004", "6985"}},
		"the applet may be used on a channel that was not opened": {{"02" + selectSafe, "*9000"}, {"0284000004", "*9000"}, {"0070000001", "019000"}, {"0070000001", "039000"}, {"00708002", "9000"}},
		"the ISD-R may not":                                       {{"02" + selectISDR, "6881"}},
		"terminal capability is the card's":                       {{"80AA000005A903810100", "9000"}, {"00" + selectSafe, "*9000"}, {"80AA000005A903810100", "9000"}, {"0084000004", "*9000"}},
		"further channels and other classes":                      {{"4084000004", "6E00"}, {"A084000004", "6E00"}, {"00", "6700"}, {"", "6700"}},
		"proprietary class":                                       {{"00" + selectSafe, "*9000"}, {"8084000004", "*9000"}},
	} {
		t.Run(rule, func(t *testing.T) {
			t.Parallel()
			u := demo(t)
			for _, s := range steps {
				command, err := hex.DecodeString(s.command)
				require.NoError(t, err)
				b, err := u.Transmit(t.Context(), command)
				require.NoError(t, err)
				got := strings.ToUpper(hex.EncodeToString(b))
				if end, ok := strings.CutPrefix(s.want, "*"); ok {
					require.True(t, strings.HasSuffix(got, end), "%s: %s", s.command, got)
				} else {
					require.True(t, strings.HasPrefix(got, s.want), "%s: %s", s.command, got)
				}
			}
		})
	}
}

// Both applications work at the same time, each for its own client.
func TestUICCTogether(t *testing.T) {
	t.Parallel()
	u := demo(t)
	client, err := iotsafe.Open(t.Context(), u, iotsafe.Options{})
	require.NoError(t, err)
	lpa := &es9.LPA{Card: u}
	for range 5 {
		_, err := lpa.EID(t.Context())
		require.NoError(t, err)
		_, err = client.Profile(t.Context())
		require.NoError(t, err)
	}
	require.NoError(t, client.Close())
	for n := range 3 { // every channel was given back
		r, err := apdu.Send(t.Context(), u, apdu.Command{INS: insManageChannel, Le: 1})
		require.NoError(t, err)
		require.Equal(t, []byte{byte(n + 1)}, r.Data)
	}
}

func TestUICCRemoved(t *testing.T) {
	t.Parallel()
	u := demo(t)
	client, err := iotsafe.Open(t.Context(), u, iotsafe.Options{})
	require.NoError(t, err)
	u.Pull()
	_, err = client.Random(t.Context(), 8)
	require.ErrorIs(t, err, iotsafe.ErrCardRemoved)
	u.Reset()
	_, err = client.Random(t.Context(), 8)
	require.NoError(t, err, "the client selects the applet again")
	security, ok := u.apps[0].(*applet.Applet)
	require.True(t, ok)
	security.SetFaults(applet.Faults{RemoveAt: 1})
	_, err = client.Random(t.Context(), 8)
	require.ErrorIs(t, err, iotsafe.ErrCardRemoved)
	_, err = (&es9.LPA{Card: u}).EID(t.Context())
	require.ErrorIs(t, err, iotsafe.ErrCardRemoved, "there is one card")
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	u.Reset()
	_, err = u.Transmit(ctx, []byte{0, 0xA4, 4, 0, 5, 0xA0, 0, 0, 5, 0x59})
	require.ErrorIs(t, err, context.Canceled)
}

// FuzzUICC: whatever comes is answered by a status word, and afterwards the card
// is of use.
func FuzzUICC(f *testing.F) {
	for _, s := range []string{"0070000001", "00" + selectSafe, "01" + selectISDR, "00C0000000", "80E2910006BF3E035C015A", "0070800100"} {
		b, err := hex.DecodeString(s)
		require.NoError(f, err)
		f.Add(b, b)
	}
	f.Fuzz(func(t *testing.T, first, second []byte) {
		u := demo(t)
		for _, command := range [][]byte{first, second, first} {
			answer, err := u.Transmit(context.Background(), command)
			require.NoError(t, err)
			require.GreaterOrEqual(t, len(answer), 2)
		}
		u.Reset()
		answer, err := u.Transmit(context.Background(), []byte{0, 0xA4, 4, 0, 7, 0xA0, 0, 0, 5, 0x59, 0, 0x10, 0})
		require.NoError(t, err)
		require.True(t, bytes.HasSuffix(answer, []byte{0x90, 0}))
	})
}
