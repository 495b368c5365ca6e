package es9_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/iotregistry/sdk/mno/es9"
)

func TestPathsAreThoseOfSGP22(t *testing.T) {
	t.Parallel()
	for function, path := range map[string]string{
		"initiateAuthentication": es9.PathInitiateAuthentication, "authenticateClient": es9.PathAuthenticateClient,
		"getBoundProfilePackage": es9.PathGetBoundProfilePackage, "cancelSession": es9.PathCancelSession,
		"handleNotification": es9.PathHandleNotification,
	} {
		require.Equal(t, "/gsma/rsp2/es9plus/"+function, path)
	}
	require.Equal(t, "/gsma/rsp2/asn1", es9.PathASN1)
	require.NotEqual(t, es9.TypeJSON, es9.TypeASN1)
}
