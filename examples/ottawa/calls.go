package main

import (
	"fmt"
	"net/http"
	"strings"
	"sync/atomic"
)

// interfaces are the ways between registry, operator and meters (GSMA SGP.22 and
// SGP.32), in the order in which a profile travels.
var interfaces = []string{"ES2+", "ESipa", "ES9+", "ES2+ progress"}

// calls counts requests.
type calls [4]atomic.Int64

// count counts what h serves as calls of the i-th interface.
func (c *calls) count(i int, h http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		c[i].Add(1)
		h.ServeHTTP(w, r)
	})
}

func (c *calls) into(m map[string]int) {
	for i, name := range interfaces {
		m[name] = int(c[i].Load())
	}
}

// String is like "ES2+ 4000, ESipa 10000".
func (c *calls) String() string {
	var list []string
	for i, name := range interfaces {
		list = append(list, fmt.Sprintf("%s %d", name, c[i].Load()))
	}
	return strings.Join(list, ", ")
}
