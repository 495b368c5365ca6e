package eim

import (
	"context"
	"fmt"

	"github.com/iotregistry/sdk/internal/rsp"
	"github.com/iotregistry/sdk/registry/eid"
)

// packageResult takes what an eUICC says of a package.
func (e *EIM) packageResult(ctx context.Context, device eid.ID, m *rsp.EUICCPackageResult) ([]int64, error) {
	switch {
	case m.Signed != nil:
		return e.carriedOut(ctx, device, m)
	case m.Error != nil:
		return nil, e.refused(ctx, device, m)
	case m.Unsigned.EIMID != e.cfg.ID:
		return nil, useless("it is about another eIM")
	}
	why := "the eUICC could not check the package"
	if m.Unsigned.Code != nil {
		why += ": " + m.Unsigned.Code.String()
	}
	return nil, e.unproven(ctx, device, m.Unsigned.EIMTransactionID, why)
}

// carriedOut takes a signed result.
func (e *EIM) carriedOut(ctx context.Context, device eid.ID, m *rsp.EUICCPackageResult) ([]int64, error) {
	data := &m.Signed.Data
	var known bool
	_, err := e.conclude(ctx, device, func(r *Record) (bool, error) {
		known = true
		if data.EIMID != e.cfg.ID {
			return false, useless("it is about another eIM")
		}
		text, err := data.SignedText(r.AssociationToken)
		if err := signedBy(r, text, m.Signed.Signature, err); err != nil {
			return false, err
		}
		j := r.job(data.EIMTransactionID.String())
		switch {
		case j == nil && data.Counter <= r.Counter && !r.signed(data.Counter):
			return false, nil // of long ago: the eUICC may forget it
		case j == nil && data.Counter <= MaxCounter && data.Counter > r.Counter:
			r.Counter, known = data.Counter, false // used by somebody who has lost it
			e.cfg.Log.WarnContext(ctx, "eim: the eUICC knows a higher counter than this eIM", "eid", device.String(), "counter", data.Counter)
			return true, nil
		case j == nil || j.Counter != data.Counter:
			return false, useless("its counter and transaction do not belong together")
		case j.Sequence != nil && data.SeqNumber <= *j.Sequence:
			return false, nil // it comes again
		}
		j.Sequence = ptr(data.SeqNumber)
		s, listed := j.judge(data.Results)
		return true, e.end(ctx, r, j, s, m.Raw, listed)
	})
	if err != nil || !known {
		return nil, err
	}
	return []int64{data.SeqNumber}, nil
}

// signed reports whether a counter is the one of a job that is known.
func (r *Record) signed(counter int64) bool {
	for _, list := range [][]Job{r.Queue, r.History} {
		for i := range list {
			if list[i].Counter == counter {
				return true
			}
		}
	}
	return false
}

// judge takes the outcomes of the steps.
func (j *Job) judge(results []rsp.EUICCResultData) (State, []Profile) {
	var listed []Profile
	j.Failure = ""
	fail := func(why string) {
		if j.Failure == "" {
			j.Failure = why
		}
	}
	for i := range j.Steps {
		j.Steps[i].Tried, j.Steps[i].Code = false, 0
	}
	n := 0
	for i := range results {
		r := &results[i]
		switch {
		case rolledBack(r):
			fail("the eUICC has gone back to the former profile")
			continue
		case r.Terminated != nil:
			fail("the eUICC has stopped: " + r.Terminated.String())
			continue
		case n == len(j.Steps) || !j.Steps[n].answer(r):
			fail("the eUICC has answered something else")
			continue
		}
		if s := &j.Steps[n]; s.Code != 0 {
			fail(s.failure())
		} else if r.List != nil {
			listed = profiles(r.List.List)
		}
		n++
	}
	if n < len(j.Steps) {
		fail(fmt.Sprintf("%d of %d operations were not tried", len(j.Steps)-n, len(j.Steps)))
	}
	if j.Failure != "" {
		return Failed, listed
	}
	return Succeeded, listed
}

// refused takes a signed error about a package as a whole.
func (e *EIM) refused(ctx context.Context, device eid.ID, m *rsp.EUICCPackageResult) error {
	data := &m.Error.Data
	_, err := e.conclude(ctx, device, func(r *Record) (bool, error) {
		if data.EIMID != e.cfg.ID {
			return false, useless("it is about another eIM")
		}
		text, err := data.SignedText(r.AssociationToken)
		if err := signedBy(r, text, m.Error.Signature, err); err != nil {
			return false, err
		}
		j := r.job(data.EIMTransactionID.String())
		if j == nil || !r.current(j) || j.Counter != data.Counter {
			return false, useless("it is about no package that the device has to carry out")
		}
		switch {
		case j.Replayed:
			return false, useless("this error is known")
		case data.Code == rsp.PackageReplay:
			j.Replayed, j.State, j.Attempts = true, Waiting, 0
			j.Failure = "refused as a replay: the eUICC is asked for the results that it keeps"
			return true, nil
		case data.Code == rsp.PackageECallActive && j.State == Offered:
			return true, e.attempt(ctx, r, j, "the eUICC refuses the package: "+data.Code.String())
		case data.Code == rsp.PackageECallActive:
			return false, useless("this try is known to have failed")
		}
		j.Failure = "the eUICC refuses the package: " + data.Code.String()
		return true, e.end(ctx, r, j, Failed, m.Raw, nil)
	})
	return err
}
