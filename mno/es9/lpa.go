package es9

import (
	"context"
	"errors"
	"fmt"

	"github.com/iotregistry/sdk/internal/rsp"
)

// LPA is a local profile assistant: it brings profiles from SM-DP+s onto an eUICC
// and manages those that are there (SGP.22 sections 3 and 5.7). One call at a
// time: the eUICC has one session. Each call opens a logical channel of its own
// and closes it again.
//
// It checks what the LPA alone knows, which is what the activation code and the
// user say. Chains and signatures are the eUICC's matter.
type LPA struct {
	// Card is the eUICC. Required.
	Card Transport

	// Dial returns the SM-DP+ at an address from an activation code or from a
	// notification, such as a [Client] for "https://" and the address. Required
	// for Download and ProcessNotifications.
	Dial func(address string) (Backend, error)

	// TAC, the type allocation code of 4 bytes, and IMEI, of 8, describe the
	// device to the SM-DP+. Nil is a TAC of zeros and no IMEI.
	TAC, IMEI []byte

	// Chunk is how many bytes go into one STORE DATA, at most 255; zero means
	// DefaultChunk.
	Chunk int
}

// Class says what a profile is for.
type Class int

// The classes of profile, numbered as in SGP.22.
const (
	ClassTest Class = iota
	ClassProvisioning
	ClassOperational
)

// Metadata is what is known of a profile before it is installed.
type Metadata struct {
	ICCID           string
	ServiceProvider string
	ProfileName     string
	Class           Class
	Icon            []byte // JPEG or PNG; nil for none
	MayNotDisable   bool   // profile policy rule PPR1
	MayNotDelete    bool   // profile policy rule PPR2
	NeedsCode       bool   // a confirmation code is wanted
	DER             []byte // StoreMetadataRequest, BF25, with all the rest
}

func metadataOf(m *rsp.StoreMetadataRequest) Metadata {
	v := Metadata{ICCID: string(m.ICCID), ServiceProvider: m.ServiceProvider, ProfileName: m.ProfileName,
		Class: Class(m.ProfileClass()), Icon: m.Icon, DER: m.Raw}
	if m.PolicyRules != nil {
		v.MayNotDisable, v.MayNotDelete = *m.PolicyRules&rsp.PPR1 != 0, *m.PolicyRules&rsp.PPR2 != 0
	}
	return v
}

// Profile is one that is installed. What the eUICC does not tell is empty.
type Profile struct {
	ICCID           string
	AID             []byte // of its security domain
	Enabled         bool
	Nickname        string
	ServiceProvider string
	ProfileName     string
	Class           Class
}

// The outcomes of Enable, Disable and Delete that callers branch on. They are
// wrapped in a [*CardError].
var (
	ErrNoSuchProfile = errors.New("no such profile")
	ErrWrongState    = errors.New("the profile is in the wrong state, which may be the one asked for")
	ErrPolicy        = errors.New("the profile's policy rules do not allow it")
)

func (l *LPA) with(ctx context.Context, f func(*channel) error) error {
	c, err := openChannel(ctx, l.Card, l.Chunk)
	if err != nil {
		return err
	}
	defer c.close(ctx)
	return f(c)
}

func (l *LPA) dial(address string) (Backend, error) {
	if l.Dial == nil {
		return nil, errors.New("es9: set Dial of the LPA")
	}
	b, err := l.Dial(address)
	if err != nil {
		return nil, fmt.Errorf("es9: dial %s: %w", limited(address), err)
	}
	return b, nil
}

// Command has the eUICC carry out a function of ES10 that has no method here,
// such as one of SGP.32. Command and answer are the function's DER objects, which
// are not looked into; name is what errors call it. Where the eUICC refuses by a
// status word or does not answer, the error is a [*CardError].
func (l *LPA) Command(ctx context.Context, name string, command []byte) (answer []byte, err error) {
	err = l.with(ctx, func(c *channel) error {
		if answer, err = c.store(ctx, command); err != nil {
			return &CardError{Function: name, Err: err}
		}
		return nil
	})
	return answer, err
}

// EID returns the eUICC's identifier, 32 digits.
func (l *LPA) EID(ctx context.Context) (string, error) {
	var eid string
	err := l.with(ctx, func(c *channel) error {
		r, err := function10[rsp.GetEIDResponse](ctx, c, "GetEID", &rsp.GetEIDRequest{TagList: []byte{0x5A}})
		if err == nil {
			eid = r.EID.String()
		}
		return err
	})
	return eid, err
}

// Addresses returns the servers that the eUICC is set up for: its default SM-DP+,
// empty for none, and its root SM-DS.
func (l *LPA) Addresses(ctx context.Context) (defaultSMDP, rootSMDS string, err error) {
	err = l.with(ctx, func(c *channel) error {
		r, err := function10[rsp.ConfiguredAddressesResponse](ctx, c, "GetEuiccConfiguredAddresses", &rsp.ConfiguredAddressesRequest{})
		if err == nil {
			defaultSMDP, rootSMDS = value(r.DefaultSMDP), r.RootSMDS
		}
		return err
	})
	return defaultSMDP, rootSMDS, err
}

// ListProfiles returns the profiles on the eUICC.
func (l *LPA) ListProfiles(ctx context.Context) ([]Profile, error) {
	var list []Profile
	err := l.with(ctx, func(c *channel) error {
		r, err := function10[rsp.ProfileInfoListResponse](ctx, c, "GetProfilesInfo", &rsp.ProfileInfoListRequest{})
		if err != nil {
			return err
		}
		if r.Error != nil {
			return &CardError{Function: "GetProfilesInfo", Reason: fmt.Sprintf("error %d", *r.Error)}
		}
		for i := range r.List {
			list = append(list, profileOf(&r.List[i]))
		}
		return nil
	})
	return list, err
}

func profileOf(p *rsp.ProfileInfo) Profile {
	v := Profile{AID: p.AID, Nickname: value(p.Nickname), ServiceProvider: value(p.ServiceProvider),
		ProfileName: value(p.ProfileName), ICCID: string(value(p.ICCID)), Class: ClassOperational}
	v.Enabled = p.State != nil && *p.State == rsp.StateEnabled
	if p.Class != nil {
		v.Class = Class(*p.Class)
	}
	return v
}

func value[T any](p *T) T {
	if p == nil {
		return *new(T)
	}
	return *p
}

// Enable puts a profile into use and disables the one that was. With refresh the
// eUICC has the modem read the card again, as is needed where nobody else does.
func (l *LPA) Enable(ctx context.Context, iccid string, refresh bool) error {
	return l.with(ctx, func(c *channel) error {
		r, err := function10[rsp.EnableProfileResponse](ctx, c, "EnableProfile",
			&rsp.EnableProfileRequest{Profile: profileID(iccid), Refresh: refresh})
		if err != nil {
			return err
		}
		return outcome("EnableProfile", r.Result)
	})
}

// Disable takes a profile out of use; refresh is as for Enable.
func (l *LPA) Disable(ctx context.Context, iccid string, refresh bool) error {
	return l.with(ctx, func(c *channel) error {
		r, err := function10[rsp.DisableProfileResponse](ctx, c, "DisableProfile",
			&rsp.DisableProfileRequest{Profile: profileID(iccid), Refresh: refresh})
		if err != nil {
			return err
		}
		return outcome("DisableProfile", r.Result)
	})
}

// Delete removes a disabled profile for good.
func (l *LPA) Delete(ctx context.Context, iccid string) error {
	return l.with(ctx, func(c *channel) error {
		r, err := function10[rsp.DeleteProfileResponse](ctx, c, "DeleteProfile", &rsp.DeleteProfileRequest{Profile: profileID(iccid)})
		if err != nil {
			return err
		}
		return outcome("DeleteProfile", r.Result)
	})
}

func profileID(iccid string) rsp.ProfileID {
	id := rsp.ICCID(iccid)
	return rsp.ProfileID{ICCID: &id}
}

func outcome(name string, r rsp.ProfileResult) error {
	switch r {
	case rsp.ProfileOK:
		return nil
	case rsp.ProfileNotFound:
		return &CardError{Function: name, Err: ErrNoSuchProfile}
	case rsp.ProfileWrongState:
		return &CardError{Function: name, Err: ErrWrongState}
	case rsp.ProfilePolicy:
		return &CardError{Function: name, Err: ErrPolicy}
	}
	return &CardError{Function: name, Reason: r.String()}
}
