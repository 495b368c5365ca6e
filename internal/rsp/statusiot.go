package rsp

// The codes that the ASN.1 binding of ESipa has for statuses. What is not ESipa's
// own has the status of ES9+. The statuses of the others are from one public
// device's tables of SGP.32 section 5.14. [M]
type (
	// InitiateAuthenticationErrorEsipa is the failure of
	// ESipa.InitiateAuthentication.
	InitiateAuthenticationErrorEsipa int
	// AuthenticateClientErrorEsipa is the failure of ESipa.AuthenticateClient.
	AuthenticateClientErrorEsipa int
	// GetBoundProfilePackageErrorEsipa is the failure of
	// ESipa.GetBoundProfilePackage.
	GetBoundProfilePackageErrorEsipa int
	// EIMPackageError says why there is no package, or why its result is not
	// taken.
	EIMPackageError int
)

// The reasons of an EIMPackageError.
const (
	EIMNoPackage   EIMPackageError = 1 // never for a result
	EIMEIDNotFound EIMPackageError = 2
	EIMInvalidEID  EIMPackageError = 3
	EIMMissingEID  EIMPackageError = 4
	EIMUndefined   EIMPackageError = 127
)

func initiateEsipaTable() []entry {
	return []entry{
		{1, "invalidDpAddress", Status{"8.8.1", "3.8"}},
		{2, "euiccVersionNotSupportedByDp", Status{"8.8.3", "3.1"}},
		{3, "ciPKIdNotSupported", Status{"8.8.2", "3.1"}},
		{3, "ciPKIdNotSupported", Status{"8.8.4", "3.7"}},
		{50, "smdpAddressMismatch", Status{"8.8.1", "3.10"}},
		{51, "smdpOidMismatch", Status{"8.8", "3.10"}},
		{52, "invalidEimTransactionId", Status{"8.31.2", "3.10"}},
	}
}

func authenticateEsipaTable() []entry {
	return append(authenticateTable(),
		entry{50, "pprNotAllowed", Status{"8.2.8", "1.2"}},
		entry{56, "eventIdUnknown", Status{"8.9.5", "3.9"}}, // from memory of ES11
	)
}

// packageEsipaTable has no code for an order that has expired: version 1.2 does
// not use 6 any more.
func packageEsipaTable() []entry {
	table := []entry{{50, "metadataMismatch", Status{"8.2.9", "3.11"}}}
	for _, e := range packageTable() {
		if e.code != 6 {
			table = append(table, e)
		}
	}
	return table
}

func eimPackageTable() []entry {
	return []entry{
		{1, "noEimPackageAvailable", Status{"8.1.1", "3.7"}},
		{2, "eidNotFound", Status{"8.1.1", "3.9"}},
		{3, "invalidEid", Status{"8.1.1", "2.1"}},
		{4, "missingEid", Status{"8.1.1", "2.2"}},
	}
}

// Status returns subject and reason of the failure.
func (e InitiateAuthenticationErrorEsipa) Status() Status {
	return statusOf(int(e), initiateEsipaTable())
}

// String returns SGP.32's name of the failure.
func (e InitiateAuthenticationErrorEsipa) String() string {
	return nameIn(initiateEsipaTable(), int(e))
}

// Status returns subject and reason of the failure.
func (e AuthenticateClientErrorEsipa) Status() Status {
	return statusOf(int(e), authenticateEsipaTable())
}

// String returns SGP.32's name of the failure.
func (e AuthenticateClientErrorEsipa) String() string {
	return nameIn(authenticateEsipaTable(), int(e))
}

// Status returns subject and reason of the failure.
func (e GetBoundProfilePackageErrorEsipa) Status() Status {
	return statusOf(int(e), packageEsipaTable())
}

// String returns SGP.32's name of the failure.
func (e GetBoundProfilePackageErrorEsipa) String() string {
	return nameIn(packageEsipaTable(), int(e))
}

// Status returns subject and reason of the failure.
func (e EIMPackageError) Status() Status { return statusOf(int(e), eimPackageTable()) }

// String returns SGP.32's name of the failure.
func (e EIMPackageError) String() string { return nameIn(eimPackageTable(), int(e)) }

// InitiateAuthenticationErrorEsipaOf returns the code for s, 127 where there is
// none.
func InitiateAuthenticationErrorEsipaOf(s Status) InitiateAuthenticationErrorEsipa {
	return InitiateAuthenticationErrorEsipa(codeOf(s, initiateEsipaTable()))
}

// AuthenticateClientErrorEsipaOf returns the code for s, 127 where there is none.
func AuthenticateClientErrorEsipaOf(s Status) AuthenticateClientErrorEsipa {
	return AuthenticateClientErrorEsipa(codeOf(s, authenticateEsipaTable()))
}

// GetBoundProfilePackageErrorEsipaOf returns the code for s, 127 where there is
// none.
func GetBoundProfilePackageErrorEsipaOf(s Status) GetBoundProfilePackageErrorEsipa {
	return GetBoundProfilePackageErrorEsipa(codeOf(s, packageEsipaTable()))
}

// EIMPackageErrorOf returns the code for s, 127 where there is none.
func EIMPackageErrorOf(s Status) EIMPackageError {
	return EIMPackageError(codeOf(s, eimPackageTable()))
}
