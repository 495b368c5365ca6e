package eim

import (
	"fmt"
	"slices"
	"time"

	"github.com/iotregistry/sdk/internal/rsp"
	"github.com/iotregistry/sdk/registry/eid"
)

// State says how far a [Job] is. The texts are stored.
type State string

// The states of a job.
const (
	Waiting   State = "waiting"   // for the device to ask
	Offered   State = "offered"   // the device was given it
	Succeeded State = "succeeded" // all of it
	Failed    State = "failed"    // all or some of it
)

// Job is something for one device to do: a download or a package of operations.
type Job struct {
	ID       string    // eimTransactionId in hexadecimal, drawn by the eIM
	Download *Download // nil: Steps is there
	Steps    []Step    // operations in their order, and what came of each
	Parent   string    // ID of the download that an enabling follows; empty: none
	Refresh  bool      // the eIM's own, because the device said that its state has changed

	State    State
	Proven   bool      // the eUICC has signed how it ended
	Failure  string    // why it has failed, or the last try has; for people
	ICCID    string    // of the profile that the download has installed
	Attempts int       // tries that failed without proof
	Added    time.Time // when it was asked for
	Ended    time.Time // zero: it has not

	Counter  int64  // of the signed package; 0: none yet
	Package  []byte // EuiccPackageRequest as signed, until the job has ended
	Replayed bool   // the eUICC has refused the package as a replay and is asked for results
	After    int64  // Record.Sequence when a download was first given
	Sequence *int64 // of the signed result
}

// Download is a profile to be fetched from an SM-DP+: the one of the activation
// code, or the one that the eUICC knows. Whoever has an activation code may use
// it: fmt shows it without.
type Download struct {
	ActivationCode string // SGP.22 section 4.1, with or without "LPA:"; not one that needs a confirmation code
	DefaultSMDP    bool   // instead of an activation code
	ICCID          string // of the profile, where it is known: no other counts then
	Enable         bool   // enable it once it is installed
	Rollback       bool   // see [Enable]
}

// Format writes what a log may have, whatever the verb.
func (d Download) Format(f fmt.State, _ rune) {
	from := "by activation code"
	if d.DefaultSMDP {
		from = "from the default SM-DP+"
	}
	fmt.Fprintf(f, "download %s, enable %t", from, d.Enable)
}

// Event is news for the operator: a job has ended.
type Event struct {
	EID    eid.ID
	Job    Job       // State is Succeeded or Failed
	Result []byte    // what the eUICC has signed, DER as it came: EuiccPackageResult or ProfileInstallationResult; nil: nothing
	Listed []Profile // where a step was a list and has succeeded; nil: not
}

// Profile is an installed profile.
type Profile struct {
	ICCID           string
	Enabled         bool
	Name            string // profileName; empty: not told
	ServiceProvider string
	Nickname        string
}

// end puts an ended job of r into its history, if it is not there yet.
func (r *Record) end(j *Job, most int) {
	j.Package = nil
	i := slices.IndexFunc(r.Queue, func(q Job) bool { return q.ID == j.ID })
	if i < 0 {
		return // it is put right
	}
	r.History = append(r.History, *j)
	r.Queue = slices.Delete(r.Queue, i, i+1)
	if n := len(r.History) - most; n > 0 {
		r.History = slices.Delete(r.History, 0, n)
	}
}

// next is the place for a job that goes before the others: the first, or the one
// behind what the device was given already.
func (r *Record) next() int {
	if len(r.Queue) > 0 && (r.Queue[0].State == Offered || r.Queue[0].Counter != 0) {
		return 1
	}
	return 0
}

// exhausted reports whether no counter is left for one more package.
func (r *Record) exhausted() bool {
	left := MaxCounter - r.Counter
	for i := range r.Queue {
		if j := &r.Queue[i]; j.Counter == 0 && (j.Download == nil || j.Download.Enable) {
			left--
		}
	}
	return left <= 0
}

func profiles(list []rsp.ProfileInfo) []Profile {
	out := make([]Profile, 0, len(list))
	for _, p := range list {
		text := func(s *string) string {
			if s == nil {
				return ""
			}
			return *s
		}
		one := Profile{
			Enabled: p.State != nil && *p.State == rsp.StateEnabled,
			Name:    text(p.ProfileName), ServiceProvider: text(p.ServiceProvider), Nickname: text(p.Nickname),
		}
		if p.ICCID != nil {
			one.ICCID = string(*p.ICCID)
		}
		out = append(out, one)
	}
	return out
}
