package eim

import (
	"context"
	"errors"
	"fmt"
	"hash/maphash"
	"slices"
	"time"

	"github.com/iotregistry/sdk/internal/rsp"
	"github.com/iotregistry/sdk/mno/esipa"
	"github.com/iotregistry/sdk/registry/eid"
)

const (
	seenEvery  = time.Minute      // how exactly polls are remembered
	staleEvery = 10 * time.Minute // how often a device's word makes the eIM list its profiles
)

// GetEIMPackage implements [esipa.Backend]. Anybody can ask in a device's name: a
// package is signed once and kept, and what the poll says is written down at most
// once a minute.
func (e *EIM) GetEIMPackage(ctx context.Context, p esipa.Poll) ([]byte, error) {
	device, err := parseEID(p.EID)
	if err != nil {
		return nil, err
	}
	r, err := e.cfg.Store.Find(ctx, device)
	switch {
	case errors.Is(err, ErrNotFound) && e.cfg.Open:
		return e.askCertificates(device) // nothing is kept of it before it shows them
	case errors.Is(err, ErrNotFound):
		return nil, esipa.ErrUnknownEID
	case err != nil:
		return nil, err
	}
	if e.news(&r, p) {
		if r, err = e.prepare(ctx, device, p); err != nil {
			return nil, err
		}
	}
	return e.offer(&r)
}

func parseEID(s string) (eid.ID, error) {
	if len(s) > 64 {
		return eid.ID{}, esipa.ErrInvalidEID
	}
	device, err := eid.Parse(s)
	if err != nil || device.Kind() != eid.EID {
		return eid.ID{}, esipa.ErrInvalidEID
	}
	return device, nil
}

// news reports whether a poll leads to a change of the record.
func (e *EIM) news(r *Record, p esipa.Poll) bool {
	if e.cfg.Now().Sub(r.Seen) >= seenEvery || p.StateChanged && !r.Stale || e.refresh(r) {
		return true
	}
	return r.Certificate != nil && len(r.Queue) > 0 && r.Queue[0].unready()
}

// unready reports whether the first job has to be signed, or noted as given.
func (j *Job) unready() bool {
	return j.State != Offered || j.Download == nil && j.Package == nil
}

// refresh reports whether the device's profiles are to be listed.
func (e *EIM) refresh(r *Record) bool {
	return r.Stale && r.Certificate != nil && len(r.Queue) == 0 && !r.exhausted() && e.cfg.Now().Sub(r.Renewed) >= staleEvery
}

var seed = maphash.MakeSeed()

// stripe says which of an EIM's locks are a device's.
func stripe(device eid.ID) uint64 { return maphash.Comparable(seed, device) % 64 }

// prepare notes what a poll tells and makes the first job ready.
func (e *EIM) prepare(ctx context.Context, device eid.ID, p esipa.Poll) (Record, error) {
	lock := &e.preparing[stripe(device)]
	lock.Lock()
	defer lock.Unlock()
	return e.change(ctx, device, false, func(r *Record) (bool, error) {
		if !e.news(r, p) {
			return false, nil // another poll has done it
		}
		if now := e.cfg.Now(); now.Sub(r.Seen) >= seenEvery {
			r.Seen = now
		}
		r.Stale = r.Stale || p.StateChanged
		if e.refresh(r) {
			job := Job{Steps: []Step{{Action: ActionList}}, Refresh: true}
			if err := e.start(&job); err != nil {
				return false, err
			}
			r.Queue, r.Stale, r.Renewed = append(r.Queue, job), false, job.Added
		}
		return true, e.readyFirst(ctx, r)
	})
}

// readyFirst makes the first job ready. Those that no counter is left for fail;
// that is when the eUICC turned out to have used more than was known.
func (e *EIM) readyFirst(ctx context.Context, r *Record) error {
	for r.Certificate != nil && len(r.Queue) > 0 {
		j := &r.Queue[0]
		err := e.ready(r, j)
		if !errors.Is(err, ErrExhausted) {
			return err
		}
		j.Failure = "the counter for this eUICC is used up"
		if err := e.end(ctx, r, j, Failed, nil, nil); err != nil {
			return err
		}
	}
	return nil
}

// ready makes a job one that can be given.
func (e *EIM) ready(r *Record, j *Job) error {
	if j.Download == nil && j.Package == nil {
		if err := e.sign(r, j); err != nil {
			return err
		}
	}
	if j.Download != nil && j.Attempts == 0 && j.State == Waiting {
		j.After = r.Sequence
	}
	j.State = Offered
	return nil
}

// sign makes the job's package. A job keeps its counter: were it carried out under
// two, it would be carried out twice.
func (e *EIM) sign(r *Record, j *Job) error {
	if j.Counter == 0 {
		if r.Counter >= MaxCounter {
			return ErrExhausted
		}
		r.Counter++
		j.Counter = r.Counter
	}
	device, id, err := wireIDs(r, j)
	if err != nil {
		return err
	}
	signed := rsp.EUICCPackageSigned{EIMID: e.cfg.ID, EID: device, Counter: j.Counter, EIMTransactionID: id}
	for i := range j.Steps {
		op, err := j.Steps[i].psmo()
		if err != nil {
			return err
		}
		signed.Operations = append(signed.Operations, op)
	}
	text, err := signed.SignedText(r.AssociationToken)
	if err != nil {
		return fmt.Errorf("eim: %w", err)
	}
	signature, err := rsp.Sign(e.cfg.Rand, e.cfg.Key, text)
	if err != nil {
		return fmt.Errorf("eim: %w", err)
	}
	j.Package, err = rsp.Encode(&rsp.EUICCPackageRequest{Signed: signed, Signature: signature})
	if err != nil {
		return fmt.Errorf("eim: %w", err)
	}
	return nil
}

func wireIDs(r *Record, j *Job) (rsp.EID, rsp.TransactionID, error) {
	device, err := rsp.ParseEID(r.EID.String())
	if err != nil {
		return device, nil, fmt.Errorf("eim: stored record: %w", err)
	}
	id, err := rsp.ParseTransactionID(j.ID)
	if err != nil {
		return device, nil, fmt.Errorf("eim: stored record: %w", err)
	}
	return device, id, nil
}

// offer returns what a device that was prepared for it is to do.
func (e *EIM) offer(r *Record) ([]byte, error) {
	if r.Certificate == nil {
		return e.askCertificates(r.EID)
	}
	if len(r.Queue) == 0 {
		return nil, esipa.ErrNoPackage
	}
	j := &r.Queue[0]
	switch {
	case j.Replayed:
		return e.ask(j.ID, []byte{0xA2}) // euiccPackageResultList
	case j.Download == nil:
		return slices.Clone(j.Package), nil
	}
	_, id, err := wireIDs(r, j)
	if err != nil {
		return nil, err
	}
	m := rsp.ProfileDownloadTriggerRequest{DefaultSMDP: j.Download.DefaultSMDP, EIMTransactionID: id}
	if !m.DefaultSMDP {
		m.ActivationCode = &j.Download.ActivationCode
	}
	return encode(&m)
}

// askCertificates asks for CERT.EUM and CERT.EUICC. The EID is the transaction ID:
// an answer names its device, and nothing needs to be remembered for it.
func (e *EIM) askCertificates(device eid.ID) ([]byte, error) {
	return e.ask(device.String(), []byte{0xA5, 0xA6})
}

func (e *EIM) ask(jobID string, tags []byte) ([]byte, error) {
	id, err := rsp.ParseTransactionID(jobID)
	if err != nil {
		return nil, fmt.Errorf("eim: stored record: %w", err)
	}
	return encode(&rsp.IPAEUICCDataRequest{TagList: tags, CIKeyID: e.ciKeyID, EIMTransactionID: id})
}

func encode(m rsp.Message) ([]byte, error) {
	b, err := rsp.Encode(m)
	if err != nil {
		return nil, fmt.Errorf("eim: %w", err)
	}
	return b, nil
}
