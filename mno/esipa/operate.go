package esipa

import (
	"bytes"
	"context"
	"errors"
	"fmt"

	"github.com/iotregistry/sdk/internal/bertlv"
	"github.com/iotregistry/sdk/internal/rsp"
	"github.com/iotregistry/sdk/mno"
)

// Packages for the eUICC (SGP.32 section 3.3.1). The eUICC keeps its signed
// results until it is told to forget them, so an interruption anywhere costs a
// repetition of the result, not of the operations.

// results returns what the eUICC keeps for the eIM.
func (p *poll) results(ctx context.Context) ([]rsp.EUICCPackageResult, error) {
	r, err := function[rsp.RetrieveNotificationsResponse](ctx, p.ipa.LPA, "RetrieveNotificationsList", &rsp.RetrieveNotificationsRequest{PackageResults: true})
	if unsupported(err) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	var list []rsp.EUICCPackageResult
	for _, x := range r.Packages {
		if x.Signed != nil && (p.ipa.EIMID == "" || x.Signed.Data.EIMID == p.ipa.EIMID) {
			list = append(list, x)
		}
	}
	return list, nil
}

// resend provides results of before once more. One that the eIM refuses does not
// keep it from the others.
func (p *poll) resend(ctx context.Context) error {
	list, err := p.results(ctx)
	if err != nil {
		return err
	}
	var failed error
	for i := range list {
		d := operations(&list[i], nil)
		d.Resent = true
		err := p.provide(ctx, list[i].Raw, d, numbersOf(&list[i]))
		failed = errors.Join(failed, err)
		var refused *mno.StatusError
		if err != nil && !errors.As(err, &refused) {
			break
		}
	}
	return failed
}

// operate has the eUICC carry out a package, unless it has the result already.
func (p *poll) operate(ctx context.Context, b []byte) error {
	q, err := rsp.Decode[rsp.EUICCPackageRequest](b)
	if err != nil {
		return p.refuse(ctx, KindOperations, nil, rsp.ResultInvalidFormat, err)
	}
	list, err := p.results(ctx)
	if err != nil {
		return err
	}
	for i := range list {
		if isResultOf(&list[i].Signed.Data, &q.Signed) {
			d := operations(&list[i], q)
			d.Resent = true
			return p.provide(ctx, list[i].Raw, d, numbersOf(&list[i]))
		}
	}
	answer, err := p.ipa.LPA.Command(ctx, "LoadEuiccPackage", b)
	if unsupported(err) {
		return p.refuse(ctx, KindOperations, q.Signed.EIMTransactionID, rsp.ResultUndefined, err)
	}
	if err != nil {
		return err
	}
	r, err := rsp.Decode[rsp.EUICCPackageResult](answer)
	if err != nil {
		return p.odd(ctx, q.Signed.EIMTransactionID, answer, err)
	}
	return p.provide(ctx, r.Raw, operations(r, q), numbersOf(r))
}

// isResultOf reports whether a result is this package's. An eIM may use a counter
// again, by mistake; that is for the eUICC to tell it.
func isResultOf(s *rsp.EUICCPackageResultData, q *rsp.EUICCPackageSigned) bool {
	return s.EIMID == q.EIMID && s.Counter == q.Counter && bytes.Equal(s.EIMTransactionID, q.EIMTransactionID)
}

// odd is an eUICC's answer that is not understood here, and perhaps by the eIM.
func (p *poll) odd(ctx context.Context, id rsp.TransactionID, answer []byte, why error) error {
	if t, err := bertlv.Parse(answer); err != nil || t.Tag != tagPackage {
		return p.refuse(ctx, KindOperations, id, rsp.ResultUndefined, why)
	}
	return p.provide(ctx, answer, Done{Kind: KindOperations, Transaction: id.String(), Err: why}, nil)
}

func numbersOf(r *rsp.EUICCPackageResult) []int64 {
	if r.Signed == nil {
		return nil
	}
	return []int64{r.Signed.Data.SeqNumber}
}

// operations says what came of a package; q is nil where it is not at hand.
func operations(r *rsp.EUICCPackageResult, q *rsp.EUICCPackageRequest) Done {
	d := Done{Kind: KindOperations}
	switch {
	case r.Signed != nil:
		d.Transaction = r.Signed.Data.EIMTransactionID.String()
		for n := range r.Signed.Data.Results {
			o := outcomeOf(&r.Signed.Data.Results[n])
			if q != nil {
				name := ""
				if name, o.Subject = asked(q, n); o.Name == "" {
					o.Name = name
				}
			}
			d.Operations = append(d.Operations, o)
		}
	case r.Error != nil:
		d.Transaction = r.Error.Data.EIMTransactionID.String()
		d.Err = fmt.Errorf("esipa: the eUICC refuses the package: %v", r.Error.Data.Code)
	case r.Unsigned != nil:
		d.Transaction = r.Unsigned.EIMTransactionID.String()
		d.Err = errors.New("esipa: the eUICC refuses the package: it does not know the eIM, or the signature does not fit")
	}
	return d
}

// outcomeOf reads one result.
func outcomeOf(r *rsp.EUICCResultData) Operation {
	code := func(name string, n int, text fmt.Stringer) Operation {
		if n == 0 {
			return Operation{Name: name, Result: "ok", OK: true}
		}
		return Operation{Name: name, Result: text.String()}
	}
	switch {
	case r.Enable != nil:
		return code("enable", int(*r.Enable), *r.Enable)
	case r.Disable != nil:
		return code("disable", int(*r.Disable), *r.Disable)
	case r.Delete != nil:
		return code("delete", int(*r.Delete), *r.Delete)
	case r.List != nil:
		return listed("list", r.List.Error)
	case r.AddEIM != nil && r.AddEIM.Code != nil:
		return code("addEIM", int(*r.AddEIM.Code), *r.AddEIM.Code)
	case r.AddEIM != nil:
		return Operation{Name: "addEIM", Result: "ok", OK: true}
	case r.DeleteEIM != nil && *r.DeleteEIM == rsp.EIMLastDeleted:
		return Operation{Name: "deleteEIM", Result: r.DeleteEIM.String(), OK: true}
	case r.DeleteEIM != nil:
		return code("deleteEIM", int(*r.DeleteEIM), *r.DeleteEIM)
	case r.UpdateEIM != nil:
		return code("updateEIM", int(*r.UpdateEIM), *r.UpdateEIM)
	case r.ListEIM != nil:
		return listed("listEIM", r.ListEIM.Error)
	case r.Terminated != nil:
		return Operation{Name: "terminated", Result: r.Terminated.String()}
	}
	return other(r.Other)
}

func listed(name string, failed *int) Operation {
	if failed != nil {
		return Operation{Name: name, Result: fmt.Sprintf("error %d", *failed)}
	}
	return Operation{Name: name, Result: "ok", OK: true}
}

// other is a result that is an integer with a tag of its own, or something that
// holds what was asked for.
func other(b []byte) Operation {
	t, err := bertlv.Parse(b)
	if err != nil {
		return Operation{Result: "not understood"}
	}
	if t.Tag.Constructed() {
		if inner, err := t.Find(tagInteger); err == nil {
			t = inner
		}
	}
	if len(t.Value) == 1 && t.Value[0] != 0 && !t.Tag.Constructed() {
		return Operation{Result: fmt.Sprintf("error %d", t.Value[0])}
	}
	return Operation{Result: "ok", OK: true}
}

// asked names the nth operation of a package and what it was about.
func asked(q *rsp.EUICCPackageRequest, n int) (name, subject string) {
	if list := q.Signed.Operations; n < len(list) {
		switch o := &list[n]; {
		case o.Enable != nil:
			return "enable", string(o.Enable.ICCID)
		case o.Disable != nil:
			return "disable", string(o.Disable.ICCID)
		case o.Delete != nil:
			return "delete", string(o.Delete.ICCID)
		case o.List != nil:
			return "list", ""
		case o.GetRAT != nil:
			return "getRAT", ""
		case o.ConfigureImmediate != nil:
			return "configureImmediateEnable", ""
		case o.SetFallback != nil:
			return "setFallback", string(o.SetFallback.ICCID)
		case o.UnsetFallback != nil:
			return "unsetFallback", ""
		case o.SetDefaultSMDP != nil:
			return "setDefaultSMDP", limited(o.SetDefaultSMDP.Address)
		}
	}
	if list := q.Signed.Configuration; n < len(list) {
		switch o := &list[n]; {
		case o.Add != nil:
			return "addEIM", o.Add.EIMID
		case o.Delete != nil:
			return "deleteEIM", o.Delete.EIMID
		case o.Update != nil:
			return "updateEIM", o.Update.EIMID
		case o.List != nil:
			return "listEIM", ""
		}
	}
	return "operation", ""
}
