package web

import (
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"net/http"

	"github.com/iotregistry/sdk/registry"
)

func (s *Server) importRows(c *call, in *importBody) ([]registry.Result, error) {
	rows := make([]registry.Row, len(in.Rows))
	for i := range in.Rows {
		rows[i] = in.Rows[i].row()
	}
	return s.Registry.Import(c.ctx, c.actor, registry.Import{Owner: in.Owner, MNO: in.MNO, Rows: rows, Atomic: in.Atomic, DryRun: in.DryRun})
}

// row is the row as the engine has it. A code that is none becomes the zero one,
// which is refused like any wrong code.
func (r *row) row() registry.Row {
	return registry.Row{Line: r.Line, ID: r.Device, Model: r.Model, Version: r.Version, PublicKey: r.PublicKey, MNO: r.MNO,
		Code: codeOf(r.Code)}
}

func codeOf(s carried) registry.AuthCode {
	code, err := registry.ParseAuthCode(string(s))
	if err != nil {
		return registry.AuthCode{}
	}
	return code
}

func (s *Server) activate(c *call, in *devicesBody) ([]registry.Result, error) {
	return s.Registry.Activate(c.ctx, c.actor, in.options(), in.Devices...)
}

func (s *Server) reset(c *call, in *devicesBody) ([]registry.Result, error) {
	return s.Registry.Reset(c.ctx, c.actor, in.options(), in.Devices...)
}

func (s *Server) forgetCardKeys(c *call, in *devicesBody) ([]registry.Result, error) {
	return s.Registry.ForgetCardKeys(c.ctx, c.actor, in.options(), in.Devices...)
}

func (s *Server) switchTo(c *call, in *switchBody) ([]registry.Result, error) {
	return s.Registry.Switch(c.ctx, c.actor, in.MNO, registry.Options{Atomic: in.Atomic, DryRun: in.DryRun}, in.Devices...)
}

func (s *Server) remove(c *call, in *devicesBody) ([]registry.Result, error) {
	return s.Registry.Delete(c.ctx, c.actor, in.options(), in.Devices...)
}

func (s *Server) restore(c *call, in *devicesBody) ([]registry.Result, error) {
	return s.Registry.Restore(c.ctx, c.actor, in.options(), in.Devices...)
}

func (s *Server) setStatus(c *call, in *statusBody) ([]registry.Result, error) {
	change := registry.StatusChange{Add: in.Add, Remove: in.Remove, Why: in.Why, Case: in.Case, Revision: in.Revision}
	return s.Registry.SetStatus(c.ctx, c.actor, change, in.Devices...)
}

func (s *Server) confirm(c *call, in *confirmBody) ([]registry.Result, error) {
	list := make([]registry.Confirmation, len(in.Confirmations))
	for i, x := range in.Confirmations {
		list[i] = registry.Confirmation{Device: x.Device, ProfileID: x.Profile}
	}
	return s.Registry.Confirm(c.ctx, c.actor, list...)
}

// progress hands on the reports one by one, since the engine's answer does not
// say which of several about one device it is about.
func (s *Server) progress(c *call, in *progressBody) ([]registry.Result, error) {
	results := make([]registry.Result, len(in.Reports))
	for i := range in.Reports {
		results[i].Device = in.Reports[i].Device
	}
	if len(in.Reports) == 0 {
		return results, s.Registry.Progress(c.ctx, c.actor)
	}
	for i := range in.Reports {
		err := s.Registry.Progress(c.ctx, c.actor, in.Reports[i].progress())
		if err == nil {
			continue
		}
		// A refused report is joined; what failed as a whole is not.
		var whole *registry.Error
		if _, joined := err.(interface{ Unwrap() []error }); !joined && errors.As(err, &whole) {
			for k := i; k < len(results); k++ {
				results[k].Err = err
			}
			return results, err
		}
		results[i].Err = err
	}
	return results, nil
}

func (s *Server) clearCodes(c *call, in *devicesBody) ([]registry.Result, error) {
	return s.Registry.ClearCodes(c.ctx, c.actor, in.options(), in.Devices...)
}

func (s *Server) issueCodes(c *call, in *codesBody) (codesAnswer, error) {
	codes, err := s.Registry.IssueCodes(c.ctx, c.actor, in.Devices...)
	if err != nil {
		return codesAnswer{}, err
	}
	out := make([]issuedCode, len(codes))
	for i, x := range codes {
		out[i] = issuedCode{Device: x.Device, Code: carried(x.Code.Reveal()), Expires: x.Expires}
		if x.Err != nil && !errors.As(x.Err, &out[i].Error) {
			out[i].Error = &registry.Error{Device: x.Device, Err: x.Err}
		}
	}
	return codesAnswer{out}, nil
}

func (s *Server) requestTransfer(c *call, in *movesBody) ([]registry.Result, error) {
	moves := make([]registry.Move, len(in.Moves))
	for i, m := range in.Moves {
		moves[i] = registry.Move{Line: m.Line, Device: m.Device, Code: codeOf(m.Code)}
	}
	return s.Transfers.Request(c.ctx, c.actor, registry.Options{Atomic: in.Atomic, DryRun: in.DryRun}, moves...)
}

func (s *Server) approve(c *call, in *devicesBody) ([]registry.Result, error) {
	return s.Transfers.Approve(c.ctx, c.actor, in.options(), in.Devices...)
}

func (s *Server) reject(c *call, in *devicesBody) ([]registry.Result, error) {
	return s.Transfers.Reject(c.ctx, c.actor, in.options(), in.Devices...)
}

func (s *Server) cancel(c *call, in *devicesBody) ([]registry.Result, error) {
	return s.Transfers.Cancel(c.ctx, c.actor, in.options(), in.Devices...)
}

func (s *Server) undo(c *call, in *devicesBody) ([]registry.Result, error) {
	return s.Transfers.Undo(c.ctx, c.actor, in.options(), in.Devices...)
}

// fileClaims takes a maker's claims in each of their three forms.
func (s *Server) fileClaims(c *call) error {
	results, err := s.file(c)
	var large *http.MaxBytesError
	if errors.As(err, &large) {
		err = ErrTooLarge
	}
	out, err := resultsOrError(results, err)
	if err != nil {
		return err
	}
	return answer(c.w, http.StatusOK, typeJSON, out)
}

func (s *Server) file(c *call) ([]registry.Result, error) {
	switch mediaType(c.r.Header) {
	case typeCSV:
		signature, err := base64.StdEncoding.DecodeString(c.r.Header.Get(headerSignature))
		if err != nil || len(signature) == 0 || len(signature) > 1024 {
			return nil, fmt.Errorf("%w: the header %s is the maker's signature of the list in base64", registry.ErrInvalid, headerSignature)
		}
		return s.Registry.FileSigned(c.ctx, c.actor, c.body, signature)
	case typePEM:
		return s.Registry.FileCertificates(c.ctx, c.actor, c.body)
	}
	c.body = http.MaxBytesReader(c.w, io.NopCloser(c.body), s.MaxBody)
	var in claimsBody
	if err := c.decode(&in); err != nil {
		return nil, err
	}
	claims := make([]registry.Claim, len(in.Claims))
	for i, x := range in.Claims {
		claims[i] = registry.Claim{Device: x.Device, Model: x.Model, Key: x.Key, CSR: x.CSR}
	}
	return s.Registry.File(c.ctx, c.actor, claims)
}
