package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"

	"github.com/iotregistry/sdk/mno"
	"github.com/iotregistry/sdk/mno/eim"
	"github.com/iotregistry/sdk/mno/es2"
	"github.com/iotregistry/sdk/mno/es9"
	"github.com/iotregistry/sdk/mno/esipa"
	"github.com/iotregistry/sdk/mno/smdp"
	"github.com/iotregistry/sdk/registry/eid"
)

// newEIM makes the eIM of -eim-fqdn, with store and news for who serves it.
func (f *flags) newEIM(ctx context.Context, cfg eim.Config) (*eim.EIM, error) {
	dir := folder(f.certs)
	own, err := dir.credential(ctx, "eim")
	if err != nil {
		return nil, fmt.Errorf("%w; an empty -esipa is for having no eIM", err)
	}
	cfg.ID, cfg.FQDN, cfg.Key, cfg.Certificate = f.eimFQDN, f.eimFQDN, own.Key, own.Certificate
	cfg.IndirectDownload = true
	if cfg.CIs, err = dir.cis(f.testCI); err != nil {
		return nil, err
	}
	return eim.New(cfg)
}

func (s *service) openEIM(ctx context.Context) error {
	if s.flags.esipa == "" {
		return nil
	}
	var err error
	// Any eUICC of the CIs: those that nothing was ordered for have nothing to do.
	s.eim, err = s.flags.newEIM(ctx, eim.Config{Open: true, Store: s.eimStore, Notify: s.jobNews, Log: s.log})
	return err
}

// jobNews logs what came of a job.
func (s *service) jobNews(ctx context.Context, ev eim.Event) error {
	attrs := []any{"eid", ev.EID.String(), "job", ev.Job.ID, "state", string(ev.Job.State), "proven", ev.Job.Proven}
	if ev.Job.Download != nil {
		attrs = append(attrs, "download", ev.Job.ICCID)
	}
	for _, step := range ev.Job.Steps {
		attrs = append(attrs, string(step.Action), step.ICCID)
	}
	level := slog.LevelInfo
	if ev.Job.Failure != "" {
		level, attrs = slog.LevelWarn, append(attrs, "failure", ev.Job.Failure)
	}
	s.log.Log(ctx, level, "news of a job", attrs...)
	return nil
}

// trigger has the eIM send a device to an order that was released.
func (s *service) trigger(ctx context.Context, p smdp.Profile) error {
	switch {
	case p.EUICC.IsZero():
		return nil // whoever has the matching ID comes by itself
	case p.CodeHash != nil:
		s.log.InfoContext(ctx, "an order waits for somebody with its confirmation code", "iccid", p.ICCID, "eid", p.EUICC.String())
		return nil
	}
	text, err := es9.ActivationCode{Address: s.flags.fqdn, MatchingID: p.MatchingID}.Text()
	if err != nil {
		return err
	}
	_, err = s.eim.Trigger(ctx, p.EUICC, eim.Download{ActivationCode: text, ICCID: p.ICCID, Enable: true})
	if errors.Is(err, eim.ErrInvalid) || errors.Is(err, eim.ErrExhausted) { // it would be no better next time
		s.log.WarnContext(ctx, "an order waits for somebody with its activation code", "iccid", p.ICCID, "eid", p.EUICC.String(), "error", err)
		return nil
	}
	if err != nil {
		return err
	}
	return s.outdated(ctx, p)
}

// outdated takes an order back from the eIM that has meanwhile ended in another
// call, which did not find it there yet.
func (s *service) outdated(ctx context.Context, p smdp.Profile) error {
	now, err := s.engine.Profile(ctx, p.ICCID)
	if err != nil && !errors.Is(err, smdp.ErrNotFound) {
		return err
	}
	if err == nil && (now.State == mno.Released || now.State == mno.Downloaded) && now.MatchingID == p.MatchingID {
		return nil
	}
	return s.withdraw(ctx, p.EUICC, p.ICCID, "an order has ended meanwhile")
}

// arrived takes an order back from the eIM that has come to its eUICC in another
// way: a device tells the eIM first where that has sent it.
func (s *service) arrived(ctx context.Context, iccid string) error {
	if s.eim == nil {
		return nil
	}
	p, err := s.engine.Profile(ctx, iccid)
	if err != nil || p.EUICC.IsZero() {
		return err
	}
	return s.withdraw(ctx, p.EUICC, iccid, "an order was downloaded by its activation code")
}

// withdraw has the eIM forget about an order, if it waits there.
func (s *service) withdraw(ctx context.Context, euicc eid.ID, iccid, why string) error {
	status, err := s.eim.Status(ctx, euicc)
	if errors.Is(err, esipa.ErrUnknownEID) || errors.Is(err, esipa.ErrInvalidEID) {
		return nil
	}
	if err != nil {
		return err
	}
	for _, j := range status.Waiting {
		if j.Download == nil || j.Download.ICCID != iccid {
			continue
		}
		if err := s.eim.Cancel(ctx, euicc, j.ID); err != nil && !errors.Is(err, eim.ErrNoJob) {
			return err
		}
		s.log.InfoContext(ctx, why, "iccid", iccid, "eid", euicc.String())
	}
	return nil
}

// withEIM is the order book whose cancelled orders the eIM hears of.
type withEIM struct {
	*smdp.Engine
	service *service
}

// CancelOrder implements [es2.Backend]. It names the device of the order.
func (b withEIM) CancelOrder(ctx context.Context, call es2.Call, c es2.CancelOrder) error {
	if err := b.Engine.CancelOrder(ctx, call, c); err != nil {
		return err
	}
	return b.service.withdraw(ctx, c.Device, c.ICCID, "an order was cancelled")
}

// orderBook is what ES2+ is served with.
func (s *service) orderBook() es2.Backend {
	if s.eim == nil {
		return s.engine
	}
	return withEIM{s.engine, s}
}

// relay is the way of indirect downloads, which leads to the own SM-DP+ only.
func (s *service) relay() es9.Backend {
	return &esipa.Relay{Dial: func(address string) (es9.Backend, error) {
		if address != s.flags.fqdn {
			return nil, fmt.Errorf("%.100q is another SM-DP+", address)
		}
		return s.server, nil
	}}
}
