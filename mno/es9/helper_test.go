package es9_test

import (
	"bytes"
	"context"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/iotregistry/sdk/internal/bertlv"
	"github.com/iotregistry/sdk/internal/rsp"
	"github.com/iotregistry/sdk/mno/es9"
)

const (
	iccid   = "8944476500001224158"
	address = "smdp.example"
)

func ptr[T any](v T) *T { return &v }

func fill(b byte, n int) []byte { return bytes.Repeat([]byte{b}, n) }

func encode(t testing.TB, m rsp.Message) []byte {
	t.Helper()
	b, err := rsp.Encode(m)
	require.NoError(t, err)
	return b
}

// messages are one session's, well formed and signed by nobody.
type messages struct {
	initiate       es9.InitiateAuthentication
	authentication es9.Authentication
	authenticate   es9.AuthenticateClient
	offer          es9.Offer
	get            es9.GetBoundProfilePackage
	bound          es9.Package
	cancel         es9.CancelSession
	installed      []byte
	deleted        []byte
}

func session() rsp.TransactionID { return rsp.TransactionID{0x01, 0xAB} }

func signature() []byte { return bertlv.Append(nil, 0x5F37, fill(7, 64)) }

func certificate() []byte { return bertlv.Append(nil, 0x30, []byte{2, 1, 5}) }

func metadata() *rsp.StoreMetadataRequest {
	return &rsp.StoreMetadataRequest{ICCID: iccid, ServiceProvider: "registry.example", ProfileName: "meter", PolicyRules: ptr(rsp.PPR2)}
}

// bind makes a package without a single valid MAC, with its metadata in two
// segments.
func bind(t testing.TB, id rsp.TransactionID, metadata []byte) []byte {
	mac := fill(9, 8)
	half := len(metadata) / 2
	return encode(t, &rsp.BoundProfilePackage{
		SecureChannel: rsp.InitialiseSecureChannelRequest{
			RemoteOperation: rsp.InstallBoundProfilePackage, TransactionID: id,
			ControlRef: rsp.ControlRef{KeyType: 0x88, KeyLen: 0x10, HostID: []byte("host")},
			SMDPOTPK:   append([]byte{4}, fill(9, 64)...), SMDPSign: fill(7, 64),
		},
		ConfigureISDP:  [][]byte{bertlv.Append(nil, 0x87, fill(1, 24))},
		StoreMetadata:  [][]byte{bertlv.Append(nil, 0x88, metadata[:half], mac), bertlv.Append(nil, 0x88, metadata[half:], mac)},
		ProfilePackage: [][]byte{bertlv.Append(nil, 0x86, fill(6, 1016)), bertlv.Append(nil, 0x86, fill(6, 40))},
	})
}

func notification(event rsp.Events, number int64, address string) rsp.NotificationMetadata {
	id := rsp.ICCID(iccid)
	return rsp.NotificationMetadata{SeqNumber: number, Event: event, Address: address, ICCID: &id}
}

func installed(t testing.TB, number int64, failure *rsp.InstallationFailure) []byte {
	r := rsp.ProfileInstallationResult{Signature: fill(7, 64), Data: rsp.ProfileInstallationResultData{
		TransactionID: session(), Notification: notification(rsp.EventInstall, number, address), SMDPOID: ptr(rsp.OID("2.999.10")), Error: failure,
	}}
	if failure == nil {
		r.Data.Success = &rsp.InstallationSuccess{AID: fill(0xA0, 16), SIMAResponse: []byte{0x30, 0}}
	}
	return encode(t, &r)
}

func other(t testing.TB, event rsp.Events, number int64, address string) []byte {
	return encode(t, &rsp.OtherSignedNotification{Notification: notification(event, number, address), Signature: fill(7, 64),
		EUICCCertificate: certificate(), EUMCertificate: certificate()})
}

func info1() *rsp.EUICCInfo1 {
	return &rsp.EUICCInfo1{SVN: []byte{2, 5, 0}, VerifyKeys: [][]byte{fill(1, 20)}, SignKeys: [][]byte{fill(1, 20)}}
}

func cancelled(t testing.TB, reason rsp.CancelReason) []byte {
	return encode(t, &rsp.CancelSessionResponse{OK: &rsp.CancelSessionOK{Signature: fill(7, 64),
		Signed: rsp.EUICCCancelSessionSigned{TransactionID: session(), SMDPOID: "2.999.10", Reason: reason}}})
}

func newMessages(t testing.TB) *messages {
	id := session()
	ctx := rsp.CtxParams1{MatchingID: ptr("M-1"), Device: rsp.DeviceInfo{TAC: fill(0x35, 4)}}
	info2 := rsp.EUICCInfo2{ProfileVersion: []byte{2, 3, 1}, SVN: []byte{2, 5, 0}, Firmware: []byte{1, 0, 0},
		ExtCardResource: []byte{0x81, 1, 0}, VerifyKeys: [][]byte{fill(1, 20)}, SignKeys: [][]byte{fill(1, 20)}, PPVersion: []byte{0, 0, 1}, SASNumber: "A"}
	proof := rsp.AuthenticateServerResponse{OK: &rsp.AuthenticateOK{
		Signed1:    rsp.EUICCSigned1{TransactionID: id, ServerAddress: address, ServerChallenge: fill(2, 16), Info2: info2, CtxParams1: ctx},
		Signature1: fill(7, 64), EUICCCertificate: certificate(), EUMCertificate: certificate()}}
	prepared := rsp.PrepareDownloadResponse{OK: &rsp.PrepareDownloadOK{Signature2: fill(7, 64),
		Signed2: rsp.EUICCSigned2{TransactionID: id, OTPK: append([]byte{4}, fill(9, 64)...)}}}
	shown := encode(t, metadata())
	return &messages{
		initiate: es9.InitiateAuthentication{Challenge: fill(1, 16), Info1: encode(t, info1()), SMDPAddress: address},
		authentication: es9.Authentication{TransactionID: id, Signature1: signature(), CIKeyID: bertlv.Append(nil, 4, fill(1, 20)), Certificate: certificate(),
			ServerSigned1: encode(t, &rsp.ServerSigned1{TransactionID: id, EUICCChallenge: fill(1, 16), ServerAddress: "SMDP.example", ServerChallenge: fill(2, 16)})},
		authenticate: es9.AuthenticateClient{TransactionID: id, Response: encode(t, &proof)},
		offer: es9.Offer{TransactionID: id, Metadata: shown, Signature2: signature(), Certificate: certificate(),
			SMDPSigned2: encode(t, &rsp.SMDPSigned2{TransactionID: id})},
		get:       es9.GetBoundProfilePackage{TransactionID: id, Response: encode(t, &prepared)},
		bound:     es9.Package{TransactionID: id, Bound: bind(t, id, shown)},
		cancel:    es9.CancelSession{TransactionID: id, Response: cancelled(t, rsp.CancelPostponed)},
		installed: installed(t, 5, nil),
		deleted:   other(t, rsp.EventDelete, 6, address),
	}
}

// backend answers with m and remembers what it was asked.
type backend struct {
	m    *messages
	fail func(call string) error // nil: nothing fails

	mu    sync.Mutex
	calls []string
	got   []any
}

func (b *backend) note(call string, v any) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.calls, b.got = append(b.calls, call), append(b.got, v)
	if b.fail == nil {
		return nil
	}
	return b.fail(call)
}

func (b *backend) InitiateAuthentication(_ context.Context, r es9.InitiateAuthentication) (es9.Authentication, error) {
	return b.m.authentication, b.note("initiate", r)
}

func (b *backend) AuthenticateClient(_ context.Context, r es9.AuthenticateClient) (es9.Offer, error) {
	return b.m.offer, b.note("authenticate", r)
}

func (b *backend) GetBoundProfilePackage(_ context.Context, r es9.GetBoundProfilePackage) (es9.Package, error) {
	return b.m.bound, b.note("package", r)
}

func (b *backend) CancelSession(_ context.Context, r es9.CancelSession) error {
	return b.note("cancel", r)
}

func (b *backend) HandleNotification(_ context.Context, n []byte) error {
	return b.note("notify", n)
}

func always(err error) func(string) error { return func(string) error { return err } }

// dial serves h with TLS and returns a client for it that retries fast.
func dial(t testing.TB, h http.Handler, asn1 bool) *es9.Client {
	s := httptest.NewUnstartedServer(h)
	s.EnableHTTP2 = true
	s.Config.ErrorLog = slog.NewLogLogger(slog.DiscardHandler, slog.LevelError)
	s.StartTLS()
	t.Cleanup(s.Close)
	return &es9.Client{BaseURL: s.URL + "/", HTTP: s.Client(), ASN1: asn1,
		Retry: es9.Retry{Min: time.Microsecond, Max: time.Millisecond}}
}

// direct is a RoundTripper into a handler, without a network.
type direct struct{ http.Handler }

func (d direct) RoundTrip(r *http.Request) (*http.Response, error) {
	w := httptest.NewRecorder()
	d.ServeHTTP(w, r)
	return w.Result(), nil
}

func inMemory(h http.Handler, asn1 bool) *es9.Client {
	return &es9.Client{BaseURL: "https://smdp.example", HTTP: &http.Client{Transport: direct{h}}, ASN1: asn1,
		Retry: es9.Retry{Min: time.Microsecond, Max: time.Millisecond}}
}

// post sends a body as another implementation would.
func post(t testing.TB, h http.Handler, path, mediaType, body string, header ...string) *httptest.ResponseRecorder {
	t.Helper()
	r := httptest.NewRequestWithContext(t.Context(), http.MethodPost, path, bytes.NewReader([]byte(body)))
	r.Header.Set("Content-Type", mediaType)
	r.Header.Set("X-Admin-Protocol", "gsma/rsp/v2.2.2")
	for i := 0; i < len(header); i += 2 {
		r.Header.Set(header[i], header[i+1])
	}
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	return w
}
