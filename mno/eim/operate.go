package eim

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/iotregistry/sdk/internal/rsp"
	"github.com/iotregistry/sdk/mno"
	"github.com/iotregistry/sdk/mno/es9"
	"github.com/iotregistry/sdk/mno/esipa"
	"github.com/iotregistry/sdk/registry/eid"
)

// Errors of what an operator asks for. An EID that has to be registered first is
// [esipa.ErrUnknownEID].
var (
	ErrInvalid   = errors.New("eim: this cannot be asked for")
	ErrFull      = errors.New("eim: too much waits for this device: ask again when it has done some of it")
	ErrNoJob     = errors.New("eim: the device has no such job")
	ErrExhausted = errors.New("eim: the counter for this eUICC is used up: it takes no more packages of this eIM")
)

// MaxCounter is the highest counter of a package (SGP.32 section 2.11.1.1.1).
const MaxCounter = 0x7FFFFF

// maxSteps is how many operations a job may have.
const maxSteps = 32

// EUICC is an eUICC that the eIM may manage.
type EUICC struct {
	EID eid.ID

	// Certificate and EUM are CERT.EUICC and CERT.EUM in DER. Nil: the device is
	// asked for them.
	Certificate, EUM []byte

	// AssociationToken is the number that the eUICC has drawn when the eIM was
	// added, if it was asked to; 0: none, or the one that was told before.
	AssociationToken int64

	// Counter is the highest that was used before this eIM had a record; 0: none.
	Counter int64
}

// Register makes an eUICC known, or tells more about it: what is not given
// stays, and a counter is never lowered. Its error is ErrInvalid where the
// certificates are not of this eUICC or of no CI.
func (e *EIM) Register(ctx context.Context, u EUICC) error {
	if err := checkEID(u.EID); err != nil {
		return err
	}
	if u.Counter < 0 || u.Counter > MaxCounter || u.AssociationToken < 0 || u.AssociationToken > 1<<62 {
		return fmt.Errorf("%w: a counter is 0 to %d, an association token at most 2^62", ErrInvalid, MaxCounter)
	}
	if u.Certificate != nil {
		if err := e.verify(u.EID, u.Certificate, u.EUM); err != nil {
			return fmt.Errorf("%w: %w", ErrInvalid, err)
		}
	}
	_, err := e.change(ctx, u.EID, true, func(r *Record) (bool, error) {
		if u.Certificate != nil {
			r.Certificate = slices.Clone(u.Certificate)
		}
		r.Counter = max(r.Counter, u.Counter)
		if t := u.AssociationToken; t != 0 && t != r.AssociationToken {
			r.AssociationToken = t
			if len(r.Queue) > 0 {
				r.Queue[0].Package = nil // to be signed again, with the token and the same counter
			}
		}
		return true, nil
	})
	return err
}

// Trigger has a device download a profile, after what waits for it already, and
// returns the job's ID. It is idempotent: the same activation code again, for no
// other ICCID, is the same job while that waits or has succeeded, and so is the
// default SM-DP+ while it waits.
func (e *EIM) Trigger(ctx context.Context, device eid.ID, d Download) (jobID string, err error) {
	if err := checkEID(device); err != nil {
		return "", err
	}
	if err := d.check(); err != nil {
		return "", err
	}
	return e.add(ctx, device, Job{Download: &d}, func(j *Job) bool {
		return j.Download != nil && j.Download.ActivationCode == d.ActivationCode && sameProfile(j.Download.ICCID, d.ICCID) &&
			(j.Ended.IsZero() || j.State == Succeeded && !d.DefaultSMDP)
	})
}

// sameProfile reports whether two downloads may be of one profile. Without a
// matching ID, all activation codes of an SM-DP+ are the same.
func sameProfile(a, b string) bool { return a == b || a == "" || b == "" }

// check looks at d and brings it into the form that is sent.
func (d *Download) check() error {
	if d.ICCID != "" {
		iccid, err := mno.CanonicalICCID(d.ICCID)
		if err != nil {
			return fmt.Errorf("%w: %w", ErrInvalid, err)
		}
		d.ICCID = iccid
	}
	if d.DefaultSMDP {
		if d.ActivationCode != "" {
			return fmt.Errorf("%w: an activation code or the default SM-DP+, not both", ErrInvalid)
		}
		return nil
	}
	if len(d.ActivationCode) >= 4 && strings.EqualFold(d.ActivationCode[:4], "LPA:") {
		d.ActivationCode = d.ActivationCode[4:]
	}
	code, err := es9.ParseActivationCode(d.ActivationCode)
	if err != nil {
		return fmt.Errorf("%w: %w", ErrInvalid, err)
	}
	if code.ConfirmationCode {
		return fmt.Errorf("%w: nobody at the device can enter the confirmation code that this activation code needs", ErrInvalid)
	}
	if len(d.ActivationCode) > 255 {
		return fmt.Errorf("%w: an activation code has at most 255 characters here", ErrInvalid)
	}
	return nil
}

// Manage has a device carry out operations as one package, after what waits for it
// already, and returns the job's ID. Every call is a new job.
func (e *EIM) Manage(ctx context.Context, device eid.ID, ops ...Operation) (jobID string, err error) {
	if err := checkEID(device); err != nil {
		return "", err
	}
	if len(ops) == 0 || len(ops) > maxSteps {
		return "", fmt.Errorf("%w: 1 to %d operations", ErrInvalid, maxSteps)
	}
	var job Job
	for i, o := range ops {
		if o == nil {
			return "", fmt.Errorf("%w: operation %d is nil", ErrInvalid, i)
		}
		s, err := o.step()
		if err == nil {
			err = s.check()
		}
		if err != nil {
			return "", fmt.Errorf("%w: operation %d: %w", ErrInvalid, i, err)
		}
		job.Steps = append(job.Steps, s)
	}
	return e.add(ctx, device, job, func(*Job) bool { return false })
}

// add puts a job at the end of a device's queue, unless it has one that is same.
func (e *EIM) add(ctx context.Context, device eid.ID, job Job, same func(*Job) bool) (string, error) {
	if err := e.start(&job); err != nil {
		return "", err
	}
	id := job.ID
	_, err := e.change(ctx, device, e.cfg.Open, func(r *Record) (bool, error) {
		for _, list := range [][]Job{r.Queue, r.History} {
			if i := slices.IndexFunc(list, func(j Job) bool { return same(&j) }); i >= 0 {
				id = list[i].ID
				return false, nil
			}
		}
		id = job.ID
		if len(r.Queue) >= e.cfg.MaxQueue {
			return false, ErrFull
		}
		if (job.Download == nil || job.Download.Enable) && r.exhausted() {
			return false, ErrExhausted
		}
		r.Queue = append(r.Queue, job)
		return true, nil
	})
	if err != nil {
		return "", err
	}
	return id, nil
}

// start gives a new job its ID.
func (e *EIM) start(j *Job) error {
	var b [16]byte
	if _, err := io.ReadFull(e.cfg.Rand, b[:]); err != nil {
		return fmt.Errorf("eim: random source: %w", err)
	}
	j.ID, j.State, j.Added = rsp.TransactionID(b[:]).String(), Waiting, e.cfg.Now()
	return nil
}

// Cancel takes a job back. It counts as failed, and no news comes of it; one that
// has ended stays as it is. A device that was given the job may do it all the
// same, and what its eUICC then signs is news, but nothing is enabled for it. Its
// error is ErrNoJob where the device has no such job, or none any more.
func (e *EIM) Cancel(ctx context.Context, device eid.ID, jobID string) error {
	if err := checkEID(device); err != nil {
		return err
	}
	_, err := e.change(ctx, device, false, func(r *Record) (bool, error) {
		same := func(j Job) bool { return j.ID == jobID }
		i := slices.IndexFunc(r.Queue, same)
		switch {
		case i >= 0:
		case slices.ContainsFunc(r.History, same):
			return false, nil
		default:
			return false, ErrNoJob
		}
		j := &r.Queue[i]
		j.State, j.Ended, j.Failure = Failed, e.cfg.Now(), "cancelled"
		if j.Download != nil {
			d := *j.Download
			d.Enable = false
			j.Download = &d
		}
		r.end(j, e.cfg.MaxHistory)
		return true, nil
	})
	return err
}

// Status is what is known of a device.
type Status struct {
	EID      eid.ID
	Proven   bool      // its certificate is known, so that its results count
	Seen     time.Time // when it last asked, to the minute; zero: never
	Counter  int64     // the highest that was used for it, see MaxCounter
	Waiting  []Job     // the first is its to do
	Done     []Job     // at most Config.MaxHistory, the newest last
	Profiles []Profile // as last listed
	Listed   time.Time // when; zero: never
}

// Status returns what waits for a device, what was done, and what is known of it.
func (e *EIM) Status(ctx context.Context, device eid.ID) (Status, error) {
	if err := checkEID(device); err != nil {
		return Status{}, err
	}
	r, err := e.cfg.Store.Find(ctx, device)
	if errors.Is(err, ErrNotFound) {
		err = esipa.ErrUnknownEID
	}
	if err != nil {
		return Status{}, err
	}
	r = r.clone()
	return Status{
		EID: r.EID, Proven: r.Certificate != nil, Seen: r.Seen, Counter: r.Counter,
		Waiting: r.Queue, Done: r.History, Profiles: slices.Clone(r.Profiles), Listed: r.Listed,
	}, nil
}

func checkEID(device eid.ID) error {
	if device.Kind() != eid.EID {
		return fmt.Errorf("eim: %v: %w", device, esipa.ErrInvalidEID)
	}
	return nil
}

// maxTries bounds how often one call starts over because a record changed under
// it. Every such change is another call's success.
const maxTries = 100

// change reads a record, has f change it, and stores it where f wants that. create
// makes up one that is not there.
func (e *EIM) change(ctx context.Context, device eid.ID, create bool, f func(r *Record) (save bool, err error)) (Record, error) {
	for range maxTries {
		r, err := e.cfg.Store.Find(ctx, device)
		switch {
		case errors.Is(err, ErrNotFound) && create:
			r = Record{EID: device}
		case errors.Is(err, ErrNotFound):
			return Record{}, esipa.ErrUnknownEID
		case err != nil:
			return Record{}, err
		}
		r = r.clone()
		save, err := f(&r)
		if err != nil || !save {
			return r, err
		}
		if err = e.cfg.Store.Put(ctx, r); !errors.Is(err, ErrChanged) {
			return r, err
		}
		if err := ctx.Err(); err != nil {
			return Record{}, err
		}
	}
	return Record{}, fmt.Errorf("eim: gave up after %d tries: %w", maxTries, ErrChanged)
}
