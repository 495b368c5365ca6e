package euicc_test

import (
	"context"
	"errors"
	"fmt"
	"testing"

	"github.com/iotregistry/sdk/internal/apdu"
	"github.com/iotregistry/sdk/internal/rsp/rsptest"
	"github.com/iotregistry/sdk/profile/euicc"
	"github.com/iotregistry/sdk/registry/eid"
)

// What a modem or a card reader sends: open a channel, select the ISD-R, ask for
// the EID, fetch the answer.
func ExampleChip_Transmit() {
	pki, _ := rsptest.New(start())
	identity, _ := pki.EUICC(rsptest.EID)
	chip, err := euicc.NewChip(euicc.ChipConfig{
		EID: eid.MustParse(rsptest.EID), Certificate: identity.DER, EUM: pki.EUM.DER, Key: identity.Key,
		CIs: [][]byte{pki.CI.DER},
	})
	fmt.Println(err)
	for _, command := range [][]byte{
		{0x00, 0x70, 0x00, 0x00, 0x01},
		append([]byte{0x01, 0xA4, 0x04, 0x0C, 0x10}, isdr()...),
		{0x81, 0xE2, 0x91, 0x00, 0x06, 0xBF, 0x3E, 0x03, 0x5C, 0x01, 0x5A},
		{0x81, 0xC0, 0x00, 0x00, 0x15},
	} {
		response, err := chip.Transmit(context.Background(), command)
		fmt.Printf("%X %v\n", response, err)
	}
	// Output:
	// <nil>
	// 019000 <nil>
	// 9000 <nil>
	// 6115 <nil>
	// BF3E125A10890490321234512345123456789012359000 <nil>
}

// A download that fails for want of memory, as a test of an SM-DP+ wants it.
func ExampleChip_SetFaults() {
	t := new(testing.T)
	w := newWorld(t)
	w.chip.SetFaults(euicc.Faults{Install: &euicc.InstallFault{Command: 5, Reason: 10}})
	receipt := w.download(t, newOrder(t, iccid, nil))
	fmt.Println(receipt.Data.Error.Command, receipt.Data.Error.Reason)

	w.chip.SetFaults(euicc.Faults{Status: func([]byte) uint16 { return uint16(apdu.NotEnoughMemory) }})
	response, err := w.chip.Transmit(context.Background(), []byte{0x00, 0x70, 0x00, 0x00, 0x01})
	fmt.Printf("%X %v\n", response, err)
	// Output:
	// loadProfileElements installFailedDueToInsufficientMemoryForProfile
	// 6A84 <nil>
}

// A card that outlives its process: whoever passes commands on files the state
// whenever one has changed something, and the next process goes on from there.
func ExampleChip_Snapshot() {
	t := new(testing.T)
	w := newWorld(t)
	var filed []byte
	saved := w.chip.Changed()
	w.after = func() {
		if n := w.chip.Changed(); n != saved {
			filed, _ = w.chip.Snapshot()
			saved = n
		}
	}
	w.install(t, newOrder(t, iccid, nil))

	cfg := w.cfg // with the same keys
	cfg.State = filed
	chip, err := euicc.NewChip(cfg)
	fmt.Println(chip.Profiles()[0].Name, err)

	cfg.State = filed[:len(filed)/2]
	_, err = euicc.NewChip(cfg)
	fmt.Println(errors.Is(err, euicc.ErrState))
	// Output:
	// Profile 8944476500001224158 <nil>
	// true
}
