package applet

import (
	"sync"
	"time"
)

// Faults makes a card misbehave. The zero value is a good one. What a kind of
// card always does is no fault but one of its [Quirks].
type Faults struct {
	// Status is called with each command APDU; a status word other than zero is
	// answered in place of carrying it out.
	Status func(command []byte) uint16

	// RemoveAt has the card removed during a command, counted from SetFaults: 1
	// is the next one; 0 never. RemoveDone says that the command takes effect and
	// only its answer is lost.
	RemoveAt   int
	RemoveDone bool

	Delay time.Duration // before each command
}

// SetFaults replaces the faults and starts to count commands anew.
func (a *Applet) SetFaults(f Faults) {
	a.faults.mu.Lock()
	defer a.faults.mu.Unlock()
	a.faults.set, a.faults.count = f, 0
}

// faultState has a lock of its own so that faults can be set while a command
// waits.
type faultState struct {
	mu      sync.Mutex
	set     Faults
	count   int
	removed bool
}

// fault is what happens to one command.
type fault struct {
	delay         time.Duration
	status        uint16
	removed, done bool
}

// next says what happens to the next command.
func (s *faultState) next(command []byte) (fault, error) {
	f, status, err := s.begin()
	if err == nil && status != nil {
		f.status = status(command) // without the lock: it may set other faults
	}
	return f, err
}

func (s *faultState) begin() (fault, func([]byte) uint16, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.removed {
		return fault{}, nil, ErrRemoved
	}
	s.count++
	f := fault{delay: s.set.Delay, done: s.set.RemoveDone}
	if s.set.RemoveAt > 0 && s.count == s.set.RemoveAt {
		f.removed, s.removed = true, true
	}
	return f, s.set.Status, nil
}

func (s *faultState) insert() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.removed = false
}
