package web

import (
	"bufio"
	"context"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"iter"
	"net/http"
	"net/url"
	"strconv"
	"time"

	"github.com/iotregistry/sdk/registry"
	"github.com/iotregistry/sdk/registry/audit"
	"github.com/iotregistry/sdk/registry/eid"
	"github.com/iotregistry/sdk/transfer"
)

// pages yields the items of a list that comes in pages, each of which next
// returns with where the following one begins, "" for nowhere.
func pages[T any](get func(after string) (items []T, next string, err error)) iter.Seq2[T, error] {
	return func(yield func(T, error) bool) {
		after := ""
		for {
			items, next, err := get(after)
			if err != nil {
				var zero T
				yield(zero, err)
				return
			}
			for _, item := range items {
				if !yield(item, nil) {
					return
				}
			}
			if next == "" || next == after {
				return
			}
			after = next
		}
	}
}

// Me returns the account that the registry takes the caller for, and its role.
func (c *Client) Me(ctx context.Context) (registry.Actor, error) {
	var out me
	_, err := c.get(ctx, "/v1/me", nil, &out)
	return registry.Actor{Account: out.Account, Role: out.Role}, err
}

// Account is [registry.Registry.Account].
func (c *Client) Account(ctx context.Context, id string) (*registry.Account, error) {
	return read[registry.Account](ctx, c, "/v1/accounts/"+url.PathEscape(id))
}

// Accounts is [registry.Registry.Accounts] over all pages.
func (c *Client) Accounts(ctx context.Context, role registry.Role) iter.Seq2[*registry.Account, error] {
	return pages(func(after string) ([]*registry.Account, string, error) {
		q := page(after, maxPage)
		if role != "" {
			q.Set("role", string(role))
		}
		var out accountsPage
		_, err := c.get(ctx, "/v1/accounts", q, &out)
		return out.Accounts, out.Next, err
	})
}

// PutAccount is [registry.Registry.PutAccount].
func (c *Client) PutAccount(ctx context.Context, a registry.Account) error {
	return c.call(ctx, http.MethodPut, "/v1/accounts/"+url.PathEscape(a.ID), &a, nil)
}

// Credentials is [registry.Registry.Credentials].
func (c *Client) Credentials(ctx context.Context, account string) ([]*registry.Credential, error) {
	var out credentialsAnswer
	_, err := c.get(ctx, "/v1/accounts/"+url.PathEscape(account)+"/credentials", nil, &out)
	return out.Credentials, err
}

// IssueToken is [registry.Registry.IssueToken]; the lifetime counts in seconds,
// rounded up. Each call makes a token, so it is not retried where it may have been carried
// out: look at [Client.Credentials] then, and revoke what nobody has seen.
func (c *Client) IssueToken(ctx context.Context, account, label string, lifetime time.Duration) (registry.Credential, Secret, error) {
	body, err := jsonOf(&tokenBody{Label: label, Lifetime: wholeSeconds(lifetime)})
	if err != nil {
		return registry.Credential{}, "", err
	}
	var out tokenAnswer
	_, err = c.do(ctx, &request{method: http.MethodPost, path: "/v1/accounts/" + url.PathEscape(account) + "/tokens",
		contentType: typeJSON, body: body, once: true}, &out)
	return out.Credential, Secret(out.Token), err
}

// wholeSeconds rounds away from zero, which means for ever.
func wholeSeconds(d time.Duration) int64 {
	s := int64(d / time.Second)
	switch rest := d % time.Second; {
	case rest > 0:
		s++
	case rest < 0:
		s--
	}
	return s
}

// TrustCertificate is [registry.Registry.TrustCertificate]; the lifetime counts
// in seconds, rounded up.
func (c *Client) TrustCertificate(ctx context.Context, account, label string, cert *x509.Certificate, lifetime time.Duration) (registry.Credential, error) {
	text := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: cert.Raw})
	var out registry.Credential
	err := c.call(ctx, http.MethodPost, "/v1/accounts/"+url.PathEscape(account)+"/certificates",
		&certificateBody{Label: label, Lifetime: wholeSeconds(lifetime), Certificate: string(text)}, &out)
	return out, err
}

// RevokeCredential is [registry.Registry.RevokeCredential]. It is not retried
// where it may have been carried out.
func (c *Client) RevokeCredential(ctx context.Context, id string) error {
	_, err := c.do(ctx, &request{method: http.MethodDelete, path: "/v1/credentials/" + url.PathEscape(id), once: true}, nil)
	return err
}

// Device is [registry.Registry.Device], with its revision.
func (c *Client) Device(ctx context.Context, id eid.ID) (*registry.Device, error) {
	d, err := read[device](ctx, c, devicePath(id))
	if err != nil {
		return nil, err
	}
	return d.device(), nil
}

// ChangeStatus sets and takes back statuses of one device and returns it as it
// is then. Where s.Revision is not zero and the device has changed since, the
// error is [registry.ErrRevision].
func (c *Client) ChangeStatus(ctx context.Context, id eid.ID, s registry.StatusChange) (*registry.Device, error) {
	body, err := jsonOf(&s)
	if err != nil {
		return nil, err
	}
	match := "*"
	if s.Revision != 0 {
		match = etagOf(s.Revision)
	}
	var out device
	_, err = c.do(ctx, &request{method: http.MethodPatch, path: devicePath(id), contentType: typeJSON, body: body,
		header: http.Header{"If-Match": {match}}}, &out)
	if err != nil {
		return nil, err
	}
	return out.device(), nil
}

// Devices is [registry.Registry.Devices] over all pages.
func (c *Client) Devices(ctx context.Context) iter.Seq2[*registry.Device, error] {
	return pages(func(after string) ([]*registry.Device, string, error) { return c.DevicesPage(ctx, after, maxPage) })
}

// DevicesPage is one page of [Client.Devices]: up to limit devices, at most
// 1,000, after the given ID. It may be shorter before the end: next is "" there.
func (c *Client) DevicesPage(ctx context.Context, after string, limit int) (devices []*registry.Device, next string, err error) {
	var out devicesPage
	if _, err := c.get(ctx, "/v1/devices", page(after, limit), &out); err != nil {
		return nil, "", err
	}
	devices = make([]*registry.Device, len(out.Devices))
	for i := range out.Devices {
		devices[i] = out.Devices[i].device()
	}
	return devices, out.Next, nil
}

// Profiles is [registry.Registry.Profiles].
func (c *Client) Profiles(ctx context.Context, id eid.ID) ([]*registry.Profile, error) {
	var out profilesAnswer
	_, err := c.get(ctx, devicePath(id)+"/profiles", nil, &out)
	return out.Profiles, err
}

// Code is [registry.Registry.Code].
func (c *Client) Code(ctx context.Context, id eid.ID) (registry.CodeInfo, error) {
	var out registry.CodeInfo
	_, err := c.get(ctx, devicePath(id)+"/code", nil, &out)
	return out, err
}

// Issued is [registry.Registry.Issued].
func (c *Client) Issued(ctx context.Context, id eid.ID, profileID uint64) (*registry.Issued, error) {
	return read[registry.Issued](ctx, c, devicePath(id)+"/profiles/"+strconv.FormatUint(profileID, 10))
}

// Timeline is [registry.Registry.Timeline] over all pages.
func (c *Client) Timeline(ctx context.Context, id eid.ID) iter.Seq2[audit.Line, error] {
	return c.lines(ctx, devicePath(id)+"/timeline", 0)
}

// Transfers is [transfer.Service.History].
func (c *Client) Transfers(ctx context.Context, id eid.ID) ([]transfer.Transfer, error) {
	var out transfersPage
	_, err := c.get(ctx, devicePath(id)+"/transfers", nil, &out)
	return out.Transfers, err
}

// Incoming is [transfer.Service.Incoming] over all pages.
func (c *Client) Incoming(ctx context.Context) iter.Seq2[transfer.Transfer, error] {
	return pages(func(after string) ([]transfer.Transfer, string, error) {
		var out transfersPage
		_, err := c.get(ctx, "/v1/transfers/incoming", page(after, maxPage), &out)
		return out.Transfers, out.Next, err
	})
}

// Messages is [registry.Registry.Messages], at most 1,000 at once. Their Account
// does not travel: it is the caller's.
func (c *Client) Messages(ctx context.Context, after string, limit int) ([]registry.Message, error) {
	var out messagesPage
	_, err := c.get(ctx, "/v1/messages", page(after, limit), &out)
	return out.Messages, err
}

// Ack is [registry.Registry.Ack]. It is not retried where it may have been
// carried out: read the queue then.
func (c *Client) Ack(ctx context.Context, ids ...string) error {
	body, err := jsonOf(&ackBody{IDs: notNil(ids)})
	if err != nil {
		return err
	}
	_, err = c.do(ctx, &request{method: http.MethodPost, path: "/v1/messages/ack", contentType: typeJSON, body: body, once: true}, nil)
	return err
}

// Audit is [registry.Registry.Audit] over all pages after a sequence number.
func (c *Client) Audit(ctx context.Context, after uint64) iter.Seq2[audit.Line, error] {
	return c.lines(ctx, "/v1/audit", after)
}

func (c *Client) lines(ctx context.Context, path string, from uint64) iter.Seq2[audit.Line, error] {
	return pages(func(after string) ([]audit.Line, string, error) {
		if after == "" && from > 0 {
			after = strconv.FormatUint(from, 10)
		}
		var out linesPage
		_, err := c.get(ctx, path, page(after, maxPage), &out)
		return out.Lines, out.Next, err
	})
}

// AuditHead is [registry.Registry.AuditHead].
func (c *Client) AuditHead(ctx context.Context) (audit.Head, error) {
	var out audit.Head
	_, err := c.get(ctx, "/v1/audit/head", nil, &out)
	return out, err
}

// ExportAudit is [registry.Registry.ExportAudit]: w gets the lines as they
// arrive. After an error what was written ends somewhere, perhaps within a line;
// the next export can begin after the last whole one.
func (c *Client) ExportAudit(ctx context.Context, w io.Writer, after uint64) error {
	r := &request{method: http.MethodGet, path: "/v1/audit/export", accept: typeLines}
	if after > 0 {
		r.query = page(strconv.FormatUint(after, 10), 0)
	}
	res, err := c.stream(ctx, r, typeLines)
	if err != nil {
		return err
	}
	defer res.Body.Close()
	if _, err := io.Copy(w, bufio.NewReader(res.Body)); err != nil {
		return fmt.Errorf("registry/web: %s: %w", r.path, err)
	}
	return nil
}

// stream makes a request whose answer is read as it arrives. The caller closes
// its body.
func (c *Client) stream(ctx context.Context, r *request, contentType string) (res *http.Response, err error) {
	if err := c.prepare(r); err != nil {
		return nil, err
	}
	err = c.Retry.do(ctx, c.random(), r.once, func() (err error) {
		if res, err = c.send(ctx, r); err != nil {
			return err
		}
		if res.StatusCode == http.StatusOK && mediaType(res.Header) == contentType {
			return nil
		}
		defer res.Body.Close()
		data, err := io.ReadAll(io.LimitReader(res.Body, maxProblem))
		if err != nil {
			return &TransportError{Method: r.method, Path: r.path, Status: res.StatusCode, Err: err}
		}
		if err := decodeAnswer(r, res, data, nil); err != nil {
			return err
		}
		return &TransportError{Method: r.method, Path: r.path, Status: res.StatusCode, permanent: true,
			Err: errors.New("the answer is not " + contentType + ": is this a registry?")}
	})
	return res, err
}

const maxProblem = 1 << 20

func read[T any](ctx context.Context, c *Client, path string) (*T, error) {
	out := new(T)
	if _, err := c.get(ctx, path, nil, out); err != nil {
		return nil, err
	}
	return out, nil
}

func devicePath(id eid.ID) string { return "/v1/devices/" + id.String() }
