package mno

import "strconv"

// State is where a profile stands at the SM-DP+ (SGP.22 section 3.1.6). The
// zero State is no state at all.
type State uint8

// The states, in the order a profile usually goes through them.
const (
	Available   State = iota + 1 // in the operator's stock
	Allocated                    // ordered, for no device in particular
	Linked                       // ordered, for one device
	Confirmed                    // confirmed, not yet to be downloaded
	Released                     // may be downloaded
	Downloaded                   // handed to the device
	Installed                    // the device said it is installed
	Error                        // the device said it failed, or limits were exceeded
	Unavailable                  // out of use for good
)

var stateNames = [...]string{"", "Available", "Allocated", "Linked", "Confirmed", "Released",
	"Downloaded", "Installed", "Error", "Unavailable"}

// String returns the name used in SGP.22, such as "Released".
func (s State) String() string {
	if s > 0 && int(s) < len(stateNames) {
		return stateNames[s]
	}
	return "State(" + strconv.Itoa(int(s)) + ")"
}

// Event is something that happens to a profile at the SM-DP+.
type Event uint8

// The events that move a profile from state to state.
const (
	Ordered           Event = iota + 1 // DownloadOrder without a device
	OrderedForDevice                   // DownloadOrder for one device
	ConfirmedOnly                      // ConfirmOrder with releaseFlag false
	ConfirmedReleased                  // ConfirmOrder with releaseFlag true
	ReleasedLater                      // ReleaseProfile
	Delivered                          // given to the device; again after an interruption
	InstallOK                          // the device confirmed the installation
	InstallFailed                      // the device reported a failure
	CancelledReusable                  // CancelOrder, final status Available
	CancelledForGood                   // CancelOrder, final status Unavailable, or superseded
)

// Next returns the state that follows s after e, and whether SGP.22 section
// 3.1.6 allows e in s at all. Cancelling is allowed in Error as well, so that an
// operator can take a failed profile out of use.
func (s State) Next(e Event) (State, bool) {
	switch e {
	case Ordered:
		return Allocated, s == Available
	case OrderedForDevice:
		return Linked, s == Available
	case ConfirmedOnly:
		return Confirmed, s == Allocated || s == Linked
	case ConfirmedReleased:
		return Released, s == Allocated || s == Linked
	case ReleasedLater:
		return Released, s == Confirmed
	case Delivered:
		return Downloaded, s == Released || s == Downloaded
	case InstallOK:
		return Installed, s == Downloaded
	case InstallFailed:
		return Error, s == Released || s == Downloaded
	case CancelledReusable:
		return Available, s.cancellable()
	case CancelledForGood:
		return Unavailable, s.cancellable()
	}
	return s, false
}

func (s State) cancellable() bool {
	return s >= Allocated && s <= Released || s == Error
}
