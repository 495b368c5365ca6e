package main

import (
	"encoding/json"
	"fmt"
	"io"
	"strings"
	"sync"
	"time"

	rt "github.com/iotregistry/sdk/profile/device"
)

// event is a line that tells what happened. It holds no secrets.
type event struct {
	Time    time.Time `json:"time"`
	Event   string    `json:"event"`
	Profile uint64    `json:"profile,omitempty"`
	Name    string    `json:"name,omitempty"`     // of the device
	Service string    `json:"provider,omitempty"` // "host:port"
	Text    string    `json:"text,omitempty"`
	Error   string    `json:"error,omitempty"`
	Wait    string    `json:"wait,omitempty"` // until the next attempt
}

func (e *event) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s %s", e.Time.UTC().Format(time.RFC3339), e.Event)
	if e.Profile != 0 {
		fmt.Fprintf(&b, " profile %d", e.Profile)
	}
	for _, s := range []string{e.Name, e.Service, e.Text} {
		if s != "" {
			b.WriteString(" " + shown(s))
		}
	}
	if e.Error != "" {
		b.WriteString(": " + shown(e.Error))
	}
	if e.Wait != "" {
		b.WriteString("; next attempt in " + e.Wait)
	}
	return b.String()
}

// teller prints events, one a line, and what else is written to it. It is safe for
// concurrent use.
type teller struct {
	json bool
	now  func() time.Time

	mu sync.Mutex
	w  io.Writer
}

// Write writes what is a line already.
func (t *teller) Write(b []byte) (int, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.w.Write(b)
}

func (t *teller) tell(e event) {
	e.Time = t.now().UTC()
	line := []byte(e.String())
	if t.json {
		var err error
		if line, err = json.Marshal(e); err != nil {
			return // it has text only
		}
	}
	_, _ = t.Write(append(line, '\n')) // a device goes on with nobody listening
}

// observe tells what the runtime says.
func (t *teller) observe(e rt.Event) {
	if e.Kind == rt.Connected {
		return // told with more by who serves it
	}
	line := event{Event: string(e.Kind), Profile: e.ProfileID}
	if e.Err != nil {
		line.Error = e.Err.Error()
	}
	if e.Wait > 0 {
		line.Wait = e.Wait.Round(time.Millisecond).String()
	}
	t.tell(line)
}
