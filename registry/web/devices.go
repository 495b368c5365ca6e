package web

import (
	"fmt"
	"math"
	"strconv"
	"strings"

	"github.com/iotregistry/sdk/registry"
	"github.com/iotregistry/sdk/registry/audit"
)

func (s *Server) devices(c *call) (devicesPage, error) {
	after, limit, err := c.page()
	if err != nil {
		return devicesPage{}, err
	}
	list, next, err := s.Registry.Devices(c.ctx, c.actor, after, limit)
	if err != nil {
		return devicesPage{}, err
	}
	out := devicesPage{Devices: make([]device, len(list)), Next: next}
	for i, d := range list {
		out.Devices[i] = deviceOf(d)
	}
	if next != "" {
		c.link("after", next)
	}
	return out, nil
}

func (s *Server) device(c *call) (device, error) {
	id, err := c.device()
	if err != nil {
		return device{}, err
	}
	d, err := s.Registry.Device(c.ctx, c.actor, id)
	if err != nil {
		return device{}, err
	}
	tag := etagOf(d.Revision())
	c.w.Header().Set("ETag", tag)
	if has(c.r.Header.Values("If-None-Match"), tag) && !justMoved(d) {
		return device{}, errNotModified
	}
	return deviceOf(d), nil
}

// has reports whether one of the tags of If-None-Match is tag (RFC 9110 section
// 13.1.2; it compares weakly).
func has(headers []string, tag string) bool {
	for _, h := range headers {
		for one := range strings.SplitSeq(h, ",") {
			if one = strings.TrimPrefix(strings.TrimSpace(one), "W/"); one == tag || one == "*" {
				return true
			}
		}
	}
	return false
}

// justMoved reports whether the device's last change is a transfer that a
// deadline may have decided: it is seen before it is stored, so that the
// revision does not show it.
func justMoved(d *registry.Device) bool { return !d.Moved.IsZero() && d.Moved.Equal(d.Updated) }

// changeStatus changes one device, as it is at the revision of If-Match.
func (s *Server) changeStatus(c *call, in *registry.StatusChange) (device, error) {
	id, err := c.device()
	if err != nil {
		return device{}, err
	}
	if in.Revision, err = revisionOf(c.r.Header.Values("If-Match")); err != nil {
		return device{}, &registry.Error{Op: "status", Device: id, Err: err}
	}
	results, err := s.Registry.SetStatus(c.ctx, c.actor, *in, id)
	if err == nil {
		err = results[0].Err
	}
	if err != nil {
		return device{}, err
	}
	d, err := s.Registry.Device(c.ctx, c.actor, id)
	if err != nil {
		return device{}, err
	}
	c.w.Header().Set("ETag", etagOf(d.Revision()))
	return deviceOf(d), nil
}

// revisionOf reads If-Match: one tag of ours, or * for any revision (0).
func revisionOf(headers []string) (uint64, error) {
	switch {
	case len(headers) == 0:
		return 0, ErrPrecondition
	case len(headers) > 1 || strings.Contains(headers[0], ","):
		return 0, fmt.Errorf("%w: If-Match names one revision, or *", registry.ErrInvalid)
	case headers[0] == "*":
		return 0, nil
	case !strings.HasSuffix(headers[0], `"`):
		return 0, fmt.Errorf("%w: If-Match is a device's ETag with its quotation marks, or *", registry.ErrInvalid)
	}
	n, err := strconv.ParseUint(strings.Trim(headers[0], `"`), 10, 64)
	if err != nil || n == 0 || etagOf(n) != headers[0] {
		return 0, registry.ErrRevision // no revision ever had this tag
	}
	return n, nil
}

func (s *Server) profiles(c *call) (profilesAnswer, error) {
	id, err := c.device()
	if err != nil {
		return profilesAnswer{}, err
	}
	list, err := s.Registry.Profiles(c.ctx, c.actor, id)
	return profilesAnswer{notNil(list)}, err
}

func (s *Server) code(c *call) (registry.CodeInfo, error) {
	id, err := c.device()
	if err != nil {
		return registry.CodeInfo{}, err
	}
	return s.Registry.Code(c.ctx, c.actor, id)
}

func (s *Server) issued(c *call) (*registry.Issued, error) {
	id, err := c.device()
	if err != nil {
		return nil, err
	}
	n, err := strconv.ParseUint(c.r.PathValue("profile"), 10, 64)
	if err != nil {
		return nil, fmt.Errorf("%w: a profile ID is a number", registry.ErrInvalid)
	}
	return s.Registry.Issued(c.ctx, c.actor, id, n)
}

func (s *Server) timeline(c *call) (linesPage, error) {
	id, err := c.device()
	if err != nil {
		return linesPage{}, err
	}
	return c.lines(func(after uint64, limit int) ([]audit.Line, error) {
		return s.Registry.Timeline(c.ctx, c.actor, id, after, limit)
	})
}

func (s *Server) audit(c *call) (linesPage, error) {
	return c.lines(func(after uint64, limit int) ([]audit.Line, error) {
		return s.Registry.Audit(c.ctx, c.actor, after, limit)
	})
}

// lines answers with a page of the audit trail.
func (c *call) lines(get func(after uint64, limit int) ([]audit.Line, error)) (linesPage, error) {
	after, err := c.number("after", 0, math.MaxUint64)
	if err != nil {
		return linesPage{}, err
	}
	limit, err := c.limit(maxPage)
	if err != nil {
		return linesPage{}, err
	}
	list, err := get(after, limit)
	if err != nil {
		return linesPage{}, err
	}
	last := func() string { return strconv.FormatUint(list[len(list)-1].Seq, 10) }
	return linesPage{Lines: notNil(list), Next: c.next(len(list), limit, last)}, nil
}

// exportAudit writes the trail as it reads it. What fails on the way cuts the
// connection, so that nobody takes a part for the whole.
func (s *Server) exportAudit(c *call) error {
	after, err := c.number("after", 0, math.MaxUint64)
	if err != nil {
		return err
	}
	w := &begun{call: c}
	err = s.Registry.ExportAudit(c.ctx, c.actor, w, after)
	switch {
	case err == nil:
		w.begin()
	case w.yes:
		s.abort(c, err)
	default:
		return err
	}
	return nil
}

// begun is an answer in JSON lines that begins with its first line.
type begun struct {
	*call
	yes bool
}

func (b *begun) begin() {
	if !b.yes {
		b.yes = true
		b.w.Header().Set("Content-Type", typeLines)
		b.w.WriteHeader(200)
	}
}

func (b *begun) Write(p []byte) (int, error) {
	b.begin()
	return b.w.Write(p)
}

func (s *Server) history(c *call) (transfersPage, error) {
	id, err := c.device()
	if err != nil {
		return transfersPage{}, err
	}
	list, err := s.Transfers.History(c.ctx, c.actor, id)
	return transfersPage{Transfers: notNil(list)}, err
}

func (s *Server) incoming(c *call) (transfersPage, error) {
	after, limit, err := c.page()
	if err != nil {
		return transfersPage{}, err
	}
	list, err := s.Transfers.Incoming(c.ctx, c.actor, after, limit)
	if err != nil {
		return transfersPage{}, err
	}
	// A page may be shorter than what was asked for, also before the end.
	next := c.next(len(list), 1, func() string { return list[len(list)-1].Device.String() })
	return transfersPage{Transfers: notNil(list), Next: next}, nil
}
