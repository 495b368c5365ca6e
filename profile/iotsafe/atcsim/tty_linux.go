package atcsim

import (
	"fmt"
	"os"
	"strconv"

	"golang.org/x/sys/unix"
)

// OpenSerial opens a serial port, or the client's side of a PTY, with 8 bits, no
// parity and no flow control, and locks it (flock). The speed is one of the usual
// ones from 9600 to 921600 bits per second; USB modems do not care.
func OpenSerial(path string, baud int) (*os.File, error) {
	speed, ok := speedOf(baud)
	if !ok {
		return nil, fmt.Errorf("atcsim: %d bits per second is no usual speed; try 115200", baud)
	}
	// Without O_NONBLOCK the open would wait for a carrier, and reads could not be
	// interrupted.
	f, err := os.OpenFile(path, os.O_RDWR|unix.O_NOCTTY|unix.O_NONBLOCK|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, fmt.Errorf("atcsim: %w", err)
	}
	err = control(f, func(fd int) error {
		if err := makeRaw(fd, speed); err != nil {
			return err
		}
		if err := unix.Flock(fd, unix.LOCK_EX|unix.LOCK_NB); err != nil {
			return fmt.Errorf("another program has locked it: %w", err)
		}
		return unix.IoctlSetInt(fd, unix.TCFLSH, unix.TCIOFLUSH)
	})
	if err != nil {
		_ = f.Close()
		return nil, fmt.Errorf("atcsim: %s cannot be used as a serial port: %w", path, err)
	}
	return f, nil
}

// OpenPTY opens a pseudo-terminal for Serve.
func OpenPTY() (*PTY, error) {
	f, err := os.OpenFile("/dev/ptmx", os.O_RDWR|unix.O_NOCTTY|unix.O_NONBLOCK|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, fmt.Errorf("atcsim: %w", err)
	}
	number := 0
	err = control(f, func(fd int) error {
		if err := unix.IoctlSetPointerInt(fd, unix.TIOCSPTLCK, 0); err != nil {
			return err
		}
		number, err = unix.IoctlGetInt(fd, unix.TIOCGPTN)
		return err
	})
	path := "/dev/pts/" + strconv.Itoa(number)
	// Held open, or reading would fail whenever no client has it open.
	peer, errPeer := os.OpenFile(path, os.O_RDWR|unix.O_NOCTTY|unix.O_NONBLOCK|unix.O_CLOEXEC, 0)
	if err == nil {
		err = errPeer
	}
	if err == nil {
		err = control(peer, func(fd int) error { return makeRaw(fd, unix.B115200) })
	}
	if err != nil {
		if errPeer == nil {
			_ = peer.Close()
		}
		_ = f.Close()
		return nil, fmt.Errorf("atcsim: pseudo-terminal: %w", err)
	}
	return &PTY{File: f, Path: path, peer: peer}, nil
}

// control runs f on the descriptor without taking the file out of Go's poller, as
// Fd would.
func control(file *os.File, f func(fd int) error) error {
	conn, err := file.SyscallConn()
	if err != nil {
		return err
	}
	var failed error
	if err := conn.Control(func(fd uintptr) { failed = f(int(fd)) }); err != nil {
		return err
	}
	return failed
}

// makeRaw has bytes go through as they are.
func makeRaw(fd int, speed uint32) error {
	t, err := unix.IoctlGetTermios(fd, unix.TCGETS)
	if err != nil {
		return err
	}
	t.Iflag, t.Oflag, t.Lflag = unix.IGNBRK|unix.IGNPAR, 0, 0
	t.Cflag = unix.CS8 | unix.CREAD | unix.CLOCAL | speed
	t.Ispeed, t.Ospeed = speed, speed
	t.Cc[unix.VMIN], t.Cc[unix.VTIME] = 1, 0
	return unix.IoctlSetTermios(fd, unix.TCSETS, t)
}

func speedOf(baud int) (uint32, bool) {
	switch baud {
	case 9600:
		return unix.B9600, true
	case 19200:
		return unix.B19200, true
	case 38400:
		return unix.B38400, true
	case 57600:
		return unix.B57600, true
	case 115200:
		return unix.B115200, true
	case 230400:
		return unix.B230400, true
	case 460800:
		return unix.B460800, true
	case 921600:
		return unix.B921600, true
	}
	return 0, false
}
