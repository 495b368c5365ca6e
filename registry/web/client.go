package web

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/iotregistry/sdk/internal/retry"
)

// MaxAnswer is how much of an answer [Client] reads, in bytes. [Client.WatchJob] is
// bounded by event instead, and [Client.ExportAudit] by what its writer takes.
const MaxAnswer = 64 << 20

// Client calls a registry over its HTTP API. Its methods are those of
// [registry.Registry] and [transfer.Service], with the account that the token or
// the TLS client certificate proves as the actor. It is safe for concurrent use
// as long as its fields do not change.
//
// Refusals are [*Problem], behind which errors.Is finds the engine's own errors;
// where no answer of the registry came, the error is a [*TransportError].
type Client struct {
	// BaseURL is the registry, such as "https://api.iotregistry.ca"; the paths of
	// the API are added to it. Required.
	BaseURL string

	// HTTP does the requests, and holds the client certificate where that takes
	// the place of the token. Nil means http.DefaultClient, which has no time
	// limit: give the context one. Redirects are never followed.
	HTTP *http.Client

	// Token is the bearer token. Empty leaves it out.
	Token Secret

	// Retry says how trouble on the way is retried. The zero value makes 5
	// attempts.
	Retry Retry

	// Rand is the source of idempotency keys and of the jitter between attempts,
	// and safe for concurrent use; nil means crypto/rand.Reader.
	Rand io.Reader

	key string
}

// WithKey returns a client whose next call carries key as its idempotency key,
// at most 255 printable ASCII characters: make one such client for each call. A
// call that is made again with its key, also by another process and after a
// restart of either side, gets the answer of the first. Without it, each call
// that changes something gets a key of its own, which its retries share. Those that
// say that they are not retried, such as [Client.IssueToken], have no key.
func (c *Client) WithKey(key string) *Client {
	with := *c
	with.key = key
	return &with
}

// TransportError reports that no answer of the registry came. The call may have
// been carried out or not.
type TransportError struct {
	Method, Path string
	Status       int // HTTP status, 0 where there was none
	Err          error

	permanent bool
	after     time.Duration
}

// Error gives method, path, HTTP status and cause.
func (e *TransportError) Error() string {
	if e.Status != 0 {
		return fmt.Sprintf("registry/web: %s %s: HTTP %d: %v", e.Method, e.Path, e.Status, e.Err)
	}
	return fmt.Sprintf("registry/web: %s %s: %v", e.Method, e.Path, e.Err)
}

// Unwrap returns the cause.
func (e *TransportError) Unwrap() error { return e.Err }

// Retryable reports whether the call is worth repeating as it is.
func (e *TransportError) Retryable() bool { return !e.permanent }

// request is one call on its way.
type request struct {
	method, path string
	query        url.Values
	contentType  string
	body         []byte
	header       http.Header
	once         bool // making it twice does harm, or gives another answer
	accept       string
}

const (
	typeJSON    = "application/json"
	typeProblem = "application/problem+json"
	typeCSV     = "text/csv"
	typePEM     = "application/x-pem-file"
	typeLines   = "application/jsonl"
	typeEvents  = "text/event-stream"

	headerKey       = "Idempotency-Key"
	headerSignature = "Signature"
	headerRequest   = "X-Request-Id"
)

// call makes a request with in as its JSON body, nil for none, and decodes the
// answer into out, nil for none.
func (c *Client) call(ctx context.Context, method, path string, in, out any) error {
	r := &request{method: method, path: path}
	if in != nil {
		body, err := json.Marshal(in)
		if err != nil {
			return fmt.Errorf("registry/web: %s: %w", path, err)
		}
		r.contentType, r.body = typeJSON, body
	}
	_, err := c.do(ctx, r, out)
	return err
}

// get reads what is at a path.
func (c *Client) get(ctx context.Context, path string, query url.Values, out any) (http.Header, error) {
	return c.do(ctx, &request{method: http.MethodGet, path: path, query: query}, out)
}

// do makes a request until an answer arrives or the retries are used up.
func (c *Client) do(ctx context.Context, r *request, out any) (h http.Header, err error) {
	if err := c.prepare(r); err != nil {
		return nil, err
	}
	err = c.Retry.do(ctx, c.random(), r.once, func() (err error) {
		h, err = c.attempt(ctx, r, out)
		return err
	})
	return h, err
}

// prepare gives a request that changes something its idempotency key, once for
// all attempts.
func (c *Client) prepare(r *request) error {
	if c.BaseURL == "" {
		return errors.New("registry/web: set BaseURL of the Client")
	}
	if r.header == nil {
		r.header = http.Header{}
	}
	if r.method == http.MethodGet || r.once { // net/http repeats what has a key by itself
		return nil
	}
	key := c.key
	if key == "" {
		var err error
		if key, err = newKey(c.random()); err != nil {
			return err
		}
	}
	r.header.Set(headerKey, key)
	return nil
}

func (c *Client) attempt(ctx context.Context, r *request, out any) (http.Header, error) {
	res, err := c.send(ctx, r)
	if err != nil {
		return nil, err
	}
	defer res.Body.Close()
	data, err := io.ReadAll(io.LimitReader(res.Body, MaxAnswer+1))
	if err != nil {
		return nil, &TransportError{Method: r.method, Path: r.path, Status: res.StatusCode, Err: err}
	}
	return res.Header, decodeAnswer(r, res, data, out)
}

// send makes one attempt and returns the answer, whatever it is.
func (c *Client) send(ctx context.Context, r *request) (*http.Response, error) {
	target := strings.TrimSuffix(c.BaseURL, "/") + r.path
	if len(r.query) > 0 {
		target += "?" + r.query.Encode()
	}
	req, err := http.NewRequestWithContext(ctx, r.method, target, bytes.NewReader(r.body))
	if err != nil {
		return nil, &TransportError{Method: r.method, Path: r.path, Err: err, permanent: true}
	}
	for name, values := range r.header {
		req.Header[name] = values
	}
	if r.contentType != "" {
		req.Header.Set("Content-Type", r.contentType)
	}
	if req.Header.Set("Accept", typeJSON); r.accept != "" {
		req.Header.Set("Accept", r.accept)
	}
	if c.Token != "" {
		req.Header.Set("Authorization", "Bearer "+string(c.Token))
	}
	res, err := retry.Straight(c.HTTP).Do(req)
	if err != nil {
		return nil, &TransportError{Method: r.method, Path: r.path, Err: err, permanent: retry.Permanent(err)}
	}
	return res, nil
}

// decodeAnswer turns one HTTP answer into out, a Problem or a TransportError.
func decodeAnswer(r *request, res *http.Response, data []byte, out any) error {
	bad := func(err error) error {
		return &TransportError{Method: r.method, Path: r.path, Status: res.StatusCode, Err: err,
			permanent: !transient(res.StatusCode), after: retry.After(res.Header)}
	}
	if len(data) > MaxAnswer {
		return bad(fmt.Errorf("the answer is longer than %d bytes", MaxAnswer))
	}
	mt, _, _ := mime.ParseMediaType(res.Header.Get("Content-Type"))
	switch {
	case mt == typeProblem:
		return decodeProblem(res, data, bad)
	case res.StatusCode < 200 || res.StatusCode > 299:
		return bad(errors.New(res.Status))
	case out == nil && res.StatusCode == http.StatusNoContent:
		return nil
	case out == nil:
		return bad(errors.New("the answer is not what the API says: is this a registry?"))
	case mt != typeJSON:
		return bad(errors.New("the answer is not application/json: is this a registry?"))
	}
	if err := json.Unmarshal(data, out); err != nil {
		return bad(err)
	}
	return nil
}

// decodeProblem reads a refusal. Its status is the answer's own.
func decodeProblem(res *http.Response, data []byte, bad func(error) error) error {
	p := &Problem{}
	if err := json.Unmarshal(data, p); err != nil || p.Kind == "" || res.StatusCode < 400 {
		return bad(errors.New("the answer is no problem document of a registry"))
	}
	p.Status, p.after = res.StatusCode, retry.After(res.Header)
	return p
}

func page(after string, limit int) url.Values {
	q := url.Values{}
	if after != "" {
		q.Set("after", after)
	}
	if limit > 0 {
		q.Set("limit", strconv.Itoa(limit))
	}
	return q
}
