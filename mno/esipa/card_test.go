package esipa_test

import (
	"context"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/iotregistry/sdk/internal/bertlv"
	"github.com/iotregistry/sdk/internal/rsp"
	"github.com/iotregistry/sdk/internal/rsp/rsptest"
	"github.com/iotregistry/sdk/mno/es9"
	"github.com/iotregistry/sdk/mno/esipa"
)

// card is an eUICC that answers by the tag of the command, as a test wants it to.
type card struct {
	answers  map[bertlv.Tag]func(command []byte) ([]byte, int) // data and status word
	segment  func() ([]byte, int)                              // answer to a segment of a package
	commands []bertlv.Tag
	open     int

	data, waiting []byte
}

func word(sw int) []byte { return []byte{byte(sw >> 8), byte(sw)} }

func (c *card) Transmit(ctx context.Context, b []byte) ([]byte, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	switch {
	case b[1] == 0x70 && b[2] == 0:
		c.open++
		return []byte{1, 0x90, 0}, nil
	case b[1] == 0x70:
		c.open--
		return word(0x9000), nil
	case b[1] == 0xA4:
		return word(0x9000), nil
	case b[1] == 0xC0:
		return c.next(), nil
	}
	c.data = append(c.data, b[5:5+b[4]]...)
	if b[2] == 0x11 {
		return word(0x9000), nil
	}
	command := c.data
	c.data = nil
	answer, sw := c.run(command)
	if c.waiting = answer; len(answer) > 0 && sw == 0x9000 {
		return word(0x6100 | min(len(answer), 255)), nil
	}
	return word(sw), nil
}

func (c *card) next() []byte {
	n := min(255, len(c.waiting))
	b := append([]byte{}, c.waiting[:n]...)
	if c.waiting = c.waiting[n:]; len(c.waiting) > 0 {
		return append(b, word(0x6100|min(len(c.waiting), 255))...)
	}
	return append(b, word(0x9000)...)
}

func (c *card) run(command []byte) ([]byte, int) {
	if len(command) < 2 {
		return nil, 0x6A80
	}
	tag := bertlv.Tag(command[0])
	if tag&0x1F == 0x1F {
		tag = tag<<8 | bertlv.Tag(command[1])
	}
	c.commands = append(c.commands, tag)
	if f := c.answers[tag]; f != nil {
		return f(command)
	}
	switch tag {
	case 0xBF36, 0xA0, 0xA1, 0xA2, 0xA3, 0x86, 0x88:
		return c.segment()
	}
	return nil, 0x6A88
}

func (c *card) always(tag bertlv.Tag, answer []byte) { c.says(tag, answer, 0x9000) }

func (c *card) says(tag bertlv.Tag, answer []byte, sw int) {
	c.answers[tag] = func([]byte) ([]byte, int) { return answer, sw }
}

// newCard goes through with everything of m.
func newCard(t testing.TB, m *messages) *card {
	id, err := rsp.ParseEID(rsptest.EID)
	require.NoError(t, err)
	c := &card{answers: map[bertlv.Tag]func([]byte) ([]byte, int){}, segment: func() ([]byte, int) { return m.installed, 0x9000 }}
	c.always(0xBF3E, encode(t, &rsp.GetEIDResponse{EID: id}))
	c.always(0xBF20, m.initiate.Info1)
	c.always(0xBF2E, encode(t, &rsp.GetEUICCChallengeResponse{Challenge: m.initiate.Challenge}))
	c.always(0xBF38, m.authenticate.Response)
	c.always(0xBF21, m.get.Response)
	c.always(0xBF28, encode(t, &rsp.ListNotificationResponse{List: []rsp.NotificationMetadata{}}))
	c.always(0xBF2B, []byte{0xBF, 0x2B, 2, 0xA0, 0})
	c.always(0xBF30, encode(t, &rsp.NotificationSentResponse{}))
	c.always(0xBF41, m.cancel.Response)
	c.always(0xBF51, m.result.Object)
	return c
}

// bed is an IPA with that card, and an eIM and SM-DP+ that say yes.
func bed(t testing.TB, packages ...[]byte) (*esipa.IPA, *card, *eim, *backend) {
	m := newMessages(t)
	c, e, b := newCard(t, m), &eim{}, &backend{m: m}
	e.waits(packages...)
	return &esipa.IPA{EIM: e, LPA: &es9.LPA{Card: c, Dial: func(string) (es9.Backend, error) { return b, nil }}}, c, e, b
}

// The steps of a download and of a package in their order: the eIM hears of a
// receipt before the SM-DP+, and the eUICC forgets last.
func TestOrder(t *testing.T) {
	t.Parallel()
	ipa, c, e, b := bed(t, trigger(t, "1$"+address+"$M-1", 1), newMessages(t).pkg)
	b.fail = func(call string) error {
		if call == "notify" {
			require.Len(t, e.results, 1)
			require.NotContains(t, c.commands, bertlv.Tag(0xBF30))
		}
		return nil
	}
	r, err := ipa.Poll(t.Context())
	require.NoError(t, err)
	require.Equal(t, "download [01] of "+iccid+": installed\noperations: enable "+iccid+": ok", r.String())
	require.Equal(t, []string{"initiate", "authenticate", "package", "notify"}, b.calls)
	require.Equal(t, []bertlv.Tag{
		0xBF3E, 0xBF2B, // who am I, what is left
		0xBF2B, 0xBF20, 0xBF2E, 0xBF38, 0xBF21, 0xBF36, 0xBF30, // receipts, download, forget
		0xBF2B, 0xBF51, 0xBF30, // results, package, forget
		0xBF28, // notifications
	}, c.commands)
	require.Zero(t, c.open)
}

// The receipt of a failure goes the same way.
func TestReceiptOfFailure(t *testing.T) {
	t.Parallel()
	ipa, c, e, b := bed(t, trigger(t, "1$"+address+"$M-1", 1))
	failed := receipt(t, 5, &rsp.InstallationFailure{Command: rsp.BPPCommand(5), Reason: rsp.InstallICCIDExists})
	c.segment = func() ([]byte, int) { return failed, 0x9000 }
	r, err := ipa.Poll(t.Context())
	require.NoError(t, err)
	var refused *es9.InstallationError
	require.ErrorAs(t, r.Packages[0].Err, &refused)
	require.Equal(t, failed, refused.Receipt)
	require.False(t, r.Packages[0].Installed)
	require.Equal(t, failed, find(t, e.results[0].Object, 0xBF37))
	require.Equal(t, failed, b.got[3])
}

// A receipt that names no SM-DP+ is still the eIM's.
func TestReceiptWithoutAddress(t *testing.T) {
	t.Parallel()
	ipa, c, e, b := bed(t, trigger(t, "1$"+address+"$M-1", 1))
	m, err := rsp.Decode[rsp.ProfileInstallationResult](newMessages(t).installed)
	require.NoError(t, err)
	m.Data.Notification.Address = "?"
	odd := encode(t, m)
	c.segment = func() ([]byte, int) { return odd, 0x9000 }
	r, err := ipa.Poll(t.Context())
	require.NoError(t, err)
	require.True(t, r.Packages[0].Installed)
	require.Equal(t, odd, find(t, e.results[0].Object, 0xBF37))
	require.NotContains(t, b.calls, "notify")
}

// An eUICC of SGP.22 alone, or one that answers nonsense.
func TestOddCards(t *testing.T) {
	t.Parallel()
	m := newMessages(t)
	failure := func(code byte) []byte { return []byte{0xA0, 3, 2, 1, code} }
	for _, c := range []struct {
		rule   string
		pkg    []byte
		change func(c *card)
		object []byte // that the eIM gets; nil: none, the Poll fails
	}{
		{"no packages", m.pkg, func(c *card) { c.says(0xBF51, nil, 0x6A88) }, failure(127)},
		{"no results", m.pkg, func(c *card) { c.says(0xBF2B, nil, 0x6A80) }, m.result.Object},
		{"garbage for a result", m.pkg, func(c *card) { c.always(0xBF51, []byte("garbage")) }, failure(127)},
		{"a result that is the eIM's to understand", m.pkg, func(c *card) { c.always(0xBF51, []byte{0xBF, 0x51, 2, 0xA7, 0}) }, []byte{0xBF, 0x51, 2, 0xA7, 0}},
		{"garbage for results", m.pkg, func(c *card) { c.always(0xBF2B, []byte("garbage")) }, nil},
		{"receipts not told", trigger(t, "1$"+address+"$M-1", 1), func(c *card) { c.always(0xBF2B, []byte{0xBF, 0x2B, 3, 0x81, 1, 127}) }, nil},
		{"cannot forget", m.pkg, func(c *card) { c.always(0xBF30, encode(t, &rsp.NotificationSentResponse{Status: 127})) }, m.result.Object},
		{"no such data", encode(t, &rsp.IPAEUICCDataRequest{TagList: []byte{0xBF, 0x22}}), func(*card) {}, encode(t, &rsp.IPAEUICCDataResponse{Error: &rsp.IPAEUICCDataFailure{Code: rsp.DataUndefined}})},
		{"other data", encode(t, &rsp.IPAEUICCDataRequest{TagList: []byte{0xBF, 0x20}}), func(c *card) { c.always(0xBF20, []byte{0xBF, 0x22, 0}) }, nil},
		{"certificates not told", encode(t, &rsp.IPAEUICCDataRequest{TagList: []byte{0xA5}}), func(c *card) { c.always(0xBF56, []byte{0xBF, 0x56, 3, 0x81, 1, 127}) }, encode(t, &rsp.IPAEUICCDataResponse{Error: &rsp.IPAEUICCDataFailure{Code: rsp.DataUndefined}})},
	} {
		ipa, card, e, _ := bed(t, c.pkg)
		c.change(card)
		_, err := ipa.Poll(t.Context())
		if c.object == nil {
			var ce *es9.CardError
			require.ErrorAs(t, err, &ce, c.rule)
			require.Empty(t, e.results, c.rule)
			continue
		}
		require.Len(t, e.results, 1, "%s: %v", c.rule, err)
		require.Equal(t, c.object, e.results[0].Object, c.rule)
	}
}

// An eIM has the eUICC forget what it was given, and nothing else.
func TestForeignNumbers(t *testing.T) {
	t.Parallel()
	ipa, c, _, b := bed(t)
	b.m.numbers = []int64{1, 9, 2}
	b.fail = func(call string) error {
		if call == "get" && len(b.calls) > 1 {
			return esipa.ErrNoPackage
		}
		return nil
	}
	ipa.EIM = b
	var forgotten [][]byte
	c.answers[0xBF30] = func(command []byte) ([]byte, int) {
		forgotten = append(forgotten, command)
		return encode(t, &rsp.NotificationSentResponse{}), 0x9000
	}
	_, err := ipa.Poll(t.Context())
	require.NoError(t, err)
	require.Equal(t, [][]byte{encode(t, &rsp.NotificationSentRequest{SeqNumber: 9})}, forgotten)
}

// The answer to a question is no larger than what an eIM takes.
func TestDataTooLarge(t *testing.T) {
	t.Parallel()
	ipa, c, e, _ := bed(t, encode(t, &rsp.IPAEUICCDataRequest{TagList: []byte{0xA0}}))
	n := encode(t, &rsp.OtherSignedNotification{Notification: notification(rsp.EventDelete, 1, address), Signature: fill(7, 64),
		EUICCCertificate: bertlv.Append(nil, 0x30, bertlv.Append(nil, 4, fill(1, 3000))), EUMCertificate: certificate()})
	var list []byte
	for range 200 {
		list = append(list, n...)
	}
	c.always(0xBF2B, bertlv.Append(nil, 0xBF2B, bertlv.Append(nil, 0xA0, list)))
	r, err := ipa.Poll(t.Context())
	require.NoError(t, err)
	require.ErrorContains(t, r.Packages[0].Err, "undefinedError")
	require.Less(t, len(e.results[0].Object), 100)
}

// Each kind of operation has a name, and each outcome a word.
func TestOutcomes(t *testing.T) {
	t.Parallel()
	psmo := func(o rsp.PSMO) *rsp.EUICCPackageSigned {
		return &rsp.EUICCPackageSigned{Operations: []rsp.PSMO{o}}
	}
	eco := func(o rsp.ECO) *rsp.EUICCPackageSigned {
		return &rsp.EUICCPackageSigned{Configuration: []rsp.ECO{o}}
	}
	profile := &rsp.PSMOProfile{ICCID: iccid}
	config := &rsp.EIMConfigurationData{EIMID: "two.example"}
	id, err := rsp.ParseEID(rsptest.EID)
	require.NoError(t, err)
	for _, c := range []struct {
		asked  *rsp.EUICCPackageSigned
		result rsp.EUICCResultData
		want   string
	}{
		{psmo(rsp.PSMO{Disable: profile}), rsp.EUICCResultData{Disable: ptr(rsp.ProfilePolicy)}, "disable " + iccid + ": disallowedByPolicy"},
		{psmo(rsp.PSMO{List: &rsp.ProfileInfoListRequest{}}), rsp.EUICCResultData{List: &rsp.ProfileInfoListResponse{Error: ptr(127)}}, "list: error 127"},
		{psmo(rsp.PSMO{SetFallback: profile}), rsp.EUICCResultData{Other: []byte{0x8D, 1, 2}}, "setFallback " + iccid + ": error 2"},
		{psmo(rsp.PSMO{UnsetFallback: &rsp.Empty{}}), rsp.EUICCResultData{Other: []byte{0x8E, 1, 0}}, "unsetFallback: ok"},
		{psmo(rsp.PSMO{SetDefaultSMDP: &rsp.PSMOAddress{Address: "x"}}), rsp.EUICCResultData{Other: []byte{0xBF, 0x65, 3, 2, 1, 127}}, "setDefaultSMDP x: error 127"},
		{psmo(rsp.PSMO{Other: []byte{0xBF, 0x70, 0}}), rsp.EUICCResultData{Terminated: ptr(rsp.TerminatedUnknown)}, "terminated: unknownOrDamagedCommand"},
		{eco(rsp.ECO{Add: config}), rsp.EUICCResultData{AddEIM: &rsp.AddEIMResult{AssociationToken: ptr(int64(9))}}, "addEIM two.example: ok"},
		{eco(rsp.ECO{Add: config}), rsp.EUICCResultData{AddEIM: &rsp.AddEIMResult{Code: ptr(rsp.AddEIMExists)}}, "addEIM two.example: associatedEimAlreadyExists"},
		{eco(rsp.ECO{Update: config}), rsp.EUICCResultData{UpdateEIM: ptr(rsp.EIMNotFound)}, "updateEIM two.example: eimNotFound"},
		{eco(rsp.ECO{Delete: &rsp.ECODelete{EIMID: eimID}}), rsp.EUICCResultData{DeleteEIM: ptr(rsp.EIMLastDeleted)}, "deleteEIM " + eimID + ": lastEimDeleted"},
		{eco(rsp.ECO{Other: []byte{0xAF, 0}}), rsp.EUICCResultData{Other: []byte{0xAF, 0}}, "operation: ok"},
	} {
		c.asked.EIMID, c.asked.EID, c.asked.Counter = eimID, id, 1
		ipa, card, _, _ := bed(t, encode(t, &rsp.EUICCPackageRequest{Signed: *c.asked, Signature: fill(7, 64)}))
		card.always(0xBF51, done(t, 1, 9, c.result))
		r, err := ipa.Poll(t.Context())
		require.NoError(t, err, c.want)
		require.Equal(t, "operations: "+c.want, r.String())
	}
}
