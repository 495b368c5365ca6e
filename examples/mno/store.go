package main

import "github.com/iotregistry/sdk/mno/smdp"

// store opens what keeps the orders. This one forgets them when the program
// ends.
func (s *service) store() (smdp.Store, error) { return new(smdp.Memory), nil }
