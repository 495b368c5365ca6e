package rsp

import "github.com/iotregistry/sdk/internal/bertlv"

// Events is a set of what happens to a profile.
type Events uint32

// The members of Events.
const (
	EventInstall Events = 1 << iota
	EventEnable
	EventDisable
	EventDelete
)

// ProfileClass says what a profile is for.
type ProfileClass int

// The classes of profile.
const (
	ClassTest ProfileClass = iota
	ClassProvisioning
	ClassOperational
)

// IconType is the format of a profile's icon.
type IconType int

// The formats of icon.
const (
	IconJPG IconType = iota
	IconPNG
)

// NotificationConfig says who wants to be told of what.
type NotificationConfig struct {
	Received
	Events  Events
	Address string // FQDN
}

func (m *NotificationConfig) layout(c *coder) {
	member(c, 0x80, &m.Events, namedBits[Events]())
	c.address(0x81, &m.Address)
}

// Operator names a mobile network operator.
type Operator struct {
	Received
	MCCMNC     []byte // 3 bytes as TS 24.008 codes them
	GID1, GID2 []byte // nil: none
}

func (m *Operator) layout(c *coder) {
	c.octets(0x80, &m.MCCMNC, 3, 3)
	c.optOctets(0x81, &m.GID1, 0, 255)
	c.optOctets(0x82, &m.GID2, 0, 255)
}

// VendorData is one entry of a VendorSpecificExtension: data of whoever owns the
// object identifier, for all on the way to read. Data is a whole object with tag
// 81 or A1. [M] for the inner tags.
type VendorData struct {
	Received
	Vendor OID
	Data   []byte
}

func (m *VendorData) layout(c *coder) {
	c.oid(0x80, &m.Vendor)
	tag := bertlv.Tag(0x81)
	if !c.decoding && len(m.Data) > 0 && m.Data[0] == 0xA1 || c.decoding && !c.absent(0xA1, false) {
		tag = 0xA1
	}
	c.raw(tag, &m.Data, maxVendorData)
}

const (
	maxVendorData    = 4096
	maxVendorEntries = 16
)

// StoreMetadataRequest is a profile's metadata (ES8+.StoreMetadata, SGP.22
// section 5.5.3), which the user sees before the profile is installed.
type StoreMetadataRequest struct {
	Received
	ICCID           ICCID
	ServiceProvider string
	ProfileName     string
	IconType        *IconType            // nil: no icon
	Icon            []byte               // nil: none
	Class           *ProfileClass        // nil: operational; see ProfileClass
	Notifications   []NotificationConfig // nil: none
	Owner           *Operator            // nil: not told
	PolicyRules     *PolicyRules         // nil: none
	VendorStored    []VendorData         // the eUICC keeps these; nil: none
	VendorNotStored []VendorData         // and forgets these; nil: none
}

// ProfileClass returns the class, which is operational where it is not told.
func (m *StoreMetadataRequest) ProfileClass() ProfileClass {
	if m.Class == nil {
		return ClassOperational
	}
	return *m.Class
}

func (*StoreMetadataRequest) tag() bertlv.Tag { return 0xBF25 }
func (m *StoreMetadataRequest) layout(c *coder) {
	member(c, tagICCID, &m.ICCID, iccidKind())
	c.text(0x91, &m.ServiceProvider, 32)
	c.text(0x92, &m.ProfileName, 64)
	optCode(c, 0x93, &m.IconType)
	c.optOctets(0x94, &m.Icon, 0, 1024)
	optCode(c, 0x95, &m.Class)
	list(c, 0xB6, tagSequence, &m.Notifications, maxNotificationConfigs, true)
	optional(c, 0xB7, &m.Owner)
	maybe(c, 0x99, &m.PolicyRules, namedBits[PolicyRules]())
	list(c, 0xBF22, tagSequence, &m.VendorStored, maxVendorEntries, true)
	list(c, 0xBF23, tagSequence, &m.VendorNotStored, maxVendorEntries, true)
}

const maxNotificationConfigs = 64
