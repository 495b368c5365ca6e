package es9_test

import (
	"bytes"
	"context"
	"errors"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/iotregistry/sdk/internal/bertlv"
	"github.com/iotregistry/sdk/internal/rsp"
	"github.com/iotregistry/sdk/internal/rsp/rsptest"
	"github.com/iotregistry/sdk/mno"
	"github.com/iotregistry/sdk/mno/es9"
)

func activation() es9.ActivationCode {
	return es9.ActivationCode{Address: address, MatchingID: "M-1"}
}

func lpa(c *card, b es9.Backend) *es9.LPA {
	return &es9.LPA{Card: c, TAC: fill(0x35, 4), Dial: func(string) (es9.Backend, error) { return b, nil }}
}

func TestDownload(t *testing.T) {
	t.Parallel()
	m := newMessages(t)
	for _, x := range bindings {
		b, c := &backend{m: m}, newCard(t, m)
		l := lpa(c, dial(t, es9.NewHandler(b, nil), x.asn1))
		var asked es9.Metadata
		res, err := l.Download(t.Context(), activation(), func(v es9.Metadata) (string, error) { asked = v; return "", nil })
		require.NoError(t, err)
		require.Equal(t, es9.Metadata{ICCID: iccid, ServiceProvider: "registry.example", ProfileName: "meter",
			Class: es9.ClassOperational, MayNotDelete: true, DER: m.offer.Metadata}, asked)
		require.Equal(t, es9.Result{Metadata: asked, AID: fill(0xA0, 16), Receipt: m.installed}, res)

		require.Equal(t, []string{"initiate", "authenticate", "package", "notify"}, b.calls)
		require.Equal(t, plain([]any{m.initiate, m.authenticate, m.get, m.installed}), plain(b.got), "the eUICC's words arrive as they were")
		require.Equal(t, string(m.bound.Bound), string(bytes.Join(c.loaded, nil)), "the segments are the package")
		require.Len(t, c.loaded, segments)
		require.Zero(t, c.open)

		r, err := rsp.Decode[rsp.AuthenticateServerRequest](c.got(0xBF38)[0])
		require.NoError(t, err)
		require.Equal(t, m.authentication.ServerSigned1, r.ServerSigned1.Raw)
		require.Equal(t, "M-1", *r.CtxParams1.MatchingID)
		require.Equal(t, fill(0x35, 4), r.CtxParams1.Device.TAC)
		p, err := rsp.Decode[rsp.PrepareDownloadRequest](c.got(0xBF21)[0])
		require.NoError(t, err)
		require.Equal(t, m.offer.SMDPSigned2, p.Signed2.Raw)
		require.Nil(t, p.HashCC)
		require.Equal(t, [][]byte{{0xBF, 0x30, 3, 0x80, 1, 5}}, c.got(0xBF30), "what was sent is removed")
		require.Empty(t, c.got(0xBF41))
	}
}

func TestConfirmationCode(t *testing.T) {
	t.Parallel()
	m := newMessages(t)
	m.offer.SMDPSigned2 = encode(t, &rsp.SMDPSigned2{TransactionID: session(), CCRequired: true})
	c := newCard(t, m)
	_, err := lpa(c, &backend{m: m}).Download(t.Context(), activation(), func(v es9.Metadata) (string, error) {
		require.True(t, v.NeedsCode)
		return "1234", nil
	})
	require.NoError(t, err)
	p, err := rsp.Decode[rsp.PrepareDownloadRequest](c.got(0xBF21)[0])
	require.NoError(t, err)
	hash := rsp.HashCC("1234", session())
	require.Equal(t, hash[:], p.HashCC)
}

// scene is one download that something happens to.
type scene struct {
	m       *messages
	c       *card
	b       *backend
	l       *es9.LPA
	code    es9.ActivationCode
	confirm func(es9.Metadata) (string, error)
	stop    context.CancelFunc
}

func newScene(t *testing.T) (*scene, context.Context) {
	m := newMessages(t)
	s := &scene{m: m, c: newCard(t, m), b: &backend{m: m}, code: activation()}
	s.l = lpa(s.c, s.b)
	ctx, stop := context.WithCancel(t.Context())
	t.Cleanup(stop)
	s.stop = stop
	return s, ctx
}

func (s *scene) failAt(call string, err error) {
	s.b.fail = func(c string) error {
		if c == call {
			return err
		}
		return nil
	}
}

func decide(err error) func(t *testing.T, s *scene) {
	return func(_ *testing.T, s *scene) {
		s.confirm = func(es9.Metadata) (string, error) { return "", err }
	}
}

const noCancel = rsp.CancelReason(-1)

// lostOnce is a way to the card on which the first STORE DATA whose data begin
// like this is lost.
func lostOnce(err error, data ...byte) func([]byte) error {
	var done bool
	return func(b []byte) error {
		if done || len(b) < 5 || b[1] != 0xE2 || !bytes.HasPrefix(b[5:], data) {
			return nil
		}
		done = true
		return err
	}
}

func TestCancelReasons(t *testing.T) {
	t.Parallel()
	refused := &mno.StatusError{Subject: "8.2.7", Reason: "3.8"}
	lost := &es9.TransportError{Err: errors.New("cut")}
	odd := errors.New("odd")
	other := rsp.TransactionID{9}
	card := new(es9.CardError)
	for _, x := range []struct {
		rule   string
		change func(t *testing.T, s *scene)
		want   error
		reason rsp.CancelReason
	}{
		{"card has no info", func(_ *testing.T, s *scene) { s.c.refuses(0xBF20, 0x6F00) }, card, noCancel},
		{"card has no challenge", func(_ *testing.T, s *scene) { s.c.always(0xBF2E, []byte{0xBF, 0x2E, 0}) }, card, noCancel},
		{"server refuses to begin", func(_ *testing.T, s *scene) { s.failAt("initiate", refused) }, refused, noCancel},
		{"server has no words", func(_ *testing.T, s *scene) { s.m.authentication.ServerSigned1 = []byte{0x30, 0} }, es9.ErrAnswer, rsp.CancelUndefined},
		{"server has two sessions", func(t *testing.T, s *scene) { s.m.authentication.TransactionID = other }, es9.ErrAnswer, rsp.CancelUndefined},
		{"server has another name", func(_ *testing.T, s *scene) { s.code.Address = "other.example" }, es9.ErrOtherServer, rsp.CancelUndefined},
		{"server's certificate is none", func(_ *testing.T, s *scene) { s.code.OID = "2.999.10" }, es9.ErrAnswer, rsp.CancelUndefined},
		{"card does not authenticate", func(_ *testing.T, s *scene) { s.c.refuses(0xBF38, 0x6985) }, card, rsp.CancelUndefined},
		{"server refuses the card", func(_ *testing.T, s *scene) { s.failAt("authenticate", refused) }, refused, rsp.CancelPostponed},
		{"server is gone", func(_ *testing.T, s *scene) { s.failAt("authenticate", lost) }, lost, rsp.CancelPostponed},
		{"offer without metadata", func(_ *testing.T, s *scene) { s.m.offer.Metadata = []byte{0xBF, 0x25, 0} }, es9.ErrAnswer, rsp.CancelUndefined},
		{"offer that is not signed", func(_ *testing.T, s *scene) { s.m.offer.SMDPSigned2 = nil }, es9.ErrAnswer, rsp.CancelUndefined},
		{"offer of another session", func(_ *testing.T, s *scene) { s.m.offer.TransactionID = other }, es9.ErrAnswer, rsp.CancelUndefined},
		{"user says no", decide(es9.ErrRejected), es9.ErrRejected, rsp.CancelEndUserRejection},
		{"user says later", decide(es9.ErrPostponed), es9.ErrPostponed, rsp.CancelPostponed},
		{"user says nothing", decide(context.DeadlineExceeded), context.DeadlineExceeded, rsp.CancelTimeout},
		{"device forbids the rules", decide(es9.ErrForbidden), es9.ErrForbidden, rsp.CancelPPRNotAllowed},
		{"nobody could be asked", decide(odd), odd, rsp.CancelPostponed},
		{"no code where one is wanted", func(t *testing.T, s *scene) {
			s.m.offer.SMDPSigned2 = encode(t, &rsp.SMDPSigned2{TransactionID: session(), CCRequired: true})
		}, es9.ErrNeedsCode, rsp.CancelPostponed},
		{"card does not prepare", func(_ *testing.T, s *scene) { s.c.refuses(0xBF21, 0x6A80) }, card, rsp.CancelUndefined},
		{"card refuses to prepare", func(t *testing.T, s *scene) {
			s.c.always(0xBF21, encode(t, &rsp.PrepareDownloadResponse{Error: &rsp.PrepareDownloadFailure{TransactionID: session(), Code: rsp.DownloadInvalidSignature}}))
		}, card, rsp.CancelUndefined},
		{"server refuses the code", func(_ *testing.T, s *scene) { s.failAt("package", refused) }, refused, rsp.CancelPostponed},
		{"package is none (SGP.22 section 3.1.3.3)", func(_ *testing.T, s *scene) { s.m.bound.Bound = []byte{0xBF, 0x36, 0} }, es9.ErrAnswer, rsp.CancelLoadBPPError},
		{"answer of another session", func(_ *testing.T, s *scene) { s.m.bound.TransactionID = other }, es9.ErrAnswer, rsp.CancelUndefined},
		{"package of another session", func(t *testing.T, s *scene) { s.m.bound.Bound = bind(t, other, s.m.offer.Metadata) }, es9.ErrAnswer, rsp.CancelUndefined},
		{"package of another profile", func(t *testing.T, s *scene) {
			changed := metadata()
			changed.ProfileName = "other"
			s.m.bound.Bound = bind(t, session(), encode(t, changed))
		}, es9.ErrOtherProfile, rsp.CancelMetadataMismatch},
		{"metadata shorter than their MAC", func(t *testing.T, s *scene) {
			p, err := rsp.Decode[rsp.BoundProfilePackage](s.m.bound.Bound)
			require.NoError(t, err)
			p.StoreMetadata = [][]byte{{0x88, 1, 0}}
			s.m.bound.Bound = encode(t, p)
		}, es9.ErrAnswer, rsp.CancelLoadBPPError},
		{"card stops loading", func(_ *testing.T, s *scene) {
			s.c.segment = func(n int) ([]byte, int) { return nil, map[bool]int{true: 0x6A84, false: 0x9000}[n == 3] }
		}, card, rsp.CancelLoadBPPError},
		{"card answers garbage", func(_ *testing.T, s *scene) { s.c.segment = func(int) ([]byte, int) { return []byte{1}, 0x9000 } }, card, rsp.CancelLoadBPPError},
		{"card has no result", func(_ *testing.T, s *scene) { s.c.segment = func(int) ([]byte, int) { return nil, 0x9000 } }, card, rsp.CancelLoadBPPError},
		{"card is gone for a moment within loading", func(_ *testing.T, s *scene) { s.c.before = lostOnce(odd, 0xA0) }, odd, rsp.CancelTimeout},
		{"card is gone for a moment within authentication", func(_ *testing.T, s *scene) { s.c.before = lostOnce(odd, 0xBF, 0x38) }, odd, rsp.CancelTimeout},
		{"card is gone for a moment within preparation", func(_ *testing.T, s *scene) { s.c.before = lostOnce(odd, 0xBF, 0x21) }, odd, rsp.CancelTimeout},
		{"caller stops within loading", func(_ *testing.T, s *scene) {
			s.c.segment = func(int) ([]byte, int) { s.stop(); return nil, 0x9000 }
		}, context.Canceled, rsp.CancelPostponed},
	} {
		t.Run(x.rule, func(t *testing.T) {
			t.Parallel()
			s, ctx := newScene(t)
			x.change(t, s)
			_, err := s.l.Download(ctx, s.code, s.confirm)
			if x.want == error(card) {
				var ce *es9.CardError
				require.ErrorAs(t, err, &ce)
			} else {
				require.ErrorIs(t, err, x.want)
			}
			require.Zero(t, s.c.open, "the channel is closed")
			if x.reason == noCancel {
				require.Empty(t, s.c.got(0xBF41))
				require.NotContains(t, s.b.calls, "cancel")
				return
			}
			require.Len(t, s.c.got(0xBF41), 1)
			require.Equal(t, "cancel", s.b.calls[len(s.b.calls)-1])
			r, err := rsp.Decode[rsp.CancelSessionRequest](s.c.got(0xBF41)[0])
			require.NoError(t, err)
			require.Equal(t, x.reason, r.Reason)
			require.Equal(t, cancelled(t, x.reason), s.b.got[len(s.b.got)-1].(es9.CancelSession).Response, "as the eUICC signed it")
		})
	}
}

// The eUICC's refusal of a server goes to that server, and there is no session
// to cancel.
func TestRefusedServer(t *testing.T) {
	t.Parallel()
	s, ctx := newScene(t)
	refusal := encode(t, &rsp.AuthenticateServerResponse{Error: &rsp.AuthenticateFailure{TransactionID: session(), Code: rsp.AuthCIKeyUnknown}})
	s.c.always(0xBF38, refusal)
	_, err := s.l.Download(ctx, s.code, nil)
	require.ErrorContains(t, err, "AuthenticateServer: ciPKUnknown")
	require.Equal(t, []string{"initiate", "authenticate"}, s.b.calls)
	require.Equal(t, refusal, s.b.got[1].(es9.AuthenticateClient).Response)
	require.Empty(t, s.c.got(0xBF41))
}

// A cancellation that fails does not hide the error that led to it.
func TestCancellationFails(t *testing.T) {
	t.Parallel()
	for rule, change := range map[string]func(s *scene){
		"card does not":      func(s *scene) { s.c.refuses(0xBF41, 0x6F00) },
		"card knows no such": func(s *scene) { s.c.always(0xBF41, encode(t, &rsp.CancelSessionResponse{Error: ptr(5)})) },
	} {
		s, ctx := newScene(t)
		change(s)
		_, err := s.l.Download(ctx, s.code, func(es9.Metadata) (string, error) { return "", es9.ErrRejected })
		require.ErrorIs(t, err, es9.ErrRejected, rule)
		require.NotContains(t, s.b.calls, "cancel", rule)
	}
}

// A result before the last segment is an error, which the eUICC has signed: the
// server gets it as a notification, and there is nothing to cancel.
func TestEarlyResult(t *testing.T) {
	t.Parallel()
	for at := 1; at <= segments; at++ {
		s, ctx := newScene(t)
		result := installed(t, 7, &rsp.InstallationFailure{Command: rsp.BPPStoreMetadata, Reason: rsp.InstallSCP03tSecurity, SIMAResponse: []byte{0x30, 0}})
		s.c.segment = func(n int) ([]byte, int) {
			if n == at {
				return result, 0x9000
			}
			return nil, 0x9000
		}
		res, err := s.l.Download(ctx, s.code, nil)
		var ie *es9.InstallationError
		require.ErrorAs(t, err, &ie)
		require.Equal(t, &es9.InstallationError{ICCID: iccid, Step: "storeMetadata", Reason: "scp03tSecurityError", Code: 8, Details: []byte{0x30, 0}, Receipt: result}, ie)
		require.Equal(t, iccid, res.Metadata.ICCID)
		require.Len(t, s.c.loaded, at, "nothing more is loaded")
		require.Equal(t, result, s.b.got[3])
		require.Equal(t, [][]byte{{0xBF, 0x30, 3, 0x80, 1, 7}}, s.c.got(0xBF30))
		require.Empty(t, s.c.got(0xBF41))
	}
}

func TestUnsentResult(t *testing.T) {
	t.Parallel()
	s, ctx := newScene(t)
	s.failAt("notify", errors.New("away"))
	res, err := s.l.Download(ctx, s.code, nil)
	require.NoError(t, err, "the profile is installed all the same")
	require.ErrorContains(t, res.Unsent, "away")
	require.Empty(t, s.c.got(0xBF30), "what was not sent stays")

	s, ctx = newScene(t)
	s.c.always(0xBF30, encode(t, &rsp.NotificationSentResponse{Status: 127}))
	res, err = s.l.Download(ctx, s.code, nil)
	require.NoError(t, err)
	require.ErrorContains(t, res.Unsent, "RemoveNotificationFromList")
}

func TestServersObjectIdentifier(t *testing.T) {
	t.Parallel()
	pki, err := rsptest.New(time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC))
	require.NoError(t, err)
	for oid, want := range map[string]error{"": nil, rsptest.SMDPOID: nil, "2.999.11": es9.ErrOtherServer} {
		s, ctx := newScene(t)
		s.m.authentication.Certificate = pki.DPAuth.DER
		s.code.OID = oid
		s.code.Address = "smdp.EXAMPLE:8443"
		_, err := s.l.Download(ctx, s.code, nil)
		require.ErrorIs(t, err, want)
		require.Equal(t, "smdp.EXAMPLE:8443", s.b.got[0].(es9.InitiateAuthentication).SMDPAddress, "as the activation code has it")
	}
	s, ctx := newScene(t)
	s.code.OID = rsptest.SMDPOID
	s.m.authentication.Certificate = pki.CI.DER
	_, err = s.l.Download(ctx, s.code, nil)
	require.ErrorIs(t, err, es9.ErrAnswer, "a certificate without object identifier")
}

func TestProcessNotifications(t *testing.T) {
	t.Parallel()
	m := newMessages(t)
	c := newCard(t, m)
	all := map[int64][]byte{
		1: m.installed, 3: other(t, rsp.EventEnable, 3, "away.example"), 4: other(t, rsp.EventDisable, 4, "Away.example"),
		6: other(t, rsp.EventDelete, 6, "b.example"), 7: other(t, rsp.EventDelete, 7, "a b"),
	}
	list := rsp.ListNotificationResponse{}
	for number, b := range all {
		n, err := rsp.DecodePendingNotification(b)
		require.NoError(t, err)
		md := *n.Metadata()
		md.SeqNumber = number
		list.List = append(list.List, md)
	}
	c.always(0xBF28, encode(t, &list))
	c.answers[0xBF2B] = func(b []byte) ([]byte, int) {
		r, err := rsp.Decode[rsp.RetrieveNotificationsRequest](b)
		require.NoError(t, err)
		return bertlv.Append(nil, 0xBF2B, bertlv.Append(nil, 0xA0, all[*r.SeqNumber])), 0x9000
	}
	servers := map[string]*backend{address: {m: m}, "b.example": {m: m}, "away.example": {m: m, fail: always(errors.New("away"))}}
	l := &es9.LPA{Card: c, Dial: func(a string) (es9.Backend, error) { return servers[a], nil }}
	sent, err := l.ProcessNotifications(t.Context())
	require.Equal(t, 2, sent)
	require.ErrorContains(t, err, "notification 3: away")
	require.ErrorContains(t, err, "notification 7 has no address")
	require.NotContains(t, err.Error(), "notification 4", "later ones for the same server wait")
	require.Equal(t, []any{m.installed}, servers[address].got)
	require.Equal(t, []any{all[6]}, servers["b.example"].got)
	require.Len(t, servers["away.example"].got, 1)
	require.Equal(t, [][]byte{{0xBF, 0x30, 3, 0x80, 1, 1}, {0xBF, 0x30, 3, 0x80, 1, 6}}, c.got(0xBF30))
	require.Zero(t, c.open)

	for rule, change := range map[string]func(){
		"list refused": func() { c.always(0xBF28, encode(t, &rsp.ListNotificationResponse{Error: ptr(127)})) },
		"list broken":  func() { c.refuses(0xBF28, 0x6F00) },
		"none there":   func() { c.always(0xBF2B, encode(t, &rsp.RetrieveNotificationsResponse{Error: ptr(1)})) },
		"none in it": func() {
			c.always(0xBF2B, encode(t, &rsp.RetrieveNotificationsResponse{List: []rsp.PendingNotification{}}))
		},
		"not retrieved":    func() { c.refuses(0xBF2B, 0x6F00) },
		"not well written": func() { c.always(0xBF2B, []byte{0xBF, 0x2B, 2, 0xA0, 1}) },
	} {
		c.always(0xBF28, encode(t, &list))
		change()
		sent, err := l.ProcessNotifications(t.Context())
		require.Zero(t, sent, rule)
		var ce *es9.CardError
		require.ErrorAs(t, err, &ce, rule)
	}
}
