//go:build unix

package tpmkeys_test

import (
	"crypto"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/iotregistry/sdk/profile/euicc/tpmkeys"
)

// A TPM that hangs is waited for once, not once for each thing to flush.
func TestATPMThatHangs(t *testing.T) {
	t.Parallel()
	m := newSWTPM(t)
	tpm, err := m.open(tpmkeys.Options{Timeout: time.Second})
	require.NoError(t, err)
	keys := create(t, tpm)
	use(t, keys)
	require.NoError(t, m.cmd.Process.Signal(syscall.SIGSTOP))
	_, err = keys.Signer.Sign(nil, make([]byte, 32), crypto.SHA256)
	require.ErrorIs(t, err, tpmkeys.ErrTimeout)
	require.NoError(t, m.cmd.Process.Signal(syscall.SIGCONT))
	require.Eventually(t, func() bool { return try(keys) == nil }, 20*time.Second, 10*time.Millisecond)
	require.NoError(t, tpm.Close())
}
