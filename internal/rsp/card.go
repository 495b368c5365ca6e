package rsp

import "github.com/iotregistry/sdk/internal/bertlv"

// GetEUICCChallengeRequest is ES10b.GetEUICCChallenge.
type GetEUICCChallengeRequest struct{ Received }

func (*GetEUICCChallengeRequest) tag() bertlv.Tag { return 0xBF2E }
func (*GetEUICCChallengeRequest) layout(*coder)   {}

// GetEUICCChallengeResponse has the challenge.
type GetEUICCChallengeResponse struct {
	Received
	Challenge []byte // 16 bytes
}

func (*GetEUICCChallengeResponse) tag() bertlv.Tag   { return 0xBF2E }
func (m *GetEUICCChallengeResponse) layout(c *coder) { c.octets(0x80, &m.Challenge, 16, 16) }

// GetEUICCInfo1Request is ES10b.GetEUICCInfo for what anybody may know.
type GetEUICCInfo1Request struct{ Received }

func (*GetEUICCInfo1Request) tag() bertlv.Tag { return 0xBF20 }
func (*GetEUICCInfo1Request) layout(*coder)   {}

// GetEUICCInfo2Request is ES10b.GetEUICCInfo for all of it.
type GetEUICCInfo2Request struct{ Received }

func (*GetEUICCInfo2Request) tag() bertlv.Tag { return 0xBF22 }
func (*GetEUICCInfo2Request) layout(*coder)   {}

// GetEIDRequest is ES10c.GetEID.
type GetEIDRequest struct {
	Received
	TagList []byte // 5A
}

func (*GetEIDRequest) tag() bertlv.Tag   { return 0xBF3E }
func (m *GetEIDRequest) layout(c *coder) { c.octets(0x5C, &m.TagList, 1, 1) }

// GetEIDResponse has the EID.
type GetEIDResponse struct {
	Received
	EID EID
}

func (*GetEIDResponse) tag() bertlv.Tag   { return 0xBF3E }
func (m *GetEIDResponse) layout(c *coder) { c.eid(0x5A, &m.EID) }

// ConfiguredAddressesRequest is ES10a.GetEuiccConfiguredAddresses.
type ConfiguredAddressesRequest struct{ Received }

func (*ConfiguredAddressesRequest) tag() bertlv.Tag { return 0xBF3C }
func (*ConfiguredAddressesRequest) layout(*coder)   {}

// ConfiguredAddressesResponse has the servers an eUICC knows, as FQDNs.
type ConfiguredAddressesResponse struct {
	Received
	DefaultSMDP *string // nil: none
	RootSMDS    string
}

func (*ConfiguredAddressesResponse) tag() bertlv.Tag { return 0xBF3C }
func (m *ConfiguredAddressesResponse) layout(c *coder) {
	c.optText(0x80, &m.DefaultSMDP, maxAddress)
	c.address(0x81, &m.RootSMDS)
}

// SetDefaultSMDPRequest is ES10a.SetDefaultDpAddress; an empty address removes.
type SetDefaultSMDPRequest struct {
	Received
	Address string
}

func (*SetDefaultSMDPRequest) tag() bertlv.Tag   { return 0xBF3F }
func (m *SetDefaultSMDPRequest) layout(c *coder) { c.address(0x80, &m.Address) }

// SetDefaultSMDPResponse says whether it was done.
type SetDefaultSMDPResponse struct {
	Received
	Result int // 0 done, 127 not
}

func (*SetDefaultSMDPResponse) tag() bertlv.Tag   { return 0xBF3F }
func (m *SetDefaultSMDPResponse) layout(c *coder) { code(c, 0x80, &m.Result) }

// ProfileState says whether a profile is in use.
type ProfileState int

// The states of an installed profile.
const (
	StateDisabled ProfileState = iota
	StateEnabled
)

// ProfileInfo describes an installed profile; what was not asked for or is not
// there is nil.
type ProfileInfo struct {
	Received
	ICCID           *ICCID
	AID             []byte // of its security domain
	State           *ProfileState
	Nickname        *string
	ServiceProvider *string
	ProfileName     *string
	IconType        *IconType
	Icon            []byte
	Class           *ProfileClass
	Notifications   []NotificationConfig
	Owner           *Operator
	Proprietary     *DPProprietaryData
	PolicyRules     *PolicyRules
	VendorStored    []VendorData
}

func (m *ProfileInfo) layout(c *coder) {
	maybe(c, tagICCID, &m.ICCID, iccidKind())
	c.optOctets(0x4F, &m.AID, 1, 16)
	optCode(c, 0x9F70, &m.State)
	c.optText(0x90, &m.Nickname, 64)
	c.optText(0x91, &m.ServiceProvider, 32)
	c.optText(0x92, &m.ProfileName, 64)
	optCode(c, 0x93, &m.IconType)
	c.optOctets(0x94, &m.Icon, 0, 1024)
	optCode(c, 0x95, &m.Class)
	list(c, 0xB6, tagSequence, &m.Notifications, maxNotificationConfigs, true)
	optional(c, 0xB7, &m.Owner)
	optional(c, 0xB8, &m.Proprietary)
	maybe(c, 0x99, &m.PolicyRules, namedBits[PolicyRules]())
	list(c, 0xBF22, tagSequence, &m.VendorStored, maxVendorEntries, true)
}

// MaxProfiles is how many profiles a list may hold.
const MaxProfiles = 256

// ProfileInfoListRequest is ES10c.GetProfilesInfo, by at most one of AID, ICCID
// and class.
type ProfileInfoListRequest struct {
	Received
	AID     []byte
	ICCID   *ICCID
	Class   *ProfileClass
	TagList []byte // tags wanted, one after the other; nil: the usual
}

func (*ProfileInfoListRequest) tag() bertlv.Tag { return 0xBF2D }
func (m *ProfileInfoListRequest) layout(c *coder) {
	if !c.absent(0xA0, m.AID == nil && m.ICCID == nil && m.Class == nil) {
		c.within(0xA0, func(c *coder) {
			c.optOctets(0x4F, &m.AID, 1, 16)
			maybe(c, tagICCID, &m.ICCID, iccidKind())
			optCode(c, 0x95, &m.Class)
			c.choose(m.AID != nil, m.ICCID != nil, m.Class != nil)
		})
	}
	c.optOctets(0x5C, &m.TagList, 0, 128)
}

// ProfileInfoListResponse has a list, or where that is nil an error.
type ProfileInfoListResponse struct {
	Received
	List  []ProfileInfo
	Error *int // 1: wrong request, 127: undefined
}

func (*ProfileInfoListResponse) tag() bertlv.Tag { return 0xBF2D }
func (*ProfileInfoListResponse) limit() int      { return MaxPackage }
func (m *ProfileInfoListResponse) layout(c *coder) {
	list(c, 0xA0, 0xE3, &m.List, MaxProfiles, true)
	optCode(c, 0x81, &m.Error)
	c.choose(m.List != nil, m.Error != nil)
}

// ProfileID names an installed profile by exactly one of the two.
type ProfileID struct {
	AID   []byte
	ICCID *ICCID
}

func (p *ProfileID) alternatives(c *coder) {
	c.optOctets(0x4F, &p.AID, 1, 16)
	maybe(c, tagICCID, &p.ICCID, iccidKind())
	c.choose(p.AID != nil, p.ICCID != nil)
}

// EnableProfileRequest is ES10c.EnableProfile.
type EnableProfileRequest struct {
	Received
	Profile ProfileID
	Refresh bool // the modem is to read the card again
}

func (*EnableProfileRequest) tag() bertlv.Tag { return 0xBF31 }
func (m *EnableProfileRequest) layout(c *coder) {
	c.within(0xA0, m.Profile.alternatives)
	c.boolean(0x81, &m.Refresh)
}

// DisableProfileRequest is ES10c.DisableProfile.
type DisableProfileRequest struct {
	Received
	Profile ProfileID
	Refresh bool // the modem is to read the card again
}

func (*DisableProfileRequest) tag() bertlv.Tag { return 0xBF32 }
func (m *DisableProfileRequest) layout(c *coder) {
	c.within(0xA0, m.Profile.alternatives)
	c.boolean(0x81, &m.Refresh)
}

// DeleteProfileRequest is ES10c.DeleteProfile.
type DeleteProfileRequest struct {
	Received
	Profile ProfileID
}

func (*DeleteProfileRequest) tag() bertlv.Tag   { return 0xBF33 }
func (m *DeleteProfileRequest) layout(c *coder) { m.Profile.alternatives(c) }

// EnableProfileResponse answers an EnableProfileRequest.
type EnableProfileResponse struct {
	Received
	Result ProfileResult
}

func (*EnableProfileResponse) tag() bertlv.Tag   { return 0xBF31 }
func (m *EnableProfileResponse) layout(c *coder) { code(c, 0x80, &m.Result) }

// DisableProfileResponse answers a DisableProfileRequest.
type DisableProfileResponse struct {
	Received
	Result ProfileResult
}

func (*DisableProfileResponse) tag() bertlv.Tag   { return 0xBF32 }
func (m *DisableProfileResponse) layout(c *coder) { code(c, 0x80, &m.Result) }

// DeleteProfileResponse answers a DeleteProfileRequest.
type DeleteProfileResponse struct {
	Received
	Result ProfileResult
}

func (*DeleteProfileResponse) tag() bertlv.Tag   { return 0xBF33 }
func (m *DeleteProfileResponse) layout(c *coder) { code(c, 0x80, &m.Result) }

// SetNicknameRequest is ES10c.SetNickname.
type SetNicknameRequest struct {
	Received
	ICCID    ICCID
	Nickname string
}

func (*SetNicknameRequest) tag() bertlv.Tag { return 0xBF29 }
func (m *SetNicknameRequest) layout(c *coder) {
	member(c, tagICCID, &m.ICCID, iccidKind())
	c.text(0x90, &m.Nickname, 64)
}

// SetNicknameResponse says whether it was done.
type SetNicknameResponse struct {
	Received
	Result int // 0 done, 1 no such profile, 127 undefined
}

func (*SetNicknameResponse) tag() bertlv.Tag   { return 0xBF29 }
func (m *SetNicknameResponse) layout(c *coder) { code(c, 0x80, &m.Result) }
