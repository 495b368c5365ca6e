package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"time"

	rt "github.com/iotregistry/sdk/profile/device"
)

// Bounds of what a provider may say.
const (
	maxCommands = 64 << 10 // bytes of an answer
	maxCommand  = 4 << 10  // bytes of one command
	maxOrders   = 64       // commands of one answer
	maxPoll     = 30 * time.Second
	patience    = 30 * time.Second // for an answer
)

// sayer is the one of -say.
func (l *live) sayer() (sayer, error) {
	switch l.liveFlags.say {
	case "https":
		return l.sayHTTPS, nil
	case "mqtt":
		return l.mqtt()
	}
	return nil, fmt.Errorf("-say: %q is neither https nor mqtt", l.liveFlags.say)
}

// order tells of a command that the provider has sent.
func (l *live) order(s *rt.Session, text string) {
	l.teller.tell(event{Event: "command", Profile: s.Identity.Credentials.ProfileID, Text: text[:min(len(text), maxCommand)]})
}

// said tells that the provider has taken the device's status.
func (l *live) said(s *rt.Session) {
	l.teller.tell(event{Event: "said", Profile: s.Identity.Credentials.ProfileID, Text: l.status})
}

// line is HTTP/1.1 on a connection that is verified already: one question at a
// time.
type line struct {
	s      *rt.Session
	in     *bufio.Reader
	closed bool // the provider ends the connection after its answer
}

var errGone = errors.New("the provider ends the connection")

// ask sends a request and returns the answer's status and body.
func (n *line) ask(ctx context.Context, method, target string, wait time.Duration) (int, []byte, error) {
	if n.closed {
		return 0, nil, errGone
	}
	c := n.s.Identity.Credentials
	r, err := http.NewRequestWithContext(ctx, method, "https://"+service(c)+target, http.NoBody)
	if err != nil {
		return 0, nil, err
	}
	if err := n.s.Conn.SetDeadline(time.Now().Add(wait + patience)); err != nil { // of the system, not of the device's clock
		return 0, nil, err
	}
	if err := r.Write(n.s.Conn); err != nil {
		return 0, nil, err
	}
	answer, err := http.ReadResponse(n.in, r)
	if err != nil {
		return 0, nil, err
	}
	defer answer.Body.Close()
	body, err := io.ReadAll(io.LimitReader(answer.Body, maxCommands+1))
	if err != nil {
		return 0, nil, err
	}
	if len(body) > maxCommands {
		return 0, nil, fmt.Errorf("the provider's answer is larger than %d bytes", maxCommands)
	}
	n.closed = answer.Close
	return answer.StatusCode, body, nil
}

// sayHTTPS says the status again and again, and asks for commands in between.
func (l *live) sayHTTPS(ctx context.Context, s *rt.Session) error {
	defer context.AfterFunc(l.stopping, func() { _ = s.Conn.SetDeadline(time.Unix(1, 0)) })()
	n := &line{s: s, in: bufio.NewReaderSize(io.LimitReader(s.Conn, 1<<40), 4<<10)}
	for commands := true; ; {
		err := l.round(ctx, n, &commands)
		switch {
		case l.stopping.Err() != nil:
			return nil
		case err != nil:
			return err
		}
	}
}

// round says the status once, and waits for commands as long as it holds.
func (l *live) round(ctx context.Context, n *line, commands *bool) error {
	status, _, err := n.ask(ctx, http.MethodPut, "/status?is="+url.QueryEscape(l.status), 0)
	if err != nil {
		return err
	}
	if status/100 != 2 {
		return fmt.Errorf("the provider does not take the status: HTTP %d", status)
	}
	l.said(n.s)
	for left := l.interval; left > 0; left -= maxPoll {
		wait := min(left, maxPoll)
		if !*commands {
			if err := l.doze(ctx, wait); err != nil {
				return err
			}
			continue
		}
		began := time.Now()
		if *commands, err = l.fetch(ctx, n, wait); err != nil {
			return err
		}
		if rest := wait - time.Since(began); !*commands || rest > wait/2 { // it does not keep questions waiting
			if err := l.doze(ctx, max(rest, 0)); err != nil {
				return err
			}
		}
	}
	return nil
}

// doze waits, but not longer than the device may run.
func (l *live) doze(ctx context.Context, d time.Duration) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	defer context.AfterFunc(l.stopping, cancel)()
	return l.world.pause(ctx, d)
}

// fetch asks for commands, and reports whether this provider has any to ask for.
func (l *live) fetch(ctx context.Context, n *line, wait time.Duration) (bool, error) {
	seconds := int(wait / time.Second)
	status, body, err := n.ask(ctx, http.MethodGet, "/commands?wait="+strconv.Itoa(seconds), wait)
	switch {
	case err != nil:
		return true, err
	case status == http.StatusNoContent:
		return true, nil
	case status == http.StatusNotFound, status == http.StatusMethodNotAllowed:
		return false, nil
	case status != http.StatusOK:
		return true, fmt.Errorf("the provider gives no commands: HTTP %d", status)
	}
	list, err := parseCommands(body)
	if err != nil {
		return true, err
	}
	for _, text := range list {
		l.order(n.s, text)
	}
	return true, nil
}

// parseCommands reads a JSON array of strings.
func parseCommands(body []byte) ([]string, error) {
	var list []string
	if json.Unmarshal(body, &list) != nil || len(list) > maxOrders { // its text would quote the body
		return nil, fmt.Errorf("the provider's commands are no JSON array of %d strings or fewer", maxOrders)
	}
	return list, nil
}
