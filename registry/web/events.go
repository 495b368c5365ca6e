package web

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"time"

	"github.com/iotregistry/sdk/registry"
)

// JobChanged wakes those who watch the job, so that they need not wait for
// Config.Poll. Have registry.Config.OnJob call it; nothing breaks without.
func (s *Server) JobChanged(j registry.Job) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for ch := range s.watchers[j.ID] {
		select {
		case ch <- struct{}{}:
		default: // it is awake already
		}
	}
}

// watch registers a stream on a job; calling the result ends it. Too many streams
// are refused, since each of them holds a connection.
func (s *Server) watch(account, id string) (<-chan struct{}, func(), error) {
	back, ok := s.streams.take(account)
	if !ok {
		return nil, nil, &rateError{s.Heartbeat}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	ch := make(chan struct{}, 1)
	if s.watchers[id] == nil {
		s.watchers[id] = map[chan struct{}]struct{}{}
	}
	s.watchers[id][ch] = struct{}{}
	return ch, func() {
		defer back()
		s.mu.Lock()
		defer s.mu.Unlock()
		if delete(s.watchers[id], ch); len(s.watchers[id]) == 0 {
			delete(s.watchers, id)
		}
	}, nil
}

// jobEvents streams a job's changes (server-sent events of the HTML standard).
func (s *Server) jobEvents(c *call) error {
	id := c.r.PathValue("id")
	j, err := s.Registry.Job(c.ctx, c.actor, id)
	if err != nil {
		return err
	}
	wake, end, err := s.watch(c.actor.Account, id)
	if err != nil {
		return err
	}
	defer end()
	ctx, cancel := context.WithTimeout(c.ctx, s.Watch)
	defer cancel()
	c.w.Header().Set("Content-Type", typeEvents)
	c.w.WriteHeader(http.StatusOK)
	st := &stream{w: c.w, rc: http.NewResponseController(c.w)}
	if err := s.follow(ctx, c.actor, j, st, wake); err != nil {
		s.abort(c, err)
	}
	return nil
}

// follow sends the job whenever it has changed, until it is over or ctx ends.
func (s *Server) follow(ctx context.Context, actor registry.Actor, j *registry.Job, st *stream, wake <-chan struct{}) error {
	poll, beat := time.NewTicker(s.Poll), time.NewTicker(s.Heartbeat)
	defer poll.Stop()
	defer beat.Stop()
	for {
		if err := st.job(j); err != nil || over(j) {
			return err
		}
		select {
		case <-ctx.Done():
			return nil
		case <-beat.C:
			if err := st.send(": still here\n\n"); err != nil {
				return err
			}
			continue
		case <-wake:
		case <-poll.C:
		}
		next, err := s.Registry.Job(ctx, actor, j.ID)
		switch {
		case ctx.Err() != nil:
			return nil
		case err != nil:
			return err
		}
		j = next
	}
}

// stream writes events to one client.
type stream struct {
	w    http.ResponseWriter
	rc   *http.ResponseController
	last string
}

// job sends j unless it is what was sent last.
func (st *stream) job(j *registry.Job) error {
	data, err := json.Marshal(j)
	if err != nil {
		return fmt.Errorf("encode a job: %w", err)
	}
	if string(data) == st.last {
		return nil
	}
	st.last = string(data)
	return st.send("event: job\ndata: " + st.last + "\n\n")
}

func (st *stream) send(text string) error {
	if _, err := st.w.Write([]byte(text)); err != nil {
		return err
	}
	return st.rc.Flush()
}

// abort cuts the connection of an answer that has begun and cannot be finished.
func (s *Server) abort(c *call, err error) {
	visitOf(c.r).err = err
	if !gone(c.r.Context()) {
		s.Logger.ErrorContext(c.ctx, "an answer was cut", "request", visitOf(c.r).id, "route", c.r.Pattern, "err", err)
	}
	panic(http.ErrAbortHandler)
}
