package smdp

import (
	"cmp"
	"context"
	"slices"
	"sync"

	"github.com/iotregistry/sdk/registry/eid"
)

// Memory is a [Store] in the process's memory. The zero value is ready. Every
// call costs the same however many profiles there are; a device's own profiles
// are kept in order of their IDs.
type Memory struct {
	mu       sync.RWMutex
	profiles map[string]Profile    // by ICCID
	matching map[string]string     // matching ID to ICCID
	devices  map[eid.ID][]numbered // ascending profile IDs
	waiting  map[eid.ID][]numbered // what Query.EUICC finds, the one to take last
	sessions map[string]string     // transaction to ICCID
}

type numbered struct {
	profileID uint64
	iccid     string
}

// Find implements [Store].
func (m *Memory) Find(ctx context.Context, q Query) (Profile, error) {
	if err := ctx.Err(); err != nil {
		return Profile{}, err
	}
	m.mu.RLock()
	defer m.mu.RUnlock()
	iccid := q.ICCID
	switch {
	case iccid != "":
	case q.MatchingID != "":
		iccid = m.matching[q.MatchingID]
	case !q.Device.IsZero():
		iccid = m.ofDevice(q.Device, q.ProfileID)
	case !q.EUICC.IsZero():
		if list := m.waiting[q.EUICC]; len(list) > 0 {
			iccid = list[len(list)-1].iccid
		}
	default:
		iccid = m.sessions[q.Transaction]
	}
	p, ok := m.profiles[iccid]
	if !ok {
		return Profile{}, ErrNotFound
	}
	return p, nil
}

// ofDevice returns the ICCID of the device's profile, the highest for ID 0.
func (m *Memory) ofDevice(device eid.ID, profileID uint64) string {
	list := m.devices[device]
	if profileID == 0 {
		if len(list) == 0 {
			return ""
		}
		return list[len(list)-1].iccid
	}
	if i, ok := slices.BinarySearchFunc(list, numbered{profileID: profileID}, byID); ok {
		return list[i].iccid
	}
	return ""
}

// Put implements [Store].
func (m *Memory) Put(ctx context.Context, ps ...Profile) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	for i, p := range ps {
		if !m.fits(p) || slices.ContainsFunc(ps[:i], func(o Profile) bool { return clash(o, p) }) {
			return ErrChanged
		}
	}
	if m.profiles == nil {
		m.profiles, m.matching, m.devices = map[string]Profile{}, map[string]string{}, map[eid.ID][]numbered{}
		m.waiting, m.sessions = map[eid.ID][]numbered{}, map[string]string{}
	}
	for _, p := range ps {
		m.unlink(m.profiles[p.ICCID])
	}
	for _, p := range ps {
		p.Version++
		m.profiles[p.ICCID] = p
		m.link(p)
	}
	return nil
}

// fits reports whether p's version is the stored one and its unique values are
// its own or free.
func (m *Memory) fits(p Profile) bool {
	if m.profiles[p.ICCID].Version != p.Version {
		return false
	}
	if other, taken := m.matching[p.MatchingID]; taken && p.MatchingID != "" && other != p.ICCID {
		return false
	}
	if p.ProfileID != 0 {
		if other := m.ofDevice(p.Device, p.ProfileID); other != "" && other != p.ICCID {
			return false
		}
	}
	return true
}

// clash reports whether two records of one Put claim the same unique value.
func clash(a, b Profile) bool {
	return a.ICCID == b.ICCID || a.MatchingID != "" && a.MatchingID == b.MatchingID ||
		a.ProfileID != 0 && a.ProfileID == b.ProfileID && a.Device == b.Device
}

// waits reports whether Query.EUICC finds p.
func waits(p Profile) bool {
	return !p.EUICC.IsZero() && (p.ByDevice || p.ProfileID != 0) && downloadable(p.State)
}

func (m *Memory) unlink(p Profile) {
	delete(m.matching, p.MatchingID)
	for _, id := range p.Download.Transactions {
		delete(m.sessions, id)
	}
	if waits(p) {
		remove(m.waiting, p.EUICC, p, byUrgency)
	}
	if p.ProfileID != 0 {
		remove(m.devices, p.Device, p, byID)
	}
}

func (m *Memory) link(p Profile) {
	if p.MatchingID != "" {
		m.matching[p.MatchingID] = p.ICCID
	}
	for _, id := range p.Download.Transactions {
		m.sessions[id] = p.ICCID
	}
	if waits(p) {
		insert(m.waiting, p.EUICC, p, byUrgency)
	}
	if p.ProfileID != 0 {
		insert(m.devices, p.Device, p, byID)
	}
}

type order func(a, b numbered) int

func byID(a, b numbered) int { return cmp.Compare(a.profileID, b.profileID) }

func byUrgency(a, b numbered) int {
	return cmp.Or(byID(a, b), cmp.Compare(b.iccid, a.iccid))
}

// insert puts p into the list of key.
func insert(lists map[eid.ID][]numbered, key eid.ID, p Profile, by order) {
	n := numbered{p.ProfileID, p.ICCID}
	i, _ := slices.BinarySearchFunc(lists[key], n, by)
	lists[key] = slices.Insert(lists[key], i, n)
}

// remove takes p out of the list of key, and the list away with its last.
func remove(lists map[eid.ID][]numbered, key eid.ID, p Profile, by order) {
	i, ok := slices.BinarySearchFunc(lists[key], numbered{p.ProfileID, p.ICCID}, by)
	if !ok {
		return
	}
	if lists[key] = slices.Delete(lists[key], i, i+1); len(lists[key]) == 0 {
		delete(lists, key)
	}
}
