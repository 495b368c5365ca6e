package iotsafe

import (
	"fmt"

	"github.com/iotregistry/sdk/internal/bertlv"
	words "github.com/iotregistry/sdk/internal/iotsafe"
)

// Name says which object of the card is meant. The zero Name means none. Names can
// be compared.
type Name struct {
	kind  nameKind
	text  string // ID or label
	digit byte   // number of a container
}

type nameKind int

const (
	byID nameKind = iota + 1
	byLabel
	byNumber
)

// ID names an object by the 1 to 20 bytes of its ID.
func ID(id ...byte) Name { return Name{kind: byID, text: string(id)} }

// Label names an object by its label of 1 to 60 bytes.
func Label(label string) Name { return Name{kind: byLabel, text: label} }

// Container names an object by the number that CIRA's prototype gives it, from 1
// to 10. The client writes it as wide as the card's IDs are.
func Container(number byte) Name { return Name{kind: byNumber, digit: number} }

// String returns the name for people to read.
func (n Name) String() string {
	switch n.kind {
	case byID:
		return fmt.Sprintf("ID %X", n.text)
	case byLabel:
		return fmt.Sprintf("label %q", n.text)
	case byNumber:
		return fmt.Sprintf("container %d", n.digit)
	}
	return "no name"
}

// tags are the two that name an object of one kind.
type tags struct{ id, label bertlv.Tag }

func tagsOf(kind Kind) tags {
	switch kind {
	case PrivateKey:
		return tags{words.TagPrivateKeyID, words.TagPrivateKeyLabel}
	case PublicKey:
		return tags{words.TagPublicKeyID, words.TagPublicKeyLabel}
	case Secret:
		return tags{words.TagSecretID, words.TagSecretLabel}
	default:
		return tags{words.TagFileID, words.TagFileLabel}
	}
}

// encode writes a name as the card wants it.
func (c *Client) encode(n Name, kind Kind) ([]byte, error) {
	t := tagsOf(kind)
	switch {
	case n.kind == byNumber:
		return bertlv.Append(nil, t.id, c.Quirks().number(n.digit)), nil
	case n.kind == byID && len(n.text) > 0 && len(n.text) <= words.MaxID:
		return bertlv.Append(nil, t.id, []byte(n.text)), nil
	case n.kind == byLabel && len(n.text) > 0 && len(n.text) <= words.MaxLabel:
		return bertlv.Append(nil, t.label, []byte(n.text)), nil
	}
	return nil, invalid("%v: an ID has 1 to %d bytes, a label 1 to %d", n, words.MaxID, words.MaxLabel)
}

// number returns the ID of a container.
func (q Quirks) number(n byte) []byte {
	if q.IDDigits {
		return fmt.Appendf(nil, "%0*d", q.IDWidth, n)
	}
	id := make([]byte, q.IDWidth)
	if q.IDLittleEndian {
		id[0] = n
	} else {
		id[len(id)-1] = n
	}
	return id
}

// is reports whether an object has the name.
func (n Name) is(o *Object, q Quirks) bool {
	switch n.kind {
	case byLabel:
		return o.Label == n.text
	case byNumber:
		return string(o.ID) == string(q.number(n.digit))
	}
	return string(o.ID) == n.text
}
