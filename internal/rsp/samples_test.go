package rsp_test

import (
	"bytes"
	"encoding/hex"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/iotregistry/sdk/internal/bertlv"
	"github.com/iotregistry/sdk/internal/rsp"
)

func unhex(t testing.TB, s string) []byte {
	t.Helper()
	b, err := hex.DecodeString(strings.ReplaceAll(s, " ", ""))
	require.NoError(t, err)
	return b
}

func ptr[T any](v T) *T { return &v }

func fill(b byte, n int) []byte { return bytes.Repeat([]byte{b}, n) }

// decoders are all messages.
func decoders() map[string]func(b []byte) (rsp.Message, error) {
	m := map[string]func(b []byte) (rsp.Message, error){}
	add[rsp.EUICCInfo1](m, "EUICCInfo1")
	add[rsp.EUICCInfo2](m, "EUICCInfo2")
	add[rsp.ServerSigned1](m, "ServerSigned1")
	add[rsp.CtxParams1](m, "CtxParams1")
	add[rsp.AuthenticateServerRequest](m, "AuthenticateServerRequest")
	add[rsp.EUICCSigned1](m, "EUICCSigned1")
	add[rsp.AuthenticateServerResponse](m, "AuthenticateServerResponse")
	add[rsp.SMDPSigned2](m, "SMDPSigned2")
	add[rsp.PrepareDownloadRequest](m, "PrepareDownloadRequest")
	add[rsp.EUICCSigned2](m, "EUICCSigned2")
	add[rsp.PrepareDownloadResponse](m, "PrepareDownloadResponse")
	add[rsp.StoreMetadataRequest](m, "StoreMetadataRequest")
	add[rsp.InitialiseSecureChannelRequest](m, "InitialiseSecureChannelRequest")
	add[rsp.ConfigureISDPRequest](m, "ConfigureISDPRequest")
	add[rsp.ReplaceSessionKeysRequest](m, "ReplaceSessionKeysRequest")
	add[rsp.BoundProfilePackage](m, "BoundProfilePackage")
	add[rsp.ProfileInstallationResult](m, "ProfileInstallationResult")
	add[rsp.ProfileInstallationResultData](m, "ProfileInstallationResultData")
	add[rsp.NotificationMetadata](m, "NotificationMetadata")
	add[rsp.OtherSignedNotification](m, "OtherSignedNotification")
	add[rsp.ListNotificationRequest](m, "ListNotificationRequest")
	add[rsp.ListNotificationResponse](m, "ListNotificationResponse")
	add[rsp.RetrieveNotificationsRequest](m, "RetrieveNotificationsRequest")
	add[rsp.RetrieveNotificationsResponse](m, "RetrieveNotificationsResponse")
	add[rsp.NotificationSentRequest](m, "NotificationSentRequest")
	add[rsp.NotificationSentResponse](m, "NotificationSentResponse")
	add[rsp.CancelSessionRequest](m, "CancelSessionRequest")
	add[rsp.CancelSessionResponse](m, "CancelSessionResponse")
	add[rsp.EUICCCancelSessionSigned](m, "EUICCCancelSessionSigned")
	add[rsp.GetEUICCChallengeRequest](m, "GetEUICCChallengeRequest")
	add[rsp.GetEUICCChallengeResponse](m, "GetEUICCChallengeResponse")
	add[rsp.GetEUICCInfo1Request](m, "GetEUICCInfo1Request")
	add[rsp.GetEUICCInfo2Request](m, "GetEUICCInfo2Request")
	add[rsp.GetEIDRequest](m, "GetEIDRequest")
	add[rsp.GetEIDResponse](m, "GetEIDResponse")
	add[rsp.ConfiguredAddressesRequest](m, "ConfiguredAddressesRequest")
	add[rsp.ConfiguredAddressesResponse](m, "ConfiguredAddressesResponse")
	add[rsp.SetDefaultSMDPRequest](m, "SetDefaultSMDPRequest")
	add[rsp.SetDefaultSMDPResponse](m, "SetDefaultSMDPResponse")
	add[rsp.ProfileInfoListRequest](m, "ProfileInfoListRequest")
	add[rsp.ProfileInfoListResponse](m, "ProfileInfoListResponse")
	add[rsp.EnableProfileRequest](m, "EnableProfileRequest")
	add[rsp.EnableProfileResponse](m, "EnableProfileResponse")
	add[rsp.DisableProfileRequest](m, "DisableProfileRequest")
	add[rsp.DisableProfileResponse](m, "DisableProfileResponse")
	add[rsp.DeleteProfileRequest](m, "DeleteProfileRequest")
	add[rsp.DeleteProfileResponse](m, "DeleteProfileResponse")
	add[rsp.SetNicknameRequest](m, "SetNicknameRequest")
	add[rsp.SetNicknameResponse](m, "SetNicknameResponse")
	add[rsp.InitiateAuthenticationRequest](m, "InitiateAuthenticationRequest")
	add[rsp.InitiateAuthenticationResponse](m, "InitiateAuthenticationResponse")
	add[rsp.AuthenticateClientRequest](m, "AuthenticateClientRequest")
	add[rsp.AuthenticateClientResponse](m, "AuthenticateClientResponse")
	add[rsp.GetBoundProfilePackageRequest](m, "GetBoundProfilePackageRequest")
	add[rsp.GetBoundProfilePackageResponse](m, "GetBoundProfilePackageResponse")
	add[rsp.CancelSessionES9Request](m, "CancelSessionES9Request")
	add[rsp.CancelSessionES9Response](m, "CancelSessionES9Response")
	add[rsp.HandleNotification](m, "HandleNotification")
	add[rsp.ES9Request](m, "ES9Request")
	add[rsp.ES9Response](m, "ES9Response")
	add[rsp.GetEIMPackageRequest](m, "GetEIMPackageRequest")
	add[rsp.GetEIMPackageResponse](m, "GetEIMPackageResponse")
	add[rsp.EUICCPackageRequest](m, "EUICCPackageRequest")
	add[rsp.EUICCPackageSigned](m, "EUICCPackageSigned")
	add[rsp.ProfileDownloadTriggerRequest](m, "ProfileDownloadTriggerRequest")
	add[rsp.ProvideEIMPackageResult](m, "ProvideEIMPackageResult")
	add[rsp.ProvideEIMPackageResultResponse](m, "ProvideEIMPackageResultResponse")
	add[rsp.EUICCPackageResult](m, "EUICCPackageResult")
	add[rsp.EUICCPackageResultData](m, "EUICCPackageResultData")
	add[rsp.EUICCPackageErrorData](m, "EUICCPackageErrorData")
	add[rsp.IPAEUICCDataRequest](m, "IPAEUICCDataRequest")
	add[rsp.IPAEUICCDataResponse](m, "IPAEUICCDataResponse")
	add[rsp.ProfileDownloadTriggerResult](m, "ProfileDownloadTriggerResult")
	add[rsp.AddInitialEIMRequest](m, "AddInitialEIMRequest")
	add[rsp.AddInitialEIMResponse](m, "AddInitialEIMResponse")
	add[rsp.GetEIMConfigurationDataRequest](m, "GetEIMConfigurationDataRequest")
	add[rsp.GetEIMConfigurationDataResponse](m, "GetEIMConfigurationDataResponse")
	add[rsp.GetCertsRequest](m, "GetCertsRequest")
	add[rsp.GetCertsResponse](m, "GetCertsResponse")
	add[rsp.EUICCMemoryResetRequest](m, "EUICCMemoryResetRequest")
	add[rsp.EUICCMemoryResetResponse](m, "EUICCMemoryResetResponse")
	add[rsp.EUICCMemoryResetIoTRequest](m, "EUICCMemoryResetIoTRequest")
	add[rsp.EUICCMemoryResetIoTResponse](m, "EUICCMemoryResetIoTResponse")
	add[rsp.ConfigureImmediateProfileEnablingRequest](m, "ConfigureImmediateProfileEnablingRequest")
	add[rsp.ConfigureImmediateProfileEnablingResponse](m, "ConfigureImmediateProfileEnablingResponse")
	add[rsp.ImmediateEnableRequest](m, "ImmediateEnableRequest")
	add[rsp.ImmediateEnableResponse](m, "ImmediateEnableResponse")
	add[rsp.ProfileRollbackRequest](m, "ProfileRollbackRequest")
	add[rsp.ProfileRollbackResponse](m, "ProfileRollbackResponse")
	add[rsp.InitiateAuthenticationRequestEsipa](m, "InitiateAuthenticationRequestEsipa")
	add[rsp.InitiateAuthenticationResponseEsipa](m, "InitiateAuthenticationResponseEsipa")
	add[rsp.AuthenticateClientRequestEsipa](m, "AuthenticateClientRequestEsipa")
	add[rsp.AuthenticateClientResponseEsipa](m, "AuthenticateClientResponseEsipa")
	add[rsp.GetBoundProfilePackageRequestEsipa](m, "GetBoundProfilePackageRequestEsipa")
	add[rsp.GetBoundProfilePackageResponseEsipa](m, "GetBoundProfilePackageResponseEsipa")
	add[rsp.CancelSessionRequestEsipa](m, "CancelSessionRequestEsipa")
	add[rsp.CancelSessionResponseEsipa](m, "CancelSessionResponseEsipa")
	add[rsp.HandleNotificationEsipa](m, "HandleNotificationEsipa")
	add[rsp.ProfileHeader](m, "ProfileHeader")
	add[rsp.NonStandard](m, "NonStandard")
	add[rsp.ProfileEnd](m, "ProfileEnd")
	return m
}

func add[T any, P interface {
	*T
	rsp.Message
}](m map[string]func(b []byte) (rsp.Message, error), name string) {
	m[name] = func(b []byte) (rsp.Message, error) {
		v, err := rsp.Decode[T, P](b)
		return P(v), err
	}
}

// samples are messages with as many members as they may have, at least one of
// each kind.
func samples() []rsp.Message {
	id := rsp.TransactionID{0x01, 0xAB}
	certificate := bertlv.Append(nil, 0x30, []byte{0x02, 1, 5})
	signature, point := fill(7, 64), append([]byte{4}, fill(9, 64)...)
	iccid := rsp.ICCID("8944476500001224158")
	eid, _ := rsp.ParseEID("89049032123451234512345678901235")
	info1 := rsp.EUICCInfo1{SVN: []byte{2, 5, 0}, VerifyKeys: [][]byte{fill(1, 20), fill(2, 20)}, SignKeys: [][]byte{fill(1, 20)}}
	info2 := rsp.EUICCInfo2{
		ProfileVersion: []byte{2, 3, 1}, SVN: []byte{2, 5, 0}, Firmware: []byte{1, 0, 0}, ExtCardResource: []byte{0x81, 1, 0},
		UICCCapability: 0x26C7F, TS102241: []byte{9, 2, 0}, GlobalPlatform: []byte{2, 3, 0}, RSPCapability: rsp.AdditionalProfile | rsp.TestProfileSupport,
		VerifyKeys: info1.VerifyKeys, SignKeys: info1.SignKeys, Category: ptr(2), ForbiddenRules: ptr(rsp.PPR1 | rsp.PPR2),
		PPVersion: []byte{0, 0, 1}, SASNumber: "ACME-01", CertificationData: []byte{0xAC, 3, 0x80, 1, 'x'},
	}
	ctx := rsp.CtxParams1{MatchingID: ptr("M-1"), Device: rsp.DeviceInfo{
		TAC: fill(0x35, 4), Capabilities: rsp.DeviceCapabilities{GSM: []byte{5, 0, 0}, RSPCRL: []byte{2, 0, 0}}, IMEI: fill(0x11, 8),
	}}
	server1 := rsp.ServerSigned1{TransactionID: id, EUICCChallenge: fill(1, 16), ServerAddress: "smdp.example", ServerChallenge: fill(2, 16)}
	authOK := rsp.AuthenticateServerResponse{OK: &rsp.AuthenticateOK{
		Signed1:    rsp.EUICCSigned1{TransactionID: id, ServerAddress: "smdp.example", ServerChallenge: fill(2, 16), Info2: info2, CtxParams1: ctx},
		Signature1: signature, EUICCCertificate: certificate, EUMCertificate: certificate,
	}}
	prepare := rsp.PrepareDownloadRequest{
		Signed2: rsp.SMDPSigned2{TransactionID: id, CCRequired: true, EUICCOTPK: point}, Signature2: signature, HashCC: fill(3, 32), Certificate: certificate,
	}
	prepared := rsp.PrepareDownloadResponse{OK: &rsp.PrepareDownloadOK{
		Signed2: rsp.EUICCSigned2{TransactionID: id, OTPK: point, HashCC: fill(3, 32)}, Signature2: signature,
	}}
	vendor := []rsp.VendorData{{Vendor: "2.999.10.1", Data: []byte{0x81, 1, 7}}, {Vendor: "1.3.6.1.4.1.99999", Data: []byte{0xA1, 2, 5, 0}}}
	config := []rsp.NotificationConfig{{Events: rsp.EventInstall | rsp.EventDelete, Address: "smdp.example"}}
	owner := &rsp.Operator{MCCMNC: []byte{0x03, 0x22, 0x20}, GID1: []byte{1}, GID2: []byte{}}
	metadata := rsp.StoreMetadataRequest{
		ICCID: iccid, ServiceProvider: "registry.example", ProfileName: "meter", IconType: ptr(rsp.IconPNG), Icon: []byte{1},
		Class: ptr(rsp.ClassTest), Notifications: config, Owner: owner, PolicyRules: ptr(rsp.PPR2), VendorStored: vendor, VendorNotStored: vendor[:1],
	}
	channel := rsp.InitialiseSecureChannelRequest{
		RemoteOperation: rsp.InstallBoundProfilePackage, TransactionID: id,
		ControlRef: rsp.ControlRef{KeyType: 0x88, KeyLen: 0x10, HostID: []byte("host")}, SMDPOTPK: point, SMDPSign: signature,
	}
	bpp := rsp.BoundProfilePackage{
		SecureChannel: channel, ConfigureISDP: [][]byte{{0x87, 1, 1}}, StoreMetadata: [][]byte{{0x88, 1, 2}, {0x88, 1, 3}},
		ReplaceKeys: [][]byte{{0x87, 1, 4}}, ProfilePackage: [][]byte{{0x86, 1, 5}, bertlv.Append(nil, 0x86, fill(6, 1016))},
	}
	notification := rsp.NotificationMetadata{SeqNumber: 200, Event: rsp.EventEnable, Address: "smdp.example", ICCID: &iccid}
	installed := rsp.ProfileInstallationResult{Signature: signature, Data: rsp.ProfileInstallationResultData{
		TransactionID: id, Notification: notification, SMDPOID: ptr(rsp.OID("2.999.10")),
		Success: &rsp.InstallationSuccess{AID: fill(0xA0, 16), SIMAResponse: []byte{0x30, 0x07, 0xA0, 0x05, 0x30, 0x03, 0x80, 0x01, 0x00}},
	}}
	failed := rsp.ProfileInstallationResultData{
		TransactionID: id, Notification: notification,
		Error: &rsp.InstallationFailure{Command: rsp.BPPLoadProfileElements, Reason: rsp.InstallPEProcessing, SIMAResponse: []byte{0x30, 0}},
	}
	other := rsp.OtherSignedNotification{Notification: notification, Signature: signature, EUICCCertificate: certificate, EUMCertificate: certificate}
	cancelSigned := rsp.EUICCCancelSessionSigned{TransactionID: id, SMDPOID: "2.999.10", Reason: rsp.CancelMetadataMismatch}
	cancelled := rsp.CancelSessionResponse{OK: &rsp.CancelSessionOK{Signed: cancelSigned, Signature: signature}}
	profile := rsp.ProfileInfo{
		ICCID: &iccid, AID: fill(0xA0, 16), State: ptr(rsp.StateEnabled), Nickname: ptr(""), ServiceProvider: ptr("a"), ProfileName: ptr("b"),
		IconType: ptr(rsp.IconJPG), Icon: []byte{}, Class: ptr(rsp.ClassOperational), Notifications: config, Owner: owner,
		Proprietary: &rsp.DPProprietaryData{OID: "2.999.10"}, PolicyRules: ptr(rsp.PolicyRules(0)), VendorStored: vendor,
	}
	operations := rsp.EUICCPackageRequest{Signature: signature, Signed: rsp.EUICCPackageSigned{
		EIMID: "eim", EID: eid, Counter: 5, EIMTransactionID: id, Operations: []rsp.PSMO{
			{Enable: &rsp.PSMOEnable{ICCID: iccid, Rollback: true}}, {Disable: &rsp.PSMOProfile{ICCID: iccid}},
			{Delete: &rsp.PSMOProfile{ICCID: iccid}}, {List: &rsp.ProfileInfoListRequest{}}, {Other: []byte{0xAE, 0}},
		},
	}}
	trigger := rsp.ProfileDownloadTriggerRequest{ActivationCode: ptr("1$smdp.example$M-1"), EIMTransactionID: id}
	list := []rsp.PendingNotification{{Installation: &installed}, {Other: &other}}
	return append(samplesOfIoT(), []rsp.Message{
		&info1, &info2, &server1, &ctx, &authOK.OK.Signed1, &authOK, &prepare, &prepare.Signed2, &prepared, &prepared.OK.Signed2, &metadata,
		&rsp.StoreMetadataRequest{ICCID: "89000123456789012341"}, &channel, &bpp, &installed, &failed, &notification, &other, &cancelled, &cancelSigned,
		&rsp.AuthenticateServerRequest{ServerSigned1: server1, ServerSignature1: signature, CIKeyID: fill(1, 20), ServerCertificate: certificate, CtxParams1: ctx},
		&rsp.AuthenticateServerResponse{Error: &rsp.AuthenticateFailure{TransactionID: id, Code: rsp.AuthCIKeyUnknown}},
		&rsp.PrepareDownloadResponse{Error: &rsp.PrepareDownloadFailure{TransactionID: id, Code: rsp.DownloadUndefined}},
		&rsp.ConfigureISDPRequest{}, &rsp.ConfigureISDPRequest{Proprietary: &rsp.DPProprietaryData{OID: "2.999.10"}},
		&rsp.ReplaceSessionKeysRequest{InitialMCV: fill(1, 16), PPKEnc: fill(2, 16), PPKCMAC: fill(3, 16)},
		&rsp.ListNotificationRequest{}, &rsp.ListNotificationRequest{Events: ptr(rsp.EventDisable)},
		&rsp.ListNotificationResponse{List: []rsp.NotificationMetadata{notification}}, &rsp.ListNotificationResponse{List: []rsp.NotificationMetadata{}},
		&rsp.ListNotificationResponse{Error: ptr(127)}, &rsp.RetrieveNotificationsRequest{}, &rsp.RetrieveNotificationsRequest{SeqNumber: ptr(int64(1))},
		&rsp.RetrieveNotificationsRequest{Events: ptr(rsp.EventEnable)}, &rsp.RetrieveNotificationsResponse{List: list}, &rsp.RetrieveNotificationsResponse{Error: ptr(1)},
		&rsp.NotificationSentRequest{SeqNumber: 1 << 40}, &rsp.NotificationSentResponse{Status: 1}, &rsp.CancelSessionRequest{TransactionID: id, Reason: rsp.CancelUndefined},
		&rsp.CancelSessionResponse{Error: ptr(5)}, &rsp.GetEUICCChallengeRequest{}, &rsp.GetEUICCChallengeResponse{Challenge: fill(4, 16)},
		&rsp.GetEUICCInfo1Request{}, &rsp.GetEUICCInfo2Request{}, &rsp.GetEIDRequest{TagList: []byte{0x5A}}, &rsp.GetEIDResponse{EID: eid},
		&rsp.ConfiguredAddressesRequest{}, &rsp.ConfiguredAddressesResponse{DefaultSMDP: ptr("smdp.example"), RootSMDS: "smds.example"},
		&rsp.SetDefaultSMDPRequest{Address: ""}, &rsp.SetDefaultSMDPResponse{Result: 127},
		&rsp.ProfileInfoListRequest{}, &rsp.ProfileInfoListRequest{ICCID: &iccid, TagList: []byte{0x5A, 0x9F, 0x70}},
		&rsp.ProfileInfoListResponse{List: []rsp.ProfileInfo{profile, {}}}, &rsp.ProfileInfoListResponse{Error: ptr(1)},
		&rsp.EnableProfileRequest{Profile: rsp.ProfileID{ICCID: &iccid}, Refresh: true}, &rsp.EnableProfileResponse{Result: rsp.ProfileCATBusy},
		&rsp.DisableProfileRequest{Profile: rsp.ProfileID{AID: fill(1, 16)}}, &rsp.DisableProfileResponse{},
		&rsp.DeleteProfileRequest{Profile: rsp.ProfileID{ICCID: &iccid}}, &rsp.DeleteProfileResponse{Result: rsp.ProfilePolicy},
		&rsp.SetNicknameRequest{ICCID: iccid, Nickname: "Zähler"}, &rsp.SetNicknameResponse{},
		&rsp.ES9Request{InitiateAuthentication: &rsp.InitiateAuthenticationRequest{Challenge: fill(1, 16), SMDPAddress: "smdp.example", Info1: info1}},
		&rsp.ES9Request{AuthenticateClient: &rsp.AuthenticateClientRequest{TransactionID: id, Response: authOK}},
		&rsp.ES9Request{GetBoundProfilePackage: &rsp.GetBoundProfilePackageRequest{TransactionID: id, Response: prepared}},
		&rsp.ES9Request{CancelSession: &rsp.CancelSessionES9Request{TransactionID: id, Response: cancelled}},
		&rsp.CancelSessionES9Request{TransactionID: id, Response: cancelled, WithoutTag: true},
		&rsp.ES9Request{HandleNotification: &rsp.HandleNotification{Notification: list[0]}}, &rsp.HandleNotification{Notification: list[1]},
		&rsp.ES9Response{InitiateAuthentication: &rsp.InitiateAuthenticationResponse{OK: &rsp.InitiateAuthenticationOK{
			TransactionID: id, ServerSigned1: server1, ServerSignature1: signature, CIKeyID: fill(1, 20), ServerCertificate: certificate,
		}}},
		&rsp.InitiateAuthenticationResponse{Error: ptr(rsp.InitiateAuthenticationError(2))},
		&rsp.ES9Response{AuthenticateClient: &rsp.AuthenticateClientResponse{OK: &rsp.AuthenticateClientOK{TransactionID: id, Metadata: metadata, Prepare: prepare}}},
		&rsp.AuthenticateClientResponse{Error: ptr(rsp.AuthenticateClientError(6))},
		&rsp.ES9Response{GetBoundProfilePackage: &rsp.GetBoundProfilePackageResponse{OK: &rsp.GetBoundProfilePackageOK{TransactionID: id, Package: bpp}}},
		&rsp.GetBoundProfilePackageResponse{Error: ptr(rsp.GetBoundProfilePackageError(95))},
		&rsp.ES9Response{CancelSession: &rsp.CancelSessionES9Response{OK: &rsp.CancelSessionES9OK{}}}, &rsp.CancelSessionES9Response{Error: ptr(rsp.CancelSessionError(1))},
		&rsp.GetEIMPackageRequest{EID: eid, NotifyChange: true, Cause: ptr(3), RPLMN: []byte{1, 2, 3}},
		&rsp.GetEIMPackageResponse{Package: &operations}, &operations, &operations.Signed, &rsp.GetEIMPackageResponse{Trigger: &trigger}, &trigger,
		&rsp.GetEIMPackageResponse{Error: ptr(rsp.EIMNoPackage)},
		&rsp.ProfileDownloadTriggerRequest{DefaultSMDP: true}, &rsp.ProfileDownloadTriggerRequest{SMDS: []byte{0xA2, 0}}, &rsp.ProfileDownloadTriggerRequest{},
		&rsp.ProvideEIMPackageResultResponse{Acknowledged: []int64{1, 300}}, &rsp.ProvideEIMPackageResultResponse{},
		&rsp.ProfileHeader{Major: 2, Minor: 3, Type: "IoT", ICCID: iccid, POL: []byte{1}, Services: []byte{0xA5, 2, 0x81, 0}, Templates: []rsp.OID{"2.23.143.1.2.1"}},
		&rsp.NonStandard{Header: rsp.ElementHeader{Mandated: true, ID: 300}, Issuer: "2.999.1", Content: []byte("sealed")}, &rsp.ProfileEnd{Header: rsp.ElementHeader{ID: 2}},
	}...)
}
