package atcsim_test

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/iotregistry/sdk/profile/iotsafe"
	"github.com/iotregistry/sdk/profile/iotsafe/applet"
	"github.com/iotregistry/sdk/profile/iotsafe/atcsim"
)

// script is a modem that answers lines as it is told, behind a pipe.
type script func(line string) string

func (s script) serve(rw io.ReadWriteCloser) {
	defer rw.Close()
	var line []byte
	b := make([]byte, 1)
	for {
		if _, err := rw.Read(b); err != nil {
			return
		}
		if b[0] != '\r' {
			line = append(line, b[0])
			continue
		}
		if _, err := io.WriteString(rw, s(string(line))); err != nil {
			return
		}
		line = line[:0]
	}
}

// plain answers everything but AT+CSIM with OK, and that with answer.
func plain(answer string) script {
	return func(line string) string {
		if strings.HasPrefix(line, "AT+CSIM") {
			return answer
		}
		return "\r\nOK\r\n"
	}
}

// echoing does so after an echo.
func echoing(answer string) script {
	return func(line string) string { return line + "\r" + plain(answer)(line) }
}

// afterStale says an old answer before the echo of the next command.
func afterStale(s script) script {
	return func(line string) string {
		if strings.HasPrefix(line, "AT+CSIM") {
			return "+CSIM: 4,\"6A82\"\r\nOK\r\n" + s(line)
		}
		return s(line)
	}
}

func dial(t testing.TB, s script, opts atcsim.Options) *atcsim.Client {
	device, modem := net.Pipe()
	var wg sync.WaitGroup
	wg.Go(func() { s.serve(modem) })
	c := atcsim.NewClient(device, opts)
	t.Cleanup(func() {
		require.NoError(t, c.Close())
		wg.Wait()
	})
	return c
}

func TestAnswers(t *testing.T) {
	t.Parallel()
	for name, row := range map[string]struct {
		modem script
		want  string // hexadecimal; empty: err
		err   error
	}{
		"as specified":              {plain("\r\n+CSIM: 4,\"9000\"\r\n\r\nOK\r\n"), "9000", nil},
		"no space":                  {plain("\r\n+CSIM:4,\"9000\"\r\nOK\r\n"), "9000", nil},
		"more spaces":               {plain("\r\n+CSIM: 4, \"9000\" \r\nOK\r\n"), "9000", nil},
		"no quotation marks":        {plain("+CSIM: 4,9000\r\nOK\r\n"), "9000", nil},
		"no count":                  {plain("+CSIM: \"9000\"\r\nOK\r\n"), "9000", nil},
		"neither":                   {plain("+CSIM: 9000\r\nOK\r\n"), "9000", nil},
		"count of bytes":            {plain("+CSIM: 2,\"9000\"\r\nOK\r\n"), "9000", nil},
		"lower case":                {plain("+csim: 8,\"abcd9000\"\r\nOK\r\n"), "abcd9000", nil},
		"bare OK code":              {plain("+CSIM: 4,\"9000\"\r\n0\r\n"), "9000", nil},
		"after OK":                  {plain("OK\r\n+CSIM: 4,\"9000\"\r\n"), "9000", nil},
		"twice":                     {plain("+CSIM: 4,\"9000\"\r\n+CSIM: 4,\"9000\"\r\nOK\r\n"), "9000", nil},
		"unsolicited lines":         {plain("+CREG: 1\r\nRING\r\n+CSIM: 4,\"9000\"\r\n^X\r\nOK\r\n"), "9000", nil},
		"garbage":                   {plain("\x00\xff\x80\r\n\r\r\n+CSIM: 4,\"9000\"\r\nOK\r\n"), "9000", nil},
		"a very long line":          {plain(strings.Repeat("x", 9000) + "\r\n+CSIM: 4,\"9000\"\r\nOK\r\n"), "9000", nil},
		"echo":                      {echoing("\r\n+CSIM: 4,\"9000\"\r\nOK\r\n"), "9000", nil},
		"echo, stale answer before": {afterStale(echoing("+CSIM: 4,\"9000\"\r\nOK\r\n")), "9000", nil},
		"prompt before the echo":    {func(l string) string { return "> " + echoing("+CSIM: 4,\"9000\"\r\nOK\r\n")(l) }, "9000", nil},
		"cut":                       {plain("+CSIM: 12,\"AABBCCD\r\nOK\r\n"), "", iotsafe.ErrTruncated},
		"cut, quoted":               {plain("+CSIM: 12,\"AABB\"\r\nOK\r\n"), "", iotsafe.ErrTruncated},
		"longer than it says":       {plain("+CSIM: 4,\"AABB9000AA\"\r\nOK\r\n"), "", atcsim.ErrModem},
		"no digits":                 {plain("+CSIM: 4,\"90zz\"\r\nOK\r\n"), "", atcsim.ErrModem},
		"no number":                 {plain("+CSIM: x,\"9000\"\r\nOK\r\n"), "", atcsim.ErrModem},
		"no status word":            {plain("+CSIM: 2,\"90\"\r\nOK\r\n"), "", atcsim.ErrModem},
		"nothing":                   {plain("+CSIM:\r\nOK\r\n"), "", atcsim.ErrModem},
		"OK alone":                  {plain("OK\r\n"), "", atcsim.ErrModem},
		"SIM not inserted":          {plain("+CME ERROR: 10\r\n"), "", iotsafe.ErrCardRemoved},
		"SIM not inserted, in text": {plain("+CME ERROR: SIM not inserted\r\n"), "", iotsafe.ErrCardRemoved},
		"endless lines":             {plain(strings.Repeat("xxxxxxxxxxxxxxx\n", 20000)), "", atcsim.ErrModem},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				c := dial(t, row.modem, atcsim.Options{})
				r, err := c.Transmit(t.Context(), []byte{0, 0x84, 0, 0, 8})
				require.ErrorIs(t, err, row.err)
				require.Equal(t, row.want, fmt.Sprintf("%x", r))
			})
		})
	}
}

func TestRefusals(t *testing.T) {
	t.Parallel()
	for _, line := range []string{"ERROR", "+CME ERROR: 13", "+CMS ERROR: 1"} {
		c := dial(t, plain(line+"\r\n"), atcsim.Options{})
		_, err := c.Transmit(t.Context(), []byte{0, 0x84, 0, 0, 8})
		var refused *atcsim.ModemError
		require.ErrorAs(t, err, &refused)
		require.Equal(t, line, refused.Line)
		require.NotErrorIs(t, err, iotsafe.ErrCardRemoved)
	}
	c := dial(t, plain("OK\r\n"), atcsim.Options{})
	_, err := c.Transmit(t.Context(), make([]byte, 300))
	require.ErrorIs(t, err, iotsafe.ErrArgument)
}

// What the client sends, which modems are strict about.
func TestWhatIsSent(t *testing.T) {
	t.Parallel()
	var mu sync.Mutex
	var lines []string
	c := dial(t, func(line string) string {
		mu.Lock()
		defer mu.Unlock()
		lines = append(lines, line)
		return plain("+CSIM: 4,\"9000\"\r\nOK\r\n")(line)
	}, atcsim.Options{})
	for range 2 {
		_, err := c.Transmit(t.Context(), []byte{0, 0xA4, 4, 0, 1, 0xAB})
		require.NoError(t, err)
	}
	require.Equal(t, []string{"ATE1", "AT", `AT+CSIM=12,"00A4040001AB"`, `AT+CSIM=12,"00A4040001AB"`}, lines)
}

func TestLateAnswersOfEarlierCommandsDoNotCount(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		device, modem := net.Pipe()
		defer modem.Close()
		c := atcsim.NewClient(device, atcsim.Options{})
		defer c.Close()
		lines := make(chan string)
		go script(func(line string) string {
			if !strings.HasPrefix(line, "AT+CSIM") {
				return "OK\r\n"
			}
			return <-lines
		}).serve(modem)
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		_, err := c.Transmit(ctx, []byte{0, 0x84, 0, 0, 8})
		require.ErrorIs(t, err, context.DeadlineExceeded)
		lines <- "+CSIM: 4,\"6A82\"\r\nOK\r\n" // too late
		go func() { lines <- "+CSIM: 4,\"9000\"\r\nOK\r\n" }()
		r, err := c.Transmit(t.Context(), []byte{0, 0x84, 0, 0, 8})
		require.NoError(t, err)
		require.Equal(t, []byte{0x90, 0}, r)
	})
}

func TestSilentModem(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		c := dial(t, func(string) string { return "" }, atcsim.Options{})
		start := time.Now()
		_, err := c.Transmit(t.Context(), []byte{0, 0x84, 0, 0, 8})
		require.ErrorIs(t, err, context.DeadlineExceeded)
		require.ErrorContains(t, err, "right port and speed")
		require.Equal(t, atcsim.DefaultProbe, time.Since(start))

		c = dial(t, plain(""), atcsim.Options{Timeout: 5 * time.Second})
		start = time.Now()
		_, err = c.Transmit(t.Context(), []byte{0, 0x84, 0, 0, 8})
		require.ErrorIs(t, err, context.DeadlineExceeded)
		require.Equal(t, 5*time.Second, time.Since(start))
	})
}

// A modem that takes nothing keeps nobody waiting beyond the context.
func TestBlockedModem(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		device, modem := net.Pipe()
		c := atcsim.NewClient(device, atcsim.Options{})
		_, err := c.Transmit(t.Context(), []byte{0, 0x84, 0, 0, 8})
		require.ErrorIs(t, err, context.DeadlineExceeded)
		_, err = c.Transmit(t.Context(), []byte{0, 0x84, 0, 0, 8})
		require.ErrorIs(t, err, context.DeadlineExceeded)
		modem.Close()
		_, err = c.Transmit(t.Context(), []byte{0, 0x84, 0, 0, 8})
		require.ErrorIs(t, err, io.EOF, "the modem is gone")
		require.NoError(t, c.Close())
		_, err = c.Transmit(t.Context(), []byte{0, 0x84, 0, 0, 8})
		require.Error(t, err)
	})
}

func newCard(t testing.TB, quirks applet.Quirks) *applet.Applet {
	card, err := applet.New(applet.Config{Quirks: quirks, Objects: []applet.Object{
		applet.PrivateKey{ID: []byte{1}, Functions: applet.CanSign | applet.CanGenerate},
		applet.File{ID: []byte{2}, Data: append([]byte{0x30, 0x82, 2, 0}, bytes.Repeat([]byte{4, 6, 7, 7, 7, 7, 7, 7}, 64)...)},
	}})
	require.NoError(t, err)
	return card
}

// The whole way: client, modem with its habits, card.
func TestClientAndModem(t *testing.T) {
	t.Parallel()
	for name, opts := range map[string]atcsim.ServeOptions{
		"a good modem":         {},
		"no echo":              {Mute: true},
		"echo after ATE1":      {NoEcho: true},
		"late answers":         {Late: true},
		"late, no echo":        {Late: true, Mute: true},
		"repeated answers":     {Repeat: true},
		"repeated, no echo":    {Repeat: true, Mute: true},
		"all repeated":         {RepeatAll: true},
		"unquoted, uncounted":  {Unquoted: true, Uncounted: true},
		"unsolicited lines":    {Unsolicited: "+CREG: 1,\"00C3\""},
		"cut at 256":           {Cut: 256},
		"cut at 160":           {Cut: 160},
		"cut at 160, no echo":  {Cut: 160, Mute: true},
		"everything at a time": {Late: true, Cut: 200, RepeatAll: true, Unsolicited: "RING"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				device, modem := net.Pipe()
				ctx, cancel := context.WithCancel(t.Context())
				served := make(chan error)
				go func() { served <- atcsim.Serve(ctx, modem, newCard(t, applet.StandardCard()), opts) }()
				line := atcsim.NewClient(device, atcsim.Options{})
				exercise(t, line, opts)
				cancel()
				require.ErrorIs(t, <-served, context.Canceled)
				require.NoError(t, line.Close())
			})
		})
	}
}

func exercise(t *testing.T, line iotsafe.Transport, opts atcsim.ServeOptions) {
	c, err := iotsafe.Open(t.Context(), line, iotsafe.Options{})
	require.NoError(t, err)
	b, err := c.ReadFile(t.Context(), iotsafe.Container(2))
	require.NoError(t, err)
	require.Len(t, b, 516)
	pair, err := c.GenerateKey(t.Context(), iotsafe.Container(1))
	require.NoError(t, err)
	pub, err := c.PublicKey(t.Context(), pair.Public)
	require.NoError(t, err)
	require.True(t, pair.Key.Equal(pub))
	r, err := c.Random(t.Context(), 500)
	require.NoError(t, err)
	require.Len(t, r, 500)
	if opts.Cut > 0 {
		require.Less(t, c.Quirks().Chunk, opts.Cut/2)
	}
	require.NoError(t, c.Close())
}
