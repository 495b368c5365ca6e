package applet

import (
	"bytes"
	"slices"

	"github.com/iotregistry/sdk/internal/apdu"
	"github.com/iotregistry/sdk/internal/iotsafe"
)

// channelCount is how many logical channels there are, the basic one included.
// More than four would need another coding of the class byte.
const channelCount = 4

const proprietary = 0x80 // class; clients use both

// What logical channels need beyond the words of IoT.05.
const (
	swNoChannel    apdu.Status = 0x6A81
	swNotSupported apdu.Status = 0x6881 // logical channel
	swMore         apdu.Status = 0x6100
	swLe           apdu.Status = 0x6C00
)

// channel is a logical channel.
type channel struct {
	open     bool
	selected bool // the applet is
	sessions map[byte]*session
	answer   []byte      // to be fetched by GET RESPONSE
	last     apdu.Status // what comes with its last byte
}

func status(sw apdu.Status) apdu.Response { return apdu.Response{SW: sw} }

// execute carries out one command.
func (a *Applet) execute(b []byte) apdu.Response {
	a.told = nil
	command, err := apdu.ParseCommand(b)
	if err != nil {
		return status(apdu.WrongLength)
	}
	if command.CLA&^(proprietary|channelCount-1) != 0 {
		return status(apdu.WrongCLA)
	}
	number := int(command.CLA & (channelCount - 1))
	ch := &a.channels[number]
	if number != 0 && !ch.open && a.cfg.StrictChannels {
		return status(swNotSupported)
	}
	if command.INS == iotsafe.INSGetResponse {
		return a.getResponse(ch, command)
	}
	ch.answer = nil // whoever goes on does not want it
	switch command.INS {
	case iotsafe.INSManageChannel:
		return a.manageChannel(command)
	case iotsafe.INSSelect:
		return a.selectApplet(ch, command)
	}
	if !ch.selected {
		return status(apdu.ConditionsNotMet)
	}
	data, sw := a.command(ch, command)
	sw, done := a.afterUpdate(sw)
	if !done {
		return status(sw)
	}
	return a.reply(ch, command, data, sw)
}

// afterUpdate tells of an update that an object of this command has had, and
// whether the command was carried out.
func (a *Applet) afterUpdate(sw apdu.Status) (_ apdu.Status, done bool) {
	done = sw == apdu.OK || sw == apdu.MoreData
	switch {
	case len(a.told) > 0 && done:
		return apdu.OKAdminDone, true
	case len(a.told) > 0:
		return apdu.AdminDoneFailed, false
	case sw == apdu.OK && a.cfg.Quirks.Proactive != 0:
		return 0x9100 | apdu.Status(a.cfg.Quirks.Proactive), true
	}
	return sw, done
}

// manageChannel opens and closes channels (ISO/IEC 7816-4 section 11.1.2).
func (a *Applet) manageChannel(command apdu.Command) apdu.Response {
	number := int(command.P2)
	named := number > 0 && number < channelCount
	switch {
	case len(command.Data) != 0:
		return status(apdu.WrongLength)
	case command.P1 == 0x80 && named:
		if !a.channels[number].open && a.cfg.StrictChannels {
			return status(apdu.ConditionsNotMet)
		}
		a.channels[number] = channel{}
		return status(a.ok())
	case command.P1 == 0 && named:
		if a.channels[number].open {
			return status(apdu.ConditionsNotMet)
		}
		a.channels[number] = channel{open: true}
		return status(a.ok())
	case command.P1 != 0 || number != 0:
		return status(apdu.WrongP1P2)
	case command.Le == 0:
		return status(swLe | 1)
	}
	for i := 1; i < channelCount; i++ {
		if ch := &a.channels[i]; !ch.open && !ch.selected { // somebody may use it without
			*ch = channel{open: true}
			return apdu.Response{Data: []byte{byte(i)}, SW: a.ok()}
		}
	}
	return status(swNoChannel)
}

// ok is what the card says on success.
func (a *Applet) ok() apdu.Status {
	sw, _ := a.afterUpdate(apdu.OK)
	return sw
}

// selectApplet takes a whole AID or its beginning (ISO/IEC 7816-4 section
// 12.2.3). Where another one is asked for, the channel keeps what was selected.
func (a *Applet) selectApplet(ch *channel, command apdu.Command) apdu.Response {
	if command.P1 != 4 || command.P2&^0x0C != 0 { // of several with such a beginning, the first
		return status(apdu.WrongP1P2)
	}
	if n := len(command.Data); n < 5 || n > 16 { // ISO/IEC 7816-4 section 12.2.3: a provider's five at least
		return status(apdu.WrongLength)
	}
	i := slices.IndexFunc(a.cfg.Quirks.AIDs, func(aid []byte) bool { return bytes.HasPrefix(aid, command.Data) })
	if i < 0 {
		return status(apdu.NotFound)
	}
	*ch = channel{open: ch.open, selected: true}
	if command.P2 == 0x0C || command.Le == 0 { // no answer wanted
		return status(a.ok())
	}
	return a.reply(ch, command, tlv(0x6F, tlv(0x84, a.cfg.Quirks.AIDs[i])), a.ok())
}

// reply gives the answer, or keeps it until it is fetched.
func (a *Applet) reply(ch *channel, command apdu.Command, data []byte, sw apdu.Status) apdu.Response {
	if len(data) == 0 {
		return status(sw)
	}
	le := command.Le
	if le == 0 && (len(command.Data) == 0 || a.cfg.Quirks.Answers == AnswersPush) {
		le = 256
	}
	if a.cfg.Quirks.Answers == AnswersFetch {
		le = 0
	}
	if reads(command.INS) && a.wrongLe(le, len(data)) {
		for _, o := range a.told { // the answer that tells is still to come
			o.updated = true
		}
		return status(swLe | apdu.Status(len(data)))
	}
	ch.answer, ch.last = data, sw
	return ch.part(le)
}

// reads reports whether a command can be repeated without harm.
func reads(ins byte) bool {
	switch ins {
	case iotsafe.INSGetData, iotsafe.INSReadFile, iotsafe.INSReadPublicKey, iotsafe.INSGetRandom:
		return true
	}
	return false
}

func (a *Applet) wrongLe(le, n int) bool {
	return a.cfg.Quirks.ExactLe && le > 0 && le != n && le != 256 && n < 256
}

// part returns the next le bytes of the answer at most.
func (ch *channel) part(le int) apdu.Response {
	n := min(le, len(ch.answer))
	data := ch.answer[:n]
	ch.answer = ch.answer[n:]
	sw := ch.last
	if left := len(ch.answer); left > 0 {
		sw = swMore | apdu.Status(left)
		if left > 0xFF {
			sw = swMore // 256 or more
		}
	}
	return apdu.Response{Data: data, SW: sw}
}

func (a *Applet) getResponse(ch *channel, command apdu.Command) apdu.Response {
	switch {
	case command.P1 != 0 || command.P2 != 0:
		return status(apdu.WrongP1P2)
	case len(command.Data) != 0 || command.Le == 0:
		return status(apdu.WrongLength)
	case len(ch.answer) == 0:
		return status(apdu.ConditionsNotMet)
	case a.wrongLe(command.Le, len(ch.answer)):
		return status(swLe | apdu.Status(len(ch.answer)))
	}
	return ch.part(command.Le)
}
