package web

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/iotregistry/sdk/registry"
	"github.com/iotregistry/sdk/registry/eid"
)

// What only a request over HTTP can meet. All but the first two are
// [registry.ErrInvalid] too.
var (
	ErrNotReady     = errors.New("the registry cannot reach its store: come again later")
	ErrRate         = errors.New("too many requests: wait as long as Retry-After says")
	ErrTooLarge     = fmt.Errorf("%w: there is more of it than this route takes: split it or submit a job", registry.ErrInvalid)
	ErrMediaType    = fmt.Errorf("%w: this route does not take this Content-Type: it is application/json nearly everywhere, see /openapi.json", registry.ErrInvalid)
	ErrNoRoute      = fmt.Errorf("%w: nothing is at this path: see /openapi.json", registry.ErrInvalid)
	ErrMethod       = fmt.Errorf("%w: this path has other methods: see Allow", registry.ErrInvalid)
	ErrPrecondition = fmt.Errorf("%w: say by If-Match which revision of the device the change was decided on, or *", registry.ErrInvalid)
)

// Problem is what the registry answers where it did not do what was asked (RFC
// 9457), and the error that [Client] returns for it. Errors.Is and errors.As see
// through it to a [*registry.Error] and the sentinels of package registry and of
// this one, as if the call had been made in process.
type Problem struct {
	Type     string `json:"type"`  // "urn:iotreg:error:" and the kind
	Title    string `json:"title"` // the same for each problem of a kind
	Status   int    `json:"status"`
	Detail   string `json:"detail,omitempty"`
	Instance string `json:"instance,omitempty"` // "urn:iotreg:request:" and the ID to tell the registry's operator

	Kind      string `json:"kind"` // registry.Kind, or a word for what only HTTP can meet
	Code      int    `json:"code"` // EPP result code (RFC 5730 section 3)
	Op        string `json:"op,omitempty"`
	Device    eid.ID `json:"device,omitzero"`
	Retryable bool   `json:"retryable"` // the same request may succeed later

	// Results are those of a bulk call that failed midway.
	Results []registry.Result `json:"results,omitempty"`

	// Rows say what is wrong with a list that was refused as a whole, at most
	// 1,000 of them.
	Rows []RowProblem `json:"rows,omitempty"`

	after time.Duration // what Retry-After asks for
}

// RowProblem says what is wrong with one row of a list.
type RowProblem struct {
	Line   int    `json:"line"` // the file's first line is 1
	Column string `json:"column,omitempty"`
	Detail string `json:"detail"`
}

// Error gives the status, the cause and the request's ID.
func (p *Problem) Error() string {
	text := p.Title
	if p.Unwrap() != nil && p.Detail != "" {
		text = p.Unwrap().Error()
	}
	for i, r := range p.Rows {
		if i == 3 {
			text += fmt.Sprintf("; and %d more", len(p.Rows)-i)
			break
		}
		text += fmt.Sprintf("; line %d %s: %s", r.Line, r.Column, r.Detail)
	}
	if p.Instance != "" {
		text += " (" + p.Instance + ")"
	}
	return fmt.Sprintf("registry/web: HTTP %d: %s", p.Status, text)
}

// Unwrap returns what the registry's engine returned, or what is wrong with the
// request.
func (p *Problem) Unwrap() error {
	cause := errorOf(p.Kind, p.Detail)
	if p.Op == "" && p.Device.IsZero() {
		return cause
	}
	return &registry.Error{Op: p.Op, Device: p.Device, Err: cause}
}

const (
	typePrefix    = "urn:iotreg:error:"
	requestPrefix = "urn:iotreg:request:"
	kindInternal  = "internal"
)

type kind struct {
	word   string
	err    error // nil: of package registry
	status int
	title  string
}

// kinds is the one table of what an error is over HTTP. Words that package
// registry has too are found by its Kind; those before them are ours and are
// looked for first.
var kinds = []kind{
	{"rate", ErrRate, http.StatusTooManyRequests, "Too many requests"},
	{"not-ready", ErrNotReady, http.StatusServiceUnavailable, "Registry not ready"},
	{"too-large", ErrTooLarge, http.StatusRequestEntityTooLarge, "Request too large"},
	{"media-type", ErrMediaType, http.StatusUnsupportedMediaType, "Media type not supported"},
	{"no-route", ErrNoRoute, http.StatusNotFound, "No such path"},
	{"method", ErrMethod, http.StatusMethodNotAllowed, "Method not allowed"},
	{"precondition-required", ErrPrecondition, http.StatusPreconditionRequired, "If-Match required"},

	{"invalid", nil, http.StatusBadRequest, "Invalid request"},
	{"unauthentic", nil, http.StatusUnauthorized, "Not authenticated"},
	{"forbidden", nil, http.StatusForbidden, "Not permitted"},
	{"auth-code", nil, http.StatusForbidden, "Authorization code refused"},
	{"not-found", nil, http.StatusNotFound, "No such device"},
	{"unknown-account", nil, http.StatusNotFound, "No such account"},
	{"no-job", nil, http.StatusNotFound, "No such job"},
	{"own", nil, http.StatusConflict, "Device is yours already"},
	{"exists", nil, http.StatusConflict, "Device exists"},
	{"sponsored", nil, http.StatusConflict, "Device is with another provider"},
	{"state", nil, http.StatusConflict, "State does not allow this"},
	{"pending", nil, http.StatusConflict, "Transfer is pending"},
	{"not-pending", nil, http.StatusConflict, "No transfer is pending"},
	{"no-key", nil, http.StatusConflict, "Device key not vouched for"},
	{"key-mismatch", nil, http.StatusConflict, "Device key is another one"},
	{"key-taken", nil, http.StatusConflict, "Key is another device's"},
	{"aborted", nil, http.StatusConflict, "Another row was refused"},
	{"cancelled", nil, http.StatusConflict, "Job was cancelled"},
	{"conflict", nil, http.StatusConflict, "Record changed meanwhile"},
	{"revision", nil, http.StatusPreconditionFailed, "Device has changed"},
	{"idempotency-key-reused", nil, http.StatusUnprocessableEntity, "Idempotency key reused"},
	{"locked", nil, http.StatusTooManyRequests, "Too many wrong codes"},
	{"undelivered", nil, http.StatusBadGateway, "Operator has not taken the profile"},
	{"closed", nil, http.StatusServiceUnavailable, "Registry is closing"},
	{"context", nil, http.StatusServiceUnavailable, "Request was given up"},
	{"deadline", nil, http.StatusGatewayTimeout, "Request took too long"},
	{kindInternal, nil, http.StatusInternalServerError, "Registry failed"},
}

// kindOf returns the word of err, as it travels.
func kindOf(err error) string {
	for _, k := range kinds {
		if k.err != nil && errors.Is(err, k.err) {
			return k.word
		}
	}
	return registry.Kind(err)
}

// maxDetail bounds a problem's detail, in bytes: requests are part of some.
const maxDetail = 2048

// detailOf returns the text of err for callers.
func detailOf(err error) string {
	text := wholeDetail(err)
	if len(text) > maxDetail {
		text = strings.ToValidUTF8(text[:maxDetail], "") + " ..."
	}
	return text
}

func wholeDetail(err error) string {
	if slices.ContainsFunc(kinds, func(k kind) bool { return k.err != nil && errors.Is(err, k.err) }) {
		return err.Error()
	}
	return registry.Detail(err)
}

// errorOf makes the error of a word that kindOf has given.
func errorOf(word, text string) error {
	for _, k := range kinds {
		if k.err != nil && k.word == word {
			return &said{text, k.err}
		}
	}
	return registry.ErrorOf(word, text)
}

// said is an error of this package that the registry has told.
type said struct {
	text string
	is   error
}

func (e *said) Error() string { return e.text }
func (e *said) Unwrap() error { return e.is }

// problemOf describes err, in words that callers may see.
func problemOf(err error) *Problem {
	p := &Problem{Kind: kindOf(err), Code: registry.Code(err), Retryable: registry.Retryable(err)}
	p.Type, p.Status, p.Title = typePrefix+p.Kind, http.StatusInternalServerError, "Registry failed"
	for _, k := range kinds {
		if k.word == p.Kind {
			p.Status, p.Title = k.status, k.title
		}
	}
	p.Detail = detailOf(err)
	var re *registry.Error
	if errors.As(err, &re) {
		p.Op, p.Device = re.Op, re.Device
		if re.Err != nil {
			p.Detail = detailOf(re.Err)
		}
	}
	if p.Kind == kindInternal {
		p.Detail = "the registry failed: repeat the request or tell its operator the request ID"
	}
	var failed *failedMidway
	if errors.As(err, &failed) && !failed.uniform() {
		p.Results = failed.results
	}
	var list *listError
	if errors.As(err, &list) {
		p.Rows = list.rows
	}
	return p
}

// failedMidway is the error of a bulk call with the results it came with.
type failedMidway struct {
	error
	results []registry.Result
}

func (e *failedMidway) Unwrap() error { return e.error }

// uniform reports whether every result says no more than the error itself.
func (e *failedMidway) uniform() bool {
	for _, r := range e.results {
		if registry.Kind(r.Err) != registry.Kind(e.error) {
			return false
		}
	}
	return true
}

// listError refuses a list for what is wrong with rows of it.
type listError struct{ rows []RowProblem }

const maxRowProblems = 1000

func (e *listError) Error() string {
	return fmt.Sprintf("%v: rows of the list are wrong, so none was taken: correct them", registry.ErrInvalid)
}

func (e *listError) Unwrap() error { return registry.ErrInvalid }

func refusedRows(bad []*registry.RowError) error {
	e := &listError{}
	for _, b := range bad[:min(len(bad), maxRowProblems)] {
		e.rows = append(e.rows, RowProblem{Line: b.Line, Column: b.Column, Detail: b.Err.Error()})
	}
	return e
}

// gone reports whether err only says that the caller has left.
func gone(ctx context.Context) bool { return errors.Is(ctx.Err(), context.Canceled) }
