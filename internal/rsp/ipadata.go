package rsp

import "github.com/iotregistry/sdk/internal/bertlv"

// IPAEUICCDataRequest asks a device what it knows about its eUICC.
type IPAEUICCDataRequest struct {
	Received
	TagList            []byte // tags wanted, one after the other
	CIKeyID            []byte // whose certificates are wanted, possibly cut short; nil: any
	NotificationNumber *int64 // at most one of the two
	NotificationEvents *Events
	ResultNumber       *int64 // of a package's result; nil: all
	EIMTransactionID   TransactionID
}

func (*IPAEUICCDataRequest) tag() bertlv.Tag { return 0xBF52 }
func (m *IPAEUICCDataRequest) layout(c *coder) {
	c.octets(0x5C, &m.TagList, 0, 128)
	c.optOctets(tagOctets, &m.CIKeyID, 1, maxKeyID)
	if !c.absent(0xA1, m.NotificationNumber == nil && m.NotificationEvents == nil) {
		c.within(0xA1, func(c *coder) {
			c.optNumber(0x80, &m.NotificationNumber)
			maybe(c, 0x81, &m.NotificationEvents, namedBits[Events]())
			c.choose(m.NotificationNumber != nil, m.NotificationEvents != nil)
		})
	}
	if !c.absent(0xA2, m.ResultNumber == nil) {
		c.within(0xA2, func(c *coder) {
			c.optNumber(0x80, &m.ResultNumber)
			c.choose(m.ResultNumber != nil)
		})
	}
	c.eimTransaction(0x83, &m.EIMTransactionID)
}

// IPAEUICCDataResponse is the device's answer: one of the two.
type IPAEUICCDataResponse struct {
	Received
	Data  *IPAEUICCData
	Error *IPAEUICCDataFailure
}

func (*IPAEUICCDataResponse) tag() bertlv.Tag { return 0xBF52 }
func (*IPAEUICCDataResponse) limit() int      { return MaxPackage }
func (m *IPAEUICCDataResponse) layout(c *coder) {
	optional(c, 0xA0, &m.Data)
	optional(c, 0xA1, &m.Error)
	c.choose(m.Data != nil, m.Error != nil)
}

// IPAEUICCData is what a device knows about its eUICC; what was not asked for is
// nil.
type IPAEUICCData struct {
	Received
	Notifications    []PendingNotification
	DefaultSMDP      *string // FQDN
	PackageResults   []EUICCPackageResult
	Info1            *EUICCInfo1
	Info2            *EUICCInfo2 // SGP.32's own members are in Extra
	RootSMDS         *string     // FQDN
	AssociationToken *int64
	EUMCertificate   []byte // DER; see UnwrapCertificate
	EUICCCertificate []byte // DER; see UnwrapCertificate
	EIMTransactionID TransactionID
	IPACapabilities  []byte // the whole A8 object
	DeviceInfo       []byte // the whole A9 object
}

const maxDeviceObject = 4096

func (m *IPAEUICCData) layout(c *coder) {
	choices(c, 0xA0, &m.Notifications, MaxNotifications, (*PendingNotification).member)
	c.optText(0x81, &m.DefaultSMDP, maxAddress)
	list(c, 0xA2, 0xBF51, &m.PackageResults, MaxNotifications, true)
	optional(c, 0xBF20, &m.Info1)
	optional(c, 0xBF22, &m.Info2)
	c.optText(0x83, &m.RootSMDS, maxAddress)
	maybe(c, 0x84, &m.AssociationToken, association())
	c.optCertificateAs(0xA5, &m.EUMCertificate)
	c.optCertificateAs(0xA6, &m.EUICCCertificate)
	c.eimTransaction(0x87, &m.EIMTransactionID)
	c.optRaw(0xA8, &m.IPACapabilities, maxDeviceObject)
	c.optRaw(0xA9, &m.DeviceInfo, maxDeviceObject)
}

// IPAEUICCDataFailure says why a device tells nothing.
type IPAEUICCDataFailure struct {
	Received
	EIMTransactionID TransactionID // nil: none
	Code             IPAEUICCDataError
}

func (m *IPAEUICCDataFailure) layout(c *coder) {
	c.eimTransaction(0x80, &m.EIMTransactionID)
	code(c, tagInteger, &m.Code)
}

// ProfileDownloadTriggerRequest sends a device to an SM-DP+. At most one of
// activation code, default server and discovery server is there.
type ProfileDownloadTriggerRequest struct {
	Received
	ActivationCode   *string
	DefaultSMDP      bool   // ask the SM-DP+ the eUICC knows
	SMDS             []byte // contactSmds, the whole A2 object
	EIMTransactionID TransactionID
}

func (*ProfileDownloadTriggerRequest) tag() bertlv.Tag { return 0xBF54 }
func (m *ProfileDownloadTriggerRequest) layout(c *coder) {
	if !c.absent(0xA0, m.ActivationCode == nil && !m.DefaultSMDP && m.SMDS == nil) {
		c.within(0xA0, func(c *coder) {
			c.optText(0x80, &m.ActivationCode, 255)
			c.flag(0x81, &m.DefaultSMDP)
			c.optRaw(0xA2, &m.SMDS, 512)
			c.choose(m.ActivationCode != nil, m.DefaultSMDP, m.SMDS != nil)
		})
	}
	c.eimTransaction(0x82, &m.EIMTransactionID)
}

// ProfileDownloadTriggerResult is what came of a download: one of the two.
type ProfileDownloadTriggerResult struct {
	Received
	EIMTransactionID TransactionID // nil: none
	Installation     *ProfileInstallationResult
	Error            *ProfileDownloadFailure
}

func (*ProfileDownloadTriggerResult) tag() bertlv.Tag { return 0xBF54 }
func (m *ProfileDownloadTriggerResult) layout(c *coder) {
	c.eimTransaction(0x82, &m.EIMTransactionID)
	optional(c, 0xBF37, &m.Installation)
	optional(c, tagSequence, &m.Error)
	c.exactlyOne(m.Installation != nil, m.Error != nil)
}

// maxErrorResponse bounds what a device passes on of a server's error.
const maxErrorResponse = 16 << 10

// ProfileDownloadFailure says why a download came to nothing before the eUICC had
// anything to sign.
type ProfileDownloadFailure struct {
	Received
	Reason   ProfileDownloadError
	Response []byte // what the SM-DP+ answered; nil: nothing
}

func (m *ProfileDownloadFailure) layout(c *coder) {
	code(c, 0x80, &m.Reason)
	c.optOctets(tagOctets, &m.Response, 0, maxErrorResponse)
}
