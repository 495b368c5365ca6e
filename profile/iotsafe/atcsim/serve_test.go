package atcsim_test

import (
	"bufio"
	"context"
	"errors"
	"io"
	"net"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/iotregistry/sdk/profile/iotsafe"
	"github.com/iotregistry/sdk/profile/iotsafe/applet"
	"github.com/iotregistry/sdk/profile/iotsafe/atcsim"
)

// answers is a card with one answer.
type answers struct {
	response []byte
	err      error
}

func (a answers) Transmit(context.Context, []byte) ([]byte, error) { return a.response, a.err }

// told is what reads come from and writes go to.
type told struct {
	io.Reader
	io.Writer
}

// tell has a modem answer input until its end.
func tell(t testing.TB, input string, card atcsim.Card, opts atcsim.ServeOptions) string {
	var b strings.Builder
	require.NoError(t, atcsim.Serve(t.Context(), told{strings.NewReader(input), &b}, card, opts))
	return b.String()
}

func TestServe(t *testing.T) {
	t.Parallel()
	const ok, done = "\r\nOK\r\n", "\r\n+CSIM: 4,\"9000\"\r\n\r\nOK\r\n"
	for name, row := range map[string]struct{ say, want string }{
		"bare AT":                      {"AT\r", ok},
		"small letters":                {"at\r", ok},
		"echo off":                     {"ATE0\r", ok},
		"echo on":                      {"ATE1\rAT\r", ok + "AT\r" + ok},
		"both line ends":               {"AT\r\nAT\n", ok + ok},
		"blank lines":                  {"\r\r\n", ""},
		"identity":                     {"ATI\r", "\r\n" + atcsim.DefaultModel + "\r\n" + ok},
		"serial number":                {"AT+CGSN\r", "\r\n" + atcsim.DefaultSerial + "\r\n" + ok},
		"is there AT+CSIM":             {"AT+CSIM=?\r", ok},
		"unknown":                      {"AT+CREG?\r", "\r\nERROR\r\n"},
		"nonsense":                     {"hello\r", "\r\nERROR\r\n"},
		"as specified":                 {"AT+CSIM=10,\"0084000008\"\r", done},
		"wolfSSL: a space before":      {"AT+CSIM= 10,\"0084000008\"\r", done},
		"atsign: a space after":        {"AT+CSIM=10, \"0084000008\"\r", done},
		"no quotation marks":           {"AT+CSIM=10,0084000008\r", done},
		"small digits":                 {"at+csim=10,\"00a4000008\"\r", done},
		"wrong count":                  {"AT+CSIM=12,\"0084000008\"\r", "\r\nERROR\r\n"},
		"count of bytes":               {"AT+CSIM=5,\"0084000008\"\r", "\r\nERROR\r\n"},
		"odd digits":                   {"AT+CSIM=9,\"008400000\"\r", "\r\nERROR\r\n"},
		"no digits":                    {"AT+CSIM=10,\"008400000x\"\r", "\r\nERROR\r\n"},
		"no command":                   {"AT+CSIM=2,\"00\"\r", "\r\nERROR\r\n"},
		"no number":                    {"AT+CSIM=\"00\"\r", "\r\nERROR\r\n"},
		"quotation mark missing":       {"AT+CSIM=10,\"0084000008\r", "\r\nERROR\r\n"},
		"a line that is much too long": {strings.Repeat("A", 10000) + "\rAT\r", ok},
		"a line that is not ended":     {"AT", ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			require.Equal(t, row.want, tell(t, row.say, answers{response: []byte{0x90, 0}}, atcsim.ServeOptions{NoEcho: true}))
		})
	}
}

func TestServeHasHabits(t *testing.T) {
	t.Parallel()
	const command = "AT+CSIM=10,\"0084000008\"\r"
	card := answers{response: []byte{0xAB, 0xCD, 0x90, 0}}
	for name, row := range map[string]struct {
		opts atcsim.ServeOptions
		want string
	}{
		"echo":        {atcsim.ServeOptions{}, command + "\r\n+CSIM: 8,\"ABCD9000\"\r\n\r\nOK\r\n"},
		"late":        {atcsim.ServeOptions{Mute: true, Late: true}, "\r\nOK\r\n\r\n+CSIM: 8,\"ABCD9000\"\r\n"},
		"repeat":      {atcsim.ServeOptions{Mute: true, Repeat: true}, strings.Repeat("\r\n+CSIM: 8,\"ABCD9000\"\r\n", 2) + "\r\nOK\r\n"},
		"cut":         {atcsim.ServeOptions{Mute: true, Cut: 5}, "\r\n+CSIM: 8,\"ABCD9\r\n\r\nOK\r\n"},
		"not cut":     {atcsim.ServeOptions{Mute: true, Cut: 8}, "\r\n+CSIM: 8,\"ABCD9000\"\r\n\r\nOK\r\n"},
		"unquoted":    {atcsim.ServeOptions{Mute: true, Unquoted: true}, "\r\n+CSIM: 8,ABCD9000\r\n\r\nOK\r\n"},
		"uncounted":   {atcsim.ServeOptions{Mute: true, Uncounted: true}, "\r\n+CSIM: \"ABCD9000\"\r\n\r\nOK\r\n"},
		"unsolicited": {atcsim.ServeOptions{Mute: true, Unsolicited: "RING"}, "\r\nRING\r\n\r\n+CSIM: 8,\"ABCD9000\"\r\n\r\nOK\r\n"},
	} {
		require.Equal(t, row.want, tell(t, command, card, row.opts), name)
	}
	require.Equal(t, "\r\n+CME ERROR: 10\r\n", tell(t, command, answers{err: iotsafe.ErrCardRemoved}, atcsim.ServeOptions{Mute: true}))
	require.Equal(t, "\r\n+CME ERROR: 13\r\n", tell(t, command, answers{err: errors.New("gone")}, atcsim.ServeOptions{Mute: true}))
}

func TestServeEnds(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		device, modem := net.Pipe()
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		require.ErrorIs(t, atcsim.Serve(ctx, modem, answers{}, atcsim.ServeOptions{}), context.DeadlineExceeded)
		_ = device.Close()
		require.NoError(t, atcsim.Serve(t.Context(), modem, answers{}, atcsim.ServeOptions{}), "the line was closed")
	})
	synctest.Test(t, func(t *testing.T) { // slow cards and clients that do not listen
		device, modem := net.Pipe()
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		go func() { _, _ = io.WriteString(device, "AT+CSIM=10,\"0084000008\"\r") }()
		require.ErrorIs(t, atcsim.Serve(ctx, modem, answers{}, atcsim.ServeOptions{Mute: true, Delay: time.Hour}), context.DeadlineExceeded)
		go func() { _, _ = io.WriteString(device, "AT\r") }()
		ctx, cancel = context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		require.ErrorIs(t, atcsim.Serve(ctx, modem, answers{}, atcsim.ServeOptions{}), context.DeadlineExceeded)
		_ = device.Close()
	})
}

// What wolfSSL's client says, over a pseudo-terminal as it would.
func TestPseudoTerminal(t *testing.T) {
	t.Parallel()
	if runtime.GOOS != "linux" {
		_, err := atcsim.OpenPTY()
		require.ErrorIs(t, err, atcsim.ErrUnsupported)
		return
	}
	pty, err := atcsim.OpenPTY()
	require.NoError(t, err)
	ctx, cancel := context.WithCancel(t.Context())
	served := make(chan error, 1)
	go func() { served <- atcsim.Serve(ctx, pty, newCard(t, applet.WolfSSLCard()), atcsim.ServeOptions{}) }()

	raw, err := os.OpenFile(pty.Path, os.O_RDWR, 0)
	require.NoError(t, err)
	_, err = io.WriteString(raw, "ATE0\r\nAT+CSIM= 24,\"01A4040007A0000005590010\"\r\n")
	require.NoError(t, err)
	lines := bufio.NewScanner(raw)
	for _, want := range []string{"OK", `+CSIM: 4,"9000"`, "OK"} {
		for lines.Scan() && (lines.Text() == "" || strings.HasPrefix(lines.Text(), "ATE0")) {
			continue
		}
		require.Equal(t, want, lines.Text())
	}
	require.NoError(t, raw.Close())

	for range 2 { // one client after the other
		port, err := atcsim.OpenSerial(pty.Path, 115200)
		require.NoError(t, err)
		_, err = atcsim.OpenSerial(pty.Path, 115200)
		require.ErrorContains(t, err, "another program")
		line := atcsim.NewClient(port, atcsim.Options{Settle: 5 * time.Millisecond})
		exercise(t, line, atcsim.ServeOptions{})
		require.NoError(t, line.Close())
	}
	cancel()
	require.ErrorIs(t, <-served, context.Canceled)
	require.NoError(t, pty.Close())
}

func TestOpenSerialSaysWhatIsWrong(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "file")
	require.NoError(t, os.WriteFile(file, nil, 0o600))
	for path, baud := range map[string]int{"/does/not/exist": 115200, file: 115200, "/dev/null": 1234} {
		_, err := atcsim.OpenSerial(path, baud)
		require.Error(t, err)
	}
}

func FuzzATServer(f *testing.F) {
	f.Add("AT\rATE0\rAT+CSIM=10,\"0084000008\"\r")
	f.Add("ATE1\r\nAT+CSIM= 24,\"01A4040007A0000005590010\"\r\n")
	f.Add("AT+CSIM=4,0000\r\x00\xff")
	f.Fuzz(func(t *testing.T, input string) {
		out := tell(t, input, answers{response: []byte{0x90, 0}}, atcsim.ServeOptions{NoEcho: true})
		require.LessOrEqual(t, len(out), 100*len(input), "a byte gets the model's name at most")
	})
}

// turns is a modem that says its next part whenever it is spoken to.
type turns struct {
	parts []string
	said  chan string
}

func (x *turns) Write(b []byte) (int, error) {
	if len(x.parts) > 0 {
		x.said <- x.parts[0]
		x.parts = x.parts[1:]
	}
	return len(b), nil
}

func (x *turns) Read(b []byte) (int, error) {
	part, ok := <-x.said
	if !ok {
		return 0, io.EOF
	}
	return copy(b, part), nil
}

func (x *turns) Close() error { close(x.said); return nil }

func FuzzATClient(f *testing.F) {
	const ready = "\r\nOK\r\n\x00\r\nOK\r\n\x00"
	f.Add(ready + "\r\n+CSIM: 4,\"9000\"\r\n\r\nOK\r\n")
	f.Add("ATE1\r\r\nOK\r\n\x00AT\rOK\r\n\x00AT+CSIM=10,\"0084000008\"\r+CSIM: 8,\"ABCD9000\"\r\nOK\r\n")
	f.Add(ready + "+CME ERROR: 10\r\n")
	f.Add(ready + "OK\r\n+CSIM:4,9000\r\n")
	f.Add(ready + "+CSIM: 12,\"AABB\r\nOK\r\n")
	f.Fuzz(func(t *testing.T, input string) {
		modem := &turns{parts: strings.SplitN(input, "\x00", 4), said: make(chan string, 4)}
		c := atcsim.NewClient(modem, atcsim.Options{
			Settle: time.Nanosecond, Late: time.Millisecond, Probe: 10 * time.Millisecond, Timeout: 20 * time.Millisecond,
		})
		r, err := c.Transmit(t.Context(), []byte{0, 0x84, 0, 0, 8})
		if err == nil {
			require.GreaterOrEqual(t, len(r), 2)
			require.LessOrEqual(t, 2*len(r), len(input))
		}
		require.NoError(t, c.Close())
	})
}

var _ iotsafe.Transport = (*atcsim.Client)(nil)
