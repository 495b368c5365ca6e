package main

import (
	"context"

	"github.com/iotregistry/sdk/mno/smdp"
)

// store opens what keeps the orders, and returns what closes it. This one forgets
// them when the program ends.
func (s *service) store(context.Context) (smdp.Store, func() error, error) {
	return new(smdp.Memory), func() error { return nil }, nil
}
