package tpmkeys_test

import (
	"bytes"
	"context"
	"crypto"
	"encoding/binary"
	"encoding/pem"
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-tpm/tpm2"
	"github.com/stretchr/testify/require"

	"github.com/iotregistry/sdk/profile/euicc/tpmkeys"
)

func TestAuthValues(t *testing.T) {
	onMachines(t, func(t *testing.T, m machine) {
		path := filepath.Join(t.TempDir(), "keys.pem")
		tpm, err := m.open(tpmkeys.Options{Auth: []byte("right")})
		require.NoError(t, err)
		keys, err := tpm.CreateKeys(path)
		require.NoError(t, err)
		use(t, keys)
		require.NoError(t, tpm.Close())

		tpm, err = m.open(tpmkeys.Options{})
		require.NoError(t, err)
		_, err = tpm.LoadKeys(path)
		require.ErrorIs(t, err, tpmkeys.ErrAuth, "no value for keys that have one")
		require.NoError(t, tpm.Close())

		wrong := open(t, m, tpmkeys.Options{Auth: []byte("wrong")})
		keys, err = wrong.LoadKeys(path)
		require.NoError(t, err)
		_, err = keys.Signer.Sign(nil, make([]byte, 32), crypto.SHA256)
		require.ErrorIs(t, err, tpmkeys.ErrAuth)
		require.NotContains(t, err.Error(), "wrong\"")
		for range 40 { // TPMs let a few pass
			if _, err = keys.Agreement.ECDH(keys.Agreement.PublicKey()); strings.Contains(err.Error(), "LOCKOUT") {
				break
			}
			require.ErrorIs(t, err, tpmkeys.ErrAuth)
		}
		require.ErrorIs(t, err, tpmkeys.ErrLockout)
	})
}

// Keys without a value have nothing to guess.
func TestKeysWithoutAuthValueWorkInLockout(t *testing.T) {
	onMachines(t, func(t *testing.T, m machine) {
		free, err := m.open(tpmkeys.Options{})
		require.NoError(t, err)
		path := filepath.Join(t.TempDir(), "keys.pem")
		_, err = free.CreateKeys(path)
		require.NoError(t, err)
		require.NoError(t, free.Close())
		lockOut(t, m)
		keys, err := open(t, m, tpmkeys.Options{}).LoadKeys(path)
		require.NoError(t, err)
		use(t, keys)
	})
}

func lockOut(t *testing.T, m machine) {
	tpm, err := m.open(tpmkeys.Options{Auth: []byte("right")})
	require.NoError(t, err)
	s, err := tpm.NewSigner()
	require.NoError(t, err)
	require.NoError(t, tpm.Close())
	tpm, err = m.open(tpmkeys.Options{Auth: []byte("wrong")})
	require.NoError(t, err)
	s, err = tpm.LoadSigner(s.Wrapped())
	require.NoError(t, err)
	for range 40 {
		_, err = s.Sign(nil, make([]byte, 32), crypto.SHA256)
		if strings.Contains(err.Error(), "LOCKOUT") {
			break
		}
	}
	require.ErrorIs(t, err, tpmkeys.ErrLockout)
	require.NoError(t, tpm.Close())
}

func TestOwnerAuth(t *testing.T) {
	onMachines(t, func(t *testing.T, m machine) {
		_, err := m.open(tpmkeys.Options{OwnerAuth: []byte("not this")})
		require.ErrorIs(t, err, tpmkeys.ErrAuth)
	})
}

func TestOptionsAreChecked(t *testing.T) {
	t.Parallel()
	for name, o := range map[string]tpmkeys.Options{
		"33 bytes":          {Auth: bytes.Repeat([]byte{1}, 33)},
		"a zero":            {Auth: []byte{1, 0, 2}},
		"a zero at the end": {OwnerAuth: []byte{1, 0}},
	} {
		_, err := tpmkeys.Open(&scripted{}, o)
		require.ErrorIs(t, err, tpmkeys.ErrOptions, name)
	}
}

func TestKeysOfAnotherTPM(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "keys.pem")
	keys, err := open(t, newSWTPM(t), tpmkeys.Options{}).CreateKeys(path)
	require.NoError(t, err)
	other := open(t, newSWTPM(t), tpmkeys.Options{})
	_, err = other.LoadKeys(path)
	require.ErrorIs(t, err, tpmkeys.ErrForeign)
	_, err = other.LoadSigner(keys.Signer.Wrapped())
	require.ErrorIs(t, err, tpmkeys.ErrForeign)
}

func TestFilesThatAreNone(t *testing.T) {
	t.Parallel()
	tpm := open(t, newSWTPM(t), tpmkeys.Options{})
	path := filepath.Join(t.TempDir(), "keys.pem")
	keys, err := tpm.CreateKeys(path)
	require.NoError(t, err)
	good, err := os.ReadFile(path)
	require.NoError(t, err)
	a, s := keys.Agreement.Wrapped(), keys.Signer.Wrapped()
	parent := good[:bytes.Index(good, a)]
	join := func(parts ...[]byte) []byte { return bytes.Join(parts, nil) }
	for name, rule := range map[string]struct {
		text []byte
		err  error
	}{
		"nothing":            {nil, tpmkeys.ErrKey},
		"half":               {good[:len(good)/2], tpmkeys.ErrKey},
		"no parent":          {join(a, s), tpmkeys.ErrKey},
		"one key":            {join(parent, a), tpmkeys.ErrKey},
		"the other way":      {join(parent, s, a), tpmkeys.ErrKey},
		"the same twice":     {join(parent, a, a), tpmkeys.ErrKey},
		"three keys":         {join(parent, a, s, s), tpmkeys.ErrKey},
		"text before it":     {join([]byte("x\n"), good), tpmkeys.ErrKey},
		"too long":           {join(good, bytes.Repeat([]byte("\n"), 1<<20)), tpmkeys.ErrKey},
		"another parent":     {join(flip(t, parent, 20), a, s), tpmkeys.ErrForeign},
		"a changed wrapping": {join(parent, flip(t, a, -1), s), tpmkeys.ErrForeign},
	} {
		require.NoError(t, os.WriteFile(path, rule.text, 0o600))
		_, err := tpm.LoadKeys(path)
		require.ErrorIs(t, err, rule.err, name)
	}
	_, err = tpm.LoadAgreement(s)
	require.ErrorIs(t, err, tpmkeys.ErrKey)
	_, err = tpm.LoadAgreement(join(a, s))
	require.ErrorIs(t, err, tpmkeys.ErrKey)
	again, err := tpm.LoadAgreement(a)
	require.NoError(t, err)
	use(t, &tpmkeys.Keys{Agreement: again, Signer: keys.Signer})
}

// flip changes one bit of what is in a PEM block.
func flip(t testing.TB, text []byte, at int) []byte {
	b, _ := pem.Decode(text)
	require.NotNil(t, b)
	if at < 0 {
		at += len(b.Bytes)
	}
	b.Bytes[at] ^= 1
	return pem.EncodeToMemory(b)
}

// Somebody who swaps public halves wants a peer to seal to another key.
func TestEveryBitOfAKeyCounts(t *testing.T) {
	t.Parallel()
	tpm := open(t, newSWTPM(t), tpmkeys.Options{})
	s, err := tpm.NewSigner()
	require.NoError(t, err)
	b, _ := pem.Decode(s.Wrapped())
	for i := range b.Bytes {
		_, err := tpm.LoadSigner(flip(t, s.Wrapped(), i))
		require.Error(t, err, "byte %d", i)
	}
}

// scripted is a TPM that answers a command with a code.
type scripted struct {
	codes map[tpm2.TPMCC]tpm2.TPMRC
	err   error
}

func (s *scripted) Send(command []byte) ([]byte, error) {
	if s.err != nil {
		return nil, s.err
	}
	cc := tpm2.TPMCC(binary.BigEndian.Uint32(command[6:]))
	body := []byte{}
	if cc == tpm2.TPMCCStartAuthSession {
		body = append([]byte{2, 0, 0, 0, 0, 32}, make([]byte, 32)...)
	}
	answer := []byte{0x80, 0x01}
	answer = binary.BigEndian.AppendUint32(answer, uint32(10+len(body)))
	answer = binary.BigEndian.AppendUint32(answer, uint32(s.codes[cc]))
	return append(answer, body...), nil
}

func TestWhatTheTPMSays(t *testing.T) {
	t.Parallel()
	const parameter1 = 0x140 // the codes say what they are about
	for name, rule := range map[string]struct {
		cc   tpm2.TPMCC
		code tpm2.TPMRC
		err  error
	}{
		"not started":         {tpm2.TPMCCStartAuthSession, tpm2.TPMRCInitialize, tpmkeys.ErrStartup},
		"lockout":             {tpm2.TPMCCCreatePrimary, tpm2.TPMRCLockout, tpmkeys.ErrLockout},
		"no P-256":            {tpm2.TPMCCCreatePrimary, tpm2.TPMRCCurve | 2*0x100 | 0x40, tpmkeys.ErrCurve},
		"no elliptic curves":  {tpm2.TPMCCCreatePrimary, tpm2.TPMRCAsymmetric | parameter1, tpmkeys.ErrCurve},
		"no such hash":        {tpm2.TPMCCStartAuthSession, tpm2.TPMRCHash | parameter1, tpmkeys.ErrCurve},
		"no room for objects": {tpm2.TPMCCCreatePrimary, tpm2.TPMRCObjectMemory, tpmkeys.ErrFull},
		"no room at all":      {tpm2.TPMCCStartAuthSession, tpm2.TPMRCSessionMemory, tpmkeys.ErrFull},
		"owner's value":       {tpm2.TPMCCCreatePrimary, tpm2.TPMRCBadAuth | 0x900, tpmkeys.ErrAuth},
		"owner is disabled":   {tpm2.TPMCCCreatePrimary, tpm2.TPMRCHierarchy | 0x100, tpmkeys.ErrNoTPM},
		"TPM 1.2":             {tpm2.TPMCCStartAuthSession, 0x1E, tpmkeys.ErrNoTPM},
		"anything else":       {tpm2.TPMCCCreatePrimary, tpm2.TPMRCFailure, tpm2.TPMRCFailure},
	} {
		_, err := tpmkeys.Open(&scripted{codes: map[tpm2.TPMCC]tpm2.TPMRC{rule.cc: rule.code}}, tpmkeys.Options{})
		require.ErrorIs(t, err, rule.err, name)
		require.ErrorIs(t, err, rule.code, name)
		require.True(t, strings.HasPrefix(err.Error(), "tpmkeys: "), err)
	}
	for name, rule := range map[string]struct{ err, want error }{
		"another has it": {&os.PathError{Op: "write", Err: syscall.EBUSY}, tpmkeys.ErrBusy},
		"not allowed":    {&os.PathError{Op: "write", Err: syscall.EACCES}, tpmkeys.ErrPermission},
		"gone":           {&os.PathError{Op: "write", Err: syscall.ENODEV}, tpmkeys.ErrNoTPM},
		"too slow":       {os.ErrDeadlineExceeded, tpmkeys.ErrTimeout},
	} {
		_, err := tpmkeys.Open(&scripted{err: rule.err}, tpmkeys.Options{})
		require.ErrorIs(t, err, rule.want, name)
		require.ErrorIs(t, err, rule.err, name)
	}
}

func TestNoDevice(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	file := filepath.Join(dir, "file")
	require.NoError(t, os.WriteFile(file, nil, 0o600))
	closed := filepath.Join(dir, "closed")
	l, err := net.Listen("unix", closed)
	require.NoError(t, err)
	l.(*net.UnixListener).SetUnlinkOnClose(false)
	require.NoError(t, l.Close())
	for name, path := range map[string]string{"nothing": filepath.Join(dir, "none"), "a file": file, "nobody listens": closed} {
		_, err := tpmkeys.OpenDevice(path, tpmkeys.Options{})
		require.ErrorIs(t, err, tpmkeys.ErrNoTPM, name)
	}
	_, err = tpmkeys.Open(nil, tpmkeys.Options{})
	require.ErrorIs(t, err, tpmkeys.ErrNoTPM)
}

func TestNotAllowed(t *testing.T) {
	t.Parallel()
	if os.Getuid() == 0 {
		t.Skip("root is allowed everything")
	}
	path := filepath.Join(t.TempDir(), "socket")
	l, err := net.Listen("unix", path)
	require.NoError(t, err)
	defer l.Close()
	require.NoError(t, os.Chmod(path, 0))
	_, err = tpmkeys.OpenDevice(path, tpmkeys.Options{})
	require.ErrorIs(t, err, tpmkeys.ErrPermission)
}

func TestSwtpmThatWasNotStarted(t *testing.T) {
	t.Parallel()
	_, err := newSWTPM(t, "--flags", "not-need-init").open(tpmkeys.Options{})
	require.ErrorIs(t, err, tpmkeys.ErrStartup)
}

// server answers every connection with the same bytes, and keeps it open.
func server(t testing.TB, answer []byte) string {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	done := make(chan struct{})
	t.Cleanup(func() { l.Close(); <-done })
	go func() {
		defer close(done)
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			t.Cleanup(func() { conn.Close() })
			_, _ = conn.Write(answer)
		}
	}()
	return l.Addr().String()
}

func TestAnswersFromStrangers(t *testing.T) {
	t.Parallel()
	for name, rule := range map[string]struct {
		answer []byte
		err    error
	}{
		"none":                 {nil, tpmkeys.ErrTimeout},
		"one that goes on":     {[]byte{0x80, 1, 0, 0, 0, 20, 0, 0, 0, 0}, tpmkeys.ErrTimeout},
		"four gigabytes":       {[]byte{0x80, 1, 255, 255, 255, 255, 0, 0, 0, 0}, tpmkeys.ErrNoTPM},
		"less than it has":     {[]byte{0x80, 1, 0, 0, 0, 9, 0, 0, 0, 0}, tpmkeys.ErrNoTPM},
		"another protocol":     {[]byte("HTTP/1.1 400 Bad Request\r\n\r\n"), tpmkeys.ErrNoTPM},
		"success, and no more": {[]byte{0x80, 1, 0, 0, 0, 10, 0, 0, 0, 0}, nil}, // any error
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			o := tpmkeys.Options{Timeout: 20 * time.Second} // for machines that are busy
			if rule.err == tpmkeys.ErrTimeout {
				o.Timeout = 50 * time.Millisecond
			}
			_, err := tpmkeys.Dial(context.Background(), "tcp", server(t, rule.answer), o)
			require.Error(t, err)
			if rule.err != nil {
				require.ErrorIs(t, err, rule.err)
			}
		})
	}
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	_, err := tpmkeys.Dial(ctx, "tcp", server(t, nil), tpmkeys.Options{})
	require.ErrorIs(t, err, context.Canceled)
}

// proxy passes TCP connections on to a TPM's socket, and can cut them.
type proxy struct {
	net.Listener
	conns chan net.Conn
}

func newProxy(t testing.TB, path string) *proxy {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	p := &proxy{l, make(chan net.Conn, 10)}
	done := make(chan struct{})
	t.Cleanup(func() { l.Close(); <-done })
	go func() {
		defer close(done)
		for {
			here, err := l.Accept()
			if err != nil {
				return
			}
			there, err := net.Dial("unix", path)
			if err != nil {
				here.Close()
				continue
			}
			p.conns <- here
			go func() { defer here.Close(); _, _ = io.Copy(here, there) }()
			go func() { defer there.Close(); _, _ = io.Copy(there, here) }()
		}
	}()
	return p
}

func TestBrokenConnectionsAreMadeAnew(t *testing.T) {
	t.Parallel()
	p := newProxy(t, newSWTPM(t).path())
	tpm, err := tpmkeys.Dial(t.Context(), "tcp", p.Addr().String(), tpmkeys.Options{Auth: []byte("value")})
	require.NoError(t, err)
	keys := create(t, tpm)
	for range 3 {
		use(t, keys)
		require.NoError(t, (<-p.conns).Close())
	}
	use(t, keys)
	require.NoError(t, tpm.Close())
}
