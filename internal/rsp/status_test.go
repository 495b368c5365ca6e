package rsp_test

import (
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/iotregistry/sdk/internal/rsp"
)

func TestStatusOfES9Errors(t *testing.T) {
	t.Parallel()
	type code interface {
		fmt.Stringer
		Status() rsp.Status
	}
	for _, c := range []struct {
		code         code
		name, status string
	}{
		{rsp.InitiateAuthenticationError(1), "invalidDpAddress", "8.8.1/3.8"},
		{rsp.InitiateAuthenticationError(2), "euiccVersionNotSupportedByDp", "8.8.3/3.1"},
		{rsp.InitiateAuthenticationError(3), "ciPKNotSupported", "8.8.2/3.1"},
		{rsp.AuthenticateClientError(1), "eumCertificateInvalid", "8.1.2/6.1"},
		{rsp.AuthenticateClientError(2), "eumCertificateExpired", "8.1.2/6.3"},
		{rsp.AuthenticateClientError(3), "euiccCertificateInvalid", "8.1.3/6.1"},
		{rsp.AuthenticateClientError(4), "euiccCertificateExpired", "8.1.3/6.3"},
		{rsp.AuthenticateClientError(5), "euiccSignatureInvalid", "8.1/6.1"},
		{rsp.AuthenticateClientError(6), "matchingIdRefused", "8.2.6/3.8"},
		{rsp.AuthenticateClientError(7), "eidMismatch", "8.1.1/3.8"},
		{rsp.AuthenticateClientError(8), "noEligibleProfile", "8.2.5/4.3"},
		{rsp.AuthenticateClientError(9), "ciPKUnknown", "8.11.1/3.9"},
		{rsp.AuthenticateClientError(10), "invalidTransactionId", "8.10.1/3.9"},
		{rsp.AuthenticateClientError(11), "insufficientMemory", "8.1/4.8"},
		{rsp.AuthenticateClientError(18), "downloadOrderExpired", "8.8.5/4.10"},
		{rsp.AuthenticateClientError(127), "undefinedError", "8/4.2"},
		{rsp.GetBoundProfilePackageError(1), "euiccSignatureInvalid", "8.1/6.1"},
		{rsp.GetBoundProfilePackageError(2), "confirmationCodeMissing", "8.2.7/2.2"},
		{rsp.GetBoundProfilePackageError(3), "confirmationCodeRefused", "8.2.7/3.8"},
		{rsp.GetBoundProfilePackageError(4), "confirmationCodeRetriesExceeded", "8.2.7/6.4"},
		{rsp.GetBoundProfilePackageError(5), "bppRebindingRefused", "8.2/3.7"},
		{rsp.GetBoundProfilePackageError(6), "downloadOrderExpired", "8.8.5/4.10"},
		{rsp.GetBoundProfilePackageError(95), "invalidTransactionId", "8.10.1/3.9"},
		{rsp.CancelSessionError(1), "invalidTransactionId", "8.10.1/3.9"},
		{rsp.CancelSessionError(2), "euiccSignatureInvalid", "8.1/6.1"},
		{rsp.CancelSessionError(127), "undefinedError", "8/4.2"},
	} {
		s := c.code.Status()
		require.Equal(t, c.name, c.code.String())
		require.Equal(t, c.status, s.String(), c.name)
		switch e := c.code.(type) {
		case rsp.InitiateAuthenticationError:
			require.Equal(t, e, rsp.InitiateAuthenticationErrorOf(s))
		case rsp.AuthenticateClientError:
			require.Equal(t, e, rsp.AuthenticateClientErrorOf(s))
		case rsp.GetBoundProfilePackageError:
			require.Equal(t, e, rsp.GetBoundProfilePackageErrorOf(s))
		case rsp.CancelSessionError:
			require.Equal(t, e, rsp.CancelSessionErrorOf(s))
		}
	}
	require.Equal(t, rsp.AuthenticateClientError(127), rsp.AuthenticateClientErrorOf(rsp.Status{Subject: "8.2", Reason: "1.2"}), "no code for it")
}

func TestStatusOfESipaErrors(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		code interface {
			fmt.Stringer
			Status() rsp.Status
		}
		name, status string
	}{
		{rsp.InitiateAuthenticationErrorEsipa(1), "invalidDpAddress", "8.8.1/3.8"},
		{rsp.InitiateAuthenticationErrorEsipa(2), "euiccVersionNotSupportedByDp", "8.8.3/3.1"},
		{rsp.InitiateAuthenticationErrorEsipa(3), "ciPKIdNotSupported", "8.8.2/3.1"},
		{rsp.InitiateAuthenticationErrorEsipa(50), "smdpAddressMismatch", "8.8.1/3.10"},
		{rsp.InitiateAuthenticationErrorEsipa(51), "smdpOidMismatch", "8.8/3.10"},
		{rsp.InitiateAuthenticationErrorEsipa(52), "invalidEimTransactionId", "8.31.2/3.10"},
		{rsp.InitiateAuthenticationErrorEsipa(127), "undefinedError", "8/4.2"},
		{rsp.AuthenticateClientErrorEsipa(6), "matchingIdRefused", "8.2.6/3.8"},
		{rsp.AuthenticateClientErrorEsipa(18), "downloadOrderExpired", "8.8.5/4.10"},
		{rsp.AuthenticateClientErrorEsipa(50), "pprNotAllowed", "8.2.8/1.2"},
		{rsp.AuthenticateClientErrorEsipa(56), "eventIdUnknown", "8.9.5/3.9"},
		{rsp.GetBoundProfilePackageErrorEsipa(1), "euiccSignatureInvalid", "8.1/6.1"},
		{rsp.GetBoundProfilePackageErrorEsipa(50), "metadataMismatch", "8.2.9/3.11"},
		{rsp.GetBoundProfilePackageErrorEsipa(95), "invalidTransactionId", "8.10.1/3.9"},
		{rsp.GetBoundProfilePackageErrorEsipa(127), "undefinedError", "8/4.2"},
		{rsp.EIMNoPackage, "noEimPackageAvailable", "8.1.1/3.7"},
		{rsp.EIMEIDNotFound, "eidNotFound", "8.1.1/3.9"},
		{rsp.EIMInvalidEID, "invalidEid", "8.1.1/2.1"},
		{rsp.EIMMissingEID, "missingEid", "8.1.1/2.2"},
		{rsp.EIMUndefined, "undefinedError", "8/4.2"},
	} {
		s := c.code.Status()
		require.Equal(t, c.name, c.code.String())
		require.Equal(t, c.status, s.String(), c.name)
		switch e := c.code.(type) {
		case rsp.InitiateAuthenticationErrorEsipa:
			require.Equal(t, e, rsp.InitiateAuthenticationErrorEsipaOf(s))
		case rsp.AuthenticateClientErrorEsipa:
			require.Equal(t, e, rsp.AuthenticateClientErrorEsipaOf(s))
		case rsp.GetBoundProfilePackageErrorEsipa:
			require.Equal(t, e, rsp.GetBoundProfilePackageErrorEsipaOf(s))
		case rsp.EIMPackageError:
			require.Equal(t, e, rsp.EIMPackageErrorOf(s))
		}
	}
	require.Equal(t, rsp.GetBoundProfilePackageErrorEsipa(127), rsp.GetBoundProfilePackageErrorEsipaOf(rsp.Status{Subject: "8.8.5", Reason: "4.10"}), "6 is not used any more")
}

func TestCancelReasons(t *testing.T) {
	t.Parallel()
	for reason, want := range map[rsp.CancelReason]string{
		rsp.CancelEndUserRejection: "8.8.5/3.8", rsp.CancelPPRNotAllowed: "8.2.8/1.2", rsp.CancelMetadataMismatch: "8.2.9/3.11",
		rsp.CancelLoadBPPError: "8.2.10/4.2", rsp.CancelUndefined: "8/4.2", 55: "8/4.2",
	} {
		s, terminal := reason.Status()
		require.True(t, terminal)
		require.Equal(t, want, s.String(), reason)
	}
	for _, reason := range []rsp.CancelReason{rsp.CancelPostponed, rsp.CancelTimeout} {
		_, terminal := reason.Status()
		require.False(t, terminal, "%v keeps the order", reason)
	}
}

func TestCodesHaveNames(t *testing.T) {
	t.Parallel()
	for want, code := range map[string]fmt.Stringer{
		"ciPKUnknown": rsp.AuthCIKeyUnknown, "authenticate error 99": rsp.AuthenticateError(99), "invalidTransactionId": rsp.DownloadInvalidTransaction,
		"loadProfileElements": rsp.BPPLoadProfileElements, "scp03tSecurityError": rsp.InstallSCP03tSecurity, "catBusy": rsp.ProfileCATBusy,
		"metadataMismatch": rsp.CancelMetadataMismatch, "eidNotFound": rsp.EIMEIDNotFound,
		"invalidPackageFormat": rsp.ResultInvalidFormat, "replayError": rsp.PackageReplay, "resultSizeOverflow": rsp.TerminatedResultSize,
		"associatedEimAlreadyExists": rsp.AddEIMExists, "lastEimDeleted": rsp.EIMLastDeleted, "euiccCiPKIdNotFound": rsp.DataCIKeyNotFound,
		"ecallActive": rsp.ProfileDownloadECallActive, "rollbackNotAvailable": rsp.ProfileNoRollback, "termination 99": rsp.PackageTermination(99),
	} {
		require.Equal(t, want, code.String())
	}
	require.Equal(t, rsp.ClassOperational, (&rsp.StoreMetadataRequest{}).ProfileClass(), "operational where it is not told")
	require.Equal(t, rsp.ClassTest, (&rsp.StoreMetadataRequest{Class: ptr(rsp.ClassTest)}).ProfileClass())
}
