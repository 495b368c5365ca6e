// Package mnotest holds the cases that every [mno.Operator] must pass, in plain
// testing, for our implementations and other people's: call [TestOperator] from
// a test.
//
// It checks what callers rely on (repeats, cancellation, refusals, many callers
// at once), not that a profile ever reaches a device.
package mnotest

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"

	"github.com/iotregistry/sdk/mno"
	"github.com/iotregistry/sdk/registry/eid"
)

// ProfileType is the profile type of every order of the suite.
const ProfileType = "iot-test"

// TestOperator runs the suite. open returns an operator with no orders yet, for
// one sub-test, and cleans up by t.Cleanup.
func TestOperator(t *testing.T, open func(t *testing.T) mno.Operator) {
	for _, c := range []struct {
		rule string
		run  func(*testing.T, mno.Operator)
	}{
		{"a receipt names the device, a valid ICCID and how to download", receipt},
		{"repeating an order gives the same receipt", repeat},
		{"every device gets a profile of its own", distinct},
		{"the device ID travels whatever its kind", kinds},
		{"same device and profile ID with other content is a conflict", conflict},
		{"a newer order gets a new profile and closes the older one", supersede},
		{"an order older than the newest is refused", older},
		{"a cancelled order stays cancelled", cancel},
		{"cancelling what was never ordered is an unknown ICCID", cancelUnknown},
		{"cancelling for another device is refused", cancelOther},
		{"an incomplete order is refused", incomplete},
		{"the largest sealed profile is taken and a larger one is not", large},
		{"a finished context stops the call", finished},
		{"the same order from many callers at once is one order", together},
		{"many devices at once do not disturb each other", parallel},
	} {
		t.Run(c.rule, func(t *testing.T) { c.run(t, open(t)) })
	}
}

// Order returns an order of the suite's kind for the n-th device.
func Order(t testing.TB, n int, profileID uint64) mno.Order {
	t.Helper()
	return mno.Order{
		Device: ID(t, fmt.Sprintf("%d", 1000000000000000+n)), ProfileID: profileID, ProfileType: ProfileType,
		Sealed: fmt.Appendf(nil, "sealed profile %d of device %d", profileID, n),
	}
}

// ID parses a device ID and fails the test where it is none.
func ID(t testing.TB, s string) eid.ID {
	t.Helper()
	id, err := eid.Parse(s)
	if err != nil {
		t.Fatalf("mnotest: device ID %q: %v", s, err)
	}
	return id
}

func must(t *testing.T, op mno.Operator, o mno.Order) mno.Receipt {
	t.Helper()
	r, err := op.Order(t.Context(), o)
	if err != nil {
		t.Fatalf("Order: %v", err)
	}
	return r
}

func refused(t *testing.T, err, want error) {
	t.Helper()
	if !errors.Is(err, want) {
		t.Fatalf("got error %v, want %v", err, want)
	}
	var se *mno.StatusError
	if !errors.As(err, &se) {
		t.Fatalf("error %v is no *mno.StatusError", err)
	}
	if mno.Retryable(err) {
		t.Fatalf("error %v claims that a retry could help", err)
	}
}

func receipt(t *testing.T, op mno.Operator) {
	o := Order(t, 1, 11)
	r := must(t, op, o)
	if canonical, err := mno.CanonicalICCID(r.ICCID); err != nil || canonical != r.ICCID {
		t.Errorf("ICCID %q is not canonical (%v)", r.ICCID, err)
	}
	if !luhn(r.ICCID) {
		t.Errorf("ICCID %q has a wrong check digit", r.ICCID)
	}
	if r.Device != o.Device {
		t.Errorf("receipt is for device %q, ordered for %q", r.Device, o.Device)
	}
	for _, c := range r.MatchingID {
		if (c < '0' || c > '9') && (c < 'A' || c > 'Z') && c != '-' {
			t.Errorf("matching ID %q has a character that SGP.22 does not allow", r.MatchingID)
		}
	}
}

func repeat(t *testing.T, op mno.Operator) {
	first := must(t, op, Order(t, 1, 11))
	must(t, op, Order(t, 2, 12))
	for range 3 {
		if again := must(t, op, Order(t, 1, 11)); again != first {
			t.Fatalf("repeat gave %+v, first was %+v", again, first)
		}
	}
}

func distinct(t *testing.T, op mno.Operator) {
	iccids, matching := map[string]int{}, map[string]int{}
	for n := range 20 {
		r := must(t, op, Order(t, n, uint64(11+n)))
		iccids[r.ICCID]++
		if r.MatchingID != "" {
			matching[r.MatchingID]++
		}
	}
	if len(iccids) != 20 {
		t.Errorf("20 orders share %d ICCIDs", len(iccids))
	}
	for id, n := range matching {
		if n > 1 {
			t.Errorf("matching ID %q was given out %d times", id, n)
		}
	}
}

func kinds(t *testing.T, op mno.Operator) {
	for i, s := range []string{"1000000000000001", "302220601105021", "89049032123451234512345678901235", "8944476500001224158"} {
		o := Order(t, 0, uint64(11+i))
		o.Device = ID(t, s)
		if r := must(t, op, o); r.Device != o.Device {
			t.Errorf("ordered for %q, receipt is for %q", o.Device, r.Device)
		}
	}
}

func conflict(t *testing.T, op mno.Operator) {
	o := Order(t, 1, 11)
	first := must(t, op, o)
	other := o
	other.Sealed = []byte("something else")
	_, err := op.Order(t.Context(), other)
	refused(t, err, mno.ErrOrderConflict)
	if again := must(t, op, o); again != first {
		t.Errorf("after the conflict the receipt is %+v, was %+v", again, first)
	}
}

func supersede(t *testing.T, op mno.Operator) {
	old := must(t, op, Order(t, 1, 11))
	newer := must(t, op, Order(t, 1, 16))
	if old.ICCID == newer.ICCID {
		t.Errorf("both orders have ICCID %s", old.ICCID)
	}
	_, err := op.Order(t.Context(), Order(t, 1, 11))
	refused(t, err, mno.ErrOrderClosed)
	if again := must(t, op, Order(t, 1, 16)); again != newer {
		t.Errorf("repeat gave %+v, first was %+v", again, newer)
	}
}

func older(t *testing.T, op mno.Operator) {
	must(t, op, Order(t, 1, 16))
	_, err := op.Order(t.Context(), Order(t, 1, 11))
	refused(t, err, mno.ErrOrderClosed)
}

func cancel(t *testing.T, op mno.Operator) {
	r := must(t, op, Order(t, 1, 11))
	for range 2 {
		if err := op.Cancel(t.Context(), r); err != nil {
			t.Fatalf("Cancel: %v", err)
		}
	}
	_, err := op.Order(t.Context(), Order(t, 1, 11))
	refused(t, err, mno.ErrOrderClosed)
	if next := must(t, op, Order(t, 1, 12)); next.ICCID == r.ICCID {
		t.Errorf("the cancelled ICCID %s was given out again", r.ICCID)
	}
}

func cancelUnknown(t *testing.T, op mno.Operator) {
	o := Order(t, 1, 11)
	must(t, op, o)
	err := op.Cancel(t.Context(), mno.Receipt{Device: o.Device, ICCID: "89000123456789012341", MatchingID: "NONE"})
	refused(t, err, mno.ErrUnknownICCID)
}

func cancelOther(t *testing.T, op mno.Operator) {
	r := must(t, op, Order(t, 1, 11))
	other := r
	other.Device = ID(t, "1000000000000002")
	refused(t, op.Cancel(t.Context(), other), mno.ErrOtherDevice)
	other.Device = eid.ID{}
	refused(t, op.Cancel(t.Context(), other), mno.ErrOtherDevice)
	if again := must(t, op, Order(t, 1, 11)); again != r {
		t.Errorf("the order changed from %+v to %+v", r, again)
	}
}

func incomplete(t *testing.T, op mno.Operator) {
	for name, change := range map[string]func(*mno.Order){
		"no profile type": func(o *mno.Order) { o.ProfileType = "" },
		"no profile ID":   func(o *mno.Order) { o.ProfileID = 0 },
		"no sealed":       func(o *mno.Order) { o.Sealed = nil },
		"no device":       func(o *mno.Order) { o.Device = eid.ID{} },
		"bad ICCID":       func(o *mno.Order) { o.ICCID = "12" },
	} {
		o := Order(t, 1, 11)
		change(&o)
		_, err := op.Order(t.Context(), o)
		var se *mno.StatusError
		if !errors.As(err, &se) {
			t.Errorf("%s: got %v, want a *mno.StatusError", name, err)
		}
	}
	must(t, op, Order(t, 1, 11))
}

func large(t *testing.T, op mno.Operator) {
	o := Order(t, 1, 11)
	o.Sealed = make([]byte, mno.MaxSealed+1)
	var se *mno.StatusError
	if _, err := op.Order(t.Context(), o); !errors.As(err, &se) {
		t.Errorf("%d bytes: got %v, want a *mno.StatusError", len(o.Sealed), err)
	}
	o.Sealed = o.Sealed[:mno.MaxSealed]
	must(t, op, o)
}

func finished(t *testing.T, op mno.Operator) {
	ctx, stop := context.WithCancel(t.Context())
	stop()
	if _, err := op.Order(ctx, Order(t, 1, 11)); !errors.Is(err, context.Canceled) {
		t.Errorf("Order: got %v, want context.Canceled", err)
	}
	if err := op.Cancel(ctx, mno.Receipt{ICCID: "89000123456789012341"}); !errors.Is(err, context.Canceled) {
		t.Errorf("Cancel: got %v, want context.Canceled", err)
	}
}

func together(t *testing.T, op mno.Operator) {
	receipts, errs := make([]mno.Receipt, 16), make([]error, 16)
	var wg sync.WaitGroup
	for i := range receipts {
		o := Order(t, 1, 11)
		wg.Go(func() { receipts[i], errs[i] = op.Order(t.Context(), o) })
	}
	wg.Wait()
	for i := range receipts {
		if errs[i] != nil {
			t.Fatalf("caller %d: %v", i, errs[i])
		}
		if receipts[i] != receipts[0] {
			t.Fatalf("caller %d got %+v, caller 0 got %+v", i, receipts[i], receipts[0])
		}
	}
}

func parallel(t *testing.T, op mno.Operator) {
	const devices, callers = 120, 8
	var mu sync.Mutex
	seen := map[string]bool{}
	var wg sync.WaitGroup
	for c := range callers {
		wg.Go(func() {
			for n := c; n < devices; n += callers {
				r, err := op.Order(t.Context(), Order(t, n, uint64(11+n)))
				if err == nil && n%10 == 0 {
					err = op.Cancel(t.Context(), r)
				}
				if err != nil {
					t.Errorf("device %d: %v", n, err)
				}
				mu.Lock()
				seen[r.ICCID] = true
				mu.Unlock()
			}
		})
	}
	wg.Wait()
	if len(seen) != devices {
		t.Errorf("%d devices got %d ICCIDs", devices, len(seen))
	}
}

// luhn checks the check digit of an ICCID (ISO/IEC 7812-1).
func luhn(s string) bool {
	sum := 0
	for i := range len(s) {
		d := int(s[len(s)-1-i] - '0')
		if i%2 == 1 {
			if d *= 2; d > 9 {
				d -= 9
			}
		}
		sum += d
	}
	return sum%10 == 0
}
