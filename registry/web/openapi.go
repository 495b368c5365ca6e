package web

import (
	_ "embed"
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// document is what OpenAPI returns, as it was when it was checked in.
//
//go:embed openapi.json
var document []byte

func (s *Server) openapi(c *call) error {
	c.w.Header().Set("Content-Type", typeJSON)
	_, _ = c.w.Write(document)
	return nil
}

// OpenAPI returns the API's description in OpenAPI 3.1, made from its routes and
// Go types. It is the text that is checked in as openapi.json and served at
// /openapi.json.
func OpenAPI() ([]byte, error) {
	all := routes()
	types := newSchemas(all)
	paths := map[string]map[string]any{}
	for _, rt := range all {
		if paths[rt.path] == nil {
			paths[rt.path] = map[string]any{}
		}
		paths[rt.path][strings.ToLower(rt.method)] = rt.operation(types)
	}
	doc := map[string]any{
		"openapi": "3.1.0",
		"info": map[string]any{
			"title": "IoT registry", "version": "1",
			"description": "Devices, their providers and their profiles. Refusals are problem documents (RFC 9457) with EPP result codes (RFC 5730). " +
				"Bulk calls answer 200 with one result per item, in their order, also where items are refused. " +
				"An Idempotency-Key makes a call repeatable: the same key with the same content gets the first answer. Operations that do not list it act anew each time.",
		},
		"security": []any{map[string]any{"bearer": []string{}}, map[string]any{"mutualTLS": []string{}}},
		"paths":    paths,
		"components": map[string]any{
			"securitySchemes": map[string]any{
				"bearer":    map[string]any{"type": "http", "scheme": "bearer"},
				"mutualTLS": map[string]any{"type": "mutualTLS"},
			},
			"responses": map[string]any{"Problem": map[string]any{
				"description": "It was not done, or not all of it. Member kind says why; x-kinds has the kinds with their status.",
				"x-kinds":     kindStatuses(),
				"content":     map[string]any{typeProblem: map[string]any{"schema": types.of(typeOf[Problem]())}},
			}},
			"schemas": types.defs,
		},
	}
	if types.clash != "" {
		return nil, fmt.Errorf("registry/web: openapi: two types are called %s", types.clash)
	}
	b, err := json.MarshalIndent(doc, "", "  ")
	if err != nil {
		return nil, fmt.Errorf("registry/web: openapi: %w", err)
	}
	return append(b, '\n'), nil
}

func kindStatuses() map[string]int {
	m := map[string]int{}
	for _, k := range kinds {
		m[k.word] = k.status
	}
	return m
}

func (rt *route) operation(types *schemas) map[string]any {
	op := map[string]any{
		"operationId": rt.id, "summary": rt.summary,
		"responses": map[string]any{
			strconv.Itoa(rt.status): rt.response(types),
			"default":               map[string]any{"$ref": "#/components/responses/Problem"},
		},
	}
	if rt.public {
		op["security"] = []any{}
	}
	if rt.device {
		op["security"] = []any{map[string]any{"mutualTLS": []string{}}}
	}
	if rt.roles != nil {
		op["x-roles"] = slices.Sorted(slices.Values(rt.roles))
	}
	if params := rt.parameters(types); len(params) > 0 {
		op["parameters"] = params
	}
	if rt.in != nil {
		content := map[string]any{typeJSON: map[string]any{"schema": types.of(rt.in)}}
		for _, mt := range rt.other {
			content[mt] = map[string]any{"schema": map[string]any{"type": "string"}}
		}
		op["requestBody"] = map[string]any{"required": true, "content": content}
	}
	if rt.etag && rt.method == http.MethodGet {
		op["responses"].(map[string]any)["304"] = map[string]any{"description": "The device is at the revision of If-None-Match."}
	}
	return op
}

func (rt *route) response(types *schemas) map[string]any {
	res := map[string]any{"description": http.StatusText(rt.status)}
	headers := map[string]any{}
	header := func(name, summary string) {
		headers[name] = map[string]any{"description": summary, "schema": map[string]any{"type": "string"}}
	}
	switch {
	case rt.stream == typeJSON:
		res["content"] = map[string]any{typeJSON: map[string]any{"schema": map[string]any{"type": "object"}}}
	case rt.stream != "":
		res["content"] = map[string]any{rt.stream: map[string]any{"schema": map[string]any{"type": "string"}}}
	case rt.out != nil:
		res["content"] = map[string]any{typeJSON: map[string]any{"schema": types.of(rt.out)}}
	}
	if rt.etag {
		header("ETag", "The device's revision")
	}
	if slices.ContainsFunc(rt.query, func(p param) bool { return p.name == "limit" }) {
		header("Link", "The next page, as rel=next")
	}
	if rt.status == http.StatusAccepted {
		header("Location", "The job")
	}
	if len(headers) > 0 {
		res["headers"] = headers
	}
	return res
}

var wildcard = regexp.MustCompile(`\{([a-z]+)\}`)

func (rt *route) parameters(types *schemas) []any {
	var out []any
	add := func(in, name, summary string, required bool, schema any) {
		p := map[string]any{"in": in, "name": name, "schema": schema}
		if summary != "" {
			p["description"] = summary
		}
		if required {
			p["required"] = true
		}
		out = append(out, p)
	}
	text := map[string]any{"type": "string"}
	for _, m := range wildcard.FindAllStringSubmatch(rt.path, -1) {
		add("path", m[1], "", true, text)
	}
	for _, p := range rt.query {
		add("query", p.name, p.summary, false, map[string]any{"type": p.schema})
	}
	if rt.match {
		add("header", "If-Match", "The ETag of the revision that the change was decided on, or *", true, text)
	}
	if rt.etag && rt.method == http.MethodGet {
		add("header", "If-None-Match", "The ETag of the revision that is known", false, text)
	}
	if rt.method != http.MethodGet && !rt.keyless {
		add("header", headerKey, "Makes the call repeatable; choose a new one for each new call", false,
			maps.Clone(map[string]any{"type": "string", "minLength": 1, "maxLength": 255, "pattern": "^[!-~]+$"}))
	}
	if slices.Contains(rt.other, typePEM) {
		add("header", headerSignature, "The maker's signature of a list in CSV, in base64", false, text)
	}
	return out
}
