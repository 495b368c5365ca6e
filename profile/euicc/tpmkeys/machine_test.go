package tpmkeys_test

import (
	"context"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/google/go-tpm/tpm2"
	"github.com/google/go-tpm/tpm2/transport"
	"github.com/stretchr/testify/require"

	"github.com/iotregistry/sdk/profile/euicc/tpmkeys"
)

// machine is a computer with a TPM.
type machine interface {
	open(o tpmkeys.Options) (*tpmkeys.TPM, error)
	reboot(t testing.TB) // with the power off in between
}

// onMachines runs a test with every kind of TPM. The simulator is one for the
// process, so that a test may have several machines of swtpm only.
func onMachines(t *testing.T, test func(*testing.T, machine)) {
	t.Parallel()
	for name, boot := range map[string]func(testing.TB) machine{
		"swtpm":     func(t testing.TB) machine { return newSWTPM(t) },
		"simulator": newSimulator,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			test(t, boot(t))
		})
	}
}

func open(t testing.TB, m machine, o tpmkeys.Options) *tpmkeys.TPM {
	tpm, err := m.open(o)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, tpm.Close()) })
	return tpm
}

// swtpm is a TPM in another process, which has no resource manager: it has room
// for three objects and three sessions, as a bare TPM has.
type swtpm struct {
	program, dir string
	flags        []string
	cmd          *exec.Cmd
}

func newSWTPM(t testing.TB, flags ...string) *swtpm {
	program, err := exec.LookPath("swtpm")
	if err != nil {
		t.Skip("swtpm is not installed (apt-get install swtpm)")
	}
	dir, err := os.MkdirTemp("", "tpm") // paths of sockets have to be short
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, os.RemoveAll(dir)) })
	if flags == nil {
		flags = []string{"--flags", "startup-clear"}
	}
	s := &swtpm{program: program, dir: dir, flags: flags}
	s.start(t)
	t.Cleanup(s.stop)
	return s
}

func (s *swtpm) path() string { return filepath.Join(s.dir, "socket") }

func (s *swtpm) start(t testing.TB) {
	s.cmd = exec.Command(s.program, append([]string{
		"socket", "--tpm2", "--tpmstate", "dir=" + s.dir, "--server", "type=unixio,path=" + s.path(),
		"--ctrl", "type=unixio,path=" + s.path() + ".ctrl",
	}, s.flags...)...)
	require.NoError(t, s.cmd.Start())
	require.Eventually(t, func() bool {
		conn, err := new(net.Dialer).DialContext(t.Context(), "unix", s.path())
		return err == nil && conn.Close() == nil
	}, 20*time.Second, time.Millisecond, "swtpm does not start")
}

func (s *swtpm) stop() {
	_ = s.cmd.Process.Kill()
	_ = s.cmd.Wait()
	_ = os.Remove(s.path())
}

func (s *swtpm) reboot(t testing.TB) {
	s.stop()
	s.start(t)
}

func (s *swtpm) open(o tpmkeys.Options) (*tpmkeys.TPM, error) { return tpmkeys.OpenDevice(s.path(), o) }

// bus is a transport that somebody listens to, and may change.
type bus struct {
	transport.TPM
	mu      sync.Mutex
	traffic []byte
	sent    int
	change  func(answer []byte) // nil: none
}

func (b *bus) Send(command []byte) ([]byte, error) {
	answer, err := b.TPM.Send(command)
	b.mu.Lock()
	defer b.mu.Unlock()
	b.traffic = append(append(b.traffic, command...), answer...)
	b.sent++
	if b.change != nil {
		b.change(answer)
	}
	return answer, err
}

// listen returns the bus of a TPM to be opened with Open.
func (s *swtpm) listen(t testing.TB) *bus {
	conn, err := new(net.Dialer).DialContext(context.Background(), "unix", s.path())
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, conn.Close()) })
	return &bus{TPM: transport.FromReadWriter(conn)}
}

// handles lists what the TPM holds from a handle on.
func handles(t testing.TB, tpm transport.TPM, first uint32) []tpm2.TPMHandle {
	rsp, err := tpm2.GetCapability{Capability: tpm2.TPMCapHandles, Property: first, PropertyCount: 100}.Execute(tpm)
	require.NoError(t, err)
	list, err := rsp.CapabilityData.Data.Handles()
	require.NoError(t, err)
	return list.Handle
}
