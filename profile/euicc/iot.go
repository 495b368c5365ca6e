package euicc

import (
	"strings"

	"github.com/iotregistry/sdk/internal/bertlv"
	"github.com/iotregistry/sdk/internal/rsp"
)

// functionIoT is function for what SGP.32 has added.
func (c *Chip) functionIoT(tag bertlv.Tag) function {
	switch tag {
	case 0xBF34:
		return with(c.memoryReset)
	case 0xBF51:
		return with(c.loadPackage)
	case 0xBF55:
		return with(c.eimConfiguration)
	case 0xBF56:
		return with(c.getCerts)
	case tagAddEIMs:
		return with(c.addInitialEIM)
	case 0xBF58:
		return with(c.profileRollback)
	case 0xBF59:
		return with(c.configureImmediateEnabling)
	case 0xBF5A:
		return with(c.immediateEnable)
	case 0xBF64:
		return with(c.memoryResetIoT)
	}
	return nil
}

// iotInfo is what an IoT eUICC adds to EUICCInfo2: the IPA is in the device, and
// SGP.32 is of version 1.2.
func iotInfo() []byte {
	versions := bertlv.Append(nil, 0xA0, bertlv.Append(nil, 0x04, version(1, 2, 0)))
	return bertlv.Append(bertlv.Append(nil, 0x90, []byte{0}), 0xB4, versions)
}

// iotTemplate is ISDRProprietaryApplicationTemplateIoT: no IPA in the card, and
// whether a profile is enabled.
func (c *Chip) iotTemplate() []byte {
	bits := []byte{0}
	if c.current() != nil {
		bits = []byte{6, 0x40}
	}
	return bertlv.Append(nil, 0xE1, bertlv.Append(nil, 0x80, bits))
}

// getCerts is ES10b.GetCerts (SGP.32 section 5.9.2).
func (c *Chip) getCerts(q *rsp.GetCertsRequest) (rsp.Message, error) {
	code := c.faults.get().GetCerts
	if code == 0 && q.CIKeyID != nil && !c.signsFor(q.CIKeyID) {
		code = 1 // invalidCiPKId
	}
	if code != 0 {
		return &rsp.GetCertsResponse{Error: &code}, nil
	}
	return &rsp.GetCertsResponse{OK: &rsp.EUICCCertificates{EUM: c.cfg.EUM, EUICC: c.cfg.Certificate}}, nil
}

// immediate says whether a device may enable what it has just downloaded, and
// from where.
type immediate struct {
	allowed bool
	server  *rsp.OID // nil: any
	address *string  // nil: any
}

// request is what it is kept as.
func (i immediate) request() *rsp.ConfigureImmediateProfileEnablingRequest {
	return &rsp.ConfigureImmediateProfileEnablingRequest{Enable: i.allowed, SMDPOID: i.server, Address: i.address}
}

// configureImmediate sets the flag, and those of the others that are there.
func (c *Chip) configureImmediate(q *rsp.ConfigureImmediateProfileEnablingRequest) {
	c.immediate.allowed = q.Enable
	set(&c.immediate.server, q.SMDPOID)
	set(&c.immediate.address, q.Address)
	c.changed++
}

// configureImmediateEnabling is ES10b.ConfigureImmediateProfileEnabling (SGP.32
// section 5.9.17): once there is an eIM, that decides.
func (c *Chip) configureImmediateEnabling(q *rsp.ConfigureImmediateProfileEnablingRequest) (rsp.Message, error) {
	code := c.faults.get().ConfigureImmediate
	switch {
	case code != 0:
	case len(c.eims) > 0:
		code = int(rsp.AddEIMExists)
	default:
		c.configureImmediate(q)
	}
	return &rsp.ConfigureImmediateProfileEnablingResponse{Result: code}, nil
}

// fresh is the profile that was just installed. It does not survive a loss of
// power, nor the next session.
type fresh struct {
	profile *installed
	server  rsp.OID
	address string
}

// The outcomes of ImmediateEnable.
const (
	immediateNotAvailable = 1
	immediateNoSession    = 4
)

// immediateEnable is ES10b.ImmediateEnable (SGP.32 section 5.9.15).
func (c *Chip) immediateEnable(*rsp.ImmediateEnableRequest) (rsp.Message, error) {
	code := c.faults.get().ImmediateEnable
	if code == 0 {
		code = c.mayEnable()
	}
	if code != 0 {
		return &rsp.ImmediateEnableResponse{Result: code}, nil
	}
	result, err := c.turn(c.fresh.profile, true, 0)
	if err != nil {
		return nil, err
	}
	if c.fresh = nil; result != rsp.ProfileOK { // a policy rule of the enabled one
		code = int(rsp.ProfileUndefined)
	}
	return &rsp.ImmediateEnableResponse{Result: code}, nil
}

func (c *Chip) mayEnable() int {
	allowed, f := c.immediate, c.fresh
	switch {
	case !allowed.allowed:
		return immediateNotAvailable
	case f == nil || c.find(rsp.ProfileID{AID: f.profile.aid}) != f.profile:
		return immediateNoSession
	case allowed.server != nil && *allowed.server != f.server,
		allowed.address != nil && !strings.EqualFold(*allowed.address, f.address):
		return immediateNotAvailable
	}
	return 0
}

// rollback is what a package has allowed for the case that the profile it has
// enabled gives no connection.
type rollback struct {
	iccid       rsp.ICCID // of the profile to go back to
	eim         string    // who has allowed it
	counter     int64     // of the package
	transaction rsp.TransactionID
	result      int64 // sequence number of the package's result
}

// The outcomes of ProfileRollback.
const (
	rollbackNotAllowed   = 1
	rollbackCommandError = 7
)

// profileRollback is ES10b.ProfileRollback (SGP.32 section 5.9.16). Its result
// stands in for that of the package, which is dropped.
func (c *Chip) profileRollback(*rsp.ProfileRollbackRequest) (rsp.Message, error) {
	if code := c.faults.get().Rollback; code != 0 {
		return &rsp.ProfileRollbackResponse{Result: code}, nil
	}
	b := c.back
	if b == nil || c.findEIM(b.eim) == nil {
		return &rsp.ProfileRollbackResponse{Result: rollbackNotAllowed}, nil
	}
	return c.atomically(func() (rsp.Message, error) { return c.goBack(b, c.findEIM(b.eim)) })
}

func (c *Chip) goBack(b *rollback, e *eim) (rsp.Message, error) {
	result, err := c.turn(c.find(rsp.ProfileID{ICCID: &b.iccid}), true, 0)
	if err != nil {
		return nil, err
	}
	if result != rsp.ProfileOK { // a policy rule of the enabled one
		return &rsp.ProfileRollbackResponse{Result: rollbackCommandError}, nil
	}
	c.removeResult(b.result)
	m, err := c.conclusion(e, rsp.EUICCPackageResultData{
		EIMID: b.eim, Counter: b.counter, EIMTransactionID: b.transaction,
		Results: []rsp.EUICCResultData{coded(tagRollbackResult, 0)},
	})
	if err != nil {
		return nil, err
	}
	return &rsp.ProfileRollbackResponse{Package: m}, nil
}
