package esipa

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"strings"

	"github.com/iotregistry/sdk/internal/bertlv"
	"github.com/iotregistry/sdk/internal/rsp"
	"github.com/iotregistry/sdk/mno"
	"github.com/iotregistry/sdk/mno/es9"
)

// Downloads (SGP.32 sections 3.2.3.1 and 2). An eUICC's receipt goes to the eIM
// first, then to the SM-DP+, and only then does the eUICC forget it. A Poll that
// finds the receipt of the profile that a trigger leads to knows by it that the
// download was done, and provides it instead of downloading again.

// Why a trigger cannot be followed. They are in the report.
var (
	ErrNoAddress = errors.New("esipa: the eUICC has no default SM-DP+")
	ErrTrigger   = errors.New("esipa: a download needs an activation code or the default SM-DP+; discovery servers and data at the eIM are not supported")
)

const subjectTransaction = "8.10.1" // of SM-DP+s that know no such session

var errDone = errors.New("esipa: the eUICC has a receipt for the profile already")

// download follows a trigger.
func (p *poll) download(ctx context.Context, b []byte) error {
	t, err := rsp.Decode[rsp.ProfileDownloadTriggerRequest](b)
	if err != nil {
		return p.refuse(ctx, KindDownload, nil, rsp.ResultInvalidFormat, err)
	}
	d := Done{Kind: KindDownload, Transaction: t.EIMTransactionID.String()}
	code, err := p.code(ctx, t)
	if err != nil {
		return p.failed(ctx, b, t, d, err)
	}
	kept, err := p.receipts(ctx)
	if err != nil {
		return err
	}
	w := &witness{poll: p, trigger: t, done: d}
	result, err := p.ipa.through(w.dial).Download(ctx, code, func(m es9.Metadata) (string, error) {
		w.done.ICCID = m.ICCID
		if kept[keptAs(m.ICCID, code.Address)] != nil {
			return "", errDone
		}
		return "", nil
	})
	receipt := result.Receipt
	var refused *es9.InstallationError
	switch {
	case errors.Is(err, errDone):
		receipt, w.done.Resent = kept[keptAs(w.done.ICCID, code.Address)], true
	case errors.As(err, &refused):
		receipt = refused.Receipt
	case err != nil:
		return p.failed(ctx, b, t, w.done, err)
	}
	if w.told {
		return w.err
	}
	return w.tell(ctx, receipt)
}

// code is where a trigger leads.
func (p *poll) code(ctx context.Context, t *rsp.ProfileDownloadTriggerRequest) (es9.ActivationCode, error) {
	switch {
	case t.ActivationCode != nil:
		code, err := es9.ParseActivationCode(*t.ActivationCode)
		if err == nil && code.ConfirmationCode {
			err = es9.ErrNeedsCode
		}
		return code, err
	case !t.DefaultSMDP:
		return es9.ActivationCode{}, ErrTrigger
	}
	address, _, err := p.ipa.LPA.Addresses(ctx)
	if err == nil && address == "" {
		err = ErrNoAddress
	}
	return es9.ActivationCode{Address: address}, err
}

// receipts returns the eUICC's receipts that are still with it, by keptAs, the
// last one of each.
func (p *poll) receipts(ctx context.Context) (map[string][]byte, error) {
	event := rsp.EventInstall
	const name = "RetrieveNotificationsList"
	r, err := function[rsp.RetrieveNotificationsResponse](ctx, p.ipa.LPA, name, &rsp.RetrieveNotificationsRequest{Events: &event})
	if err != nil {
		return nil, err
	}
	if r.Error != nil && *r.Error != 1 { // 1: there are none
		return nil, &es9.CardError{Function: name, Reason: fmt.Sprintf("error %d", *r.Error)}
	}
	kept := map[string][]byte{}
	for _, n := range r.List {
		if m := n.Installation; m != nil && m.Data.Notification.ICCID != nil {
			kept[keptAs(string(*m.Data.Notification.ICCID), m.Data.Notification.Address)] = m.Raw
		}
	}
	return kept, nil
}

// keptAs tells receipts apart by profile and SM-DP+: any SM-DP+ can offer an ICCID
// that another one has given out. Ports are left out, as SM-DP+s do.
func keptAs(iccid, address string) string {
	host, _, _ := strings.Cut(address, ":")
	return iccid + "$" + strings.ToLower(host)
}

// failed is a download without a receipt. Where it was only interrupted, the eIM
// is not told at once: it gives the trigger again, and the next Poll tries again.
func (p *poll) failed(ctx context.Context, b []byte, t *rsp.ProfileDownloadTriggerRequest, d Done, why error) error {
	d.Err = why
	again := ctx.Err() != nil || p.ipa.again(b)
	if ctx.Err() != nil || interrupted(why) && again {
		p.report.Packages = append(p.report.Packages, d)
		return why
	}
	if again {
		p.refused = b
	}
	object, err := rsp.Encode(&rsp.ProfileDownloadTriggerResult{EIMTransactionID: t.EIMTransactionID,
		Error: &rsp.ProfileDownloadFailure{Reason: rsp.ProfileDownloadUndefined, Response: []byte(reason(why))}})
	if err != nil {
		return err
	}
	return p.provide(ctx, object, d, nil)
}

// again counts the Polls that failed and reports whether there may be another.
func (i *IPA) again(b []byte) bool {
	most := i.Attempts
	if most <= 0 {
		most = DefaultAttempts
	}
	sum := sha256.Sum256(b) // not the activation code itself
	if string(i.tried) != string(sum[:]) {
		i.tried, i.tries = sum[:], 0
	}
	i.tries++
	return i.tries < most
}

// interrupted reports whether the same download may succeed as it is: the way,
// the card or the time was the trouble, or a server that was started anew and has
// lost its sessions.
func interrupted(err error) bool {
	var lost *es9.TransportError
	var card *es9.CardError
	return errors.As(err, &lost) || mno.Retryable(err) || errors.Is(err, &mno.StatusError{Subject: subjectTransaction}) || errors.As(err, &card) && card.Err != nil ||
		errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded)
}

// reason is what the eIM is told: an SM-DP+'s status code, or why the device or
// the eUICC would not. What networks say names hosts behind the device, of which
// the eIM may have chosen one to learn about it.
func reason(err error) string {
	var refused *mno.StatusError
	var lost *es9.TransportError
	switch {
	case errors.As(err, &refused):
		return limited(refused.Subject + "/" + refused.Reason)
	case errors.As(err, &lost) && lost.Status != 0:
		return fmt.Sprintf("the SM-DP+ was not reached: HTTP %d", lost.Status)
	case errors.As(err, &lost):
		return "the SM-DP+ was not reached"
	case errors.Is(err, es9.ErrNeedsCode):
		return "8.2.7/2.2: the download needs a confirmation code"
	}
	return limited(err.Error())
}

// witness stands before the SM-DP+ of a download, so that the eIM hears of the
// receipt before it.
type witness struct {
	es9.Backend
	poll    *poll
	trigger *rsp.ProfileDownloadTriggerRequest
	done    Done
	told    bool  // an attempt was made
	err     error // what came of it
}

func (w *witness) dial(address string) (es9.Backend, error) {
	b, err := w.poll.ipa.dial(address)
	if err != nil {
		return nil, err
	}
	w.Backend = b
	return w, nil
}

// HandleNotification implements [es9.Backend]. A receipt that the eIM has not
// taken stays with the eUICC.
func (w *witness) HandleNotification(ctx context.Context, notification []byte) error {
	if err := w.tell(ctx, notification); err != nil {
		return err
	}
	return w.Backend.HandleNotification(ctx, notification)
}

// tell provides the receipt as the result of the trigger.
func (w *witness) tell(ctx context.Context, receipt []byte) error {
	w.told = true
	m, err := rsp.Decode[rsp.ProfileInstallationResult](receipt)
	if err != nil {
		w.err = err
		return err
	}
	if f := m.Data.Error; f != nil {
		w.done.Err = &es9.InstallationError{ICCID: w.done.ICCID, Step: f.Command.String(), Reason: f.Reason.String(),
			Code: int(f.Reason), Details: f.SIMAResponse, Receipt: m.Raw}
	}
	w.done.Installed = m.Data.Success != nil
	var transaction []byte
	if id := w.trigger.EIMTransactionID; id != nil {
		transaction = bertlv.Append(nil, 0x82, id)
	}
	w.err = w.poll.provide(ctx, bertlv.Append(nil, tagTrigger, transaction, receipt), w.done, nil)
	return w.err
}
