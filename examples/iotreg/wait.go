package main

import (
	"context"
	"errors"
	"fmt"

	"github.com/iotregistry/sdk/examples/internal/term"
	"github.com/iotregistry/sdk/registry"
)

// await shows a job's progress until it has ended, and then what became of each
// device.
func (s *session) await(ctx context.Context, id string) (report, error) {
	j, err := s.watch(ctx, id)
	if err != nil {
		return nil, fmt.Errorf("the registry goes on with job %s: iotreg job watch %s: %w", id, id, err)
	}
	return s.resultsOf(ctx, j)
}

// jobResults shows what there is of a job that may be going on.
func (s *session) jobResults(ctx context.Context, id string) (report, error) {
	j, err := s.reg.Job(ctx, id)
	if err != nil {
		return nil, err
	}
	return s.resultsOf(ctx, j)
}

func (s *session) resultsOf(ctx context.Context, j *registry.Job) (report, error) {
	r := &results{apiHead: s.head(), Job: j, Results: []registry.Result{}}
	for res, err := range s.reg.JobResults(ctx, j.ID, 0) {
		if err != nil {
			return nil, err
		}
		r.Results = append(r.Results, res)
	}
	r.judge()
	r.OK = r.OK && j.State != registry.JobCancelled
	return r, nil
}

// watch shows how a job goes on until it has ended.
func (s *session) watch(ctx context.Context, id string) (last *registry.Job, err error) {
	var step *term.Step
	for j, err := range s.reg.WatchJob(ctx, id) {
		if err != nil {
			return nil, err
		}
		if step == nil {
			last, step = &registry.Job{}, s.progress.Step(string(j.Op), j.Total)
			defer step.Done()
		}
		step.Add(j.Done - last.Done)
		last = j
	}
	if last == nil {
		return nil, errors.New("the registry said nothing about it")
	}
	return last, nil
}
