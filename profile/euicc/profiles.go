package euicc

import (
	"bytes"
	"errors"
	"slices"

	"github.com/iotregistry/sdk/internal/bertlv"
	"github.com/iotregistry/sdk/internal/rsp"
)

// installed is an operator's profile on the chip.
type installed struct {
	metadata    *rsp.StoreMetadataRequest
	proprietary *rsp.DPProprietaryData
	aid         []byte // of the ISD-P
	nickname    *string
	size        int // bytes
	enabled     bool
	iot         *opened // nil: none
}

func (p *installed) has(rule rsp.PolicyRules) bool {
	return p.metadata.PolicyRules != nil && *p.metadata.PolicyRules&rule != 0
}

func (c *Chip) find(id rsp.ProfileID) *installed {
	i := slices.IndexFunc(c.profiles, func(p *installed) bool {
		return id.ICCID != nil && p.metadata.ICCID == *id.ICCID || id.AID != nil && bytes.Equal(p.aid, id.AID)
	})
	if i < 0 {
		return nil
	}
	return c.profiles[i]
}

func (c *Chip) current() *installed {
	i := slices.IndexFunc(c.profiles, func(p *installed) bool { return p.enabled })
	if i < 0 {
		return nil
	}
	return c.profiles[i]
}

// follow has the card use what came with the enabled profile.
func (c *Chip) follow() {
	if c.cfg.Card == nil {
		return
	}
	if p := c.current(); p != nil {
		c.cfg.Card.enable(p.iot)
		return
	}
	c.cfg.Card.enable(nil)
}

// change has one profile disabled and another enabled, nil for none, and tells
// of it whom their metadata names. All of it happens, or nothing.
func (c *Chip) change(off, on *installed) error {
	var told []notification
	for _, step := range []struct {
		p     *installed
		event rsp.Events
	}{{off, rsp.EventDisable}, {on, rsp.EventEnable}} {
		list, err := c.notices(step.p, step.event, "")
		if err != nil {
			return err
		}
		told = append(told, list...)
	}
	if off != nil {
		off.enabled = false
	}
	if on != nil {
		on.enabled = true
	}
	c.back = nil // it was of the profiles before
	c.changed++
	c.keep(told)
	c.follow()
	return nil
}

// turn has p enabled, in place of what is, or disabled; a fault is answered
// instead.
func (c *Chip) turn(p *installed, on bool, fault int) (rsp.ProfileResult, error) {
	off := c.current()
	switch {
	case fault != 0:
		return rsp.ProfileResult(fault), nil
	case p == nil:
		return rsp.ProfileNotFound, nil
	case p.enabled == on:
		return rsp.ProfileWrongState, nil
	case off != nil && off.has(rsp.PPR1):
		return rsp.ProfilePolicy, nil
	case !on:
		return rsp.ProfileOK, c.change(off, nil) // off is p: one is enabled at a time
	}
	return rsp.ProfileOK, c.change(off, p)
}

// enableProfile is ES10c.EnableProfile (SGP.22 section 5.7.16). No REFRESH is
// sent: there is no modem here.
func (c *Chip) enableProfile(q *rsp.EnableProfileRequest) (rsp.Message, error) {
	result, err := c.turn(c.find(q.Profile), true, c.faults.get().Enable)
	return &rsp.EnableProfileResponse{Result: result}, err
}

// disableProfile is ES10c.DisableProfile (SGP.22 section 5.7.17).
func (c *Chip) disableProfile(q *rsp.DisableProfileRequest) (rsp.Message, error) {
	result, err := c.turn(c.find(q.Profile), false, c.faults.get().Disable)
	return &rsp.DisableProfileResponse{Result: result}, err
}

// deleteProfile is ES10c.DeleteProfile (SGP.22 section 5.7.18).
func (c *Chip) deleteProfile(q *rsp.DeleteProfileRequest) (rsp.Message, error) {
	result, err := c.erase(c.find(q.Profile), c.faults.get().Delete)
	return &rsp.DeleteProfileResponse{Result: result}, err
}

// erase deletes p; a fault is answered instead.
func (c *Chip) erase(p *installed, fault int) (rsp.ProfileResult, error) {
	switch {
	case fault != 0:
		return rsp.ProfileResult(fault), nil
	case p == nil:
		return rsp.ProfileNotFound, nil
	case p.enabled:
		return rsp.ProfileWrongState, nil
	case p.has(rsp.PPR2):
		return rsp.ProfilePolicy, nil
	}
	told, err := c.notices(p, rsp.EventDelete, "")
	if err != nil {
		return 0, err
	}
	c.changed++
	c.profiles = slices.DeleteFunc(c.profiles, func(other *installed) bool { return other == p })
	if c.back != nil && c.back.iccid == p.metadata.ICCID {
		c.back = nil
	}
	c.keep(told)
	return rsp.ProfileOK, nil
}

func (c *Chip) setNickname(q *rsp.SetNicknameRequest) (rsp.Message, error) {
	p := c.find(rsp.ProfileID{ICCID: &q.ICCID})
	if p == nil {
		return &rsp.SetNicknameResponse{Result: int(rsp.ProfileNotFound)}, nil
	}
	if p.nickname = &q.Nickname; q.Nickname == "" {
		p.nickname = nil
	}
	c.changed++
	return &rsp.SetNicknameResponse{}, nil
}

// profilesInfo is ES10c.GetProfilesInfo (SGP.22 section 5.7.15).
func (c *Chip) profilesInfo(q *rsp.ProfileInfoListRequest) (rsp.Message, error) {
	return c.listProfiles(q), nil
}

func (c *Chip) listProfiles(q *rsp.ProfileInfoListRequest) *rsp.ProfileInfoListResponse {
	wanted, err := wantedTags(q.TagList)
	if err != nil {
		wrong := 1 // incorrectInputValues
		return &rsp.ProfileInfoListResponse{Error: &wrong}
	}
	list := []rsp.ProfileInfo{}
	for _, p := range c.profiles {
		switch {
		case q.AID != nil && !bytes.Equal(q.AID, p.aid),
			q.ICCID != nil && *q.ICCID != p.metadata.ICCID,
			q.Class != nil && *q.Class != p.metadata.ProfileClass():
			continue
		}
		list = append(list, p.info(wanted))
	}
	return &rsp.ProfileInfoListResponse{List: list}
}

const tagState bertlv.Tag = 0x9F70

// wantedTags reads a tag list; none asks for the usual.
func wantedTags(b []byte) ([]bertlv.Tag, error) {
	if b == nil {
		return []bertlv.Tag{0x5A, 0x4F, tagState, 0x90, 0x91, 0x92, 0x93, 0x94, 0x95}, nil
	}
	list := []bertlv.Tag{}
	for len(b) > 0 {
		n := 1
		if b[0]&0x1F == 0x1F { // all tags here have one byte or two
			n = 2
		}
		if len(b) < n {
			return nil, errors.New("a tag is cut short")
		}
		tag := bertlv.Tag(b[0])
		if n == 2 {
			tag = tag<<8 | bertlv.Tag(b[1])
		}
		list, b = append(list, tag), b[n:]
	}
	return list, nil
}

// info describes p as far as wanted.
func (p *installed) info(wanted []bertlv.Tag) rsp.ProfileInfo {
	m, state, class := p.metadata, rsp.StateDisabled, p.metadata.ProfileClass()
	if p.enabled {
		state = rsp.StateEnabled
	}
	var i rsp.ProfileInfo
	for tag, show := range map[bertlv.Tag]func(){
		0x5A:     func() { i.ICCID = &m.ICCID },
		0x4F:     func() { i.AID = p.aid },
		tagState: func() { i.State = &state },
		0x90:     func() { i.Nickname = p.nickname },
		0x91:     func() { i.ServiceProvider = &m.ServiceProvider },
		0x92:     func() { i.ProfileName = &m.ProfileName },
		0x93:     func() { i.IconType = m.IconType },
		0x94:     func() { i.Icon = m.Icon },
		0x95:     func() { i.Class = &class },
		0xB6:     func() { i.Notifications = m.Notifications },
		0xB7:     func() { i.Owner = m.Owner },
		0xB8:     func() { i.Proprietary = p.proprietary },
		0x99:     func() { i.PolicyRules = m.PolicyRules },
		0xBF22:   func() { i.VendorStored = m.VendorStored },
	} {
		if slices.Contains(wanted, tag) {
			show()
		}
	}
	return i
}
