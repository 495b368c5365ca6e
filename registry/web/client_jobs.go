package web

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"iter"
	"mime"
	"net/http"
	"net/url"
	"strconv"

	"github.com/iotregistry/sdk/internal/retry"
	"github.com/iotregistry/sdk/registry"
)

// Submit is [registry.Registry.Submit]. The items are encoded whole first, so
// that a retry sends the same ones.
func (c *Client) Submit(ctx context.Context, b registry.Batch, items iter.Seq2[registry.Row, error]) (*registry.Job, error) {
	var body bytes.Buffer
	head, err := jsonOf(&b)
	if err != nil {
		return nil, err
	}
	body.Write(bytes.TrimSuffix(head, []byte("}")))
	body.WriteString(`,"items":[`)
	first := true
	for r, err := range items {
		if err != nil {
			return nil, fmt.Errorf("registry/web: submit: %w", err)
		}
		item, err := jsonOf(rowOf(r))
		if err != nil {
			return nil, err
		}
		if !first {
			body.WriteByte(',')
		}
		first = false
		body.Write(item)
	}
	body.WriteString("]}")
	return c.submit(ctx, &request{contentType: typeJSON, body: body.Bytes()})
}

// SubmitCSV submits a list as [registry.ReadCSV] reads it for an import,
// [registry.ReadCodes] for a transfer and [registry.ReadIDs] for all else. One
// wrong row refuses the list: the error is then a [*Problem] whose Rows say what
// is wrong where. The list is read whole first, at most 1 GiB of it.
func (c *Client) SubmitCSV(ctx context.Context, b registry.Batch, list io.Reader) (*registry.Job, error) {
	body, err := readList(list)
	if err != nil {
		return nil, err
	}
	q := url.Values{"op": {string(b.Op)}}
	for name, value := range map[string]string{"owner": b.Owner, "mno": b.MNO} {
		if value != "" {
			q.Set(name, value)
		}
	}
	for name, value := range map[string]bool{"atomic": b.Atomic, "dryRun": b.DryRun} {
		if value {
			q.Set(name, "true")
		}
	}
	return c.submit(ctx, &request{query: q, contentType: typeCSV, body: body})
}

func (c *Client) submit(ctx context.Context, r *request) (*registry.Job, error) {
	r.method, r.path = http.MethodPost, "/v1/jobs"
	var out registry.Job
	if _, err := c.do(ctx, r, &out); err != nil {
		return nil, err
	}
	return &out, nil
}

// Job is [registry.Registry.Job].
func (c *Client) Job(ctx context.Context, id string) (*registry.Job, error) {
	return read[registry.Job](ctx, c, jobPath(id))
}

// Jobs is [registry.Registry.Jobs] over all pages.
func (c *Client) Jobs(ctx context.Context) iter.Seq2[*registry.Job, error] {
	return pages(func(after string) ([]*registry.Job, string, error) {
		var out jobsPage
		_, err := c.get(ctx, "/v1/jobs", page(after, maxPage), &out)
		return out.Jobs, out.Next, err
	})
}

// JobResults is [registry.Registry.JobResults].
func (c *Client) JobResults(ctx context.Context, id string, from int) iter.Seq2[registry.Result, error] {
	return func(yield func(registry.Result, error) bool) {
		for {
			var out resultsPage
			q := url.Values{"from": {strconv.Itoa(from)}, "limit": {strconv.Itoa(maxResults)}}
			if _, err := c.get(ctx, jobPath(id)+"/results", q, &out); err != nil {
				yield(registry.Result{}, err)
				return
			}
			for _, res := range out.Results {
				if !yield(res, nil) {
					return
				}
			}
			if out.Next <= from || len(out.Results) == 0 {
				return
			}
			from = out.Next
		}
	}
}

// CancelJob is [registry.Registry.CancelJob].
func (c *Client) CancelJob(ctx context.Context, id string) (*registry.Job, error) {
	var out registry.Job
	if err := c.call(ctx, http.MethodDelete, jobPath(id), nil, &out); err != nil {
		return nil, err
	}
	return &out, nil
}

// WatchJob yields a job now and whenever it has changed, until it is done or
// cancelled: that is the last one. Where the connection ends before, it is made
// again.
func (c *Client) WatchJob(ctx context.Context, id string) iter.Seq2[*registry.Job, error] {
	return func(yield func(*registry.Job, error) bool) {
		for {
			more, err := c.watchOnce(ctx, id, func(j *registry.Job) bool { return yield(j, nil) })
			if err != nil {
				yield(nil, err)
				return
			}
			if !more {
				return
			}
		}
	}
}

// watchOnce reads the events of one connection. It reports whether there is more
// to come from another one.
func (c *Client) watchOnce(ctx context.Context, id string, yield func(*registry.Job) bool) (more bool, err error) {
	res, err := c.stream(ctx, &request{method: http.MethodGet, path: jobPath(id) + "/events", accept: typeEvents}, typeEvents)
	if err != nil {
		return false, err
	}
	defer res.Body.Close()
	lines := bufio.NewScanner(res.Body)
	lines.Buffer(nil, maxEvent)
	for lines.Scan() {
		data, ok := bytes.CutPrefix(lines.Bytes(), []byte("data:"))
		if !ok {
			continue // a heartbeat, or what an event is called
		}
		j := &registry.Job{}
		if err := json.Unmarshal(data, j); err != nil {
			return false, fmt.Errorf("registry/web: events of job %s: %w", id, err)
		}
		if !yield(j) || over(j) {
			return false, nil
		}
	}
	switch err := lines.Err(); {
	case ctx.Err() != nil:
		return false, fmt.Errorf("registry/web: events of job %s: %w", id, ctx.Err())
	case errors.Is(err, bufio.ErrTooLong):
		return false, fmt.Errorf("registry/web: events of job %s: %w", id, err)
	}
	// The registry ends streams after a while, and so do proxies.
	return true, retry.Sleep(ctx, retry.Jitter(c.random(), c.Retry.pause()))
}

// maxEvent is how long a line of an event stream may be.
const maxEvent = 64 << 10

func over(j *registry.Job) bool {
	return j.State == registry.JobDone || j.State == registry.JobCancelled
}

func jobPath(id string) string { return "/v1/jobs/" + url.PathEscape(id) }

func jsonOf(v any) ([]byte, error) {
	b, err := json.Marshal(v)
	if err != nil {
		return nil, fmt.Errorf("registry/web: encode: %w", err)
	}
	return b, nil
}

const maxList = 1 << 30

func readList(list io.Reader) ([]byte, error) {
	body, err := io.ReadAll(io.LimitReader(list, maxList+1))
	switch {
	case err != nil:
		return nil, fmt.Errorf("registry/web: read list: %w", err)
	case len(body) > maxList:
		return nil, fmt.Errorf("registry/web: read list: %w", registry.ErrTooLarge)
	}
	return body, nil
}

func asProblem(err error) (*Problem, bool) {
	var p *Problem
	return p, errors.As(err, &p)
}

func mediaType(h http.Header) string {
	mt, _, err := mime.ParseMediaType(h.Get("Content-Type"))
	if err != nil {
		return ""
	}
	return mt
}

func notNil[T any](s []T) []T {
	if s == nil {
		return []T{}
	}
	return s
}
