package euicc

import (
	"slices"

	"github.com/iotregistry/sdk/internal/rsp"
)

// nothingToDelete is the outcome of a reset that has changed nothing.
const nothingToDelete = 1

// memoryReset is ES10c.eUICCMemoryReset (SGP.22 section 5.7.19).
func (c *Chip) memoryReset(q *rsp.EUICCMemoryResetRequest) (rsp.Message, error) {
	code, err := c.forget(q.Options & (rsp.ResetOperational | rsp.ResetFieldLoadedTest | rsp.ResetDefaultSMDP))
	return &rsp.EUICCMemoryResetResponse{Result: code}, err
}

// memoryResetIoT is ES10b.eUICCMemoryReset (SGP.32 section 5.9.5). Results of
// packages stay: they are owed.
func (c *Chip) memoryResetIoT(q *rsp.EUICCMemoryResetIoTRequest) (rsp.Message, error) {
	faults := c.faults.get()
	code, err := c.forget(q.Options)
	if err != nil {
		return nil, err
	}
	r := &rsp.EUICCMemoryResetIoTResponse{Result: code}
	if q.Options&rsp.ResetEIMs != 0 {
		result := faults.ResetEIMs
		switch {
		case result != 0:
		case len(c.eims) == 0:
			result = nothingToDelete
		default:
			c.eims, c.back = nil, nil
			c.changed++
		}
		r.EIMResult = &result
	}
	if q.Options&rsp.ResetImmediateEnable != 0 {
		result := faults.ResetImmediate
		if result == 0 && c.immediate != (immediate{}) {
			c.immediate = immediate{}
			c.changed++
		}
		r.ImmediateEnableResult = &result
	}
	return r, nil
}

// forget deletes profiles, enabled or not and whatever their policy rules, and
// sets the SM-DP+ that the maker has put in.
func (c *Chip) forget(o rsp.ResetOptions) (int, error) {
	if code := c.faults.get().MemoryReset; code != 0 {
		return code, nil
	}
	code, told := nothingToDelete, []notification(nil)
	gone := func(p *installed) bool { return o&resetOf(p.metadata.ProfileClass()) != 0 }
	for _, p := range c.profiles {
		if !gone(p) {
			continue
		}
		list, err := c.notices(p, rsp.EventDelete, "")
		if err != nil {
			return 0, err
		}
		told, code = append(told, list...), 0
	}
	if code == 0 {
		c.profiles = slices.DeleteFunc(c.profiles, gone)
		c.back = nil
		c.keep(told)
		c.follow()
		c.changed++
	}
	if o&rsp.ResetDefaultSMDP != 0 && c.smdp != c.cfg.DefaultSMDP {
		c.smdp, code = c.cfg.DefaultSMDP, 0
		c.changed++
	}
	return code, nil
}

// resetOf says which option deletes a profile. All have come by download.
func resetOf(class rsp.ProfileClass) rsp.ResetOptions {
	switch class {
	case rsp.ClassTest:
		return rsp.ResetFieldLoadedTest
	case rsp.ClassProvisioning:
		return rsp.ResetProvisioning
	}
	return rsp.ResetOperational
}
