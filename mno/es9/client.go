package es9

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"strings"

	"github.com/iotregistry/sdk/internal/retry"
	"github.com/iotregistry/sdk/internal/rsp"
	"github.com/iotregistry/sdk/internal/strictjson"
	"github.com/iotregistry/sdk/mno"
)

// Client calls an SM-DP+ for a device. It is a [Backend] and safe for concurrent
// use. What the SM-DP+ refuses is a [*mno.StatusError], trouble on the way a
// [*TransportError]. Answers are bounded by [MaxAnswer].
//
// Calls are repeated where that does no harm: all but AuthenticateClient, which
// counts as an attempt to download and is repeated only where nothing was sent.
type Client struct {
	// BaseURL is the SM-DP+, such as "https://smdp.example.net"; the paths of
	// SGP.22 are added to it. Required.
	BaseURL string

	// HTTP does the requests, and holds the roots for TLS and the time limit for
	// one attempt. Nil means http.DefaultClient, which has no limit. Redirects
	// are never followed.
	HTTP *http.Client

	// ASN1 chooses the ASN.1 binding instead of JSON.
	ASN1 bool

	// Retry says how transport trouble is retried. The zero value makes 5
	// attempts, with 1.5 seconds of waiting between them in all.
	Retry Retry

	// Rand is the source of the jitter between attempts, and safe for concurrent
	// use; nil means crypto/rand.Reader.
	Rand io.Reader
}

var _ Backend = (*Client)(nil)

// InitiateAuthentication begins a session.
func (c *Client) InitiateAuthentication(ctx context.Context, r InitiateAuthentication) (Authentication, error) {
	if c.ASN1 {
		return callASN1(ctx, c, initiateASN1(r), false, authenticationOf)
	}
	return callJSON(ctx, c, PathInitiateAuthentication, false, &initiateRequest{Challenge: base64Of(r.Challenge),
		Info1: base64Of(r.Info1), SMDPAddress: r.SMDPAddress}, &initiateResponse{})
}

// AuthenticateClient passes on the eUICC's proof and returns what waits for it.
func (c *Client) AuthenticateClient(ctx context.Context, r AuthenticateClient) (Offer, error) {
	if c.ASN1 {
		return callASN1(ctx, c, authenticateClientASN1(r), true, offerOf)
	}
	return callJSON(ctx, c, PathAuthenticateClient, true, &authenticateClientRequest{
		TransactionID: transactionText(r.TransactionID), Response: base64Of(r.Response)}, &authenticateClientResponse{})
}

// GetBoundProfilePackage returns the profile. A repeated call gets the same one.
func (c *Client) GetBoundProfilePackage(ctx context.Context, r GetBoundProfilePackage) (Package, error) {
	if c.ASN1 {
		return callASN1(ctx, c, packageASN1(r), false, packageOf)
	}
	return callJSON(ctx, c, PathGetBoundProfilePackage, false, &packageRequest{
		TransactionID: transactionText(r.TransactionID), Response: base64Of(r.Response)}, &packageResponse{})
}

// CancelSession ends a session.
func (c *Client) CancelSession(ctx context.Context, r CancelSession) error {
	var err error
	if c.ASN1 {
		_, err = callASN1(ctx, c, cancelRequestASN1(r), false, cancelledOf)
		return err
	}
	_, err = callJSON(ctx, c, PathCancelSession, false, &cancelRequest{
		TransactionID: transactionText(r.TransactionID), Response: base64Of(r.Response)}, &emptyResponse{})
	return err
}

// HandleNotification delivers a notification. Nil means that the SM-DP+ took it.
func (c *Client) HandleNotification(ctx context.Context, notification []byte) error {
	x := exchange{path: PathHandleNotification, mediaType: TypeJSON, want: http.StatusNoContent}
	if c.ASN1 {
		x.path, x.mediaType, x.body = PathASN1, TypeASN1, notificationRequestASN1(notification)
	} else if err := x.setJSON(&notificationRequest{Notification: base64Of(notification)}); err != nil {
		return err
	}
	data, err := c.exchange(ctx, &x)
	if err != nil || c.ASN1 || len(bytes.TrimSpace(data)) == 0 {
		return err
	}
	_, err = readJSON(&x, data, &emptyResponse{}) // some answer with a header
	return err
}

// response is what every JSON response object has.
type response[T any] interface {
	status() error
	noun() (T, error)
}

func callJSON[T any](ctx context.Context, c *Client, path string, once bool, req any, resp response[T]) (T, error) {
	x := exchange{path: path, mediaType: TypeJSON, want: http.StatusOK, once: once}
	if err := x.setJSON(req); err != nil {
		return *new(T), err
	}
	data, err := c.exchange(ctx, &x)
	if err != nil {
		return *new(T), err
	}
	return readJSON(&x, data, resp)
}

// readJSON turns one answer into its noun, a StatusError or a TransportError.
func readJSON[T any](x *exchange, data []byte, resp response[T]) (T, error) {
	var none T
	if err := strictjson.Decode(data, resp, shape); err != nil {
		return none, x.bad(err)
	}
	if err := resp.status(); err != nil {
		var se *mno.StatusError
		if errors.As(err, &se) {
			return none, err
		}
		return none, x.bad(err)
	}
	v, err := resp.noun()
	if err != nil {
		return none, x.bad(err)
	}
	return v, nil
}

func callASN1[T any](ctx context.Context, c *Client, body []byte, once bool, read func(*rsp.ES9Response) (T, error)) (T, error) {
	var none T
	x := exchange{path: PathASN1, mediaType: TypeASN1, want: http.StatusOK, once: once, body: body}
	data, err := c.exchange(ctx, &x)
	if err != nil {
		return none, err
	}
	r, err := rsp.Decode[rsp.ES9Response](data)
	if err != nil {
		return none, x.bad(err)
	}
	v, err := read(r)
	var se *mno.StatusError
	if err != nil && !errors.As(err, &se) {
		err = x.bad(err)
	}
	return v, err
}

// exchange is one request and what its answer is to look like.
type exchange struct {
	path, mediaType string
	want            int // HTTP status
	once            bool
	body            []byte
}

func (x *exchange) setJSON(req any) error {
	var err error
	if x.body, err = json.Marshal(req); err != nil {
		return x.bad(err)
	}
	return nil
}

// bad is an answer that came and is none.
func (x *exchange) bad(err error) error {
	return &TransportError{Path: x.path, Status: x.want, Err: err, permanent: true}
}

func (c *Client) exchange(ctx context.Context, x *exchange) ([]byte, error) {
	if c.BaseURL == "" {
		return nil, errors.New("es9: set BaseURL of the Client")
	}
	if len(x.body) > MaxRequest {
		return nil, &TransportError{Path: x.path, Err: fmt.Errorf("the request is larger than %d bytes", MaxRequest), permanent: true}
	}
	var data []byte
	err := c.Retry.do(ctx, c.random(), func() error {
		var err error
		data, err = c.attempt(ctx, x)
		return err
	})
	return data, err
}

func (c *Client) attempt(ctx context.Context, x *exchange) ([]byte, error) {
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, strings.TrimSuffix(c.BaseURL, "/")+x.path, bytes.NewReader(x.body))
	if err != nil {
		return nil, &TransportError{Path: x.path, Err: err, permanent: true}
	}
	r.Header.Set("Content-Type", x.mediaType)
	r.Header.Set(headerProtocol, Version)
	r.Header.Set("User-Agent", userAgent)
	res, err := retry.Straight(c.HTTP).Do(r)
	if err != nil {
		return nil, &TransportError{Path: x.path, Err: err, permanent: retry.Permanent(err) || x.once && !retry.NothingSent(err)}
	}
	defer res.Body.Close()
	data, err := io.ReadAll(io.LimitReader(res.Body, MaxAnswer+1))
	if err != nil {
		return nil, &TransportError{Path: x.path, Err: err, permanent: x.once}
	}
	return x.check(res, data)
}

// check looks at what HTTP says about an answer.
func (x *exchange) check(res *http.Response, data []byte) ([]byte, error) {
	bad := func(err error) ([]byte, error) {
		again := res.StatusCode >= 500 || res.StatusCode == http.StatusTooManyRequests || res.StatusCode == http.StatusRequestTimeout
		return nil, &TransportError{Path: x.path, Status: res.StatusCode, Err: err, permanent: !again || x.once, after: retry.After(res.Header)}
	}
	// Some answer a notification by 200.
	if res.StatusCode != x.want && res.StatusCode != http.StatusOK {
		return bad(errors.New(res.Status))
	}
	if len(data) > MaxAnswer {
		return bad(fmt.Errorf("the answer is larger than %d bytes", MaxAnswer))
	}
	if x.want == http.StatusNoContent && len(bytes.TrimSpace(data)) == 0 {
		return nil, nil
	}
	if mt, _, err := mime.ParseMediaType(res.Header.Get("Content-Type")); err != nil || mt != x.mediaType {
		return bad(fmt.Errorf("the answer is not %s: is this an ES9+ server?", x.mediaType))
	}
	return data, nil
}
