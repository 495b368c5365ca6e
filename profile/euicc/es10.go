package euicc

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"

	"github.com/iotregistry/sdk/internal/apdu"
	"github.com/iotregistry/sdk/internal/bertlv"
	"github.com/iotregistry/sdk/internal/rsp"
)

// function carries out a request and returns the answer.
type function func(request []byte) (rsp.Message, error)

// with decodes the request of a function.
func with[Q any, P interface {
	*Q
	rsp.Message
}](f func(q *Q) (rsp.Message, error)) function {
	return func(b []byte) (rsp.Message, error) {
		q, err := rsp.Decode[Q, P](b)
		if err != nil {
			return nil, err
		}
		return f(q)
	}
}

// function finds what a request's tag stands for (SGP.22 section 5.7, SGP.32
// section 5.9), nil for nothing.
func (c *Chip) function(tag bertlv.Tag) function {
	switch tag {
	case 0xBF20:
		return with(c.getInfo1)
	case 0xBF21:
		return with(c.prepareDownload)
	case 0xBF22:
		return with(c.getInfo2)
	case 0xBF28:
		return with(c.listNotifications)
	case 0xBF29:
		return with(c.setNickname)
	case 0xBF2B:
		return with(c.retrieveNotifications)
	case 0xBF2D:
		return with(c.profilesInfo)
	case 0xBF2E:
		return with(c.getChallenge)
	case 0xBF30:
		return with(c.removeNotification)
	case 0xBF31:
		return with(c.enableProfile)
	case 0xBF32:
		return with(c.disableProfile)
	case 0xBF33:
		return with(c.deleteProfile)
	case 0xBF38:
		return with(c.authenticateServer)
	case 0xBF3C:
		return with(c.configuredAddresses)
	case 0xBF3E:
		return with(c.getEID)
	case 0xBF3F:
		return with(c.setDefaultSMDP)
	case 0xBF41:
		return with(c.cancelSession)
	}
	return c.functionIoT(tag)
}

const tagGetRAT bertlv.Tag = 0xBF43

// es10 carries out one request of ES10a, ES10b or ES10c.
func (c *Chip) es10(b []byte) ([]byte, apdu.Status) {
	if isSegment(b) {
		return c.loadSegment(b)
	}
	t, rest, err := bertlv.Read(b)
	if err != nil || len(rest) != 0 {
		return nil, apdu.WrongData
	}
	if t.Tag == tagGetRAT { // an empty table: no rule is authorised by name
		if len(t.Value) != 0 {
			return nil, apdu.WrongData
		}
		return bertlv.Append(nil, tagGetRAT, bertlv.Append(nil, 0xA0)), apdu.OK
	}
	f := c.function(t.Tag)
	if f == nil {
		return nil, apdu.ReferenceNotFound
	}
	m, err := f(b)
	if errors.Is(err, rsp.ErrFormat) {
		return nil, apdu.WrongData
	}
	if err != nil {
		return nil, apdu.Unknown
	}
	answer, err := rsp.Encode(m)
	if err != nil {
		return nil, apdu.Unknown
	}
	return answer, apdu.OK
}

func (c *Chip) getInfo1(*rsp.GetEUICCInfo1Request) (rsp.Message, error) { return &c.info, nil }

func (c *Chip) getInfo2(*rsp.GetEUICCInfo2Request) (rsp.Message, error) { return c.info2(), nil }

// info2 tells of a card with as much memory as there is.
func (c *Chip) info2() *rsp.EUICCInfo2 {
	free := binary.BigEndian.AppendUint32(nil, uint32(min(max(c.free(), 0), 1<<31-1)))
	resources := bertlv.Append(nil, 0x81, []byte{byte(min(len(c.profiles), 0x7F))})
	resources = bertlv.Append(resources, 0x82, free)
	resources = bertlv.Append(resources, 0x83, free)
	info := &rsp.EUICCInfo2{
		ProfileVersion: version(2, 3, 1), SVN: c.info.SVN, Firmware: version(1, 0, 0),
		ExtCardResource: resources, VerifyKeys: c.info.VerifyKeys, SignKeys: c.info.SignKeys,
		PPVersion: version(1, 0, 0), SASNumber: "SIMULATED",
		Received: rsp.Received{Extra: iotInfo()},
	}
	if len(c.profiles) < c.cfg.MaxProfiles {
		info.RSPCapability |= rsp.AdditionalProfile
	}
	if c.cfg.ForbidRules != 0 {
		rules := rsp.PolicyRules(c.cfg.ForbidRules)
		info.ForbiddenRules = &rules
	}
	return info
}

// getChallenge begins a session; the one before is over.
func (c *Chip) getChallenge(*rsp.GetEUICCChallengeRequest) (rsp.Message, error) {
	challenge := make([]byte, 16)
	if _, err := io.ReadFull(c.cfg.Random, challenge); err != nil {
		return nil, fmt.Errorf("%w: %w", errInternal, err)
	}
	c.session, c.shown, c.fresh = session{challenge: challenge}, nil, nil
	return &rsp.GetEUICCChallengeResponse{Challenge: challenge}, nil
}

func (c *Chip) getEID(q *rsp.GetEIDRequest) (rsp.Message, error) {
	if q.TagList[0] != 0x5A {
		return nil, fmt.Errorf("euicc: %w: a tag other than 5A", rsp.ErrFormat)
	}
	return &rsp.GetEIDResponse{EID: c.eid}, nil
}

func (c *Chip) configuredAddresses(*rsp.ConfiguredAddressesRequest) (rsp.Message, error) {
	r := &rsp.ConfiguredAddressesResponse{RootSMDS: c.cfg.RootSMDS}
	if c.smdp != "" {
		r.DefaultSMDP = &c.smdp
	}
	return r, nil
}

// checkAddress reports why an address could not be set or told.
func checkAddress(s string) error {
	_, err := rsp.Encode(&rsp.SetDefaultSMDPRequest{Address: s})
	return err
}

func (c *Chip) setDefaultSMDP(q *rsp.SetDefaultSMDPRequest) (rsp.Message, error) {
	c.smdp = q.Address
	c.changed++
	return &rsp.SetDefaultSMDPResponse{}, nil
}
