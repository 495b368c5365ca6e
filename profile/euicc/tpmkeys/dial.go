package tpmkeys

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"os"
	"time"

	"github.com/google/go-tpm/tpm2/transport"
)

const (
	defaultDevice  = "/dev/tpmrm0"
	defaultTimeout = 30 * time.Second
	headerSize     = 10      // of every answer: tag, size, code
	maxAnswer      = 8 << 10 // TPMs have buffers of 4 KiB
)

// OpenDevice opens the TPM that a device file (empty: /dev/tpmrm0) or a Unix
// socket stands for. Errors wrap ErrNoTPM, ErrPermission or ErrBusy, or are
// those of [Open].
func OpenDevice(path string, o Options) (*TPM, error) {
	if path == "" {
		path = defaultDevice
	}
	info, err := os.Stat(path)
	if err != nil {
		return nil, opening(err)
	}
	switch {
	case info.Mode()&fs.ModeSocket != 0:
		return Dial(context.Background(), "unix", path, o)
	case info.Mode()&fs.ModeDevice == 0:
		return nil, fmt.Errorf("%w: %s is neither device nor socket", ErrNoTPM, path)
	}
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		return nil, opening(err)
	}
	return openOwn(transport.FromReadWriteCloser(f), o)
}

// Dial opens a TPM that takes bare commands at a socket, as swtpm does: network
// is "unix" or "tcp", see [net.Dial]. What goes over TCP is protected as on a
// bus and no better, see the package's comment. The context is for the first
// connection; broken ones are made anew. Errors are those of [OpenDevice].
func Dial(ctx context.Context, network, address string, o Options) (*TPM, error) {
	s := &socket{network: network, address: address, timeout: o.Timeout}
	if s.timeout <= 0 {
		s.timeout = defaultTimeout
	}
	if err := s.connect(ctx); err != nil {
		return nil, opening(err)
	}
	return openOwn(s, o)
}

// openOwn opens the TPM behind t, which is closed with it.
func openOwn(t transport.TPMCloser, o Options) (*TPM, error) {
	tpm, err := Open(t, o)
	if err != nil {
		return nil, errors.Join(err, t.Close())
	}
	tpm.close = t.Close
	return tpm, nil
}

// socket sends one command after the other over a connection.
type socket struct {
	network, address string
	timeout          time.Duration
	conn             net.Conn // nil: broken
}

func (s *socket) connect(ctx context.Context) (err error) {
	ctx, cancel := context.WithTimeout(ctx, s.timeout)
	defer cancel()
	s.conn, err = new(net.Dialer).DialContext(ctx, s.network, s.address)
	if err != nil {
		s.conn = nil
	}
	return err
}

// Send implements transport.TPM.
func (s *socket) Send(command []byte) ([]byte, error) {
	if s.conn == nil {
		if err := s.connect(context.Background()); err != nil {
			return nil, err
		}
	}
	answer, err := s.exchange(command)
	if err != nil {
		return nil, errors.Join(err, s.Close()) // what came late would answer the next command
	}
	return answer, nil
}

func (s *socket) exchange(command []byte) ([]byte, error) {
	if err := s.conn.SetDeadline(time.Now().Add(s.timeout)); err != nil {
		return nil, err
	}
	if _, err := s.conn.Write(command); err != nil {
		return nil, err
	}
	answer := make([]byte, headerSize)
	if _, err := io.ReadFull(s.conn, answer); err != nil {
		return nil, err
	}
	size := binary.BigEndian.Uint32(answer[2:])
	if size < headerSize || size > maxAnswer {
		return nil, fmt.Errorf("an answer of %d bytes is none of a TPM", size)
	}
	answer = append(answer, make([]byte, size-headerSize)...)
	_, err := io.ReadFull(s.conn, answer[headerSize:])
	return answer, err
}

// Close implements io.Closer.
func (s *socket) Close() error {
	if s.conn == nil {
		return nil
	}
	err := s.conn.Close()
	s.conn = nil
	return err
}
