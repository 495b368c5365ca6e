package mnotest_test

import (
	"testing"

	"github.com/iotregistry/sdk/mno"
	"github.com/iotregistry/sdk/mno/mnotest"
	"github.com/iotregistry/sdk/mno/smdp"
)

func TestEngineInProcess(t *testing.T) {
	t.Parallel()
	mnotest.TestOperator(t, func(t *testing.T) mno.Operator {
		e, err := smdp.New(smdp.Config{Address: "smdp.example"})
		if err != nil {
			t.Fatal(err)
		}
		return e.Operator("registry")
	})
}
