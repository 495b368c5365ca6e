package main

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"

	"github.com/iotregistry/sdk/internal/strictjson"
	"github.com/iotregistry/sdk/mno"
	"github.com/iotregistry/sdk/mno/es2"
	"github.com/iotregistry/sdk/mno/es9"
	"github.com/iotregistry/sdk/mno/smdp"
	"github.com/iotregistry/sdk/registry/eid"
)

const (
	maxOrders       = 4 << 20      // bytes of the file
	ordersRequester = "mno-orders" // who has ordered what is in the file
)

// order is one of the file.
type order struct {
	EID              string     `json:"eid"`
	ICCID            string     `json:"iccid"`
	ProfileType      string     `json:"profileType"`
	MatchingID       *string    `json:"matchingId"` // as ES2+ has it: absent for one that is made, "" for the device's EID
	ConfirmationCode es2.Secret `json:"confirmationCode"`

	place  string // in the file, for errors
	device eid.ID
}

// readOrders reads the file whole; an error names the line and the member.
func readOrders(path string) ([]order, error) {
	text, err := readBounded(path, maxOrders)
	if err != nil {
		return nil, err
	}
	list, err := parseOrders(text)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return list, nil
}

func parseOrders(text []byte) ([]order, error) {
	at := func(offset int64) int { return 1 + bytes.Count(text[:min(offset, int64(len(text)))], []byte("\n")) }
	dec := json.NewDecoder(bytes.NewReader(text))
	if t, err := dec.Token(); err != nil || t != json.Delim('[') {
		return nil, errors.New("line 1: it is no JSON array of orders")
	}
	var list []order
	for dec.More() {
		start := dec.InputOffset()
		start += int64(len(text[start:]) - len(bytes.TrimLeft(text[start:], ", \t\r\n")))
		place := fmt.Sprintf("line %d, order %d", at(start), len(list)+1)
		var raw json.RawMessage
		if err := dec.Decode(&raw); err != nil {
			var syntax *json.SyntaxError
			if errors.As(err, &syntax) {
				return nil, fmt.Errorf("line %d: %w", at(syntax.Offset), err)
			}
			return nil, fmt.Errorf("%s: %w", place, err)
		}
		o := order{place: place}
		if err := strictjson.Decode(raw, &o, strictjson.Limits{Depth: 1, Names: 8, Unknown: true}); err != nil {
			return nil, fmt.Errorf("%s: %w", place, err)
		}
		if err := o.check(); err != nil {
			return nil, fmt.Errorf("%s: %w", place, err)
		}
		list = append(list, o)
	}
	if _, err := dec.Token(); err != nil {
		return nil, fmt.Errorf("line %d: the array does not end", at(int64(len(text))))
	}
	if _, err := dec.Token(); !errors.Is(err, io.EOF) {
		return nil, fmt.Errorf("line %d: there is more after the array", at(dec.InputOffset()))
	}
	return list, nil
}

// check looks at what ES2+ would look at.
func (o *order) check() error {
	var err error
	if o.device, err = eid.Parse(o.EID); err != nil || o.device.Kind() != eid.EID {
		return errors.New("eid: it is not 32 digits with a right check value")
	}
	if o.ICCID != "" {
		if o.ICCID, err = mno.CanonicalICCID(o.ICCID); err != nil {
			return errors.New("iccid: it is not 18 to 20 digits with a right check digit")
		}
	}
	switch {
	case o.ProfileType == "":
		return errors.New("profileType: set it")
	case len(o.ProfileType) > 255:
		return errors.New("profileType: it is too long")
	case len(o.ConfirmationCode) > 255:
		return errors.New("confirmationCode: it is too long")
	}
	if o.MatchingID != nil {
		if _, err := (es9.ActivationCode{Address: "smdp.example", MatchingID: *o.MatchingID}).Text(); err != nil {
			return errors.New("matchingId: it has capital letters, digits and '-' only, at most 255")
		}
	}
	return nil
}

// provisioned is an order that was made, and what its device downloads it with.
type provisioned struct {
	ICCID string `json:"iccid"`
	Code  string `json:"activation_code"`
}

// provision makes the orders of the file as calls of ES2+ would. An order without
// an ICCID gets one that follows from what it says, so that a later start finds it
// again and makes it once.
func provision(ctx context.Context, e *smdp.Engine, fqdn string, list []order) ([]provisioned, error) {
	same := map[string]int{}
	var made []provisioned
	for i := range list {
		o := &list[i]
		if o.ICCID == "" {
			text := o.EID + "|" + o.ProfileType
			if o.MatchingID != nil {
				text += "|" + *o.MatchingID
			}
			o.ICCID = iccidOf(text, same[text])
			same[text]++
		}
		p, err := o.make(ctx, e, fqdn)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", o.place, err)
		}
		made = append(made, p)
	}
	return made, nil
}

// make brings one order to where it can be downloaded, from where it is.
func (o *order) make(ctx context.Context, e *smdp.Engine, fqdn string) (provisioned, error) {
	p, err := e.Profile(ctx, o.ICCID)
	if errors.Is(err, smdp.ErrNotFound) {
		if err := e.Stock(ctx, ordersRequester, o.ProfileType, o.ICCID); err != nil {
			return provisioned{}, err
		}
		p, err = e.Profile(ctx, o.ICCID)
	}
	if err != nil {
		return provisioned{}, err
	}
	if err := o.same(p); err != nil {
		return provisioned{}, err
	}
	call := es2.Call{Requester: ordersRequester, ID: "orders-" + o.ICCID}
	if p.State == mno.Available {
		if _, err := e.DownloadOrder(ctx, call, mno.Order{Device: o.device, ProfileType: o.ProfileType, ICCID: o.ICCID}); err != nil {
			return provisioned{}, err
		}
	}
	if p.State < mno.Confirmed {
		_, err := e.ConfirmOrder(ctx, call, es2.ConfirmOrder{
			ICCID: o.ICCID, Device: o.device, MatchingID: o.MatchingID, ConfirmationCode: o.ConfirmationCode, Release: true,
		})
		if err != nil {
			return provisioned{}, err
		}
		if p, err = e.Profile(ctx, o.ICCID); err != nil {
			return provisioned{}, err
		}
	}
	receipt := es9.ActivationCode{Address: fqdn, MatchingID: p.MatchingID, ConfirmationCode: p.CodeHash != nil}
	code, err := receipt.Text()
	return provisioned{ICCID: p.ICCID, Code: code}, err
}

// same refuses an ICCID that the order book has for something else.
func (o *order) same(p smdp.Profile) error {
	switch {
	case p.Owner != ordersRequester:
		return errors.New("iccid: the order book has it for somebody else")
	case p.Type != o.ProfileType:
		return fmt.Errorf("profileType: the order book has ICCID %s with another one", p.ICCID)
	case !p.Device.IsZero() && p.Device != o.device:
		return fmt.Errorf("eid: the order book has ICCID %s for another device", p.ICCID)
	case p.State >= mno.Confirmed && o.MatchingID != nil && *o.MatchingID != p.MatchingID:
		return fmt.Errorf("matchingId: the order book has ICCID %s with another one", p.ICCID)
	}
	return nil
}

// iccidOf makes the ICCID of the nth order with the same content: the start of
// ICCIDs of no operator, digits of a hash, and the check digit (ISO/IEC 7812-1).
func iccidOf(text string, n int) string {
	sum := sha256.Sum256(fmt.Appendf(nil, "%s|%d", text, n))
	digits := fmt.Sprintf("8999901%011d", binary.BigEndian.Uint64(sum[:])%100_000_000_000)
	for check := range 10 {
		iccid := digits + string(rune('0'+check))
		if _, err := mno.CanonicalICCID(iccid); err == nil {
			return iccid
		}
	}
	return digits // not reached: one of ten digits is right
}
