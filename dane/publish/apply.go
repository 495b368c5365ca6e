package publish

import (
	"bytes"
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/miekg/dns"
)

// Publish implements [Publisher]: it applies a change set to the zone, signs
// what is new and makes all of it visible at once. Nothing changes on error; a
// refused record gives a [*RecordError]. Concurrent calls take turns.
//
// The cost is that of one signature per RRset changed, spread over the zone's
// workers, however large the zone is.
func (z *Zone) Publish(ctx context.Context, c ChangeSet) (Receipt, error) {
	ops, err := z.parse(c)
	if err != nil {
		return Receipt{}, err
	}
	select {
	case z.writer <- struct{}{}:
		defer func() { <-z.writer }()
	case <-ctx.Done():
		return Receipt{}, fmt.Errorf("publish: zone %s: %w", z.text, ctx.Err())
	}
	old := z.state.Load()
	e := z.edit(old)
	e.apply(ops)
	jobs, err := e.finish()
	if err != nil {
		return Receipt{}, err
	}
	if !e.changed {
		return Receipt{Serial: old.serial}, nil
	}
	if err := z.signAll(ctx, jobs, z.now()); err != nil {
		return Receipt{}, fmt.Errorf("publish: zone %s: %w", z.text, err)
	}
	z.state.Store(e.st)
	return Receipt{Serial: e.st.serial}, nil
}

// operations are a change set in wire form.
type operations struct {
	clear       []string
	remove, add []record
}

func (z *Zone) parse(c ChangeSet) (ops operations, err error) {
	for _, name := range c.RemoveNames {
		wire, err := packName(name)
		if err != nil {
			return ops, &RecordError{Name: name, Err: fmt.Errorf("%w: owner name", ErrMalformed)}
		}
		cut, ok := below(wire, z.origin)
		if !ok {
			return ops, &RecordError{Name: name, Err: fmt.Errorf("%w %s", ErrOutOfZone, z.text)}
		}
		ops.clear = append(ops.clear, relativeKey(wire[:cut]))
	}
	if ops.remove, err = z.wireRecords(c.Remove, false); err != nil {
		return ops, err
	}
	ops.add, err = z.wireRecords(c.Add, true)
	return ops, err
}

func (z *Zone) wireRecords(rrs []dns.RR, add bool) ([]record, error) {
	out := make([]record, 0, len(rrs))
	for _, rr := range rrs {
		rec, err := z.wireRecord(rr)
		if err != nil {
			return nil, err
		}
		if class := rr.Header().Class; add && class != dns.ClassINET {
			return nil, &RecordError{Name: rr.Header().Name, Type: rec.typ,
				Err: fmt.Errorf("%w: class %s", ErrMalformed, dns.Class(class))}
		}
		out = append(out, rec)
	}
	return out, nil
}

// edit is the next version of a zone in the making.
type edit struct {
	z       *Zone
	st      *state
	gen     uint64
	names   map[string]*draft
	changed bool
}

// draft is a name that a change set touches.
type draft struct {
	key  string
	old  *node // nil for a new name
	sets map[uint16]*draftSet
}

type draftSet struct {
	ttl   uint32
	rdata [][]byte
}

func (z *Zone) edit(from *state) *edit {
	z.gen++
	st := *from
	return &edit{z: z, st: &st, gen: z.gen, names: map[string]*draft{}}
}

// draft returns the draft of a name, starting from what the zone holds.
func (e *edit) draft(key string) *draft {
	d := e.names[key]
	if d == nil {
		d = &draft{key: key, old: e.st.root.get(key), sets: map[uint16]*draftSet{}}
		e.names[key] = d
	}
	return d
}

// set returns the draft of an RRset, starting from what the zone holds.
func (d *draft) set(typ uint16) *draftSet {
	s := d.sets[typ]
	if s == nil {
		s = &draftSet{}
		if d.old != nil {
			if old := d.old.set(typ); old != nil {
				s.ttl, s.rdata = old.ttl, old.rdata()
			}
		}
		d.sets[typ] = s
	}
	return s
}

func (e *edit) apply(ops operations) {
	for _, key := range ops.clear {
		d := e.draft(key)
		if d.old == nil {
			continue
		}
		for _, s := range d.old.sets {
			if key != "" || (s.typ != dns.TypeNS && !managed(s.typ)) {
				d.sets[s.typ] = &draftSet{}
			}
		}
	}
	for _, r := range ops.remove {
		s := e.draft(r.key).set(r.typ)
		s.rdata = slices.DeleteFunc(s.rdata, func(have []byte) bool { return bytes.Equal(have, r.rdata) })
	}
	for _, r := range ops.add {
		s := e.draft(r.key).set(r.typ)
		s.ttl = r.ttl
		s.rdata = append(s.rdata, r.rdata)
	}
}

// finish checks the drafts, puts them in the tree and returns the sets to sign.
func (e *edit) finish() ([]job, error) {
	var jobs []job
	var fresh []*node
	for _, d := range e.names {
		n, sets := d.node()
		if n == d.old {
			continue
		}
		if n != nil {
			if err := e.check(n); err != nil {
				return nil, err
			}
			fresh = append(fresh, n)
		}
		e.put(d, n)
		for _, s := range sets {
			jobs = append(jobs, job{d.key, s})
		}
	}
	if !e.changed {
		return nil, nil
	}
	if err := e.checkPlaces(fresh); err != nil {
		return nil, err
	}
	e.bump()
	return slices.DeleteFunc(jobs, func(j job) bool { return !e.st.authoritative(j.key, j.set.typ) }), nil
}

// node builds the node of a draft, and lists its sets that are new. It returns
// the old node when nothing changed, and nil when nothing is left.
func (d *draft) node() (*node, []*rrset) {
	var sets, fresh []*rrset
	same := true
	if d.old != nil {
		for _, s := range d.old.sets {
			if d.sets[s.typ] == nil {
				sets = append(sets, s)
			}
		}
	}
	for typ, ds := range d.sets {
		var old *rrset
		if d.old != nil {
			old = d.old.set(typ)
		}
		if len(ds.rdata) == 0 {
			same = same && old == nil
			continue
		}
		s := newSet(typ, ds.ttl, ds.rdata)
		if old != nil && bytes.Equal(old.wire, s.wire) {
			s = old
		} else {
			same = false
			fresh = append(fresh, s)
		}
		sets = append(sets, s)
	}
	if same {
		return d.old, nil
	}
	if len(sets) == 0 {
		return nil, nil
	}
	slices.SortFunc(sets, func(a, b *rrset) int { return int(a.typ) - int(b.typ) })
	n := &node{key: d.key, sets: sets}
	if d.old != nil && slices.Equal(d.old.nsecTypes(), n.nsecTypes()) {
		n.nsec.p.Store(d.old.nsec.p.Load())
	}
	return n, fresh
}

// put replaces a draft's old node in the tree by n, which may be nil.
func (e *edit) put(d *draft, n *node) {
	e.changed = true
	e.count(d.old, -1)
	e.count(n, 1)
	if n == nil {
		e.st.root = e.st.root.remove(d.key, e.gen)
	} else {
		e.st.root = e.st.root.put(n, e.gen)
	}
}

func (e *edit) count(n *node, by int) {
	if n == nil {
		return
	}
	e.st.names += by
	if n.isCut() {
		e.st.cuts += by
	}
	if n.set(dns.TypeDNAME) != nil {
		e.st.dnames += by
	}
}

// bump gives the new version its serial.
func (e *edit) bump() {
	e.st.serial++
	if e.st.serial == 0 {
		e.st.serial = 1
	}
	apex := e.st.root.get("")
	next := &node{sets: slices.Clone(apex.sets)}
	for i, s := range next.sets {
		if s.typ == dns.TypeSOA {
			next.sets[i] = e.z.soaSet(e.st.serial)
		}
	}
	next.nsec.p.Store(apex.nsec.p.Load())
	e.st.root = e.st.root.put(next, e.gen)
}

// check applies the rules for the records at one name.
func (e *edit) check(n *node) error {
	wildcard := strings.HasSuffix(n.key, "*\x00") && isWildcard(appendOwner(nil, n.key, e.z.origin))
	for _, s := range n.sets {
		var err error
		switch {
		case len(s.wire) > maxSet:
			err = fmt.Errorf("%w: RRset of %d octets", ErrMalformed, len(s.wire))
		case s.typ == dns.TypeCNAME && (len(n.sets) > 1 || s.count() > 1):
			err = fmt.Errorf("%w: a CNAME stands alone (RFC 2181 s10.1)", ErrConflict)
		case s.typ == dns.TypeDNAME && (s.count() > 1 || n.isCut()):
			err = fmt.Errorf("%w: a DNAME is single and not at a delegation (RFC 6672 s2.4)", ErrConflict)
		case wildcard && (s.typ == dns.TypeNS || s.typ == dns.TypeDNAME):
			err = fmt.Errorf("%w: not at a wildcard (RFC 4592 s4)", ErrConflict)
		case s.typ == dns.TypeDS && !n.isCut():
			err = fmt.Errorf("%w: a DS needs an NS beside it, below the origin", ErrConflict)
		}
		if err != nil {
			return e.refuse(n, s.typ, err)
		}
	}
	if n.key == "" && n.set(dns.TypeNS) == nil {
		return e.refuse(n, dns.TypeNS, fmt.Errorf("%w: the origin needs an NS", ErrConflict))
	}
	return nil
}

// checkPlaces applies the rules between names: nothing below a DNAME.
func (e *edit) checkPlaces(fresh []*node) error {
	if e.st.dnames == 0 {
		return nil
	}
	for _, n := range fresh {
		if n.set(dns.TypeDNAME) != nil && e.st.hasBelow(n.key) {
			return e.refuse(n, dns.TypeDNAME, fmt.Errorf("%w: names exist below it (RFC 6672 s2.4)", ErrConflict))
		}
		for parent := range parentKeys(n.key) {
			if up := e.st.root.get(parent); up != nil && up.set(dns.TypeDNAME) != nil {
				return e.refuse(n, n.sets[0].typ, fmt.Errorf("%w: a DNAME stands above it (RFC 6672 s2.4)", ErrConflict))
			}
		}
	}
	return nil
}

func (e *edit) refuse(n *node, typ uint16, err error) error {
	return &RecordError{Name: nameText(appendOwner(nil, n.key, e.z.origin)), Type: typ, Err: err}
}

// authoritative reports whether the zone signs a set of this type at key: not
// below a delegation, and at one only the DS.
func (st *state) authoritative(key string, typ uint16) bool {
	cut := st.cutAbove(key)
	return cut == nil || (cut.key == key && (typ == dns.TypeDS || typ == dns.TypeNSEC))
}
