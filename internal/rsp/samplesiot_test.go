package rsp_test

import (
	"github.com/iotregistry/sdk/internal/bertlv"
	"github.com/iotregistry/sdk/internal/rsp"
)

// samplesOfIoT are the messages of SGP.32 other than those of SGP.22.
func samplesOfIoT() []rsp.Message {
	id, iccid := rsp.TransactionID{0x01, 0xAB}, rsp.ICCID("8944476500001224158")
	certificate, signature := bertlv.Append(nil, 0x30, []byte{0x02, 1, 5}), fill(7, 64)
	eid, _ := rsp.ParseEID("89049032123451234512345678901235")
	config := rsp.EIMConfigurationData{
		EIMID: "eim", FQDN: ptr("eim.example"), IDType: ptr(rsp.EIMIDFQDN), Counter: ptr(int64(5)), AssociationToken: ptr(rsp.NewAssociationToken),
		SigningKey: &rsp.EIMKey{PublicKey: certificate}, TLSKey: &rsp.EIMKey{Certificate: certificate}, Protocols: ptr(rsp.EIMRetrieveHTTPS | rsp.EIMInjectCoAPS),
		CIKeyID: fill(1, 20), IndirectDownload: true, Proprietary: []rsp.VendorData{{Vendor: "2.999.10", Data: []byte{0x81, 1, 7}}},
	}
	short := rsp.EIMConfigurationData{EIMID: "e", SigningKey: &rsp.EIMKey{Untagged: certificate}}
	psmos := rsp.EUICCPackageSigned{EIMID: "eim", EID: eid, Operations: []rsp.PSMO{
		{GetRAT: &rsp.Empty{}}, {SetFallback: &rsp.PSMOProfile{ICCID: iccid}}, {UnsetFallback: &rsp.Empty{}}, {SetDefaultSMDP: &rsp.PSMOAddress{Address: "smdp.example"}},
		{ConfigureImmediate: &rsp.ConfigureImmediateProfileEnablingRequest{Enable: true, SMDPOID: ptr(rsp.OID("2.999.10")), Address: ptr("smdp.example")}},
	}}
	ecos := rsp.EUICCPackageSigned{EIMID: "eim", EID: eid, Counter: 6, Configuration: []rsp.ECO{
		{Add: &config}, {Delete: &rsp.ECODelete{EIMID: "other"}}, {Update: &short}, {List: &rsp.Empty{}}, {Other: []byte{0xAE, 0}},
	}}
	data := rsp.EUICCPackageResultData{EIMID: "eim", Counter: 5, EIMTransactionID: id, SeqNumber: 9, Results: []rsp.EUICCResultData{
		{Enable: ptr(rsp.ProfileNoRollback)}, {Disable: ptr(rsp.ProfileOK)}, {Delete: ptr(rsp.ProfileFallbackInUse)},
		{List: &rsp.ProfileInfoListResponse{List: []rsp.ProfileInfo{{ICCID: &iccid}}}}, {AddEIM: &rsp.AddEIMResult{AssociationToken: ptr(int64(300))}},
		{AddEIM: &rsp.AddEIMResult{Code: ptr(rsp.AddEIMExists)}}, {DeleteEIM: ptr(rsp.EIMLastDeleted)}, {UpdateEIM: ptr(rsp.EIMCIKeyUnknown)},
		{ListEIM: &rsp.ListEIMResult{EIMs: []rsp.EIMIDInfo{{EIMID: "eim", IDType: ptr(rsp.EIMIDOID)}, {EIMID: "e"}}}}, {ListEIM: &rsp.ListEIMResult{Error: ptr(127)}},
		{Other: []byte{0x8C, 1, 0}}, {Terminated: ptr(rsp.TerminatedInterruption)},
	}}
	failure := rsp.EUICCPackageErrorData{EIMID: "eim", Counter: 5, EIMTransactionID: id, Code: rsp.PackageReplay}
	signed := rsp.EUICCPackageResult{Signed: &rsp.EUICCPackageResultSigned{Data: data, Signature: signature}}
	refused := rsp.EUICCPackageResult{Error: &rsp.EUICCPackageErrorSigned{Data: failure, Signature: signature}}
	unsigned := rsp.EUICCPackageResult{Unsigned: &rsp.EUICCPackageErrorUnsigned{
		EIMID: "eim", EIMTransactionID: id, AssociationToken: ptr(int64(1)), Code: ptr(rsp.PackageSizeOverflow),
	}}
	return append(samplesOfIoTData(signed, refused, unsigned),
		&psmos, &ecos, &data, &failure, &signed, &refused, &unsigned,
		&rsp.AddInitialEIMRequest{EIMs: []rsp.EIMConfigurationData{config, short}},
		&rsp.AddInitialEIMResponse{Added: []rsp.AddedEIM{{AssociationToken: ptr(int64(1))}, {}, {}}}, &rsp.AddInitialEIMResponse{Error: ptr(rsp.AddEIMCIKeyUnknown)},
		&rsp.GetEIMConfigurationDataRequest{}, &rsp.GetEIMConfigurationDataRequest{EIMID: ptr("eim")},
		&rsp.GetEIMConfigurationDataResponse{EIMs: []rsp.EIMConfigurationData{short}},
		&rsp.GetCertsRequest{}, &rsp.GetCertsRequest{CIKeyID: fill(1, 20)}, &rsp.GetCertsResponse{Error: ptr(1)},
		&rsp.GetCertsResponse{OK: &rsp.EUICCCertificates{EUM: certificate, EUICC: certificate}},
		&rsp.EUICCMemoryResetRequest{Options: rsp.ResetOperational | rsp.ResetDefaultSMDP}, &rsp.EUICCMemoryResetResponse{Result: 1},
		&rsp.EUICCMemoryResetIoTRequest{Options: rsp.ResetEIMs | rsp.ResetImmediateEnable},
		&rsp.EUICCMemoryResetIoTResponse{Result: 104, EIMResult: ptr(2), ImmediateEnableResult: ptr(1)},
		psmos.Operations[4].ConfigureImmediate, &rsp.ConfigureImmediateProfileEnablingResponse{Result: 2},
		&rsp.ImmediateEnableRequest{Refresh: true}, &rsp.ImmediateEnableResponse{Result: 4},
		&rsp.ProfileRollbackRequest{}, &rsp.ProfileRollbackResponse{Result: 0, Package: &signed}, &rsp.ProfileRollbackResponse{Result: 1},
		&rsp.RetrieveNotificationsRequest{PackageResults: true}, &rsp.RetrieveNotificationsResponse{Packages: []rsp.EUICCPackageResult{signed, refused}},
	)
}

// samplesOfIoTData are what goes between device and eIM apart from downloads.
func samplesOfIoTData(results ...rsp.EUICCPackageResult) []rsp.Message {
	id := rsp.TransactionID{0x01, 0xAB}
	certificate, signature := bertlv.Append(nil, 0x30, []byte{0x02, 1, 5}), fill(7, 64)
	eid, _ := rsp.ParseEID("89049032123451234512345678901235")
	notification := rsp.NotificationMetadata{SeqNumber: 200, Event: rsp.EventEnable, Address: "smdp.example"}
	other := rsp.OtherSignedNotification{Notification: notification, Signature: signature, EUICCCertificate: certificate, EUMCertificate: certificate}
	installed := rsp.ProfileInstallationResult{Signature: signature, Data: rsp.ProfileInstallationResultData{
		TransactionID: id, Notification: notification, Error: &rsp.InstallationFailure{Reason: rsp.InstallUnknown},
	}}
	list := []rsp.PendingNotification{{Installation: &installed}, {Other: &other}}
	info1 := &rsp.EUICCInfo1{SVN: []byte{2, 5, 0}, VerifyKeys: [][]byte{fill(1, 20)}, SignKeys: [][]byte{fill(1, 20)}}
	info2 := &rsp.EUICCInfo2{
		ProfileVersion: []byte{2, 3, 1}, SVN: []byte{2, 5, 0}, Firmware: []byte{1, 0, 0}, ExtCardResource: []byte{0x81, 1, 0},
		VerifyKeys: info1.VerifyKeys, SignKeys: info1.SignKeys, PPVersion: []byte{0, 0, 1}, SASNumber: "ACME-01",
		Received: rsp.Received{Extra: []byte{0x90, 1, 0, 0xB4, 7, 0xA0, 5, 4, 3, 1, 2, 0}}, // ipaMode and iotSpecificInfo
	}
	answer := rsp.IPAEUICCDataResponse{Data: &rsp.IPAEUICCData{
		Notifications: list, DefaultSMDP: ptr("smdp.example"), PackageResults: results, Info1: info1, Info2: info2, RootSMDS: ptr("smds.example"),
		AssociationToken: ptr(int64(128)), EUMCertificate: certificate, EUICCCertificate: certificate, EIMTransactionID: id,
		IPACapabilities: []byte{0xA8, 4, 0x80, 2, 7, 0x80}, DeviceInfo: []byte{0xA9, 0},
	}}
	wanted := rsp.IPAEUICCDataRequest{TagList: []byte{0xBF, 0x20}, CIKeyID: fill(1, 4), NotificationEvents: ptr(rsp.EventEnable), ResultNumber: ptr(int64(3)), EIMTransactionID: id}
	triggered := rsp.ProfileDownloadTriggerResult{EIMTransactionID: id, Installation: &installed}
	noDownload := rsp.ProfileDownloadTriggerResult{Error: &rsp.ProfileDownloadFailure{Reason: rsp.ProfileDownloadUndefined, Response: []byte("gone")}}
	result := func(r rsp.EIMPackageResult) *rsp.ProvideEIMPackageResult {
		return &rsp.ProvideEIMPackageResult{EID: &eid, Result: r}
	}
	return append(samplesOfIndirectDownload(),
		&wanted, &rsp.IPAEUICCDataRequest{TagList: []byte{}, NotificationNumber: ptr(int64(1))}, &rsp.GetEIMPackageResponse{DataRequest: &wanted},
		&answer, &rsp.IPAEUICCDataResponse{Data: &rsp.IPAEUICCData{}},
		&rsp.IPAEUICCDataResponse{Error: &rsp.IPAEUICCDataFailure{EIMTransactionID: id, Code: rsp.DataIncorrectTagList}},
		&triggered, &noDownload,
		result(rsp.EIMPackageResult{Package: &results[0]}), result(rsp.EIMPackageResult{Data: &answer}), result(rsp.EIMPackageResult{Trigger: &triggered}),
		result(rsp.EIMPackageResult{WithNotifications: &rsp.PackageResultAndNotifications{Package: results[1], Notifications: list}}),
		result(rsp.EIMPackageResult{Error: &rsp.EIMPackageResultFailure{EIMTransactionID: id, Code: rsp.ResultUnknownPackage}}),
		result(rsp.EIMPackageResult{Other: []byte{0xBF, 0x60, 0}}), &rsp.ProvideEIMPackageResult{Result: rsp.EIMPackageResult{Package: &results[2]}},
		&rsp.ProvideEIMPackageResultResponse{Error: ptr(rsp.EIMEIDNotFound)}, &rsp.ProvideEIMPackageResultResponse{Bare: true},
		&rsp.HandleNotificationEsipa{Result: result(rsp.EIMPackageResult{Package: &results[0]})},
	)
}

// samplesOfIndirectDownload are what goes between device and eIM for a download.
func samplesOfIndirectDownload() []rsp.Message {
	id := rsp.TransactionID{0x01, 0xAB}
	certificate, signature := bertlv.Append(nil, 0x30, []byte{0x02, 1, 5}), fill(7, 64)
	object := func(tag bertlv.Tag) []byte { return bertlv.Append(nil, tag, []byte{0xA0, 3, 4, 1, 0xFF}) }
	ctx := &rsp.CtxParams1{MatchingID: ptr("M-1"), Device: rsp.DeviceInfo{TAC: fill(0x35, 4)}}
	return []rsp.Message{
		&rsp.InitiateAuthenticationRequestEsipa{Challenge: fill(1, 16), SMDPAddress: ptr("smdp.example"), Info1: object(0xBF20), EIMTransactionID: id},
		&rsp.InitiateAuthenticationRequestEsipa{Challenge: fill(1, 16)},
		&rsp.InitiateAuthenticationResponseEsipa{OK: &rsp.InitiateAuthenticationOKEsipa{
			TransactionID: id, ServerSigned1: object(0x30), ServerSignature1: signature, CIKeyID: fill(1, 20), ServerCertificate: certificate,
			MatchingID: ptr("M-1"), CtxParams1: ctx,
		}},
		&rsp.InitiateAuthenticationResponseEsipa{Error: ptr(rsp.InitiateAuthenticationErrorEsipa(52))},
		&rsp.AuthenticateClientRequestEsipa{TransactionID: id, Response: object(0xBF38)},
		&rsp.AuthenticateClientResponseEsipa{DP: &rsp.AuthenticateClientOKDPEsipa{
			TransactionID: id, Metadata: object(0xBF25), SMDPSigned2: object(0x30), SMDPSignature2: signature, SMDPCertificate: certificate, HashCC: fill(3, 32),
		}},
		&rsp.AuthenticateClientResponseEsipa{DS: &rsp.AuthenticateClientOKDSEsipa{TransactionID: id, Trigger: &rsp.ProfileDownloadTriggerRequest{DefaultSMDP: true}}},
		&rsp.AuthenticateClientResponseEsipa{DS: &rsp.AuthenticateClientOKDSEsipa{TransactionID: id}},
		&rsp.AuthenticateClientResponseEsipa{Error: ptr(rsp.AuthenticateClientErrorEsipa(50))},
		&rsp.GetBoundProfilePackageRequestEsipa{TransactionID: id, Response: object(0xBF21)},
		&rsp.GetBoundProfilePackageResponseEsipa{OK: &rsp.GetBoundProfilePackageOKEsipa{TransactionID: id, Package: object(0xBF36)}},
		&rsp.GetBoundProfilePackageResponseEsipa{Error: ptr(rsp.GetBoundProfilePackageErrorEsipa(50))},
		&rsp.CancelSessionRequestEsipa{TransactionID: id, Response: object(0xBF41)},
		&rsp.CancelSessionRequestEsipa{TransactionID: id, Response: object(0xBF41), WithTag: true},
		&rsp.CancelSessionResponseEsipa{OK: &rsp.Empty{}}, &rsp.CancelSessionResponseEsipa{Error: ptr(rsp.CancelSessionError(1))},
		&rsp.HandleNotificationEsipa{Notification: object(0xBF37)}, &rsp.HandleNotificationEsipa{Notification: object(0x30)},
		&rsp.HandleNotificationEsipa{Notification: object(0xBF37), Bare: true}, &rsp.HandleNotificationEsipa{Notification: object(0x30), Bare: true},
	}
}
