package mnosim

import (
	"bytes"
	"io"
	"net/http"
	"sync"
	"time"
)

// Fault is a kind of trouble on the way.
type Fault uint8

// The faults, in the order in which requests meet them.
const (
	Drop      Fault = iota // the request is lost: the connection is cut, nothing happens
	DropReply              // the request is carried out, its answer is lost
	Fail                   // HTTP 500, nothing happens
	Duplicate              // the request is carried out twice, the second answer is sent
	Delay                  // the request is carried out after a while
	faultKinds
)

type faults struct {
	mu    sync.Mutex
	left  [faultKinds]int
	delay time.Duration
}

func (f *faults) set(kind Fault, n int, d time.Duration) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if kind < faultKinds {
		f.left[kind] = n
	}
	if kind == Delay {
		f.delay = d
	}
}

// next takes one fault from those set; faultKinds stands for none.
func (f *faults) next() (Fault, time.Duration) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for kind := range faultKinds {
		if f.left[kind] > 0 {
			f.left[kind]--
			return kind, f.delay
		}
	}
	return faultKinds, 0
}

func (f *faults) wrap(h http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		kind, delay := f.next()
		switch kind {
		case Drop:
			panic(http.ErrAbortHandler) // the way net/http has to cut a connection
		case DropReply:
			h.ServeHTTP(void{}, r)
			panic(http.ErrAbortHandler)
		case Fail:
			http.Error(w, "mnosim: injected failure", http.StatusInternalServerError)
			return
		case Duplicate:
			twice(h, w, r)
			return
		case Delay:
			t := time.NewTimer(delay)
			defer t.Stop()
			select {
			case <-t.C:
			case <-r.Context().Done():
				return
			}
		}
		h.ServeHTTP(w, r)
	})
}

// twice serves r into the void and then for real.
func twice(h http.Handler, w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, 2<<20))
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	r.Body = io.NopCloser(bytes.NewReader(body))
	h.ServeHTTP(void{}, r)
	r.Body = io.NopCloser(bytes.NewReader(body))
	h.ServeHTTP(w, r)
}

// void is a ResponseWriter that keeps nothing.
type void struct{}

func (void) Header() http.Header         { return http.Header{} }
func (void) Write(b []byte) (int, error) { return len(b), nil }
func (void) WriteHeader(int)             {}
