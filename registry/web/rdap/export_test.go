package rdap

import "github.com/iotregistry/sdk/registry"

// Statuses maps EPP statuses to RDAP's.
func Statuses(epp []registry.Status) []string { return statuses(epp) }
