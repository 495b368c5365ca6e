package smdp

import (
	"context"

	"github.com/iotregistry/sdk/mno"
	"github.com/iotregistry/sdk/mno/es2"
)

// CancelOrder implements [es2.Backend]. Cancelling again to the same final
// status is no error. A profile made Available loses all traces of its order
// and can be ordered again, by ICCID, by the same requester; one that an eUICC was
// given can only be made Unavailable, as that eUICC may install it still.
func (e *Engine) CancelOrder(ctx context.Context, call es2.Call, c es2.CancelOrder) error {
	return retry(ctx, func() error { return e.cancel(ctx, call.Requester, c) })
}

func (e *Engine) cancel(ctx context.Context, requester string, c es2.CancelOrder) error {
	p, err := e.owned(ctx, requester, c.ICCID)
	if err != nil {
		return err
	}
	if p.State == mno.Available && c.Final == mno.Available {
		return nil
	}
	if !p.Device.IsZero() && c.Device != p.Device {
		return mno.With(mno.ErrOtherDevice, p.ICCID, "the order is linked to a device: name the same one")
	}
	if c.MatchingID != "" && c.MatchingID != p.MatchingID {
		return mno.With(mno.ErrOtherMatchingID, c.MatchingID, "the order has another matching ID")
	}
	if p.State == mno.Unavailable && c.Final == mno.Unavailable {
		return nil
	}
	ev := mno.CancelledForGood
	if c.Final == mno.Available {
		ev = mno.CancelledReusable
	}
	if !e.move(&p, ev) {
		return mno.With(mno.ErrICCIDNotAvailable, p.ICCID, "it is "+p.State.String())
	}
	if p.State == mno.Available && len(p.Download.Transactions) > 0 {
		return mno.With(mno.ErrICCIDNotAvailable, p.ICCID, "an eUICC was given the profile: only Unavailable is left for it")
	}
	p.Sealed = nil
	if p.State == mno.Available {
		p = Profile{ICCID: p.ICCID, Type: p.Type, State: p.State, Owner: p.Owner, Changed: p.Changed, Version: p.Version}
	}
	return e.cfg.Store.Put(ctx, p)
}

// Operator returns the engine as the operator that requester sees, in this
// process and without ES2+.
func (e *Engine) Operator(requester string) *Local { return &Local{e, es2.Call{Requester: requester}} }

// Local is an [Engine] seen by one requester. It is a [mno.Operator].
type Local struct {
	engine *Engine
	call   es2.Call
}

var _ mno.Operator = (*Local)(nil)

// Order implements [mno.Operator].
func (l *Local) Order(ctx context.Context, o mno.Order) (mno.Receipt, error) {
	iccid, err := l.engine.DownloadOrder(ctx, l.call, o)
	if err != nil {
		return mno.Receipt{}, err
	}
	return l.engine.ConfirmOrder(ctx, l.call, es2.ConfirmOrder{ICCID: iccid, Device: o.Device, Release: true})
}

// Cancel implements [mno.Operator].
func (l *Local) Cancel(ctx context.Context, r mno.Receipt) error {
	iccid, err := mno.CanonicalICCID(r.ICCID)
	if err != nil {
		return err
	}
	return l.engine.CancelOrder(ctx, l.call, es2.CancelOrder{ICCID: iccid, Device: r.Device, MatchingID: r.MatchingID, Final: mno.Unavailable})
}
