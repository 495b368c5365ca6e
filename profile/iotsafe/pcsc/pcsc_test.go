package pcsc_test

import (
	"context"
	"crypto"
	"encoding/binary"
	"errors"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/iotregistry/sdk/profile/iotsafe"
	"github.com/iotregistry/sdk/profile/iotsafe/applet"
	"github.com/iotregistry/sdk/profile/iotsafe/pcsc"
)

const reader = "Simulated Reader 00 00"

// daemon is a pcscd with one reader and a simulated card. Its messages are written
// here by hand, apart from the package's own, from winscard_msg.h.
type daemon struct {
	card     iotsafe.Transport
	refuse   map[uint32]uint32 // result codes by command
	minor    uint32            // of the only version it takes; 0: any
	empty    bool              // there is no card
	protocol uint32
	reset    int // transmissions until another program resets the card
	silent   uint32
	mu       sync.Mutex
	seen     []uint32
	sent     [][]byte
}

func u32(n ...uint32) (b []byte) {
	for _, x := range n {
		b = binary.NativeEndian.AppendUint32(b, x)
	}
	return b
}

// answer handles one message after its header.
func (d *daemon) answer(ctx context.Context, command uint32, body []byte, r io.Reader) []byte {
	at := func(i int) uint32 { return binary.NativeEndian.Uint32(body[4*i:]) }
	result := d.refuse[command]
	switch command {
	case 0x11: // version
		if d.minor != 0 && at(1) != d.minor {
			return u32(4, d.minor, 0x8010001E)
		}
		return u32(at(0), at(1), result)
	case 0x01: // establish
		return u32(at(0), 7, result)
	case 0x02: // release
		return u32(at(0), result)
	case 0x12:
		return d.states()
	case 0x04: // connect
		name := string(body[4 : 4+len(reader)])
		if name != reader {
			result = 0x80100009
		}
		return append(body[:4+128+8:4+128+8], u32(9, d.protocol, result)...)
	case 0x05: // reconnect
		return append(body[:16:16], u32(d.protocol, result)...)
	case 0x06: // disconnect
		return u32(at(0), at(1), result)
	case 0x09:
		return d.transmit(ctx, body, at, result, r)
	}
	return nil
}

func (d *daemon) transmit(ctx context.Context, body []byte, at func(int) uint32, result uint32, r io.Reader) []byte {
	data := make([]byte, at(3))
	if _, err := io.ReadFull(r, data); err != nil {
		return nil
	}
	d.mu.Lock()
	d.sent = append(d.sent, data)
	d.reset--
	reset := d.reset == 0
	d.mu.Unlock()
	head := body[: 6*4 : 6*4]
	if reset {
		return append(head, u32(0, 0x80100068)...)
	}
	if result != 0 {
		return append(head, u32(0, result)...)
	}
	response, err := d.card.Transmit(ctx, data)
	if err != nil {
		return append(head, u32(0, 0x80100069)...)
	}
	return append(append(head, u32(uint32(len(response)), 0)...), response...)
}

// states is the array of 16 readers.
func (d *daemon) states() []byte {
	b := make([]byte, 16*184)
	one := b[184:] // the first has been unplugged
	copy(one, reader)
	state, atr := uint32(0x34), []byte{0x3B, 0x9F, 0x96}
	if d.empty {
		state, atr = 0x02, nil
	}
	copy(one[128:], u32(3, state, 0))
	copy(one[140:], atr)
	copy(one[176:], u32(uint32(len(atr)), d.protocol))
	return b
}

func (d *daemon) serve(ctx context.Context, conn net.Conn) {
	defer conn.Close()
	for {
		header := make([]byte, 8)
		if _, err := io.ReadFull(conn, header); err != nil {
			return
		}
		body := make([]byte, binary.NativeEndian.Uint32(header))
		if _, err := io.ReadFull(conn, body); err != nil {
			return
		}
		command := binary.NativeEndian.Uint32(header[4:])
		d.mu.Lock()
		d.seen = append(d.seen, command)
		d.mu.Unlock()
		if command == d.silent {
			continue
		}
		if _, err := conn.Write(d.answer(ctx, command, body, conn)); err != nil {
			return
		}
	}
}

// start listens at a socket of its own.
func (d *daemon) start(t testing.TB) pcsc.Options {
	if d.protocol == 0 {
		d.protocol = 2
	}
	if d.card == nil {
		d.card = newCard(t)
	}
	dir, err := os.MkdirTemp("", "pcsc") // a socket's path must be short
	require.NoError(t, err)
	socket := filepath.Join(dir, "s")
	l, err := net.Listen("unix", socket)
	require.NoError(t, err)
	ctx, cancel := context.WithCancel(context.Background())
	var wg sync.WaitGroup
	wg.Go(func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			wg.Go(func() { d.serve(ctx, conn) })
		}
	})
	t.Cleanup(func() {
		cancel()
		_ = l.Close()
		wg.Wait()
		_ = os.RemoveAll(dir)
	})
	return pcsc.Options{Socket: socket}
}

func TestReaders(t *testing.T) {
	t.Parallel()
	for name, row := range map[string]struct {
		daemon *daemon
		want   pcsc.Reader
	}{
		"with a card":    {&daemon{}, pcsc.Reader{Name: reader, Present: true, ATR: []byte{0x3B, 0x9F, 0x96}}},
		"empty":          {&daemon{empty: true}, pcsc.Reader{Name: reader, ATR: []byte{}}},
		"another minor":  {&daemon{minor: 5}, pcsc.Reader{Name: reader, Present: true, ATR: []byte{0x3B, 0x9F, 0x96}}},
		"an older minor": {&daemon{minor: 2}, pcsc.Reader{Name: reader, Present: true, ATR: []byte{0x3B, 0x9F, 0x96}}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			readers, err := pcsc.Readers(t.Context(), row.daemon.start(t))
			require.NoError(t, err)
			require.Equal(t, []pcsc.Reader{row.want}, readers)
		})
	}
}

// A client works over the daemon, at both of the cards' protocols.
func TestCard(t *testing.T) {
	t.Parallel()
	for protocol := uint32(1); protocol <= 2; protocol++ {
		d := &daemon{protocol: protocol}
		card, err := pcsc.Open(t.Context(), d.start(t))
		require.NoError(t, err)
		require.Equal(t, reader, card.Reader())
		c, err := iotsafe.Open(t.Context(), card, iotsafe.Options{})
		require.NoError(t, err)
		b, err := c.ReadFile(t.Context(), iotsafe.Container(2))
		require.NoError(t, err)
		require.Equal(t, "certificate", string(b))
		_, err = c.GenerateKey(t.Context(), iotsafe.Container(1))
		require.NoError(t, err)
		require.NoError(t, c.Close())
		require.NoError(t, card.Close())
		require.NoError(t, card.Close())
		_, err = card.Transmit(t.Context(), []byte{0, 0x84, 0, 0, 8})
		require.ErrorIs(t, err, pcsc.ErrClosed)
		d.mu.Lock()
		require.Equal(t, []uint32{0x06, 0x02}, d.seen[len(d.seen)-2:], "disconnected and released")
		for _, b := range d.sent {
			require.False(t, protocol == 1 && len(b) > 5 && len(b) == 6+int(b[4]), "T=0 has no Le behind data: %X", b)
		}
		d.mu.Unlock()
	}
}

func TestRefusals(t *testing.T) {
	t.Parallel()
	for name, row := range map[string]struct {
		daemon *daemon
		reader string
		want   error
	}{
		"no card":              {&daemon{empty: true}, "", pcsc.ErrNoReader},
		"another reader":       {&daemon{}, "Another Reader", pcsc.ErrNoReader},
		"too long a name":      {&daemon{}, string(make([]byte, 128)), iotsafe.ErrArgument},
		"not allowed":          {&daemon{refuse: map[uint32]uint32{0x04: 0x8010006A}}, "", &pcsc.Error{Op: "connect to " + reader, Code: 0x8010006A}},
		"card taken out":       {&daemon{refuse: map[uint32]uint32{0x04: 0x80100069}}, "", iotsafe.ErrCardRemoved},
		"no context":           {&daemon{refuse: map[uint32]uint32{0x01: 0x80100006}}, "", &pcsc.Error{Op: "establish a context", Code: 0x80100006}},
		"a version of its own": {&daemon{refuse: map[uint32]uint32{0x11: 0x8010001E}}, "", pcsc.ErrProtocol},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			opts := row.daemon.start(t)
			opts.Reader = row.reader
			_, err := pcsc.Open(t.Context(), opts)
			var code *pcsc.Error
			if errors.As(row.want, &code) {
				require.EqualError(t, err, row.want.Error())
				return
			}
			require.ErrorIs(t, err, row.want)
		})
	}
	_, err := pcsc.Open(t.Context(), pcsc.Options{Socket: "/does/not/exist"})
	require.ErrorIs(t, err, pcsc.ErrNoDaemon)
	_, err = pcsc.Readers(t.Context(), pcsc.Options{Socket: "/does/not/exist"})
	require.ErrorIs(t, err, pcsc.ErrNoDaemon)
	_, err = pcsc.Readers(t.Context(), pcsc.Options{Timeout: -1})
	require.ErrorIs(t, err, iotsafe.ErrArgument)
}

func TestTransmissionsThatFail(t *testing.T) {
	t.Parallel()
	for code, want := range map[uint32]error{0x80100069: iotsafe.ErrCardRemoved, 0x8010000C: iotsafe.ErrCardRemoved, 0x80100017: iotsafe.ErrCardRemoved} {
		d := &daemon{refuse: map[uint32]uint32{0x09: code}}
		card, err := pcsc.Open(t.Context(), d.start(t))
		require.NoError(t, err)
		_, err = card.Transmit(t.Context(), []byte{0, 0x84, 0, 0, 8})
		require.ErrorIs(t, err, want)
		_, err = card.Transmit(t.Context(), []byte{0})
		require.ErrorIs(t, err, iotsafe.ErrArgument)
		require.NoError(t, card.Close())
	}
	d := &daemon{}
	card, err := pcsc.Open(t.Context(), d.start(t))
	require.NoError(t, err)
	c, err := iotsafe.Open(t.Context(), card, iotsafe.Options{Wait: time.Microsecond})
	require.NoError(t, err)
	d.mu.Lock()
	d.reset = 1
	d.mu.Unlock()
	_, err = c.ReadFile(t.Context(), iotsafe.Container(2))
	require.NoError(t, err, "the client selects the applet again after a reset")
	require.NoError(t, card.Close())
}

// A daemon that does not answer keeps nobody waiting.
func TestSilentDaemon(t *testing.T) {
	t.Parallel()
	d := &daemon{silent: 0x09}
	opts := d.start(t)
	opts.Timeout = 20 * time.Millisecond
	card, err := pcsc.Open(t.Context(), opts)
	require.NoError(t, err)
	_, err = card.Transmit(t.Context(), []byte{0, 0x84, 0, 0, 8})
	require.ErrorContains(t, err, "does not answer")
	_, err = card.Transmit(t.Context(), []byte{0, 0x84, 0, 0, 8})
	require.ErrorIs(t, err, pcsc.ErrClosed)
	require.NoError(t, card.Close())

	opts.Timeout = time.Second // for which Close waits
	card, err = pcsc.Open(t.Context(), opts)
	require.NoError(t, err)
	ctx, cancel := context.WithCancel(t.Context())
	go func() {
		for range 1000 { // until the command is under way
			d.mu.Lock()
			n := len(d.seen)
			d.mu.Unlock()
			if n > 0 && d.lastSeen() == 0x09 {
				break
			}
			runtime.Gosched()
		}
		cancel()
	}()
	_, err = card.Transmit(ctx, []byte{0, 0x84, 0, 0, 8})
	require.ErrorIs(t, err, context.Canceled)
	_, err = card.Transmit(ctx, []byte{0, 0x84, 0, 0, 8})
	require.Error(t, err)
	require.NoError(t, card.Close())
}

func (d *daemon) lastSeen() uint32 {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.seen[len(d.seen)-1]
}

// The real daemon says which readers there are, in most places none.
func TestRealDaemon(t *testing.T) {
	t.Parallel()
	if _, err := os.Stat(pcsc.DefaultSocket); err != nil {
		startDaemon(t)
	}
	readers, err := pcsc.Readers(t.Context(), pcsc.Options{})
	require.NoError(t, err)
	t.Logf("%d readers: %v", len(readers), readers)
	if err := insertCard(t); err != nil {
		t.Skip("the virtual reader vpcd is not installed: ", err)
	}
	var card *pcsc.Card
	require.Eventually(t, func() bool {
		card, err = pcsc.Open(t.Context(), pcsc.Options{Reader: "Virtual PCD 00 00"}) // and nobody's real card
		return err == nil
	}, 10*time.Second, 50*time.Millisecond)
	c, err := iotsafe.Open(t.Context(), card, iotsafe.Options{})
	require.NoError(t, err)
	pair, err := c.GenerateKey(t.Context(), iotsafe.Container(1))
	require.NoError(t, err)
	signer, err := c.SignerFor(pair.Private, pair.Key)
	require.NoError(t, err)
	_, err = signer.Sign(nil, make([]byte, 32), crypto.SHA256)
	require.NoError(t, err)
	require.NoError(t, c.Close())
	require.NoError(t, card.Close())
}

// insertCard puts a simulated card into the reader of the package vsmartcard-vpcd,
// which waits for one at a port of its own: two bytes of length, then a command, or
// one byte for its power.
func insertCard(t *testing.T) error {
	conn, err := net.Dial("tcp", "127.0.0.1:35963")
	if err != nil {
		return err
	}
	card := newCard(t)
	done := make(chan struct{})
	go func() {
		defer close(done)
		for {
			var n uint16
			if binary.Read(conn, binary.BigEndian, &n) != nil {
				return
			}
			b := make([]byte, n)
			if _, err := io.ReadFull(conn, b); err != nil {
				return
			}
			response := []byte{0x3B, 0x80, 0x01, 0x81} // ATR of a card that speaks T=1
			switch {
			case n == 1 && b[0] != 4:
				card.Reset()
				continue
			case n != 1:
				if response, err = card.Transmit(context.Background(), b); err != nil {
					return
				}
			}
			if _, err := conn.Write(append([]byte{byte(len(response) >> 8), byte(len(response))}, response...)); err != nil {
				return
			}
		}
	}()
	t.Cleanup(func() {
		_ = conn.Close()
		<-done
	})
	return nil
}

func newCard(t testing.TB) *applet.Applet {
	card, err := applet.New(applet.Config{Objects: []applet.Object{
		applet.File{ID: []byte{2}, Data: []byte("certificate")},
		applet.PrivateKey{ID: []byte{1}, Functions: applet.CanSign | applet.CanGenerate},
	}})
	require.NoError(t, err)
	return card
}

func startDaemon(t *testing.T) {
	path, err := exec.LookPath("pcscd")
	if err != nil {
		if path, err = exec.LookPath("/usr/sbin/pcscd"); err != nil {
			t.Skip("pcscd is not installed")
		}
	}
	if os.Getuid() != 0 {
		t.Skip("pcscd is not running, and only root can start it")
	}
	cmd := exec.Command(path, "--foreground")
	require.NoError(t, cmd.Start())
	t.Cleanup(func() {
		_ = cmd.Process.Signal(os.Interrupt)
		_ = cmd.Wait()
	})
	require.Eventually(t, func() bool {
		_, err := pcsc.Readers(t.Context(), pcsc.Options{})
		return err == nil
	}, 10*time.Second, 50*time.Millisecond)
}

// FuzzPCSC has a daemon that answers with whatever there is.
func FuzzPCSC(f *testing.F) {
	d := &daemon{protocol: 2}
	good := append(u32(4, 4, 0), u32(2, 7, 0)...)
	good = append(good, d.states()...)
	good = append(good, d.answer(context.Background(), 0x04, append(u32(7), append([]byte(reader), make([]byte, 200)...)...), nil)...)
	good = append(good, u32(9, 2, 16, 5, 2, 16, 4, 0)...)
	f.Add(append(good, 0xAB, 0xCD, 0x90, 0))
	f.Add(u32(4, 4, 0x8010001E))
	f.Add(u32(4, 4, 0, 2, 7, 0x80100006))
	f.Fuzz(func(t *testing.T, data []byte) {
		synctest.Test(t, func(t *testing.T) {
			client, server := net.Pipe()
			go func() { _, _ = io.Copy(io.Discard, server) }()
			go func() {
				_, _ = server.Write(data)
				_ = server.Close()
			}()
			card, err := pcsc.Open(t.Context(), pcsc.Options{Dial: func(context.Context) (net.Conn, error) { return client, nil }})
			if err == nil {
				r, err := card.Transmit(t.Context(), []byte{0, 0x84, 0, 0, 8})
				if err == nil {
					require.GreaterOrEqual(t, len(r), 2)
				}
				_ = card.Close()
			}
			_ = client.Close()
			_ = server.Close()
		})
	})
}

// slow is a card that answers when it is told to.
type slow struct{ asked, answer chan struct{} }

func (s slow) Transmit(ctx context.Context, _ []byte) ([]byte, error) {
	s.asked <- struct{}{}
	select {
	case <-s.answer:
		return []byte{0x90, 0x00}, nil
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// One who gives up a command leaves the connection to others.
func TestCancelledInTheMiddle(t *testing.T) {
	t.Parallel()
	card := slow{make(chan struct{}, 2), make(chan struct{}, 2)}
	c, err := pcsc.Open(t.Context(), (&daemon{card: card, protocol: 2}).start(t))
	require.NoError(t, err)
	ctx, cancel := context.WithCancel(t.Context())
	go func() { <-card.asked; cancel() }()
	_, err = c.Transmit(ctx, []byte{0, 0x84, 0, 0, 8})
	require.ErrorIs(t, err, context.Canceled)
	card.answer <- struct{}{}
	card.answer <- struct{}{}
	response, err := c.Transmit(t.Context(), []byte{0, 0x84, 0, 0, 8})
	require.NoError(t, err)
	require.Equal(t, []byte{0x90, 0x00}, response)
	require.NoError(t, c.Close())
}
