package mnotest_test

import (
	"context"
	"errors"
	"os"
	"os/exec"
	"strings"
	"testing"

	"github.com/iotregistry/sdk/mno"
	"github.com/iotregistry/sdk/mno/mnotest"
	"github.com/iotregistry/sdk/mno/smdp"
)

const brokenVariable = "MNOTEST_BROKEN_OPERATOR"

// broken is an operator with one fault put over a good one.
type broken struct {
	mno.Operator
	order  func(good mno.Operator, ctx context.Context, o mno.Order) (mno.Receipt, error)
	cancel func(good mno.Operator, ctx context.Context, r mno.Receipt) error
}

func (b broken) Order(ctx context.Context, o mno.Order) (mno.Receipt, error) {
	if b.order == nil {
		return b.Operator.Order(ctx, o)
	}
	return b.order(b.Operator, ctx, o)
}

func (b broken) Cancel(ctx context.Context, r mno.Receipt) error {
	if b.cancel == nil {
		return b.Operator.Cancel(ctx, r)
	}
	return b.cancel(b.Operator, ctx, r)
}

// faults maps the rule that must notice to the fault.
var faults = map[string]broken{
	"a receipt names the device": {order: func(op mno.Operator, ctx context.Context, o mno.Order) (mno.Receipt, error) {
		r, err := op.Order(ctx, o)
		r.ICCID = strings.TrimRight(r.ICCID, "0123456789") + "8999901111111111110" // wrong check digit
		return r, err
	}},
	"same device and profile ID with other content": {order: func(op mno.Operator, ctx context.Context, o mno.Order) (mno.Receipt, error) {
		if o.Sealed != nil && len(o.Sealed) <= mno.MaxSealed {
			o.Sealed = []byte("the same")
		}
		return op.Order(ctx, o)
	}},
	"repeating an order gives the same receipt": {order: func(op mno.Operator, ctx context.Context, o mno.Order) (mno.Receipt, error) {
		if o.Validate() == nil {
			o.ProfileID, o.Sealed = 0, nil // as an SM-DP+ that ignores our members
		}
		return op.Order(ctx, o)
	}},
	"a newer order gets a new profile": {order: func(op mno.Operator, ctx context.Context, o mno.Order) (mno.Receipt, error) {
		r, err := op.Order(ctx, o)
		if errors.Is(err, mno.ErrOrderClosed) {
			err = nil
		}
		return r, err
	}},
	"a cancelled order stays cancelled": {cancel: func(op mno.Operator, ctx context.Context, r mno.Receipt) error {
		if r.Device.IsZero() {
			return op.Cancel(ctx, r)
		}
		return ctx.Err() // forgets to
	}},
	"cancelling what was never ordered": {cancel: func(op mno.Operator, ctx context.Context, r mno.Receipt) error {
		if err := op.Cancel(ctx, r); !errors.Is(err, mno.ErrUnknownICCID) {
			return err
		}
		return nil
	}},
	"a finished context stops the call": {order: func(op mno.Operator, _ context.Context, o mno.Order) (mno.Receipt, error) {
		return op.Order(context.Background(), o)
	}},
}

// TestSuiteNotices runs the suite against faulty operators, each in a process of
// its own, and wants the right rule to fail.
func TestSuiteNotices(t *testing.T) {
	if rule := os.Getenv(brokenVariable); rule != "" {
		mnotest.TestOperator(t, func(t *testing.T) mno.Operator {
			e, err := smdp.New(smdp.Config{Address: "smdp.example"})
			if err != nil {
				t.Fatal(err)
			}
			b := faults[rule]
			b.Operator = e.Operator("registry")
			return b
		})
		return
	}
	t.Parallel()
	for rule := range faults {
		t.Run(rule, func(t *testing.T) {
			cmd := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^TestSuiteNotices$")
			cmd.Env = append(os.Environ(), brokenVariable+"="+rule)
			out, err := cmd.CombinedOutput()
			var exit *exec.ExitError
			if !errors.As(err, &exit) {
				t.Fatalf("the suite took the fault (%v):\n%s", err, out)
			}
			if want := "--- FAIL: TestSuiteNotices/" + strings.ReplaceAll(rule, " ", "_"); !strings.Contains(string(out), want) {
				t.Errorf("another rule failed:\n%s", out)
			}
		})
	}
}
