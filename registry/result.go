package registry

import (
	"encoding/json"
	"errors"

	"github.com/iotregistry/sdk/registry/eid"
)

// Result is the outcome for one device of a bulk call, in the caller's order.
type Result struct {
	Line      int    // of the input file; 0 when there was none
	Device    eid.ID // zero when the row had no readable device ID
	ProfileID uint64 // current profile after the call, where one was made
	Pending   bool   // the request was taken and waits for a decision (EPP 1001)
	Err       error  // nil when it was done
}

type resultJSON struct {
	Line    int    `json:"line,omitempty"`
	Device  eid.ID `json:"device,omitzero"`
	Profile uint64 `json:"profile,omitempty"`
	Code    int    `json:"code"`
	Error   *Error `json:"error,omitempty"`
}

// MarshalJSON writes the result with its EPP code: 1000 done, 1001 pending, 2xxx
// refused, and then the error.
func (r Result) MarshalJSON() ([]byte, error) {
	j := resultJSON{Line: r.Line, Device: r.Device, Profile: r.ProfileID, Code: Code(r.Err)}
	if r.Pending && r.Err == nil {
		j.Code = codePending
	}
	if r.Err != nil && !errors.As(r.Err, &j.Error) {
		j.Error = &Error{Device: r.Device, Err: r.Err}
	}
	return json.Marshal(j)
}

const codePending = 1001 // RFC 5730 section 3: completed successfully, action pending

// UnmarshalJSON reads what MarshalJSON wrote. Errors.Is finds in Err what it
// found before.
func (r *Result) UnmarshalJSON(b []byte) error {
	var j resultJSON
	if err := json.Unmarshal(b, &j); err != nil {
		return err
	}
	*r = Result{Line: j.Line, Device: j.Device, ProfileID: j.Profile, Pending: j.Code == codePending}
	if j.Error != nil {
		r.Err = j.Error
	}
	return nil
}

// Failed returns the results that carry an error.
func Failed(rs []Result) []Result {
	var out []Result
	for _, r := range rs {
		if r.Err != nil {
			out = append(out, r)
		}
	}
	return out
}

// unfinished gives the results that a failing call did not come to its error,
// and returns that as the call's own.
func unfinished(op string, results []Result, err error) error {
	for i := range results {
		if results[i].Err == nil {
			results[i].Err = &Error{Op: op, Device: results[i].Device, Err: err}
		}
	}
	return &Error{Op: op, Err: err}
}
