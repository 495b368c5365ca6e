package rsp

// EIMPackageResultError says why a device did nothing with a package.
type EIMPackageResultError int

// The reasons of an EIMPackageResultError.
const (
	ResultInvalidFormat  EIMPackageResultError = 1
	ResultUnknownPackage EIMPackageResultError = 2
	ResultUndefined      EIMPackageResultError = 127
)

// String returns SGP.32's name of the reason.
func (e EIMPackageResultError) String() string {
	return named("eIM package result error", int(e), map[int]string{
		1: "invalidPackageFormat", 2: "unknownPackage", 127: "undefinedError",
	})
}

// EUICCPackageErrorCode says why an eUICC refuses a package as a whole. An
// unsigned error has but sizeOverflow and undefinedError.
type EUICCPackageErrorCode int

// The reasons of an EUICCPackageErrorCode.
const (
	PackageInvalidEID        EUICCPackageErrorCode = 3
	PackageReplay            EUICCPackageErrorCode = 4
	PackageCounterOutOfRange EUICCPackageErrorCode = 6
	PackageSizeOverflow      EUICCPackageErrorCode = 15
	PackageECallActive       EUICCPackageErrorCode = 104
	PackageUndefined         EUICCPackageErrorCode = 127
)

// String returns SGP.32's name of the reason.
func (e EUICCPackageErrorCode) String() string {
	return named("eUICC package error", int(e), map[int]string{
		3: "invalidEid", 4: "replayError", 6: "counterValueOutOfRange", 15: "sizeOverflow",
		104: "ecallActive", 127: "undefinedError",
	})
}

// PackageTermination says why an eUICC stopped within a package.
type PackageTermination int

// The reasons of a PackageTermination.
const (
	TerminatedResultSize   PackageTermination = 1
	TerminatedUnknown      PackageTermination = 2
	TerminatedInterruption PackageTermination = 3
	TerminatedUndefined    PackageTermination = 127
)

// String returns SGP.32's name of the reason.
func (t PackageTermination) String() string {
	return named("termination", int(t), map[int]string{
		1: "resultSizeOverflow", 2: "unknownOrDamagedCommand", 3: "interruption", 127: "undefinedError",
	})
}

// AddEIMError is the outcome of adding an eIM.
type AddEIMError int

// The outcomes of an AddEIMError.
const (
	AddEIMOK                 AddEIMError = 0
	AddEIMInsufficientMemory AddEIMError = 1
	AddEIMExists             AddEIMError = 2
	AddEIMCIKeyUnknown       AddEIMError = 3
	AddEIMInvalidToken       AddEIMError = 5
	AddEIMCounterOutOfRange  AddEIMError = 6
	AddEIMCommandError       AddEIMError = 7
	AddEIMUndefined          AddEIMError = 127
)

// String returns SGP.32's name of the outcome.
func (e AddEIMError) String() string {
	return named("add eIM result", int(e), map[int]string{
		0: "ok", 1: "insufficientMemory", 2: "associatedEimAlreadyExists", 3: "ciPKUnknown",
		5: "invalidAssociationToken", 6: "counterValueOutOfRange", 7: "commandError", 127: "undefinedError",
	})
}

// EIMResult is the outcome of deleting or updating an eIM.
type EIMResult int

// The outcomes of an EIMResult.
const (
	EIMOK                EIMResult = 0
	EIMNotFound          EIMResult = 1
	EIMLastDeleted       EIMResult = 2 // deleted, and the eUICC knows no other
	EIMCIKeyUnknown      EIMResult = 3
	EIMCounterOutOfRange EIMResult = 6
	EIMCommandError      EIMResult = 7
	EIMResultUndefined   EIMResult = 127
)

// String returns SGP.32's name of the outcome.
func (r EIMResult) String() string {
	return named("eIM result", int(r), map[int]string{
		0: "ok", 1: "eimNotFound", 2: "lastEimDeleted", 3: "ciPKUnknown", 6: "counterValueOutOfRange",
		7: "commandError", 127: "undefinedError",
	})
}

// IPAEUICCDataError says why a device tells nothing about its eUICC.
type IPAEUICCDataError int

// The reasons of an IPAEUICCDataError.
const (
	DataIncorrectTagList IPAEUICCDataError = 1
	DataCIKeyNotFound    IPAEUICCDataError = 5
	DataECallActive      IPAEUICCDataError = 104
	DataUndefined        IPAEUICCDataError = 127
)

// String returns SGP.32's name of the reason.
func (e IPAEUICCDataError) String() string {
	return named("eUICC data error", int(e), map[int]string{
		1: "incorrectTagList", 5: "euiccCiPKIdNotFound", 104: "ecallActive", 127: "undefinedError",
	})
}

// ProfileDownloadError says why a download came to nothing.
type ProfileDownloadError int

// The reasons of a ProfileDownloadError.
const (
	ProfileDownloadECallActive ProfileDownloadError = 104
	ProfileDownloadUndefined   ProfileDownloadError = 127
)

// String returns SGP.32's name of the reason.
func (e ProfileDownloadError) String() string {
	return named("profile download error", int(e), map[int]string{104: "ecallActive", 127: "undefinedError"})
}
