package tpmkeys_test

import (
	"encoding/pem"
	"os"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/iotregistry/sdk/profile/euicc/tpmkeys"
)

// testdata/keys.pem is of a swtpm that is gone: it shows that files from before
// are still read.
func filed(t testing.TB) []byte {
	text, err := os.ReadFile("testdata/keys.pem")
	require.NoError(t, err)
	return text
}

func TestFiledKeysAreRead(t *testing.T) {
	t.Parallel()
	_, rest := pem.Decode(filed(t))
	for range 2 {
		b, after := pem.Decode(rest)
		require.NotNil(t, b)
		require.NoError(t, tpmkeys.ParseDER(b.Bytes))
		rest = after
	}
	require.Empty(t, rest)
}

func FuzzWrapped(f *testing.F) {
	for rest := filed(f); ; {
		b, after := pem.Decode(rest)
		if b == nil {
			break
		}
		f.Add(b.Bytes)
		rest = after
	}
	f.Fuzz(func(t *testing.T, der []byte) {
		direct := tpmkeys.ParseDER(der)
		inPEM := tpmkeys.ParseWrapped(pem.EncodeToMemory(&pem.Block{Type: "TSS2 PRIVATE KEY", Bytes: der}))
		if len(der) < 8<<10 {
			require.Equal(t, direct == nil, inPEM == nil)
		}
		require.Error(t, tpmkeys.ParseWrapped(der), "no PEM")
	})
}

// replay is a TPM that answers with what was given to it, piece by piece.
type replay struct{ answers []byte }

func (r *replay) Send([]byte) ([]byte, error) {
	n := 0
	if len(r.answers) > 0 {
		n = min(int(r.answers[0])+1, len(r.answers))
	}
	answer := r.answers[:n]
	r.answers = r.answers[n:]
	if n > 0 {
		answer = answer[1:]
	}
	return answer, nil
}

// Whatever a TPM says, nothing falls over and nothing is believed: the answers
// here cannot have the authentication code that a fresh nonce wants.
func FuzzAnswers(f *testing.F) {
	session := append([]byte{0x80, 1, 0, 0, 0, 48, 0, 0, 0, 0, 2, 0, 0, 0, 0, 32}, make([]byte, 32)...)
	primary := []byte{0x80, 2, 0, 0, 0, 20, 0, 0, 0, 0, 0x80, 0, 0, 0, 0, 0, 0, 2, 0, 0}
	f.Add([]byte{})
	f.Add(append([]byte{48}, session...))
	f.Add(append(append([]byte{48}, session...), append([]byte{20}, primary...)...))
	f.Fuzz(func(t *testing.T, answers []byte) {
		_, err := tpmkeys.Open(&replay{answers}, tpmkeys.Options{})
		require.Error(t, err)
	})
}
