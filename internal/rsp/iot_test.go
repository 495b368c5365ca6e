package rsp_test

import (
	"reflect"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/iotregistry/sdk/internal/bertlv"
	"github.com/iotregistry/sdk/internal/rsp"
)

// within returns the object with this content, both in hexadecimal.
func within(t *testing.T, tag bertlv.Tag, content ...string) string {
	return hexOf(bertlv.Append(nil, tag, unhex(t, strings.Join(content, ""))))
}

type golden struct {
	rule, der string
	m         rsp.Message
}

func (g golden) check(t *testing.T) {
	t.Helper()
	want := unhex(t, g.der)
	b, err := rsp.Encode(g.m)
	require.NoError(t, err, g.rule)
	require.Equal(t, hexOf(want), hexOf(b), g.rule)
	got, err := decoders()[nameOf(g.m)](want)
	require.NoError(t, err, g.rule)
	forget(reflect.ValueOf(got))
	require.Equal(t, g.m, got, g.rule)
}

// The tags of operations are those of Psmo and Eco: explicit ones, nothing
// automatic within a sequence that has any.
func TestGoldenOperations(t *testing.T) {
	t.Parallel()
	iccid := rsp.ICCID("89000123456789012341")
	const number = "5a0a98001032547698103214"
	const head = "800165 5a1089000000000000000000000000000000 810101"
	eid, err := rsp.ParseEID("89000000000000000000000000000000")
	require.NoError(t, err)
	key, cert := unhex(t, "30020500"), unhex(t, "30030101ff")
	for _, c := range []struct {
		rule, der string
		p         rsp.PSMO
	}{
		{"enable", "a30c" + number, rsp.PSMO{Enable: &rsp.PSMOEnable{ICCID: iccid}}},
		{"enable with the way back: a plain NULL", "a30e" + number + "0500", rsp.PSMO{Enable: &rsp.PSMOEnable{ICCID: iccid, Rollback: true}}},
		{"disable", "a40c" + number, rsp.PSMO{Disable: &rsp.PSMOProfile{ICCID: iccid}}},
		{"delete", "a50c" + number, rsp.PSMO{Delete: &rsp.PSMOProfile{ICCID: iccid}}},
		{"list", "bf2d00", rsp.PSMO{List: &rsp.ProfileInfoListRequest{}}},
		{"getRAT", "a600", rsp.PSMO{GetRAT: &rsp.Empty{}}},
		{
			"configureImmediateEnable", "a709 8000 8102 8837 8201 61",
			rsp.PSMO{ConfigureImmediate: &rsp.ConfigureImmediateProfileEnablingRequest{Enable: true, SMDPOID: ptr(rsp.OID("2.999")), Address: ptr("a")}},
		},
		{"setFallbackAttribute", "a80c" + number, rsp.PSMO{SetFallback: &rsp.PSMOProfile{ICCID: iccid}}},
		{"unsetFallbackAttribute", "a900", rsp.PSMO{UnsetFallback: &rsp.Empty{}}},
		{"setDefaultDpAddress", "bf6503 800161", rsp.PSMO{SetDefaultSMDP: &rsp.PSMOAddress{Address: "a"}}},
		{"another", "aa00", rsp.PSMO{Other: []byte{0xAA, 0}}},
	} {
		golden{c.rule, within(t, 0x30, head, within(t, 0xA0, c.der)), &rsp.EUICCPackageSigned{EIMID: "e", EID: eid, Counter: 1, Operations: []rsp.PSMO{c.p}}}.check(t)
	}
	for _, c := range []struct {
		rule, der string
		e         rsp.ECO
	}{
		{"addEim that wants a token", "a806 800166 8401ff", rsp.ECO{Add: &rsp.EIMConfigurationData{EIMID: "f", AssociationToken: ptr(rsp.NewAssociationToken)}}},
		{"a public key has A0 in place of 30", "a809 800166 a504 a0020500", rsp.ECO{Add: &rsp.EIMConfigurationData{EIMID: "f", SigningKey: &rsp.EIMKey{PublicKey: key}}}},
		{"a certificate has A1", "aa0a 800166 a605 a1030101ff", rsp.ECO{Update: &rsp.EIMConfigurationData{EIMID: "f", TLSKey: &rsp.EIMKey{Certificate: cert}}}},
		{"a certificate with its own tag", "aa0a 800166 a505 30030101ff", rsp.ECO{Update: &rsp.EIMConfigurationData{EIMID: "f", SigningKey: &rsp.EIMKey{Untagged: cert}}}},
		{
			"the rest of the configuration", "a812 800166 810161 820102 83010a 87020430 8900",
			rsp.ECO{Add: &rsp.EIMConfigurationData{
				EIMID: "f", FQDN: ptr("a"), IDType: ptr(rsp.EIMIDFQDN), Counter: ptr(int64(10)), IndirectDownload: true,
				Protocols: ptr(rsp.EIMInjectHTTPS | rsp.EIMInjectCoAPS),
			}},
		},
		{"deleteEim", "a903 800166", rsp.ECO{Delete: &rsp.ECODelete{EIMID: "f"}}},
		{"listEim", "ab00", rsp.ECO{List: &rsp.Empty{}}},
	} {
		golden{c.rule, within(t, 0x30, head, within(t, 0xA1, c.der)), &rsp.EUICCPackageSigned{EIMID: "e", EID: eid, Counter: 1, Configuration: []rsp.ECO{c.e}}}.check(t)
	}
}

func TestGoldenResults(t *testing.T) {
	t.Parallel()
	sign := "5f3740" + hexOf(fill(7, 64))
	for _, c := range []struct {
		rule, der string
		r         rsp.EUICCResultData
	}{
		{"enable", "830100", rsp.EUICCResultData{Enable: ptr(rsp.ProfileOK)}},
		{"disable", "840105", rsp.EUICCResultData{Disable: ptr(rsp.ProfileCATBusy)}},
		{"delete", "850115", rsp.EUICCResultData{Delete: ptr(rsp.ProfileFallbackInUse)}},
		{"list", "bf2d04 a002e300", rsp.EUICCResultData{List: &rsp.ProfileInfoListResponse{List: []rsp.ProfileInfo{{}}}}},
		{"token of an added eIM", "a803 840105", rsp.EUICCResultData{AddEIM: &rsp.AddEIMResult{AssociationToken: ptr(int64(5))}}},
		{"eIM added or not: a plain INTEGER", "a803 020102", rsp.EUICCResultData{AddEIM: &rsp.AddEIMResult{Code: ptr(rsp.AddEIMExists)}}},
		{"deleteEim", "890102", rsp.EUICCResultData{DeleteEIM: ptr(rsp.EIMLastDeleted)}},
		{"updateEim", "8a0101", rsp.EUICCResultData{UpdateEIM: ptr(rsp.EIMNotFound)}},
		{"listEim", "ab0a a008 3006 800165 820103", rsp.EUICCResultData{ListEIM: &rsp.ListEIMResult{EIMs: []rsp.EIMIDInfo{{EIMID: "e", IDType: ptr(rsp.EIMIDProprietary)}}}}},
		{"listEim failed", "ab03 81017f", rsp.EUICCResultData{ListEIM: &rsp.ListEIMResult{Error: ptr(127)}}},
		{"stopped: a plain INTEGER", "020103", rsp.EUICCResultData{Terminated: ptr(rsp.TerminatedInterruption)}},
		{"another", "8c0100", rsp.EUICCResultData{Other: []byte{0x8C, 1, 0}}},
	} {
		data := rsp.EUICCPackageResultData{EIMID: "e", Counter: 1, SeqNumber: 2, Results: []rsp.EUICCResultData{c.r}}
		text := within(t, 0x30, "800165 810101 830102", within(t, 0x30, c.der))
		golden{c.rule, text, &data}.check(t)
		golden{
			c.rule + ", signed", within(t, 0xBF51, within(t, 0xA0, text, sign)),
			&rsp.EUICCPackageResult{Signed: &rsp.EUICCPackageResultSigned{Data: data, Signature: fill(7, 64)}},
		}.check(t)
	}
	for _, c := range []golden{
		{
			"refused, signed", within(t, 0xBF51, within(t, 0xA1, "300c 800165 810101 8201aa 020104", sign)),
			&rsp.EUICCPackageResult{Error: &rsp.EUICCPackageErrorSigned{Signature: fill(7, 64), Data: rsp.EUICCPackageErrorData{
				EIMID: "e", Counter: 1, EIMTransactionID: rsp.TransactionID{0xAA}, Code: rsp.PackageReplay,
			}}},
		},
		{
			"refused, not signed", "bf5108 a206 800165 8f010f",
			&rsp.EUICCPackageResult{Unsigned: &rsp.EUICCPackageErrorUnsigned{EIMID: "e", Code: ptr(rsp.PackageSizeOverflow)}},
		},
	} {
		c.check(t)
	}
}

func TestGoldenOfESipa(t *testing.T) {
	t.Parallel()
	unsigned := rsp.EUICCPackageResult{Unsigned: &rsp.EUICCPackageErrorUnsigned{EIMID: "e"}}
	id, signature := rsp.TransactionID{1}, fill(7, 64)
	sign := "5f3740" + hexOf(signature)
	seq := []byte{0x30, 2, 5, 0}
	for _, c := range []golden{
		{"result of a package", "bf5008 bf5105 a203 800165", &rsp.ProvideEIMPackageResult{Result: rsp.EIMPackageResult{Package: &unsigned}}},
		{
			"result and notifications", "bf500c 300a bf5105 a203 800165 a000",
			&rsp.ProvideEIMPackageResult{Result: rsp.EIMPackageResult{WithNotifications: &rsp.PackageResultAndNotifications{Package: unsigned, Notifications: []rsp.PendingNotification{}}}},
		},
		{"data", "bf5008 bf5205 a003 840100", &rsp.ProvideEIMPackageResult{Result: rsp.EIMPackageResult{Data: &rsp.IPAEUICCDataResponse{Data: &rsp.IPAEUICCData{AssociationToken: ptr(int64(0))}}}}},
		{"no data: a plain INTEGER", "bf5205 a103 020101", &rsp.IPAEUICCDataResponse{Error: &rsp.IPAEUICCDataFailure{Code: rsp.DataIncorrectTagList}}},
		{
			"certificates have A5 and A6 in place of 30", "bf520a a008 a502 0500 a602 0500",
			&rsp.IPAEUICCDataResponse{Data: &rsp.IPAEUICCData{EUMCertificate: seq, EUICCCertificate: seq}},
		},
		{
			"no download", "bf500b bf5408 3006 80017f 040161",
			&rsp.ProvideEIMPackageResult{Result: rsp.EIMPackageResult{Trigger: &rsp.ProfileDownloadTriggerResult{Error: &rsp.ProfileDownloadFailure{Reason: 127, Response: []byte("a")}}}},
		},
		{
			"nothing done", "bf5008 a006 8001aa 020102",
			&rsp.ProvideEIMPackageResult{Result: rsp.EIMPackageResult{Error: &rsp.EIMPackageResultFailure{EIMTransactionID: rsp.TransactionID{0xAA}, Code: rsp.ResultUnknownPackage}}},
		},
		{"nothing to acknowledge", "bf5002 3000", &rsp.ProvideEIMPackageResultResponse{}},
		{"nothing to acknowledge, version 1.0", "bf5000", &rsp.ProvideEIMPackageResultResponse{Bare: true}},
		{"result not taken", "bf5003 020102", &rsp.ProvideEIMPackageResultResponse{Error: ptr(rsp.EIMEIDNotFound)}},
		{
			"data wanted", "bf5210 5c0120 0401aa a103800102 a203800103",
			&rsp.IPAEUICCDataRequest{TagList: []byte{0x20}, CIKeyID: []byte{0xAA}, NotificationNumber: ptr(int64(2)), ResultNumber: ptr(int64(3))},
		},
		{
			"server's proof", within(t, 0xBF39, within(t, 0xA0, "800101 30020500", sign, "0401aa 30020500 0c0161")),
			&rsp.InitiateAuthenticationResponseEsipa{OK: &rsp.InitiateAuthenticationOKEsipa{
				TransactionID: id, ServerSigned1: seq, ServerSignature1: signature, CIKeyID: []byte{0xAA}, ServerCertificate: seq, MatchingID: ptr("a"),
			}},
		},
		{"no proof", "bf3903 810132", &rsp.InitiateAuthenticationResponseEsipa{Error: ptr(rsp.InitiateAuthenticationErrorEsipa(50))}},
		{
			"start of a download", within(t, 0xBF3B, within(t, 0xA0, "30020500", sign, "30020500")),
			&rsp.AuthenticateClientResponseEsipa{DP: &rsp.AuthenticateClientOKDPEsipa{SMDPSigned2: seq, SMDPSignature2: signature, SMDPCertificate: seq}},
		},
		{"nothing at the discovery server", "bf3b05 a103 800101", &rsp.AuthenticateClientResponseEsipa{DS: &rsp.AuthenticateClientOKDSEsipa{TransactionID: id}}},
		{"no download", "bf3b03 820108", &rsp.AuthenticateClientResponseEsipa{Error: ptr(rsp.AuthenticateClientErrorEsipa(8))}},
		{"package", "bf3a05 a003 bf3600", &rsp.GetBoundProfilePackageResponseEsipa{OK: &rsp.GetBoundProfilePackageOKEsipa{Package: []byte{0xBF, 0x36, 0}}}},
		{"no package", "bf3a03 810132", &rsp.GetBoundProfilePackageResponseEsipa{Error: ptr(rsp.GetBoundProfilePackageErrorEsipa(50))}},
		{"cancelled", "bf4108 800101 a103 810105", &rsp.CancelSessionRequestEsipa{TransactionID: id, Response: unhex(t, "bf4103810105")}},
		{"cancelled, with the answer's own tag", "bf410b 800101 a106 bf4103 810105", &rsp.CancelSessionRequestEsipa{TransactionID: id, Response: unhex(t, "bf4103810105"), WithTag: true}},
		{"cancelling done", "bf4102 a000", &rsp.CancelSessionResponseEsipa{OK: &rsp.Empty{}}},
		{"cancelling refused", "bf4103 810102", &rsp.CancelSessionResponseEsipa{Error: ptr(rsp.CancelSessionError(2))}},
		{"notification", "bf3d06 a004 30020500", &rsp.HandleNotificationEsipa{Notification: seq}},
		{"notification without A0", "bf3d04 30020500", &rsp.HandleNotificationEsipa{Notification: seq, Bare: true}},
		{
			"result as a notification", "bf3d0b bf5008 bf5105 a203 800165",
			&rsp.HandleNotificationEsipa{Result: &rsp.ProvideEIMPackageResult{Result: rsp.EIMPackageResult{Package: &unsigned}}},
		},
	} {
		c.check(t)
	}
}

func TestGoldenOfES10b(t *testing.T) {
	t.Parallel()
	seq := []byte{0x30, 2, 5, 0}
	for _, c := range []golden{
		{"first eIM", "bf5707 a005 3003 800165", &rsp.AddInitialEIMRequest{EIMs: []rsp.EIMConfigurationData{{EIMID: "e"}}}},
		{"added, with a token and without", "bf5707 a005 840103 0500", &rsp.AddInitialEIMResponse{Added: []rsp.AddedEIM{{AssociationToken: ptr(int64(3))}, {}}}},
		{"not added", "bf5703 810102", &rsp.AddInitialEIMResponse{Error: ptr(rsp.AddEIMExists)}},
		{"all eIMs wanted", "bf5500", &rsp.GetEIMConfigurationDataRequest{}},
		{"one eIM wanted", "bf5505 a003 800165", &rsp.GetEIMConfigurationDataRequest{EIMID: ptr("e")}},
		{"the eIMs", "bf5507 a005 3003 800165", &rsp.GetEIMConfigurationDataResponse{EIMs: []rsp.EIMConfigurationData{{EIMID: "e"}}}},
		{"certificates wanted", "bf5603 8001aa", &rsp.GetCertsRequest{CIKeyID: []byte{0xAA}}},
		{"certificates", "bf560a a008 a502 0500 a602 0500", &rsp.GetCertsResponse{OK: &rsp.EUICCCertificates{EUM: seq, EUICC: seq}}},
		{"no certificates", "bf5603 810101", &rsp.GetCertsResponse{Error: ptr(1)}},
		{"results wanted", "bf2b04 a002 8200", &rsp.RetrieveNotificationsRequest{PackageResults: true}},
		{
			"results", "bf2b0a a208 bf5105 a203 800165",
			&rsp.RetrieveNotificationsResponse{Packages: []rsp.EUICCPackageResult{{Unsigned: &rsp.EUICCPackageErrorUnsigned{EIMID: "e"}}}},
		},
		{"reset of SGP.22", "bf3404 8202 0780", &rsp.EUICCMemoryResetRequest{Options: rsp.ResetOperational}},
		{"reset of SGP.22 done", "bf3403 800101", &rsp.EUICCMemoryResetResponse{Result: 1}},
		{"reset of SGP.32", "bf6404 8202 0106", &rsp.EUICCMemoryResetIoTRequest{Options: rsp.ResetEIMs | rsp.ResetImmediateEnable}},
		{"reset of SGP.32 done", "bf6406 800100 810102", &rsp.EUICCMemoryResetIoTResponse{EIMResult: ptr(2)}},
		{"immediate enabling allowed", "bf5902 8000", &rsp.ConfigureImmediateProfileEnablingRequest{Enable: true}},
		{"immediate enabling refused", "bf5903 800102", &rsp.ConfigureImmediateProfileEnablingResponse{Result: 2}},
		{"enable at once", "bf5a03 8001ff", &rsp.ImmediateEnableRequest{Refresh: true}},
		{"enabled", "bf5a03 800100", &rsp.ImmediateEnableResponse{}},
		{"back", "bf5803 800100", &rsp.ProfileRollbackRequest{}},
		{
			"is back: a plain INTEGER", "bf580b 020100 bf5105 a203 800165",
			&rsp.ProfileRollbackResponse{Package: &rsp.EUICCPackageResult{Unsigned: &rsp.EUICCPackageErrorUnsigned{EIMID: "e"}}},
		},
	} {
		c.check(t)
	}
}

func TestCompactFormsAreNamed(t *testing.T) {
	t.Parallel()
	for rule, c := range map[string]struct{ message, in string }{
		"authentication":         {"AuthenticateClientRequestEsipa", "bf3b08 800101 bf3802 a200"},
		"download":               {"GetBoundProfilePackageRequestEsipa", "bf3a08 800101 bf2102 a200"},
		"cancelled":              {"CancelSessionRequestEsipa", "bf4107 800101 a102 a200"},
		"cancelled, with tag":    {"CancelSessionRequestEsipa", "bf410a 800101 a105 bf4102 a200"},
		"installation":           {"HandleNotificationEsipa", "bf3d04 a002 a000"},
		"other notification":     {"HandleNotificationEsipa", "bf3d04 a002 a100"},
		"notification in a list": {"IPAEUICCDataResponse", "bf5206 a004 a002 a100"},
	} {
		_, err := decoders()[c.message](unhex(t, c.in))
		require.ErrorIs(t, err, rsp.ErrFormat, rule)
		require.ErrorContains(t, err, "the compact form of SGP.32 is not supported", rule)
	}
	_, err := rsp.Encode(&rsp.AuthenticateClientRequestEsipa{TransactionID: rsp.TransactionID{1}, Response: unhex(t, "bf3802a200")})
	require.ErrorContains(t, err, "the compact form")
}

func TestIoTRefuses(t *testing.T) {
	t.Parallel()
	for rule, c := range map[string]struct{ message, in string }{
		"result of two kinds":            {"EUICCPackageResult", "bf510a a203 800165 a203 800165"},
		"empty name":                     {"GetEIMConfigurationDataRequest", "bf5504 a002 8000"},
		"search by nothing":              {"GetEIMConfigurationDataRequest", "bf5502 a000"},
		"token below -1":                 {"AddInitialEIMResponse", "bf5705 a003 8401fe"},
		"added with content":             {"AddInitialEIMResponse", "bf5705 a003 050100"},
		"added and not added":            {"AddInitialEIMResponse", "bf5705 a000 810102"},
		"key of two kinds":               {"AddInitialEIMRequest", "bf570d a00b 3009 800165 a504 a000 a100"},
		"key of no kind":                 {"AddInitialEIMRequest", "bf5709 a007 3005 800165 a500"},
		"search by two criteria":         {"IPAEUICCDataRequest", "bf520c 5c0120 a107 800101 81020780"},
		"search by number and results":   {"RetrieveNotificationsRequest", "bf2b07 a005 800101 8200"},
		"acknowledged and refused":       {"ProvideEIMPackageResultResponse", "bf5006 bf5300 020102"},
		"acknowledged and empty":         {"ProvideEIMPackageResultResponse", "bf5005 bf5300 3000"},
		"an empty sequence that is not":  {"ProvideEIMPackageResultResponse", "bf5004 30020500"},
		"notification and result":        {"HandleNotificationEsipa", "bf3d0f bf5008 bf5105 a203 800165 a004 30020500"},
		"two notifications":              {"HandleNotificationEsipa", "bf3d0a a008 30020500 30020500"},
		"no notification":                {"HandleNotificationEsipa", "bf3d02 a000"},
		"neither installed nor failed":   {"ProfileDownloadTriggerResult", "bf5400"},
		"answer of another kind":         {"AuthenticateClientRequestEsipa", "bf3b06 800101 bf2100"},
		"package without any operations": {"EUICCPackageSigned", "3018 800165 5a1089000000000000000000000000000000 810101"},
	} {
		_, err := decoders()[c.message](unhex(t, c.in))
		require.ErrorIs(t, err, rsp.ErrFormat, rule)
	}
	for rule, m := range map[string]rsp.Message{
		"operation of nothing":            &rsp.EUICCPackageSigned{EIMID: "e", Configuration: []rsp.ECO{{}}},
		"operation of two":                &rsp.EUICCPackageSigned{EIMID: "e", Configuration: []rsp.ECO{{List: &rsp.Empty{}, Other: []byte{0xAE, 0}}}},
		"profiles and eIMs":               &rsp.EUICCPackageSigned{EIMID: "e", Operations: []rsp.PSMO{}, Configuration: []rsp.ECO{}},
		"key with another tag":            &rsp.AddInitialEIMRequest{EIMs: []rsp.EIMConfigurationData{{EIMID: "e", SigningKey: &rsp.EIMKey{PublicKey: []byte{0x31, 0}}}}},
		"key cut short":                   &rsp.AddInitialEIMRequest{EIMs: []rsp.EIMConfigurationData{{EIMID: "e", SigningKey: &rsp.EIMKey{PublicKey: []byte{0x30, 1}}}}},
		"name too long":                   &rsp.AddInitialEIMRequest{EIMs: []rsp.EIMConfigurationData{{EIMID: strings.Repeat("e", 129)}}},
		"answer to cancelling of another": &rsp.CancelSessionRequestEsipa{TransactionID: rsp.TransactionID{1}, Response: []byte{0xBF, 0x21, 0}},
		"no answer to cancelling":         &rsp.CancelSessionRequestEsipa{TransactionID: rsp.TransactionID{1}},
		"notification of nothing":         &rsp.HandleNotificationEsipa{},
	} {
		_, err := rsp.Encode(m)
		require.ErrorIs(t, err, rsp.ErrFormat, rule)
	}
}

func TestSignedTextsOfIoT(t *testing.T) {
	t.Parallel()
	signature := fill(7, 64)
	request := find(t, func(m *rsp.EUICCPackageSigned) bool { return m.Configuration != nil })
	result := find(t, any1[rsp.EUICCPackageResultData])
	refusal := find(t, any1[rsp.EUICCPackageErrorData])
	join := func(parts ...[]byte) (b []byte) {
		for _, p := range parts {
			b = append(b, p...)
		}
		return b
	}
	for _, c := range []struct {
		rule string
		text func(token int64) ([]byte, error)
		raw  []byte
	}{
		{"eimSignature", request.SignedText, request.Raw},
		{"euiccSignEPR", result.SignedText, result.Raw},
		{"euiccSignEPE", refusal.SignedText, refusal.Raw},
	} {
		for token, want := range map[int64]string{0: "840100", 127: "84017f", 300: "8402012c", 128: "84020080"} {
			text, err := c.text(token)
			require.NoError(t, err)
			require.Equal(t, join(c.raw, unhex(t, want)), text, "%s with token %d", c.rule, token)
		}
		_, err := c.text(rsp.NewAssociationToken)
		require.ErrorIs(t, err, rsp.ErrFormat, "a token that is yet to be drawn")
	}
	for _, c := range []struct {
		text func(signature []byte) ([]byte, error)
		raw  []byte
	}{{result.SignedTextV10, result.Raw}, {refusal.SignedTextV10, refusal.Raw}} {
		text, err := c.text(signature)
		require.NoError(t, err)
		require.Equal(t, join(c.raw, []byte{0x5F, 0x37, 0x40}, signature), text)
		_, err = c.text(nil)
		require.ErrorIs(t, err, rsp.ErrFormat)
	}
	raw := result.Raw
	result.Raw = nil
	text, err := result.SignedText(0)
	require.NoError(t, err)
	require.Equal(t, join(raw, unhex(t, "840100")), text, "as sent")
	_, err = (&rsp.EUICCPackageSigned{}).SignedText(0)
	require.ErrorIs(t, err, rsp.ErrFormat)
}

func TestRawOfResults(t *testing.T) {
	t.Parallel()
	m, err := rsp.Decode[rsp.ProvideEIMPackageResult](unhex(t, "bf501a 5a1089000000000000000000000000000000 bf5105a203800165"))
	require.NoError(t, err)
	require.Equal(t, unhex(t, "bf5105a203800165"), m.Result.Raw)
	require.Equal(t, m.Result.Raw, m.Result.Package.Raw)
}

func TestUnwrapCertificate(t *testing.T) {
	t.Parallel()
	for rule, c := range map[string]struct{ in, want string }{
		"certificate":         {"3007 3000 3000 030100", "300730003000030100"},
		"wrapped certificate": {"3009 3007 3000 3000 030100", "300730003000030100"},
		"something else":      {"30020500", "30020500"},
		"another tag":         {"31023000", "31023000"},
		"cut short":           {"3002", "3002"},
		"nothing":             {"", ""},
	} {
		require.Equal(t, c.want, hexOf(rsp.UnwrapCertificate(unhex(t, c.in))), rule)
	}
}
