package esipa_test

import (
	"context"
	"crypto/rand"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/iotregistry/sdk/internal/bertlv"
	"github.com/iotregistry/sdk/internal/rsp"
	"github.com/iotregistry/sdk/internal/rsp/rsptest"
	"github.com/iotregistry/sdk/mno"
	"github.com/iotregistry/sdk/mno/es2"
	"github.com/iotregistry/sdk/mno/es9"
	"github.com/iotregistry/sdk/mno/esipa"
	"github.com/iotregistry/sdk/mno/smdp"
	"github.com/iotregistry/sdk/registry/eid"
)

func (w *world) poll() esipa.Report {
	r, err := w.ipa.Poll(w.t.Context())
	require.NoError(w.t, err)
	return r
}

// why is what the eIM was told of the last download.
func (w *world) why() string {
	m, err := rsp.Decode[rsp.ProfileDownloadTriggerResult](w.eim.results[len(w.eim.results)-1].Object)
	require.NoError(w.t, err)
	require.Equal(w.t, rsp.TransactionID{1}, m.EIMTransactionID)
	require.NotNil(w.t, m.Error)
	require.Equal(w.t, rsp.ProfileDownloadUndefined, m.Error.Reason)
	return string(m.Error.Response)
}

// Downloads that come to nothing end with a reason that the eIM is told.
func TestDownloadsRefused(t *testing.T) {
	t.Parallel()
	for name, indirect := range map[string]bool{"direct": false, "through the eIM": true} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, indirect)
			for _, c := range []struct {
				rule, code, why string
				err             error
			}{
				{"wrong matching ID", "1$" + address + "$NO-SUCH", "8.2.6/3.8", &mno.StatusError{Subject: "8.2.6", Reason: "3.8"}},
				{"announces a confirmation code", "1$" + address + "$M$$1", "8.2.7/2.2: the download needs a confirmation code", es9.ErrNeedsCode},
				{"no activation code", "hello", "es9: no activation code of SGP.22: it is like LPA:1$smdp.example.net$MATCHING-ID", es9.ErrActivationCode},
				{"no orders for this eUICC", "1$" + address + "$", "8.2.6/3.8", &mno.StatusError{Subject: "8.2.6", Reason: "3.8"}},
			} {
				w.eim.waits(trigger(t, c.code, 1))
				r := w.poll()
				require.Len(t, r.Packages, 1, c.rule)
				require.ErrorIs(t, r.Packages[0].Err, c.err, c.rule)
				require.True(t, r.Packages[0].Told)
				require.Equal(t, c.why, w.why(), c.rule)
				require.NotContains(t, r.String(), "NO-SUCH", "a matching ID is a secret")
			}
			require.Empty(t, w.chip.Profiles())
		})
	}
}

func TestDownloadNeedsCode(t *testing.T) {
	t.Parallel()
	w := newWorld(t, true)
	o := mno.Order{Device: eid.MustParse(rsptest.EID), ProfileType: "iot"}
	id, err := w.engine.DownloadOrder(t.Context(), es2.Call{Requester: "registry"}, o)
	require.NoError(t, err)
	r, err := w.engine.ConfirmOrder(t.Context(), es2.Call{Requester: "registry"}, es2.ConfirmOrder{ICCID: id, ConfirmationCode: "1234", Release: true})
	require.NoError(t, err)
	w.eim.waits(trigger(t, "1$"+address+"$"+r.MatchingID, 1))
	report := w.poll()
	require.ErrorIs(t, report.Packages[0].Err, es9.ErrNeedsCode)
	require.Equal(t, "8.2.7/2.2: the download needs a confirmation code", w.why())
	require.Equal(t, id, report.Packages[0].ICCID)
	require.Equal(t, mno.Released, w.state(id), "the order stays")
}

func TestDefaultSMDP(t *testing.T) {
	t.Parallel()
	w := newWorld(t, false)
	_, id := w.order(11)
	w.eim.waits(encode(t, &rsp.ProfileDownloadTriggerRequest{DefaultSMDP: true}))
	require.Equal(t, "download of "+id+": installed", w.poll().String())
	for _, c := range []struct {
		rule string
		m    rsp.ProfileDownloadTriggerRequest
		want error
	}{
		{"discovery server", rsp.ProfileDownloadTriggerRequest{SMDS: []byte{0xA2, 0}}, esipa.ErrTrigger},
		{"data at the eIM", rsp.ProfileDownloadTriggerRequest{}, esipa.ErrTrigger},
	} {
		c.m.EIMTransactionID = rsp.TransactionID{1}
		w.eim.waits(encode(t, &c.m))
		require.ErrorIs(t, w.poll().Packages[0].Err, c.want, c.rule)
		require.NotEmpty(t, w.why(), c.rule)
	}
	_, err := w.ipa.LPA.Command(t.Context(), "SetDefaultDpAddress", encode(t, &rsp.SetDefaultSMDPRequest{}))
	require.NoError(t, err)
	w.eim.waits(encode(t, &rsp.ProfileDownloadTriggerRequest{DefaultSMDP: true, EIMTransactionID: rsp.TransactionID{1}}))
	require.ErrorIs(t, w.poll().Packages[0].Err, esipa.ErrNoAddress)
}

// An interrupted download is tried again, and not for ever.
func TestDownloadInterrupted(t *testing.T) {
	t.Parallel()
	w := newWorld(t, false)
	code, id := w.order(11)
	dial := w.ipa.LPA.Dial
	lost := &es9.TransportError{Path: "x", Err: errOdd}
	w.ipa.LPA.Dial = func(string) (es9.Backend, error) { return nil, lost }
	w.eim.waits(trigger(t, code, 1))
	for range esipa.DefaultAttempts - 1 {
		r, err := w.ipa.Poll(t.Context())
		require.ErrorIs(t, err, errOdd)
		require.False(t, r.Packages[0].Told)
		require.Contains(t, r.String(), "(the eIM does not know yet)")
		require.Empty(t, w.eim.results)
	}
	r := w.poll()
	require.ErrorIs(t, r.Packages[0].Err, errOdd)
	require.Equal(t, "the SM-DP+ was not reached", w.why())
	require.Equal(t, mno.Released, w.state(id))

	w.ipa.LPA.Dial = dial
	w.eim.waits(trigger(t, code, 1))
	require.True(t, w.poll().Packages[0].Installed)
}

// Where the SM-DP+ is away afterwards, the profile is there, the eIM knows, and
// the SM-DP+ hears later.
func TestSMDPAwayAfterwards(t *testing.T) {
	t.Parallel()
	w := newWorld(t, false)
	w.oneAttempt()
	code, id := w.order(11)
	w.toDP.request, w.toDP.second = 4, 5 // the receipt, and once more at the end
	w.eim.waits(trigger(t, code, 1))
	r, err := w.ipa.Poll(t.Context())
	require.ErrorIs(t, err, errLost)
	require.True(t, r.Packages[0].Installed && r.Packages[0].Told)
	require.Equal(t, mno.Downloaded, w.state(id))
	require.Equal(t, 1, w.poll().Notified)
	require.Equal(t, mno.Installed, w.state(id))
}

// What the eIM does not acknowledge stays with the eUICC and is provided again;
// the package is not carried out twice.
func TestResultsAreKept(t *testing.T) {
	t.Parallel()
	w := newWorld(t, false)
	code, id := w.order(11)
	w.eim.silent = true
	w.eim.waits(trigger(t, code, 1), w.operations(enable(id)))
	w.poll()
	pkg := w.operations(rsp.PSMO{Disable: &rsp.PSMOProfile{ICCID: rsp.ICCID(id)}})
	w.eim.waits(pkg)
	r := w.poll()
	require.Equal(t, "operations [E101]: enable: ok (earlier)\noperations [E102]: disable "+id+": ok\n1 notifications delivered", r.String())
	require.Len(t, w.eim.results, 3)
	w.eim.waits(pkg)
	w.eim.results = w.eim.results[:2] // it has lost the last
	r = w.poll()
	require.Equal(t, []bool{true, true}, []bool{r.Packages[0].Resent, r.Packages[1].Resent})
	require.Empty(t, w.eim.queue)
	w.eim.waits(pkg)
	w.eim.results = w.eim.results[:2]
	w.ipa.EIM = &stubborn{eim: w.eim}
	r, err := w.ipa.Poll(t.Context())
	require.ErrorIs(t, err, &mno.StatusError{Subject: "8", Reason: "4.2"})
	require.Equal(t, "operations [E102]: disable "+id+": ok (earlier)", r.Packages[len(r.Packages)-1].String())
	require.Empty(t, w.eim.queue)
	w.ipa.EIM, w.eim.silent = w.eim, false
	w.poll()
	require.Empty(t, w.poll().Packages)
	w.ipa.EIMID = "other.example"
	w.eim.silent = true
	w.eim.waits(w.operations(enable(id)))
	w.poll()
	require.Empty(t, w.poll().Packages, "results for another eIM are not this one's")
}

// stubborn refuses results until it was asked for a package.
type stubborn struct {
	*eim
	asked bool
}

func (s *stubborn) GetEIMPackage(ctx context.Context, p esipa.Poll) ([]byte, error) {
	s.asked = true
	return s.eim.GetEIMPackage(ctx, p)
}

func (s *stubborn) ProvideEIMPackageResult(ctx context.Context, r esipa.Result) ([]int64, error) {
	if !s.asked {
		return nil, &mno.StatusError{Subject: "8", Reason: "4.2"}
	}
	return s.eim.ProvideEIMPackageResult(ctx, r)
}

func TestOperationsReported(t *testing.T) {
	t.Parallel()
	w := newWorld(t, false)
	const none = "8900000000000000000"
	w.eim.waits(
		w.operations(rsp.PSMO{GetRAT: &rsp.Empty{}}, rsp.PSMO{SetDefaultSMDP: &rsp.PSMOAddress{Address: "two.example"}},
			rsp.PSMO{ConfigureImmediate: &rsp.ConfigureImmediateProfileEnablingRequest{Enable: true}},
			rsp.PSMO{Delete: &rsp.PSMOProfile{ICCID: none}}),
	)
	w.signed++
	w.eim.waits(w.sign(rsp.EUICCPackageSigned{Configuration: []rsp.ECO{{List: &rsp.Empty{}}, {Delete: &rsp.ECODelete{EIMID: "nobody"}}}}))
	w.eim.waits(w.sign(rsp.EUICCPackageSigned{Operations: []rsp.PSMO{{GetRAT: &rsp.Empty{}}}})) // the same counter
	forged := w.operations(enable(none))
	forged[len(forged)-1] ^= 1
	w.eim.waits(forged)
	r := w.poll()
	require.Equal(t, strings.Join([]string{
		"operations [E101]: getRAT: ok, setDefaultSMDP two.example: ok, configureImmediateEnable: ok, delete " + none + ": iccidOrAidNotFound",
		"operations [E102]: listEIM: ok, deleteEIM nobody: eimNotFound",
		"operations [E102]: esipa: the eUICC refuses the package: replayError",
		"operations [E103]: esipa: the eUICC refuses the package: it does not know the eIM, or the signature does not fit",
	}, "\n"), r.String())
	require.False(t, r.Packages[0].Operations[3].OK)
	require.Len(t, w.eim.results, 4)
}

func TestUnknownPackages(t *testing.T) {
	t.Parallel()
	w := newWorld(t, false)
	w.ipa.EIM = w.eim
	w.eim.waits([]byte{0xBF, 0x77, 0}, []byte("garbage"), []byte{0xBF, 0x51, 0}, []byte{0xBF, 0x52, 0}, []byte{0xBF, 0x54, 2, 0xA0, 0})
	r := w.poll()
	var codes []rsp.EIMPackageResultError
	for _, x := range w.eim.results {
		m, err := rsp.Decode[rsp.ProvideEIMPackageResult](bertlv.Append(nil, 0xBF50, x.Object))
		require.NoError(t, err)
		codes = append(codes, m.Result.Error.Code)
	}
	require.Len(t, r.Packages, 5)
	require.Equal(t, []rsp.EIMPackageResultError{2, 1, 1, 1, 1}, codes)
}

func TestPollIsBounded(t *testing.T) {
	t.Parallel()
	w := newWorld(t, false)
	w.ipa.Packages = 3
	for n := range byte(5) {
		w.eim.waits(encode(t, &rsp.IPAEUICCDataRequest{TagList: []byte{0xBF, 0x20}, EIMTransactionID: rsp.TransactionID{n + 1}}))
	}
	r := w.poll()
	require.True(t, r.More)
	require.Len(t, r.Packages, 3)
	require.Contains(t, r.String(), "there may be more to do")
	require.False(t, w.poll().More)
	require.Len(t, w.eim.results, 5)

	stuck := &backend{m: newMessages(t)}
	stuck.m.pkg = encode(t, &rsp.IPAEUICCDataRequest{TagList: []byte{0xBF, 0x20}})
	w.ipa.EIM = stuck
	require.Len(t, w.poll().Packages, 1)
	require.Equal(t, []string{"get", "provide", "get"}, stuck.calls, "it is done once in a Poll")
}

func TestPollFails(t *testing.T) {
	t.Parallel()
	_, err := (&esipa.IPA{}).Poll(t.Context())
	require.ErrorContains(t, err, "set LPA and EIM")
	w := newWorld(t, false)
	for _, want := range []error{esipa.ErrUnknownEID, esipa.ErrInvalidEID, errOdd} {
		w.eim.fail = always(want)
		r, err := w.ipa.Poll(t.Context())
		if errors.Is(want, errOdd) {
			want = &mno.StatusError{Subject: "8", Reason: "4.2"}
		}
		require.ErrorIs(t, err, want)
		require.Equal(t, rsptest.EID, r.EID)
	}
	w.eim.fail = nil
	code, _ := w.order(11)
	w.eim.waits(trigger(t, code, 1))
	w.ipa.LPA.Dial = nil
	r := w.poll()
	require.ErrorContains(t, r.Packages[0].Err, "set Dial of the LPA or Indirect")
	w.ipa.LPA = &es9.LPA{}
	_, err = w.ipa.Poll(t.Context())
	require.ErrorContains(t, err, "set Card")
}

// Notifications go out although the eIM is away, but for receipts that it may not
// have.
func TestNotificationsWithoutEIM(t *testing.T) {
	t.Parallel()
	w := newWorld(t, false)
	code, id := w.order(11)
	w.eim.waits(trigger(t, code, 1))
	w.poll()
	require.NoError(t, w.ipa.LPA.Enable(t.Context(), id, false))
	w.eim.fail = always(errOdd)
	r, err := w.ipa.Poll(t.Context())
	require.Error(t, err)
	require.Equal(t, 1, r.Notified)
}

func TestData(t *testing.T) {
	t.Parallel()
	w := newWorld(t, true)
	w.ipa.LPA.TAC, w.ipa.LPA.IMEI = []byte{0x35, 1, 2, 3}, fill(0x35, 8)
	code, id := w.order(11)
	w.eim.silent = true
	w.eim.waits(trigger(t, code, 1), w.operations(enable(id)))
	w.poll()
	require.NoError(t, w.ipa.LPA.Disable(t.Context(), id, false)) // leaves a notification

	ask := func(q rsp.IPAEUICCDataRequest) *rsp.IPAEUICCDataResponse {
		q.EIMTransactionID = rsp.TransactionID{0xD1}
		w.eim.waits(encode(t, &q))
		_, err := w.ipa.Poll(t.Context())
		require.NoError(t, err)
		m, err := rsp.Decode[rsp.IPAEUICCDataResponse](w.eim.results[len(w.eim.results)-1].Object)
		require.NoError(t, err)
		require.Equal(t, rsptest.EID, w.eim.results[len(w.eim.results)-1].EID)
		return m
	}
	all := []byte{0x5A, 0xA8, 0xBF, 0x2B, 0x81, 0xBF, 0x20, 0xBF, 0x22, 0x83, 0x84, 0xA5, 0xA6, 0xA9, 0x9F, 0x77}
	d := ask(rsp.IPAEUICCDataRequest{TagList: all}).Data
	require.Len(t, d.Notifications, 1)
	require.Len(t, d.PackageResults, 1)
	require.Equal(t, address, *d.DefaultSMDP)
	require.NotNil(t, d.RootSMDS)
	require.Equal(t, []byte{2, 5, 0}, d.Info1.SVN)
	require.NotEmpty(t, d.Info2.Extra, "what SGP.32 has added")
	require.Equal(t, int64(7), *d.AssociationToken)
	require.NotEmpty(t, d.EUMCertificate)
	require.NotEmpty(t, d.EUICCCertificate)
	require.Equal(t, rsp.TransactionID{0xD1}, d.EIMTransactionID)
	require.Equal(t, []byte{0xA8, 8, 0x80, 2, 6, 0x40, 0x81, 2, 7, 0x80}, d.IPACapabilities)
	require.Equal(t, append([]byte{0xA9, 18, 0x80, 4, 0x35, 1, 2, 3, 0xA1, 0, 0x82, 8}, fill(0x35, 8)...), d.DeviceInfo)

	d = ask(rsp.IPAEUICCDataRequest{TagList: []byte{0xBF, 0x2B}, ResultNumber: ptr(int64(999))}).Data
	require.Empty(t, d.PackageResults)
	require.Nil(t, d.Notifications)
	d = ask(rsp.IPAEUICCDataRequest{TagList: []byte{0xBF, 0x2B}, NotificationEvents: ptr(rsp.EventDelete)}).Data
	require.Empty(t, d.Notifications)
	require.Nil(t, d.PackageResults)
	w.ipa.EIMID, w.ipa.Indirect, w.ipa.LPA.TAC, w.ipa.LPA.IMEI = eimID, nil, nil, nil
	d = ask(rsp.IPAEUICCDataRequest{TagList: []byte{0x84, 0xA8, 0xA9}}).Data
	require.Equal(t, int64(7), *d.AssociationToken)
	require.Equal(t, byte(0x80), d.IPACapabilities[5], "directly")
	require.Len(t, d.DeviceInfo, 10)

	for code, q := range map[rsp.IPAEUICCDataError]rsp.IPAEUICCDataRequest{
		rsp.DataIncorrectTagList: {TagList: []byte{0xBF}},
		rsp.DataCIKeyNotFound:    {TagList: []byte{0xA5}, CIKeyID: fill(9, 20)},
	} {
		m := ask(q)
		require.Nil(t, m.Data)
		require.Equal(t, code, m.Error.Code)
		require.Equal(t, rsp.TransactionID{0xD1}, m.Error.EIMTransactionID)
	}
	require.Equal(t, rsp.DataIncorrectTagList, ask(rsp.IPAEUICCDataRequest{TagList: []byte{}}).Error.Code)
	require.Equal(t, rsp.DataIncorrectTagList, ask(rsp.IPAEUICCDataRequest{TagList: []byte{0xBF, 0x81, 0x20}}).Error.Code)
}

// over is a way to an SM-DP+ that has lost its sessions, or refuses for another
// reason.
type over struct {
	es9.Backend
	err error
}

func (o over) AuthenticateClient(context.Context, es9.AuthenticateClient) (es9.Offer, error) {
	return es9.Offer{}, o.err
}

// insisting is an eIM that repeats a trigger until it has a receipt.
type insisting struct {
	esipa.Backend
	eim    *eim
	failed int // results without a receipt
}

func (s *insisting) ProvideEIMPackageResult(ctx context.Context, r esipa.Result) ([]int64, error) {
	m, err := rsp.Decode[rsp.ProfileDownloadTriggerResult](r.Object)
	if err == nil && m.Installation == nil {
		s.failed++
		return nil, nil
	}
	return s.eim.ProvideEIMPackageResult(ctx, r)
}

// A receipt that the eIM does not have stays with the eUICC, whatever an SM-DP+
// says of the next try: by it alone the try after that knows that all is done.
func TestReceiptOutlivesRefusals(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		rule string
		err  error
		told int
	}{
		{"lost session", &mno.StatusError{Subject: "8.10.1", Reason: "3.9"}, 0},
		{"refusal", &mno.StatusError{Subject: "8.1", Reason: "6.1"}, 1},
	} {
		w := newWorld(t, true)
		manager := &insisting{Backend: w.eim, eim: w.eim}
		w.ipa.EIM = manager
		code, id := w.order(11)
		w.eim.waits(trigger(t, code, 1))
		w.eim.fail = func(call string) error { return map[bool]error{true: errOdd}[call == "provide"] }
		_, err := w.ipa.Poll(t.Context())
		require.ErrorIs(t, err, errOdd, c.rule)
		w.eim.fail = nil

		way := w.ipa.Indirect
		w.ipa.Indirect = over{way, c.err}
		_, err = w.ipa.Poll(t.Context())
		require.Equal(t, c.told == 0, err != nil, c.rule)
		require.Equal(t, c.told, manager.failed, c.rule)
		require.Equal(t, mno.Downloaded, w.state(id), c.rule)

		w.ipa.Indirect = way
		report := w.poll()
		require.True(t, report.Packages[0].Installed && report.Packages[0].Resent, "%s: %s", c.rule, report)
		require.Empty(t, w.eim.queue, c.rule)
		require.Equal(t, mno.Installed, w.state(id), c.rule)
	}
}

// A trigger that stays refused does not keep receipts from their SM-DP+s for ever.
func TestReceiptsAreNotHeldForEver(t *testing.T) {
	t.Parallel()
	w := newWorld(t, true)
	w.ipa.EIM = &insisting{Backend: w.eim, eim: w.eim}
	code, id := w.order(11)
	w.eim.waits(trigger(t, code, 1))
	w.eim.fail = func(call string) error { return map[bool]error{true: errOdd}[call == "provide"] }
	_, err := w.ipa.Poll(t.Context())
	require.ErrorIs(t, err, errOdd)
	w.eim.fail = nil
	w.ipa.Indirect = over{w.ipa.Indirect, &mno.StatusError{Subject: "8.1", Reason: "6.1"}}
	for n := range esipa.DefaultAttempts {
		require.Equal(t, mno.Downloaded, w.state(id), n)
		w.poll()
	}
	require.Equal(t, mno.Installed, w.state(id))
}

// An eIM that has lost its count is told so by the eUICC: a result of the same
// number that is of another transaction is not the answer to its package.
func TestCounterUsedAgain(t *testing.T) {
	t.Parallel()
	w := newWorld(t, false)
	w.eim.silent = true
	w.eim.waits(w.operations(rsp.PSMO{GetRAT: &rsp.Empty{}}))
	w.poll()
	q, err := rsp.Decode[rsp.EUICCPackageRequest](w.operations(rsp.PSMO{GetRAT: &rsp.Empty{}}))
	require.NoError(t, err)
	q.Signed.Raw, q.Raw, q.Signed.Counter = nil, nil, 1
	text, err := q.Signed.SignedText(7)
	require.NoError(t, err)
	q.Signature, err = rsp.Sign(rand.Reader, w.key, text)
	require.NoError(t, err)
	w.eim.waits(encode(t, q))
	r := w.poll()
	require.Equal(t, "operations [E102]: esipa: the eUICC refuses the package: replayError", r.Packages[len(r.Packages)-1].String())
}

// An eIM may name any host for a download. What the device's network says of it,
// with addresses and ports, is in the report and not for the eIM.
func TestNetworkIsNotDisclosed(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		err  error
		told string
	}{
		{&es9.TransportError{Err: errors.New("dial tcp 192.168.1.5:40000->10.0.0.7:443: connection refused")}, "the SM-DP+ was not reached"},
		{&es9.TransportError{Status: 503, Err: errors.New("503 at 10.0.0.7")}, "the SM-DP+ was not reached: HTTP 503"},
	} {
		w := newWorld(t, false)
		w.ipa.Attempts = 1
		w.ipa.LPA.Dial = func(string) (es9.Backend, error) { return over{nil, nil}, c.err }
		w.eim.waits(trigger(t, "1$10.0.0.7$", 1))
		require.ErrorIs(t, w.poll().Packages[0].Err, c.err)
		require.Equal(t, c.told, w.why())
	}
}

// The receipt that an SM-DP+ has not taken says nothing of what another one
// offers under the same ICCID: the eUICC refuses it, and the eIM hears so.
func TestReceiptOfAnotherServer(t *testing.T) {
	t.Parallel()
	const two = "two.example"
	w := newWorld(t, false)
	w.oneAttempt()
	code, id := w.order(11)
	w.toDP.request, w.toDP.second = 4, 5 // the receipt stays
	w.eim.waits(trigger(t, code, 1))
	_, err := w.ipa.Poll(t.Context())
	require.ErrorIs(t, err, errLost)

	engine, err := smdp.New(smdp.Config{Address: two, Now: func() time.Time { return w.now }})
	require.NoError(t, err)
	require.NoError(t, engine.Stock(t.Context(), "", "iot", id))
	r, err := engine.Operator("registry").Order(t.Context(), mno.Order{Device: eid.MustParse(rsptest.EID), ICCID: id, ProfileType: "iot"})
	require.NoError(t, err)
	server, err := smdp.NewServer(engine, smdp.ServerConfig{
		Auth:    smdp.Credential{Certificate: w.pki.DPAuth.DER, Key: w.pki.DPAuth.Key},
		Binding: smdp.Credential{Certificate: w.pki.DPPB.DER, Key: w.pki.DPPB.Key}, CIs: [][]byte{w.ci},
	})
	require.NoError(t, err)
	w.ipa.LPA.Dial = func(name string) (es9.Backend, error) {
		if name != two {
			return nil, errLost
		}
		return server, nil
	}
	w.eim.waits(trigger(t, "1$"+two+"$"+r.MatchingID, 2))
	report, err := w.ipa.Poll(t.Context())
	require.ErrorIs(t, err, errLost, "the first one is still away")
	var refused *es9.InstallationError
	require.ErrorAs(t, report.Packages[0].Err, &refused)
	require.Equal(t, int(rsp.InstallICCIDExists), refused.Code)
}
