package eimtest_test

import (
	"context"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/iotregistry/sdk/mno/eim"
	"github.com/iotregistry/sdk/registry/eid"
)

// naive is a store that is read line by line against the contract: one list that
// is searched from end to end. fault names the rule that it breaks.
type naive struct {
	fault string
	mu    sync.Mutex
	list  []eim.Record
	gone  map[string]eid.ID // jobs that were there once
}

func (s *naive) has(fault string) bool { return s.fault == fault }

func (s *naive) ended(ctx context.Context) error {
	if s.has("does not look at contexts") {
		return nil
	}
	return ctx.Err()
}

func (s *naive) Find(ctx context.Context, device eid.ID) (eim.Record, error) {
	return s.find(ctx, func(r eim.Record) bool { return r.EID == device })
}

func (s *naive) FindJob(ctx context.Context, jobID string) (eim.Record, error) {
	r, err := s.find(ctx, func(r eim.Record) bool {
		list := r.Queue
		if !s.has("does not look into history") {
			list = slices.Concat(r.Queue, r.History)
		}
		if s.has("looks at the first job") && len(list) > 0 {
			list = list[:1]
		}
		return slices.ContainsFunc(list, func(j eim.Job) bool {
			return j.ID == jobID || s.has("folds letters") && strings.EqualFold(j.ID, jobID)
		})
	})
	s.mu.Lock()
	defer s.mu.Unlock()
	if device, ok := s.gone[jobID]; err == eim.ErrNotFound && ok && s.has("never forgets a job") {
		return eim.Record{EID: device}, nil
	}
	return r, err
}

func (s *naive) find(ctx context.Context, is func(eim.Record) bool) (eim.Record, error) {
	if err := s.ended(ctx); err != nil {
		return eim.Record{}, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	i := slices.IndexFunc(s.list, is)
	if i < 0 {
		return eim.Record{}, eim.ErrNotFound
	}
	r := s.list[i]
	r.Queue = slices.Clone(r.Queue)
	for i := range r.Queue {
		j := &r.Queue[i]
		if s.has("forgets when it was asked for") {
			j.Added = time.Time{}
		}
		if s.has("makes zero of nil") && j.Sequence == nil {
			j.Sequence = new(int64)
		}
	}
	if s.has("keeps seconds") {
		r.Seen = r.Seen.Truncate(time.Second)
	}
	if s.has("makes empty of nil") && r.Certificate == nil {
		r.Certificate = []byte{}
	}
	if s.has("keeps a hundred jobs") {
		r.Queue = r.Queue[:min(len(r.Queue), 100)]
	}
	return r, nil
}

func (s *naive) Put(ctx context.Context, r eim.Record) error {
	if err := s.ended(ctx); err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.gone == nil {
		s.gone = map[string]eid.ID{}
	}
	for _, j := range r.Queue {
		s.gone[j.ID] = r.EID
	}
	at := slices.IndexFunc(s.list, func(o eim.Record) bool { return o.EID == r.EID })
	var old eim.Record
	if at >= 0 {
		old = s.list[at]
	}
	if r.Version != old.Version && !s.has("takes any version") && (r.Version != 0 || !s.has("overwrites by new records")) {
		return eim.ErrChanged
	}
	if r.Version++; s.has("counts by two") {
		r.Version++
	}
	if s.has("merges profiles") && r.Profiles == nil {
		r.Profiles = old.Profiles
	}
	if at < 0 {
		s.list = append(s.list, r)
	} else {
		s.list[at] = r
	}
	return nil
}

// racy reads versions a moment before it writes.
type racy struct{ *naive }

func (s racy) Put(ctx context.Context, r eim.Record) error {
	stored, err := s.Find(ctx, r.EID)
	if err == nil && r.Version <= stored.Version && r.Version != 0 {
		r.Version = stored.Version
	}
	return s.naive.Put(ctx, r)
}
