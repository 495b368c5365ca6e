package mno

import (
	"time"

	"github.com/iotregistry/sdk/registry/eid"
)

// Point says at which step of a download a [Progress] was made (SGP.22 section
// 5.3.5, notificationPointId). Operators may add numbers of their own.
type Point int

// The points every SM-DP+ knows.
const (
	PointEligibility  Point = 1 // eligibility and retry limit check
	PointConfirmation Point = 2 // confirmation code failure
	PointDownload     Point = 3 // bound profile package handed over
	PointInstall      Point = 4 // installation on the eUICC
)

// Progress is what an SM-DP+ tells its operator, here the registry, about one
// download (ES2+ HandleDownloadProgressInfo, SGP.22 section 5.3.5). It may
// arrive twice and out of order.
type Progress struct {
	Device      eid.ID       // the device; zero when the SM-DP+ did not say
	ICCID       string       // canonical, always set
	ProfileType string       // always set
	ProfileID   uint64       // the registry's number of the IoT profile; zero in plain orders
	Time        time.Time    // when it happened, to the second on the wire
	Point       Point        // at which step
	Failure     *StatusError // nil: the step succeeded
	Result      []byte       // the eUICC's signed answer (PendingNotification, DER); may be nil
}
