package web_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"math"
	"mime"
	"net/http"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// validating is a RoundTripper that holds what goes over it against the OpenAPI
// document.
type validating struct {
	t    testing.TB
	base http.RoundTripper
	doc  anyMap
	ops  []operation

	mu   sync.Mutex
	seen map[string]bool // operation ID and status
}

type operation struct {
	method string
	path   *regexp.Regexp
	op     anyMap
}

func newValidating(t testing.TB, base http.RoundTripper) *validating {
	v := &validating{t: t, base: base, doc: spec(t), seen: map[string]bool{}}
	wild := regexp.MustCompile(`\\\{[a-z]+\\\}`)
	for path, ops := range v.doc["paths"].(anyMap) {
		re := regexp.MustCompile("^" + wild.ReplaceAllString(regexp.QuoteMeta(path), "[^/]+") + "$")
		for method, op := range ops.(anyMap) {
			v.ops = append(v.ops, operation{strings.ToUpper(method), re, op.(anyMap)})
		}
	}
	return v
}

func (v *validating) find(r *http.Request) anyMap {
	found := slices.IndexFunc(v.ops, func(o operation) bool {
		literal := !strings.HasSuffix(r.URL.Path, "incoming") || strings.Contains(o.path.String(), "incoming")
		return o.method == r.Method && literal && o.path.MatchString(r.URL.EscapedPath())
	})
	if found < 0 {
		return nil
	}
	return v.ops[found].op
}

func (v *validating) RoundTrip(r *http.Request) (*http.Response, error) {
	op := v.find(r)
	if op == nil {
		v.t.Errorf("%s %s is in no path of the document", r.Method, r.URL.Path)
		return v.base.RoundTrip(r)
	}
	if mt, _, _ := mime.ParseMediaType(r.Header.Get("Content-Type")); mt == "application/json" {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			return nil, err
		}
		r.Body = io.NopCloser(bytes.NewReader(body))
		v.check(op["requestBody"].(anyMap), "application/json", body, "request of "+op["operationId"].(string))
	}
	res, err := v.base.RoundTrip(r)
	if err != nil {
		return nil, err
	}
	v.answer(op, res)
	return res, nil
}

func (v *validating) answer(op anyMap, res *http.Response) {
	id, status := op["operationId"].(string), strconv.Itoa(res.StatusCode)
	where := "answer " + status + " of " + id
	v.mu.Lock()
	v.seen[id+" "+status] = true
	v.mu.Unlock()
	described, ok := op["responses"].(anyMap)[status].(anyMap)
	if !ok {
		described = v.doc["components"].(anyMap)["responses"].(anyMap)["Problem"].(anyMap)
	}
	mt, _, _ := mime.ParseMediaType(res.Header.Get("Content-Type"))
	if described["content"] == nil {
		return
	}
	if !strings.Contains(mt, "json") || mt == "application/jsonl" {
		if described["content"].(anyMap)[mt] == nil {
			v.t.Errorf("%s: media type %q is not in the document", where, mt)
		}
		return
	}
	body, err := io.ReadAll(res.Body)
	if err != nil {
		v.t.Errorf("%s: %v", where, err)
	}
	res.Body = io.NopCloser(bytes.NewReader(body))
	v.check(described, mt, body, where)
}

// check holds a body against the schema of its media type.
func (v *validating) check(described anyMap, mt string, body []byte, where string) {
	media, ok := described["content"].(anyMap)[mt].(anyMap)
	if !ok {
		v.t.Errorf("%s: media type %q is not in the document", where, mt)
		return
	}
	var value any
	if err := json.Unmarshal(body, &value); err != nil {
		v.t.Errorf("%s: %v", where, err)
		return
	}
	if err := valid(v.doc, media["schema"].(anyMap), value); err != nil {
		v.t.Errorf("%s: %v\n%s", where, err, body)
	}
}

// valid checks as much of JSON Schema as our schemas use, and refuses schemas
// that use more.
func valid(doc, schema anyMap, value any) error {
	for keyword := range schema {
		if !slices.Contains([]string{"$ref", "type", "properties", "required", "additionalProperties", "items", "enum",
			"pattern", "format", "minimum", "description", "contentEncoding"}, keyword) {
			return fmt.Errorf("the validator does not know %q", keyword)
		}
	}
	if ref, ok := schema["$ref"].(string); ok {
		def, ok := doc["components"].(anyMap)["schemas"].(anyMap)[ref[strings.LastIndex(ref, "/")+1:]].(anyMap)
		if !ok {
			return fmt.Errorf("%s leads nowhere", ref)
		}
		return valid(doc, def, value)
	}
	if enum, ok := schema["enum"].([]any); ok && !slices.Contains(enum, value) {
		return fmt.Errorf("%v is none of %v", value, enum)
	}
	switch schema["type"] {
	case "object":
		return validObject(doc, schema, value)
	case "array":
		list, ok := value.([]any)
		if !ok {
			return fmt.Errorf("%v is no array", value)
		}
		for i, item := range list {
			if err := valid(doc, schema["items"].(anyMap), item); err != nil {
				return fmt.Errorf("[%d]: %w", i, err)
			}
		}
	case "string":
		return validString(schema, value)
	case "boolean":
		if _, ok := value.(bool); !ok {
			return fmt.Errorf("%v is no boolean", value)
		}
	case "integer":
		n, ok := value.(float64)
		if least, bounded := schema["minimum"].(float64); !ok || n != math.Trunc(n) || bounded && n < least {
			return fmt.Errorf("%v is no such integer", value)
		}
	case nil:
	default:
		return fmt.Errorf("the validator does not know the type %v", schema["type"])
	}
	return nil
}

func validObject(doc, schema anyMap, value any) error {
	object, ok := value.(anyMap)
	if !ok {
		return fmt.Errorf("%v is no object", value)
	}
	required, _ := schema["required"].([]any)
	for _, name := range required {
		if _, ok := object[name.(string)]; !ok {
			return fmt.Errorf("member %s is missing", name)
		}
	}
	props, _ := schema["properties"].(anyMap)
	for name, member := range object {
		sub, known := props[name].(anyMap)
		if !known {
			// We write down all that we answer, whatever others may make of it.
			if sub, known = schema["additionalProperties"].(anyMap); !known && props != nil {
				return fmt.Errorf("member %s is not in the document", name)
			}
			if sub == nil {
				continue
			}
		}
		if err := valid(doc, sub, member); err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
	}
	return nil
}

func validString(schema anyMap, value any) error {
	s, ok := value.(string)
	if !ok {
		return fmt.Errorf("%v is no string", value)
	}
	if pattern, ok := schema["pattern"].(string); ok && !regexp.MustCompile(pattern).MatchString(s) {
		return fmt.Errorf("%q does not match %s", s, pattern)
	}
	if schema["format"] == "date-time" {
		if _, err := time.Parse(time.RFC3339, s); err != nil {
			return err
		}
	}
	return nil
}

func TestTheValidatorFindsFaults(t *testing.T) {
	t.Parallel()
	doc := spec(t)
	schema := anyMap{"$ref": "#/components/schemas/Transfer"}
	for name, c := range map[string]struct {
		text string
		ok   bool
	}{
		"complete": {`{"id":"x","device":"1","status":"pending","from":"a","to":"b","oldProfile":1,"requested":"2026-11-25T00:00:00Z"}`, true},
		"missing":  {`{"id":"x","device":"1","status":"pending","from":"a","to":"b","oldProfile":1}`, false},
		"unknown":  {`{"id":"x","device":"1","status":"pending","from":"a","to":"b","oldProfile":1,"requested":"2026-11-25T00:00:00Z","odd":1}`, false},
		"enum":     {`{"id":"x","device":"1","status":"odd","from":"a","to":"b","oldProfile":1,"requested":"2026-11-25T00:00:00Z"}`, false},
		"type":     {`{"id":"x","device":"1","status":"pending","from":"a","to":"b","oldProfile":"1","requested":"2026-11-25T00:00:00Z"}`, false},
		"time":     {`{"id":"x","device":"1","status":"pending","from":"a","to":"b","oldProfile":1,"requested":"today"}`, false},
		"pattern":  {`{"id":"x","device":"one","status":"pending","from":"a","to":"b","oldProfile":1,"requested":"2026-11-25T00:00:00Z"}`, false},
	} {
		var value any
		require.NoError(t, json.Unmarshal([]byte(c.text), &value), name)
		require.Equal(t, c.ok, valid(doc, schema, value) == nil, name)
	}
}
