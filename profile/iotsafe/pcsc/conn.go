package pcsc

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"time"
)

// conn is a connection to the daemon. It is used by one caller at a time.
type conn struct {
	net.Conn
	timeout time.Duration
	broken  bool // a message was left in the middle
}

// dial connects and agrees on the protocol's version.
func dial(ctx context.Context, opts Options) (*conn, error) {
	limited, cancel := context.WithTimeout(ctx, opts.Timeout)
	defer cancel()
	raw, err := opts.Dial(limited)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrNoDaemon, err)
	}
	c := &conn{Conn: raw, timeout: opts.Timeout}
	if err := c.agree(ctx); err != nil {
		_ = raw.Close()
		return nil, err
	}
	return c, nil
}

// agree offers version 4.4, and the daemon's own where that is refused: what is
// used here has been the same in all versions 4.x.
func (c *conn) agree(ctx context.Context) error {
	v := versionMsg{Major: versionMajor, Minor: versionMinor}
	for range 2 {
		if err := c.call(ctx, c.timeout, cmdVersion, &v, nil, nil); err != nil {
			return err
		}
		if v.Result == 0 {
			return nil
		}
		if v.Major != versionMajor {
			break
		}
		v.Result = 0
	}
	return fmt.Errorf("%w: version %d.%d, not %d.x", ErrProtocol, v.Major, v.Minor, versionMajor)
}

// call sends a message with what follows it and reads the answer into msg; rest
// reads what follows that.
func (c *conn) call(ctx context.Context, limit time.Duration, command uint32, msg any, tail []byte, rest func(io.Reader) error) error {
	if c.broken {
		return ErrClosed
	}
	if err := ctx.Err(); err != nil {
		return fmt.Errorf("pcsc: %w", err)
	}
	end := c.limit(ctx, limit)
	defer end()
	err := c.exchange(command, msg, tail, rest)
	switch {
	case err == nil:
		return nil
	case errors.Is(err, ErrProtocol):
	case ctx.Err() != nil:
		err = fmt.Errorf("pcsc: %w", ctx.Err())
	default:
		err = fmt.Errorf("pcsc: the daemon does not answer: %w", err)
	}
	c.broken = true
	return err
}

// limit has reads and writes fail after some time, and when ctx ends.
func (c *conn) limit(ctx context.Context, limit time.Duration) (end func()) {
	limited, cancel := context.WithTimeout(ctx, limit)
	stop := context.AfterFunc(limited, func() { _ = c.SetDeadline(time.Unix(1, 0)) })
	return func() {
		if stop() && ctx.Err() == nil {
			cancel()
			return
		}
		cancel()
		c.broken = true // the deadline may have been set after the answer
	}
}

func (c *conn) exchange(command uint32, msg any, tail []byte, rest func(io.Reader) error) error {
	var body []byte
	if msg != nil {
		var err error
		if body, err = marshal(msg); err != nil {
			return err
		}
	}
	b := binary.NativeEndian.AppendUint32(nil, uint32(len(body)))
	b = binary.NativeEndian.AppendUint32(b, command)
	b = append(append(b, body...), tail...)
	if _, err := c.Write(b); err != nil {
		return err
	}
	if msg != nil {
		if _, err := io.ReadFull(c, body); err != nil {
			return err
		}
		if _, err := binary.Decode(body, binary.NativeEndian, msg); err != nil {
			return fmt.Errorf("%w: %w", ErrProtocol, err)
		}
	}
	if rest == nil {
		return nil
	}
	return rest(c)
}

// readers asks for the readers there are. The array always has 16 entries in
// version 4.4.
func (c *conn) readers(ctx context.Context) ([]Reader, error) {
	var readers []Reader
	err := c.call(ctx, c.timeout, cmdReadersState, nil, nil, func(r io.Reader) error {
		b := make([]byte, maxReaders*stateSize)
		if _, err := io.ReadFull(r, b); err != nil {
			return err
		}
		var err error
		readers, err = parseReaders(b)
		return err
	})
	return readers, err
}
