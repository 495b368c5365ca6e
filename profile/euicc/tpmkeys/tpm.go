package tpmkeys

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/google/go-tpm/tpm2"
	"github.com/google/go-tpm/tpm2/transport"
)

// Options says how a TPM is used. The zero value works.
type Options struct {
	// Auth is the value that using the keys asks for, at most 32 bytes and none
	// of them zero; empty: none. It is given to keys as they are made. Guessing
	// is stopped by the TPM's lockout, which keys without a value are free of.
	Auth []byte

	// OwnerAuth is the auth value of the TPM's owner, with the same limits; empty,
	// as it mostly is: none.
	OwnerAuth []byte

	// Timeout is how long one command may take over a socket; zero: 30 s. The
	// kernel has limits of its own for devices.
	Timeout time.Duration
}

// TPM is a TPM 2.0 that computes with keys. It is safe for concurrent use and
// sends one command at a time.
type TPM struct {
	auth, ownerAuth []byte
	close           func() error // nil: the transport is another's

	mu       sync.Mutex
	wire     transport.TPM        // nil: closed
	parent   []byte               // name of the storage primary
	sessions map[use]tpm2.Session // for commands with keys
	loaded   map[*key]tpm2.TPMHandle
	stale    []tpm2.TPMHandle // not in use any more, and perhaps not flushed
}

// Open uses the TPM behind t, which stays its caller's to close. It derives the
// storage primary, so that most of what may be wrong with a TPM shows here:
// errors wrap ErrStartup, ErrCurve, ErrAuth, ErrLockout, ErrNoTPM or ErrFull, and
// ErrOptions.
func Open(t transport.TPM, o Options) (*TPM, error) {
	for _, auth := range [][]byte{o.Auth, o.OwnerAuth} {
		// TPMs drop zeros at the end, and go-tpm what is before one.
		if len(auth) > 32 || bytes.IndexByte(auth, 0) >= 0 {
			return nil, ErrOptions
		}
	}
	if t == nil {
		return nil, ErrNoTPM
	}
	tpm := &TPM{
		auth: bytes.Clone(o.Auth), ownerAuth: bytes.Clone(o.OwnerAuth),
		wire: wire{t}, sessions: make(map[use]tpm2.Session), loaded: make(map[*key]tpm2.TPMHandle),
	}
	derive := func() error { return tpm.withPrimary(func(*primary) error { return nil }) }
	if err := tpm.do(derive); err != nil {
		return nil, err
	}
	return tpm, nil
}

// Close has the TPM forget what was loaded, and closes a device or socket that
// this package opened. The keys cannot be used after it.
func (t *TPM) Close() error {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.wire == nil {
		return nil
	}
	t.drop()
	_ = t.sweep() // a TPM that is gone has nothing to flush
	t.wire = nil
	clear(t.auth)
	clear(t.ownerAuth)
	if t.close == nil {
		return nil
	}
	return t.close()
}

// do runs one piece of work with the TPM, and once more where it has forgotten
// what was loaded: after a reset, or to make room.
func (t *TPM) do(work func() error) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.wire == nil {
		return ErrClosed
	}
	err := t.attempt(work)
	if err != nil && forgotten(err) {
		t.drop()
		err = t.attempt(work)
	}
	if _, answered := code(err); err != nil && !answered {
		t.drop() // session and TPM may not agree on what came last
	}
	return named(err)
}

func (t *TPM) attempt(work func() error) error {
	if err := t.sweep(); err != nil {
		return err
	}
	return work()
}

// drop gives up what is loaded; it comes back when it is needed.
func (t *TPM) drop() {
	for _, handle := range t.loaded {
		t.stale = append(t.stale, handle)
	}
	for _, s := range t.sessions {
		t.stale = append(t.stale, s.Handle())
	}
	clear(t.loaded)
	clear(t.sessions)
}

// sweep flushes what was given up. Handles are given anew, so nothing may be
// loaded that is not to be flushed. What the TPM says is of no interest, because
// often it knows nothing of them any more; one that cannot be reached is asked
// another time.
func (t *TPM) sweep() error {
	for len(t.stale) > 0 {
		err := t.flush(t.stale[0])
		if _, answered := code(err); err != nil && !answered {
			return err
		}
		t.stale = t.stale[1:]
	}
	return nil
}

func (t *TPM) flush(handle tpm2.TPMHandle) error {
	if _, err := (tpm2.FlushContext{FlushHandle: handle}).Execute(t.wire); err != nil {
		return fmt.Errorf("tpmkeys: flush: %w", err)
	}
	return nil
}

// primary is the storage primary while it is loaded.
type primary struct {
	handle tpm2.TPMHandle
	name   tpm2.TPM2BName
	public tpm2.TPMTPublic
}

// options salt a session. Parameters are encrypted in both directions, or only
// towards the TPM where its answer has nothing that could be: signatures have
// not.
func (p *primary) options(u use) []tpm2.AuthOption {
	direction := tpm2.EncryptInOut
	if u == signing {
		direction = tpm2.EncryptIn
	}
	return []tpm2.AuthOption{tpm2.Salted(p.handle, p.public), tpm2.AESEncryption(128, direction)}
}

// authorised names p as a parent in a command, which gets a session of its own.
func (p *primary) authorised() tpm2.AuthHandle {
	return tpm2.AuthHandle{Handle: p.handle, Name: p.name, Auth: tpm2.HMAC(tpm2.TPMAlgSHA256, nonceSize, p.options(agreement)...)}
}

const nonceSize = 32

// primaryTemplate is what TPM 2.0 key files mean by a parent that is the owner's
// hierarchy: the TCG's template for ECC, with nothing in it that is unique.
func primaryTemplate() tpm2.TPMTPublic {
	p := tpm2.ECCSRKTemplate
	p.Unique = tpm2.NewTPMUPublicID(tpm2.TPMAlgECC, &tpm2.TPMSECCPoint{})
	return p
}

// withPrimary has the TPM derive its storage primary and flushes it afterwards:
// TPMs have room for three objects.
func (t *TPM) withPrimary(work func(*primary) error) (err error) {
	rsp, err := tpm2.CreatePrimary{
		PrimaryHandle: tpm2.AuthHandle{
			Handle: tpm2.TPMRHOwner,
			Auth:   tpm2.HMAC(tpm2.TPMAlgSHA256, nonceSize, tpm2.Auth(t.ownerAuth)),
		},
		InPublic: tpm2.New2B(primaryTemplate()),
	}.Execute(t.wire)
	if err != nil {
		return fmt.Errorf("tpmkeys: derive the storage primary: %w", err)
	}
	defer func() {
		if flushed := t.flush(rsp.ObjectHandle); flushed != nil {
			t.stale = append(t.stale, rsp.ObjectHandle)
			err = errors.Join(err, flushed)
		}
	}()
	public, err := rsp.OutPublic.Contents()
	if err != nil {
		return fmt.Errorf("tpmkeys: the storage primary: %w", err)
	}
	name, err := checkPrimary(public)
	if err != nil {
		return err
	}
	switch {
	case t.parent == nil:
		t.parent = name.Buffer
	case !bytes.Equal(t.parent, name.Buffer):
		return fmt.Errorf("%w: its storage primary changed", ErrForeign)
	}
	return work(&primary{rsp.ObjectHandle, *name, *public})
}

// checkPrimary returns the name of a storage primary, which has to be what was
// asked for: secrets are encrypted to it.
func checkPrimary(public *tpm2.TPMTPublic) (*tpm2.TPM2BName, error) {
	if _, err := point(public); err != nil {
		return nil, fmt.Errorf("tpmkeys: the storage primary: %w", err)
	}
	asked := primaryTemplate()
	asked.Unique = public.Unique
	if !bytes.Equal(tpm2.Marshal(asked), tpm2.Marshal(*public)) {
		return nil, errors.New("tpmkeys: the storage primary is not the one that was asked for: do not trust this TPM")
	}
	return tpm2.ObjectName(public)
}

// start begins the session for u, where there is none.
func (t *TPM) start(u use, p *primary) error {
	if _, started := t.sessions[u]; started {
		return nil
	}
	s, _, err := tpm2.HMACSession(t.wire, tpm2.TPMAlgSHA256, nonceSize, append(p.options(u), tpm2.Auth(t.auth))...)
	if err != nil {
		return fmt.Errorf("tpmkeys: start a session: %w", err)
	}
	t.sessions[u] = s
	return nil
}

// wire tells failures of the way to the TPM from what the TPM says.
type wire struct{ transport.TPM }

// Send repeats what the TPM could not begin yet (TPM_RC_RETRY), as it is: the
// kernel does that for devices. TPMs say so while they write to their memory.
func (w wire) Send(command []byte) ([]byte, error) {
	for wait := time.Millisecond; ; wait *= 2 {
		answer, err := w.TPM.Send(command)
		switch {
		case err != nil:
			return nil, &wireError{err}
		case wait > time.Second || len(answer) < headerSize || tpm2.TPMRC(binary.BigEndian.Uint32(answer[6:])) != tpm2.TPMRCRetry:
			return answer, nil
		}
		time.Sleep(wait)
	}
}
