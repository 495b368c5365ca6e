package bsp

import (
	"bytes"
	"crypto/ecdh"
	"fmt"

	"github.com/iotregistry/sdk/internal/bertlv"
)

// Session is what an eUICC knows of a download when the bound profile package
// arrives. All but MaxProfile is required.
type Session struct {
	TransactionID []byte            // 1 to 16 bytes
	EID           EID               // its own
	Key           ecdh.KeyExchanger // otSK.EUICC, of this session only
	MaxProfile    int               // bytes it has room for; 0: DefaultMaxProfile

	// Verify checks smdpSign, a raw signature, with the key of CERT.DPpb:
	// [Verify] does.
	Verify func(signed, signature []byte) error
}

// Reader is the eUICC's side of [Bind]: it takes the commands that an LPA makes
// with [Segments] and says after each one whether there is something to answer.
// Make one with [NewReader], one for each session. It is for one goroutine.
type Reader struct {
	hidden
	session    Session
	opener     *Opener    // nil until the channel is open
	left       int        // bytes to come in the package
	inner      int        // bytes to come in the sequence at hand
	sequence   bertlv.Tag // the sequence at hand
	command    Command    // what it belongs to
	configure  []byte
	metadata   []byte
	profile    []byte
	hasDetails bool // metadata is complete
	done       bool
	failed     *Error
}

// NewReader waits for the package of a session. The errors are
// [ErrTransactionID], [ErrEID], [ErrCurve] and, for want of a Verify,
// [ErrSigner].
func NewReader(s Session) (*Reader, error) {
	if n := len(s.TransactionID); n < 1 || n > maxID {
		return nil, fmt.Errorf("bsp: %w, not %d", ErrTransactionID, n)
	}
	if s.EID == (EID{}) {
		return nil, fmt.Errorf("bsp: %w", ErrEID)
	}
	if s.Key == nil || s.Key.Curve() != ecdh.P256() {
		return nil, fmt.Errorf("bsp: %w", ErrCurve)
	}
	if s.Verify == nil {
		return nil, fmt.Errorf("bsp: no way to verify: %w", ErrSigner)
	}
	s.MaxProfile = profileLimit(s.MaxProfile)
	s.TransactionID = bytes.Clone(s.TransactionID)
	return &Reader{session: s}, nil
}

// Feed takes the next command. While it returns false and no error, the eUICC
// has nothing to say and waits for the next one. True means that the package is
// complete: [Reader.Profile] has it. An error is an *[Error] with what the
// eUICC's result must say, and ends the session: each further call returns the
// same one. Commands after a complete package are refused with [ErrClosed] and
// change nothing.
//
// LPAs may cut elsewhere than Segments does, as long as no block and no header
// is cut in two.
func (r *Reader) Feed(command []byte) (done bool, err error) {
	if r.failed != nil {
		return false, r.failed
	}
	if r.done {
		return false, fmt.Errorf("bsp: %w", ErrClosed)
	}
	for first := true; first || len(command) > 0; first = false {
		n, err := r.step(command)
		if err != nil {
			return false, r.fail(err)
		}
		command = command[n:]
	}
	if r.opener.stage == inProfile && r.left == 0 {
		r.done = true
		r.opener.Clear()
	}
	return r.done, nil
}

// step reads one thing at the beginning of b and returns its length.
func (r *Reader) step(b []byte) (int, *Error) {
	switch {
	case r.opener == nil:
		return r.openChannel(b)
	case r.inner == 0:
		return r.openSequence(b)
	default:
		return r.openBlock(b)
	}
}

// openChannel reads the outer header and InitialiseSecureChannelRequest.
func (r *Reader) openChannel(b []byte) (int, *Error) {
	size, header, err := cutHeader(b, tagPackage)
	if err != nil {
		return 0, &Error{InitialiseSecureChannel, IncorrectInput, err}
	}
	if size/2-MaxMetadata > r.session.MaxProfile { // what wraps a profile never doubles it
		return 0, &Error{InitialiseSecureChannel, InsufficientMemory, fmt.Errorf("a package of %d bytes: %w", size, ErrSize)}
	}
	t, _, err := bertlv.Read(b[header:])
	if err != nil || len(t.Raw) >= size {
		return 0, &Error{InitialiseSecureChannel, IncorrectInput, fmt.Errorf("%w: no InitialiseSecureChannelRequest", ErrStructure)}
	}
	c, err := parseChannel(t, r.session.Key.PublicKey().Bytes())
	if err != nil {
		return 0, &Error{InitialiseSecureChannel, IncorrectInput, err}
	}
	if failed := r.agree(c); failed != nil {
		return 0, failed
	}
	r.left = size - len(t.Raw)
	return header + len(t.Raw), nil
}

// agree checks the request, the signature first, and derives the keys.
func (r *Reader) agree(c *channel) *Error {
	refuse := func(reason Reason, err error) *Error { return &Error{InitialiseSecureChannel, reason, err} }
	if len(c.signature) != SignatureSize {
		return refuse(InvalidSignature, ErrSignature)
	}
	if err := r.session.Verify(c.signed, c.signature); err != nil {
		return refuse(InvalidSignature, fmt.Errorf("%w: %w", ErrSignature, err))
	}
	if !bytes.Equal(c.remoteOp, []byte{installBoundProfilePackage}) {
		return refuse(UnsupportedRemoteOp, fmt.Errorf("%w: another remote operation", ErrStructure))
	}
	if !bytes.Equal(c.txID, r.session.TransactionID) {
		return refuse(InvalidTransaction, fmt.Errorf("%w: the transaction ID differs", ErrSession))
	}
	if !bytes.Equal(c.keyType, []byte{keyTypeAES}) || !bytes.Equal(c.keyLength, []byte{keyLength}) {
		return refuse(UnsupportedCRT, fmt.Errorf("%w: not AES-128", ErrStructure))
	}
	if n := len(c.hostID); n < 1 || n > maxID {
		return refuse(UnsupportedCRT, ErrHostID)
	}
	keys, err := DeriveKeys(r.session.Key, c.point, c.hostID, r.session.EID)
	if err != nil {
		return refuse(IncorrectInput, err)
	}
	defer keys.Clear()
	r.opener = NewOpener(keys)
	return nil
}

// openSequence reads the header of one of the sequences of blocks.
func (r *Reader) openSequence(b []byte) (int, *Error) {
	var tag bertlv.Tag
	if len(b) > 0 {
		tag = bertlv.Tag(b[0])
	}
	command, ok := r.opener.stage.sequence(tag)
	if !ok {
		return 0, &Error{command, StructureError, ErrOrder}
	}
	size, header, err := cutHeader(b, tag)
	if err != nil {
		return 0, &Error{command, StructureError, err}
	}
	follows := r.left - header - size // bytes after this sequence; the last one ends the package
	if size == 0 || follows < 0 || (follows == 0) != (tag == tagAll86) {
		return 0, &Error{command, StructureError, fmt.Errorf("%w: %v of %d bytes", ErrStructure, tag, size)}
	}
	r.sequence, r.command, r.inner = tag, command, size
	r.left -= header
	if tag == tagAll86 { // an authentic sender by now, and within the limit
		r.profile = make([]byte, 0, min(size, r.session.MaxProfile+MaxAccepted))
	}
	return header, nil
}

// sequence says whether a sequence may begin, and to which command it, or else
// what was to come, belongs.
func (s stage) sequence(tag bertlv.Tag) (Command, bool) {
	switch {
	case s == atStart:
		return ConfigureISDP, tag == tagFirst87
	case s == atMeta:
		return StoreMetadata, tag == tagAll88
	case s == inMeta && tag == tagSecond87:
		return ReplaceSessionKeys, true
	}
	return LoadProfileElements, tag == tagAll86 && s != inProfile
}

// openBlock reads one block of the sequence at hand.
func (r *Reader) openBlock(b []byte) (int, *Error) {
	t, _, err := bertlv.Read(b)
	n := len(t.Raw)
	switch {
	case err != nil:
		return 0, &Error{r.command, StructureError, fmt.Errorf("%w: %w", ErrStructure, err)}
	case t.Tag != blockTag(r.sequence) || n > r.inner || t.Tag == TagCommand && n != r.inner:
		return 0, &Error{r.command, StructureError, fmt.Errorf("%w: %v of %d bytes does not belong into %v", ErrStructure, t.Tag, n, r.sequence)}
	}
	into, limit := r.target()
	opened, err := r.opener.Open(*into, t.Raw)
	if err != nil {
		return 0, r.opener.failed
	}
	*into = opened
	if len(opened) > limit {
		return 0, &Error{r.command, InsufficientMemory, fmt.Errorf("more than %d bytes: %w", limit, ErrSize)}
	}
	r.inner -= n
	r.left -= n
	if r.inner == 0 {
		return n, r.endSequence()
	}
	return n, nil
}

// target returns where the blocks of the sequence at hand go and how many bytes
// fit there.
func (r *Reader) target() (*[]byte, int) {
	switch r.sequence {
	case tagAll88:
		return &r.metadata, MaxMetadata
	case tagAll86:
		return &r.profile, r.session.MaxProfile
	}
	return &r.configure, MaxAccepted // and nothing for new keys, which are not shown
}

func (r *Reader) endSequence() *Error {
	var err error
	switch r.sequence {
	case tagFirst87:
		err = checkRequest(r.configure, tagConfigure)
	case tagAll88:
		err = checkRequest(r.metadata, tagMetadataRq)
		r.hasDetails = err == nil
	}
	if err != nil {
		return &Error{r.command, IncorrectInput, err}
	}
	return nil
}

// cutHeader reads the tag and the length of an object that is not all there, and
// returns the length and how many bytes it took to say so. DER only: nothing
// protects these bytes, so there must be one way to write them.
func cutHeader(b []byte, tag bertlv.Tag) (size, header int, err error) {
	var buf [8]byte
	start := bertlv.AppendHeader(buf[:0], tag, 0)
	n := len(start) - 1
	if len(b) <= n || !bytes.Equal(b[:n], start[:n]) {
		return 0, 0, fmt.Errorf("%w: %v is missing", ErrStructure, tag)
	}
	size, header = int(b[n]), n+1
	if size >= 0x80 {
		header += size & 0x7F
		if size > 0x84 || len(b) < header {
			return 0, 0, fmt.Errorf("%w: the length of %v", ErrStructure, tag)
		}
		size = 0
		for _, c := range b[n+1 : header] {
			if size >= 1<<23 {
				return 0, 0, fmt.Errorf("%w: the length of %v", ErrStructure, tag)
			}
			size = size<<8 | int(c)
		}
	}
	if header != headerSize(tag, size) {
		return 0, 0, fmt.Errorf("%w: the length of %v in a longer form than need be", ErrStructure, tag)
	}
	return size, header, nil
}

// Configure returns the ConfigureISDPRequest (BF24), nil before it has come.
func (r *Reader) Configure() []byte { return r.configure }

// Metadata returns the StoreMetadataRequest (BF25), nil before it is complete.
// It comes before the profile, so that a caller who sees in it what it does not
// want can [Reader.Abort].
func (r *Reader) Metadata() []byte {
	if !r.hasDetails {
		return nil
	}
	return r.metadata
}

// Profile returns the profile package, nil before the bound one is complete. See
// the package's comment for what is left to check.
func (r *Reader) Profile() []byte {
	if !r.done {
		return nil
	}
	return r.profile
}

// Abort ends the session for a reason of the caller's, such as [ICCIDExists] or
// [DataMismatch], and returns the error that further calls of Feed return too.
// Where the session had failed before, it is that first error.
func (r *Reader) Abort(command Command, reason Reason) *Error {
	if r.failed != nil {
		return r.failed
	}
	return r.fail(&Error{command, reason, ErrAborted})
}

// fail forgets keys, metadata and what there is of the profile.
func (r *Reader) fail(err *Error) *Error {
	if r.opener != nil {
		r.opener.Clear()
	}
	clear(r.profile)
	r.configure, r.metadata, r.profile = nil, nil, nil
	r.hasDetails, r.done = false, false
	r.failed = err
	return err
}
