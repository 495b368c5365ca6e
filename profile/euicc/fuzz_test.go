package euicc_test

import (
	"bytes"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/iotregistry/sdk/internal/apdu"
	"github.com/iotregistry/sdk/internal/bertlv"
	"github.com/iotregistry/sdk/internal/rsp"
	"github.com/iotregistry/sdk/internal/rsp/rsptest"
	"github.com/iotregistry/sdk/profile/euicc"
)

// split turns the fuzzer's bytes into commands: a length byte before each.
func split(b []byte) [][]byte {
	var list [][]byte
	for len(b) > 0 && len(list) < 64 {
		n := min(int(b[0])+1, len(b)-1)
		list, b = append(list, b[1:1+n]), b[1+n:]
	}
	return list
}

func join(commands ...[]byte) []byte {
	var b []byte
	for _, c := range commands {
		b = append(append(b, byte(len(c)-1)), c...)
	}
	return b
}

// FuzzTransmit: no sequence of commands makes the chip panic or grow, and each
// has an answer that ends with a status word.
func FuzzTransmit(f *testing.F) {
	sel := append([]byte{0, 0xA4, 4, 0, 16}, isdr()...)
	eid := []byte{0x80, 0xE2, 0x91, 0, 6, 0xBF, 0x3E, 3, 0x5C, 1, 0x5A}
	get := []byte{0x80, 0xC0, 0, 0, 0}
	f.Add(join(sel, eid, get))
	f.Add(join([]byte{0, 0x70, 0, 0, 1}, append([]byte{1}, sel[1:]...), append([]byte{0x81}, eid[1:]...), []byte{0, 0x70, 0x80, 1}))
	f.Add(join(sel, []byte{0x80, 0xE2, 0x11, 0, 2, 0xBF, 0x3E}, []byte{0x80, 0xE2, 0x91, 1, 4, 3, 0x5C, 1, 0x5A}, get))
	f.Add(join(sel, []byte{0x80, 0xE2, 0x91, 0, 3, 0xBF, 0x2E, 0}, []byte{0x80, 0xE2, 0x91, 0, 3, 0xBF, 0x36, 0x82}, get))
	pki, err := rsptest.New(start())
	require.NoError(f, err)
	identity, err := pki.EUICC(rsptest.EID)
	require.NoError(f, err)
	f.Fuzz(func(t *testing.T, b []byte) {
		w := newWorldOf(t, pki, identity)
		w.chip.Reset()
		for _, c := range split(b) {
			r, err := w.chip.Transmit(t.Context(), c)
			require.NoError(t, err)
			_, err = apdu.ParseResponse(r)
			require.NoError(t, err)
			require.LessOrEqual(t, len(r), 256+2+len(b), "as long as Le at most, which has two bytes for long commands only")
		}
		require.Empty(t, w.chip.Profiles(), "nobody has signed one")
	})
}

// FuzzPackage: whatever an eIM signs, the chip has an answer that it has signed,
// and can go on from its state. Nothing is done twice.
func FuzzPackage(f *testing.F) {
	base := newManager(f, newWorld(f), "eim.example.com")
	data := base.data(f)
	base.cfg.EIMs = [][]byte{object(f, data)}
	id, err := rsp.ParseEID(rsptest.EID)
	require.NoError(f, err)
	head := func(counter byte) []byte {
		b := bertlv.Append(nil, 0x80, []byte(base.id))
		return bertlv.Append(bertlv.Append(b, 0x5A, id[:]), 0x81, []byte{counter})
	}
	for _, q := range []*rsp.EUICCPackageRequest{
		base.order([]rsp.PSMO{listing(), {GetRAT: &rsp.Empty{}}, disable(iccid), enable(second, true), erase(iccid)}, nil),
		base.order([]rsp.PSMO{enable(second, true), {SetFallback: &rsp.PSMOProfile{ICCID: iccid}}}, nil),
		base.order([]rsp.PSMO{{ConfigureImmediate: &rsp.ConfigureImmediateProfileEnablingRequest{Enable: true}}, {SetDefaultSMDP: &rsp.PSMOAddress{Address: "x"}}}, nil),
		base.order(nil, []rsp.ECO{{List: &rsp.Empty{}}, {Delete: &rsp.ECODelete{EIMID: base.id}}, {Add: &data}, {Update: &data}}),
		base.order(nil, []rsp.ECO{{Update: &data}, {Delete: &rsp.ECODelete{EIMID: "x"}}}),
	} {
		q.Signed.EIMTransactionID, q.Signed.Counter = nil, 1
		b, err := rsp.Encode(&q.Signed)
		require.NoError(f, err)
		t, err := bertlv.Parse(b)
		require.NoError(f, err)
		f.Add(t.Value[len(head(1)):])
	}
	f.Fuzz(func(t *testing.T, operations []byte) {
		m := *base
		m.world = newWorldOf(t, base.pki, &rsptest.Identity{DER: base.cfg.Certificate, Key: base.world.key}, func(c *euicc.ChipConfig) {
			c.EIMs = base.cfg.EIMs
		})
		m.install(t, newOrder(t, iccid, nil))
		m.install(t, newOrder(t, second, nil))
		m.enable(t, iccid)
		text := bertlv.Append(nil, 0x30, head(1), operations)
		signature, err := rsp.Sign(nil, m.key, append(bytes.Clone(text), 0x84, 1, 0))
		require.NoError(t, err)
		request := bertlv.Append(nil, 0xBF51, text, bertlv.Append(nil, 0x5F37, signature))
		answer, err := m.store(t, request)
		if err != nil {
			return // it is no package
		}
		r, err := rsp.Decode[rsp.EUICCPackageResult](answer)
		require.NoError(t, err)
		require.NotNil(t, r.Signed)
		m.check(t, r)
		cfg := m.cfg
		cfg.State, err = m.chip.Snapshot()
		require.NoError(t, err)
		m.chip, err = euicc.NewChip(cfg)
		require.NoError(t, err)
		m.connect(t)
		require.Equal(t, []rsp.EUICCPackageResult{*r}, results(t, m.world))
		answer, err = m.store(t, request)
		require.NoError(t, err)
		r, err = rsp.Decode[rsp.EUICCPackageResult](answer)
		require.NoError(t, err)
		require.Nil(t, r.Signed, "it is carried out once")
	})
}

// FuzzES10: no data make a function panic, and what is answered can be decoded
// by whoever asked. The chip is in the middle of a download.
func FuzzES10(f *testing.F) {
	base := newWorld(f)
	m := newManager(f, base, "eim.example.com")
	data := m.data(f)
	base.cfg.EIMs = [][]byte{object(f, data)}
	for _, m := range []rsp.Message{
		base.authRequest(f), &rsp.GetEUICCInfo1Request{}, &rsp.GetEUICCInfo2Request{}, &rsp.GetEUICCChallengeRequest{},
		&rsp.GetEIDRequest{TagList: []byte{0x5A}}, &rsp.ConfiguredAddressesRequest{}, &rsp.SetDefaultSMDPRequest{Address: address},
		&rsp.ProfileInfoListRequest{TagList: []byte{0x5A, 0x9F, 0x70}}, &rsp.ListNotificationRequest{}, &rsp.RetrieveNotificationsRequest{},
		&rsp.NotificationSentRequest{SeqNumber: 1}, &rsp.EnableProfileRequest{Profile: rsp.ProfileID{ICCID: ptr(iccid)}},
		&rsp.DisableProfileRequest{Profile: rsp.ProfileID{ICCID: ptr(iccid)}}, &rsp.DeleteProfileRequest{Profile: rsp.ProfileID{ICCID: ptr(iccid)}},
		&rsp.SetNicknameRequest{ICCID: iccid, Nickname: "n"}, &rsp.CancelSessionRequest{TransactionID: rsp.TransactionID{1}},
		&rsp.RetrieveNotificationsRequest{PackageResults: true}, &rsp.GetCertsRequest{}, &rsp.GetEIMConfigurationDataRequest{EIMID: ptr(m.id)},
		&rsp.AddInitialEIMRequest{EIMs: []rsp.EIMConfigurationData{data}}, &rsp.EUICCMemoryResetRequest{Options: rsp.ResetOperational},
		&rsp.EUICCMemoryResetIoTRequest{Options: rsp.ResetOperational | rsp.ResetEIMs | rsp.ResetImmediateEnable},
		&rsp.ConfigureImmediateProfileEnablingRequest{Enable: true}, &rsp.ImmediateEnableRequest{}, &rsp.ProfileRollbackRequest{},
		m.sign(f, m.order([]rsp.PSMO{listing(), enable(iccid, true), disable(iccid), erase(iccid)}, nil)),
		m.sign(f, m.order(nil, []rsp.ECO{{Add: &data}, {Update: &data}, {List: &rsp.Empty{}}, {Delete: &rsp.ECODelete{EIMID: m.id}}})),
	} {
		b, err := rsp.Encode(m)
		require.NoError(f, err)
		f.Add(b, uint16(0))
	}
	ok := base.prepare(f, nil)
	for i, s := range base.bind(f, ok, newOrder(f, iccid, []byte("opaque"))) {
		f.Add(s, uint16(i))
	}
	f.Fuzz(func(t *testing.T, b []byte, segments uint16) {
		w := newWorldOf(t, base.pki, &rsptest.Identity{DER: base.auth.OK.EUICCCertificate, Key: base.key}, func(c *euicc.ChipConfig) {
			c.EIMs = base.cfg.EIMs
		})
		s := w.bind(t, w.prepare(t, nil), newOrder(t, iccid, []byte("opaque")))
		for _, segment := range s[:int(segments)%len(s)] {
			_, err := w.store(t, segment)
			require.NoError(t, err)
		}
		answer, err := w.store(t, b)
		if err != nil || len(answer) == 0 {
			return
		}
		require.True(t, bytes.HasPrefix(answer, []byte{0xBF}))
		require.LessOrEqual(t, len(w.chip.Profiles()), 1)
	})
}
