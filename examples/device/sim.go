package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"runtime"
	"sync"

	"github.com/iotregistry/sdk/examples/internal/cardfile"
	"github.com/iotregistry/sdk/profile"
	"github.com/iotregistry/sdk/profile/iotsafe/applet"
)

// sim is the simulated card of a file: an eUICC with an IoT SAFE applet beside it,
// which gets the profiles that the eUICC opens.
type sim struct {
	*uicc
	security *keptApplet
	device   *device // the eUICC and its LPA
}

// openSIM puts the whole card into the device. News is called whenever the applet
// has got another profile, and warn with what went wrong in that.
func (f *flags) openSIM(q applet.Quirks, news func(), warn func(error)) (*sim, error) {
	security, err := openApplet(f.card+".applet", q)
	if err != nil {
		return nil, err
	}
	f.use = func(p *profile.Profile) {
		if err := security.use(p); err != nil {
			warn(fmt.Errorf("the applet did not get the profile: %w", err))
			return
		}
		news()
	}
	d, err := f.open()
	if err != nil {
		return nil, err
	}
	security.begin()
	u := newUICC(security, d.kept)
	d.lpa.Card = u
	return &sim{uicc: u, security: security, device: d}, nil
}

// keptApplet is an applet that files what changes before it answers.
type keptApplet struct {
	*applet.Applet
	path string // empty: nothing is kept

	mu    sync.Mutex
	saved uint64 // what Changed was then
	inUse bool   // a device may know what is in it
}

func openApplet(path string, q applet.Quirks) (*keptApplet, error) {
	state, err := readPrivate(path, applet.MaxState)
	if err != nil {
		return nil, err
	}
	a, err := applet.New(applet.Config{Quirks: q, State: state})
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return &keptApplet{Applet: a, path: path, saved: a.Changed()}, nil
}

// readPrivate reads a file of mode 0600; nil where there is none.
func readPrivate(path string, most int64) ([]byte, error) {
	f, err := os.Open(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return nil, err
	}
	if runtime.GOOS != "windows" && info.Mode().Perm()&0o077 != 0 {
		return nil, fmt.Errorf("%s has mode %04o, and there may be keys in it: chmod 600 it", path, info.Mode().Perm())
	}
	return io.ReadAll(io.LimitReader(f, most+1)) // one byte more is refused by who reads it
}

// Transmit carries out a command. Where its result cannot be filed there is none.
func (k *keptApplet) Transmit(ctx context.Context, command []byte) ([]byte, error) {
	response, err := k.Applet.Transmit(ctx, command)
	if failed := k.save(); failed != nil {
		return nil, errors.Join(err, failed)
	}
	return response, err
}

// Reset is a loss of power; see [uicc.Reset].
func (k *keptApplet) Reset() { k.Applet.Reset() }

func (k *keptApplet) save() error {
	k.mu.Lock()
	defer k.mu.Unlock()
	n := k.Changed()
	if n == k.saved || k.path == "" {
		return nil
	}
	state, err := k.Snapshot()
	if err == nil {
		err = cardfile.Replace(k.path, state)
	}
	if err != nil {
		return fmt.Errorf("the applet's state was not kept: %w", err)
	}
	k.saved = n
	return nil
}

// begin says that from now on a device may have read what is in the applet, so that
// it has to be told of changes.
func (k *keptApplet) begin() {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.inUse = true
}

// use puts the profile in that the eUICC has opened. Where there is none in use any
// more, the applet keeps the last one until the next: the DNS says whether it holds.
func (k *keptApplet) use(p *profile.Profile) error {
	if p == nil {
		return nil
	}
	objects, err := applet.CIRA(p, applet.CIRAOptions{Card: k.Applet})
	if err != nil {
		return err
	}
	k.mu.Lock()
	put := k.Put
	if k.inUse {
		put = k.Update
	}
	k.mu.Unlock()
	if err := put(objects...); err != nil {
		return err
	}
	return k.save()
}
