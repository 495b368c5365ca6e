package tpmkeys_test

import (
	"crypto/ecdh"
	"crypto/rand"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/iotregistry/sdk/profile/euicc/tpmkeys"
)

// Who listens between processor and TPM sees neither shared secrets nor values
// that keys ask for.
func TestTheBusSeesNoSecrets(t *testing.T) {
	t.Parallel()
	listened := newSWTPM(t).listen(t)
	value := []byte("correct horse battery staple")
	tpm, err := tpmkeys.Open(listened, tpmkeys.Options{Auth: value})
	require.NoError(t, err)
	keys := create(t, tpm)
	use(t, keys)
	peer, err := ecdh.P256().GenerateKey(rand.Reader)
	require.NoError(t, err)
	secret, err := keys.Agreement.ECDH(peer.PublicKey())
	require.NoError(t, err)
	require.NoError(t, tpm.Close())

	traffic := string(listened.traffic)
	require.NotContains(t, traffic, string(secret))
	require.NotContains(t, traffic, string(value))
	require.NotContains(t, traffic, string(peer.PublicKey().Bytes()[1:33]), "what goes in is encrypted too")
	require.Contains(t, traffic, string(keys.Agreement.PublicKey().Bytes()[1:33]), "the test looks at the right bytes")
}

// Nor can anybody change what the TPM says: the shared secret is right or there
// is none, whichever bit of the answer changes.
func TestTheBusChangesNothing(t *testing.T) {
	t.Parallel()
	between := newSWTPM(t).listen(t)
	tpm, err := tpmkeys.Open(between, tpmkeys.Options{})
	require.NoError(t, err)
	keys := create(t, tpm)
	use(t, keys)
	const header, answer = 10, 10 + 4 + 2 + 68 + 2 + 32 + 1 + 2 + 32 // sizes, point, nonce, attributes, code
	for i := header; i < answer; i++ {
		between.change = func(b []byte) {
			require.Len(t, b, answer)
			b[i] ^= 1
			between.change = nil
		}
		_, err := keys.Agreement.ECDH(keys.Agreement.PublicKey())
		require.Error(t, err, "byte %d", i)
		use(t, keys)
	}
	require.NoError(t, tpm.Close())
}

// A key that is loaded takes one command.
func TestOneCommandForEachUse(t *testing.T) {
	t.Parallel()
	counted := newSWTPM(t).listen(t)
	tpm, err := tpmkeys.Open(counted, tpmkeys.Options{})
	require.NoError(t, err)
	keys := create(t, tpm)
	use(t, keys)
	before := counted.sent
	use(t, keys)
	require.Equal(t, before+2, counted.sent)
	require.NoError(t, tpm.Close())
}

// Nothing stays behind in the TPM, so that it never fills up.
func TestNothingStaysLoaded(t *testing.T) {
	t.Parallel()
	machine := newSWTPM(t)
	for range 5 {
		tpm, err := machine.open(tpmkeys.Options{})
		require.NoError(t, err)
		use(t, create(t, tpm))
		require.NoError(t, tpm.Close())
	}
	listened := machine.listen(t)
	for _, first := range []uint32{0x80000000, 0x02000000, 0x81000000} {
		require.Empty(t, handles(t, listened, first), "%#x", first)
	}
}
