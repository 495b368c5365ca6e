package esipa

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/iotregistry/sdk/internal/apdu"
	"github.com/iotregistry/sdk/internal/bertlv"
	"github.com/iotregistry/sdk/internal/rsp"
	"github.com/iotregistry/sdk/mno/es9"
)

// Defaults of an [IPA].
const (
	DefaultPackages = 32
	DefaultAttempts = 3
)

// IPA is the IoT profile assistant of a device (an IPAd of SGP.32 section 2.3.1):
// it does for an eUICC without a user what an eIM asks for. It keeps nothing that
// the eUICC does not keep, so it may be made anew at any time. One Poll at a time.
type IPA struct {
	// LPA reaches the eUICC and the SM-DP+s. Required, with its Card and Dial.
	LPA *es9.LPA

	// EIM is the eIM, such as a [Client]. Required.
	EIM Backend

	// EIMID is what the eIM is called in the eUICC's configuration. Empty takes
	// results for any eIM to this one, as is right where there is no other.
	EIMID string

	// Indirect takes downloads and notifications through the eIM, and is most
	// often the same [Client] as EIM. Nil goes to the SM-DP+s by LPA.Dial.
	Indirect es9.Backend

	// Packages is how many are done in one Poll; zero means DefaultPackages.
	Packages int

	// Attempts is how many Polls may try one download that is interrupted on the
	// way before the eIM is told that it failed, and how many of them keep receipts
	// of earlier tries for the eIM; zero means DefaultAttempts.
	Attempts int

	tried []byte // the trigger of the download that failed
	tries int
}

// Poll does what there is to do: it takes earlier results to the eIM that it may
// not have, asks for packages until there are none, does each and tells what came
// of it, has the eUICC forget what the eIM acknowledges, and takes notifications
// to their SM-DP+s. A package that comes again at once, as eIMs repeat what has
// failed, is left to the next Poll.
//
// What was refused, by the eUICC, an SM-DP+ or here, is in the report and known to
// the eIM. The error is what is left for another Poll to put right: the eIM was
// not reached, a download was interrupted, a notification was not taken. The
// report is good in any case.
func (i *IPA) Poll(ctx context.Context) (Report, error) {
	if i.LPA == nil || i.EIM == nil {
		return Report{}, errors.New("esipa: set LPA and EIM of the IPA")
	}
	id, err := i.LPA.EID(ctx)
	if err != nil {
		return Report{}, err
	}
	p := &poll{ipa: i, report: Report{EID: id}}
	err = p.packages(ctx)
	told, late := p.notify(ctx)
	p.report.Notified = told
	return p.report, errors.Join(err, late)
}

// poll is one Poll.
type poll struct {
	ipa     *IPA
	report  Report
	settled bool // the eIM is owed no result of a download

	// refused is a trigger whose download came to nothing and may come to something
	// yet: the eIM has no receipt for it, which the eUICC may have from before.
	refused []byte
}

func (p *poll) packages(ctx context.Context) error {
	failed := p.resend(ctx)
	var last []byte
	most := p.ipa.Packages
	if most <= 0 {
		most = DefaultPackages
	}
	for n := range most {
		b, err := p.ipa.EIM.GetEIMPackage(ctx, Poll{EID: p.report.EID})
		switch {
		case errors.Is(err, ErrNoPackage):
			p.settled = true
			return failed
		case errors.Is(err, ErrUnknownEID), errors.Is(err, ErrInvalidEID):
			p.settled = true
			return errors.Join(failed, err)
		case err != nil:
			return errors.Join(failed, err)
		case n > 0 && bytes.Equal(b, last):
			p.settled = !bytes.Equal(b, p.refused) // it has the result, and wants another try some time
			return failed
		}
		if err := p.do(ctx, b); err != nil {
			return errors.Join(failed, err)
		}
		last = b
	}
	p.report.More = true // perhaps a trigger, whose receipt is here already
	return failed
}

// do does one package. Its error is what ends the Poll.
func (p *poll) do(ctx context.Context, b []byte) error {
	t, err := bertlv.Parse(b)
	if err != nil {
		return p.refuse(ctx, KindUnknown, nil, rsp.ResultInvalidFormat, err)
	}
	switch t.Tag {
	case tagPackage:
		return p.operate(ctx, b)
	case tagData:
		return p.tell(ctx, b)
	case tagTrigger:
		return p.download(ctx, b)
	}
	return p.refuse(ctx, KindUnknown, nil, rsp.ResultUnknownPackage, fmt.Errorf("esipa: a package with the tag %v is not known here", t.Tag))
}

// refuse tells the eIM that nothing was done with the package of this transaction.
func (p *poll) refuse(ctx context.Context, kind Kind, id rsp.TransactionID, code rsp.EIMPackageResultError, why error) error {
	b, err := encodeFailure(&rsp.EIMPackageResultFailure{EIMTransactionID: id, Code: code})
	if err != nil {
		return err
	}
	return p.provide(ctx, b, Done{Kind: kind, Transaction: id.String(), Err: why}, nil)
}

// encodeFailure returns the one result that is no message of its own.
func encodeFailure(f *rsp.EIMPackageResultFailure) ([]byte, error) {
	b, err := rsp.Encode(&rsp.ProvideEIMPackageResult{Result: rsp.EIMPackageResult{Error: f}})
	if err != nil {
		return nil, err
	}
	t, err := bertlv.Parse(b)
	return t.Value, err
}

// provide takes a result to the eIM and notes what was done. Of what the eIM
// acknowledges, the eUICC forgets what the eIM was given.
func (p *poll) provide(ctx context.Context, object []byte, d Done, given []int64) error {
	numbers, err := p.ipa.EIM.ProvideEIMPackageResult(ctx, Result{EID: p.report.EID, Object: object})
	d.Told = err == nil
	p.report.Packages = append(p.report.Packages, d)
	if err != nil {
		return err
	}
	for _, n := range numbers {
		if slices.Contains(given, n) {
			err = errors.Join(err, p.forget(ctx, n))
		}
	}
	return err
}

// forget removes a result or notification from the eUICC.
func (p *poll) forget(ctx context.Context, number int64) error {
	const name = "RemoveNotificationFromList"
	r, err := function[rsp.NotificationSentResponse](ctx, p.ipa.LPA, name, &rsp.NotificationSentRequest{SeqNumber: number})
	if err != nil {
		return err
	}
	if r.Status != 0 && r.Status != 1 { // 1: it is not there, which is as good
		return &es9.CardError{Function: name, Reason: fmt.Sprintf("error %d", r.Status)}
	}
	return nil
}

// notify takes notifications to their SM-DP+s. Receipts of installations that the
// eIM may not have yet stay: they are what the next Poll tells by that a download
// is done.
func (p *poll) notify(ctx context.Context) (int, error) {
	if !p.settled {
		kept, err := p.receipts(ctx)
		if err != nil || len(kept) > 0 {
			return 0, err
		}
	}
	return p.ipa.through(p.ipa.dial).ProcessNotifications(ctx)
}

// through is the LPA with another way to SM-DP+s.
func (i *IPA) through(dial func(string) (es9.Backend, error)) *es9.LPA {
	l := *i.LPA
	l.Dial = dial
	return &l
}

func (i *IPA) dial(address string) (es9.Backend, error) {
	switch {
	case i.Indirect != nil:
		return i.Indirect, nil
	case i.LPA.Dial == nil:
		return nil, errors.New("esipa: set Dial of the LPA or Indirect of the IPA")
	}
	return i.LPA.Dial(address)
}

// function has the eUICC carry out a function of ES10.
func function[T any, P interface {
	*T
	rsp.Message
}](ctx context.Context, l *es9.LPA, name string, req rsp.Message) (*T, error) {
	b, err := rsp.Encode(req)
	if err != nil {
		return nil, &es9.CardError{Function: name, Err: err}
	}
	answer, err := l.Command(ctx, name, b)
	if err != nil {
		return nil, err
	}
	v, err := rsp.Decode[T, P](answer)
	if err != nil {
		return nil, &es9.CardError{Function: name, Err: err}
	}
	return v, nil
}

// unsupported reports whether an eUICC has said by its status word that it has no
// such function, as those of SGP.22 say to functions of SGP.32.
func unsupported(err error) bool {
	var s apdu.Status
	return errors.As(err, &s)
}
