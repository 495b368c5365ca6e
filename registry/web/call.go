package web

import (
	"context"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/iotregistry/sdk/internal/strictjson"
	"github.com/iotregistry/sdk/registry"
	"github.com/iotregistry/sdk/registry/eid"
)

// call is one request on its way through a route.
type call struct {
	ctx   context.Context
	w     http.ResponseWriter
	r     *http.Request
	body  io.Reader // bounded
	query url.Values
	actor registry.Actor
	leaf  *x509.Certificate // of the device that calls; nil where an account does
}

// handler answers a route: it finds out who calls, whether it may be answered
// now, and bounds what is read and how long it takes.
func (s *Server) handler(rt *route) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		limit, within := s.MaxBody, s.Timeout
		if rt.long {
			limit, within = s.MaxJob, s.StreamTime
		}
		if rt.most > 0 {
			limit = min(limit, rt.most)
		}
		// Later than the context, whose end is the one that callers are told.
		rc, end := http.NewResponseController(w), time.Now().Add(within+grace)
		_, _ = rc.SetReadDeadline(end), rc.SetWriteDeadline(end.Add(grace))
		ctx, cancel := context.WithTimeout(r.Context(), within)
		defer cancel()
		c := &call{ctx: ctx, w: w, r: r, body: http.MaxBytesReader(w, r.Body, limit)}
		err := s.enter(c, rt)
		if err == nil {
			err = s.run(c, rt)
		}
		if err != nil {
			s.refuse(w, r, err)
		}
	})
}

const grace = 5 * time.Second

// run has the route answer. Lists are held in memory, so only some at once.
func (s *Server) run(c *call, rt *route) error {
	if rt.long && rt.in != nil {
		if rt.roles != nil && !slices.Contains(rt.roles, c.actor.Role) {
			return &registry.Error{Op: "job", Err: registry.ErrForbidden} // the engine asks when it has the list
		}
		back, ok := s.lists.take(c.actor.Account)
		if !ok {
			return &rateError{grace}
		}
		defer back()
	}
	return rt.run(s, c)
}

// enter checks all that is no business of the route's own.
func (s *Server) enter(c *call, rt *route) (err error) {
	if !rt.public {
		who := ""
		if rt.device {
			who, err = s.authenticateDevice(c)
		} else {
			c.actor, err = s.authenticate(c.ctx, c.r)
			who = c.actor.Account
		}
		if err != nil {
			return s.stranger(c.r, err)
		}
		visitOf(c.r).account = who
		if err := s.admit(who); err != nil {
			return err
		}
	}
	if c.query, err = url.ParseQuery(c.r.URL.RawQuery); err != nil {
		return fmt.Errorf("%w: the query cannot be read", registry.ErrInvalid)
	}
	if !isKey(c.r.URL.Path) {
		return fmt.Errorf("%w: the path is longer than any of the API's, or has other characters", registry.ErrInvalid)
	}
	for name, values := range c.query {
		known := slices.ContainsFunc(rt.query, func(p param) bool { return p.name == name })
		if !known || len(values) != 1 {
			return fmt.Errorf("%w: query parameter %.40q is not known here, or there twice", registry.ErrInvalid, name)
		}
		if !isKey(values[0]) {
			return fmt.Errorf("%w: query parameter %s is longer than any, or has other characters", registry.ErrInvalid, name)
		}
	}
	if rt.method != http.MethodGet {
		c.actor.Key, err = idempotencyKey(c.r.Header)
	}
	return err
}

// isKey reports whether text, or a part of it, may be a key of the store: all that
// the registry gives out are short and of printable ASCII characters.
func isKey(text string) bool {
	return len(text) <= maxKey && !strings.ContainsFunc(text, func(r rune) bool { return r < '!' || r > '~' })
}

const maxKey = 512 // bytes

// idempotencyKey reads the key of a call that changes something; "" for none.
func idempotencyKey(h http.Header) (string, error) {
	keys := h.Values(headerKey)
	if len(keys) == 0 {
		return "", nil
	}
	odd := func(r rune) bool { return r < '!' || r > '~' }
	if key := keys[0]; len(keys) == 1 && key != "" && len(key) <= 255 && strings.IndexFunc(key, odd) < 0 {
		return key, nil
	}
	return "", fmt.Errorf("%w: %s has 1 to 255 printable ASCII characters without blanks, once", registry.ErrInvalid, headerKey)
}

// rateError asks to come again later.
type rateError struct{ after time.Duration }

func (e *rateError) Error() string { return ErrRate.Error() }
func (e *rateError) Unwrap() error { return ErrRate }

func (s *Server) admit(account string) error {
	if s.Limiter == nil {
		return nil
	}
	if ok, after := s.Limiter.Allow(account); !ok {
		return &rateError{after}
	}
	return nil
}

// refuse answers by a problem document.
func (s *Server) refuse(w http.ResponseWriter, r *http.Request, err error) {
	if errors.Is(err, errNotModified) {
		w.WriteHeader(http.StatusNotModified)
		return
	}
	v := visitOf(r)
	v.err = err
	p := problemOf(err)
	p.Instance = requestPrefix + v.id
	h := w.Header()
	if p.Status == http.StatusUnauthorized {
		h.Set("WWW-Authenticate", challenge(r))
	}
	if after := retryIn(err, p); after > 0 {
		h.Set("Retry-After", strconv.Itoa(int(math.Ceil(after.Seconds()))))
	}
	if err := answer(w, p.Status, typeProblem, p); err != nil {
		s.Logger.ErrorContext(r.Context(), "a problem could not be encoded", "request", v.id, "err", err)
		w.WriteHeader(p.Status)
	}
}

// retryIn is how long a caller is asked to wait; 0 where that is not known.
func retryIn(err error, p *Problem) time.Duration {
	var rate *rateError
	switch {
	case errors.As(err, &rate):
		return max(rate.after, time.Second)
	case p.Kind == registry.Kind(registry.ErrLocked):
		return time.Hour
	case p.Status == http.StatusServiceUnavailable:
		return 5 * time.Second
	}
	return 0
}

// answer writes v as the one answer.
func answer(w http.ResponseWriter, status int, contentType string, v any) error {
	data, err := json.Marshal(v)
	if err != nil {
		return fmt.Errorf("encode the answer: %w", err)
	}
	w.Header().Set("Content-Type", contentType)
	w.WriteHeader(status)
	_, _ = w.Write(append(data, '\n')) // who is gone repeats the call
	return nil
}

// errNotModified says that the caller has what it asks for (304).
var errNotModified = errors.New("not modified")

// shape bounds requests, whose size their route bounds.
var shape = strictjson.Limits{Depth: 8, Names: 4 << 20, Members: 64, Elements: maxItems, Unknown: true}

// maxItems is how many devices one call takes: each costs a kilobyte of memory until
// it is answered, however few bytes it has in the request.
const maxItems = 100_000

// decode reads the call's body as JSON.
func (c *call) decode(v any) error {
	if mediaType(c.r.Header) != typeJSON {
		return ErrMediaType
	}
	data, err := io.ReadAll(c.body)
	if err != nil {
		return unreadable(err)
	}
	switch err := strictjson.Decode(data, v, shape); {
	case errors.Is(err, strictjson.ErrElements):
		return ErrTooLarge
	case err != nil:
		return badBody(err)
	}
	return nil
}

// badBody says what is wrong with a body, without the names of our types.
func badBody(err error) error {
	var wrong *json.UnmarshalTypeError
	if errors.As(err, &wrong) {
		kind, _, _ := strings.Cut(wrong.Value, " ") // a number's text follows
		return fmt.Errorf("%w: body: %.64q cannot have a %s here: see /openapi.json", registry.ErrInvalid, wrong.Field, kind)
	}
	return fmt.Errorf("%w: body: %w", registry.ErrInvalid, err)
}

// unreadable says why a body could not be read.
func unreadable(err error) error {
	var large *http.MaxBytesError
	if errors.As(err, &large) {
		return ErrTooLarge
	}
	return fmt.Errorf("%w: the body was cut short", registry.ErrInvalid)
}

// device returns the device that the path names.
func (c *call) device() (eid.ID, error) {
	id, err := eid.Parse(c.r.PathValue("id"))
	if err != nil {
		return eid.ID{}, fmt.Errorf("%w: %w", registry.ErrInvalid, err)
	}
	return id, nil
}

// number returns a query parameter that is a number from 0 to most, or def.
func (c *call) number(name string, def, most uint64) (uint64, error) {
	text := c.query.Get(name)
	if text == "" {
		return def, nil
	}
	n, err := strconv.ParseUint(text, 10, 64)
	if err != nil || n > most {
		return 0, fmt.Errorf("%w: query parameter %s is a number from 0 to %d", registry.ErrInvalid, name, most)
	}
	return n, nil
}

// limit returns how many items a page is to have.
func (c *call) limit(most uint64) (int, error) {
	n, err := c.number("limit", defaultPage, most)
	if err == nil && n == 0 {
		n = defaultPage
	}
	return int(n), err
}

// page returns where a page begins and how many items it is to have.
func (c *call) page() (after string, limit int, err error) {
	limit, err = c.limit(maxPage)
	return c.query.Get("after"), limit, err
}

// flag returns a query parameter that is true or false.
func (c *call) flag(name string) (bool, error) {
	switch c.query.Get(name) {
	case "", "false":
		return false, nil
	case "true":
		return true, nil
	}
	return false, fmt.Errorf("%w: query parameter %s is true or false", registry.ErrInvalid, name)
}

// link tells where the next page is, in the header (RFC 8288) too.
func (c *call) link(name, next string) {
	q := url.Values{}
	for k, v := range c.query {
		q[k] = v
	}
	q.Set(name, next)
	u := url.URL{Path: c.r.URL.Path, RawQuery: q.Encode()}
	c.w.Header().Set("Link", "<"+u.String()+`>; rel="next"`)
}

// next returns the cursor after a page of n items, "" where it was not full and
// so the last, and links it.
func (c *call) next(n, limit int, last func() string) string {
	if n < limit || n == 0 {
		return ""
	}
	cursor := last()
	c.link("after", cursor)
	return cursor
}
