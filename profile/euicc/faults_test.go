package euicc_test

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/iotregistry/sdk/internal/apdu"
	"github.com/iotregistry/sdk/internal/bsp"
	"github.com/iotregistry/sdk/internal/rsp"
	"github.com/iotregistry/sdk/profile/euicc"
)

func TestFaultsOfTheSession(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	for _, code := range []int{1, 2, 3, 4, 5, 6, 7, 127} {
		w.chip.SetFaults(euicc.Faults{Authenticate: code})
		r := es10[rsp.AuthenticateServerResponse](t, w, w.authRequest(t))
		require.Equal(t, rsp.AuthenticateError(code), r.Error.Code)
	}
	for _, code := range []int{1, 2, 3, 4, 5, 127} {
		w.chip.SetFaults(euicc.Faults{Prepare: code})
		w.authenticate(t)
		r := es10[rsp.PrepareDownloadResponse](t, w, w.prepareRequest(t, nil))
		require.Equal(t, rsp.DownloadError(code), r.Error.Code)
	}
	for _, code := range []int{5, 127} {
		w.chip.SetFaults(euicc.Faults{Cancel: code})
		w.authenticate(t)
		r := es10[rsp.CancelSessionResponse](t, w, &rsp.CancelSessionRequest{TransactionID: w.auth.OK.Signed1.TransactionID})
		require.Equal(t, code, *r.Error)
	}
	for _, code := range []int{1, 2, 3, 4, 5, 127} {
		w.chip.SetFaults(euicc.Faults{Enable: code, Disable: code, Delete: code})
		require.Equal(t, rsp.ProfileResult(code), w.enable(t, iccid))
		require.Equal(t, rsp.ProfileResult(code), w.disable(t, iccid))
		require.Equal(t, rsp.ProfileResult(code), w.remove(t, iccid))
	}
	w.chip.SetFaults(euicc.Faults{})
	w.install(t, newOrder(t, iccid, nil))
}

func TestFaultsOfInstalling(t *testing.T) {
	t.Parallel()
	reasons := []int{1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 127}
	for _, protected := range []bool{false, true} {
		w := newWorld(t)
		for command := range 6 {
			for _, reason := range reasons {
				o := newOrder(t, iccid, nil)
				if protected {
					o.keys = &bsp.Keys{MCV: [16]byte{1}, SEnc: [16]byte{2}, SMac: [16]byte{3}}
				}
				set := &euicc.InstallFault{Command: command, Reason: reason}
				w.chip.SetFaults(euicc.Faults{Install: set})
				set.Reason = 99 // the chip has its own
				r := w.download(t, o)
				require.Equal(t, fmt.Sprintf("%d/%d", command, reason), failure(r))
				require.Error(t, w.chip.InstallError())
				es10[rsp.NotificationSentResponse](t, w, &rsp.NotificationSentRequest{SeqNumber: r.Data.Notification.SeqNumber})
			}
		}
		require.Empty(t, w.chip.Profiles())
		w.chip.SetFaults(euicc.Faults{})
		w.install(t, newOrder(t, iccid, nil))
	}
}

// All in one STORE DATA: the fault comes when nothing follows.
func TestFaultInOneSegment(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	var whole []byte
	for _, s := range w.bind(t, w.prepare(t, nil), newOrder(t, iccid, nil)) {
		whole = append(whole, s...)
	}
	w.chip.SetFaults(euicc.Faults{Install: &euicc.InstallFault{Command: 4, Reason: 11}})
	require.Equal(t, "4/11", failure(w.load(t, [][]byte{whole})))
}

func TestFaultStatus(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	for _, sw := range []uint16{0x6A80, 0x6A82, 0x6A84, 0x6A86, 0x6A88, 0x6F00} {
		w.chip.SetFaults(euicc.Faults{Status: func(c []byte) uint16 {
			if c[1] == 0xE2 {
				return sw
			}
			return 0
		}})
		_, err := w.store(t, []byte{0xBF, 0x20, 0})
		require.ErrorIs(t, err, apdu.Status(sw))
	}
	// A fault may take itself away.
	w.chip.SetFaults(euicc.Faults{Status: func([]byte) uint16 { w.chip.SetFaults(euicc.Faults{}); return 0x6985 }})
	_, err := w.store(t, []byte{0xBF, 0x20, 0})
	require.ErrorIs(t, err, apdu.ConditionsNotMet)
	es10[rsp.EUICCInfo1](t, w, &rsp.GetEUICCInfo1Request{})
}

// The card is taken out during the last command of a download: whether it has
// taken effect is not to be seen from the answer.
func TestRemoved(t *testing.T) {
	t.Parallel()
	for _, done := range []bool{false, true} {
		w := newWorld(t)
		s := w.bind(t, w.prepare(t, nil), newOrder(t, iccid, nil))
		last := len(s) - 1
		require.Nil(t, w.load(t, s[:last]))
		w.chip.SetFaults(euicc.Faults{RemoveAt: 1, RemoveDone: done})
		_, err := w.store(t, s[last])
		require.ErrorIs(t, err, euicc.ErrRemoved)
		w.chip.SetFaults(euicc.Faults{})
		_, err = w.store(t, s[last])
		require.ErrorIs(t, err, euicc.ErrRemoved, "until it is put in again")

		w.chip.Reset()
		_, err = w.store(t, s[last])
		require.ErrorIs(t, err, apdu.Status(0x6881), "channels are closed")
		w.connect(t)
		list := es10[rsp.RetrieveNotificationsResponse](t, w, &rsp.RetrieveNotificationsRequest{}).List
		if done {
			require.Len(t, w.chip.Profiles(), 1)
			require.Len(t, list, 2)
			require.NotNil(t, list[0].Installation.Data.Success, "the receipt is kept")
		} else {
			require.Empty(t, w.chip.Profiles())
			require.Empty(t, list)
		}
	}
}

// Power is lost before each command of a download in turn. Nothing is installed
// but by the last one, and the next try succeeds.
func TestPowerLoss(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.install(t, newOrder(t, second, nil))
	require.Equal(t, rsp.ProfileOK, w.enable(t, second))
	for at := 1; ; at++ {
		s := w.bind(t, w.prepare(t, nil), newOrder(t, iccid, make([]byte, 1500)))
		w.chip.SetFaults(euicc.Faults{RemoveAt: at})
		err := send(t, w, s)
		w.chip.SetFaults(euicc.Faults{})
		if err == nil {
			break
		}
		require.ErrorIs(t, err, euicc.ErrRemoved)
		w.chip.Reset()
		w.connect(t)
		if len(w.chip.Profiles()) == 2 { // only the fetching of the receipt was lost
			require.Equal(t, rsp.ProfileOK, w.remove(t, iccid))
		}
		require.True(t, w.chip.Profiles()[0].Enabled)
	}
	require.Len(t, w.chip.Profiles(), 2)
}

func send(t testing.TB, w *world, segments [][]byte) error {
	for _, s := range segments {
		if _, err := w.store(t, s); err != nil {
			return err
		}
	}
	return nil
}

func TestSlowAnswers(t *testing.T) {
	t.Parallel()
	var slept []time.Duration
	boom := errors.New("boom")
	w := newWorld(t, func(c *euicc.ChipConfig) {
		c.Sleep = func(_ context.Context, d time.Duration) error {
			if slept = append(slept, d); len(slept) > 1 {
				return boom
			}
			return nil
		}
	})
	w.chip.SetFaults(euicc.Faults{Delay: time.Hour})
	_, err := w.chip.Transmit(t.Context(), []byte{0, 0x70, 0, 0, 1})
	require.NoError(t, err)
	_, err = w.chip.Transmit(t.Context(), []byte{0, 0x70, 0, 0, 1})
	require.ErrorIs(t, err, boom)
	require.Equal(t, []time.Duration{time.Hour, time.Hour}, slept)

	w = newWorld(t)
	w.chip.SetFaults(euicc.Faults{Delay: time.Hour})
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, err = w.chip.Transmit(ctx, []byte{0, 0x70, 0, 0, 1})
	require.ErrorIs(t, err, context.Canceled)
	w.chip.SetFaults(euicc.Faults{Delay: time.Nanosecond})
	_, err = w.chip.Transmit(t.Context(), []byte{0, 0x70, 0, 0, 1})
	require.NoError(t, err)
	w.chip.SetFaults(euicc.Faults{})
	_, err = w.chip.Transmit(ctx, []byte{0, 0x70, 0, 0, 1})
	require.ErrorIs(t, err, context.Canceled)
}
