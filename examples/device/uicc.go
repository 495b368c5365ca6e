package main

import (
	"context"
	"errors"
	"fmt"
	"sync"

	"github.com/iotregistry/sdk/internal/apdu"
	"github.com/iotregistry/sdk/profile/euicc"
	"github.com/iotregistry/sdk/profile/iotsafe"
	"github.com/iotregistry/sdk/profile/iotsafe/applet"
)

// Channels and instructions of ISO/IEC 7816-4 and TS 102 221.
const (
	uiccChannels          = 4 // the basic one included, as the applications have
	channelMask           = uiccChannels - 1
	proprietaryClass      = 0x80
	insTerminalCapability = 0xAA
	byName                = 4    // P1 of SELECT
	closeChannel          = 0x80 // P1 of MANAGE CHANNEL

	swChannelNotSupported apdu.Status = 0x6881
	swNoMoreChannels      apdu.Status = 0x6A81
)

// uicc is one card with several applications on it, such as an IoT SAFE applet and
// an eUICC's ISD-R. Each logical channel belongs to the application that was
// selected on it last, and every command on the channel goes there. Channels are
// counted once, here: the applications, which could be cards of their own, are told
// which ones are open.
//
// It is safe for concurrent use; like a card it carries out one command at a time.
type uicc struct {
	apps []apdu.Transport // asked in this order whether an AID is theirs

	mu       sync.Mutex
	channels [uiccChannels]uiccChannel
	pulled   bool
}

// uiccChannel is a logical channel.
type uiccChannel struct {
	open bool
	app  apdu.Transport // that is selected; nil: none
}

func newUICC(apps ...apdu.Transport) *uicc { return &uicc{apps: apps} }

// free reports whether nobody uses a channel. Some clients, wolfSSL among them, use
// channels that they have not opened.
func (ch *uiccChannel) free() bool { return !ch.open && ch.app == nil }

// Transmit carries out one command. Its error is iotsafe.ErrCardRemoved where there
// is no card, the context's, or an application's.
func (u *uicc) Transmit(ctx context.Context, command []byte) ([]byte, error) {
	u.mu.Lock()
	defer u.mu.Unlock()
	if u.pulled {
		return nil, iotsafe.ErrCardRemoved
	}
	response, err := u.execute(ctx, command)
	if errors.Is(err, applet.ErrRemoved) || errors.Is(err, euicc.ErrRemoved) {
		u.remove() // the other applications with it: there is one card
		return nil, fmt.Errorf("%w: %w", iotsafe.ErrCardRemoved, err)
	}
	return response, err
}

func (u *uicc) execute(ctx context.Context, b []byte) ([]byte, error) {
	command, err := apdu.ParseCommand(b)
	switch {
	case err != nil:
		return word(apdu.WrongLength), nil
	case command.CLA&^(proprietaryClass|channelMask) != 0:
		return word(apdu.WrongCLA), nil
	}
	number := command.CLA & channelMask
	ch := &u.channels[number]
	switch {
	case command.INS == insManageChannel:
		return u.manageChannel(ctx, command)
	case command.INS == insSelect && command.P1 == byName:
		return u.choose(ctx, number, b)
	case command.INS == insTerminalCapability: // of the card, whatever is selected
		return u.any(ctx, b)
	case ch.app != nil:
		return ch.app.Transmit(ctx, b)
	case number != 0 && !ch.open:
		return word(swChannelNotSupported), nil
	}
	return word(apdu.ConditionsNotMet), nil
}

func word(sw apdu.Status) []byte { return apdu.Response{SW: sw}.Marshal() }

// choose selects the first application that knows the AID. Where none does, the
// channel keeps what was selected.
func (u *uicc) choose(ctx context.Context, number byte, b []byte) ([]byte, error) {
	last := word(apdu.NotFound)
	for _, app := range u.apps {
		answer, err := app.Transmit(ctx, b)
		if err != nil {
			return nil, err
		}
		if taken(answer) {
			ch := &u.channels[number]
			if ch.app != nil && ch.app != app {
				if err := u.leave(ctx, ch.app, number); err != nil {
					return nil, err
				}
			}
			ch.app = app
			return answer, nil
		}
		last = answer
	}
	return last, nil
}

// taken reports whether an application was selected: it said so, or has an answer
// to be fetched.
func taken(answer []byte) bool {
	r, err := apdu.ParseResponse(answer)
	return err == nil && (r.SW.Success() || r.SW>>8 == 0x61)
}

// leave has an application forget what it was doing on a channel, as one that is
// not selected any more does. On the basic channel its next selection does that.
func (u *uicc) leave(ctx context.Context, app apdu.Transport, number byte) error {
	if number == 0 {
		return nil
	}
	if _, err := transmit(ctx, app, closing(number)); err != nil {
		return err
	}
	if !u.channels[number].open {
		return nil
	}
	_, err := transmit(ctx, app, opening(number))
	return err
}

func opening(number byte) apdu.Command { return apdu.Command{INS: insManageChannel, P2: number} }

func closing(number byte) apdu.Command {
	return apdu.Command{INS: insManageChannel, P1: closeChannel, P2: number}
}

func transmit(ctx context.Context, app apdu.Transport, command apdu.Command) ([]byte, error) {
	b, err := command.Marshal()
	if err != nil {
		return nil, err
	}
	return app.Transmit(ctx, b)
}

// any has the applications answer in turn until one knows the command.
func (u *uicc) any(ctx context.Context, b []byte) ([]byte, error) {
	last := word(apdu.WrongINS)
	for _, app := range u.apps {
		answer, err := app.Transmit(ctx, b)
		if err != nil || taken(answer) {
			return answer, err
		}
		last = answer
	}
	return last, nil
}

// manageChannel opens and closes channels (ISO/IEC 7816-4 section 11.1.2).
func (u *uicc) manageChannel(ctx context.Context, command apdu.Command) ([]byte, error) {
	number := command.P2
	named := number > 0 && number < uiccChannels
	switch {
	case len(command.Data) != 0:
		return word(apdu.WrongLength), nil
	case command.P1 == closeChannel && named:
		if u.channels[number].free() {
			return word(apdu.ConditionsNotMet), nil
		}
		u.channels[number] = uiccChannel{}
		return word(apdu.OK), u.tell(ctx, closing(number))
	case command.P1 == 0 && named:
		if u.channels[number].open {
			return word(apdu.ConditionsNotMet), nil
		}
		return word(apdu.OK), u.begin(ctx, number)
	case command.P1 != 0 || number != 0:
		return word(apdu.WrongP1P2), nil
	case command.Le == 0:
		return word(0x6C01), nil
	}
	for number := byte(1); number < uiccChannels; number++ {
		if u.channels[number].free() {
			return apdu.Response{Data: []byte{number}, SW: apdu.OK}.Marshal(), u.begin(ctx, number)
		}
	}
	return word(swNoMoreChannels), nil
}

func (u *uicc) begin(ctx context.Context, number byte) error {
	u.channels[number] = uiccChannel{open: true}
	if err := u.tell(ctx, closing(number)); err != nil { // who used it unopened
		return err
	}
	return u.tell(ctx, opening(number))
}

// tell has all applications know of a channel. What they say to it does not matter:
// it is opened or closed here.
func (u *uicc) tell(ctx context.Context, command apdu.Command) error {
	for _, app := range u.apps {
		if _, err := transmit(ctx, app, command); err != nil {
			return err
		}
	}
	return nil
}

// remove takes the card out. The caller holds the lock.
func (u *uicc) remove() {
	u.pulled = true
	u.channels = [uiccChannels]uiccChannel{}
}

// Pull takes the card out.
func (u *uicc) Pull() {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.remove()
}

// Reset takes the power away and gives it back, and puts a card in again that was
// taken out.
func (u *uicc) Reset() {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.remove()
	u.pulled = false
	for _, app := range u.apps {
		if r, ok := app.(interface{ Reset() }); ok {
			r.Reset()
		}
	}
}
