//go:build cgo && tpmsimulator

package tpmkeys_test

import (
	"testing"

	"github.com/google/go-tpm-tools/simulator"
	"github.com/google/go-tpm/tpm2/transport"
	"github.com/stretchr/testify/require"

	"github.com/iotregistry/sdk/profile/euicc/tpmkeys"
)

// inProcess is the reference implementation of a TPM, in C. It needs OpenSSL's
// headers to build, which is why it has a tag.
type inProcess struct{ *simulator.Simulator }

func newSimulator(t testing.TB) machine {
	s, err := simulator.Get()
	if err != nil {
		t.Skip("the TPM simulator does not start: ", err)
	}
	t.Cleanup(func() { require.NoError(t, s.Close()) })
	return inProcess{s}
}

func (m inProcess) open(o tpmkeys.Options) (*tpmkeys.TPM, error) {
	return tpmkeys.Open(transport.FromReadWriter(m.Simulator), o)
}

func (m inProcess) reboot(t testing.TB) { require.NoError(t, m.Reset()) }
