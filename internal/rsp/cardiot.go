package rsp

import "github.com/iotregistry/sdk/internal/bertlv"

// GetCertsRequest is ES10b.GetCerts.
type GetCertsRequest struct {
	Received
	CIKeyID []byte // of the CI the certificates come from; nil: any
}

func (*GetCertsRequest) tag() bertlv.Tag   { return 0xBF56 }
func (m *GetCertsRequest) layout(c *coder) { c.optOctets(0x80, &m.CIKeyID, 1, maxKeyID) }

// GetCertsResponse has the eUICC's certificates, or an error.
type GetCertsResponse struct {
	Received
	OK    *EUICCCertificates
	Error *int // 1: no such CI, 127: undefined
}

func (*GetCertsResponse) tag() bertlv.Tag { return 0xBF56 }
func (m *GetCertsResponse) layout(c *coder) {
	optional(c, 0xA0, &m.OK)
	optCode(c, 0x81, &m.Error)
	c.choose(m.OK != nil, m.Error != nil)
}

// EUICCCertificates lead from an eUICC to its CI.
type EUICCCertificates struct {
	Received
	EUM   []byte // DER; see UnwrapCertificate
	EUICC []byte // DER; see UnwrapCertificate
}

func (m *EUICCCertificates) layout(c *coder) {
	c.certificateAs(0xA5, &m.EUM)
	c.certificateAs(0xA6, &m.EUICC)
}

// ResetOptions is a set of what an eUICC is to forget.
type ResetOptions uint32

// The members of ResetOptions. SGP.22 has the first three.
const (
	ResetOperational     ResetOptions = 1 << iota // delete operational profiles
	ResetFieldLoadedTest                          // delete test profiles that came by download
	ResetDefaultSMDP
	ResetPreLoadedTest
	ResetProvisioning
	ResetEIMs
	ResetImmediateEnable // and its configuration
)

// EUICCMemoryResetRequest is ES10c.eUICCMemoryReset of SGP.22.
type EUICCMemoryResetRequest struct {
	Received
	Options ResetOptions
}

func (*EUICCMemoryResetRequest) tag() bertlv.Tag { return 0xBF34 }
func (m *EUICCMemoryResetRequest) layout(c *coder) {
	member(c, 0x82, &m.Options, namedBits[ResetOptions]())
}

// EUICCMemoryResetResponse says whether it was done.
type EUICCMemoryResetResponse struct {
	Received
	Result int // 0 done, 1 nothing to delete, 5 toolkit busy, 127 undefined
}

func (*EUICCMemoryResetResponse) tag() bertlv.Tag   { return 0xBF34 }
func (m *EUICCMemoryResetResponse) layout(c *coder) { code(c, 0x80, &m.Result) }

// EUICCMemoryResetIoTRequest is ES10b.eUICCMemoryReset of SGP.32.
type EUICCMemoryResetIoTRequest struct {
	Received
	Options ResetOptions
}

func (*EUICCMemoryResetIoTRequest) tag() bertlv.Tag { return 0xBF64 }
func (m *EUICCMemoryResetIoTRequest) layout(c *coder) {
	member(c, 0x82, &m.Options, namedBits[ResetOptions]())
}

// EUICCMemoryResetIoTResponse says what was done.
type EUICCMemoryResetIoTResponse struct {
	Received
	Result                int  // as in SGP.22, and 104: emergency call
	EIMResult             *int // 0 done, 1 nothing to delete, 2 not supported, 127 undefined; nil: not asked for
	ImmediateEnableResult *int // 0 done, 1 not supported, 127 undefined; nil: not asked for
}

func (*EUICCMemoryResetIoTResponse) tag() bertlv.Tag { return 0xBF64 }
func (m *EUICCMemoryResetIoTResponse) layout(c *coder) {
	code(c, 0x80, &m.Result)
	optCode(c, 0x81, &m.EIMResult)
	optCode(c, 0x82, &m.ImmediateEnableResult)
}

// ConfigureImmediateProfileEnablingRequest is ES10b.ConfigureImmediateProfileEnabling,
// and the same within a package.
type ConfigureImmediateProfileEnablingRequest struct {
	Received
	Enable  bool    // a profile may be enabled as soon as it is installed
	SMDPOID *OID    // of the SM-DP+ this goes for; nil: not told
	Address *string // of the SM-DP+, an FQDN; nil: not told
}

func (*ConfigureImmediateProfileEnablingRequest) tag() bertlv.Tag { return 0xBF59 }
func (m *ConfigureImmediateProfileEnablingRequest) layout(c *coder) {
	c.flag(0x80, &m.Enable)
	maybe(c, 0x81, &m.SMDPOID, oidKind())
	c.optText(0x82, &m.Address, maxAddress)
}

// ConfigureImmediateProfileEnablingResponse says whether it was done.
type ConfigureImmediateProfileEnablingResponse struct {
	Received
	Result int // 0 done, 1 no memory, 2 an eIM is there already, 127 undefined
}

func (*ConfigureImmediateProfileEnablingResponse) tag() bertlv.Tag   { return 0xBF59 }
func (m *ConfigureImmediateProfileEnablingResponse) layout(c *coder) { code(c, 0x80, &m.Result) }

// ImmediateEnableRequest is ES10b.ImmediateEnable: the profile that was just
// installed is enabled.
type ImmediateEnableRequest struct {
	Received
	Refresh bool // the modem is to read the card again
}

func (*ImmediateEnableRequest) tag() bertlv.Tag   { return 0xBF5A }
func (m *ImmediateEnableRequest) layout(c *coder) { c.boolean(0x80, &m.Refresh) }

// ImmediateEnableResponse says whether it was done.
type ImmediateEnableResponse struct {
	Received
	Result int // 0 done, 1 not available, 4 no session, 5 toolkit busy, 127 undefined
}

func (*ImmediateEnableResponse) tag() bertlv.Tag   { return 0xBF5A }
func (m *ImmediateEnableResponse) layout(c *coder) { code(c, 0x80, &m.Result) }

// ProfileRollbackRequest is ES10b.ProfileRollback: back to the profile before.
type ProfileRollbackRequest struct {
	Received
	Refresh bool // the modem is to read the card again
}

func (*ProfileRollbackRequest) tag() bertlv.Tag   { return 0xBF58 }
func (m *ProfileRollbackRequest) layout(c *coder) { c.boolean(0x80, &m.Refresh) }

// ProfileRollbackResponse says whether it was done.
type ProfileRollbackResponse struct {
	Received
	Result  int                 // 0 done, 1 not allowed, 5 toolkit busy, 7 wrong command, 127 undefined
	Package *EUICCPackageResult // for the eIM that had the profile enabled; nil: not done
}

func (*ProfileRollbackResponse) tag() bertlv.Tag { return 0xBF58 }
func (m *ProfileRollbackResponse) layout(c *coder) {
	code(c, tagInteger, &m.Result)
	optional(c, 0xBF51, &m.Package)
}
