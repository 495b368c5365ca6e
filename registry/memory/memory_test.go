package memory_test

import (
	"testing"

	"github.com/iotregistry/sdk/registry"
	"github.com/iotregistry/sdk/registry/memory"
	"github.com/iotregistry/sdk/registry/registrytest"
)

func TestStore(t *testing.T) {
	t.Parallel()
	registrytest.TestStore(t, registrytest.Harness{
		New: func(*testing.T) registry.Store { return memory.New() },
	})
}
