package applet

import (
	"errors"
	"fmt"
	"slices"

	"github.com/iotregistry/sdk/internal/iotsafe"
)

// ErrUpdate means that another update is going on, or that this one has ended or
// was lost with the power.
var ErrUpdate = errors.New("applet: another update is going on, or this one has ended")

// Update is a remote administration session that replaces objects. Until it ends,
// commands on them are refused (6984) and the old ones stay; then all are replaced
// at once. The first command on each of them tells its client: by 63CF where it
// succeeds, else by 6989. Sessions on replaced keys have ended then. A loss of
// power ends it without effect.
type Update struct {
	card    *Applet
	objects []*object
}

// BeginUpdate starts to replace objects; of several updates at a time the later
// get [ErrUpdate]. Its other errors wrap [ErrObject] or [ErrFull].
func (a *Applet) BeginUpdate(objects ...Object) (*Update, error) {
	built, err := a.build(objects)
	if err != nil {
		return nil, err
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.update != nil {
		return nil, ErrUpdate
	}
	if _, err := a.with(built); err != nil {
		return nil, err
	}
	a.update = &Update{card: a, objects: built}
	return a.update, nil
}

// End replaces the objects. Where it fails, the update has ended without effect.
func (u *Update) End() error {
	a := u.card
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.update != u {
		return ErrUpdate
	}
	a.update = nil
	next, err := a.with(u.objects)
	if err != nil {
		return err
	}
	for _, o := range u.objects {
		o.updated = !o.removed
	}
	a.set(next)
	return nil
}

// Abort ends the update without effect; after End it does nothing.
func (u *Update) Abort() {
	a := u.card
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.update == u {
		a.update = nil
	}
}

// touches reports whether an object that matches is being replaced.
func (u *Update) touches(match func(*object) bool) bool {
	return slices.ContainsFunc(u.objects, match) || slices.ContainsFunc(u.card.objects, func(o *object) bool {
		return match(o) && slices.ContainsFunc(u.objects, o.same) // the old one's label
	})
}

// Update replaces objects at once, as a remote administration session between two
// commands does: see [Update].
func (a *Applet) Update(objects ...Object) error {
	u, err := a.BeginUpdate(objects...)
	if err != nil {
		return err
	}
	return u.End()
}

// Put replaces objects, all or none, as a factory does: nobody is told. Its errors
// wrap [ErrObject], [ErrFull] or [ErrUpdate].
func (a *Applet) Put(objects ...Object) error {
	built, err := a.build(objects)
	if err != nil {
		return err
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.update != nil {
		return ErrUpdate
	}
	next, err := a.with(built)
	if err != nil {
		return err
	}
	a.set(next)
	return nil
}

func (a *Applet) set(objects []*object) {
	a.objects = objects
	a.changed++
}

func (a *Applet) build(objects []Object) (built []*object, err error) {
	for _, object := range objects {
		if object == nil {
			return nil, fmt.Errorf("%w: nil", ErrObject)
		}
		o, err := object.build(&a.cfg.Quirks)
		if err != nil {
			return nil, err
		}
		if slices.ContainsFunc(built, o.same) {
			return nil, fmt.Errorf("%w: %X is there twice", ErrObject, o.id)
		}
		built = append(built, o)
	}
	return built, nil
}

// with returns what the store is once objects have been put, if it holds them. An
// object that is replaced keeps its place.
func (a *Applet) with(objects []*object) ([]*object, error) {
	next := slices.Clone(a.objects)
	for _, o := range objects {
		i := slices.IndexFunc(next, o.same)
		switch {
		case i >= 0 && o.removed:
			next = slices.Delete(next, i, i+1)
		case i >= 0:
			next[i] = o
		case !o.removed:
			next = append(next, o)
		}
	}
	return next, a.check(next)
}

// check wants labels that name one object, and as many objects as there is room
// for.
func (a *Applet) check(objects []*object) error {
	limits := a.cfg.Limits
	left := map[int]int{
		iotsafe.TagFile: limits.Files, iotsafe.TagPrivateKey: limits.PrivateKeys,
		iotsafe.TagPublicKey: limits.PublicKeys, iotsafe.TagSecret: limits.Secrets,
	}
	for i, o := range objects {
		if left[int(o.kind)]--; left[int(o.kind)] < 0 {
			return ErrFull
		}
		if o.label != "" && slices.ContainsFunc(objects[:i], func(p *object) bool { return p.kind == o.kind && p.label == o.label }) {
			return fmt.Errorf("%w: two have the label of %X", ErrObject, o.id)
		}
	}
	return nil
}
