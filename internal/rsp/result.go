package rsp

import "github.com/iotregistry/sdk/internal/bertlv"

// ProfileInstallationResult is an eUICC's receipt for a bound profile package
// (SGP.22 section 2.5.6).
type ProfileInstallationResult struct {
	Received
	Data      ProfileInstallationResultData
	Signature []byte // euiccSignPIR: r and s, 64 bytes
}

func (*ProfileInstallationResult) tag() bertlv.Tag { return 0xBF37 }
func (m *ProfileInstallationResult) layout(c *coder) {
	nested(c, m.Data.tag(), &m.Data)
	c.signature(&m.Signature)
}

// ProfileInstallationResultData is the signed part of the receipt.
type ProfileInstallationResultData struct {
	Received
	TransactionID TransactionID
	Notification  NotificationMetadata
	SMDPOID       *OID // as in CERT.DPpb; nil: not told
	Success       *InstallationSuccess
	Error         *InstallationFailure // exactly one of the two
}

func (*ProfileInstallationResultData) tag() bertlv.Tag { return 0xBF27 }
func (m *ProfileInstallationResultData) layout(c *coder) {
	c.transaction(0x80, &m.TransactionID)
	nested(c, m.Notification.tag(), &m.Notification)
	maybe(c, tagOID, &m.SMDPOID, oidKind())
	c.within(0xA2, func(c *coder) {
		optional(c, 0xA0, &m.Success)
		optional(c, 0xA1, &m.Error)
		c.choose(m.Success != nil, m.Error != nil)
	})
}

// maxSIMAResponse bounds what a profile interpreter says about elements.
const maxSIMAResponse = 4096

// InstallationSuccess says that a profile is installed.
type InstallationSuccess struct {
	Received
	AID          []byte // of the profile's security domain, 5 to 16 bytes
	SIMAResponse []byte // EUICCResponse of the TCA profile specification
}

func (m *InstallationSuccess) layout(c *coder) {
	c.octets(0x4F, &m.AID, 5, 16)
	c.octets(tagOctets, &m.SIMAResponse, 0, maxSIMAResponse)
}

// InstallationFailure says why a profile is not installed.
type InstallationFailure struct {
	Received
	Command      BPPCommand // where it stopped
	Reason       InstallError
	SIMAResponse []byte // nil: the interpreter was not reached
}

func (m *InstallationFailure) layout(c *coder) {
	code(c, 0x80, &m.Command)
	code(c, 0x81, &m.Reason)
	c.optOctets(0x82, &m.SIMAResponse, 0, maxSIMAResponse)
}
