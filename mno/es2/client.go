package es2

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"mime"
	"net/http"
	"strings"

	"github.com/iotregistry/sdk/internal/retry"
	"github.com/iotregistry/sdk/mno"
)

// Client calls an SM-DP+, or, with HandleDownloadProgressInfo, an operator. It
// is a [mno.Operator] and safe for concurrent use.
type Client struct {
	// BaseURL is the peer, such as "https://smdp.example.net:8443"; the paths of
	// SGP.22 are added to it. Required.
	BaseURL string

	// HTTP does the requests, and holds the client certificate and the roots for
	// mutual TLS and the time limit for one attempt. Nil means
	// http.DefaultClient, which has none of them. For many calls at once, let its
	// Transport keep connections (MaxIdleConnsPerHost, or ForceAttemptHTTP2).
	// Redirects are never followed.
	HTTP *http.Client

	// Requester identifies the caller to the peer (functionRequesterIdentifier,
	// an OID in most networks). Required.
	Requester string

	// Retry says how transport trouble is retried. The zero value makes 5
	// attempts, with 1.5 seconds of waiting between them in all.
	Retry Retry

	// Rand is the source of call identifiers and of the jitter between attempts,
	// and safe for concurrent use; nil means crypto/rand.Reader.
	Rand io.Reader
}

var _ mno.Operator = (*Client)(nil)

// Order places o and confirms it for immediate release: DownloadOrder, then
// ConfirmOrder with releaseFlag true. After an error in between, repeat it: an
// SM-DP+ that knows our extension members then returns the first receipt.
func (c *Client) Order(ctx context.Context, o mno.Order) (mno.Receipt, error) {
	iccid, err := c.DownloadOrder(ctx, o)
	if err != nil {
		return mno.Receipt{}, err
	}
	return c.ConfirmOrder(ctx, ConfirmOrder{ICCID: iccid, Device: o.Device, Release: true})
}

// Cancel withdraws the order and burns its ICCID: CancelOrder with final status
// Unavailable.
func (c *Client) Cancel(ctx context.Context, r mno.Receipt) error {
	return c.CancelOrder(ctx, CancelOrder{ICCID: r.ICCID, Device: r.Device, MatchingID: r.MatchingID, Final: mno.Unavailable})
}

// DownloadOrder reserves a profile and returns its ICCID.
func (c *Client) DownloadOrder(ctx context.Context, o mno.Order) (iccid string, err error) {
	if err := o.Validate(); err != nil {
		return "", err
	}
	req := downloadOrderRequest{
		ICCID: o.ICCID, ProfileType: o.ProfileType,
		IoTProfileID: o.ProfileID, IoTSealedProfile: o.Sealed,
	}
	req.deviceMembers = membersOf(o.Device)
	var resp downloadOrderResponse
	if err := c.call(ctx, PathDownloadOrder, &req, &resp); err != nil {
		return "", err
	}
	iccid, err = mno.CanonicalICCID(resp.ICCID)
	if err != nil {
		return "", other(PathDownloadOrder, "iccid is none")
	}
	if o.ICCID != "" {
		if own, err := mno.CanonicalICCID(o.ICCID); err != nil || own != iccid {
			return "", other(PathDownloadOrder, "iccid is not the one that was ordered")
		}
	}
	return iccid, nil
}

// other is an answer that is to another order than the one that was placed. What
// the peer has done nobody knows; it will not answer otherwise next time.
func other(path, what string) error {
	return &TransportError{Path: path, Status: http.StatusOK, Err: errors.New("the answer's " + what), permanent: true}
}

// ConfirmOrder makes an ordered profile ready for download.
func (c *Client) ConfirmOrder(ctx context.Context, o ConfirmOrder) (mno.Receipt, error) {
	iccid, err := mno.CanonicalICCID(o.ICCID)
	if err != nil {
		return mno.Receipt{}, err
	}
	req := confirmOrderRequest{
		ICCID: iccid, MatchingID: o.MatchingID, ConfirmationCode: string(o.ConfirmationCode),
		SMDSAddress: o.SMDSAddress, ReleaseFlag: &o.Release,
	}
	req.deviceMembers = membersOf(o.Device)
	var resp confirmOrderResponse
	if err := c.call(ctx, PathConfirmOrder, &req, &resp); err != nil {
		return mno.Receipt{}, err
	}
	return resp.receipt(o, iccid)
}

// receipt makes sure that the answer is to the confirmation o.
func (r *confirmOrderResponse) receipt(o ConfirmOrder, iccid string) (mno.Receipt, error) {
	device, err := r.device()
	switch {
	case err != nil:
		return mno.Receipt{}, other(PathConfirmOrder, "eid or iotDeviceId is none")
	case device.IsZero():
		device = o.Device
	case !o.Device.IsZero() && o.Device.Kind() == device.Kind() && o.Device != device:
		return mno.Receipt{}, other(PathConfirmOrder, "device is not the one that was named")
	}
	id := *r.MatchingID
	if !validMatchingID(id) || o.MatchingID != nil && *o.MatchingID != "" && *o.MatchingID != id {
		return mno.Receipt{}, other(PathConfirmOrder, "matchingId is none, or not the one that was named")
	}
	return mno.Receipt{Device: device, ICCID: iccid, MatchingID: id, SMDPAddress: r.SMDPAddress}, nil
}

// CancelOrder takes an order back.
func (c *Client) CancelOrder(ctx context.Context, o CancelOrder) error {
	iccid, err := mno.CanonicalICCID(o.ICCID)
	if err != nil {
		return err
	}
	req := cancelOrderRequest{ICCID: iccid, MatchingID: o.MatchingID, Final: o.Final.String()}
	req.deviceMembers = membersOf(o.Device)
	return c.call(ctx, PathCancelOrder, &req, &emptyResponse{})
}

// ReleaseProfile allows the download of a confirmed profile.
func (c *Client) ReleaseProfile(ctx context.Context, iccid string) error {
	iccid, err := mno.CanonicalICCID(iccid)
	if err != nil {
		return err
	}
	return c.call(ctx, PathReleaseProfile, &releaseProfileRequest{ICCID: iccid}, &emptyResponse{})
}

// HandleDownloadProgressInfo tells the peer, an operator, how a download went.
// Nil means that it took the news.
func (c *Client) HandleDownloadProgressInfo(ctx context.Context, p mno.Progress) error {
	req, err := progressRequestOf(p)
	if err != nil {
		return err
	}
	return c.call(ctx, PathHandleDownloadProgressInfo, req, nil)
}

// call sends req, with its header filled in, until a response arrives or the
// retries are used up, and decodes the response into resp; a nil resp stands
// for a notification, which is answered by 204 and nothing.
func (c *Client) call(ctx context.Context, path string, req request, resp response) error {
	if c.BaseURL == "" || c.Requester == "" {
		return errors.New("es2: set BaseURL and Requester of the Client")
	}
	id, err := c.callID()
	if err != nil {
		return err
	}
	req.setHeader(requestHeader{Requester: c.Requester, CallID: id})
	body, err := json.Marshal(req)
	if err != nil {
		return &TransportError{Path: path, Err: err}
	}
	return c.Retry.do(ctx, c.random(), func() error { return c.attempt(ctx, path, body, resp) })
}

func (c *Client) attempt(ctx context.Context, path string, body []byte, resp response) error {
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, strings.TrimSuffix(c.BaseURL, "/")+path, bytes.NewReader(body))
	if err != nil {
		return &TransportError{Path: path, Err: err, permanent: true}
	}
	r.Header.Set("Content-Type", contentType)
	r.Header.Set(headerProtocol, Version)
	res, err := retry.Straight(c.HTTP).Do(r)
	if err != nil {
		return &TransportError{Path: path, Err: err, permanent: retry.Permanent(err)}
	}
	defer res.Body.Close()
	data, err := io.ReadAll(io.LimitReader(res.Body, MaxBody+1))
	if err != nil {
		return &TransportError{Path: path, Err: err}
	}
	return decodeResponse(path, res, data, resp)
}

// decodeResponse turns one HTTP response into resp, a StatusError or a
// TransportError.
func decodeResponse(path string, res *http.Response, data []byte, resp response) error {
	want := http.StatusOK
	if resp == nil {
		want = http.StatusNoContent
	}
	bad := func(err error) error {
		return &TransportError{Path: path, Status: res.StatusCode, Err: err,
			permanent: res.StatusCode < 500 && res.StatusCode != http.StatusTooManyRequests && res.StatusCode != http.StatusRequestTimeout,
			after:     retry.After(res.Header)}
	}
	// A peer may answer a notification by 200 and a response header as well.
	if res.StatusCode != want && (resp != nil || res.StatusCode != http.StatusOK) {
		return bad(errors.New(res.Status))
	}
	if len(data) > MaxBody {
		return bad(errTooLarge)
	}
	if resp == nil {
		if len(bytes.TrimSpace(data)) == 0 {
			return nil
		}
		resp = &emptyResponse{}
	}
	if mt, _, err := mime.ParseMediaType(res.Header.Get("Content-Type")); err != nil || mt != contentType {
		return bad(errors.New("the answer is not application/json: is this an ES2+ server?"))
	}
	if err := json.Unmarshal(data, resp); err != nil {
		return bad(err)
	}
	if err := resp.status(); err != nil {
		var se *mno.StatusError
		if !errors.As(err, &se) {
			return bad(err)
		}
		return err
	}
	if err := resp.complete(); err != nil {
		return bad(err)
	}
	return nil
}
