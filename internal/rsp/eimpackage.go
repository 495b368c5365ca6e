package rsp

import "github.com/iotregistry/sdk/internal/bertlv"

// EUICCPackageRequest is a package of operations that an eIM has signed.
type EUICCPackageRequest struct {
	Received
	Signed    EUICCPackageSigned
	Signature []byte // eimSignature: r and s, 64 bytes
}

func (*EUICCPackageRequest) tag() bertlv.Tag { return 0xBF51 }
func (m *EUICCPackageRequest) layout(c *coder) {
	nested(c, tagSequence, &m.Signed)
	c.signature(&m.Signature)
}

// EUICCPackageSigned is the signed part: operations on profiles or on the eUICC's
// list of eIMs, never both.
type EUICCPackageSigned struct {
	Received
	EIMID            string
	EID              EID
	Counter          int64         // grows with each package
	EIMTransactionID TransactionID // nil: none
	Operations       []PSMO        // nil: Configuration is there
	Configuration    []ECO         // nil: Operations is there
}

func (*EUICCPackageSigned) tag() bertlv.Tag { return tagSequence }
func (m *EUICCPackageSigned) layout(c *coder) {
	member(c, 0x80, &m.EIMID, eimID())
	c.eid(0x5A, &m.EID)
	c.number(0x81, &m.Counter)
	c.eimTransaction(0x82, &m.EIMTransactionID)
	choices(c, 0xA0, &m.Operations, maxOperations, (*PSMO).member)
	choices(c, 0xA1, &m.Configuration, maxOperations, (*ECO).member)
	if (m.Operations == nil) == (m.Configuration == nil) {
		c.fail("a package has operations on profiles or on the configuration")
	}
}

// maxOperations is how many operations a package may have, and results.
const maxOperations = 64

// Empty is an operation without members.
type Empty struct{ Received }

func (*Empty) layout(*coder) {}

// PSMO is one operation on profiles: exactly one of them.
type PSMO struct {
	Enable             *PSMOEnable
	Disable            *PSMOProfile
	Delete             *PSMOProfile
	List               *ProfileInfoListRequest
	GetRAT             *Empty // read the rules authorisation table
	ConfigureImmediate *ConfigureImmediateProfileEnablingRequest
	SetFallback        *PSMOProfile
	UnsetFallback      *Empty
	SetDefaultSMDP     *PSMOAddress
	Other              []byte // an operation not known here, a whole object
}

func (p *PSMO) member(c *coder) {
	c.oneOf("operation", &p.Other,
		nodeChoice(c, 0xA3, &p.Enable),
		nodeChoice(c, 0xA4, &p.Disable),
		nodeChoice(c, 0xA5, &p.Delete),
		nodeChoice(c, 0xBF2D, &p.List),
		nodeChoice(c, 0xA6, &p.GetRAT),
		nodeChoice(c, 0xA7, &p.ConfigureImmediate),
		nodeChoice(c, 0xA8, &p.SetFallback),
		nodeChoice(c, 0xA9, &p.UnsetFallback),
		nodeChoice(c, 0xBF65, &p.SetDefaultSMDP),
	)
}

// PSMOEnable enables a profile.
type PSMOEnable struct {
	Received
	ICCID    ICCID
	Rollback bool // back to the former profile if the device gets no connection
}

func (m *PSMOEnable) layout(c *coder) {
	member(c, tagICCID, &m.ICCID, iccidKind())
	c.flag(0x05, &m.Rollback)
}

// PSMOProfile is an operation that needs no more than the profile's number.
type PSMOProfile struct {
	Received
	ICCID ICCID
}

func (m *PSMOProfile) layout(c *coder) { member(c, tagICCID, &m.ICCID, iccidKind()) }

// PSMOAddress sets the SM-DP+ that the eUICC knows, as an FQDN.
type PSMOAddress struct {
	Received
	Address string
}

func (m *PSMOAddress) layout(c *coder) { c.address(0x80, &m.Address) }

// ECO is one operation on the eUICC's list of eIMs: exactly one of them.
type ECO struct {
	Add    *EIMConfigurationData
	Delete *ECODelete
	Update *EIMConfigurationData
	List   *Empty
	Other  []byte // an operation not known here, a whole object
}

func (e *ECO) member(c *coder) {
	c.oneOf("operation", &e.Other,
		nodeChoice(c, 0xA8, &e.Add),
		nodeChoice(c, 0xA9, &e.Delete),
		nodeChoice(c, 0xAA, &e.Update),
		nodeChoice(c, 0xAB, &e.List),
	)
}

// ECODelete removes an eIM from the list.
type ECODelete struct {
	Received
	EIMID string
}

func (m *ECODelete) layout(c *coder) { member(c, 0x80, &m.EIMID, eimID()) }
