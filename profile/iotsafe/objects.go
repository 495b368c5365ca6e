package iotsafe

import (
	"context"
	"errors"
	"fmt"

	"github.com/iotregistry/sdk/internal/apdu"
	"github.com/iotregistry/sdk/internal/bertlv"
	words "github.com/iotregistry/sdk/internal/iotsafe"
)

// maxObjects bounds what a card's list of objects may hold.
const maxObjects = 256

// Kind is what an object is, as GET DATA numbers it.
type Kind byte

// The kinds of objects.
const (
	PrivateKey Kind = words.TagPrivateKey
	PublicKey  Kind = words.TagPublicKey
	File       Kind = words.TagFile
	Secret     Kind = words.TagSecret
)

// String returns the kind's name.
func (k Kind) String() string {
	switch k {
	case PrivateKey:
		return "private key"
	case PublicKey:
		return "public key"
	case File:
		return "file"
	case Secret:
		return "secret"
	}
	return fmt.Sprintf("kind %02X", byte(k))
}

// Object is what the card tells of one of its objects. What it does not tell is
// zero. Numbers are those of IoT.05.
type Object struct {
	Kind      Kind
	ID        []byte
	Label     string
	Access    byte // bit 1 read, bit 2 update
	State     byte // 1 active, 0 inactive
	Type      byte // of a key: 13 hexadecimal for P-256
	Usage     byte // of a key or file; of a file 1 general, 2 certificate
	Functions byte // of a key: bit 1 sign, 2 generate, 3 agree, 4 derive
	Size      int  // of a file, in bytes
}

// Name returns the object's ID as a name, or its label where it has no ID.
func (o *Object) Name() Name {
	if len(o.ID) == 0 {
		return Label(o.Label)
	}
	return ID(o.ID...)
}

// Objects returns what is on the card. Some cards cannot tell: the error is a
// *StatusError then, or ErrMalformed.
func (c *Client) Objects(ctx context.Context) (objects []Object, err error) {
	err = c.converse(ctx, true, func(ctx context.Context) error {
		objects, err = c.list(ctx)
		return err
	})
	return objects, err
}

func (c *Client) list(ctx context.Context) ([]Object, error) {
	r, err := c.inChunks(func(chunk int) (apdu.Response, error) {
		return c.exec(ctx, "GET DATA", apdu.Command{INS: words.INSGetData, P1: words.DataObjects, Le: lengthFor(chunk)})
	})
	if err != nil && (!isStatus(err, apdu.MoreData) || len(r.Data) == 0) {
		return nil, err
	}
	return parseObjects(r.Data)
}

// Find returns what the card tells of one object. ErrNotFound means that there is
// none of that kind with that name.
func (c *Client) Find(ctx context.Context, kind Kind, name Name) (o *Object, err error) {
	err = c.converse(ctx, true, func(ctx context.Context) error {
		o, err = c.find(ctx, kind, name)
		return err
	})
	return o, err
}

func (c *Client) find(ctx context.Context, kind Kind, name Name) (*Object, error) {
	which, err := c.encode(name, kind)
	if err != nil {
		return nil, err
	}
	r, err := c.exec(ctx, "GET DATA", apdu.Command{INS: words.INSGetData, P1: byte(kind), Data: which, Le: anyLength})
	if err == nil {
		if objects, bad := parseObjects(r.Data); bad == nil {
			for i := range objects {
				if objects[i].Kind == kind {
					return &objects[i], nil
				}
			}
		}
	} else if status(err) == 0 || errors.Is(err, ErrNotFound) || errors.Is(err, ErrChanged) {
		return nil, err
	}
	objects, err := c.list(ctx) // it may be missing for one object only
	if err != nil {
		return nil, err
	}
	for i, q := 0, c.Quirks(); i < len(objects); i++ {
		if objects[i].Kind == kind && name.is(&objects[i], q) {
			return &objects[i], nil
		}
	}
	return nil, fmt.Errorf("%w: %v, %v", ErrNotFound, kind, name)
}

// parseObjects reads a list of objects. Objects that it cannot read end the list
// with an error; members that it cannot read end their object.
func parseObjects(b []byte) ([]Object, error) {
	var objects []Object
	for len(b) > 0 && b[0] != 0 && b[0] != 0xFF { // some answers are padded
		t, rest, err := bertlv.Read(b)
		switch {
		case err != nil:
			return nil, malformed("GET DATA", "%v", err)
		case t.Tag < words.TagPrivateKey || t.Tag > words.TagSecret:
			return nil, malformed("GET DATA", "tag %v is no object", t.Tag)
		case len(objects) == maxObjects:
			return nil, malformed("GET DATA", "more than %d objects", maxObjects)
		}
		objects, b = append(objects, parseObject(Kind(t.Tag), t.Value)), rest
	}
	return objects, nil
}

func parseObject(kind Kind, b []byte) Object {
	o := Object{Kind: kind}
	t := tagsOf(kind)
	for len(b) > 0 {
		member, rest, err := bertlv.Read(b)
		if err != nil {
			if len(b) > 2 && bertlv.Tag(b[0]) == t.id && len(o.ID) == 0 {
				o.ID = clip(b[2:]) // an ID whose length is off by one
			}
			break
		}
		b = rest
		switch member.Tag {
		case t.id:
			o.ID = clip(member.Value)
		case t.label:
			o.Label = string(member.Value[:min(len(member.Value), words.MaxLabel)])
		case words.TagAccess:
			o.Access = last(member.Value)
		case words.TagState:
			o.State = last(member.Value)
		case words.TagKeyType:
			o.Type = last(member.Value)
		case words.TagKeyUsage, words.TagFileUsage:
			o.Usage = last(member.Value)
		case words.TagKeyFunction:
			o.Functions = last(member.Value)
		case words.TagFileSize:
			o.Size = fileSize(member.Value)
		}
	}
	return o
}

func clip(id []byte) []byte { return append([]byte{}, id[:min(len(id), words.MaxID)]...) }

func last(b []byte) byte {
	if len(b) == 0 {
		return 0
	}
	return b[len(b)-1]
}

func fileSize(b []byte) int {
	n := 0
	for _, x := range b[:min(len(b), 4)] {
		n = n<<8 | int(x)
	}
	return n
}

// isApplication reports whether b is what IoT.05 has GET DATA tell of an applet:
// its version first.
func isApplication(b []byte) bool {
	t, _, err := bertlv.Read(b)
	return err == nil && t.Tag == words.TagVersion && len(t.Value) > 0
}
