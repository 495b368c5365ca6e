package rdap

import (
	"context"
	"errors"
	"slices"
	"strings"
	"time"

	"github.com/iotregistry/sdk/registry"
)

// extension is the identifier that our members and paths begin with.
const extension = "iotreg_0"

// Notice is information about the service (RFC 9083 section 4.3). Description has
// at least one element.
type Notice struct {
	Title       string   `json:"title,omitempty"`
	Description []string `json:"description"`
	Links       []Link   `json:"links,omitempty"`
}

// Link leads somewhere (RFC 9083 section 4.2): Rel says what Href is to Value.
type Link struct {
	Value string `json:"value,omitempty"`
	Rel   string `json:"rel,omitempty"`
	Href  string `json:"href"`
	Type  string `json:"type,omitempty"`
}

// object is a device as RDAP shows it.
type object struct {
	Conformance  []string    `json:"rdapConformance"`
	Notices      []Notice    `json:"notices,omitempty"`
	Class        string      `json:"objectClassName"`
	Handle       string      `json:"handle"`
	Name         string      `json:"ldhName,omitempty"`
	Model        string      `json:"iotreg_0_model,omitempty"`
	ModelVersion string      `json:"iotreg_0_modelVersion,omitempty"`
	MNO          string      `json:"iotreg_0_mno,omitempty"`
	Key          string      `json:"iotreg_0_euiccKey,omitempty"`
	Status       []string    `json:"status"`
	Entities     []entity    `json:"entities"`
	Events       []event     `json:"events"`
	Links        []Link      `json:"links,omitempty"`
	Redacted     []redaction `json:"redacted,omitempty"`
}

type entity struct {
	Class  string   `json:"objectClassName"`
	Handle string   `json:"handle"`
	VCard  []any    `json:"vcardArray"` // RFC 7095
	Roles  []string `json:"roles"`
}

type event struct {
	Action string    `json:"eventAction"`
	Date   time.Time `json:"eventDate"`
}

// redaction names a member that was removed (RFC 9537 section 4.2). What is ours
// has a description for a name: a type would have to be registered.
type redaction struct {
	Name     description `json:"name"`
	PrePath  string      `json:"prePath"`
	PathLang string      `json:"pathLang"`
	Method   string      `json:"method"`
	Reason   description `json:"reason"`
}

type description struct {
	Description string `json:"description"`
}

// failure is an error (RFC 9083 section 6).
type failure struct {
	Conformance []string `json:"rdapConformance"`
	Notices     []Notice `json:"notices,omitempty"`
	Code        int      `json:"errorCode"`
	Title       string   `json:"title"`
	Description []string `json:"description"`
}

type helpText struct {
	Conformance []string `json:"rdapConformance"`
	Notices     []Notice `json:"notices"`
}

func (h *Handler) help() *helpText {
	about := Notice{Title: "Look-up of IoT devices", Description: []string{
		"GET /rdap/device/{id} tells who answers for a device. {id} is an EID, an ICCID, a decimal number, or a handle.",
	}}
	if h.cfg.Base != "" {
		help := h.cfg.Base + "help"
		about.Links = []Link{{Value: help, Rel: "self", Href: help, Type: ContentType}}
	}
	return &helpText{Conformance: conformance(), Notices: append([]Notice{about}, h.cfg.Notices...)}
}

// conformance is what our answers follow: RFC 9083, RFC 8521, RFC 9537, ourselves.
func conformance() []string {
	return []string{"rdap_level_0", "rdap_objectTag_level_0", "redacted", extension}
}

// object makes the answer about d, without what is not public where redacted.
func (h *Handler) object(ctx context.Context, d *registry.Device, redacted bool) (*object, error) {
	profile, err := h.current(ctx, d)
	if err != nil {
		return nil, err
	}
	sponsor, err := h.entity(ctx, d.Sponsor, "registrar")
	if err != nil {
		return nil, err
	}
	o := &object{
		Conformance: conformance(), Notices: h.cfg.Notices, Class: "device",
		Handle: h.handle(d.ID.String()), Name: strings.TrimSuffix(profile.Name, "."),
		Status: statuses(d.Statuses(h.cfg.Now())), Entities: []entity{sponsor}, Events: events(d, profile),
	}
	if h.cfg.Base != "" {
		self := h.cfg.Base + "device/" + d.ID.String()
		o.Links = []Link{{Value: self, Rel: "self", Href: self, Type: ContentType}}
	}
	if redacted {
		o.Redacted = redactions()
		return o, nil
	}
	o.Model, o.ModelVersion, o.MNO, o.Key = d.Model, d.Version, d.MNO, d.Key
	if d.Owner != "" {
		owner, err := h.entity(ctx, d.Owner, "registrant")
		if err != nil {
			return nil, err
		}
		o.Entities = append(o.Entities, owner)
	}
	return o, nil
}

// current returns d's current profile, an empty one where it has none.
func (h *Handler) current(ctx context.Context, d *registry.Device) (*registry.Profile, error) {
	if d.Profile == 0 {
		return &registry.Profile{}, nil
	}
	all, err := h.cfg.Engine.Profiles(ctx, operator(), d.ID)
	if err != nil {
		return nil, err
	}
	if i := slices.IndexFunc(all, func(p *registry.Profile) bool { return p.ID == d.Profile }); i >= 0 {
		return all[i], nil
	}
	return &registry.Profile{}, nil
}

func (h *Handler) handle(id string) string { return id + "-" + h.cfg.Tag }

// entity is an account with its name, or its ID where it has none.
func (h *Handler) entity(ctx context.Context, id, role string) (entity, error) {
	name := id
	a, err := h.cfg.Engine.Account(ctx, operator(), id)
	switch {
	case err == nil && a.Name != "":
		name = a.Name
	case err != nil && !errors.Is(err, registry.ErrUnknown):
		return entity{}, err
	}
	none := struct{}{}
	card := []any{
		[]any{"version", none, "text", "4.0"},
		[]any{"fn", none, "text", name},
		[]any{"kind", none, "text", "org"},
	}
	return entity{Class: "entity", Handle: h.handle(id), VCard: []any{"vcard", card}, Roles: []string{role}}, nil
}

// events returns what has happened to d and what will, with the actions of RFC
// 9083 section 10.2.3.
func events(d *registry.Device, p *registry.Profile) []event {
	all := []event{
		{"registration", d.Created}, {"last changed", d.Updated}, {"transfer", d.Moved},
		{"expiration", p.NotAfter}, {"deletion", d.Purge},
	}
	all = slices.DeleteFunc(all, func(e event) bool { return e.Date.IsZero() })
	for i := range all {
		all[i].Date = all[i].Date.UTC()
	}
	return all
}

// redactions lists what the public does not see. It is the same for every device,
// so that it does not tell which of them have a model or an operator.
func redactions() []redaction {
	var out []redaction
	for _, f := range []struct{ name, path string }{
		{"Owner", "$.entities[?(@.roles[0]=='registrant')]"},
		{"Device Model", "$.iotreg_0_model"},
		{"Device Model Version", "$.iotreg_0_modelVersion"},
		{"Mobile Network Operator", "$.iotreg_0_mno"},
		{"eUICC Key", "$.iotreg_0_euiccKey"},
	} {
		out = append(out, redaction{
			Name: description{f.name}, PrePath: f.path, PathLang: "jsonpath", Method: "removal", Reason: description{"Server policy"},
		})
	}
	return out
}
