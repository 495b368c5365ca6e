package web

import (
	"context"
	"encoding/base64"
	"fmt"
	"io"
	"net/http"

	"github.com/iotregistry/sdk/mno"
	"github.com/iotregistry/sdk/registry"
	"github.com/iotregistry/sdk/registry/eid"
)

// bulk makes a bulk call. The results of one that failed midway come with the
// error.
func (c *Client) bulk(ctx context.Context, path string, in any) ([]registry.Result, error) {
	var out resultsAnswer
	err := c.call(ctx, http.MethodPost, path, in, &out)
	return resultsOf(out, err)
}

func resultsOf(out resultsAnswer, err error) ([]registry.Result, error) {
	if p, ok := asProblem(err); ok {
		return p.Results, err
	}
	return out.Results, err
}

func devicesOf(opts registry.Options, ids []eid.ID) *devicesBody {
	return &devicesBody{Devices: notNil(ids), Atomic: opts.Atomic, DryRun: opts.DryRun}
}

// Import is [registry.Registry.Import]. Results are in the order of the rows, and
// nil where the call as a whole failed before anything was done; that is so for
// all bulk calls.
func (c *Client) Import(ctx context.Context, in registry.Import) ([]registry.Result, error) {
	body := &importBody{Owner: in.Owner, MNO: in.MNO, Atomic: in.Atomic, DryRun: in.DryRun, Rows: make([]row, len(in.Rows))}
	for i, r := range in.Rows {
		body.Rows[i] = rowOf(r)
	}
	return c.bulk(ctx, "/v1/import", body)
}

func rowOf(r registry.Row) row {
	return row{Line: r.Line, Device: r.ID, Model: r.Model, Version: r.Version, PublicKey: r.PublicKey, MNO: r.MNO,
		Code: carried(r.Code.Reveal())}
}

// Activate is [registry.Registry.ActivateAll].
func (c *Client) Activate(ctx context.Context, opts registry.Options, ids ...eid.ID) ([]registry.Result, error) {
	return c.bulk(ctx, "/v1/activate", devicesOf(opts, ids))
}

// Reset is [registry.Registry.Reset].
func (c *Client) Reset(ctx context.Context, opts registry.Options, ids ...eid.ID) ([]registry.Result, error) {
	return c.bulk(ctx, "/v1/reset", devicesOf(opts, ids))
}

// ForgetCardKeys is [registry.Registry.ForgetCardKeys].
func (c *Client) ForgetCardKeys(ctx context.Context, opts registry.Options, ids ...eid.ID) ([]registry.Result, error) {
	return c.bulk(ctx, "/v1/card-keys/forget", devicesOf(opts, ids))
}

// Switch is [registry.Registry.Switch].
func (c *Client) Switch(ctx context.Context, operator string, opts registry.Options, ids ...eid.ID) ([]registry.Result, error) {
	return c.bulk(ctx, "/v1/switch", &switchBody{MNO: operator, Devices: notNil(ids), Atomic: opts.Atomic, DryRun: opts.DryRun})
}

// Delete is [registry.Registry.Delete].
func (c *Client) Delete(ctx context.Context, opts registry.Options, ids ...eid.ID) ([]registry.Result, error) {
	return c.bulk(ctx, "/v1/delete", devicesOf(opts, ids))
}

// Restore is [registry.Registry.Restore].
func (c *Client) Restore(ctx context.Context, opts registry.Options, ids ...eid.ID) ([]registry.Result, error) {
	return c.bulk(ctx, "/v1/restore", devicesOf(opts, ids))
}

// SetStatus is [registry.Registry.SetStatus].
func (c *Client) SetStatus(ctx context.Context, s registry.StatusChange, ids ...eid.ID) ([]registry.Result, error) {
	return c.bulk(ctx, "/v1/status", &statusBody{Devices: notNil(ids), Add: s.Add, Remove: s.Remove, Why: s.Why, Case: s.Case, Revision: s.Revision})
}

// Confirm is [registry.Registry.Confirm].
func (c *Client) Confirm(ctx context.Context, cs ...registry.Confirmation) ([]registry.Result, error) {
	body := &confirmBody{Confirmations: make([]confirmation, len(cs))}
	for i, x := range cs {
		body.Confirmations[i] = confirmation{Device: x.Device, Profile: x.ProfileID}
	}
	return c.bulk(ctx, "/v1/confirm", body)
}

// Progress is [registry.Registry.Progress], with one result for each report, in
// their order. ErrNotFound and ErrForbidden in one mean never to report it again.
func (c *Client) Progress(ctx context.Context, reports ...mno.Progress) ([]registry.Result, error) {
	body := &progressBody{Reports: make([]report, len(reports))}
	for i, p := range reports {
		body.Reports[i] = reportOf(p)
	}
	return c.bulk(ctx, "/v1/progress", body)
}

// IssueCodes is [registry.Registry.IssueCodes]. Where it failed midway there are
// no codes to see: draw them again.
func (c *Client) IssueCodes(ctx context.Context, ids ...eid.ID) ([]registry.IssuedCode, error) {
	var out codesAnswer
	if err := c.call(ctx, http.MethodPost, "/v1/codes", &codesBody{Devices: notNil(ids)}, &out); err != nil {
		return nil, err
	}
	codes := make([]registry.IssuedCode, len(out.Codes))
	for i, x := range out.Codes {
		codes[i] = registry.IssuedCode{Device: x.Device, Expires: x.Expires}
		if x.Error != nil {
			codes[i].Err = x.Error
			continue
		}
		code, err := registry.ParseAuthCode(string(x.Code))
		if err != nil {
			return nil, fmt.Errorf("registry/web: /v1/codes: the answer has a damaged code: %w", err)
		}
		codes[i].Code = code
	}
	return codes, nil
}

// ClearCodes is [registry.Registry.ClearCodes].
func (c *Client) ClearCodes(ctx context.Context, opts registry.Options, ids ...eid.ID) ([]registry.Result, error) {
	return c.bulk(ctx, "/v1/codes/clear", devicesOf(opts, ids))
}

// RequestTransfer is [transfer.Service.Request].
func (c *Client) RequestTransfer(ctx context.Context, opts registry.Options, moves ...registry.Move) ([]registry.Result, error) {
	body := &movesBody{Moves: make([]move, len(moves)), Atomic: opts.Atomic, DryRun: opts.DryRun}
	for i, m := range moves {
		body.Moves[i] = move{Line: m.Line, Device: m.Device, Code: carried(m.Code.Reveal())}
	}
	return c.bulk(ctx, "/v1/transfers", body)
}

// ApproveTransfer is [transfer.Service.Approve].
func (c *Client) ApproveTransfer(ctx context.Context, opts registry.Options, ids ...eid.ID) ([]registry.Result, error) {
	return c.bulk(ctx, "/v1/transfers/approve", devicesOf(opts, ids))
}

// RejectTransfer is [transfer.Service.Reject].
func (c *Client) RejectTransfer(ctx context.Context, opts registry.Options, ids ...eid.ID) ([]registry.Result, error) {
	return c.bulk(ctx, "/v1/transfers/reject", devicesOf(opts, ids))
}

// CancelTransfer is [transfer.Service.Cancel].
func (c *Client) CancelTransfer(ctx context.Context, opts registry.Options, ids ...eid.ID) ([]registry.Result, error) {
	return c.bulk(ctx, "/v1/transfers/cancel", devicesOf(opts, ids))
}

// UndoTransfer is [transfer.Service.Undo].
func (c *Client) UndoTransfer(ctx context.Context, opts registry.Options, ids ...eid.ID) ([]registry.Result, error) {
	return c.bulk(ctx, "/v1/transfers/undo", devicesOf(opts, ids))
}

// File is [registry.Registry.File]; Maker and Filed of the claims do not travel.
func (c *Client) File(ctx context.Context, claims []registry.Claim) ([]registry.Result, error) {
	body := &claimsBody{Claims: make([]claimed, len(claims))}
	for i, x := range claims {
		body.Claims[i] = claimed{Device: x.Device, Model: x.Model, Key: x.Key, CSR: x.CSR}
	}
	return c.bulk(ctx, "/v1/claims", body)
}

// Enroll is [registry.Registry.Enroll], as the device: HTTP must hold the
// certificate of its current profile, with a key that may be on its card, as
// [profile.Profile.TLSCertificate] gives it, and Token be empty.
func (c *Client) Enroll(ctx context.Context, csr []byte) (registry.Enrollment, error) {
	var out registry.Enrollment
	if err := c.call(ctx, http.MethodPost, "/v1/enroll", &enrollBody{CSR: csr}, &out); err != nil {
		return registry.Enrollment{}, err
	}
	return out, nil
}

// FileSigned is [registry.Registry.FileSigned]. The list is read whole first.
func (c *Client) FileSigned(ctx context.Context, list io.Reader, signature []byte) ([]registry.Result, error) {
	h := http.Header{headerSignature: {base64.StdEncoding.EncodeToString(signature)}}
	return c.fileList(ctx, list, typeCSV, h)
}

// FileCertificates is [registry.Registry.FileCertificates]. The bundle is read
// whole first.
func (c *Client) FileCertificates(ctx context.Context, bundle io.Reader) ([]registry.Result, error) {
	return c.fileList(ctx, bundle, typePEM, nil)
}

func (c *Client) fileList(ctx context.Context, list io.Reader, contentType string, h http.Header) ([]registry.Result, error) {
	body, err := readList(list)
	if err != nil {
		return nil, err
	}
	var out resultsAnswer
	_, err = c.do(ctx, &request{method: http.MethodPost, path: "/v1/claims", contentType: contentType, body: body, header: h}, &out)
	return resultsOf(out, err)
}
