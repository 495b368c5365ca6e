package esipa_test

import (
	"context"
	"sync"
	"testing"

	"github.com/iotregistry/sdk/internal/bertlv"
	"github.com/iotregistry/sdk/internal/rsp"
	"github.com/iotregistry/sdk/internal/rsp/rsptest"
	"github.com/iotregistry/sdk/mno/es9"
	"github.com/iotregistry/sdk/mno/esipa"
)

const iccid = "8944476500001224158"

// messages are well formed and signed by nobody.
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
	pkg            []byte
	result         esipa.Result
	numbers        []int64
}

func session() rsp.TransactionID { return rsp.TransactionID{0x01, 0xAB} }

func signature() []byte { return bertlv.Append(nil, 0x5F37, fill(7, 64)) }

func certificate() []byte { return bertlv.Append(nil, 0x30, []byte{2, 1, 5}) }

func point() []byte { return append([]byte{4}, fill(9, 64)...) }

// bind makes a package without a single valid MAC.
func bind(t testing.TB, id rsp.TransactionID, metadata []byte) []byte {
	return encode(t, &rsp.BoundProfilePackage{
		SecureChannel: rsp.InitialiseSecureChannelRequest{
			RemoteOperation: rsp.InstallBoundProfilePackage, TransactionID: id,
			ControlRef: rsp.ControlRef{KeyType: 0x88, KeyLen: 0x10, HostID: []byte("host")},
			SMDPOTPK:   point(), SMDPSign: fill(7, 64),
		},
		ConfigureISDP:  [][]byte{bertlv.Append(nil, 0x87, fill(1, 24))},
		StoreMetadata:  [][]byte{bertlv.Append(nil, 0x88, metadata, fill(9, 8))},
		ProfilePackage: [][]byte{bertlv.Append(nil, 0x86, fill(6, 40))},
	})
}

func notification(event rsp.Events, number int64, address string) rsp.NotificationMetadata {
	id := rsp.ICCID(iccid)
	return rsp.NotificationMetadata{SeqNumber: number, Event: event, Address: address, ICCID: &id}
}

func receipt(t testing.TB, number int64, failure *rsp.InstallationFailure) []byte {
	r := rsp.ProfileInstallationResult{Signature: fill(7, 64), Data: rsp.ProfileInstallationResultData{
		TransactionID: session(), Notification: notification(rsp.EventInstall, number, address), SMDPOID: ptr(rsp.OID("2.999.10")), Error: failure,
	}}
	if failure == nil {
		r.Data.Success = &rsp.InstallationSuccess{AID: fill(0xA0, 16), SIMAResponse: []byte{0x30, 0}}
	}
	return encode(t, &r)
}

func deleted(t testing.TB, number int64, address string) []byte {
	return encode(t, &rsp.OtherSignedNotification{Notification: notification(rsp.EventDelete, number, address), Signature: fill(7, 64),
		EUICCCertificate: certificate(), EUMCertificate: certificate()})
}

func cancelled(t testing.TB, reason rsp.CancelReason) []byte {
	return encode(t, &rsp.CancelSessionResponse{OK: &rsp.CancelSessionOK{Signature: fill(7, 64),
		Signed: rsp.EUICCCancelSessionSigned{TransactionID: session(), SMDPOID: "2.999.10", Reason: reason}}})
}

// done is an eUICC's result of the nth package.
func done(t testing.TB, counter, number int64, results ...rsp.EUICCResultData) []byte {
	return encode(t, &rsp.EUICCPackageResult{Signed: &rsp.EUICCPackageResultSigned{Signature: fill(7, 64), Data: rsp.EUICCPackageResultData{
		EIMID: eimID, Counter: counter, SeqNumber: number, Results: append([]rsp.EUICCResultData{}, results...)}}})
}

// asks is a package of operations.
func asks(t testing.TB, counter int64, list ...rsp.PSMO) []byte {
	id, err := rsp.ParseEID(rsptest.EID)
	if err != nil {
		t.Fatal(err)
	}
	return encode(t, &rsp.EUICCPackageRequest{Signature: fill(7, 64), Signed: rsp.EUICCPackageSigned{
		EIMID: eimID, EID: id, Counter: counter, Operations: list}})
}

func newMessages(t testing.TB) *messages {
	id := session()
	info1 := &rsp.EUICCInfo1{SVN: []byte{2, 5, 0}, VerifyKeys: [][]byte{fill(1, 20)}, SignKeys: [][]byte{fill(1, 20)}}
	info2 := rsp.EUICCInfo2{ProfileVersion: []byte{2, 3, 1}, SVN: []byte{2, 5, 0}, Firmware: []byte{1, 0, 0},
		ExtCardResource: []byte{0x81, 1, 0}, VerifyKeys: [][]byte{fill(1, 20)}, SignKeys: [][]byte{fill(1, 20)}, PPVersion: []byte{0, 0, 1}, SASNumber: "A"}
	proof := rsp.AuthenticateServerResponse{OK: &rsp.AuthenticateOK{
		Signed1: rsp.EUICCSigned1{TransactionID: id, ServerAddress: address, ServerChallenge: fill(2, 16), Info2: info2,
			CtxParams1: rsp.CtxParams1{MatchingID: ptr("M-1"), Device: rsp.DeviceInfo{TAC: fill(0x35, 4)}}},
		Signature1: fill(7, 64), EUICCCertificate: certificate(), EUMCertificate: certificate()}}
	prepared := rsp.PrepareDownloadResponse{OK: &rsp.PrepareDownloadOK{Signature2: fill(7, 64), Signed2: rsp.EUICCSigned2{TransactionID: id, OTPK: point()}}}
	shown := encode(t, &rsp.StoreMetadataRequest{ICCID: iccid, ServiceProvider: "registry.example", ProfileName: "meter"})
	return &messages{
		initiate: es9.InitiateAuthentication{Challenge: fill(1, 16), Info1: encode(t, info1), SMDPAddress: address},
		authentication: es9.Authentication{TransactionID: id, Signature1: signature(), CIKeyID: bertlv.Append(nil, 4, fill(1, 20)), Certificate: certificate(),
			ServerSigned1: encode(t, &rsp.ServerSigned1{TransactionID: id, EUICCChallenge: fill(1, 16), ServerAddress: address, ServerChallenge: fill(2, 16)})},
		authenticate: es9.AuthenticateClient{TransactionID: id, Response: encode(t, &proof)},
		offer: es9.Offer{TransactionID: id, Metadata: shown, Signature2: signature(), Certificate: certificate(),
			SMDPSigned2: encode(t, &rsp.SMDPSigned2{TransactionID: id})},
		get:       es9.GetBoundProfilePackage{TransactionID: id, Response: encode(t, &prepared)},
		bound:     es9.Package{TransactionID: id, Bound: bind(t, id, shown)},
		cancel:    es9.CancelSession{TransactionID: id, Response: cancelled(t, rsp.CancelPostponed)},
		installed: receipt(t, 5, nil),
		deleted:   deleted(t, 6, address),
		pkg:       asks(t, 1, rsp.PSMO{Enable: &rsp.PSMOEnable{ICCID: iccid}}),
		result:    esipa.Result{EID: rsptest.EID, Object: done(t, 1, 9, rsp.EUICCResultData{Enable: ptr(rsp.ProfileOK)})},
		numbers:   []int64{9, 10},
	}
}

// backend is both back ends; it answers with m and remembers what it was asked.
type backend struct {
	m    *messages
	fail func(call string) error // nil: nothing fails

	mu    sync.Mutex
	calls []string
	got   []any
}

var (
	_ esipa.Backend = (*backend)(nil)
	_ es9.Backend   = (*backend)(nil)
)

func (b *backend) note(call string, v any) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.calls, b.got = append(b.calls, call), append(b.got, v)
	if b.fail == nil {
		return nil
	}
	return b.fail(call)
}

func (b *backend) GetEIMPackage(_ context.Context, p esipa.Poll) ([]byte, error) {
	return b.m.pkg, b.note("get", p)
}

func (b *backend) ProvideEIMPackageResult(_ context.Context, r esipa.Result) ([]int64, error) {
	return b.m.numbers, b.note("provide", r)
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
