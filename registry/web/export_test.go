package web

import "net/http"

// Patterns are those that the mux has, for the test that holds them against the
// OpenAPI document.
func Patterns() []string {
	var out []string
	for _, rt := range routes() {
		out = append(out, rt.pattern())
	}
	return out
}

// DecodeAnswer is decodeAnswer, for its fuzz target.
func DecodeAnswer(res *http.Response, data []byte, out any) error {
	return decodeAnswer(&request{method: http.MethodGet, path: "/"}, res, data, out)
}

// ProblemOf is problemOf, for the same.
var ProblemOf = problemOf

// AddressOf is addressOf.
func AddressOf(remote string) string { return addressOf(remote) }
