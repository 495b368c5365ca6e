package euicc

import (
	"bytes"
	"encoding/hex"

	"github.com/iotregistry/sdk/internal/apdu"
	"github.com/iotregistry/sdk/internal/bertlv"
	"github.com/iotregistry/sdk/internal/rsp"
)

// channelCount is how many logical channels there are, the basic one included.
// More than four would need another coding of the class byte.
const channelCount = 4

// maxCommand bounds what STORE DATA collects, in bytes.
const maxCommand = rsp.MaxMessage

// Instructions (ISO/IEC 7816-4, GlobalPlatform, TS 102 221).
const (
	insManageChannel      = 0x70
	insSelect             = 0xA4
	insTerminalCapability = 0xAA
	insGetResponse        = 0xC0
	insStoreData          = 0xE2

	proprietary = 0x80 // class
)

// What logical channels lack for other purposes.
const (
	swNoChannel apdu.Status = 0x6A81
	swMore      apdu.Status = 0x6100
)

// isdr returns the application identifier of the ISD-R (SGP.22 section 2.4.2).
func isdr() []byte {
	b, _ := hex.DecodeString("a0000005591010ffffffff8900000100") // digits only: cannot fail
	return b
}

// channel is a logical channel.
type channel struct {
	open     bool
	selected bool   // the ISD-R is
	collect  []byte // what STORE DATA has brought so far
	blocks   int    // how many of them; the next one's number modulo 256
	answer   []byte // to be fetched by GET RESPONSE
}

// restart forgets a command and an answer that were not finished.
func (ch *channel) restart() { ch.collect, ch.blocks, ch.answer = nil, 0, nil }

func status(sw apdu.Status) apdu.Response { return apdu.Response{SW: sw} }

// execute carries out one command.
func (c *Chip) execute(b []byte) apdu.Response {
	command, err := apdu.ParseCommand(b)
	if err != nil {
		return status(apdu.WrongLength)
	}
	if command.CLA&^(proprietary|channelCount-1) != 0 {
		return status(apdu.WrongCLA)
	}
	number := int(command.CLA & (channelCount - 1))
	ch := &c.channels[number]
	if number != 0 && !ch.open {
		return status(apdu.Status(0x6881)) // logical channel not supported
	}
	if command.INS == insGetResponse {
		return ch.getResponse(command)
	}
	ch.answer = nil // whoever goes on does not want it
	if command.INS != insStoreData {
		ch.restart()
	}
	switch isProprietary := command.CLA&proprietary != 0; command.INS {
	case insStoreData:
		if !isProprietary {
			return status(apdu.WrongCLA)
		}
		return c.storeData(ch, command)
	case insTerminalCapability:
		if !isProprietary {
			return status(apdu.WrongCLA)
		}
		return status(apdu.OK)
	case insSelect, insManageChannel:
		if isProprietary {
			return status(apdu.WrongCLA)
		}
		if command.INS == insSelect {
			return c.selectApplication(ch, command)
		}
		return c.manageChannel(command)
	}
	return status(apdu.WrongINS)
}

// manageChannel opens and closes channels (ISO/IEC 7816-4 section 11.1.2).
func (c *Chip) manageChannel(command apdu.Command) apdu.Response {
	number := int(command.P2)
	switch {
	case len(command.Data) != 0:
		return status(apdu.WrongLength)
	case command.P1 == 0x80 && number > 0 && number < channelCount:
		if !c.channels[number].open {
			return status(apdu.ConditionsNotMet)
		}
		c.channels[number] = channel{}
		return status(apdu.OK)
	case command.P1 == 0 && number > 0 && number < channelCount:
		if c.channels[number].open {
			return status(apdu.ConditionsNotMet)
		}
		c.channels[number] = channel{open: true}
		return status(apdu.OK)
	case command.P1 != 0 || number != 0:
		return status(apdu.WrongP1P2)
	case command.Le == 0:
		return status(apdu.Status(0x6C01))
	}
	for i := 1; i < channelCount; i++ {
		if !c.channels[i].open {
			c.channels[i] = channel{open: true}
			return apdu.Response{Data: []byte{byte(i)}, SW: apdu.OK}
		}
	}
	return status(swNoChannel)
}

// selectApplication knows the ISD-R alone. The channel keeps what was selected
// where another is asked for.
func (c *Chip) selectApplication(ch *channel, command apdu.Command) apdu.Response {
	switch {
	case command.P1 != 4 || command.P2&^0x0C != 0:
		return status(apdu.WrongP1P2)
	case len(command.Data) == 0:
		return status(apdu.WrongLength)
	case !bytes.Equal(command.Data, isdr()):
		return status(apdu.NotFound)
	}
	ch.selected = true
	if command.P2 == 0x0C { // no answer wanted
		return status(apdu.OK)
	}
	return ch.reply(bertlv.Append(nil, 0x6F, bertlv.Append(nil, 0x84, isdr()), c.iotTemplate()))
}

// reply keeps the answer until it is fetched. Nothing goes with the first 61xx:
// not every LPA reads it there.
func (ch *channel) reply(answer []byte) apdu.Response {
	if ch.answer = answer; len(answer) == 0 {
		return status(apdu.OK)
	}
	return status(ch.more())
}

func (ch *channel) more() apdu.Status {
	switch n := len(ch.answer); {
	case n == 0:
		return apdu.OK
	case n > 0xFF:
		return swMore // 256 or more
	default:
		return swMore | apdu.Status(n)
	}
}

func (ch *channel) getResponse(command apdu.Command) apdu.Response {
	switch {
	case command.P1 != 0 || command.P2 != 0:
		return status(apdu.WrongP1P2)
	case len(command.Data) != 0 || command.Le == 0:
		return status(apdu.WrongLength)
	case len(ch.answer) == 0:
		return status(apdu.ConditionsNotMet)
	}
	n := min(command.Le, len(ch.answer))
	data := ch.answer[:n]
	ch.answer = ch.answer[n:]
	return apdu.Response{Data: data, SW: ch.more()}
}

// storeData collects a command (GlobalPlatform section 11.11). Block 0 begins a
// new one wherever it is not the next number of the last.
func (c *Chip) storeData(ch *channel, command apdu.Command) apdu.Response {
	if !ch.selected {
		ch.restart()
		return status(apdu.ConditionsNotMet)
	}
	if refused := ch.add(command); refused != apdu.OK {
		ch.restart()
		return status(refused)
	}
	if command.P1 != lastBlock {
		return status(apdu.OK)
	}
	whole := ch.collect
	ch.restart()
	answer, sw := c.es10(whole)
	if sw != apdu.OK {
		return status(sw)
	}
	return ch.reply(answer)
}

// Values of P1 in STORE DATA: DER follows, and whether this is all.
const (
	moreBlocks = 0x11
	lastBlock  = 0x91
)

func (ch *channel) add(command apdu.Command) apdu.Status {
	if command.P1 != moreBlocks && command.P1 != lastBlock {
		return apdu.WrongP1P2
	}
	if command.P2 != byte(ch.blocks) {
		if command.P2 != 0 {
			return apdu.WrongP1P2
		}
		ch.restart()
	}
	if len(command.Data) == 0 {
		return apdu.WrongLength
	}
	if len(ch.collect)+len(command.Data) > maxCommand {
		return apdu.NotEnoughMemory
	}
	ch.collect = append(ch.collect, command.Data...)
	ch.blocks++
	return apdu.OK
}
