package audit

import (
	"bytes"
	"crypto"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"io"
	"strconv"
	"time"
)

// Head states how long a trail was at some time, and the hash of its last
// entry. Signed, it commits the registry to everything up to there.
type Head struct {
	Log       string    `json:"log"`                 // the registry's zone
	Seq       uint64    `json:"seq"`                 // last entry; 0 for an empty trail
	Hash      string    `json:"hash"`                // its hash, hexadecimal
	Time      time.Time `json:"time"`                // UTC, milliseconds
	Key       string    `json:"key,omitempty"`       // the signer, see KeyID
	Signature []byte    `json:"signature,omitempty"` // see the package comment
}

const (
	headContext  = "iotreg audit head v1\n"
	headTimeForm = "2006-01-02T15:04:05.000Z"
	beforeHead   = `{"head":`
	maxLog       = 255
	maxSignature = 256
	maxHead      = 1024 // of a line; the longest parts above need less
)

func headTime(t time.Time) time.Time { return t.UTC().Truncate(time.Millisecond) }

// Chain returns the state of the trail that the head states, for
// [Verifier.From]. The error is [ErrFormat].
func (h Head) Chain() (Chain, error) {
	if err := h.check(); err != nil {
		return Chain{}, &Error{Seq: h.Seq, Err: err}
	}
	c := Chain{Seq: h.Seq}
	_, err := hex.Decode(c.Hash[:], []byte(h.Hash))
	return c, err
}

// check demands what makes the signed text and the encoding unambiguous.
func (h *Head) check() error {
	year := h.Time.UTC().Year()
	switch {
	case !validLog(h.Log):
		return malformed("the name of the log is not 1 to 255 printable ASCII characters without blanks, quotes, \\, <, > and &")
	case !isHash(h.Hash):
		return malformed("the head's hash is not 64 lower-case hexadecimal digits")
	case year < 0 || year > 9999:
		return malformed("the head's year is not 0 to 9999")
	case (h.Key == "") != (len(h.Signature) == 0):
		return malformed("the head has only one of key and signature")
	case h.Key != "" && !isHash(h.Key):
		return malformed("the head's key is not 64 lower-case hexadecimal digits")
	case len(h.Signature) > maxSignature:
		return malformed("the head's signature is longer than any")
	}
	return nil
}

// validLog excludes what JSON would escape.
func validLog(s string) bool {
	for i := range len(s) {
		switch c := s[i]; {
		case c <= ' ', c >= 0x7f, c == '"', c == '\\', c == '<', c == '>', c == '&':
			return false
		}
	}
	return 0 < len(s) && len(s) <= maxLog
}

// text is what is signed.
func (h *Head) text() []byte {
	b := append([]byte(headContext), h.Log...)
	b = strconv.AppendUint(append(b, '\n'), h.Seq, 10)
	b = append(append(b, '\n'), h.Hash...)
	b = headTime(h.Time).AppendFormat(append(b, '\n'), headTimeForm)
	return append(b, '\n')
}

// Sign signs the head with an ECDSA or Ed25519 key, wherever that lives, and
// sets Key and Signature; the time is cut to UTC and milliseconds. A nil rand is
// crypto/rand. Errors are [ErrFormat], [ErrKey], the signer's own, and
// [ErrSignature] when the signer's result does not verify. After an error the
// head is as before.
func (h *Head) Sign(rand io.Reader, key crypto.Signer) error {
	signed := *h
	signed.Time, signed.Key, signed.Signature = headTime(h.Time), "", nil
	err := signed.check()
	if err == nil {
		signed.Key, signed.Signature, err = sign(rand, key, signed.text())
	}
	if err == nil {
		err = verify(key.Public(), signed.text(), signed.Signature)
	}
	if err != nil {
		return &Error{Seq: h.Seq, Err: err}
	}
	*h = signed
	return nil
}

// Verify checks that pub signed the head. It says nothing about the trail.
// Errors are [ErrUnsigned], [ErrUnknownKey] when another key signed,
// [ErrSignature], [ErrKey] and [ErrFormat].
func (h *Head) Verify(pub crypto.PublicKey) error {
	if err := h.verify(pub); err != nil {
		return &Error{Seq: h.Seq, Err: err}
	}
	return nil
}

func (h *Head) verify(pub crypto.PublicKey) error {
	if err := h.check(); err != nil {
		return err
	}
	if h.Key == "" {
		return ErrUnsigned
	}
	id, err := keyID(pub)
	switch {
	case err != nil:
		return err
	case id != h.Key:
		return ErrUnknownKey
	}
	return verify(pub, h.text(), h.Signature)
}

// AppendJSON appends the head's line to b, {"head":{...}} without a line end.
func (h Head) AppendJSON(b []byte) []byte {
	log, err := json.Marshal(h.Log)
	if err != nil { // strings always encode
		log = []byte(`""`)
	}
	b = append(append(b, beforeHead+`{"log":`...), log...)
	b = strconv.AppendUint(append(b, `,"seq":`...), h.Seq, 10)
	b = append(append(b, beforeHash...), h.Hash...)
	b = append(b, `","time":"`...)
	b = headTime(h.Time).AppendFormat(b, time.RFC3339Nano)
	if h.Key != "" {
		b = append(append(b, `","key":"`...), h.Key...)
	}
	if len(h.Signature) > 0 {
		b = base64.StdEncoding.AppendEncode(append(b, `","signature":"`...), h.Signature)
	}
	return append(b, `"}}`...)
}

// ParseHead reads the line that [Head.AppendJSON] wrote, without its line end,
// and accepts that form only. It does not check the signature. Errors are
// [ErrFormat] and [ErrTooLarge].
func ParseHead(b []byte) (Head, error) {
	h, err := parseHead(b)
	if err != nil {
		return Head{}, &Error{Err: err}
	}
	return h, nil
}

func parseHead(b []byte) (Head, error) {
	if len(b) > maxHead {
		return Head{}, ErrTooLarge
	}
	var outer struct {
		Head Head `json:"head"`
	}
	if err := json.Unmarshal(b, &outer); err != nil {
		return Head{}, malformed("the head is no JSON object with members of the right types")
	}
	h := outer.Head
	if err := h.check(); err != nil {
		return Head{}, err
	}
	h.Time = headTime(h.Time)
	// Other and repeated members, blanks and lax base64 all show here.
	if !bytes.Equal(h.AppendJSON(nil), b) {
		return Head{}, malformed("the head is not written in the permitted form")
	}
	return h, nil
}
