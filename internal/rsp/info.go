package rsp

import "github.com/iotregistry/sdk/internal/bertlv"

// EUICCInfo1 is what an eUICC tells before it knows whom it talks to (SGP.22
// section 4.3).
type EUICCInfo1 struct {
	Received
	SVN        []byte   // Version of SGP.22, 3 bytes
	VerifyKeys [][]byte // subject key IDs of the CIs it verifies with
	SignKeys   [][]byte // and of those its own certificate comes from
}

func (*EUICCInfo1) tag() bertlv.Tag { return 0xBF20 }
func (m *EUICCInfo1) layout(c *coder) {
	c.octets(0x82, &m.SVN, 3, 3)
	c.keyIDs(0xA9, &m.VerifyKeys)
	c.keyIDs(0xAA, &m.SignKeys)
}

// RSPCapability is a set of what an eUICC can do.
type RSPCapability uint32

// The members of an RSPCapability.
const (
	AdditionalProfile RSPCapability = 1 << iota // one more profile fits
	CRLSupport
	RPMSupport
	TestProfileSupport
)

// UICCCapability is a set in the order of SGP.22's UICCCapability, bit 0 being
// contactlessSupport.
type UICCCapability uint32

// PolicyRules is a set of profile policy rules.
type PolicyRules uint32

// The members of PolicyRules.
const (
	PPRUpdateControl PolicyRules = 1 << iota
	PPR1                         // may not be disabled
	PPR2                         // may not be deleted
	PPR3                         // is deleted when disabled
)

// EUICCInfo2 is what an eUICC tells an authenticated server (SGP.22 section 4.3).
type EUICCInfo2 struct {
	Received
	ProfileVersion    []byte // 3 bytes, as all versions here
	SVN               []byte
	Firmware          []byte
	ExtCardResource   []byte // free memory, as TS 102 226 codes it
	UICCCapability    UICCCapability
	TS102241          []byte // nil: not told
	GlobalPlatform    []byte // nil: not told
	RSPCapability     RSPCapability
	VerifyKeys        [][]byte
	SignKeys          [][]byte
	Category          *int         // euiccCategory; nil: not told
	ForbiddenRules    *PolicyRules // nil: not told
	PPVersion         []byte       // of the protection profile
	SASNumber         string       // sasAcreditationNumber
	CertificationData []byte       // the whole AC object; nil: not told
}

func (*EUICCInfo2) tag() bertlv.Tag { return 0xBF22 }
func (m *EUICCInfo2) layout(c *coder) {
	c.octets(0x81, &m.ProfileVersion, 3, 3)
	c.octets(0x82, &m.SVN, 3, 3)
	c.octets(0x83, &m.Firmware, 3, 3)
	c.octets(0x84, &m.ExtCardResource, 0, 128)
	member(c, 0x85, &m.UICCCapability, namedBits[UICCCapability]())
	c.optOctets(0x86, &m.TS102241, 3, 3)
	c.optOctets(0x87, &m.GlobalPlatform, 3, 3)
	member(c, 0x88, &m.RSPCapability, namedBits[RSPCapability]())
	c.keyIDs(0xA9, &m.VerifyKeys)
	c.keyIDs(0xAA, &m.SignKeys)
	optCode(c, 0x8B, &m.Category)
	maybe(c, 0x99, &m.ForbiddenRules, namedBits[PolicyRules]())
	c.octets(tagOctets, &m.PPVersion, 3, 3)
	c.text(tagText, &m.SASNumber, 64)
	c.optRaw(0xAC, &m.CertificationData, 1024)
}
