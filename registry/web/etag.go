package web

import (
	"strconv"

	"github.com/iotregistry/sdk/registry"
)

// maxPage is the most items of one page; job results come in larger ones.
const (
	defaultPage = 100
	maxPage     = 1000
	maxResults  = 10_000
)

func etagOf(revision uint64) string { return `"` + strconv.FormatUint(revision, 10) + `"` }

func deviceOf(d *registry.Device) device { return device{Device: *d, Rev: d.Revision()} }

// device returns the device as the engine would, with its revision.
func (d *device) device() *registry.Device {
	d.Device.SetRevision(d.Rev)
	return &d.Device
}
