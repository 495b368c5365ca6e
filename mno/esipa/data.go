package esipa

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/iotregistry/sdk/internal/bertlv"
	"github.com/iotregistry/sdk/internal/rsp"
	"github.com/iotregistry/sdk/mno/es9"
)

// What an eIM may ask about an eUICC (SGP.32 section 2.11.1.2). Objects are handed
// on as the eUICC gave them, members of later versions included.

const (
	askDefaultSMDP  bertlv.Tag = 0x81
	askRootSMDS     bertlv.Tag = 0x83
	askToken        bertlv.Tag = 0x84
	askEUM          bertlv.Tag = 0xA5
	askEUICC        bertlv.Tag = 0xA6
	askInfo1        bertlv.Tag = 0xBF20
	askInfo2        bertlv.Tag = 0xBF22
	askNotices      bertlv.Tag = 0xA0
	askResults      bertlv.Tag = 0xA2
	askLists        bertlv.Tag = 0xBF2B // notifications and results, by the criteria
	askCapabilities bertlv.Tag = 0xA8
	askDevice       bertlv.Tag = 0xA9
)

// dataError is a reason not to tell anything.
type dataError rsp.IPAEUICCDataError

func (e dataError) Error() string {
	return "esipa: the eIM cannot be told: " + rsp.IPAEUICCDataError(e).String()
}

// tell answers a request for data.
func (p *poll) tell(ctx context.Context, b []byte) error {
	q, err := rsp.Decode[rsp.IPAEUICCDataRequest](b)
	if err != nil {
		return p.refuse(ctx, KindData, nil, rsp.ResultInvalidFormat, err)
	}
	d := Done{Kind: KindData, Transaction: q.EIMTransactionID.String()}
	c := &collection{poll: p, request: q}
	object, err := c.collect(ctx)
	var known dataError
	switch {
	case errors.As(err, &known):
	case unsupported(err):
		known = dataError(rsp.DataUndefined)
	case err != nil:
		return err
	default:
		return p.provide(ctx, object, d, c.given)
	}
	d.Err = err
	object, err = rsp.Encode(&rsp.IPAEUICCDataResponse{Error: &rsp.IPAEUICCDataFailure{
		EIMTransactionID: q.EIMTransactionID, Code: rsp.IPAEUICCDataError(known)}})
	if err != nil {
		return err
	}
	return p.provide(ctx, object, d, nil)
}

// collection is one answer in the making.
type collection struct {
	poll    *poll
	request *rsp.IPAEUICCDataRequest
	tags    []bertlv.Tag
	given   []int64 // sequence numbers that the eIM may acknowledge

	addresses *rsp.ConfiguredAddressesResponse
	certs     *bertlv.TLV
}

// collect goes through what can be asked for in the order of the answer. Tags not
// known here are left out of it.
func (c *collection) collect(ctx context.Context) ([]byte, error) {
	var err error
	if c.tags, err = tagsIn(c.request.TagList); err != nil {
		return nil, dataError(rsp.DataIncorrectTagList)
	}
	var parts [][]byte
	for _, step := range []struct {
		wanted bool
		get    func(context.Context) ([]byte, error)
	}{
		{c.wantsNotices(), c.notices},
		{c.wants(askDefaultSMDP), c.defaultSMDP},
		{c.wantsResults(), c.results},
		{c.wants(askInfo1), c.object("GetEUICCInfo1", askInfo1)},
		{c.wants(askInfo2), c.object("GetEUICCInfo2", askInfo2)},
		{c.wants(askRootSMDS), c.rootSMDS},
		{c.wants(askToken), c.token},
		{c.wants(askEUM), c.certificate(askEUM)},
		{c.wants(askEUICC), c.certificate(askEUICC)},
		{c.request.EIMTransactionID != nil, c.transaction},
		{c.wants(askCapabilities), c.capabilities},
		{c.wants(askDevice), c.device},
	} {
		if !step.wanted {
			continue
		}
		part, err := step.get(ctx)
		if err != nil {
			return nil, err
		}
		parts = append(parts, part)
	}
	object := bertlv.Append(nil, tagData, bertlv.Append(nil, tagSuccess, parts...))
	if len(object) > MaxRequest-64 { // what goes around it
		return nil, dataError(rsp.DataUndefined)
	}
	return object, nil
}

// tagsIn splits a list of tags, one or two bytes each.
func tagsIn(b []byte) ([]bertlv.Tag, error) {
	var tags []bertlv.Tag
	for len(b) > 0 {
		tag, n := bertlv.Tag(b[0]), 1
		if b[0]&0x1F == 0x1F {
			if len(b) < 2 || b[1]&0x80 != 0 {
				return nil, errors.New("a tag of more than two bytes, or half of one")
			}
			tag, n = tag<<8|bertlv.Tag(b[1]), 2
		}
		tags, b = append(tags, tag), b[n:]
	}
	if len(tags) == 0 {
		return nil, errors.New("nothing is asked for")
	}
	return tags, nil
}

func (c *collection) wants(tag bertlv.Tag) bool { return slices.Contains(c.tags, tag) }

func (c *collection) wantsNotices() bool {
	some := c.request.NotificationNumber != nil || c.request.NotificationEvents != nil
	return c.wants(askNotices) || c.wants(askLists) && (some || c.request.ResultNumber == nil)
}

func (c *collection) wantsResults() bool {
	some := c.request.NotificationNumber != nil || c.request.NotificationEvents != nil
	return c.wants(askResults) || c.wants(askLists) && (!some || c.request.ResultNumber != nil)
}

func (c *collection) notices(ctx context.Context) ([]byte, error) {
	const name = "RetrieveNotificationsList"
	r, err := function[rsp.RetrieveNotificationsResponse](ctx, c.poll.ipa.LPA, name,
		&rsp.RetrieveNotificationsRequest{SeqNumber: c.request.NotificationNumber, Events: c.request.NotificationEvents})
	if err != nil {
		return nil, err
	}
	if r.Error != nil && *r.Error != 1 { // 1: there are none
		return nil, &es9.CardError{Function: name, Reason: fmt.Sprintf("error %d", *r.Error)}
	}
	var list []byte
	for _, n := range r.List {
		b, err := n.Encode()
		if err != nil {
			return nil, err
		}
		list = append(list, b...)
		c.given = append(c.given, n.Metadata().SeqNumber)
	}
	return bertlv.Append(nil, askNotices, list), nil
}

func (c *collection) results(ctx context.Context) ([]byte, error) {
	all, err := c.poll.results(ctx)
	if err != nil {
		return nil, err
	}
	var list []byte
	for i := range all {
		number := all[i].Signed.Data.SeqNumber
		if c.request.ResultNumber == nil || *c.request.ResultNumber == number {
			list = append(list, all[i].Raw...)
			c.given = append(c.given, number)
		}
	}
	return bertlv.Append(nil, askResults, list), nil
}

// object is a function whose request and answer have the tag that is asked for.
func (c *collection) object(name string, tag bertlv.Tag) func(context.Context) ([]byte, error) {
	return func(ctx context.Context) ([]byte, error) {
		b, err := c.poll.ipa.LPA.Command(ctx, name, bertlv.Append(nil, tag))
		if err != nil {
			return nil, err
		}
		return whole(name, b, tag)
	}
}

// whole checks that an answer is one object with this tag.
func whole(name string, b []byte, tag bertlv.Tag) ([]byte, error) {
	t, err := bertlv.Parse(b)
	if err == nil && t.Tag != tag {
		err = fmt.Errorf("answer with tag %v instead of %v", t.Tag, tag)
	}
	if err == nil && len(b) > rsp.MaxMessage {
		err = fmt.Errorf("answer of %d bytes", len(b))
	}
	if err != nil {
		return nil, &es9.CardError{Function: name, Err: err}
	}
	return b, nil
}

func (c *collection) configured(ctx context.Context) error {
	if c.addresses != nil {
		return nil
	}
	var err error
	c.addresses, err = function[rsp.ConfiguredAddressesResponse](ctx, c.poll.ipa.LPA, "GetEuiccConfiguredAddresses", &rsp.ConfiguredAddressesRequest{})
	return err
}

func (c *collection) defaultSMDP(ctx context.Context) ([]byte, error) {
	if err := c.configured(ctx); err != nil || c.addresses.DefaultSMDP == nil {
		return nil, err
	}
	return bertlv.Append(nil, askDefaultSMDP, []byte(*c.addresses.DefaultSMDP)), nil
}

func (c *collection) rootSMDS(ctx context.Context) ([]byte, error) {
	if err := c.configured(ctx); err != nil {
		return nil, err
	}
	return bertlv.Append(nil, askRootSMDS, []byte(c.addresses.RootSMDS)), nil
}

// token is that of the association with this eIM.
func (c *collection) token(ctx context.Context) ([]byte, error) {
	q := &rsp.GetEIMConfigurationDataRequest{}
	if c.poll.ipa.EIMID != "" {
		q.EIMID = &c.poll.ipa.EIMID
	}
	b, err := rsp.Encode(q)
	if err != nil {
		return nil, err
	}
	const name = "GetEimConfigurationData"
	answer, err := c.poll.ipa.LPA.Command(ctx, name, b)
	if err != nil {
		return nil, err
	}
	m, err := rsp.Decode[rsp.GetEIMConfigurationDataResponse](answer)
	if err != nil {
		return nil, &es9.CardError{Function: name, Err: err}
	}
	if len(m.EIMs) != 1 || m.EIMs[0].AssociationToken == nil {
		return nil, nil
	}
	object, err := rsp.Encode(&rsp.IPAEUICCDataResponse{Data: &rsp.IPAEUICCData{AssociationToken: m.EIMs[0].AssociationToken}})
	if err != nil {
		return nil, err
	}
	t, err := bertlv.Parse(object)
	if err == nil {
		t, err = t.Find(tagSuccess, askToken)
	}
	return t.Raw, err
}

func (c *collection) certificate(tag bertlv.Tag) func(context.Context) ([]byte, error) {
	return func(ctx context.Context) ([]byte, error) {
		if err := c.certificates(ctx); err != nil {
			return nil, err
		}
		t, err := c.certs.Find(tag)
		if err != nil {
			return nil, &es9.CardError{Function: "GetCerts", Err: err}
		}
		return t.Raw, nil
	}
}

func (c *collection) certificates(ctx context.Context) error {
	if c.certs != nil {
		return nil
	}
	const name = "GetCerts"
	r, err := function[rsp.GetCertsResponse](ctx, c.poll.ipa.LPA, name, &rsp.GetCertsRequest{CIKeyID: c.request.CIKeyID})
	if err != nil {
		return err
	}
	switch {
	case r.Error != nil && *r.Error == 1:
		return dataError(rsp.DataCIKeyNotFound)
	case r.Error != nil:
		return dataError(rsp.DataUndefined)
	}
	t, err := bertlv.Parse(r.Raw)
	if err == nil {
		t, err = t.Find(tagSuccess)
	}
	c.certs = &t
	return err
}

func (c *collection) transaction(context.Context) ([]byte, error) {
	return bertlv.Append(nil, 0x87, c.request.EIMTransactionID), nil
}

// capabilities says which way downloads go, and that the device asks over HTTPS.
func (c *collection) capabilities(context.Context) ([]byte, error) {
	features := []byte{7, 0x80} // bit 0: to SM-DP+s directly
	if c.poll.ipa.Indirect != nil {
		features = []byte{6, 0x40} // bit 1: through the eIM
	}
	return bertlv.Append(nil, askCapabilities, bertlv.Append(nil, 0x80, features), bertlv.Append(nil, 0x81, []byte{7, 0x80})), nil
}

// device is what the LPA tells SM-DP+s.
func (c *collection) device(context.Context) ([]byte, error) {
	tac := c.poll.ipa.LPA.TAC
	if tac == nil {
		tac = make([]byte, 4)
	}
	var imei []byte
	if c.poll.ipa.LPA.IMEI != nil {
		imei = bertlv.Append(nil, 0x82, c.poll.ipa.LPA.IMEI)
	}
	return bertlv.Append(nil, askDevice, bertlv.Append(nil, 0x80, tac), bertlv.Append(nil, 0xA1), imei), nil
}
