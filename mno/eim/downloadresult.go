package eim

import (
	"context"
	"errors"
	"slices"

	"github.com/iotregistry/sdk/internal/rsp"
	"github.com/iotregistry/sdk/registry/eid"
)

// downloadResult takes what came of a download.
func (e *EIM) downloadResult(ctx context.Context, device eid.ID, m *rsp.ProfileDownloadTriggerResult) ([]int64, error) {
	if m.Error != nil {
		return nil, e.unproven(ctx, device, m.EIMTransactionID, "the device could not download: "+m.Error.Reason.String())
	}
	_, err := e.conclude(ctx, device, func(r *Record) (bool, error) {
		text, err := m.Installation.Data.SignedText()
		if err := signedBy(r, text, m.Installation.Signature, err); err != nil {
			return false, err
		}
		j := r.job(m.EIMTransactionID.String())
		if j == nil || j.Download == nil {
			return false, useless("it is about no download that the device was given")
		}
		data := &m.Installation.Data
		if j.Proven && j.Sequence != nil && *j.Sequence == data.Notification.SeqNumber {
			return false, nil // it comes again
		}
		if data.Notification.ICCID != nil {
			r.trade(j, string(*data.Notification.ICCID))
		}
		if why := r.strange(j, data); why != "" {
			return false, useless(why)
		}
		return true, e.installed(ctx, r, j, m.Installation)
	})
	if err != nil && !errors.Is(err, errUseless) {
		return nil, err
	}
	done, failed := e.forward(ctx, device, []rsp.PendingNotification{{Installation: m.Installation}})
	if failed != nil {
		return nil, failed
	}
	return done, err
}

// trade gives a download the ICCID of another that waits with the same activation
// code, and takes its own back: which of several profiles comes first there is for
// the SM-DP+ to say.
func (r *Record) trade(j *Job, iccid string) {
	if !r.current(j) || j.Download.ICCID == "" || j.Download.ICCID == iccid {
		return
	}
	for i := range r.Queue {
		o := &r.Queue[i]
		if o.Download == nil || o.Download.ActivationCode != j.Download.ActivationCode || o.Download.ICCID != iccid {
			continue
		}
		mine, other := *j.Download, *o.Download // of records that are shared
		mine.ICCID, other.ICCID = other.ICCID, mine.ICCID
		j.Download, o.Download = &mine, &other
		return
	}
}

// strange says why a receipt is not of this download, "" if it can be. Receipts do
// not tell which trigger they belong to: an older one must not pass for this.
func (r *Record) strange(j *Job, data *rsp.ProfileInstallationResultData) string {
	n := &data.Notification
	switch {
	case j.Proven:
		return "the download has ended otherwise"
	case n.Event != rsp.EventInstall:
		return "it is about no installation"
	case n.SeqNumber <= j.After:
		return "it is older than the download"
	case j.Download.ICCID != "" && (n.ICCID == nil || string(*n.ICCID) != j.Download.ICCID):
		return "it is about another profile"
	}
	for i := range r.History {
		if o := &r.History[i]; o.Download != nil && o.Sequence != nil && *o.Sequence == n.SeqNumber {
			return "it is the receipt of another download"
		}
	}
	return ""
}

// installed ends a download with the eUICC's receipt.
func (e *EIM) installed(ctx context.Context, r *Record, j *Job, m *rsp.ProfileInstallationResult) error {
	data := &m.Data
	j.Sequence = ptr(data.Notification.SeqNumber)
	r.Sequence = max(r.Sequence, data.Notification.SeqNumber)
	if data.Notification.ICCID != nil {
		j.ICCID = string(*data.Notification.ICCID)
	}
	if f := data.Error; f != nil {
		j.Failure = f.Command.String() + ": " + f.Reason.String()
		return e.end(ctx, r, j, Failed, m.Raw, nil)
	}
	j.Failure = ""
	var follow *Job
	if j.Download.Enable {
		var err error
		if follow, err = e.follow(r, j); err != nil {
			return err
		}
	}
	if err := e.end(ctx, r, j, Succeeded, m.Raw, nil); err != nil {
		return err
	}
	if follow != nil {
		r.Queue = slices.Insert(r.Queue, r.next(), *follow)
	}
	return nil
}

// follow makes the job that enables what a download has installed, or says in the
// download's record why there is none.
func (e *EIM) follow(r *Record, j *Job) (*Job, error) {
	switch {
	case j.ICCID == "":
		j.Failure = "installed, but not enabled: the eUICC does not say which profile it is"
	case r.outdone(j):
		j.Failure = "installed, but not enabled: it was taken for failed, and a newer one was enabled"
	case r.Counter >= MaxCounter:
		j.Failure = "installed, but not enabled: the counter for this eUICC is used up"
	default:
		f := &Job{Steps: []Step{{Action: ActionEnable, ICCID: j.ICCID, Rollback: j.Download.Rollback}}, Parent: j.ID}
		return f, e.start(f)
	}
	return nil, nil
}

// outdone reports whether a download that was to be enabled has succeeded after
// j, which is put right late: its profile would go back behind the newer one.
func (r *Record) outdone(j *Job) bool {
	return slices.ContainsFunc(r.History, func(o Job) bool {
		return o.Download != nil && o.Download.Enable && o.State == Succeeded &&
			o.Sequence != nil && *o.Sequence > *j.Sequence
	})
}
