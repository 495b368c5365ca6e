package applet

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/iotregistry/sdk/internal/bertlv"
	"github.com/iotregistry/sdk/internal/iotsafe"
	"github.com/iotregistry/sdk/profile"
)

// ErrState is wrapped by errors about a state that no card can go on from.
var ErrState = errors.New("applet: unusable state; restore the last good one with the configuration it was taken with, or none for a new card")

// MaxState is the most bytes that Snapshot makes and New reads; the largest store
// makes about 22 million.
const MaxState = 32 << 20

// stateFormat is the version; it grows with each change that older readers would
// misunderstand.
const stateFormat = "iotsafe-state/1"

// state is what a Snapshot holds: a line with the version and a checksum, which
// finds accidents, not enemies, and then this as JSON. All texts in it are base64,
// which every version of encoding/json writes alike, so that a state can be
// demanded to be exactly as it would be written.
type state struct {
	Objects []savedObject `json:"objects,omitempty"`
}

type savedObject struct {
	Kind      bertlv.Tag `json:"kind"`
	ID        []byte     `json:"id"`
	Label     []byte     `json:"label,omitempty"`
	Access    Access     `json:"access,omitempty"`
	Usage     Usage      `json:"usage,omitempty"`
	Functions Functions  `json:"functions,omitempty"`
	Volatile  bool       `json:"volatile,omitempty"`
	Inactive  bool       `json:"inactive,omitempty"`
	Updated   bool       `json:"updated,omitempty"`
	Data      []byte     `json:"data,omitempty"`   // of a file or secret
	Key       []byte     `json:"key,omitempty"`    // private, as a number
	Public    []byte     `json:"public,omitempty"` // point; beside a private key: that of one that lives elsewhere
	Pair      []byte     `json:"pair,omitempty"`
}

// Changed returns a number that grows with each change of what Snapshot keeps.
// Whoever saves asks for it before Snapshot, so that a change in between is saved
// twice rather than not at all.
func (a *Applet) Changed() uint64 {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.changed
}

// Snapshot returns what the card keeps without power, for Config.State: all
// objects, volatile keys excepted, and which of them were updated without anybody
// having been told. Channels, sessions, faults and an update that has not ended
// are not in it.
//
// The bytes are secret: they hold the private keys that the card made or was given
// in software, and the secrets. Of keys that live elsewhere they have the public
// part; New wants those again, in Config.Objects. It fails where there would be
// more than MaxState bytes.
func (a *Applet) Snapshot() ([]byte, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	var s state
	for _, o := range a.objects {
		saved, err := o.save()
		if err != nil {
			return nil, fmt.Errorf("%w: snapshot: object %X", errInternal, o.id)
		}
		s.Objects = append(s.Objects, saved)
	}
	return s.encode()
}

func (s *state) encode() ([]byte, error) {
	body, err := json.Marshal(s)
	if err != nil {
		return nil, fmt.Errorf("%w: snapshot", errInternal)
	}
	b := append(stateHeader(body), body...)
	if len(b) > MaxState {
		return nil, fmt.Errorf("applet: snapshot: %d bytes, more than %d: remove objects", len(b), MaxState)
	}
	return b, nil
}

// stateHeader is the first line, before body.
func stateHeader(body []byte) []byte {
	return fmt.Appendf(nil, "%s %x\n", stateFormat, sha256.Sum256(body))
}

func (o *object) save() (s savedObject, err error) {
	s = savedObject{
		Kind: o.kind, ID: o.id, Label: []byte(o.label), Access: o.access, Usage: o.usage, Functions: o.functions,
		Volatile: o.volatile, Inactive: o.inactive, Updated: o.updated, Data: o.data, Pair: o.pair,
	}
	if o.public == nil || o.volatile {
		return s, nil
	}
	if own, ok := o.signer.(*ecdsa.PrivateKey); ok {
		s.Key, err = own.Bytes()
		return s, err
	}
	s.Public, err = o.public.Bytes()
	return s, err
}

// restore puts a state into a card that is new.
func (a *Applet) restore(b []byte, given []Object) error {
	s, err := decodeState(b)
	if err == nil {
		err = a.take(s, given)
	}
	if err != nil {
		return fmt.Errorf("%w: %w", ErrState, err)
	}
	return nil
}

// decodeState reads what encode makes. Its errors do not quote the secrets.
func decodeState(b []byte) (*state, error) {
	if len(b) > MaxState {
		return nil, fmt.Errorf("%d bytes, more than %d", len(b), MaxState)
	}
	line, body, _ := bytes.Cut(b, []byte("\n"))
	if format, _, _ := strings.Cut(string(line[:min(len(line), 100)]), " "); format != stateFormat {
		return nil, errors.New("it does not begin with " + stateFormat + ", the version that this program reads")
	}
	if !bytes.HasPrefix(b, stateHeader(body)) {
		return nil, errors.New("it is damaged: the checksum is not that of its bytes")
	}
	s := &state{}
	if err := json.Unmarshal(body, s); err != nil {
		return nil, errors.New("it is not the JSON document it should be")
	}
	if again, err := s.encode(); err != nil || !bytes.Equal(again, b) {
		return nil, errors.New("it has members that this program does not write")
	}
	return s, nil
}

func (a *Applet) take(s *state, given []Object) error {
	outside, err := a.build(given)
	if err != nil {
		return err
	}
	var objects []*object
	for i := range s.Objects {
		o, err := s.Objects[i].load(&a.cfg.Quirks, outside)
		if err != nil {
			return fmt.Errorf("object %d: %w", i, err)
		}
		if slices.ContainsFunc(objects, o.same) {
			return fmt.Errorf("object %d is there twice", i)
		}
		objects = append(objects, o)
	}
	if err := a.check(objects); err != nil {
		return err
	}
	a.objects = objects
	return nil
}

// load makes an object by the way that Put makes one.
func (s *savedObject) load(q *Quirks, outside []*object) (*object, error) {
	object, err := s.object()
	if err != nil {
		return nil, err
	}
	o, err := object.build(q)
	if err != nil {
		return nil, err
	}
	if s.Kind == iotsafe.TagPrivateKey && len(s.Public) > 0 {
		i := slices.IndexFunc(outside, o.same)
		if i < 0 || !outside[i].outside {
			return nil, errors.New("its key lives elsewhere; give it in Config.Objects")
		}
		if point, err := outside[i].public.Bytes(); err != nil || !bytes.Equal(point, s.Public) {
			return nil, errors.New("the key in Config.Objects is another")
		}
		if err := o.setSigner(outside[i].signer, outside[i].exchanger); err != nil {
			return nil, err
		}
	}
	o.updated = s.Updated
	// What build would take for "as usual" or cannot be is no state of ours.
	again, err := o.save()
	if err == nil && !equalSaved(&again, s) {
		err = errors.New("it is not as this program would have written it")
	}
	return o, err
}

func equalSaved(a, b *savedObject) bool {
	x, errX := json.Marshal(a)
	y, errY := json.Marshal(b)
	return errX == nil && errY == nil && bytes.Equal(x, y)
}

// object is what would have been put.
func (s *savedObject) object() (Object, error) {
	label, access := string(s.Label), s.Access
	if access == 0 {
		access = AccessNone
	}
	switch s.Kind {
	case iotsafe.TagFile:
		return File{ID: s.ID, Label: label, Data: s.Data, Usage: s.Usage, Access: access}, nil
	case iotsafe.TagSecret:
		return Secret{ID: s.ID, Label: label, Key: profile.Secret(s.Data), Functions: s.Functions, Access: access, Inactive: s.Inactive}, nil
	case iotsafe.TagPublicKey:
		k := PublicKey{ID: s.ID, Label: label, Usage: s.Usage, Functions: s.Functions, Access: access, Volatile: s.Volatile, Inactive: s.Inactive}
		if len(s.Public) > 0 {
			var err error
			if k.Key, err = ecdsa.ParseUncompressedPublicKey(elliptic.P256(), s.Public); err != nil {
				return nil, errors.New("a public key is none")
			}
		}
		return k, nil
	case iotsafe.TagPrivateKey:
		k := PrivateKey{ID: s.ID, Label: label, Public: s.Pair, Usage: s.Usage, Functions: s.Functions, Access: access, Volatile: s.Volatile, Inactive: s.Inactive}
		if len(s.Key) > 0 {
			key, err := ecdsa.ParseRawPrivateKey(elliptic.P256(), s.Key)
			if err != nil {
				return nil, errors.New("a private key is none")
			}
			k.Key = key
		}
		return k, nil
	}
	return nil, errors.New("it is of no kind")
}
