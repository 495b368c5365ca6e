package smdp

import (
	"context"
	"errors"
	"fmt"

	"github.com/iotregistry/sdk/mno"
	"github.com/iotregistry/sdk/registry/eid"
)

// Deliver returns the newest IoT profile ordered for device if its profile ID is
// above after, and marks it downloaded. A profile that was downloaded but not
// reported as installed is delivered again. It is ErrNotFound when there is
// nothing to deliver.
//
// Deliver does not know whether the caller is the device; see the package
// comment.
func (e *Engine) Deliver(ctx context.Context, device eid.ID, after uint64) (Profile, error) {
	var p Profile
	err := retry(ctx, func() (err error) {
		if p, err = e.Pending(ctx, device); err != nil {
			return err
		}
		if p.ProfileID <= after {
			return ErrNotFound
		}
		again := p.State == mno.Downloaded
		if !e.move(&p, mno.Delivered) {
			return ErrNotFound
		}
		if again {
			return nil
		}
		return e.put(ctx, &p)
	})
	if err != nil {
		return Profile{}, err
	}
	if e.cfg.NotifyDownloads {
		// Not taken is no reason to keep the profile from the device: it is
		// offered again with the next download, and outdone by news of the
		// installation, which is never lost.
		_ = e.tell(ctx, p, mno.PointDownload, nil)
	}
	return p, nil
}

// Finish records what device says became of its profile: installed, or failed
// for the reason given. It returns nil when the operator that ordered has the
// news, so a device repeats its report until then, as an eUICC does with its
// pending notifications (SGP.22 section 3.5); no news is lost if this process
// is. A repeat that says otherwise than before changes nothing.
//
// It is ErrNotFound when the device has no such profile, and
// [mno.ErrInvalidTransition] when that profile was never downloaded.
func (e *Engine) Finish(ctx context.Context, device eid.ID, profileID uint64, failure *mno.StatusError) error {
	if device.IsZero() || profileID == 0 {
		return fmt.Errorf("%w: name device and profile ID", ErrNotFound)
	}
	return e.finish(ctx, Query{Device: device, ProfileID: profileID}, failure, nil)
}

// finish is Finish for any order, with the eUICC's own words as result.
func (e *Engine) finish(ctx context.Context, q Query, failure *mno.StatusError, result []byte) error {
	var p Profile
	err := retry(ctx, func() (err error) {
		p, err = e.cfg.Store.Find(ctx, q)
		if err != nil || p.State == mno.Installed || p.State == mno.Error {
			return err
		}
		ev := mno.InstallOK
		if failure != nil {
			ev = mno.InstallFailed
		}
		if p.State != mno.Downloaded || !e.move(&p, ev) {
			return mno.With(mno.ErrInvalidTransition, p.ICCID, "it is "+p.State.String()+", not downloaded")
		}
		p.Failure, p.Sealed, p.Download.Bound = failure, nil, nil
		return e.put(ctx, &p)
	})
	if err != nil {
		return err
	}
	if (p.State == mno.Installed) != (failure == nil) {
		result = nil // a repeat that says otherwise than before
	}
	return e.tell(ctx, p, mno.PointInstall, result)
}

// end closes an order that must not be downloaded, or not any more, and tells so
// as the last news there are of it. Where the order has ended otherwise, or is
// not the one that is meant, nothing is changed.
func (e *Engine) end(ctx context.Context, iccid string, failure *mno.StatusError, meant func(Profile) bool) error {
	var p Profile
	err := retry(ctx, func() (err error) {
		p, err = e.cfg.Store.Find(ctx, Query{ICCID: iccid})
		if err != nil || !meant(p) {
			p = Profile{}
			return err
		}
		if !e.move(&p, mno.InstallFailed) {
			return nil
		}
		p.Failure, p.Sealed, p.Download.Bound = failure, nil, nil
		return e.put(ctx, &p)
	})
	if err != nil || p.State != mno.Error {
		return err
	}
	return e.tell(ctx, p, mno.PointInstall, nil)
}

// downloadable reports whether a device may have a profile in this state.
func downloadable(s mno.State) bool { return s == mno.Released || s == mno.Downloaded }

// put stores p and gives it its new version.
func (e *Engine) put(ctx context.Context, p *Profile) error {
	err := e.cfg.Store.Put(ctx, *p)
	if err == nil {
		p.Version++
	}
	return err
}

// tell gives the operator news of p, unless it has them, and records that it
// took them. News may be told twice, never not at all.
func (e *Engine) tell(ctx context.Context, p Profile, at mno.Point, result []byte) error {
	if p.Told >= at || e.cfg.Notify == nil {
		return nil
	}
	err := e.cfg.Notify(ctx, p.Owner, mno.Progress{
		Device: p.Device, ICCID: p.ICCID, ProfileType: p.Type, ProfileID: p.ProfileID,
		Time: p.Changed, Point: at, Failure: p.Failure, Result: result,
	})
	if err := unlessUnwanted(p, err); err != nil {
		return err
	}
	p.Told = at // also where the operator wants none of it: asking for ever would not help the device
	if err := e.cfg.Store.Put(ctx, p); err != nil && !errors.Is(err, ErrChanged) {
		return err
	}
	return nil
}

// unlessUnwanted returns the error of a Notify that is to be called again.
func unlessUnwanted(p Profile, err error) error {
	var refusal *mno.StatusError
	if err != nil && (!errors.As(err, &refusal) || refusal.Retryable() || unheard(refusal)) {
		return fmt.Errorf("smdp: operator did not take the news of %s: %w", p.ICCID, err)
	}
	return nil
}

// unheard reports whether the operator has refused this SM-DP+ or its version, and
// not the news: that is for people to set right.
func unheard(refusal *mno.StatusError) bool {
	return refusal.Subject == mno.SubjectRequester || refusal.Subject == mno.SubjectVersion
}
