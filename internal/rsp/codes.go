package rsp

import "fmt"

// named returns the name of a code, or the number of one without.
func named(what string, code int, names map[int]string) string {
	if name, ok := names[code]; ok {
		return name
	}
	return fmt.Sprintf("%s %d", what, code)
}

// AuthenticateError says why an eUICC refuses a server.
type AuthenticateError int

// The reasons of an AuthenticateError.
const (
	AuthInvalidCertificate AuthenticateError = 1
	AuthInvalidSignature   AuthenticateError = 2
	AuthUnsupportedCurve   AuthenticateError = 3
	AuthNoSession          AuthenticateError = 4
	AuthInvalidOID         AuthenticateError = 5
	AuthChallengeMismatch  AuthenticateError = 6
	AuthCIKeyUnknown       AuthenticateError = 7
	AuthUndefined          AuthenticateError = 127
)

// String returns SGP.22's name of the reason.
func (e AuthenticateError) String() string {
	return named("authenticate error", int(e), map[int]string{
		1: "invalidCertificate", 2: "invalidSignature", 3: "unsupportedCurve", 4: "noSessionContext",
		5: "invalidOid", 6: "euiccChallengeMismatch", 7: "ciPKUnknown", 127: "undefinedError",
	})
}

// DownloadError says why an eUICC refuses to prepare a download.
type DownloadError int

// The reasons of a DownloadError.
const (
	DownloadInvalidCertificate DownloadError = 1
	DownloadInvalidSignature   DownloadError = 2
	DownloadUnsupportedCurve   DownloadError = 3
	DownloadNoSession          DownloadError = 4
	DownloadInvalidTransaction DownloadError = 5
	DownloadUndefined          DownloadError = 127
)

// String returns SGP.22's name of the reason.
func (e DownloadError) String() string {
	return named("download error", int(e), map[int]string{
		1: "invalidCertificate", 2: "invalidSignature", 3: "unsupportedCurve", 4: "noSessionContext",
		5: "invalidTransactionId", 127: "undefinedError",
	})
}

// BPPCommand is a step of installing a bound profile package.
type BPPCommand int

// The steps, in their order.
const (
	BPPInitialiseSecureChannel BPPCommand = iota
	BPPConfigureISDP
	BPPStoreMetadata
	BPPStoreMetadata2
	BPPReplaceSessionKeys
	BPPLoadProfileElements
)

// String returns SGP.22's name of the step.
func (c BPPCommand) String() string {
	return named("command", int(c), map[int]string{
		0: "initialiseSecureChannel", 1: "configureISDP", 2: "storeMetadata", 3: "storeMetadata2",
		4: "replaceSessionKeys", 5: "loadProfileElements",
	})
}

// InstallError says why a profile was not installed.
type InstallError int

// The reasons of an InstallError.
const (
	InstallIncorrectInput       InstallError = 1
	InstallInvalidSignature     InstallError = 2
	InstallInvalidTransaction   InstallError = 3
	InstallUnsupportedCRT       InstallError = 4
	InstallUnsupportedOperation InstallError = 5
	InstallUnsupportedClass     InstallError = 6
	InstallSCP03tStructure      InstallError = 7
	InstallSCP03tSecurity       InstallError = 8
	InstallICCIDExists          InstallError = 9
	InstallInsufficientMemory   InstallError = 10
	InstallInterrupted          InstallError = 11
	InstallPEProcessing         InstallError = 12
	InstallDataMismatch         InstallError = 13
	InstallInvalidNAAKey        InstallError = 14
	InstallPPRNotAllowed        InstallError = 15
	InstallUnknown              InstallError = 127
)

// String returns SGP.22's name of the reason.
func (e InstallError) String() string {
	return named("install error", int(e), map[int]string{
		1: "incorrectInputValues", 2: "invalidSignature", 3: "invalidTransactionId", 4: "unsupportedCrtValues",
		5: "unsupportedRemoteOperationType", 6: "unsupportedProfileClass", 7: "scp03tStructureError",
		8: "scp03tSecurityError", 9: "installFailedDueToIccidAlreadyExistsOnEuicc",
		10: "installFailedDueToInsufficientMemoryForProfile", 11: "installFailedDueToInterruption",
		12: "installFailedDueToPEProcessingError", 13: "installFailedDueToDataMismatch",
		14: "testProfileInstallFailedDueToInvalidNaaKey", 15: "pprNotAllowed", 127: "installFailedDueToUnknownError",
	})
}

// ProfileResult is the outcome of enabling, disabling or deleting a profile.
type ProfileResult int

// The outcomes of a ProfileResult.
const (
	ProfileOK             ProfileResult = 0
	ProfileNotFound       ProfileResult = 1
	ProfileWrongState     ProfileResult = 2 // not disabled, or not enabled
	ProfilePolicy         ProfileResult = 3
	ProfileWrongReenabled ProfileResult = 4
	ProfileCATBusy        ProfileResult = 5
	ProfileNoRollback     ProfileResult = 20 // SGP.32
	ProfileFallbackInUse  ProfileResult = 21 // SGP.32: return from the fallback profile first
	ProfileUndefined      ProfileResult = 127
)

// String returns a name of the outcome.
func (r ProfileResult) String() string {
	return named("result", int(r), map[int]string{
		0: "ok", 1: "iccidOrAidNotFound", 2: "profileInWrongState", 3: "disallowedByPolicy",
		4: "wrongProfileReenabling", 5: "catBusy", 20: "rollbackNotAvailable", 21: "returnFallbackProfile",
		127: "undefinedError",
	})
}

// CancelReason says why a device cancels a session.
type CancelReason int

// The reasons of a CancelReason.
const (
	CancelEndUserRejection CancelReason = 0
	CancelPostponed        CancelReason = 1
	CancelTimeout          CancelReason = 2
	CancelPPRNotAllowed    CancelReason = 3
	CancelMetadataMismatch CancelReason = 4
	CancelLoadBPPError     CancelReason = 5
	CancelUndefined        CancelReason = 127
)

// String returns SGP.22's name of the reason.
func (r CancelReason) String() string {
	return named("cancel reason", int(r), map[int]string{
		0: "endUserRejection", 1: "postponed", 2: "timeout", 3: "pprNotAllowed", 4: "metadataMismatch",
		5: "loadBppExecutionError", 127: "undefinedReason",
	})
}
