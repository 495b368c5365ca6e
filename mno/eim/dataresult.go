package eim

import (
	"context"
	"errors"
	"slices"

	"github.com/iotregistry/sdk/internal/rsp"
	"github.com/iotregistry/sdk/registry/eid"
)

// dataResult takes what a device tells about its eUICC. Nobody has signed it as a
// whole; certificates and results within it speak for themselves.
func (e *EIM) dataResult(ctx context.Context, device eid.ID, m *rsp.IPAEUICCDataResponse) ([]int64, error) {
	if m.Error != nil {
		return nil, e.unproven(ctx, device, m.Error.EIMTransactionID, "the device tells nothing: "+m.Error.Code.String())
	}
	d := m.Data
	if d.EUICCCertificate != nil {
		if err := e.certified(ctx, device, d); err != nil {
			return nil, err
		}
	}
	var done []int64
	var meant error
	for i := range d.PackageResults[:min(len(d.PackageResults), maxSigned)] {
		if d.PackageResults[i].Signed == nil {
			continue
		}
		one, err := e.packageResult(ctx, device, &d.PackageResults[i])
		if errors.Is(err, errUseless) {
			meant = err
			continue
		}
		if err != nil {
			return nil, err
		}
		done = append(done, one...)
	}
	if err := e.kept(ctx, device, d); err != nil && !errors.Is(err, errUseless) {
		return nil, err
	}
	return done, meant
}

// certified takes the certificates of an eUICC, if they are missing yet, and
// admits it where that is all it takes.
func (e *EIM) certified(ctx context.Context, device eid.ID, d *rsp.IPAEUICCData) error {
	r, err := e.cfg.Store.Find(ctx, device)
	if err == nil && r.Certificate != nil {
		return nil // known; nothing is checked for nothing
	}
	if err != nil && !errors.Is(err, ErrNotFound) {
		return err
	}
	euicc, eum := rsp.UnwrapCertificate(d.EUICCCertificate), rsp.UnwrapCertificate(d.EUMCertificate)
	if err := e.verify(device, euicc, eum); err != nil {
		return useless(err.Error())
	}
	_, err = e.change(ctx, device, e.cfg.Open, func(r *Record) (bool, error) {
		if r.Certificate != nil {
			return false, nil
		}
		r.Certificate = slices.Clone(euicc)
		return true, nil
	})
	return err
}

// kept is called after the results that an eUICC keeps were taken. If that of the
// job that they were asked for is not among them, it may have been carried out or
// not. The answer could be anybody's, so it has to be given more than once; then
// the job ends without proof, and nothing is signed again for it.
func (e *EIM) kept(ctx context.Context, device eid.ID, d *rsp.IPAEUICCData) error {
	if len(d.EIMTransactionID) == 0 {
		return useless("it does not say what it answers")
	}
	_, err := e.conclude(ctx, device, func(r *Record) (bool, error) {
		j := r.job(d.EIMTransactionID.String())
		if j == nil || !j.Replayed || j.State != Offered {
			return false, useless("it was not asked for")
		}
		return true, e.attempt(ctx, r, j, "refused as a replay, and the eUICC keeps no result of it: it was carried out or not, list the profiles to see")
	})
	return err
}
