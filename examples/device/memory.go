package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"runtime/debug"
	"slices"
	"time"

	"github.com/iotregistry/sdk/dane/dnssec"
	"github.com/iotregistry/sdk/examples/internal/cardfile"
	"github.com/iotregistry/sdk/internal/strictjson"
)

// Bounds of what a device remembers.
const (
	maxMemory    = 1 << 20
	maxBundles   = 8
	maxAddresses = 8
)

// released is what no clock can be before, where the binary does not say when it
// was built.
func released() time.Time { return time.Date(2026, time.November, 1, 0, 0, 0, 0, time.UTC) }

// built is when the source that this binary is of was committed.
func built() time.Time {
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return released()
	}
	for _, s := range info.Settings {
		if t, err := time.Parse(time.RFC3339, s.Value); s.Key == "vcs.time" && err == nil && t.After(released()) {
			return t
		}
	}
	return released()
}

// memory is what a device knows from the last time it was connected. None of it is
// trusted for more than it can prove: bundles are judged as the DNS would be, and
// addresses lead to whoever proves to be the provider. Seen alone is believed, and
// only ever makes a clock that is behind run ahead.
type memory struct {
	// Seen is the clock when the DNS last confirmed something by signatures that
	// were in force then, so that it cannot be far in the future.
	Seen time.Time `json:"seen"`

	// Evidence are RFC 9102 bundles in wire form: of the device, its registry and
	// its provider.
	Evidence [][]byte `json:"evidence"`

	Device    string   `json:"device"`   // name of the profile in use
	Provider  string   `json:"provider"` // "host:port"
	Addresses []string `json:"addresses"`
}

var errMemory = errors.New("this is not what device run has written")

func parseMemory(text []byte) (*memory, error) {
	m := new(memory)
	if len(text) > maxMemory {
		return nil, fmt.Errorf("%w: larger than 1 MiB", errMemory)
	}
	if err := strictjson.Decode(text, m, strictjson.Limits{Depth: 2, Names: 8, Elements: maxBundles}); err != nil {
		return nil, fmt.Errorf("%w: %w", errMemory, err)
	}
	if len(m.Evidence) > maxBundles || len(m.Addresses) > maxAddresses {
		return nil, fmt.Errorf("%w: too much of it", errMemory)
	}
	return m, nil
}

// bundles are those that can be read; what they prove shows when it is asked for.
func (m *memory) bundles() []*dnssec.Evidence {
	var list []*dnssec.Evidence
	for _, wire := range m.Evidence {
		if e, err := dnssec.ParseEvidence(wire); err == nil {
			list = append(list, e)
		}
	}
	return list
}

// notebook is a memory's file.
type notebook struct {
	path string // empty: nothing is kept
	memory
}

// openNotebook reads what there is. A file that cannot be used is none: a device
// must start all the same.
func openNotebook(path string, warn func(format string, args ...any)) (*notebook, error) {
	n := &notebook{path: path}
	if path == "" {
		return n, nil
	}
	text, err := readPrivate(path, maxMemory)
	if err != nil || text == nil {
		return n, err
	}
	m, err := parseMemory(text)
	if err != nil {
		warn("%s is left out: %v", path, err)
		return n, nil
	}
	n.memory = *m
	return n, nil
}

// write files another memory whole or not at all.
func (n *notebook) write(m memory) error {
	if len(m.Evidence) > maxBundles {
		m.Evidence = m.Evidence[:maxBundles]
	}
	if len(m.Addresses) > maxAddresses {
		m.Addresses = m.Addresses[:maxAddresses]
	}
	if m.Seen.Before(n.Seen) {
		m.Seen = n.Seen
	}
	n.memory = m
	if n.path == "" {
		return nil
	}
	text, err := json.Marshal(m)
	if err != nil {
		return err
	}
	if err := cardfile.Replace(n.path, text); err != nil {
		return fmt.Errorf("what was learned is not kept: %w", err)
	}
	return nil
}

// same reports whether writing m would be for nothing: a memory lives in flash.
func (n *notebook) same(m memory) bool {
	return slices.EqualFunc(n.Evidence, m.Evidence, slices.Equal[[]byte]) && slices.Equal(n.Addresses, m.Addresses) &&
		n.Device == m.Device && n.Provider == m.Provider && m.Seen.Sub(n.Seen) < time.Hour
}

// steadyClock is a clock that is never before a floor, and goes on from there. A
// device without a battery begins in 1970.
type steadyClock struct {
	now   func() time.Time
	floor time.Time
	start time.Time // what now said at first
}

func newSteadyClock(now func() time.Time, floor time.Time) *steadyClock {
	return &steadyClock{now: now, floor: floor, start: now()}
}

// Now is the time.
func (c *steadyClock) Now() time.Time {
	t := c.now()
	if t.After(c.floor) {
		return t
	}
	return c.floor.Add(max(0, t.Sub(c.start)))
}
