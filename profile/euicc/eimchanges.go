package euicc

import (
	"slices"

	"github.com/iotregistry/sdk/internal/rsp"
)

// addEIM is the operation of a package.
func (c *Chip) addEIM(data rsp.EIMConfigurationData) (*eim, rsp.AddEIMError) {
	if c.findEIM(data.EIMID) != nil {
		return nil, rsp.AddEIMExists
	}
	e, code := c.newEIM(data, false)
	if code != rsp.AddEIMOK {
		return nil, code
	}
	list := append(slices.Clone(c.eims), e)
	if !fit(list) {
		return nil, rsp.AddEIMInsufficientMemory
	}
	c.draw(e)
	c.eims = list
	c.changed++
	return e, rsp.AddEIMOK
}

// deleteEIM is the operation of a package. That none is left is a success too.
func (c *Chip) deleteEIM(id string) rsp.EIMResult {
	if c.findEIM(id) == nil {
		return rsp.EIMNotFound
	}
	c.eims = slices.DeleteFunc(slices.Clone(c.eims), func(e *eim) bool { return e.data.EIMID == id })
	c.changed++
	if len(c.eims) == 0 {
		return rsp.EIMLastDeleted
	}
	return rsp.EIMOK
}

// updateEIM is the operation of a package. The token stays for as long as the
// association does, and the counter goes back with another key only: what was
// signed with the old one is worth nothing then.
func (c *Chip) updateEIM(data *rsp.EIMConfigurationData) rsp.EIMResult {
	old := c.findEIM(data.EIMID)
	switch {
	case old == nil:
		return rsp.EIMNotFound
	case data.AssociationToken != nil || isEmpty(data):
		return rsp.EIMCommandError
	case data.Counter != nil && *data.Counter > maxCounter:
		return rsp.EIMCounterOutOfRange
	case data.CIKeyID != nil && !c.signsFor(data.CIKeyID):
		return rsp.EIMCIKeyUnknown
	}
	e := old.updated(data)
	if e == nil || e.counter < old.counter && e.key.Equal(old.key) {
		return rsp.EIMCommandError
	}
	list := slices.Clone(c.eims)
	list[slices.Index(list, old)] = e
	if !fit(list) {
		return rsp.EIMResultUndefined
	}
	c.replaceEIM(e)
	return rsp.EIMOK
}

// isEmpty reports whether an update has nothing but the eIM's ID.
func isEmpty(d *rsp.EIMConfigurationData) bool {
	return d.FQDN == nil && d.IDType == nil && d.Counter == nil && d.SigningKey == nil && d.TLSKey == nil &&
		d.Protocols == nil && d.CIKeyID == nil && !d.IndirectDownload && d.Proprietary == nil
}

// updated returns e with what data has, nil where the key is none.
func (e *eim) updated(data *rsp.EIMConfigurationData) *eim {
	n := *e
	if data.SigningKey != nil {
		if n.key = signingKey(data.SigningKey); n.key == nil {
			return nil
		}
		n.data.SigningKey = data.SigningKey
	}
	if data.Counter != nil {
		n.counter = *data.Counter
	}
	set(&n.data.FQDN, data.FQDN)
	set(&n.data.IDType, data.IDType)
	set(&n.data.TLSKey, data.TLSKey)
	set(&n.data.Protocols, data.Protocols)
	if data.CIKeyID != nil {
		n.data.CIKeyID = data.CIKeyID
	}
	if data.Proprietary != nil {
		n.data.Proprietary = data.Proprietary
	}
	n.data.IndirectDownload = n.data.IndirectDownload || data.IndirectDownload
	return &n
}

func set[T any](p **T, v *T) {
	if v != nil {
		*p = v
	}
}

// eimIDs is the answer to the operation that lists them. Proprietary types are
// not told.
func (c *Chip) eimIDs() *rsp.ListEIMResult {
	r := &rsp.ListEIMResult{EIMs: []rsp.EIMIDInfo{}}
	for _, e := range c.eims {
		info := rsp.EIMIDInfo{EIMID: e.data.EIMID}
		if kind := *e.data.IDType; kind == rsp.EIMIDOID || kind == rsp.EIMIDFQDN {
			info.IDType = e.data.IDType
		}
		r.EIMs = append(r.EIMs, info)
	}
	return r
}
