package mno_test

import (
	"context"
	"errors"
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/iotregistry/sdk/mno"
	"github.com/iotregistry/sdk/registry/eid"
)

func TestStatusErrorIsBySubjectAndReason(t *testing.T) {
	t.Parallel()
	err := fmt.Errorf("far away: %w", &mno.StatusError{Subject: "8.2.1", Reason: "3.9", Identifier: "8900", Message: "look again"})
	require.ErrorIs(t, err, mno.ErrUnknownICCID)
	require.NotErrorIs(t, err, mno.ErrICCIDNotAvailable)
	require.ErrorIs(t, err, &mno.StatusError{Subject: "8.2.1"}, "a target without reason stands for all of them")
	require.NotErrorIs(t, &mno.StatusError{Subject: "8.2.1", Reason: "3.10"}, &mno.StatusError{Subject: "8.2.1", Reason: "3.1"}, "codes are texts")
	require.NotErrorIs(t, err, (*mno.StatusError)(nil))
	require.EqualError(t, err, "far away: mno: ICCID (8.2.1): unknown (3.9) [8900]: look again")
	require.EqualError(t, &mno.StatusError{Subject: "99.1", Reason: "a text much too long for a code"}, "mno: (99.1): (a text much too )")
}

func TestSentinelsAreAllDifferent(t *testing.T) {
	t.Parallel()
	all := []error{mno.ErrNotAllowed, mno.ErrUnknownICCID, mno.ErrICCIDNotAvailable, mno.ErrInvalidTransition,
		mno.ErrOtherDevice, mno.ErrProfileTypeNotAllowed, mno.ErrUnknownProfileType, mno.ErrNoneLeft,
		mno.ErrProfileTypeMismatch, mno.ErrMatchingIDInUse, mno.ErrOtherMatchingID, mno.ErrEIDMissing,
		mno.ErrEIDLinked, mno.ErrSMDSInaccessible, mno.ErrSMDSFailed, mno.ErrOrderConflict, mno.ErrOrderClosed}
	for i, a := range all {
		for j, b := range all {
			require.Equal(t, i == j, errors.Is(a, b), "%v and %v", a, b)
		}
		require.NotContains(t, a.Error(), ": (", "every code has a name: %v", a)
	}
}

func TestRetryable(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		err  error
		want bool
	}{
		{nil, false},
		{context.Canceled, false},
		{errors.New("plain"), false},
		{mno.ErrSMDSInaccessible, true},
		{mno.ErrSMDSFailed, true},
		{&mno.StatusError{Subject: mno.SubjectSMDP, Reason: mno.ReasonExecution}, true},
		{&mno.StatusError{Subject: mno.SubjectBPP, Reason: mno.ReasonExecution}, false},
		{&mno.StatusError{Subject: mno.SubjectFunction, Reason: mno.ReasonExpired}, true},
		{&mno.StatusError{Subject: mno.SubjectDownloadOrder, Reason: mno.ReasonExpired}, false},
		{mno.ErrUnknownICCID, false},
		{fmt.Errorf("wrapped: %w", mno.ErrSMDSInaccessible), true},
	} {
		require.Equal(t, c.want, mno.Retryable(c.err), "%v", c.err)
	}
}

func TestWithKeepsOtherErrors(t *testing.T) {
	t.Parallel()
	err := mno.With(mno.ErrNoneLeft, "iot", "order fewer")
	require.ErrorIs(t, err, mno.ErrNoneLeft)
	require.Contains(t, err.Error(), "[iot]: order fewer")
	require.NotContains(t, mno.ErrNoneLeft.Error(), "iot", "the sentinel is not changed")
	require.Equal(t, context.Canceled, mno.With(context.Canceled, "x", "y"))
}

func TestStateMachine(t *testing.T) {
	t.Parallel()
	// SGP.22 section 3.1.6, row by row: what each state allows.
	allowed := map[mno.State]map[mno.Event]mno.State{
		mno.Available: {mno.Ordered: mno.Allocated, mno.OrderedForDevice: mno.Linked},
		mno.Allocated: {mno.ConfirmedOnly: mno.Confirmed, mno.ConfirmedReleased: mno.Released,
			mno.CancelledReusable: mno.Available, mno.CancelledForGood: mno.Unavailable},
		mno.Linked: {mno.ConfirmedOnly: mno.Confirmed, mno.ConfirmedReleased: mno.Released,
			mno.CancelledReusable: mno.Available, mno.CancelledForGood: mno.Unavailable},
		mno.Confirmed: {mno.ReleasedLater: mno.Released, mno.CancelledReusable: mno.Available, mno.CancelledForGood: mno.Unavailable},
		mno.Released: {mno.Delivered: mno.Downloaded, mno.InstallFailed: mno.Error,
			mno.CancelledReusable: mno.Available, mno.CancelledForGood: mno.Unavailable},
		mno.Downloaded:  {mno.Delivered: mno.Downloaded, mno.InstallOK: mno.Installed, mno.InstallFailed: mno.Error},
		mno.Installed:   {},
		mno.Error:       {mno.CancelledReusable: mno.Available, mno.CancelledForGood: mno.Unavailable},
		mno.Unavailable: {},
		mno.State(0):    {},
		mno.State(200):  {},
	}
	for s, events := range allowed {
		for e := range mno.CancelledForGood + 2 {
			next, ok := s.Next(e)
			want, wantOK := events[e]
			require.Equal(t, wantOK, ok, "%v event %d", s, e)
			if ok {
				require.Equal(t, want, next, "%v event %d", s, e)
			}
		}
	}
	require.Equal(t, "Released", mno.Released.String())
	require.Equal(t, "State(0)", mno.State(0).String())
	require.Equal(t, "State(200)", mno.State(200).String())
}

func TestCanonicalICCID(t *testing.T) {
	t.Parallel()
	for in, want := range map[string]string{
		"8944476500001224158":  "8944476500001224158",
		"8944476500001224158F": "8944476500001224158",
		"8944476500001224158f": "8944476500001224158",
		"89000123456789012341": "89000123456789012341",
		"890001234567890123":   "890001234567890123",
		"890001234567890123F":  "890001234567890123",
		"":                     "", "F": "", "89000123456789012": "", "890001234567890123411": "",
		"89000123456789012341F": "", "8900012345678901234X": "", "8900012345678901FF": "", " 890001234567890123": "",
	} {
		got, err := mno.CanonicalICCID(in)
		require.Equal(t, want, got, "%q", in)
		require.Equal(t, want == "", err != nil, "%q: %v", in, err)
		if err != nil {
			require.ErrorIs(t, err, &mno.StatusError{Subject: mno.SubjectICCID, Reason: mno.ReasonInvalid})
		}
	}
}

func TestOrderValidate(t *testing.T) {
	t.Parallel()
	id, err := eid.Parse("1000000000000001")
	require.NoError(t, err)
	good := mno.Order{Device: id, ProfileID: 11, Sealed: []byte("x"), ProfileType: "iot"}
	require.NoError(t, good.Validate())
	require.NoError(t, mno.Order{ICCID: "890001234567890123"}.Validate(), "a plain order by ICCID")
	require.NoError(t, mno.Order{ProfileType: "iot"}.Validate(), "a plain order by type")
	for name, change := range map[string]func(*mno.Order){
		"type":   func(o *mno.Order) { o.ProfileType = "" },
		"device": func(o *mno.Order) { o.Device = eid.ID{} },
		"id":     func(o *mno.Order) { o.ProfileID = 0 },
		"sealed": func(o *mno.Order) { o.Sealed = nil },
		"size":   func(o *mno.Order) { o.Sealed = make([]byte, mno.MaxSealed+1) },
		"iccid":  func(o *mno.Order) { o.ICCID = "1" },
	} {
		o := good
		change(&o)
		var se *mno.StatusError
		require.ErrorAs(t, o.Validate(), &se, name)
		require.NotEmpty(t, se.Message, name)
	}
}

func FuzzCanonicalICCID(f *testing.F) {
	for _, s := range []string{"8944476500001224158F", "890001234567890123", "", "F"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		c, err := mno.CanonicalICCID(s)
		if err != nil {
			return
		}
		again, err := mno.CanonicalICCID(c)
		require.NoError(t, err)
		require.Equal(t, c, again)
		require.Contains(t, []int{18, 19, 20}, len(c))
	})
}
