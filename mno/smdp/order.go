package smdp

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"

	"github.com/iotregistry/sdk/mno"
	"github.com/iotregistry/sdk/mno/es2"
)

// DownloadOrder implements [es2.Backend]. See [mno.Operator] for what repeats
// and newer orders of the same device do. An order of another requester that
// waits for the device is not superseded but [mno.ErrNotAllowed].
func (e *Engine) DownloadOrder(ctx context.Context, call es2.Call, o mno.Order) (iccid string, err error) {
	if err := o.Validate(); err != nil {
		return "", err
	}
	if o.ICCID != "" {
		if o.ICCID, err = mno.CanonicalICCID(o.ICCID); err != nil {
			return "", err
		}
	}
	err = retry(ctx, func() error {
		iccid, err = e.downloadOrder(ctx, call.Requester, o)
		return err
	})
	return iccid, err
}

func (e *Engine) downloadOrder(ctx context.Context, requester string, o mno.Order) (string, error) {
	var newest Profile
	if o.ProfileID != 0 {
		switch old, err := e.cfg.Store.Find(ctx, Query{Device: o.Device, ProfileID: o.ProfileID}); {
		case err == nil:
			return old.ICCID, repeated(old, requester, o)
		case !errors.Is(err, ErrNotFound):
			return "", err
		}
		var err error
		if newest, err = e.cfg.Store.Find(ctx, Query{Device: o.Device}); err != nil && !errors.Is(err, ErrNotFound) {
			return "", err
		}
		if newest.ProfileID > o.ProfileID {
			return "", mno.With(mno.ErrOrderClosed, o.Device.String(),
				fmt.Sprintf("profile %d was ordered for this device already, %d is older", newest.ProfileID, o.ProfileID))
		}
	}
	superseded := newest.State != mno.Error && e.move(&newest, mno.CancelledForGood)
	if superseded && newest.Owner != requester {
		return "", mno.With(mno.ErrNotAllowed, o.Device.String(), "another requester's order waits for this device: have that one cancelled")
	}
	p, err := e.reserve(ctx, requester, o)
	if err != nil {
		return "", err
	}
	records := []Profile{p}
	if superseded {
		newest.Sealed = nil
		records = append(records, newest)
	}
	return p.ICCID, e.cfg.Store.Put(ctx, records...)
}

// repeated judges an order whose device and profile ID are in the book already.
func repeated(p Profile, requester string, o mno.Order) error {
	switch {
	case p.Owner != requester:
		return mno.With(mno.ErrNotAllowed, p.ICCID, "this profile belongs to another requester")
	case p.SealedSum != sha256.Sum256(o.Sealed) || o.ICCID != "" && o.ICCID != p.ICCID || o.ProfileType != "" && o.ProfileType != p.Type:
		return mno.With(mno.ErrOrderConflict, p.ICCID,
			fmt.Sprintf("profile %d was ordered for this device with other content: use a new profile ID", o.ProfileID))
	case p.State == mno.Unavailable || p.State == mno.Error:
		return mno.With(mno.ErrOrderClosed, p.ICCID,
			fmt.Sprintf("the order of profile %d was cancelled or superseded, or failed: use a new profile ID", o.ProfileID))
	}
	return nil
}

// reserve returns the record of a profile from stock, or a new one, ordered as o
// says.
func (e *Engine) reserve(ctx context.Context, requester string, o mno.Order) (Profile, error) {
	p := Profile{Type: o.ProfileType, State: mno.Available}
	var err error
	if o.ICCID != "" {
		p, err = e.fromStock(ctx, requester, o)
	} else if err = e.allowed(requester, o.ProfileType); err == nil {
		p.ICCID, err = e.newICCID(ctx, o.ProfileType)
	}
	if err != nil {
		return Profile{}, err
	}
	ev := mno.OrderedForDevice
	if o.Device.IsZero() {
		ev = mno.Ordered
	}
	if !e.move(&p, ev) {
		return Profile{}, mno.With(mno.ErrICCIDNotAvailable, p.ICCID, "it is "+p.State.String())
	}
	p.Owner, p.Device, p.ProfileID = requester, o.Device, o.ProfileID
	if p.EUICC, err = e.euicc(ctx, o.Device); err != nil {
		return Profile{}, err
	}
	p.Sealed, p.SealedSum = o.Sealed, sha256.Sum256(o.Sealed)
	return p, nil
}

func (e *Engine) fromStock(ctx context.Context, requester string, o mno.Order) (Profile, error) {
	p, err := e.owned(ctx, requester, o.ICCID)
	if err != nil {
		return Profile{}, err
	}
	if o.ProfileType != "" && o.ProfileType != p.Type {
		return Profile{}, mno.With(mno.ErrProfileTypeMismatch, p.Type, "ICCID "+p.ICCID+" is of another type")
	}
	return p, nil
}
