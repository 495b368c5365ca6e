package applet

import (
	"slices"

	"github.com/iotregistry/sdk/internal/apdu"
	"github.com/iotregistry/sdk/internal/bertlv"
	"github.com/iotregistry/sdk/internal/iotsafe"
)

// fields are the objects of a command's data.
type fields []bertlv.TLV

// parse reads command data that may hold the given tags. Clients disagree on the
// lengths of signatures and texts: BER has one byte or 81 and one, wolfSSL sends
// two. A form is right when everything fits.
func parse(b []byte, tags ...bertlv.Tag) (fields, apdu.Status) {
	for _, wide := range [][]bertlv.Tag{
		nil, {iotsafe.TagSignature}, {iotsafe.TagFullText}, {iotsafe.TagSignature, iotsafe.TagFullText},
	} {
		if f, ok := parseAs(b, wide, tags); ok {
			return f, apdu.OK
		}
	}
	return nil, apdu.WrongData
}

// parseAs reads lengths of two bytes after the tags of wide.
func parseAs(b []byte, wide, tags []bertlv.Tag) (f fields, ok bool) {
	for len(b) > 0 {
		t, rest, err := bertlv.Read(b)
		if slices.Contains(wide, bertlv.Tag(b[0])) {
			t, rest, err = readWide(b)
		}
		if err != nil || !slices.Contains(tags, t.Tag) {
			return nil, false
		}
		f, b = append(f, t), rest
	}
	return f, true
}

// readWide reads an object with a length of two bytes.
func readWide(b []byte) (t bertlv.TLV, rest []byte, err error) {
	if len(b) < 3 {
		return t, nil, bertlv.ErrTruncated
	}
	end := 3 + int(b[1])<<8 + int(b[2])
	if end > len(b) {
		return t, nil, bertlv.ErrTruncated
	}
	return bertlv.TLV{Tag: bertlv.Tag(b[0]), Value: b[3:end:end], Raw: b[:end:end]}, b[end:], nil
}

// get returns the first object with a tag; ok is false where there is none.
func (f fields) get(tag bertlv.Tag) (value []byte, ok bool) {
	for _, t := range f {
		if t.Tag == tag {
			return t.Value, true
		}
	}
	return nil, false
}

// join returns all objects with a tag one after the other.
func (f fields) join(tag bertlv.Tag) (value []byte) {
	for _, t := range f {
		if t.Tag == tag {
			value = append(value, t.Value...)
		}
	}
	return value
}

// number reads a big-endian number of one byte to the given width.
func (f fields) number(tag bertlv.Tag, width int) (n int, ok bool) {
	b, ok := f.get(tag)
	if !ok || len(b) == 0 || len(b) > width {
		return 0, false
	}
	for _, c := range b {
		n = n<<8 | int(c)
	}
	return n, true
}

// tagsOf returns the tags that name an object of a kind by ID and by label.
func tagsOf(kind bertlv.Tag) (id, label bertlv.Tag) {
	switch kind {
	case iotsafe.TagPrivateKey:
		return iotsafe.TagPrivateKeyID, iotsafe.TagPrivateKeyLabel
	case iotsafe.TagPublicKey:
		return iotsafe.TagPublicKeyID, iotsafe.TagPublicKeyLabel
	case iotsafe.TagSecret:
		return iotsafe.TagSecretID, iotsafe.TagSecretLabel
	default:
		return iotsafe.TagFileID, iotsafe.TagFileLabel
	}
}

func tlv(tag bertlv.Tag, parts ...[]byte) []byte { return bertlv.Append(nil, tag, parts...) }

func tlvByte(tag bertlv.Tag, value byte) []byte { return tlv(tag, []byte{value}) }
