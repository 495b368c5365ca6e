package eim

import (
	"fmt"

	"github.com/iotregistry/sdk/internal/bertlv"
	"github.com/iotregistry/sdk/internal/rsp"
	"github.com/iotregistry/sdk/mno"
)

// Operation is one thing an eUICC does within a package: [Enable], [Disable],
// [Delete], [List] or [SetDefaultSMDP].
type Operation interface {
	step() (Step, error)
}

// Enable makes a profile the one in use.
type Enable struct {
	ICCID    string
	Rollback bool // back to the former profile if the device then gets no connection
}

// Disable takes a profile out of use. Unless the device has another way to the
// eIM, that was the last that is heard of it.
type Disable struct{ ICCID string }

// Delete removes a disabled profile.
type Delete struct{ ICCID string }

// List tells which profiles there are; see [Status].
type List struct{}

// SetDefaultSMDP sets the SM-DP+ that the eUICC knows, as an FQDN; empty removes
// it.
type SetDefaultSMDP struct{ Address string }

// Action is the kind of a [Step]. The texts are stored.
type Action string

// The actions, one for each [Operation].
const (
	ActionEnable         Action = "enable"
	ActionDisable        Action = "disable"
	ActionDelete         Action = "delete"
	ActionList           Action = "list"
	ActionSetDefaultSMDP Action = "set-default-smdp"
)

// Step is an operation within a job, and what came of it.
type Step struct {
	Action   Action
	ICCID    string
	Rollback bool
	Address  string

	Tried bool
	Code  int // where Tried: SGP.32's code, 0 for done
}

func profileStep(a Action, iccid string, rollback bool) (Step, error) {
	iccid, err := mno.CanonicalICCID(iccid)
	return Step{Action: a, ICCID: iccid, Rollback: rollback}, err
}

func (o Enable) step() (Step, error)  { return profileStep(ActionEnable, o.ICCID, o.Rollback) }
func (o Disable) step() (Step, error) { return profileStep(ActionDisable, o.ICCID, false) }
func (o Delete) step() (Step, error)  { return profileStep(ActionDelete, o.ICCID, false) }
func (o List) step() (Step, error)    { return Step{Action: ActionList}, nil }
func (o SetDefaultSMDP) step() (Step, error) {
	if len(o.Address) > 255 {
		return Step{}, fmt.Errorf("an address has at most 255 bytes")
	}
	return Step{Action: ActionSetDefaultSMDP, Address: o.Address}, nil
}

// psmo is the step as an eUICC reads it.
func (s *Step) psmo() (rsp.PSMO, error) {
	profile := &rsp.PSMOProfile{ICCID: rsp.ICCID(s.ICCID)}
	switch s.Action {
	case ActionEnable:
		return rsp.PSMO{Enable: &rsp.PSMOEnable{ICCID: profile.ICCID, Rollback: s.Rollback}}, nil
	case ActionDisable:
		return rsp.PSMO{Disable: profile}, nil
	case ActionDelete:
		return rsp.PSMO{Delete: profile}, nil
	case ActionList:
		return rsp.PSMO{List: &rsp.ProfileInfoListRequest{}}, nil
	case ActionSetDefaultSMDP:
		return rsp.PSMO{SetDefaultSMDP: &rsp.PSMOAddress{Address: s.Address}}, nil
	}
	return rsp.PSMO{}, fmt.Errorf("eim: stored record has the unknown action %q", s.Action)
}

// check looks whether the step can be written.
func (s *Step) check() error {
	op, err := s.psmo()
	if err != nil {
		return err
	}
	_, err = rsp.Encode(&rsp.EUICCPackageSigned{EIMID: "eim", Operations: []rsp.PSMO{op}})
	return err
}

// failure says what the code of a step that was tried means.
func (s *Step) failure() string {
	switch s.Action {
	case ActionEnable, ActionDisable, ActionDelete:
		return fmt.Sprintf("%s: %s", s.Action, rsp.ProfileResult(s.Code))
	}
	return fmt.Sprintf("%s: code %d", s.Action, s.Code)
}

// answer takes an outcome for this step, and reports whether it is one.
func (s *Step) answer(r *rsp.EUICCResultData) bool {
	var code int
	switch {
	case s.Action == ActionEnable && r.Enable != nil:
		code = int(*r.Enable)
	case s.Action == ActionDisable && r.Disable != nil:
		code = int(*r.Disable)
	case s.Action == ActionDelete && r.Delete != nil:
		code = int(*r.Delete)
	case s.Action == ActionList && r.List != nil:
		if r.List.Error != nil {
			code = *r.List.Error
		}
	case s.Action == ActionSetDefaultSMDP && r.Other != nil:
		var ok bool
		if code, ok = addressResult(r.Other); !ok {
			return false
		}
	default:
		return false
	}
	s.Tried, s.Code = true, code
	return true
}

const (
	tagAddressResult  bertlv.Tag = 0xBF65 // setDefaultDpAddressResult
	tagRollbackResult bertlv.Tag = 0x8C   // rollbackResult
)

// addressResult reads a SetDefaultDpAddressResponse of SGP.32, which internal/rsp
// knows under SGP.22's tag only.
func addressResult(b []byte) (int, bool) {
	t, err := bertlv.Parse(b)
	if err != nil || t.Tag != tagAddressResult {
		return 0, false
	}
	code, err := t.Find(0x80)
	if err != nil || len(code.Value) != 1 {
		return 0, false
	}
	return int(code.Value[0]), true
}

// rolledBack reports whether r says that the eUICC has gone back to the former
// profile.
func rolledBack(r *rsp.EUICCResultData) bool {
	t, _, err := bertlv.Read(r.Other)
	return err == nil && t.Tag == tagRollbackResult
}
