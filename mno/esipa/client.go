package esipa

import (
	"bytes"
	"context"
	crand "crypto/rand"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"strings"
	"time"

	"github.com/iotregistry/sdk/internal/bertlv"
	"github.com/iotregistry/sdk/internal/retry"
	"github.com/iotregistry/sdk/internal/rsp"
	"github.com/iotregistry/sdk/mno"
	"github.com/iotregistry/sdk/mno/es9"
)

// Client calls an eIM for a device. It is a [Backend], and an [es9.Backend] for
// downloads through the eIM, whatever SM-DP+ they are from; it is safe for
// concurrent use. What the eIM or an SM-DP+ refuses is an error of this package
// or a [*mno.StatusError], trouble on the way a [*TransportError]. Answers are
// bounded by [MaxAnswer].
//
// Calls are repeated where that does no harm: all but AuthenticateClient, which
// counts as an attempt to download and is repeated only where nothing was sent.
type Client struct {
	// BaseURL is the eIM, such as "https://eim.example.net"; [PathASN1] is added
	// to it. Required.
	BaseURL string

	// HTTP does the requests, and holds the roots for TLS and the time limit for
	// one attempt. Nil means http.DefaultClient, which has no limit. Redirects
	// are never followed.
	HTTP *http.Client

	// Retry says how transport trouble is retried, as for an [es9.Client].
	Retry es9.Retry

	// Rand is the source of the jitter between attempts, and safe for concurrent
	// use; nil means crypto/rand.Reader.
	Rand io.Reader
}

var (
	_ Backend     = (*Client)(nil)
	_ es9.Backend = (*Client)(nil)
)

// TransportError reports that no ESipa answer came. The call may have been
// carried out or not. It also is an [*es9.TransportError] for errors.As.
type TransportError struct {
	Function string // such as "GetEimPackage"
	Status   int    // HTTP status, zero where there was none
	Err      error  // what happened

	permanent bool
	after     time.Duration
}

// Error gives function, HTTP status and cause.
func (e *TransportError) Error() string {
	if e.Status != 0 {
		return fmt.Sprintf("esipa: %s: HTTP %d: %v", e.Function, e.Status, e.Err)
	}
	return fmt.Sprintf("esipa: %s: %v", e.Function, e.Err)
}

// Unwrap returns the cause.
func (e *TransportError) Unwrap() error { return e.Err }

// Retryable reports whether the same call is worth repeating as it is.
func (e *TransportError) Retryable() bool { return !e.permanent }

// As makes a lost eIM look to an [es9.LPA] as a lost SM-DP+ does, so that it
// cancels the session in a way that keeps the order.
func (e *TransportError) As(target any) bool {
	t, ok := target.(**es9.TransportError)
	if ok {
		*t = &es9.TransportError{Path: PathASN1, Status: e.Status, Err: e.Err}
	}
	return ok
}

// GetEIMPackage asks what there is to do. Whatever comes for an answer is
// returned, known here or not.
func (c *Client) GetEIMPackage(ctx context.Context, p Poll) ([]byte, error) {
	id, err := rsp.ParseEID(p.EID)
	if err != nil {
		return nil, err
	}
	body, err := rsp.Encode(&rsp.GetEIMPackageRequest{EID: id, NotifyChange: p.StateChanged, Cause: p.Cause})
	if err != nil {
		return nil, err
	}
	return call(ctx, c, &exchange{function: "GetEimPackage", body: body}, packageOf)
}

func packageOf(b []byte) ([]byte, error) {
	t, err := bertlv.Parse(b)
	if err != nil {
		return nil, err
	}
	if t.Tag != tagGetPackage {
		return nil, errOtherAnswer
	}
	p, _, err := bertlv.Read(t.Value)
	if err != nil {
		return nil, err
	}
	if p.Tag != tagInteger {
		return p.Raw, nil
	}
	m, err := rsp.Decode[rsp.GetEIMPackageResponse](b)
	switch {
	case err != nil:
		return nil, err
	case *m.Error == rsp.EIMNoPackage:
		return nil, ErrNoPackage
	}
	return nil, eimError(*m.Error)
}

// eimError is what an eIM refuses.
func eimError(code rsp.EIMPackageError) error {
	switch code {
	case rsp.EIMEIDNotFound:
		return ErrUnknownEID
	case rsp.EIMInvalidEID:
		return ErrInvalidEID
	}
	return statusError(code)
}

// ProvideEIMPackageResult tells what came of a package.
func (c *Client) ProvideEIMPackageResult(ctx context.Context, r Result) ([]int64, error) {
	var id []byte
	if r.EID != "" {
		parsed, err := rsp.ParseEID(r.EID)
		if err != nil {
			return nil, err
		}
		id = bertlv.Append(nil, tagEID, parsed[:])
	}
	body := bertlv.Append(nil, tagProvideResult, id, r.Object)
	return call(ctx, c, &exchange{function: "ProvideEimPackageResult", body: body}, acknowledgedOf)
}

func acknowledgedOf(b []byte) ([]int64, error) {
	m, err := rsp.Decode[rsp.ProvideEIMPackageResultResponse](b)
	switch {
	case err != nil:
		return nil, err
	case m.Error != nil:
		return nil, eimError(*m.Error)
	}
	return m.Acknowledged, nil
}

// InitiateAuthentication begins a session with an SM-DP+.
func (c *Client) InitiateAuthentication(ctx context.Context, r es9.InitiateAuthentication) (es9.Authentication, error) {
	return call(ctx, c, &exchange{function: "InitiateAuthentication", body: initiateRequest(r)}, authenticationOf)
}

// AuthenticateClient passes on the eUICC's proof and returns what waits for it.
func (c *Client) AuthenticateClient(ctx context.Context, r es9.AuthenticateClient) (es9.Offer, error) {
	body := bertlv.Append(nil, tagAuthenticate, transactionTLV(r.TransactionID), r.Response)
	return call(ctx, c, &exchange{function: "AuthenticateClient", body: body, once: true}, offerOf)
}

// GetBoundProfilePackage returns the profile. A repeated call gets the same one.
func (c *Client) GetBoundProfilePackage(ctx context.Context, r es9.GetBoundProfilePackage) (es9.Package, error) {
	body := bertlv.Append(nil, tagGetBound, transactionTLV(r.TransactionID), r.Response)
	return call(ctx, c, &exchange{function: "GetBoundProfilePackage", body: body}, boundOf)
}

// CancelSession ends a session.
func (c *Client) CancelSession(ctx context.Context, r es9.CancelSession) error {
	body, err := rsp.Encode(&rsp.CancelSessionRequestEsipa{TransactionID: r.TransactionID, Response: r.Response})
	if err != nil {
		return err
	}
	_, err = call(ctx, c, &exchange{function: "CancelSession", body: body}, cancelledOf)
	return err
}

// HandleNotification delivers a notification. Nil means that it was taken.
func (c *Client) HandleNotification(ctx context.Context, notification []byte) error {
	body := bertlv.Append(nil, tagNotify, bertlv.Append(nil, 0xA0, notification))
	_, err := c.exchange(ctx, &exchange{function: "HandleNotification", body: body, silent: true})
	return err
}

var errOtherAnswer = errors.New("the answer is to another function")

// call makes one exchange and reads its answer.
func call[T any](ctx context.Context, c *Client, x *exchange, read func([]byte) (T, error)) (T, error) {
	var none T
	data, err := c.exchange(ctx, x)
	if err != nil {
		return none, err
	}
	v, err := read(data)
	var se *mno.StatusError
	switch {
	case err == nil:
		return v, nil
	case errors.As(err, &se), errors.Is(err, ErrNoPackage), errors.Is(err, ErrUnknownEID), errors.Is(err, ErrInvalidEID):
		return none, err
	}
	return none, &TransportError{Function: x.function, Status: http.StatusOK, Err: err, permanent: true}
}

// exchange is one request and what its answer is to look like.
type exchange struct {
	function string
	body     []byte
	once     bool
	silent   bool // there is no answer
}

func (c *Client) exchange(ctx context.Context, x *exchange) ([]byte, error) {
	if c.BaseURL == "" {
		return nil, errors.New("esipa: set BaseURL of the Client")
	}
	if len(x.body) > MaxRequest {
		return nil, &TransportError{Function: x.function, Err: fmt.Errorf("the request is larger than %d bytes", MaxRequest), permanent: true}
	}
	var data []byte
	err := c.pace().Do(ctx, func() (bool, time.Duration, error) {
		var err error
		data, err = c.attempt(ctx, x)
		var te *TransportError
		if err == nil || !errors.As(err, &te) {
			return false, 0, err
		}
		return !te.permanent, te.after, err
	})
	if err != nil && ctx.Err() != nil {
		return nil, fmt.Errorf("esipa: %w", err)
	}
	return data, err
}

func (c *Client) pace() retry.Pace {
	p := retry.Pace{Attempts: c.Retry.Attempts, Min: c.Retry.Min, Max: c.Retry.Max, Rand: c.Rand}
	if p.Max <= 0 {
		p.Max = 5 * time.Second
	}
	if p.Rand == nil {
		p.Rand = crand.Reader
	}
	return p
}

func (c *Client) attempt(ctx context.Context, x *exchange) ([]byte, error) {
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, strings.TrimSuffix(c.BaseURL, "/")+PathASN1, bytes.NewReader(x.body))
	if err != nil {
		return nil, &TransportError{Function: x.function, Err: err, permanent: true}
	}
	r.Header.Set("Content-Type", TypeASN1)
	r.Header.Set(headerProtocol, Version)
	r.Header.Set("User-Agent", userAgent)
	res, err := retry.Straight(c.HTTP).Do(r)
	if err != nil {
		return nil, &TransportError{Function: x.function, Err: err, permanent: retry.Permanent(err) || x.once && !retry.NothingSent(err)}
	}
	defer res.Body.Close()
	data, err := io.ReadAll(io.LimitReader(res.Body, MaxAnswer+1))
	if err != nil {
		return nil, &TransportError{Function: x.function, Err: err, permanent: x.once}
	}
	return x.check(res, data)
}

// check looks at what HTTP says about an answer.
func (x *exchange) check(res *http.Response, data []byte) ([]byte, error) {
	bad := func(err error) ([]byte, error) {
		again := res.StatusCode >= 500 && res.StatusCode != http.StatusNotImplemented ||
			res.StatusCode == http.StatusTooManyRequests || res.StatusCode == http.StatusRequestTimeout
		return nil, &TransportError{Function: x.function, Status: res.StatusCode, Err: err, permanent: !again || x.once, after: retry.After(res.Header)}
	}
	// Some answer a notification by 200.
	if res.StatusCode != http.StatusOK && (!x.silent || res.StatusCode != http.StatusNoContent) {
		return bad(errors.New(res.Status))
	}
	if len(data) > MaxAnswer {
		return bad(fmt.Errorf("the answer is larger than %d bytes", MaxAnswer))
	}
	if x.silent {
		return nil, nil
	}
	if mt, _, err := mime.ParseMediaType(res.Header.Get("Content-Type")); err != nil || mt != TypeASN1 {
		return bad(fmt.Errorf("the answer is not %s: is this an eIM?", TypeASN1))
	}
	return data, nil
}
