package rsp_test

import (
	"fmt"
	"os/exec"
	"reflect"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/iotregistry/sdk/internal/bertlv"
	"github.com/iotregistry/sdk/internal/rsp"
)

func nameOf(m rsp.Message) string { return strings.TrimPrefix(fmt.Sprintf("%T", m), "*rsp.") }

// forget sets Raw to nil everywhere, so that a decoded message can be compared
// with one made here.
func forget(v reflect.Value) {
	switch v.Kind() {
	case reflect.Pointer:
		if !v.IsNil() {
			forget(v.Elem())
		}
	case reflect.Slice:
		for i := range v.Len() {
			forget(v.Index(i))
		}
	case reflect.Struct:
		if r, ok := v.Addr().Interface().(*rsp.Received); ok {
			r.Raw = nil
		}
		for i := range v.NumField() {
			forget(v.Field(i))
		}
	}
}

func TestEveryMessageComesBack(t *testing.T) {
	t.Parallel()
	all := decoders()
	seen := map[string]bool{}
	for i, m := range samples() {
		name := nameOf(m)
		seen[name] = true
		b, err := rsp.Encode(m)
		require.NoError(t, err, "%d %s", i, name)
		got, err := all[name](b)
		require.NoError(t, err, "%d %s %X", i, name, b)
		again, err := rsp.Encode(got)
		require.NoError(t, err)
		require.Equal(t, b, again)
		require.Equal(t, b, reflect.ValueOf(got).Elem().FieldByName("Raw").Bytes(), "kept as received")
		forget(reflect.ValueOf(got))
		require.Equal(t, m, got, "%d %s", i, name)
		for n := range b {
			_, err := all[name](b[:n])
			require.ErrorIs(t, err, rsp.ErrFormat, "%s cut after %d bytes", name, n)
		}
	}
	for _, part := range []string{"InitiateAuthenticationRequest", "AuthenticateClientRequest", "GetBoundProfilePackageRequest"} {
		seen[part] = true // within ES9Request
	}
	for name := range all {
		require.True(t, seen[name], "no sample of %s", name)
	}
}

// choices have exactly one member, or end with a member of any tag; everything
// else may grow at the end.
func isClosed(m rsp.Message) bool {
	switch m.(type) {
	case *rsp.AuthenticateServerResponse, *rsp.PrepareDownloadResponse, *rsp.CancelSessionResponse, *rsp.ListNotificationResponse,
		*rsp.RetrieveNotificationsResponse, *rsp.ProfileInfoListResponse, *rsp.DeleteProfileRequest, *rsp.ES9Request, *rsp.ES9Response,
		*rsp.InitiateAuthenticationResponse, *rsp.AuthenticateClientResponse, *rsp.GetBoundProfilePackageResponse,
		*rsp.CancelSessionES9Response, *rsp.GetEIMPackageResponse, *rsp.EUICCPackageResult, *rsp.IPAEUICCDataResponse,
		*rsp.AddInitialEIMResponse, *rsp.GetCertsResponse, *rsp.ProvideEIMPackageResultResponse, *rsp.InitiateAuthenticationResponseEsipa,
		*rsp.AuthenticateClientResponseEsipa, *rsp.GetBoundProfilePackageResponseEsipa, *rsp.CancelSessionResponseEsipa, *rsp.HandleNotificationEsipa:
		return true
	}
	return false
}

func TestUnknownMembersAtTheEndAreKept(t *testing.T) {
	t.Parallel()
	extra := []byte{0xDF, 0x7F, 1, 5, 0xFF, 0x7E, 2, 5, 0}
	for _, m := range samples() {
		b, err := rsp.Encode(m)
		require.NoError(t, err)
		tlv, err := bertlv.Parse(b)
		require.NoError(t, err)
		longer := bertlv.Append(nil, tlv.Tag, tlv.Value, extra)
		got, err := decoders()[nameOf(m)](longer)
		if isClosed(m) {
			require.ErrorIs(t, err, rsp.ErrFormat, "%s", nameOf(m))
			continue
		}
		require.NoError(t, err, "%s", nameOf(m))
		require.Equal(t, extra, reflect.ValueOf(got).Elem().FieldByName("Extra").Bytes())
		again, err := rsp.Encode(got)
		require.NoError(t, err)
		require.Equal(t, longer, again)

		members, err := tlv.Children()
		require.NoError(t, err)
		if len(members) == 0 || nameOf(m) == "ProvideEIMPackageResult" {
			continue
		}
		_, err = decoders()[nameOf(m)](bertlv.Append(nil, tlv.Tag, tlv.Value, extra, members[0].Raw))
		require.ErrorIs(t, err, rsp.ErrFormat, "%s: known members after unknown ones", nameOf(m))
	}
}

func TestDecodeIsStrict(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ rule, message, in string }{
		{"another message", "GetEUICCChallengeResponse", "BF3E 12 80 10 00000000000000000000000000000000"},
		{"bytes after it", "GetEUICCChallengeRequest", "BF2E 00 00"},
		{"longer length than need be", "GetEUICCChallengeRequest", "BF2E 81 00"},
		{"longer length within", "GetEIDRequest", "BF3E 04 5C 81 01 5A"},
		{"short tag in long form", "GetEUICCChallengeRequest", "BF2E 03 9F 05 00"},
		{"member too short", "GetEUICCChallengeResponse", "BF2E 03 80 01 00"},
		{"member missing", "GetEUICCChallengeResponse", "BF2E 00"},
		{"members out of order", "CancelSessionRequest", "BF41 06 81 01 00 80 01 01"},
		{"member twice", "CancelSessionRequest", "BF41 09 80 01 01 80 01 01 81 01 00"},
		{"transaction ID of 17 bytes", "CancelSessionRequest", "BF41 16 80 11 0000000000000000000000000000000000 81 01 00"},
		{"transaction ID of no bytes", "CancelSessionRequest", "BF41 05 80 00 81 01 00"},
		{"negative number", "NotificationSentRequest", "BF30 03 80 01 80"},
		{"number with leading zero", "NotificationSentRequest", "BF30 04 80 02 00 01"},
		{"number without bytes", "NotificationSentRequest", "BF30 02 80 00"},
		{"number of nine bytes", "NotificationSentRequest", "BF30 0B 80 09 010000000000000000"},
		{"bits with trailing zeros", "ListNotificationRequest", "BF28 04 81 02 04 80"},
		{"unused bits that are set", "ListNotificationRequest", "BF28 04 81 02 07 C0"},
		{"bits with a zero byte", "ListNotificationRequest", "BF28 05 81 03 07 80 00"},
		{"no bits but unused ones", "ListNotificationRequest", "BF28 03 81 01 07"},
		{"eight unused bits", "ListNotificationRequest", "BF28 04 81 02 08 80"},
		{"more bits than 32", "ListNotificationRequest", "BF28 08 81 06 07 0000000080"},
		{"boolean of 01", "DisableProfileRequest", "BF32 0F A0 0A 4F 08 0000000000000000 81 01 01"},
		{"two alternatives", "ListNotificationResponse", "BF28 05 A0 00 81 01 7F"},
		{"no alternative", "ListNotificationResponse", "BF28 00"},
		{"unknown alternative", "ListNotificationResponse", "BF28 03 82 01 7F"},
		{"EID with a letter", "GetEIDResponse", "BF3E 12 5A 10 8904903212345123451234567890123A"},
		{"text that is not UTF-8", "SetDefaultSMDPRequest", "BF3F 03 80 01 FF"},
		{"ICCID of 17 digits", "SetNicknameRequest", "BF29 0E 5A 0A 98001032547698103FFF 90 00"},
		{"ICCID with filler inside", "SetNicknameRequest", "BF29 0E 5A 0A 98F01032547698103214 90 00"},
		{"null with content", "ProfileDownloadTriggerRequest", "BF54 05 A0 03 81 01 00"},
		{"certificate of another tag", "OtherSignedNotification", "30 02 31 00"},
		{"segment with another tag", "BoundProfilePackage", "BF36 04 A0 02 86 00"},
		{"object identifier with leading zeros", "ConfigureISDPRequest", "BF24 06 B8 04 80 02 80 01"},
		{"object identifier cut short", "ConfigureISDPRequest", "BF24 06 B8 04 80 02 2A 81"},
	} {
		_, err := decoders()[c.message](unhex(t, c.in))
		require.ErrorIs(t, err, rsp.ErrFormat, c.rule)
		require.True(t, strings.HasPrefix(err.Error(), "rsp: "), "%v", err)
	}
}

func TestEncodeRefuses(t *testing.T) {
	t.Parallel()
	iccid := rsp.ICCID("89000123456789012341")
	for _, c := range []struct {
		rule string
		m    rsp.Message
	}{
		{"challenge of 15 bytes", &rsp.GetEUICCChallengeResponse{Challenge: fill(1, 15)}},
		{"no alternative", &rsp.AuthenticateServerResponse{}},
		{"both alternatives", &rsp.ListNotificationResponse{List: []rsp.NotificationMetadata{}, Error: ptr(1)}},
		{"notification of nothing", &rsp.HandleNotification{}},
		{"two ways to name a profile", &rsp.DeleteProfileRequest{Profile: rsp.ProfileID{AID: fill(1, 16), ICCID: &iccid}}},
		{"negative number", &rsp.NotificationSentRequest{SeqNumber: -1}},
		{"letters in an ICCID", &rsp.SetNicknameRequest{ICCID: "8900012345678901234x"}},
		{"name of 65 characters", &rsp.SetNicknameRequest{ICCID: iccid, Nickname: strings.Repeat("x", 65)}},
		{"object identifier without dots", &rsp.ConfigureISDPRequest{Proprietary: &rsp.DPProprietaryData{OID: "x"}}},
		{"more than 128 bytes of an SM-DP+'s own", &rsp.ConfigureISDPRequest{Proprietary: &rsp.DPProprietaryData{OID: "2.999", Received: rsp.Received{Extra: bertlv.Append(nil, 0x81, fill(1, 125))}}}},
		{"unknown members cut short", &rsp.GetEUICCChallengeRequest{Received: rsp.Received{Extra: []byte{0x81, 1}}}},
		{"known members among the unknown", &rsp.NotificationSentRequest{Received: rsp.Received{Extra: []byte{0x80, 1, 0}}}},
		{"operation of nothing", &rsp.EUICCPackageSigned{EIMID: "e", Operations: []rsp.PSMO{{}}}},
		{"known operation as another", &rsp.EUICCPackageSigned{EIMID: "e", Operations: []rsp.PSMO{{Other: []byte{0xA4, 0}}}}},
		{"result of nothing", &rsp.ProvideEIMPackageResult{}},
		{"content beyond all limits", &rsp.NonStandard{Issuer: "2.999", Content: make([]byte, rsp.MaxPackage)}},
		{"EID of letters", &rsp.GetEIDResponse{EID: rsp.EID{0xAA}}},
	} {
		_, err := rsp.Encode(c.m)
		require.ErrorIs(t, err, rsp.ErrFormat, c.rule)
	}
	_, err := (&rsp.PendingNotification{}).Encode()
	require.ErrorIs(t, err, rsp.ErrFormat)
}

// Known answers of the reference, and what LPAs and eUICCs send.
func TestGolden(t *testing.T) {
	t.Parallel()
	iccid := rsp.ICCID("89000123456789012341")
	for _, c := range []struct {
		rule, der string
		m         rsp.Message
	}{
		{
			"metadata of the known-answer session",
			"bf252f5a0a98001032547698103214910965756963632d727370921665756963632d72737020746573742070726f66696c65",
			&rsp.StoreMetadataRequest{ICCID: iccid, ServiceProvider: "euicc-rsp", ProfileName: "euicc-rsp test profile"},
		},
		{"empty ConfigureISDP", "bf2400", &rsp.ConfigureISDPRequest{}},
		{"challenge wanted", "bf2e00", &rsp.GetEUICCChallengeRequest{}},
		{"EID wanted", "bf3e035c015a", &rsp.GetEIDRequest{TagList: []byte{0x5A}}},
		{"notification removed", "bf3003800100", &rsp.NotificationSentResponse{}},
		{"install bit", "bf280481020780", &rsp.ListNotificationRequest{Events: ptr(rsp.EventInstall)}},
		{"enable bit", "bf280481020640", &rsp.ListNotificationRequest{Events: ptr(rsp.EventEnable)}},
		{"disable bit", "bf280481020520", &rsp.ListNotificationRequest{Events: ptr(rsp.EventDisable)}},
		{"delete bit", "bf280481020410", &rsp.ListNotificationRequest{Events: ptr(rsp.EventDelete)}},
		{"all bits", "bf2804810204f0", &rsp.ListNotificationRequest{Events: ptr(rsp.EventInstall | rsp.EventEnable | rsp.EventDisable | rsp.EventDelete)}},
		{"no bits", "bf2803810100", &rsp.ListNotificationRequest{Events: ptr(rsp.Events(0))}},
		{
			"cancelled, with the answer's own tag", "bf410d8003010203a106bf4103810105",
			&rsp.CancelSessionES9Request{TransactionID: rsp.TransactionID{1, 2, 3}, Response: rsp.CancelSessionResponse{Error: ptr(5)}},
		},
		{
			"cancelled, without it", "bf410a8003010203a103810105",
			&rsp.CancelSessionES9Request{TransactionID: rsp.TransactionID{1, 2, 3}, Response: rsp.CancelSessionResponse{Error: ptr(5)}, WithoutTag: true},
		},
		{
			"EUICCInfo2 of version 2.2.2",
			"bf225e 8103020301 8203020202 8303010000 840d81010082040001000083020400 850507773e1f80 8603090200 8703020300 88020490" +
				"a9060404f54172bd aa060404f54172bd 8b0100 99020640 0403010000 0c0d544553542d5341532d30303031",
			&rsp.EUICCInfo2{
				ProfileVersion: []byte{2, 3, 1}, SVN: []byte{2, 2, 2}, Firmware: []byte{1, 0, 0}, ExtCardResource: unhex(t, "81010082040001000083020400"),
				UICCCapability: 0x1F87CEE, TS102241: []byte{9, 2, 0}, GlobalPlatform: []byte{2, 3, 0}, RSPCapability: rsp.AdditionalProfile | rsp.TestProfileSupport,
				VerifyKeys: [][]byte{unhex(t, "f54172bd")}, SignKeys: [][]byte{unhex(t, "f54172bd")}, Category: ptr(0), ForbiddenRules: ptr(rsp.PPR1),
				PPVersion: []byte{1, 0, 0}, SASNumber: "TEST-SAS-0001",
			},
		},
		{"number of 127", "bf300380017f", &rsp.NotificationSentRequest{SeqNumber: 127}},
		{"number of 128", "bf300480020080", &rsp.NotificationSentRequest{SeqNumber: 128}},
		{"no package for the device", "bf4f03020101", &rsp.GetEIMPackageResponse{Error: ptr(rsp.EIMNoPackage)}},
		{"results may be forgotten", "bf5006bf5303800107", &rsp.ProvideEIMPackageResultResponse{Acknowledged: []int64{7}}},
		{"download from the default server", "bf5404a0028100", &rsp.ProfileDownloadTriggerRequest{DefaultSMDP: true}},
	} {
		want := unhex(t, c.der)
		b, err := rsp.Encode(c.m)
		require.NoError(t, err, c.rule)
		require.Equal(t, want, b, c.rule)
		got, err := decoders()[nameOf(c.m)](want)
		require.NoError(t, err, c.rule)
		forget(reflect.ValueOf(got))
		require.Equal(t, c.m, got, c.rule)
	}
}

func TestSegments(t *testing.T) {
	t.Parallel()
	for _, m := range samples() {
		p, ok := m.(*rsp.BoundProfilePackage)
		if !ok {
			continue
		}
		whole, err := rsp.Encode(p)
		require.NoError(t, err)
		pieces, err := p.Segments()
		require.NoError(t, err)
		var joined []byte
		var tags []bertlv.Tag
		for _, piece := range pieces {
			joined = append(joined, piece...)
			tags = append(tags, bertlv.Tag(piece[0]))
		}
		require.Equal(t, whole, joined)
		require.Equal(t, []bertlv.Tag{0xBF, 0xA0, 0xA1, 0x88, 0x88, 0xA2, 0xA3, 0x86, 0x86}, tags, "SGP.22 section 2.5.5")
		require.LessOrEqual(t, len(pieces[2]), 4, "the header of A1 alone")
	}
	_, err := (&rsp.BoundProfilePackage{}).Segments()
	require.ErrorIs(t, err, rsp.ErrFormat)
}

func TestPendingNotification(t *testing.T) {
	t.Parallel()
	n := 0
	for _, m := range samples() {
		switch m.(type) {
		case *rsp.OtherSignedNotification, *rsp.ProfileInstallationResult:
			n++
			b, err := rsp.Encode(m)
			require.NoError(t, err)
			got, err := rsp.DecodePendingNotification(b)
			require.NoError(t, err)
			require.Equal(t, int64(200), got.Metadata().SeqNumber)
			again, err := got.Encode()
			require.NoError(t, err)
			require.Equal(t, b, again)
		}
	}
	require.Equal(t, 2, n)
	_, err := rsp.DecodePendingNotification(nil)
	require.ErrorIs(t, err, rsp.ErrFormat)
	require.Nil(t, (&rsp.PendingNotification{}).Metadata())
}

func TestKeysAreNotPrinted(t *testing.T) {
	t.Parallel()
	m := &rsp.ReplaceSessionKeysRequest{InitialMCV: fill('k', 16), PPKEnc: fill('k', 16), PPKCMAC: fill('k', 16)}
	for _, format := range []string{"%v", "%+v", "%#v", "%s"} {
		require.NotContains(t, fmt.Sprintf(format, m)+fmt.Sprintf(format, *m), "107", format)
		require.NotContains(t, fmt.Sprintf(format, m), "kkkk", format)
	}
}

// OpenSSL cuts the samples into the same objects.
func TestOpenSSLAgrees(t *testing.T) {
	t.Parallel()
	openssl, err := exec.LookPath("openssl")
	if err != nil {
		t.Skip("openssl is not installed")
	}
	for _, m := range samples() {
		b, err := rsp.Encode(m)
		require.NoError(t, err)
		cmd := exec.CommandContext(t.Context(), openssl, "asn1parse", "-inform", "DER")
		cmd.Stdin = strings.NewReader(string(b))
		out, err := cmd.CombinedOutput()
		require.NoError(t, err, "%s: %s", nameOf(m), out)
		var got []string
		for _, line := range strings.Split(strings.TrimSpace(string(out)), "\n") {
			var offset, depth, header, length int
			_, err := fmt.Sscanf(strings.ReplaceAll(strings.TrimSpace(line), "=", " "), "%d:d %d hl %d l %d", &offset, &depth, &header, &length)
			require.NoError(t, err, line)
			got = append(got, fmt.Sprint(offset, depth, header, length))
		}
		tlv, err := bertlv.Parse(b)
		require.NoError(t, err)
		require.Equal(t, objects(t, tlv, 0, 0), got, nameOf(m))
	}
}

func objects(t *testing.T, v bertlv.TLV, offset, depth int) []string {
	header := len(v.Raw) - len(v.Value)
	list := []string{fmt.Sprint(offset, depth, header, len(v.Value))}
	if !v.Tag.Constructed() {
		return list
	}
	children, err := v.Children()
	require.NoError(t, err)
	offset += header
	for _, c := range children {
		list = append(list, objects(t, c, offset, depth+1)...)
		offset += len(c.Raw)
	}
	return list
}

func FuzzDecode(f *testing.F) {
	for _, m := range samples() {
		b, err := rsp.Encode(m)
		require.NoError(f, err)
		f.Add(b)
	}
	all := decoders()
	f.Fuzz(func(t *testing.T, b []byte) {
		for name, decode := range all {
			m, err := decode(b)
			if err != nil {
				require.ErrorIs(t, err, rsp.ErrFormat)
				continue
			}
			again, err := rsp.Encode(m)
			require.NoError(t, err, name)
			require.Equal(t, b, again, name)
		}
	})
}
