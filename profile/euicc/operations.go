package euicc

import (
	"encoding/asn1"

	"github.com/iotregistry/sdk/internal/bertlv"
	"github.com/iotregistry/sdk/internal/rsp"
)

// packageRun is a package that is being carried out.
type packageRun struct {
	c     *Chip
	fault *OperationFault

	results []rsp.EUICCResultData
	bytes   int  // of lists among them
	stopped bool // the last one has failed

	enabled, disabled, deleted bool       // by an operation before
	off                        *installed // the one that was disabled
	back                       *installed // where a rollback leads to; nil: nowhere
}

func (r *packageRun) add(result rsp.EUICCResultData, ok bool) {
	r.results = append(r.results, result)
	r.stopped = !ok
}

func (r *packageRun) terminate(why rsp.PackageTermination) {
	r.add(rsp.EUICCResultData{Terminated: &why}, false)
}

// faulty ends the package with operation i where a fault says so; result makes
// the operation's result of a code.
func (r *packageRun) faulty(i int, result func(code int) rsp.EUICCResultData) bool {
	switch f := r.fault; {
	case f == nil || f.At != i:
		return false
	case f.Terminated != 0:
		r.terminate(rsp.PackageTermination(f.Terminated))
	default:
		r.add(result(f.Result), false)
	}
	return true
}

// room keeps the result a message: a list that does not fit ends the package.
func (r *packageRun) room(bytes int) bool {
	if r.bytes += bytes; r.bytes > maxResultBytes {
		r.terminate(rsp.TerminatedResultSize)
		return false
	}
	return true
}

// The results that rsp has no members for.
const (
	tagRATResult           bertlv.Tag = 0xA6
	tagImmediateResult     bertlv.Tag = 0x87
	tagRollbackResult      bertlv.Tag = 0x8C
	tagSetFallbackResult   bertlv.Tag = 0x8D
	tagUnsetFallbackResult bertlv.Tag = 0x8E
	tagDefaultSMDPResult   bertlv.Tag = 0xBF65
)

// coded is a result that is a number under a tag of its own.
func coded(tag bertlv.Tag, code int) rsp.EUICCResultData {
	return rsp.EUICCResultData{Other: bertlv.Append(nil, tag, integer(code))}
}

// integer is the content of an INTEGER.
func integer(n int) []byte {
	b, _ := asn1.Marshal(n) // any int can be written
	return b[2:]
}

// profileResult is what an operation on profiles answers with a code.
func profileResult(p *rsp.PSMO, code int) rsp.EUICCResultData {
	outcome, why := rsp.ProfileResult(code), rsp.TerminatedUnknown
	switch {
	case p.Enable != nil:
		return rsp.EUICCResultData{Enable: &outcome}
	case p.Disable != nil:
		return rsp.EUICCResultData{Disable: &outcome}
	case p.Delete != nil:
		return rsp.EUICCResultData{Delete: &outcome}
	case p.List != nil:
		return rsp.EUICCResultData{List: &rsp.ProfileInfoListResponse{Error: &code}}
	case p.GetRAT != nil && code == 0: // an empty table
		return rsp.EUICCResultData{Other: bertlv.Append(nil, tagRATResult)}
	case p.GetRAT != nil: // it has no codes
		why = rsp.TerminatedUndefined
	case p.ConfigureImmediate != nil:
		return coded(tagImmediateResult, code)
	case p.SetFallback != nil:
		return coded(tagSetFallbackResult, code)
	case p.UnsetFallback != nil:
		return coded(tagUnsetFallbackResult, code)
	case p.SetDefaultSMDP != nil:
		return rsp.EUICCResultData{Other: bertlv.Append(nil, tagDefaultSMDPResult, bertlv.Append(nil, 0x80, integer(code)))}
	}
	return rsp.EUICCResultData{Terminated: &why}
}

// Codes of results that rsp has no names for.
const (
	fallbackNotAllowed  = 2
	noFallbackAttribute = 2
	profileChanges      = 11 // profileChangeOngoing
)

// profileOperation is operation i (SGP.32 sections 3.4.1 to 3.4.7).
func (r *packageRun) profileOperation(i int, p *rsp.PSMO) error {
	if r.faulty(i, func(code int) rsp.EUICCResultData { return profileResult(p, code) }) {
		return nil
	}
	if p.List != nil {
		return r.list(p)
	}
	code, err := r.operate(p)
	if err != nil {
		return err
	}
	r.add(profileResult(p, code), code == 0 && len(p.Other) == 0)
	return nil
}

func (r *packageRun) operate(p *rsp.PSMO) (int, error) {
	c := r.c
	switch {
	case p.Enable != nil:
		code, err := r.enable(p.Enable)
		return int(code), err
	case p.Disable != nil:
		code, err := r.disable(p.Disable)
		return int(code), err
	case p.Delete != nil:
		code, err := r.erase(p.Delete)
		return int(code), err
	case p.ConfigureImmediate != nil:
		c.configureImmediate(p.ConfigureImmediate)
	case p.SetFallback != nil: // no profile's metadata allow it here
		if c.find(rsp.ProfileID{ICCID: &p.SetFallback.ICCID}) == nil {
			return int(rsp.ProfileNotFound), nil
		}
		return fallbackNotAllowed, nil
	case p.UnsetFallback != nil:
		return noFallbackAttribute, nil
	case p.SetDefaultSMDP != nil:
		c.smdp = p.SetDefaultSMDP.Address
		c.changed++
	}
	return 0, nil
}

// enable wants somewhere to go back to where a rollback is wanted. A package
// enables once and disables once, in the other order.
func (r *packageRun) enable(p *rsp.PSMOEnable) (rsp.ProfileResult, error) {
	on, fault := r.c.find(rsp.ProfileID{ICCID: &p.ICCID}), r.c.faults.get().Enable
	former := r.c.current()
	if former == nil {
		former = r.off
	}
	switch {
	case r.enabled && fault == 0:
		return rsp.ProfileUndefined, nil
	case fault == 0 && p.Rollback && on != nil && !on.enabled && (former == nil || former == on):
		return rsp.ProfileNoRollback, nil
	}
	code, err := r.c.turn(on, true, fault)
	if code == rsp.ProfileOK && err == nil {
		r.enabled = true
		if p.Rollback {
			r.back = former
		}
	}
	return code, err
}

func (r *packageRun) disable(p *rsp.PSMOProfile) (rsp.ProfileResult, error) {
	off, fault := r.c.find(rsp.ProfileID{ICCID: &p.ICCID}), r.c.faults.get().Disable
	if (r.enabled || r.disabled) && fault == 0 {
		return rsp.ProfileUndefined, nil
	}
	code, err := r.c.turn(off, false, fault)
	if code == rsp.ProfileOK && err == nil {
		r.disabled, r.off = true, off
	}
	return code, err
}

func (r *packageRun) erase(p *rsp.PSMOProfile) (rsp.ProfileResult, error) {
	gone, fault := r.c.find(rsp.ProfileID{ICCID: &p.ICCID}), r.c.faults.get().Delete
	if gone != nil && gone == r.back && fault == 0 {
		return rsp.ProfileNoRollback, nil
	}
	code, err := r.c.erase(gone, fault)
	if code == rsp.ProfileOK && err == nil {
		r.deleted = true
		if r.off == gone {
			r.off = nil
		}
	}
	return code, err
}

// list is refused once the package has changed what would be listed.
func (r *packageRun) list(p *rsp.PSMO) error {
	if r.enabled || r.disabled || r.deleted {
		r.add(profileResult(p, profileChanges), false)
		return nil
	}
	list := r.c.listProfiles(p.List)
	b, err := rsp.Encode(list)
	if err != nil {
		return err
	}
	if r.room(len(b)) {
		r.add(rsp.EUICCResultData{List: list}, list.Error == nil)
	}
	return nil
}

// eimResult is what an operation on eIMs answers with a code.
func eimResult(e *rsp.ECO, code int) rsp.EUICCResultData {
	outcome, added, why := rsp.EIMResult(code), rsp.AddEIMError(code), rsp.TerminatedUnknown
	switch {
	case e.Add != nil:
		return rsp.EUICCResultData{AddEIM: &rsp.AddEIMResult{Code: &added}}
	case e.Delete != nil:
		return rsp.EUICCResultData{DeleteEIM: &outcome}
	case e.Update != nil:
		return rsp.EUICCResultData{UpdateEIM: &outcome}
	case e.List != nil:
		return rsp.EUICCResultData{ListEIM: &rsp.ListEIMResult{Error: &code}}
	}
	return rsp.EUICCResultData{Terminated: &why}
}

// eimOperation is operation i (SGP.32 section 3.5.1).
func (r *packageRun) eimOperation(i int, e *rsp.ECO) error {
	if r.faulty(i, func(code int) rsp.EUICCResultData { return eimResult(e, code) }) {
		return nil
	}
	switch {
	case e.Add != nil:
		r.addEIM(e)
	case e.Delete != nil:
		code := r.c.deleteEIM(e.Delete.EIMID)
		r.add(eimResult(e, int(code)), code == rsp.EIMOK || code == rsp.EIMLastDeleted)
	case e.Update != nil:
		code := r.c.updateEIM(e.Update)
		r.add(eimResult(e, int(code)), code == rsp.EIMOK)
	case e.List != nil:
		list, size := r.c.eimIDs(), 16
		for _, info := range list.EIMs {
			size += len(info.EIMID) + 16
		}
		if r.room(size) {
			r.add(rsp.EUICCResultData{ListEIM: list}, true)
		}
	default:
		r.terminate(rsp.TerminatedUnknown)
	}
	return nil
}

func (r *packageRun) addEIM(e *rsp.ECO) {
	added, code := r.c.addEIM(*e.Add)
	if code == rsp.AddEIMOK && added.data.AssociationToken != nil {
		r.add(rsp.EUICCResultData{AddEIM: &rsp.AddEIMResult{AssociationToken: added.data.AssociationToken}}, true)
		return
	}
	r.add(eimResult(e, int(code)), code == rsp.AddEIMOK)
}
