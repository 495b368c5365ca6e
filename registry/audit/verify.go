package audit

import (
	"bytes"
	"crypto"
	"encoding/hex"
	"fmt"
	"io"
	"time"
)

// Verifier checks exports of one trail. Only Log must be set: a head of another
// registry says nothing about this one. One Verifier may be used by several
// goroutines at once.
type Verifier struct {
	// Log is the registry's zone, exactly as heads name it.
	Log string
	// Keys are trusted to sign heads. With keys, every head must be signed by
	// one of them; without, heads are compared with the entries only and none
	// counts as verified.
	Keys []crypto.PublicKey
	// From is where the export begins, as [Head.Chain] of a head verified
	// earlier or [Report.Chain] tells; zero is the start of the trail.
	From Chain
	// AtLeast is a head kept from earlier, which this trail must contain. It is
	// believed as it is: keep verified ones.
	AtLeast *Head
	// RequireHead refuses an export that does not end in a verified head, also
	// an empty one. It needs Keys.
	RequireHead bool
	// Limits bound what is read.
	Limits Limits
}

// Limits bound an export. Zero values are the defaults.
type Limits struct {
	Line  int    // bytes of a line; 0 and more than MaxLine: MaxLine
	Lines uint64 // entries; 0: any number
	Heads uint64 // heads, of which each costs one signature; 0: any number
}

// Report tells what was verified. It says nothing about what comes after
// SignedThrough but that it fits together.
type Report struct {
	Lines         uint64 // entries read
	First, Last   uint64 // numbers of the first and last of them; 0 when there are none
	FirstTime     time.Time
	LastTime      time.Time
	Chain         Chain  // state at the end, for the next Verifier.From
	Heads         uint64 // heads that agree with the entries
	Verified      uint64 // those of them whose signature was verified
	SignedThrough uint64 // last entry covered by a verified head; 0 when none is
	Head          *Head  // the last head: keep it for the next Verifier.AtLeast; nil when there is none
}

// Verify reads an export to its end or to the first thing wrong in it. The
// report is never nil; beside an error it tells what held before. Memory is
// bounded by the longest line. Errors are *[Error] and wrap [ErrChain],
// [ErrGap], [ErrHead], [ErrSignature], [ErrUnknownKey], [ErrUnsigned],
// [ErrTruncated], [ErrFormat], [ErrTooLarge], [ErrKey], [ErrSetup] or the error
// of r.
func (v *Verifier) Verify(r io.Reader) (*Report, error) {
	run := run{Verifier: v, report: &Report{Chain: v.From}}
	if err := run.setup(); err != nil {
		return run.report, &Error{Err: err}
	}
	lines := newLineReader(r, v.Limits.Line)
	for {
		line, err := lines.next()
		if err == io.EOF { // itself: a wrapped one is a broken reader's
			break
		}
		seq := uint64(0)
		if err == nil {
			seq, err = run.line(line)
		}
		if err != nil {
			return run.report, &Error{Line: lines.number, Seq: seq, Err: err}
		}
	}
	if err := run.end(); err != nil {
		return run.report, &Error{Line: lines.number, Seq: run.report.Chain.Seq, Err: err}
	}
	return run.report, nil
}

// run is the state of one call of Verify.
type run struct {
	*Verifier
	report *Report
	keys   map[string]crypto.PublicKey
	signed bool // the last head was verified
}

func (r *run) setup() error {
	if !validLog(r.Log) {
		return fmt.Errorf("%w: Log must be the registry's zone", ErrSetup)
	}
	if r.RequireHead && len(r.Keys) == 0 {
		return fmt.Errorf("%w: RequireHead needs Keys", ErrSetup)
	}
	r.keys = make(map[string]crypto.PublicKey, len(r.Keys))
	for _, key := range r.Keys {
		id, err := keyID(key)
		if err != nil {
			return err
		}
		r.keys[id] = key
	}
	if r.AtLeast == nil {
		return nil
	}
	switch {
	case r.AtLeast.check() != nil:
		return fmt.Errorf("%w: AtLeast is no head", ErrSetup)
	case r.AtLeast.Log != r.Log:
		return fmt.Errorf("%w: AtLeast is a head of another log", ErrSetup)
	case r.AtLeast.Seq < r.From.Seq:
		return fmt.Errorf("%w: AtLeast lies before From: verify from the start or leave it out", ErrSetup)
	}
	return r.known()
}

// known compares the trail with the head kept from earlier when it is as long.
func (r *run) known() error {
	if r.AtLeast == nil || r.AtLeast.Seq != r.report.Chain.Seq || r.AtLeast.Hash == hex.EncodeToString(r.report.Chain.Hash[:]) {
		return nil
	}
	return fmt.Errorf("%w: the hash is another than that of the head known before", ErrHead)
}

// line checks one line and returns the number it is about.
func (r *run) line(b []byte) (uint64, error) {
	if bytes.HasPrefix(b, []byte(beforeHead)) {
		h, err := parseHead(b)
		if err == nil {
			err = r.head(&h)
		}
		return h.Seq, err
	}
	p, err := parseLine(b)
	if err == nil {
		err = r.entry(p)
	}
	return p.seq, err
}

func (r *run) entry(p parsed) error {
	next := r.report.Chain.next(p.entry)
	var hash [hexHash]byte
	hex.Encode(hash[:], next.Hash[:])
	switch {
	case r.Limits.Lines > 0 && r.report.Lines >= r.Limits.Lines:
		return ErrTooLarge
	case p.seq != next.Seq:
		return fmt.Errorf("%w (next is %d)", ErrGap, next.Seq)
	case !bytes.Equal(p.hash, hash[:]):
		return ErrChain
	}
	before := r.report.Chain
	r.report.Chain = next
	if err := r.known(); err != nil {
		r.report.Chain = before
		return err
	}
	if r.report.Lines == 0 {
		r.report.First, r.report.FirstTime = p.seq, p.at
	}
	r.report.Lines++
	r.report.Last, r.report.LastTime = p.seq, p.at
	return nil
}

func (r *run) head(h *Head) error {
	if r.Limits.Heads > 0 && r.report.Heads >= r.Limits.Heads {
		return ErrTooLarge
	}
	if err := r.fits(h); err != nil {
		return err
	}
	if len(r.keys) > 0 {
		if err := r.trusted(h); err != nil {
			return err
		}
		r.report.Verified++
		r.report.SignedThrough = h.Seq
		r.signed = true
	}
	r.report.Heads++
	r.report.Head = h
	return nil
}

// fits compares a head with what was read before it.
func (r *run) fits(h *Head) error {
	last, kept, chain := r.report.Head, r.AtLeast, r.report.Chain
	switch {
	case h.Log != r.Log:
		return fmt.Errorf("%w: it is of another log", ErrHead)
	case h.Seq != chain.Seq:
		return fmt.Errorf("%w: it stands after entry %d", ErrHead, chain.Seq)
	case h.Hash != hex.EncodeToString(chain.Hash[:]):
		return fmt.Errorf("%w: its hash is not that of the entries", ErrHead)
	case last != nil && h.Time.Before(last.Time):
		return fmt.Errorf("%w: it is older than the head before it", ErrHead)
	case kept != nil && h.Seq > kept.Seq && h.Time.Before(headTime(kept.Time)):
		return fmt.Errorf("%w: it is longer but older than the head known before", ErrHead)
	case kept != nil && h.Seq < kept.Seq && h.Time.After(kept.Time):
		return fmt.Errorf("%w: it is shorter but newer than the head known before", ErrHead)
	}
	return nil
}

func (r *run) trusted(h *Head) error {
	if h.Key == "" {
		return ErrUnsigned
	}
	key, ok := r.keys[h.Key]
	if !ok {
		return ErrUnknownKey
	}
	return verify(key, h.text(), h.Signature)
}

// end checks what can only be seen at the end.
func (r *run) end() error {
	seq := r.report.Chain.Seq
	switch {
	case r.AtLeast != nil && seq < r.AtLeast.Seq:
		return fmt.Errorf("%w: it had %d entries", ErrTruncated, r.AtLeast.Seq)
	case r.RequireHead && (!r.signed || r.report.SignedThrough != seq):
		return ErrUnsigned
	}
	return nil
}
