package web

import (
	"encoding"
	"encoding/json"
	"reflect"
	"strings"
	"time"

	"github.com/iotregistry/sdk/registry"
	"github.com/iotregistry/sdk/registry/eid"
	"github.com/iotregistry/sdk/transfer"
)

// schemas are JSON schemas (draft 2020-12) of Go types, made as encoding/json
// writes them.
type schemas struct {
	defs    map[string]any
	names   map[string]reflect.Type
	clash   string                // a name that two types have
	answers map[reflect.Type]bool // types that answers have; others refuse members they do not name
	fixed   map[reflect.Type]any
}

func typeOf[T any]() reflect.Type { return reflect.TypeFor[T]() }

// resultJSON and errorJSON are what a registry.Result and a registry.Error are in
// JSON, which their Go types do not show.
type resultJSON struct {
	Line    int             `json:"line,omitempty"`
	Device  eid.ID          `json:"device,omitzero"`
	Profile uint64          `json:"profile,omitempty"`
	Code    int             `json:"code"`
	Error   *registry.Error `json:"error,omitempty"`
}

type errorJSON struct {
	Op     string `json:"op"`
	Device eid.ID `json:"device,omitzero"`
	Kind   string `json:"kind"`
	Code   int    `json:"code"`
	Detail string `json:"detail"`
}

func newSchemas(all []*route) *schemas {
	s := &schemas{defs: map[string]any{}, names: map[string]reflect.Type{}, answers: map[reflect.Type]bool{}}
	s.fixed = fixedSchemas()
	s.markAnswer(typeOf[Problem]())
	for _, rt := range all {
		if rt.out != nil {
			s.markAnswer(rt.out)
		}
	}
	return s
}

// fixedSchemas are those of types whose Go form does not say it all.
func fixedSchemas() map[reflect.Type]any {
	return map[reflect.Type]any{
		typeOf[time.Time]():       map[string]any{"type": "string", "format": "date-time"},
		typeOf[eid.ID]():          map[string]any{"type": "string", "pattern": "^([0-9]{1,20}|[0-9]{32})?$", "description": "Device ID: EID, ICCID or a decimal number"},
		typeOf[json.RawMessage](): map[string]any{},
		typeOf[[]byte]():          map[string]any{"type": "string", "contentEncoding": "base64"},
		typeOf[registry.Role]():   enum(registry.Roles()...),
		typeOf[registry.Op](): enum(registry.OpImport, registry.OpActivate, registry.OpTransfer, registry.OpReset,
			registry.OpSwitch, registry.OpDelete, registry.OpRestore),
		typeOf[registry.JobState](): enum(registry.JobLoading, registry.JobRunning, registry.JobDone, registry.JobCancelled),
		typeOf[registry.Status](): enum(registry.StatusOK, registry.StatusInactive,
			registry.StatusClientTransferProhibited, registry.StatusServerTransferProhibited,
			registry.StatusClientUpdateProhibited, registry.StatusServerUpdateProhibited,
			registry.StatusClientDeleteProhibited, registry.StatusServerDeleteProhibited,
			registry.StatusClientHold, registry.StatusServerHold, registry.StatusPendingTransfer, registry.StatusTransferPeriod,
			registry.StatusRedemptionPeriod, registry.StatusPendingDelete),
		typeOf[registry.ProfileStatus](): enum(registry.ProfileGenerated, registry.ProfilePublished, registry.ProfileOrdered,
			registry.ProfileDownloaded, registry.ProfileInstalled, registry.ProfileConnected, registry.ProfileFailed,
			registry.ProfileSuperseded, registry.ProfileRevoked),
		typeOf[registry.MNOStatus](): enum(registry.MNONone, registry.MNOOffered, registry.MNODownloaded, registry.MNOInstalled, registry.MNOFailed),
		typeOf[transfer.Status](): enum(transfer.Pending, transfer.ClientApproved, transfer.ClientRejected, transfer.ClientCancelled,
			transfer.ServerApproved, transfer.ServerCancelled),
	}
}

func enum[T ~string](values ...T) any { return map[string]any{"type": "string", "enum": values} }

// shown replaces a type by the one that shows its JSON.
func shown(t reflect.Type) reflect.Type {
	switch t {
	case typeOf[registry.Result]():
		return typeOf[resultJSON]()
	case typeOf[registry.Error]():
		return typeOf[errorJSON]()
	}
	return t
}

// markAnswer notes t and all it consists of as part of an answer.
func (s *schemas) markAnswer(t reflect.Type) {
	t = shown(t)
	if s.fixed[t] != nil || s.answers[t] {
		return
	}
	switch t.Kind() {
	case reflect.Pointer, reflect.Slice, reflect.Map:
		s.markAnswer(t.Elem())
	case reflect.Struct:
		s.answers[t] = true
		for _, f := range reflect.VisibleFields(t) {
			if f.IsExported() && !f.Anonymous {
				s.markAnswer(f.Type)
			}
		}
	}
}

// of returns the schema of t, a reference where t is a struct.
func (s *schemas) of(t reflect.Type) any {
	t = shown(t)
	if fixed, ok := s.fixed[t]; ok {
		return fixed
	}
	switch t.Kind() {
	case reflect.Pointer:
		return s.of(t.Elem())
	case reflect.Bool:
		return map[string]any{"type": "boolean"}
	case reflect.Int, reflect.Int64:
		return map[string]any{"type": "integer", "format": "int64"}
	case reflect.Uint16, reflect.Uint64:
		return map[string]any{"type": "integer", "minimum": 0, "format": t.Kind().String()}
	case reflect.Slice:
		return map[string]any{"type": "array", "items": s.of(t.Elem())}
	case reflect.Map:
		return map[string]any{"type": "object", "additionalProperties": s.of(t.Elem())}
	case reflect.Struct:
		if !t.Implements(typeOf[encoding.TextMarshaler]()) {
			return s.object(t)
		}
	}
	return map[string]any{"type": "string"}
}

// object defines the schema of a struct and returns a reference to it.
func (s *schemas) object(t reflect.Type) any {
	name := strings.TrimSuffix(t.Name(), "JSON")
	name = strings.ToUpper(name[:1]) + name[1:]
	ref := map[string]any{"$ref": "#/components/schemas/" + name}
	if known := s.names[name]; known != nil {
		if known != t {
			s.clash = name
		}
		return ref
	}
	s.names[name] = t
	props, required := map[string]any{}, []string{}
	def := map[string]any{"type": "object", "properties": props}
	s.defs[name] = def
	for _, f := range reflect.VisibleFields(t) {
		tag, opts, _ := strings.Cut(f.Tag.Get("json"), ",")
		if !f.IsExported() || f.Anonymous || tag == "-" {
			continue
		}
		if tag == "" {
			tag = f.Name
		}
		props[tag] = s.of(f.Type)
		if !strings.Contains(opts, "omit") {
			required = append(required, tag)
		}
	}
	if len(required) > 0 {
		def["required"] = required
	}
	if !s.answers[t] {
		def["additionalProperties"] = false
	}
	return ref
}
