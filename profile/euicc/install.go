package euicc

import (
	"bytes"
	"errors"
	"fmt"
	"slices"

	"github.com/iotregistry/sdk/internal/apdu"
	"github.com/iotregistry/sdk/internal/bertlv"
	"github.com/iotregistry/sdk/internal/bsp"
	"github.com/iotregistry/sdk/internal/rsp"
)

// Why a package that arrived whole and authentic is not installed; the texts of
// [Chip.InstallError] wrap these.
var (
	ErrMetadata = errors.New("euicc: the metadata is not acceptable")
	ErrMemory   = errors.New("euicc: no room for another profile")
	ErrElement  = errors.New("euicc: a profile element cannot be carried out")
	errFault    = errors.New("euicc: a fault was set for this command")
)

// isSegment reports whether b is a part of a bound profile package, which may
// end before the object does that it begins.
func isSegment(b []byte) bool {
	switch b[0] {
	case 0xA0, 0xA1, 0xA2, 0xA3, byte(bsp.TagProfile), byte(bsp.TagCommand), byte(bsp.TagMetadata):
		return true
	}
	return bytes.HasPrefix(b, []byte{0xBF, 0x36})
}

// commandOf returns the command that a segment begins with, or goes on with.
func commandOf(b []byte) bsp.Command {
	switch b[0] {
	case 0xA0:
		return bsp.ConfigureISDP
	case 0xA1, byte(bsp.TagMetadata):
		return bsp.StoreMetadata
	case 0xA2:
		return bsp.ReplaceSessionKeys
	case 0xA3, byte(bsp.TagProfile):
		return bsp.LoadProfileElements
	}
	return bsp.InitialiseSecureChannel
}

// loadSegment is ES10b.LoadBoundProfilePackage (SGP.22 section 5.7.6): nothing is
// answered until the package is complete or has failed.
func (c *Chip) loadSegment(b []byte) ([]byte, apdu.Status) {
	s := &c.session
	if s.key == nil {
		return nil, apdu.ConditionsNotMet
	}
	if s.reader == nil {
		if err := c.startReader(); err != nil {
			return nil, apdu.Unknown
		}
	}
	done, err := s.reader.Feed(b)
	var failed *bsp.Error
	if err != nil && !errors.As(err, &failed) {
		return nil, apdu.Unknown
	}
	if failed == nil && s.details == nil && s.reader.Metadata() != nil {
		failed = c.takeMetadata(s.reader.Metadata())
	}
	if failed == nil {
		failed = c.faults.get().Install.at(commandOf(b), done)
	}
	switch {
	case failed != nil:
		s.reader.Abort(failed.Command, failed.Reason)
		return c.refuse(failed, nil)
	case done:
		return c.install(s.reader.Profile())
	}
	return nil, apdu.OK
}

func (c *Chip) startReader() error {
	s := &c.session
	reader, err := bsp.NewReader(bsp.Session{
		TransactionID: s.transaction, EID: c.eid, Key: s.key,
		MaxProfile: max(c.free(), 1), // none at all would stand for a default
		Verify:     func(signed, signature []byte) error { return rsp.Verify(s.binding.PublicKey, signed, signature) },
	})
	s.reader = reader
	return err
}

// takeMetadata judges the metadata as soon as it is there, before the profile.
func (c *Chip) takeMetadata(b []byte) *bsp.Error {
	refuse := func(reason bsp.Reason, err error) *bsp.Error {
		return &bsp.Error{Command: bsp.StoreMetadata, Reason: reason, Err: err}
	}
	m, err := rsp.Decode[rsp.StoreMetadataRequest](b)
	if err != nil {
		return refuse(bsp.IncorrectInput, fmt.Errorf("%w: %w", ErrMetadata, err))
	}
	c.session.details = m
	switch {
	case c.find(rsp.ProfileID{ICCID: &m.ICCID}) != nil:
		return refuse(bsp.ICCIDExists, fmt.Errorf("%w: ICCID %s is installed already", ErrMetadata, m.ICCID))
	case m.ProfileClass() > rsp.ClassOperational:
		return refuse(bsp.UnsupportedClass, fmt.Errorf("%w: profile class %d", ErrMetadata, m.ProfileClass()))
	case m.PolicyRules != nil && *m.PolicyRules&rsp.PolicyRules(c.cfg.ForbidRules) != 0:
		return refuse(bsp.PolicyNotAllowed, fmt.Errorf("%w: policy rules %b", ErrMetadata, *m.PolicyRules))
	case c.shown != nil && !bytes.Equal(c.shown, b):
		return refuse(bsp.DataMismatch, fmt.Errorf("%w: it is not what was shown", ErrMetadata))
	case len(c.profiles) >= c.cfg.MaxProfiles:
		return refuse(bsp.InsufficientMemory, fmt.Errorf("%w: %d are installed", ErrMemory, len(c.profiles)))
	}
	return nil
}

// What a profile interpreter says of an element (TCA profile specification,
// PEStatus).
const (
	peOK           = 0
	peNotSupported = 1
	peBadValues    = 3
)

// response is the EUICCResponse with one PEStatus.
func response(status byte) []byte {
	one := bertlv.Append(nil, 0x30, bertlv.Append(nil, 0x80, []byte{status}))
	return bertlv.Append(nil, 0x30, bertlv.Append(nil, 0xA0, one))
}

// install carries out a whole and authentic profile package.
func (c *Chip) install(pkg []byte) ([]byte, apdu.Status) {
	iot, failed, said := c.elements(pkg)
	if failed != nil {
		return c.refuse(failed, said)
	}
	p := &installed{metadata: c.session.details, aid: c.nextAID(), size: len(pkg), iot: iot, proprietary: c.proprietary()}
	receipt, err := c.receipt(p, nil, response(peOK))
	if err != nil {
		return nil, apdu.Unknown
	}
	others, err := c.notices(p, rsp.EventInstall, c.session.address)
	if err != nil {
		return nil, apdu.Unknown
	}
	if iot != nil {
		if err := c.cfg.Card.store(iot); err != nil { // one came to the card another way meanwhile
			return c.refuse(elementError(err), response(peBadValues))
		}
	}
	c.profiles = append(c.profiles, p)
	c.fresh = &fresh{p, c.session.binding.OID, c.session.address}
	c.changed++
	return c.conclude(receipt, nil, others)
}

// proprietary returns what the SM-DP+ has left for itself, nil for nothing.
func (c *Chip) proprietary() *rsp.DPProprietaryData {
	m, err := rsp.Decode[rsp.ConfigureISDPRequest](c.session.reader.Configure())
	if err != nil {
		return nil
	}
	return m.Proprietary
}

func elementError(err error) *bsp.Error {
	return &bsp.Error{Command: bsp.LoadProfileElements, Reason: bsp.ElementError, Err: fmt.Errorf("%w: %w", ErrElement, err)}
}

// elements goes through the profile elements, the end of which is demanded:
// nothing else shows that the package was not cut short.
func (c *Chip) elements(pkg []byte) (*opened, *bsp.Error, []byte) {
	list, err := rsp.ProfileElements(pkg)
	if err != nil {
		return nil, elementError(err), response(peBadValues)
	}
	header, err := rsp.Decode[rsp.ProfileHeader](list[0].Raw)
	if err != nil {
		return nil, elementError(err), response(peBadValues)
	}
	if header.ICCID != c.session.details.ICCID {
		err := fmt.Errorf("%w: header and metadata have different ICCIDs", ErrElement)
		return nil, &bsp.Error{Command: bsp.LoadProfileElements, Reason: bsp.DataMismatch, Err: err}, response(peBadValues)
	}
	var sealed [][]byte
	for _, t := range list {
		if t.Tag != rsp.TagNonStandard {
			continue
		}
		e, err := rsp.Decode[rsp.NonStandard](t.Raw)
		if err != nil {
			return nil, elementError(err), response(peBadValues)
		}
		switch ours := c.cfg.Card != nil && string(e.Issuer) == c.cfg.Issuer; {
		case ours:
			sealed = append(sealed, e.Content)
		case e.Header.Mandated:
			return nil, elementError(fmt.Errorf("element %d of issuer %s is mandated and not known", e.Header.ID, e.Issuer)), response(peNotSupported)
		}
	}
	iot, err := c.open(sealed)
	if err != nil {
		return nil, elementError(err), response(peBadValues)
	}
	return iot, nil, nil
}

// open has the card open the sealed profile among the elements.
func (c *Chip) open(sealed [][]byte) (*opened, error) {
	switch len(sealed) {
	case 0:
		return nil, nil
	case 1:
		return c.cfg.Card.open(sealed[0], c.cfg.Card.Newest(), c.cfg.Trust)
	}
	return nil, fmt.Errorf("%d sealed profiles in one package", len(sealed))
}

// refuse ends the session with a receipt that says why.
func (c *Chip) refuse(failed *bsp.Error, said []byte) ([]byte, apdu.Status) {
	receipt, err := c.receipt(nil, failed, said)
	if err != nil {
		return nil, apdu.Unknown
	}
	return c.conclude(receipt, failed, nil)
}

// conclude answers with the receipt, which is kept until it is delivered.
func (c *Chip) conclude(receipt *rsp.ProfileInstallationResult, failed *bsp.Error, others []notification) ([]byte, apdu.Status) {
	answer, err := rsp.Encode(receipt)
	if err != nil {
		return nil, apdu.Unknown
	}
	if c.failure = nil; failed != nil {
		c.failure = fmt.Errorf("euicc: not installed: %w", failed)
	}
	c.keep(append([]notification{{rsp.PendingNotification{Installation: receipt}}}, others...))
	c.forgetKey()
	c.session, c.shown = session{}, nil
	return answer, apdu.OK
}

// receipt makes the signed result of an installation: of p, or why not.
func (c *Chip) receipt(p *installed, failed *bsp.Error, said []byte) (*rsp.ProfileInstallationResult, error) {
	s := &c.session
	data := rsp.ProfileInstallationResultData{
		TransactionID: s.transaction, SMDPOID: &s.binding.OID,
		Notification: rsp.NotificationMetadata{SeqNumber: c.nextSequence(), Event: rsp.EventInstall, Address: s.address},
	}
	if s.details != nil {
		data.Notification.ICCID = &s.details.ICCID
	}
	if failed != nil {
		data.Error = &rsp.InstallationFailure{
			Command: rsp.BPPCommand(failed.Command), Reason: rsp.InstallError(failed.Reason), SIMAResponse: said,
		}
	} else {
		data.Success = &rsp.InstallationSuccess{AID: p.aid, SIMAResponse: said}
	}
	text, err := data.SignedText()
	if err != nil {
		return nil, err
	}
	signature, err := c.sign(text)
	return &rsp.ProfileInstallationResult{Data: data, Signature: signature}, err
}

// nextAID returns the lowest free application identifier of an ISD-P.
func (c *Chip) nextAID() []byte {
	for n := 0x1000; ; n++ {
		aid := isdr()
		aid[14], aid[15] = byte(n>>8), byte(n)
		if !slices.ContainsFunc(c.profiles, func(p *installed) bool { return bytes.Equal(p.aid, aid) }) {
			return aid
		}
	}
}
