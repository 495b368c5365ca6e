package publish

import (
	"bufio"
	"context"
	"fmt"
	"io"

	"github.com/miekg/dns"
)

// textBatch is how many names WriteTo signs before it writes them.
const textBatch = 1024

// WriteTo writes the zone as master-file text (RFC 1035 s5): names in canonical
// order with the SOA first, every RRset followed by its signatures, every name
// by its NSEC, all names absolute. Signatures that are missing or due are made,
// on all workers. The text is one consistent version of the zone, whatever is
// published meanwhile.
func (z *Zone) WriteTo(w io.Writer) (int64, error) {
	st := z.state.Load()
	count := &counter{w: w}
	out := &textWriter{z: z, st: st, w: bufio.NewWriterSize(count, 1<<16)}
	batch := make([]*node, 0, textBatch)
	var err error
	st.root.ascend("", func(n *node) bool {
		if batch = append(batch, n); len(batch) == textBatch {
			err = out.batch(batch)
			batch = batch[:0]
		}
		return err == nil
	})
	if err == nil {
		err = out.batch(batch)
	}
	if err == nil {
		err = out.w.Flush()
	}
	if err != nil {
		return count.n, fmt.Errorf("publish: writing zone %s: %w", z.text, err)
	}
	return count.n, nil
}

// counter counts what has been written.
type counter struct {
	w io.Writer
	n int64
}

func (c *counter) Write(p []byte) (int, error) {
	n, err := c.w.Write(p)
	c.n += int64(n)
	return n, err
}

type textWriter struct {
	z     *Zone
	st    *state
	w     *bufio.Writer
	owner []byte
}

// batch signs and writes some names.
func (t *textWriter) batch(nodes []*node) error {
	var jobs []job
	type line struct {
		job
		signed bool
	}
	var lines []line
	for _, n := range nodes {
		for _, s := range soaFirst(n.sets) {
			lines = append(lines, line{job{n.key, s}, t.z.isSigned() && t.st.authoritative(n.key, s.typ)})
		}
		if t.z.isSigned() && !t.st.occluded(n) {
			lines = append(lines, line{job{n.key, t.z.nsec(t.st, n)}, true})
		}
	}
	for _, l := range lines {
		if l.signed {
			jobs = append(jobs, l.job)
		}
	}
	now := t.z.now()
	if err := t.z.signAll(context.Background(), jobs, now); err != nil {
		return err
	}
	for _, l := range lines {
		t.owner = appendOwner(t.owner[:0], l.key, t.z.origin)
		if err := t.records(l.set.wire); err != nil {
			return err
		}
		if !l.signed {
			continue
		}
		sigs, err := t.z.signed(l.key, l.set, now)
		if err != nil {
			return err
		}
		if err := t.records(sigs.wire); err != nil {
			return err
		}
	}
	return nil
}

// records writes a run of records in the form of rrset.wire.
func (t *textWriter) records(wire []byte) error {
	var buf []byte
	for body, rest := []byte(nil), wire; len(rest) > 0; {
		body, rest = nextBody(rest)
		buf = append(append(buf[:0], t.owner...), body...)
		rr, _, err := dns.UnpackRR(buf, 0)
		if err != nil {
			return err
		}
		if _, err := fmt.Fprintln(t.w, rr); err != nil {
			return err
		}
	}
	return nil
}

// soaFirst puts the SOA, if there is one, before the other sets.
func soaFirst(sets []*rrset) []*rrset {
	for i, s := range sets {
		if s.typ == dns.TypeSOA && i > 0 {
			ordered := append([]*rrset{s}, sets[:i]...)
			return append(ordered, sets[i+1:]...)
		}
	}
	return sets
}
