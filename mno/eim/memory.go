package eim

import (
	"context"
	"sync"

	"github.com/iotregistry/sdk/registry/eid"
)

// Memory is a [Store] in the process's memory. The zero value is ready.
type Memory struct {
	mu      sync.RWMutex
	records map[eid.ID]Record
	jobs    map[string]eid.ID
}

// Find implements [Store].
func (m *Memory) Find(ctx context.Context, device eid.ID) (Record, error) {
	if err := ctx.Err(); err != nil {
		return Record{}, err
	}
	m.mu.RLock()
	defer m.mu.RUnlock()
	r, ok := m.records[device]
	if !ok {
		return Record{}, ErrNotFound
	}
	return r, nil
}

// FindJob implements [Store].
func (m *Memory) FindJob(ctx context.Context, jobID string) (Record, error) {
	if err := ctx.Err(); err != nil {
		return Record{}, err
	}
	m.mu.RLock()
	defer m.mu.RUnlock()
	device, ok := m.jobs[jobID]
	if !ok {
		return Record{}, ErrNotFound
	}
	return m.records[device], nil
}

// Put implements [Store].
func (m *Memory) Put(ctx context.Context, r Record) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	old := m.records[r.EID]
	if old.Version != r.Version {
		return ErrChanged
	}
	if m.records == nil {
		m.records, m.jobs = map[eid.ID]Record{}, map[string]eid.ID{}
	}
	for _, list := range [][]Job{old.Queue, old.History} {
		for i := range list {
			delete(m.jobs, list[i].ID)
		}
	}
	for _, list := range [][]Job{r.Queue, r.History} {
		for i := range list {
			m.jobs[list[i].ID] = r.EID
		}
	}
	r.Version++
	m.records[r.EID] = r
	return nil
}
