package publish

import "sort"

// node is one owner name. It is replaced, never changed, once a zone holds it;
// only what it caches is filled in later.
type node struct {
	key  string
	sets []*rrset // by type, ascending, never empty
	nsec nsecCache
}

// set returns the RRset of a type, or nil.
func (n *node) set(typ uint16) *rrset {
	for _, s := range n.sets {
		if s.typ == typ {
			return s
		}
	}
	return nil
}

// page is a page of a B+ tree that is copied before it is written, so that
// every published root stays readable for as long as someone holds it. A
// writer owns the pages of its own generation and changes those in place: a
// batch copies each page at most once.
type page struct {
	gen  uint64
	leaf []*node  // in leaves
	kids []*page  // in inner pages, never empty pages
	low  []string // low[i] is at most every key under kids[i], for i > 0
}

const pageSize = 128

func (p *page) own(gen uint64) *page {
	if p.gen == gen {
		return p
	}
	q := &page{gen: gen}
	if p.kids == nil {
		q.leaf = append(make([]*node, 0, len(p.leaf)+8), p.leaf...)
		return q
	}
	q.kids = append(make([]*page, 0, len(p.kids)+2), p.kids...)
	q.low = append(make([]string, 0, len(p.low)+2), p.low...)
	return q
}

// at returns the place of the first node in a leaf whose key is not below key.
func (p *page) at(key string) int {
	return sort.Search(len(p.leaf), func(i int) bool { return p.leaf[i].key >= key })
}

// kid returns the place of the child that would hold key.
func (p *page) kid(key string) int {
	return sort.Search(len(p.kids)-1, func(i int) bool { return p.low[i+1] > key })
}

// get returns the node with this key, or nil.
func (p *page) get(key string) *node {
	for p.kids != nil {
		p = p.kids[p.kid(key)]
	}
	if i := p.at(key); i < len(p.leaf) && p.leaf[i].key == key {
		return p.leaf[i]
	}
	return nil
}

// floor returns the last node whose key is at most key, or nil.
func (p *page) floor(key string) *node {
	if p.kids == nil {
		i := p.at(key)
		if i < len(p.leaf) && p.leaf[i].key == key {
			return p.leaf[i]
		}
		if i == 0 {
			return nil
		}
		return p.leaf[i-1]
	}
	i := p.kid(key)
	n := p.kids[i].floor(key)
	if n == nil && i > 0 {
		for p = p.kids[i-1]; p.kids != nil; {
			p = p.kids[len(p.kids)-1]
		}
		n = p.leaf[len(p.leaf)-1]
	}
	return n
}

// ceil returns the first node whose key is at least key, or nil.
func (p *page) ceil(key string) *node {
	var found *node
	p.ascend(key, func(n *node) bool { found = n; return false })
	return found
}

// ascend calls yield for every node from key on, in order, until it returns
// false.
func (p *page) ascend(key string, yield func(*node) bool) bool {
	if p.kids == nil {
		for _, n := range p.leaf[p.at(key):] {
			if !yield(n) {
				return false
			}
		}
		return true
	}
	for _, kid := range p.kids[p.kid(key):] {
		if !kid.ascend(key, yield) {
			return false
		}
	}
	return true
}

// put returns the tree with n in it, in place of a node of the same key.
func (p *page) put(n *node, gen uint64) *page {
	left, right := p.insert(n, gen)
	if right == nil {
		return left
	}
	return &page{gen: gen, kids: []*page{left, right}, low: []string{"", right.first()}}
}

func (p *page) insert(n *node, gen uint64) (left, right *page) {
	p = p.own(gen)
	if p.kids == nil {
		i := p.at(n.key)
		if i < len(p.leaf) && p.leaf[i].key == n.key {
			p.leaf[i] = n
			return p, nil
		}
		p.leaf = append(p.leaf, nil)
		copy(p.leaf[i+1:], p.leaf[i:])
		p.leaf[i] = n
		return p.split()
	}
	i := p.kid(n.key)
	kid, more := p.kids[i].insert(n, gen)
	p.kids[i] = kid
	if more == nil {
		return p, nil
	}
	p.kids = append(p.kids, nil)
	p.low = append(p.low, "")
	copy(p.kids[i+2:], p.kids[i+1:])
	copy(p.low[i+2:], p.low[i+1:])
	p.kids[i+1], p.low[i+1] = more, more.first()
	return p.split()
}

// split halves a page that has grown too large.
func (p *page) split() (left, right *page) {
	right = &page{gen: p.gen}
	switch {
	case len(p.leaf) > pageSize:
		right.leaf = append(right.leaf, p.leaf[pageSize/2:]...)
		clear(p.leaf[pageSize/2:])
		p.leaf = p.leaf[:pageSize/2]
	case len(p.kids) > pageSize:
		right.kids = append(right.kids, p.kids[pageSize/2:]...)
		right.low = append(right.low, p.low[pageSize/2:]...)
		clear(p.kids[pageSize/2:])
		clear(p.low[pageSize/2:])
		p.kids, p.low = p.kids[:pageSize/2], p.low[:pageSize/2]
	default:
		return p, nil
	}
	return p, right
}

// first returns the least key under a page.
func (p *page) first() string {
	for p.kids != nil {
		p = p.kids[0]
	}
	return p.leaf[0].key
}

// remove returns the tree without key, or nil when nothing is left.
func (p *page) remove(key string, gen uint64) *page {
	p = p.own(gen)
	if p.kids == nil {
		if i := p.at(key); i < len(p.leaf) && p.leaf[i].key == key {
			p.leaf = append(p.leaf[:i], p.leaf[i+1:]...)
		}
		if len(p.leaf) == 0 {
			return nil
		}
		return p
	}
	i := p.kid(key)
	if kid := p.kids[i].remove(key, gen); kid != nil {
		p.kids[i] = kid
		p.merge(i, gen)
	} else {
		p.drop(i)
	}
	switch len(p.kids) {
	case 0:
		return nil
	case 1:
		return p.kids[0]
	}
	return p
}

// merge joins the child at i with its right neighbour when both have become
// small.
func (p *page) merge(i int, gen uint64) {
	if i+1 == len(p.kids) {
		i--
	}
	if i < 0 || i+1 >= len(p.kids) {
		return
	}
	a, b := p.kids[i], p.kids[i+1]
	if (a.kids == nil) != (b.kids == nil) || len(a.leaf)+len(a.kids)+len(b.leaf)+len(b.kids) > pageSize/2 {
		return
	}
	a = a.own(gen)
	a.leaf = append(a.leaf, b.leaf...)
	if a.kids != nil {
		at := len(a.kids)
		a.kids = append(a.kids, b.kids...)
		a.low = append(a.low, b.low...)
		a.low[at] = p.low[i+1]
	}
	p.kids[i] = a
	p.drop(i + 1)
}

func (p *page) drop(i int) {
	p.kids = append(p.kids[:i], p.kids[i+1:]...)
	p.low = append(p.low[:i], p.low[i+1:]...)
}
