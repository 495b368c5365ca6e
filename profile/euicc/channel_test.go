package euicc_test

import (
	"bytes"
	"context"
	"encoding/hex"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/iotregistry/sdk/internal/apdu"
	"github.com/iotregistry/sdk/internal/bertlv"
	"github.com/iotregistry/sdk/internal/rsp"
)

// exchange sends commands in hexadecimal and returns the last response.
func exchange(t testing.TB, w *world, commands ...string) string {
	t.Helper()
	var r []byte
	for _, c := range commands {
		b, err := hex.DecodeString(strings.ReplaceAll(c, " ", ""))
		require.NoError(t, err)
		r, err = w.chip.Transmit(t.Context(), b)
		require.NoError(t, err)
	}
	return hex.EncodeToString(r)
}

const (
	selectISDR = "00a4040010 a0000005591010ffffffff8900000100"
	eidRequest = "bf3e035c015a"
	eidAnswer  = "bf3e125a1089049032123451234512345678901235"
)

func TestStatusWords(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		rule     string
		commands []string
		want     string
	}{
		{"SELECT with an answer", []string{selectISDR}, "6119"},
		{"which says that no profile is enabled", []string{selectISDR, "80c0000019"}, "6f178410a0000005591010ffffffff8900000100e1038001009000"},
		{"SELECT without", []string{"00a4040c10 a0000005591010ffffffff8900000100"}, "9000"},
		{"SELECT of what is not there", []string{"00a4040005 a000000559"}, "6a82"},
		{"SELECT by number", []string{"00a40000023f00"}, "6a86"},
		{"SELECT of nothing", []string{"00a40400"}, "6700"},
		{"SELECT in the wrong class", []string{"80a4040005 a000000559"}, "6e00"},
		{"a long answer: no data with the first 61xx", []string{selectISDR, "80e2910006" + eidRequest}, "6115"},
		{"and then by GET RESPONSE", []string{selectISDR, "80e2910006" + eidRequest, "80c0000015"}, eidAnswer + "9000"},
		{"in either class", []string{selectISDR, "80e2910006" + eidRequest, "00c0000015"}, eidAnswer + "9000"},
		{"all there is", []string{selectISDR, "80e2910006" + eidRequest, "80c0000000"}, eidAnswer + "9000"},
		{"in pieces", []string{selectISDR, "80e2910006" + eidRequest, "80c0000003"}, "bf3e126112"},
		{"the next piece", []string{selectISDR, "80e2910006" + eidRequest, "80c0000003", "80c0000012"}, eidAnswer[6:] + "9000"},
		{"a Le with the command changes nothing", []string{selectISDR, "80e2910006" + eidRequest + "00"}, "6115"},
		{"nothing to fetch", []string{selectISDR, "80e2910006" + eidRequest, "80c0000015", "80c0000015"}, "6985"},
		{"another command drops the answer", []string{selectISDR, "80e2910006" + eidRequest, selectISDR, "80c0000019", "80c0000015"}, "6985"},
		{"GET RESPONSE without a length", []string{selectISDR, "80c00000"}, "6700"},
		{"GET RESPONSE with parameters", []string{selectISDR, "80c0000115"}, "6a86"},
		{"the ISD-R is not selected", []string{"80e2910006" + eidRequest}, "6985"},
		{"STORE DATA in the wrong class", []string{selectISDR, "00e2910006" + eidRequest}, "6e00"},
		{"STORE DATA without data", []string{selectISDR, "80e29100"}, "6700"},
		{"STORE DATA with other parameters", []string{selectISDR, "80e2900006" + eidRequest}, "6a86"},
		{"two blocks", []string{selectISDR, "80e2110002bf3e", "80e2910104035c015a"}, "6115"},
		{"the second block missing", []string{selectISDR, "80e2110002bf3e", "80e2910204035c015a"}, "6a86"},
		{"and then all of it is", []string{selectISDR, "80e2110002bf3e", "80e2910204035c015a", "80e2910104035c015a"}, "6a86"},
		{"block 0 begins anew", []string{selectISDR, "80e2110002bf3e", "80e2910006" + eidRequest}, "6115"},
		{"SELECT between blocks", []string{selectISDR, "80e2110002bf3e", selectISDR, "80e2910104035c015a"}, "6a86"},
		{"extended length", []string{selectISDR, "80e29100000006" + eidRequest}, "6115"},
		{"an unknown function", []string{selectISDR, "80e2910003bf7f00"}, "6a88"},
		{"no TLV", []string{selectISDR, "80e2910003bf3e05"}, "6a80"},
		{"two functions", []string{selectISDR, "80e291000c" + eidRequest + eidRequest}, "6a80"},
		{"a member missing", []string{selectISDR, "80e2910003bf3e00"}, "6a80"},
		{"a tag that is not the EID's", []string{selectISDR, "80e2910006bf3e035c015b"}, "6a80"},
		{"a segment without a session", []string{selectISDR, "80e2910002a000"}, "6985"},
		{"the rules authorisation table is empty", []string{selectISDR, "80e2910003bf4300", "80c0000000"}, "bf4302a0009000"},
		{"but not with members", []string{selectISDR, "80e2910005bf43028000"}, "6a80"},
		{"TERMINAL CAPABILITY", []string{"80aa000005a903830107"}, "9000"},
		{"TERMINAL CAPABILITY in the wrong class", []string{"00aa000005a903830107"}, "6e00"},
		{"an unknown instruction", []string{"00b0000000"}, "6d00"},
		{"an unknown class", []string{"10a4040000"}, "6e00"},
		{"further channels' class", []string{"40a4040000"}, "6e00"},
		{"a command cut short", []string{"00a404"}, "6700"},
		{"nothing", []string{""}, "6700"},
		{"Lc and data differ", []string{"00a4040005a0"}, "6700"},
		{"opening channels", []string{"0070000001"}, "019000"},
		{"the next one", []string{"0070000001", "0070000001"}, "029000"},
		{"none is left", []string{"0070000001", "0070000001", "0070000001", "0070000001"}, "6a81"},
		{"one is given back", []string{"0070000001", "0070000001", "0070000001", "00708002", "0070000001"}, "029000"},
		{"a certain one", []string{"00700003"}, "9000"},
		{"that is open", []string{"00700003", "00700003"}, "6985"},
		{"without a length", []string{"00700000"}, "6c01"},
		{"with data", []string{"007000000101"}, "6700"},
		{"with data and a length", []string{"00700000010101"}, "6700"},
		{"closing the basic channel", []string{"00708000"}, "6a86"},
		{"closing one that is not open", []string{"00708001"}, "6985"},
		{"closing one that cannot be", []string{"00708004"}, "6a86"},
		{"MANAGE CHANNEL in the wrong class", []string{"8070000001"}, "6e00"},
		{"a channel that is not open", []string{"01a4040010 a0000005591010ffffffff8900000100"}, "6881"},
		{"a channel has its own selection", []string{selectISDR, "0070000001", "81e2910006" + eidRequest}, "6985"},
		{"and forgets it when it is closed", []string{"0070000001", "01" + selectISDR[2:], "00708001", "0070000001", "81e2910006" + eidRequest}, "6985"},
	} {
		t.Run(c.rule, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			w.chip.Reset()
			require.Equal(t, c.want, exchange(t, w, c.commands...))
		})
	}
}

// Two channels keep their chains and answers apart.
func TestChannelsAreApart(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.chip.Reset()
	exchange(t, w, "0070000001", "0070000001", "01"+selectISDR[2:], "02"+selectISDR[2:])
	require.Equal(t, "9000", exchange(t, w, "81e2110002bf3e"))
	require.Equal(t, "6115", exchange(t, w, "82e2910006"+eidRequest))
	require.Equal(t, "6115", exchange(t, w, "81e2910104035c015a"))
	require.Equal(t, eidAnswer+"9000", exchange(t, w, "82c0000015"))
	require.Equal(t, eidAnswer+"9000", exchange(t, w, "81c0000015"))
}

// More than 256 blocks wrap around; more than a message can have are refused.
func TestChaining(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.chunk = 1
	q := w.authRequest(t)
	r := es10[rsp.AuthenticateServerResponse](t, w, q)
	require.NotNil(t, r.OK)

	w.chunk = 255
	b := bertlv.Append(nil, 0xBF38, make([]byte, rsp.MaxMessage-10))
	_, err := w.store(t, b)
	require.ErrorIs(t, err, apdu.WrongData)
	_, err = w.store(t, append(b, make([]byte, 100)...))
	require.ErrorIs(t, err, apdu.NotEnoughMemory)
	id := es10[rsp.GetEIDResponse](t, w, &rsp.GetEIDRequest{TagList: []byte{0x5A}})
	require.NotZero(t, id.EID)
}

func TestLongAnswer(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	q, err := rsp.Encode(w.authRequest(t))
	require.NoError(t, err)
	require.Equal(t, "9000", exchange(t, w, "81e21100ff"+hex.EncodeToString(q[:255])))
	require.Equal(t, "9000", exchange(t, w, "81e21101ff"+hex.EncodeToString(q[255:510])))
	rest := q[510:]
	require.Less(t, len(rest), 256)
	require.Equal(t, "6100", exchange(t, w, "81e29102"+hex.EncodeToString([]byte{byte(len(rest))})+hex.EncodeToString(rest)))
	var whole []byte
	for sw := "6100"; sw != "9000"; {
		r := exchange(t, w, "81c0000000")
		data, err := hex.DecodeString(r[:len(r)-4])
		require.NoError(t, err)
		whole, sw = append(whole, data...), r[len(r)-4:]
	}
	got, err := rsp.Decode[rsp.AuthenticateServerResponse](whole)
	require.NoError(t, err)
	require.NotNil(t, got.OK)
}

func TestConcurrentChannels(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	var wg sync.WaitGroup
	for range 3 {
		wg.Go(func() {
			ctx := context.Background()
			for range 20 {
				r, err := apdu.Send(ctx, w.chip, apdu.Command{INS: 0x70, Le: 1})
				if err != nil { // all in use
					continue
				}
				n := r.Data[0]
				_, _ = apdu.Send(ctx, w.chip, apdu.Command{CLA: n, INS: 0xA4, P1: 4, Data: isdr()})
				r, err = apdu.Send(ctx, w.chip, apdu.Command{CLA: 0x80 | n, INS: 0xE2, P1: 0x91, Data: []byte{0xBF, 0x3E, 3, 0x5C, 1, 0x5A}})
				if err != nil || !bytes.HasPrefix(r.Data, []byte{0xBF, 0x3E}) {
					t.Errorf("channel %d: %x %v", n, r.Data, err)
				}
				_ = w.chip.Profiles()
				_, _ = apdu.Send(ctx, w.chip, apdu.Command{INS: 0x70, P1: 0x80, P2: n})
			}
		})
	}
	wg.Wait()
}
