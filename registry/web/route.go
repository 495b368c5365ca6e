package web

import (
	"net/http"
	"reflect"

	"github.com/iotregistry/sdk/registry"
)

// route is one operation of the API: what the mux, the OpenAPI document and the
// tests know of it. Who may do what is the engine's to decide; roles only tells.
type route struct {
	method, path string
	id           string // of the operation
	summary      string
	public       bool
	device       bool            // a device calls, by the certificate of its profile, and no account
	roles        []registry.Role // who can get more than a refusal; nil: every account
	query        []param
	most         int64 // bytes of a body; 0 means that MaxBody or MaxJob alone holds
	long         bool  // a stream: MaxJob and StreamTime hold
	etag         bool  // it answers with an ETag
	match        bool  // it asks for If-Match
	keyless      bool  // an idempotency key does not make it repeatable

	status int
	in     reflect.Type // of a JSON body; nil for none
	other  []string     // media types besides JSON that a body may have
	out    reflect.Type // of the answer; nil for none
	stream string       // media type of an answer that is no JSON

	run func(*Server, *call) error
}

// param is a query parameter.
type param struct {
	name, summary string
	schema        string // JSON type
}

func (rt *route) pattern() string { return rt.method + " " + rt.path }

// reading is a route that answers and changes nothing.
func reading[Ans any](path, id, summary string, do func(*Server, *call) (Ans, error)) *route {
	return &route{method: http.MethodGet, path: path, id: id, summary: summary, status: http.StatusOK, out: reflect.TypeFor[Ans](),
		run: func(s *Server, c *call) error {
			out, err := do(s, c)
			if err != nil {
				return err
			}
			return answer(c.w, http.StatusOK, typeJSON, out)
		}}
}

// writing is a route that takes a JSON body and answers.
func writing[In, Ans any](method, path, id, summary string, do func(*Server, *call, *In) (Ans, error)) *route {
	rt := &route{method: method, path: path, id: id, summary: summary, status: http.StatusOK,
		in: reflect.TypeFor[In](), out: reflect.TypeFor[Ans]()}
	rt.run = func(s *Server, c *call) error {
		in := new(In)
		if err := c.decode(in); err != nil {
			return err
		}
		out, err := do(s, c, in)
		if err != nil {
			return err
		}
		return answer(c.w, rt.status, typeJSON, out)
	}
	return rt
}

// telling is a route that takes a JSON body and answers with 204.
func telling[In any](method, path, id, summary string, do func(*Server, *call, *In) error) *route {
	rt := writing(method, path, id, summary, func(s *Server, c *call, in *In) (struct{}, error) { return struct{}{}, do(s, c, in) })
	rt.status, rt.out = http.StatusNoContent, nil
	rt.run = func(s *Server, c *call) error {
		in := new(In)
		if err := c.decode(in); err != nil {
			return err
		}
		if err := do(s, c, in); err != nil {
			return err
		}
		c.w.WriteHeader(http.StatusNoContent)
		return nil
	}
	return rt
}

// bulk is a route that does something to many devices.
func bulk[In any](path, id, summary string, do func(*Server, *call, *In) ([]registry.Result, error)) *route {
	return writing(http.MethodPost, path, id, summary, func(s *Server, c *call, in *In) (resultsAnswer, error) {
		return resultsOrError(do(s, c, in))
	})
}

// resultsOrError keeps what a call that failed midway has done.
func resultsOrError(results []registry.Result, err error) (resultsAnswer, error) {
	if err != nil {
		return resultsAnswer{}, &failedMidway{err, results}
	}
	return resultsAnswer{notNil(results)}, nil
}

func (rt *route) by(roles ...registry.Role) *route {
	rt.roles = roles
	return rt
}

func (rt *route) anew() *route {
	rt.keyless = true
	return rt
}

func (rt *route) asks(params ...param) *route {
	rt.query = append(rt.query, params...)
	return rt
}

func (rt *route) open() *route {
	rt.public = true
	return rt
}

// byDevice is for devices themselves, which have little to say.
func (rt *route) byDevice() *route {
	rt.device, rt.most = true, 16<<10
	return rt
}

func (rt *route) with(status int) *route {
	rt.status = status
	return rt
}
