package web

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"iter"
	"math"
	"net/http"
	"slices"
	"strconv"

	"github.com/iotregistry/sdk/internal/strictjson"
	"github.com/iotregistry/sdk/registry"
)

// submit takes a job in JSON or CSV.
func (s *Server) submit(c *call) error {
	var j *registry.Job
	var err error
	switch mediaType(c.r.Header) {
	case typeJSON:
		if len(c.query) > 0 {
			return fmt.Errorf("%w: a job in JSON has everything in its body", registry.ErrInvalid)
		}
		j, err = s.submitJSON(c)
	case typeCSV:
		j, err = s.submitCSV(c)
	default:
		err = ErrMediaType
	}
	if err != nil {
		return err
	}
	c.w.Header().Set("Location", jobPath(j.ID))
	return answer(c.w, http.StatusAccepted, typeJSON, j)
}

// submitCSV reads the list before it submits anything: one wrong row refuses it.
func (s *Server) submitCSV(c *call) (*registry.Job, error) {
	b := registry.Batch{Op: registry.Op(c.query.Get("op")), Owner: c.query.Get("owner"), MNO: c.query.Get("mno")}
	var err error
	if b.Atomic, err = c.flag("atomic"); err != nil {
		return nil, err
	}
	if b.DryRun, err = c.flag("dryRun"); err != nil {
		return nil, err
	}
	read := registry.ReadIDs
	switch b.Op {
	case registry.OpImport:
		read = registry.ReadCSV
	case registry.OpTransfer:
		read = registry.ReadCodes
	}
	rows, bad, err := read(c.body)
	var large *http.MaxBytesError
	switch {
	case errors.As(err, &large):
		return nil, ErrTooLarge
	case err != nil:
		return nil, fmt.Errorf("%w: %w", registry.ErrInvalid, err)
	case len(bad) > 0:
		return nil, refusedRows(bad)
	}
	return s.Registry.Submit(c.ctx, c.actor, b, func(yield func(registry.Row, error) bool) {
		for _, r := range rows {
			if !yield(r, nil) {
				return
			}
		}
	})
}

// submitJSON hands the items on as they arrive.
func (s *Server) submitJSON(c *call) (*registry.Job, error) {
	in := &jobReader{body: &allowance{r: c.body}}
	in.dec = json.NewDecoder(in.body)
	b, err := in.head()
	if err != nil {
		return nil, err
	}
	j, err := s.Registry.Submit(c.ctx, c.actor, b, in.items())
	if in.err != nil {
		return nil, in.err // without the engine's words around it
	}
	return j, err
}

// jobReader reads a jobBody as it arrives.
type jobReader struct {
	body *allowance
	dec  *json.Decoder
	err  error
}

// maxItem bounds the bytes of one item of a job, and of what comes before them.
const maxItem = 256 << 10

// allowance is a reader that gives out maxItem bytes at most until it is renewed,
// since a json.Decoder keeps a value whole before it shows it.
type allowance struct {
	r    io.Reader
	used int
}

var errItem = errors.New("an item is too long")

func (a *allowance) Read(p []byte) (int, error) {
	left := maxItem - a.used
	if left <= 0 {
		return 0, errItem
	}
	n, err := a.r.Read(p[:min(len(p), left)])
	a.used += n
	return n, err
}

// bad says what is wrong with the body.
func (in *jobReader) bad(err error) error {
	var large *http.MaxBytesError
	switch {
	case errors.As(err, &large):
		return ErrTooLarge
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
		return fmt.Errorf("%w: the body was cut short", registry.ErrInvalid)
	}
	return badBody(err)
}

// head reads all members up to the items.
func (in *jobReader) head() (registry.Batch, error) {
	if err := in.want(json.Delim('{')); err != nil {
		return registry.Batch{}, err
	}
	var b registry.Batch
	var seen []string
	for {
		tok, err := in.dec.Token()
		if err != nil {
			return b, in.bad(err)
		}
		name, ok := tok.(string)
		if !ok {
			return b, fmt.Errorf("%w: body: items is missing", registry.ErrInvalid)
		}
		if slices.Contains(seen, name) {
			return b, fmt.Errorf("%w: body: member %q appears twice", registry.ErrInvalid, name)
		}
		seen = append(seen, name)
		if name == "items" {
			return b, in.want(json.Delim('['))
		}
		if err := in.member(&b, name); err != nil {
			return b, err
		}
	}
}

func (in *jobReader) member(b *registry.Batch, name string) error {
	target, ok := map[string]any{"op": &b.Op, "owner": &b.Owner, "mno": &b.MNO, "atomic": &b.Atomic, "dryRun": &b.DryRun}[name]
	if !ok {
		return fmt.Errorf("%w: body: member %.40q is not known", registry.ErrInvalid, name)
	}
	if err := in.dec.Decode(target); err != nil {
		return in.bad(err)
	}
	return nil
}

func (in *jobReader) want(d json.Delim) error {
	tok, err := in.dec.Token()
	if err != nil {
		return in.bad(err)
	}
	if tok != d {
		return fmt.Errorf("%w: body: %s is missing", registry.ErrInvalid, d)
	}
	return nil
}

// items yields the items and then makes sure that nothing follows them.
func (in *jobReader) items() iter.Seq2[registry.Row, error] {
	return func(yield func(registry.Row, error) bool) {
		n := 0
		for in.dec.More() {
			n++
			r, err := in.item()
			if err != nil {
				in.err = fmt.Errorf("item %d: %w", n, err)
				yield(registry.Row{}, in.err)
				return
			}
			if !yield(r, nil) {
				return
			}
		}
		if in.err = in.end(); in.err != nil {
			yield(registry.Row{}, in.err)
		}
	}
}

func (in *jobReader) item() (registry.Row, error) {
	in.body.used = 0
	var raw json.RawMessage
	if err := in.dec.Decode(&raw); err != nil {
		return registry.Row{}, in.bad(err)
	}
	var r row
	if err := strictjson.Decode(raw, &r, strictjson.Limits{Depth: 1, Names: 64, Unknown: true}); err != nil {
		return registry.Row{}, in.bad(err)
	}
	if r.Device.IsZero() {
		return registry.Row{}, fmt.Errorf("%w: it names no device", registry.ErrInvalid)
	}
	return r.row(), nil
}

func (in *jobReader) end() error {
	if err := in.want(json.Delim(']')); err != nil {
		return err
	}
	if err := in.want(json.Delim('}')); err != nil {
		return fmt.Errorf("%w (items is the last member)", err)
	}
	if _, err := in.dec.Token(); !errors.Is(err, io.EOF) {
		return fmt.Errorf("%w: body: there is more after the JSON object", registry.ErrInvalid)
	}
	return nil
}

func (s *Server) job(c *call) (*registry.Job, error) {
	return s.Registry.Job(c.ctx, c.actor, c.r.PathValue("id"))
}

func (s *Server) cancelJob(c *call) error {
	j, err := s.Registry.CancelJob(c.ctx, c.actor, c.r.PathValue("id"))
	if err != nil {
		return err
	}
	return answer(c.w, http.StatusOK, typeJSON, j)
}

func (s *Server) jobs(c *call) (jobsPage, error) {
	after, limit, err := c.page()
	if err != nil {
		return jobsPage{}, err
	}
	list, err := s.Registry.Jobs(c.ctx, c.actor, after, limit)
	if err != nil {
		return jobsPage{}, err
	}
	return jobsPage{Jobs: notNil(list), Next: c.next(len(list), limit, func() string { return list[len(list)-1].ID })}, nil
}

// jobResults answers with the results there are. While the job goes on there is
// a next page, which may be empty yet.
func (s *Server) jobResults(c *call) (resultsPage, error) {
	from, err := c.number("from", 0, math.MaxInt32)
	if err != nil {
		return resultsPage{}, err
	}
	limit, err := c.limit(maxResults)
	if err != nil {
		return resultsPage{}, err
	}
	id := c.r.PathValue("id")
	j, err := s.Registry.Job(c.ctx, c.actor, id)
	if err != nil {
		return resultsPage{}, err
	}
	out := resultsPage{Results: []registry.Result{}}
	for res, err := range s.Registry.JobResults(c.ctx, c.actor, id, int(from)) {
		if err != nil {
			return resultsPage{}, err
		}
		if out.Results = append(out.Results, res); len(out.Results) == limit {
			break
		}
	}
	if end := int(from) + len(out.Results); end < j.Total {
		out.Next = end
		c.link("from", strconv.Itoa(end))
	}
	return out, nil
}
