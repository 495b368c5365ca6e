package main

import (
	"context"
	"errors"
	"slices"
	"sync"
	"time"

	"github.com/iotregistry/sdk/registry/eid"
)

// Bounds of commands that wait for devices.
const (
	maxCommand   = 4 << 10
	maxWaiting   = 16     // for one device
	maxMailboxes = 10_000 // with something in them
	commandLife  = time.Hour
)

var errMailbox = errors.New("too many commands are waiting")

// mailboxes hold commands for devices that ask for them.
type mailboxes struct {
	now func() time.Time

	mu    sync.Mutex
	boxes map[eid.ID]*mailbox
}

type mailbox struct {
	commands []command
	news     chan struct{} // closed when something comes
	waiting  int           // who waits for it
}

type command struct {
	text string
	ends time.Time
}

// box returns a device's mailbox without what is too old.
func (m *mailboxes) box(id eid.ID) *mailbox {
	b := m.boxes[id]
	if b == nil {
		b = &mailbox{news: make(chan struct{})}
	}
	now := m.now()
	b.commands = slices.DeleteFunc(b.commands, func(c command) bool { return !now.Before(c.ends) })
	return b
}

// keep stores a mailbox, or forgets it where nobody needs it.
func (m *mailboxes) keep(id eid.ID, b *mailbox) {
	if m.boxes == nil {
		m.boxes = map[eid.ID]*mailbox{}
	}
	if len(b.commands) == 0 && b.waiting == 0 {
		delete(m.boxes, id)
		return
	}
	m.boxes[id] = b
}

// put leaves a command for a device.
func (m *mailboxes) put(id eid.ID, text string) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.boxes[id] == nil && len(m.boxes) >= maxMailboxes {
		for other := range m.boxes {
			m.keep(other, m.box(other))
		}
	}
	b := m.box(id)
	if m.boxes[id] == nil && len(m.boxes) >= maxMailboxes || len(b.commands) >= maxWaiting {
		return errMailbox
	}
	b.commands = append(b.commands, command{text, m.now().Add(commandLife)})
	close(b.news)
	b.news = make(chan struct{})
	m.keep(id, b)
	return nil
}

// take returns a device's commands, which are gone then, and waits for some until
// ctx ends.
func (m *mailboxes) take(ctx context.Context, id eid.ID) []string {
	for {
		texts, news := m.look(id)
		if len(texts) > 0 {
			return texts
		}
		select {
		case <-news:
			m.left(id)
		case <-ctx.Done():
			m.left(id)
			return nil
		}
	}
}

func (m *mailboxes) look(id eid.ID) (texts []string, news <-chan struct{}) {
	m.mu.Lock()
	defer m.mu.Unlock()
	b := m.box(id)
	for _, c := range b.commands {
		texts = append(texts, c.text)
	}
	if b.commands = nil; len(texts) == 0 {
		b.waiting++
	}
	m.keep(id, b)
	return texts, b.news
}

func (m *mailboxes) left(id eid.ID) {
	m.mu.Lock()
	defer m.mu.Unlock()
	b := m.box(id)
	b.waiting--
	m.keep(id, b)
}
