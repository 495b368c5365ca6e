package iotsafe

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/iotregistry/sdk/internal/apdu"
	words "github.com/iotregistry/sdk/internal/iotsafe"
)

// SignatureForm is how a card writes the length of a signature (tag 33), which
// IoT.05 leaves unclear.
type SignatureForm int

// The forms seen.
const (
	SignatureUnknown  SignatureForm = iota // no signature was made yet
	SignatureTwoBytes                      // 33 00 40
	SignatureOneByte                       // 33 40, or BER lengths
	SignatureBare                          // neither tag nor length
)

// String returns the form as it looks for 64 bytes.
func (f SignatureForm) String() string {
	switch f {
	case SignatureTwoBytes:
		return "33 00 40"
	case SignatureOneByte:
		return "33 40"
	case SignatureBare:
		return "bare"
	}
	return "not seen yet"
}

// Quirks is how a card differs from others, as far as a client has found out.
type Quirks struct {
	AID     []byte // of the applet that was found
	Channel int    // logical channel; 0: the basic one

	ProprietaryClass bool // commands are of class 8n, not 0n
	PlainGetResponse bool // but GET RESPONSE is of class 0n
	NoLe             bool // commands with data must not name a length for the answer
	Session          byte // number of the session that the card accepts
	CloseSessions    bool // sessions stay open after their last block

	IDWidth        int  // bytes of an ID
	IDLittleEndian bool // of the numbers in IDs
	IDDigits       bool // IDs are numbers in decimal digits

	NoApplicationData bool // GET DATA does not tell of the applet, or tells nonsense
	NoObjectData      bool // GET DATA does not tell of objects, or tells nonsense

	Signature    SignatureForm
	DERSignature bool // r and s come in DER
	OnlySHA256   bool // longer digests are cut to 32 bytes by the client, which is the same for P-256

	PaddedFiles bool // files are longer than their contents
	MaxRandom   int  // bytes that one GET RANDOM may ask for where more were zeros; 0: no such limit was met
	Chunk       int  // bytes asked for at a time
}

// String returns the quirks in one line, for reports about a card.
func (q Quirks) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "AID %X, channel %d, class %02X, ID %s, chunk %d, signature %v", q.AID, q.Channel, q.class(), q.idForm(), q.Chunk, q.Signature)
	if q.MaxRandom > 0 {
		fmt.Fprintf(&b, ", random up to %d", q.MaxRandom)
	}
	if q.Session != 0 {
		fmt.Fprintf(&b, ", session %d", q.Session)
	}
	for _, f := range []struct {
		on   bool
		text string
	}{
		{q.DERSignature, "signatures in DER"}, {q.OnlySHA256, "SHA-256 only"}, {q.PaddedFiles, "padded files"},
		{q.NoApplicationData, "no application data"}, {q.NoObjectData, "no object data"}, {q.NoLe, "no Le"},
		{q.PlainGetResponse, "GET RESPONSE in class 0n"}, {q.CloseSessions, "sessions to be closed"},
	} {
		if f.on {
			b.WriteString(", " + f.text)
		}
	}
	return b.String()
}

func (q Quirks) idForm() string {
	switch {
	case q.IDDigits:
		return fmt.Sprintf("%d digits", q.IDWidth)
	case q.IDLittleEndian:
		return fmt.Sprintf("%d bytes, little endian", q.IDWidth)
	}
	return fmt.Sprintf("%d bytes", q.IDWidth)
}

func (q Quirks) class() byte {
	if q.ProprietaryClass {
		return channelClass(0x80, q.Channel)
	}
	return channelClass(0, q.Channel)
}

// fatal reports errors after which asking the card anything else is in vain.
func fatal(err error) bool {
	return errors.Is(err, ErrCardRemoved) || errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded)
}

// learn finds out what has to be known before anything can be asked for. The rest
// shows when it is first used.
func (c *Client) learn(ctx context.Context) error {
	if err := c.learnClass(ctx); err != nil {
		return err
	}
	if err := c.learnApplication(ctx); err != nil {
		return err
	}
	var objects []Object
	err := c.patiently(ctx, func() (err error) {
		objects, err = c.list(ctx)
		if errors.Is(err, ErrChanged) { // this will not be said again
			objects, err = c.list(ctx)
		}
		return err
	})
	switch {
	case fatal(err):
		return err
	case err != nil || len(objects) == 0:
		c.learned(func(q *Quirks) { q.NoObjectData = true })
		return c.probeIDs(ctx)
	}
	return c.learnIDs(ctx, objects)
}

// learnClass asks for a few random bytes in both classes.
func (c *Client) learnClass(ctx context.Context) error {
	for _, proprietary := range []bool{false, true} {
		c.learned(func(q *Quirks) { q.ProprietaryClass = proprietary })
		err := c.patiently(ctx, func() error {
			_, err := c.exec(ctx, "GET RANDOM", apdu.Command{INS: words.INSGetRandom, Le: minRandom})
			return err
		})
		switch {
		case ctx.Err() != nil, fatal(err):
			return err
		case !isStatus(err, apdu.WrongCLA, apdu.WrongINS, swNoChannel):
			return nil
		}
	}
	c.learned(func(q *Quirks) { q.ProprietaryClass = false })
	return nil
}

// learnApplication notes whether the card tells of its applet. What it tells is
// wrong on too many cards to rely on it.
func (c *Client) learnApplication(ctx context.Context) error {
	var r apdu.Response
	err := c.patiently(ctx, func() (err error) {
		r, err = c.inChunks(func(chunk int) (apdu.Response, error) {
			return c.exec(ctx, "GET DATA", apdu.Command{INS: words.INSGetData, P1: words.DataApplication, Le: lengthFor(chunk)})
		})
		return err
	})
	if fatal(err) {
		return err
	}
	if err != nil || !isApplication(r.Data) {
		c.learned(func(q *Quirks) { q.NoApplicationData = true })
	}
	return nil
}

// lengthFor asks for everything unless that is known not to get through.
func lengthFor(chunk int) int {
	if chunk == DefaultChunk {
		return anyLength
	}
	return chunk
}

// learnIDs takes the form of IDs from the objects there are. Little-endian numbers
// show by the last byte of small ones being zero.
func (c *Client) learnIDs(ctx context.Context, objects []Object) error {
	width, digits, big, little := 0, true, false, false
	for _, o := range objects {
		id := o.ID
		if len(id) == 0 || width != 0 && len(id) != width {
			return c.probeIDs(ctx)
		}
		width = len(id)
		for _, b := range id {
			digits = digits && b >= '0' && b <= '9'
		}
		if width > 1 {
			big = big || id[0] == 0 && id[width-1] != 0
			little = little || id[0] != 0 && id[width-1] == 0
		}
	}
	c.learned(func(q *Quirks) {
		q.IDWidth, q.IDDigits, q.IDLittleEndian = width, digits && width > 1, little && !big
	})
	return nil
}

// probeIDs reads a byte of the certificate, or of the registry's, under all forms
// that its ID may have.
func (c *Client) probeIDs(ctx context.Context) error {
	forms := []Quirks{
		{IDWidth: 1}, {IDWidth: 2}, {IDWidth: 2, IDLittleEndian: true},
		{IDWidth: 4}, {IDWidth: 4, IDLittleEndian: true}, {IDWidth: 3}, {IDWidth: 3, IDDigits: true},
	}
	for _, n := range []byte{words.CIRACertificate, words.CIRARoot} {
		for _, form := range forms {
			c.setIDs(form)
			err := c.patiently(ctx, func() error {
				_, err := c.readPart(ctx, Container(n), 0, smallestChunk)
				return err
			})
			if err == nil || errors.Is(err, ErrChanged) { // the card knows the object
				return nil
			}
			if fatal(err) {
				return err
			}
		}
	}
	c.setIDs(forms[0])
	return nil
}

func (c *Client) setIDs(form Quirks) {
	c.learned(func(q *Quirks) {
		q.IDWidth, q.IDLittleEndian, q.IDDigits = form.IDWidth, form.IDLittleEndian, form.IDDigits
	})
}
