package rsp

// Status is a subject and a reason code of SGP.22 section 5.2.6, such as
// {"8.1.3", "6.1"}. Codes are texts: 3.1 is not 3.10. The zero Status is success.
type Status struct{ Subject, Reason string }

// String returns "subject/reason".
func (s Status) String() string { return s.Subject + "/" + s.Reason }

// The codes that the ASN.1 binding of ES9+ has for statuses. The tables hold no
// more than the reference does; a code without status, 127 above all, stands for
// an execution error of the platform.
type (
	// InitiateAuthenticationError is the failure of ES9+.InitiateAuthentication.
	InitiateAuthenticationError int
	// AuthenticateClientError is the failure of ES9+.AuthenticateClient.
	AuthenticateClientError int
	// GetBoundProfilePackageError is the failure of ES9+.GetBoundProfilePackage.
	GetBoundProfilePackageError int
	// CancelSessionError is the failure of ES9+.CancelSession.
	CancelSessionError int
)

const undefined = 127

type entry struct {
	code   int
	name   string
	status Status
}

func statusOf(code int, table []entry) Status {
	for _, e := range table {
		if e.code == code {
			return e.status
		}
	}
	return Status{"8", "4.2"} // [M]
}

func codeOf(s Status, table []entry) int {
	for _, e := range table {
		if e.status == s {
			return e.code
		}
	}
	return undefined
}

func nameIn(table []entry, code int) string {
	names := map[int]string{undefined: "undefinedError"}
	for _, e := range table {
		names[e.code] = e.name
	}
	return named("error", code, names)
}

func initiateTable() []entry {
	return []entry{
		{1, "invalidDpAddress", Status{"8.8.1", "3.8"}},
		{2, "euiccVersionNotSupportedByDp", Status{"8.8.3", "3.1"}},
		{3, "ciPKNotSupported", Status{"8.8.2", "3.1"}},
		{3, "ciPKNotSupported", Status{"8.8.4", "3.7"}}, // [M]
	}
}

func authenticateTable() []entry {
	return []entry{
		{1, "eumCertificateInvalid", Status{"8.1.2", "6.1"}},
		{2, "eumCertificateExpired", Status{"8.1.2", "6.3"}},
		{3, "euiccCertificateInvalid", Status{"8.1.3", "6.1"}},
		{4, "euiccCertificateExpired", Status{"8.1.3", "6.3"}},
		{5, "euiccSignatureInvalid", Status{"8.1", "6.1"}},
		{6, "matchingIdRefused", Status{"8.2.6", "3.8"}},
		{7, "eidMismatch", Status{"8.1.1", "3.8"}},
		{8, "noEligibleProfile", Status{"8.2.5", "4.3"}},
		{9, "ciPKUnknown", Status{"8.11.1", "3.9"}},
		{10, "invalidTransactionId", Status{"8.10.1", "3.9"}},
		{11, "insufficientMemory", Status{"8.1", "4.8"}},
		{18, "downloadOrderExpired", Status{"8.8.5", "4.10"}}, // [M]
	}
}

func packageTable() []entry {
	return []entry{
		{1, "euiccSignatureInvalid", Status{"8.1", "6.1"}},
		{2, "confirmationCodeMissing", Status{"8.2.7", "2.2"}},
		{3, "confirmationCodeRefused", Status{"8.2.7", "3.8"}},
		{4, "confirmationCodeRetriesExceeded", Status{"8.2.7", "6.4"}},
		{5, "bppRebindingRefused", Status{"8.2", "3.7"}},     // [M]
		{6, "downloadOrderExpired", Status{"8.8.5", "4.10"}}, // [M]
		{95, "invalidTransactionId", Status{"8.10.1", "3.9"}},
	}
}

func cancelTable() []entry {
	return []entry{
		{1, "invalidTransactionId", Status{"8.10.1", "3.9"}},
		{2, "euiccSignatureInvalid", Status{"8.1", "6.1"}},
	}
}

// Status returns subject and reason of the failure.
func (e InitiateAuthenticationError) Status() Status { return statusOf(int(e), initiateTable()) }

// String returns SGP.22's name of the failure.
func (e InitiateAuthenticationError) String() string { return nameIn(initiateTable(), int(e)) }

// Status returns subject and reason of the failure.
func (e AuthenticateClientError) Status() Status { return statusOf(int(e), authenticateTable()) }

// String returns SGP.22's name of the failure.
func (e AuthenticateClientError) String() string { return nameIn(authenticateTable(), int(e)) }

// Status returns subject and reason of the failure.
func (e GetBoundProfilePackageError) Status() Status { return statusOf(int(e), packageTable()) }

// String returns SGP.22's name of the failure.
func (e GetBoundProfilePackageError) String() string { return nameIn(packageTable(), int(e)) }

// Status returns subject and reason of the failure.
func (e CancelSessionError) Status() Status { return statusOf(int(e), cancelTable()) }

// String returns SGP.22's name of the failure.
func (e CancelSessionError) String() string { return nameIn(cancelTable(), int(e)) }

// InitiateAuthenticationErrorOf returns the code for s, 127 where there is none.
func InitiateAuthenticationErrorOf(s Status) InitiateAuthenticationError {
	return InitiateAuthenticationError(codeOf(s, initiateTable()))
}

// AuthenticateClientErrorOf returns the code for s, 127 where there is none.
func AuthenticateClientErrorOf(s Status) AuthenticateClientError {
	return AuthenticateClientError(codeOf(s, authenticateTable()))
}

// GetBoundProfilePackageErrorOf returns the code for s, 127 where there is none.
func GetBoundProfilePackageErrorOf(s Status) GetBoundProfilePackageError {
	return GetBoundProfilePackageError(codeOf(s, packageTable()))
}

// CancelSessionErrorOf returns the code for s, 127 where there is none.
func CancelSessionErrorOf(s Status) CancelSessionError {
	return CancelSessionError(codeOf(s, cancelTable()))
}

// Status returns what the operator is told over ES2+ when a device has cancelled
// for this reason. terminal is false where the order stays as it was and there
// is nothing to tell.
func (r CancelReason) Status() (s Status, terminal bool) {
	switch r {
	case CancelPostponed, CancelTimeout:
		return Status{}, false
	case CancelEndUserRejection:
		return Status{"8.8.5", "3.8"}, true
	case CancelPPRNotAllowed:
		return Status{"8.2.8", "1.2"}, true
	case CancelMetadataMismatch:
		return Status{"8.2.9", "3.11"}, true
	case CancelLoadBPPError:
		return Status{"8.2.10", "4.2"}, true
	}
	return Status{"8", "4.2"}, true
}
