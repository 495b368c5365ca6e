package eimsql

import (
	"encoding/json"
	"time"
	"unicode/utf8"

	"github.com/iotregistry/sdk/internal/strictjson"
	"github.com/iotregistry/sdk/mno/eim"
	"github.com/iotregistry/sdk/mno/internal/sqlkit"
)

// body is what of a record is in no column of its own. Names stay as they are:
// databases are full of them. A new field needs no new layout, but a program that
// does not know it yet refuses the record, so that it cannot lose it.
type body struct {
	Certificate      []byte    `json:"certificate,omitzero"` // bytes are base64 throughout
	AssociationToken int64     `json:"associationToken,omitzero"`
	Counter          int64     `json:"counter,omitzero"`
	Queue            []job     `json:"queue,omitzero"`
	History          []job     `json:"history,omitzero"`
	Profiles         []profile `json:"profiles,omitzero"`
	Listed           time.Time `json:"listed,omitzero"`
	Stale            bool      `json:"stale,omitzero"`
	Renewed          time.Time `json:"renewed,omitzero"`
	Seen             time.Time `json:"seen,omitzero"`
	Sequence         int64     `json:"sequence,omitzero"`
	ListedAt         int64     `json:"listedAt,omitzero"`
}

// job is an [eim.Job].
type job struct {
	ID       string    `json:"id"`
	Download *download `json:"download,omitzero"`
	Steps    []step    `json:"steps,omitzero"`
	Parent   string    `json:"parent,omitzero"`
	Refresh  bool      `json:"refresh,omitzero"`
	State    eim.State `json:"state,omitzero"`
	Proven   bool      `json:"proven,omitzero"`
	Failure  string    `json:"failure,omitzero"`
	ICCID    string    `json:"iccid,omitzero"`
	Attempts int       `json:"attempts,omitzero"`
	Added    time.Time `json:"added,omitzero"`
	Ended    time.Time `json:"ended,omitzero"`
	Counter  int64     `json:"counter,omitzero"`
	Package  []byte    `json:"package,omitzero"`
	Replayed bool      `json:"replayed,omitzero"`
	After    int64     `json:"after,omitzero"`
	Sequence *int64    `json:"sequence,omitzero"`
}

// download is an [eim.Download].
type download struct {
	ActivationCode string `json:"activationCode,omitzero"`
	DefaultSMDP    bool   `json:"defaultSmdp,omitzero"`
	ICCID          string `json:"iccid,omitzero"`
	Enable         bool   `json:"enable,omitzero"`
	Rollback       bool   `json:"rollback,omitzero"`
}

// step is an [eim.Step].
type step struct {
	Action   eim.Action `json:"action,omitzero"`
	ICCID    string     `json:"iccid,omitzero"`
	Rollback bool       `json:"rollback,omitzero"`
	Address  string     `json:"address,omitzero"`
	Tried    bool       `json:"tried,omitzero"`
	Code     int        `json:"code,omitzero"`
}

// profile is an [eim.Profile].
type profile struct {
	ICCID           string `json:"iccid,omitzero"`
	Enabled         bool   `json:"enabled,omitzero"`
	Name            string `json:"name,omitzero"`
	ServiceProvider string `json:"serviceProvider,omitzero"`
	Nickname        string `json:"nickname,omitzero"`
}

// shape bounds what decode takes: five levels, and as many names as thousands of
// jobs of 32 steps have.
var shape = strictjson.Limits{Depth: 6, Names: 1 << 20, Members: 32, Unknown: true}

func encode(r eim.Record) ([]byte, error) {
	b := body{
		Certificate: r.Certificate, AssociationToken: r.AssociationToken, Counter: r.Counter,
		Queue: each(r.Queue, jobOf), History: each(r.History, jobOf),
		Profiles: each(r.Profiles, func(p eim.Profile) profile { return profile(p) }),
		Listed:   r.Listed.UTC(), Stale: r.Stale, Renewed: r.Renewed.UTC(), Seen: r.Seen.UTC(), Sequence: r.Sequence, ListedAt: r.ListedAt,
	}
	if !b.isText() {
		return nil, errText
	}
	return json.Marshal(b)
}

// decode reads a body. Its error does not say what is wrong, because it could
// show what nobody is to see.
func decode(data []byte) (eim.Record, error) {
	var b body
	if err := strictjson.Decode(data, &b, shape); err != nil {
		return eim.Record{}, ErrDamaged
	}
	return eim.Record{
		Certificate: b.Certificate, AssociationToken: b.AssociationToken, Counter: b.Counter,
		Queue: each(b.Queue, job.job), History: each(b.History, job.job),
		Profiles: each(b.Profiles, func(p profile) eim.Profile { return eim.Profile(p) }),
		Listed:   b.Listed, Stale: b.Stale, Renewed: b.Renewed, Seen: b.Seen, Sequence: b.Sequence, ListedAt: b.ListedAt,
	}, nil
}

func jobOf(j eim.Job) job {
	return job{
		ID: j.ID, Download: (*download)(j.Download), Steps: each(j.Steps, func(s eim.Step) step { return step(s) }),
		Parent: j.Parent, Refresh: j.Refresh, State: j.State, Proven: j.Proven, Failure: j.Failure, ICCID: j.ICCID,
		Attempts: j.Attempts, Added: j.Added.UTC(), Ended: j.Ended.UTC(), Counter: j.Counter, Package: j.Package,
		Replayed: j.Replayed, After: j.After, Sequence: j.Sequence,
	}
}

func (j job) job() eim.Job {
	return eim.Job{
		ID: j.ID, Download: (*eim.Download)(j.Download), Steps: each(j.Steps, func(s step) eim.Step { return eim.Step(s) }),
		Parent: j.Parent, Refresh: j.Refresh, State: j.State, Proven: j.Proven, Failure: j.Failure, ICCID: j.ICCID,
		Attempts: j.Attempts, Added: j.Added, Ended: j.Ended, Counter: j.Counter, Package: j.Package,
		Replayed: j.Replayed, After: j.After, Sequence: j.Sequence,
	}
}

// each applies f to the elements of a list; none stays none.
func each[A, B any](list []A, f func(A) B) []B {
	if list == nil {
		return nil
	}
	out := make([]B, len(list))
	for i, v := range list {
		out[i] = f(v)
	}
	return out
}

// isText reports whether JSON can hold the texts as they are, which would replace
// bytes that are no UTF-8, and columns the IDs of jobs.
func (b *body) isText() bool {
	for _, list := range [][]job{b.Queue, b.History} {
		for i := range list {
			if !list[i].isText() {
				return false
			}
		}
	}
	for _, p := range b.Profiles {
		if !valid(p.ICCID, p.Name, p.ServiceProvider, p.Nickname) {
			return false
		}
	}
	return true
}

func (j *job) isText() bool {
	for _, s := range j.Steps {
		if !valid(string(s.Action), s.ICCID, s.Address) {
			return false
		}
	}
	return sqlkit.Storable(j.ID) && valid(j.Parent, string(j.State), j.Failure, j.ICCID) &&
		(j.Download == nil || valid(j.Download.ActivationCode, j.Download.ICCID))
}

func valid(texts ...string) bool {
	for _, s := range texts {
		if !utf8.ValidString(s) {
			return false
		}
	}
	return true
}
