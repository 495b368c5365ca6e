package smdp_test

import (
	"testing"

	"github.com/iotregistry/sdk/mno/smdp"
	"github.com/iotregistry/sdk/mno/smdp/smdptest"
)

func TestMemory(t *testing.T) {
	t.Parallel()
	smdptest.TestStore(t, func(*testing.T) smdp.Store { return new(smdp.Memory) })
}
