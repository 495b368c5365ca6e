package webhook

import (
	"context"
	"encoding/binary"
	"errors"
	"io"
	"sync"
	"time"

	"github.com/iotregistry/sdk/registry"
)

const (
	accountPage = 1000
	messagePage = 1000
	maxPages    = 100 // of one queue that are read in a round
)

// state is what is known of an account's webhook since the start.
type state struct {
	url      string
	mark     string    // ID of the newest message when a call last succeeded
	told     time.Time // when that was; zero before
	failures int       // calls that failed since
	next     time.Time // no call before, after failures
}

// Round looks at every queue once, makes the calls that are due, and returns how
// many succeeded. Its error is the engine's; calls that fail are logged and made
// again by a later round.
func (n *Notifier) Round(ctx context.Context) (called int, err error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	accounts, err := n.accounts(ctx)
	if err != nil {
		return 0, err
	}
	n.keep(accounts)
	results := make([]error, len(accounts))
	done := make([]bool, len(accounts))
	places := make(chan struct{}, n.cfg.Parallel)
	var wg sync.WaitGroup
	for i, a := range accounts {
		s := n.states[a.ID]
		if n.cfg.Now().Before(s.next) {
			continue
		}
		places <- struct{}{}
		wg.Go(func() {
			defer func() { <-places }()
			done[i], results[i] = n.serve(ctx, a, s)
		})
	}
	wg.Wait()
	for _, ok := range done {
		if ok {
			called++
		}
	}
	return called, errors.Join(results...)
}

// accounts returns the accounts that have a webhook.
func (n *Notifier) accounts(ctx context.Context) ([]*registry.Account, error) {
	operator := registry.Actor{Account: "webhook", Role: registry.RoleOperator}
	var hooked []*registry.Account
	for after := ""; ; {
		page, err := n.cfg.Engine.Accounts(ctx, operator, "", after, accountPage)
		if err != nil || len(page) == 0 {
			return hooked, err
		}
		for _, a := range page {
			if a.Webhook != "" {
				hooked = append(hooked, a)
			}
		}
		after = page[len(page)-1].ID
	}
}

// keep forgets the states of all other accounts, and what is known of another URL.
func (n *Notifier) keep(accounts []*registry.Account) {
	states := make(map[string]*state, len(accounts))
	for _, a := range accounts {
		s := n.states[a.ID]
		if s == nil || s.url != a.Webhook {
			s = &state{url: a.Webhook}
		}
		states[a.ID] = s
	}
	n.states = states
}

// serve calls an account's webhook if there is a reason to, and reports whether it
// did so with success.
func (n *Notifier) serve(ctx context.Context, a *registry.Account, s *state) (bool, error) {
	after := s.mark
	reminding := !s.told.IsZero() && !n.cfg.Now().Before(s.told.Add(n.cfg.Remind))
	if reminding {
		after = ""
	}
	newest, err := n.newest(ctx, a, after)
	if err != nil {
		return false, err
	}
	if newest == "" {
		if reminding {
			s.told = n.cfg.Now() // the queue is empty: the next reminder has as long to wait
		}
		return false, nil
	}
	if err := n.call(ctx, a); err != nil {
		if ctx.Err() == nil { // otherwise it is we who gave up
			n.failed(ctx, a, s, err)
		}
		return false, nil
	}
	s.mark, s.told, s.failures, s.next = max(s.mark, newest), n.cfg.Now(), 0, time.Time{}
	return true, nil
}

// newest returns the ID of the last message after the given one, "" where there is
// none. Of a longer queue it is the last that is read in a round.
func (n *Notifier) newest(ctx context.Context, a *registry.Account, after string) (string, error) {
	newest, actor := "", registry.Actor{Account: a.ID, Role: a.Role}
	for range maxPages {
		page, err := n.cfg.Engine.Messages(ctx, actor, after, messagePage)
		if err != nil {
			return "", err
		}
		if len(page) == 0 {
			break
		}
		newest = page[len(page)-1].ID
		after = newest
	}
	return newest, nil
}

func (n *Notifier) failed(ctx context.Context, a *registry.Account, s *state, err error) {
	s.failures++
	pause := n.pause(s.failures)
	s.next = n.cfg.Now().Add(pause)
	n.cfg.Logger.WarnContext(ctx, "webhook call failed", "account", a.ID, "failures", s.failures, "retryIn", pause, "error", err)
}

// pause is how long to wait after so many failures: doubled by each up to LastRetry,
// then between a half and all of that, so that not all accounts of a host that
// comes back call in one moment.
func (n *Notifier) pause(failures int) time.Duration {
	d := n.cfg.LastRetry
	if shift := failures - 1; shift < 62 && n.cfg.FirstRetry <= n.cfg.LastRetry>>shift {
		d = n.cfg.FirstRetry << shift
	}
	n.chance.Lock()
	defer n.chance.Unlock()
	var b [8]byte
	if _, err := io.ReadFull(n.cfg.Rand, b[:]); err != nil {
		return d // without chance it is late, not wrong
	}
	return d - time.Duration(binary.BigEndian.Uint64(b[:])%uint64(d/2+1))
}
