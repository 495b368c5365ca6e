package smdp

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"

	"github.com/iotregistry/sdk/mno"
	"github.com/iotregistry/sdk/mno/es2"
)

// ConfirmOrder implements [es2.Backend]. Repeating a confirmation with the same
// inputs gives the same receipt.
func (e *Engine) ConfirmOrder(ctx context.Context, call es2.Call, c es2.ConfirmOrder) (mno.Receipt, error) {
	var p Profile
	err := retry(ctx, func() (err error) {
		p, err = e.confirm(ctx, call.Requester, c)
		return err
	})
	if err == nil {
		err = e.released(ctx, p)
	}
	if err != nil {
		return mno.Receipt{}, err
	}
	return e.receipt(p), nil
}

// released lets the device know of an order that it can download, if it is one.
func (e *Engine) released(ctx context.Context, p Profile) error {
	if p.State != mno.Released || e.cfg.Released == nil {
		return nil
	}
	if err := e.cfg.Released(ctx, p); err != nil {
		return fmt.Errorf("smdp: have the device come for %s: %w", p.ICCID, err)
	}
	return nil
}

func (e *Engine) confirm(ctx context.Context, requester string, c es2.ConfirmOrder) (Profile, error) {
	p, err := e.owned(ctx, requester, c.ICCID)
	if err != nil {
		return p, err
	}
	if !p.Device.IsZero() && !c.Device.IsZero() && c.Device != p.Device {
		return p, mno.With(mno.ErrEIDLinked, c.Device.String(), "the order is linked to another device")
	}
	if sameConfirmation(p, c) {
		if c.Release && p.State == mno.Confirmed {
			return e.release(ctx, p)
		}
		return p, nil
	}
	ev := mno.ConfirmedOnly
	if c.Release {
		ev = mno.ConfirmedReleased
	}
	if !e.move(&p, ev) {
		return p, mno.With(mno.ErrICCIDNotAvailable, p.ICCID, "it is "+p.State.String())
	}
	if err := e.complete(ctx, &p, c); err != nil {
		return p, err
	}
	return p, e.put(ctx, &p)
}

// complete fills in what a confirmation adds to an order.
func (e *Engine) complete(ctx context.Context, p *Profile, c es2.ConfirmOrder) error {
	var err error
	if p.Device.IsZero() {
		p.Device = c.Device
		if p.EUICC, err = e.euicc(ctx, p.Device); err != nil {
			return err
		}
	}
	p.ByDevice = c.MatchingID != nil && *c.MatchingID == ""
	if (p.ByDevice || c.SMDSAddress != "") && p.Device.IsZero() {
		return mno.With(mno.ErrEIDMissing, p.ICCID, "an empty matchingId or an SM-DS needs the device: set eid")
	}
	switch {
	case c.MatchingID == nil:
		p.MatchingID, err = e.newMatchingID()
	case *c.MatchingID != "":
		p.MatchingID = *c.MatchingID
		var other Profile
		if other, err = e.cfg.Store.Find(ctx, Query{MatchingID: p.MatchingID}); err == nil && other.ICCID != p.ICCID {
			return mno.With(mno.ErrMatchingIDInUse, p.MatchingID, "another order has it")
		} else if errors.Is(err, ErrNotFound) {
			err = nil
		}
	}
	if err != nil {
		return err
	}
	if c.ConfirmationCode != "" {
		p.CodeHash = codeHash(c.ConfirmationCode)
	}
	p.SMDSAddress = c.SMDSAddress
	return e.announce(ctx, *p)
}

// announce registers a released order at its discovery server, if it has one.
func (e *Engine) announce(ctx context.Context, p Profile) error {
	if p.SMDSAddress == "" || p.State != mno.Released {
		return nil
	}
	if e.cfg.RegisterEvent == nil {
		return mno.With(mno.ErrSMDSInaccessible, p.SMDSAddress, "this SM-DP+ reaches no discovery server")
	}
	err := e.cfg.RegisterEvent(ctx, p.SMDSAddress, p.Device, p.MatchingID)
	if mno.Retryable(err) {
		return mno.With(mno.ErrSMDSInaccessible, p.SMDSAddress, "")
	}
	if err != nil {
		return mno.With(mno.ErrSMDSFailed, p.SMDSAddress, "")
	}
	return nil
}

// sameConfirmation reports whether p was confirmed before with the inputs c.
func sameConfirmation(p Profile, c es2.ConfirmOrder) bool {
	if p.State < mno.Confirmed || p.State > mno.Installed {
		return false
	}
	if c.MatchingID != nil && (*c.MatchingID != p.MatchingID || (*c.MatchingID == "") != p.ByDevice) {
		return false
	}
	var hash []byte
	if c.ConfirmationCode != "" {
		hash = codeHash(c.ConfirmationCode)
	}
	return bytes.Equal(hash, p.CodeHash) && c.SMDSAddress == p.SMDSAddress && (c.Device.IsZero() || c.Device == p.Device)
}

// codeHash is all the engine keeps of a confirmation code.
func codeHash(code es2.Secret) []byte {
	sum := sha256.Sum256([]byte(code))
	return sum[:]
}

func (e *Engine) receipt(p Profile) mno.Receipt {
	return mno.Receipt{Device: p.Device, ICCID: p.ICCID, MatchingID: p.MatchingID, SMDPAddress: e.cfg.Address}
}

// ReleaseProfile implements [es2.Backend]. Releasing a profile that is released
// already is no error.
func (e *Engine) ReleaseProfile(ctx context.Context, call es2.Call, iccid string) error {
	var p Profile
	err := retry(ctx, func() (err error) {
		p, err = e.owned(ctx, call.Requester, iccid)
		if err != nil || p.State == mno.Released {
			return err
		}
		p, err = e.release(ctx, p)
		return err
	})
	if err != nil {
		return err
	}
	return e.released(ctx, p)
}

func (e *Engine) release(ctx context.Context, p Profile) (Profile, error) {
	if !e.move(&p, mno.ReleasedLater) {
		return p, mno.With(mno.ErrInvalidTransition, p.ICCID, "it is "+p.State.String()+": confirm the order first")
	}
	if err := e.announce(ctx, p); err != nil {
		return p, err
	}
	return p, e.put(ctx, &p)
}
