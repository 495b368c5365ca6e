package tpmkeys

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"slices"
	"syscall"

	"github.com/google/go-tpm/tpm2"
)

// What callers branch on. What the TPM or the system said is wrapped along with
// them.
var (
	ErrNoTPM      = errors.New("tpmkeys: no TPM 2.0 here: enable it in the firmware, or name another device or socket")
	ErrPermission = errors.New("tpmkeys: not allowed to use the TPM: run as a member of the group that owns it (often tss)")
	ErrBusy       = errors.New("tpmkeys: another program has the TPM: open /dev/tpmrm0, which can be shared")
	ErrStartup    = errors.New("tpmkeys: the TPM was not started: the firmware does that, and swtpm with --flags startup-clear")
	ErrLockout    = errors.New("tpmkeys: the TPM is locked after too many wrong auth values: wait, or reset the lockout (tpm2_dictionarylockout -c)")
	ErrAuth       = errors.New("tpmkeys: the auth value is not the one that was set: see Options.Auth and Options.OwnerAuth")
	ErrCurve      = errors.New("tpmkeys: the TPM has no P-256 with SHA-256 and AES-128: use another one")
	ErrForeign    = errors.New("tpmkeys: the keys belong to another TPM, or it was cleared since: create new ones")
	ErrFull       = errors.New("tpmkeys: other users fill the TPM's working memory: open /dev/tpmrm0, or have them flush what they loaded")
	ErrKey        = errors.New("tpmkeys: no wrapped key of this package")
	ErrDigest     = errors.New("tpmkeys: not a digest that can be signed: use SHA-256 or a longer hash, and its whole digest")
	ErrPeer       = errors.New("tpmkeys: the other key is not on P-256")
	ErrOptions    = errors.New("tpmkeys: an auth value has at most 32 bytes, none of them zero")
	ErrTimeout    = errors.New("tpmkeys: the TPM did not answer in time: see Options.Timeout")
	ErrClosed     = errors.New("tpmkeys: the TPM was closed")
)

// wireError is a failure of the way to the TPM, not an answer of it.
type wireError struct{ err error }

func (e *wireError) Error() string { return e.err.Error() }
func (e *wireError) Unwrap() error { return e.err }

// answers names what the TPM's response codes (TPM 2.0 Library part 2, section
// 6.6) mean here.
func answers() map[error][]tpm2.TPMRC {
	return map[error][]tpm2.TPMRC{
		ErrStartup: {tpm2.TPMRCInitialize},
		ErrLockout: {tpm2.TPMRCLockout},
		ErrAuth:    {tpm2.TPMRCAuthFail, tpm2.TPMRCBadAuth},
		ErrCurve:   {tpm2.TPMRCCurve, tpm2.TPMRCAsymmetric, tpm2.TPMRCHash, tpm2.TPMRCSymmetric},
		ErrForeign: {tpm2.TPMRCIntegrity},
		ErrFull:    shortages(),
		// The firmware keeps it from the system, or it is a TPM 1.2.
		ErrNoTPM: {tpm2.TPMRCHierarchy, tpm2.TPMRCDisabled, badTag},
	}
}

// badTag is what a TPM 1.2 says to commands of TPM 2.0 (part 2, section 6.6.2).
const badTag tpm2.TPMRC = 0x1E

func shortages() []tpm2.TPMRC {
	return []tpm2.TPMRC{
		tpm2.TPMRCObjectMemory, tpm2.TPMRCSessionMemory, tpm2.TPMRCMemory,
		tpm2.TPMRCObjectHandles, tpm2.TPMRCSessionHandles,
	}
}

// named adds to what the TPM or the way to it said the error that callers know.
func named(err error) error {
	switch {
	case err == nil:
		return nil
	case errors.Is(err, os.ErrDeadlineExceeded):
		return fmt.Errorf("%w: %w", ErrTimeout, err)
	}
	if rc, ok := code(err); ok {
		for known, codes := range answers() {
			if slices.ContainsFunc(codes, func(c tpm2.TPMRC) bool { return rc.Is(c) }) {
				return fmt.Errorf("%w: %w", known, err)
			}
		}
		return err
	}
	if wire := new(wireError); errors.As(err, &wire) {
		return opening(err)
	}
	return err
}

// opening names why a device or socket cannot be used.
func opening(err error) error {
	switch {
	case errors.Is(err, fs.ErrPermission):
		return fmt.Errorf("%w: %w", ErrPermission, err)
	case errors.Is(err, syscall.EBUSY):
		return fmt.Errorf("%w: %w", ErrBusy, err)
	case errors.Is(err, os.ErrDeadlineExceeded):
		return fmt.Errorf("%w: %w", ErrTimeout, err)
	}
	return fmt.Errorf("%w: %w", ErrNoTPM, err)
}

// code returns what the TPM answered, false where it did not.
func code(err error) (tpm2.TPMRC, bool) {
	var rc tpm2.TPMRC
	ok := errors.As(err, &rc)
	return rc, ok
}

// forgotten reports whether the TPM no longer knows what was loaded, as after a
// reset, or needs room: loading again may help. So it may where the way to the
// TPM broke, but not where the TPM was too slow.
func forgotten(err error) bool {
	rc, ok := code(err)
	if !ok {
		wire := new(wireError)
		return errors.As(err, &wire) && !errors.Is(err, os.ErrDeadlineExceeded)
	}
	const handles = 7 // that a command can name
	switch {
	case rc >= tpm2.TPMRCReferenceH0 && rc < tpm2.TPMRCReferenceH0+handles,
		rc >= tpm2.TPMRCReferenceS0 && rc < tpm2.TPMRCReferenceS0+handles:
		return true
	}
	return rc.Is(tpm2.TPMRCHandle) || rc.Is(tpm2.TPMRCContextGap) || slices.Contains(shortages(), rc)
}
