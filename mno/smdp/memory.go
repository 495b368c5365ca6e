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
	waiting  map[eid.ID][]string   // ICCIDs of what Query.ByDevice finds, ascending
	sessions map[string]string     // transaction to ICCID
}

type numbered struct {
	profileID uint64
	iccid     string
}

func byID(n numbered, id uint64) int { return cmp.Compare(n.profileID, id) }

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
	case !q.ByDevice.IsZero():
		if list := m.waiting[q.ByDevice]; len(list) > 0 {
			iccid = list[0]
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
	if i, ok := slices.BinarySearchFunc(list, profileID, byID); ok {
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
		m.waiting, m.sessions = map[eid.ID][]string{}, map[string]string{}
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

// waits reports whether Query.ByDevice finds p.
func waits(p Profile) bool {
	return p.ByDevice && p.ProfileID == 0 && downloadable(p.State)
}

func (m *Memory) unlink(p Profile) {
	delete(m.matching, p.MatchingID)
	for _, id := range p.Download.Transactions {
		delete(m.sessions, id)
	}
	if waits(p) {
		list := m.waiting[p.Device]
		if i, ok := slices.BinarySearch(list, p.ICCID); ok {
			if list = slices.Delete(list, i, i+1); len(list) > 0 {
				m.waiting[p.Device] = list
			} else {
				delete(m.waiting, p.Device)
			}
		}
	}
	if p.ProfileID == 0 {
		return
	}
	list := m.devices[p.Device]
	if i, ok := slices.BinarySearchFunc(list, p.ProfileID, byID); ok {
		if list = slices.Delete(list, i, i+1); len(list) > 0 {
			m.devices[p.Device] = list
		} else {
			delete(m.devices, p.Device)
		}
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
		list := m.waiting[p.Device]
		i, _ := slices.BinarySearch(list, p.ICCID)
		m.waiting[p.Device] = slices.Insert(list, i, p.ICCID)
	}
	if p.ProfileID == 0 {
		return
	}
	list := m.devices[p.Device]
	i, _ := slices.BinarySearchFunc(list, p.ProfileID, byID)
	m.devices[p.Device] = slices.Insert(list, i, numbered{p.ProfileID, p.ICCID})
}
