package euicc

import (
	"fmt"
	"slices"

	"github.com/iotregistry/sdk/internal/rsp"
)

// maxResults bounds the results of packages that wait to be acknowledged, and
// maxResultBytes the lists within one of them, so that all are one answer.
const (
	maxResults     = 16
	maxResultBytes = 32 << 10
)

// loadPackage is ES10b.LoadEuiccPackage (SGP.32 section 5.9.1). What cannot be
// authenticated has an unsigned error, all else a signed one.
func (c *Chip) loadPackage(q *rsp.EUICCPackageRequest) (rsp.Message, error) {
	faults := c.faults.get()
	e := c.findEIM(q.Signed.EIMID)
	switch {
	case faults.PackageUnsigned != 0:
		return unauthenticated(e, &q.Signed, rsp.EUICCPackageErrorCode(faults.PackageUnsigned)), nil
	case e == nil || !e.signed(q):
		return unauthenticated(e, &q.Signed, rsp.PackageUndefined), nil
	}
	code := rsp.EUICCPackageErrorCode(faults.Package)
	if code == 0 {
		code = c.checkPackage(e, &q.Signed)
	}
	if code != 0 {
		return c.packageError(e, &q.Signed, code)
	}
	return c.atomically(func() (rsp.Message, error) { return c.runPackage(e, &q.Signed) })
}

// signed reports whether e has signed the package in its present association.
func (e *eim) signed(q *rsp.EUICCPackageRequest) bool {
	text, err := q.Signed.SignedText(e.token())
	return err == nil && rsp.Verify(e.key, text, q.Signature) == nil
}

// unauthenticated is the answer that proves nothing. It has the token for as far
// as there is one, so that an eIM that has lost it finds out.
func unauthenticated(e *eim, s *rsp.EUICCPackageSigned, code rsp.EUICCPackageErrorCode) rsp.Message {
	m := &rsp.EUICCPackageErrorUnsigned{EIMID: s.EIMID, EIMTransactionID: s.EIMTransactionID, Code: &code}
	if e != nil {
		m.AssociationToken = e.data.AssociationToken
	}
	return &rsp.EUICCPackageResult{Unsigned: m}
}

// checkPackage is for what an eIM has signed.
func (c *Chip) checkPackage(e *eim, s *rsp.EUICCPackageSigned) rsp.EUICCPackageErrorCode {
	switch {
	case s.EID != c.eid:
		return rsp.PackageInvalidEID
	case s.Counter > maxCounter:
		return rsp.PackageCounterOutOfRange
	case s.Counter <= e.counter:
		return rsp.PackageReplay
	}
	return 0
}

// packageError refuses a package as a whole: nothing changes, the counter
// neither, and no result is kept.
func (c *Chip) packageError(e *eim, s *rsp.EUICCPackageSigned, code rsp.EUICCPackageErrorCode) (rsp.Message, error) {
	data := rsp.EUICCPackageErrorData{EIMID: s.EIMID, Counter: s.Counter, EIMTransactionID: s.EIMTransactionID, Code: code}
	text, err := data.SignedText(e.token())
	if err != nil {
		return nil, fmt.Errorf("%w: %v", errInternal, err)
	}
	signature, err := c.sign(text)
	if err != nil {
		return nil, fmt.Errorf("%w: %v", errInternal, err)
	}
	return &rsp.EUICCPackageResult{Error: &rsp.EUICCPackageErrorSigned{Data: data, Signature: signature}}, nil
}

// atomically carries out f and, where that fails for want of a key, say, takes
// back what it has changed. Sequence numbers are not used again.
func (c *Chip) atomically(f func() (rsp.Message, error)) (rsp.Message, error) {
	profiles, enabled := slices.Clone(c.profiles), c.current()
	pending, results := slices.Clone(c.pending), slices.Clone(c.results)
	eims, tokens, smdp, immediate, back := c.eims, c.tokens, c.smdp, c.immediate, c.back
	m, err := f()
	if err == nil {
		return m, nil
	}
	c.profiles, c.pending, c.results = profiles, pending, results
	c.eims, c.tokens, c.smdp, c.immediate, c.back = eims, tokens, smdp, immediate, back
	for _, p := range c.profiles {
		p.enabled = p == enabled
	}
	c.follow()
	c.changed++
	return nil, err
}

// runPackage carries out the operations until one fails, which those before it
// outlive (SGP.32 section 3.3.1). The counter comes last: an update of the eIM is
// measured by the one before.
func (c *Chip) runPackage(e *eim, s *rsp.EUICCPackageSigned) (rsp.Message, error) {
	c.back = nil
	r := &packageRun{c: c, fault: c.faults.get().Operation}
	for i := 0; i < max(len(s.Operations), len(s.Configuration)) && !r.stopped; i++ {
		var err error
		if s.Operations != nil {
			err = r.profileOperation(i, &s.Operations[i])
		} else {
			err = r.eimOperation(i, &s.Configuration[i])
		}
		if err != nil {
			return nil, err
		}
	}
	if own := c.findEIM(s.EIMID); own != nil && own.key.Equal(e.key) { // what another key has not signed cannot be replayed
		counted := *own
		counted.counter = max(counted.counter, s.Counter)
		c.replaceEIM(&counted)
	}
	m, err := c.conclusion(e, rsp.EUICCPackageResultData{
		EIMID: s.EIMID, Counter: s.Counter, EIMTransactionID: s.EIMTransactionID, Results: r.results,
	})
	if err != nil {
		return nil, err
	}
	if r.back != nil {
		c.back = &rollback{
			iccid: r.back.metadata.ICCID, eim: s.EIMID, counter: s.Counter,
			transaction: s.EIMTransactionID, result: m.Signed.Data.SeqNumber,
		}
	}
	return m, nil
}

// conclusion signs a result, and keeps it until it is acknowledged. Of too many
// the oldest are dropped.
func (c *Chip) conclusion(e *eim, data rsp.EUICCPackageResultData) (*rsp.EUICCPackageResult, error) {
	data.SeqNumber = c.nextSequence()
	if data.Results == nil {
		data.Results = []rsp.EUICCResultData{}
	}
	text, err := data.SignedText(e.token())
	if err != nil {
		return nil, fmt.Errorf("%w: %v", errInternal, err)
	}
	signature, err := c.sign(text)
	if err != nil {
		return nil, fmt.Errorf("%w: %v", errInternal, err)
	}
	m := rsp.EUICCPackageResult{Signed: &rsp.EUICCPackageResultSigned{Data: data, Signature: signature}}
	c.results = append(slices.Clone(c.results), m)
	if n := len(c.results) - maxResults; n > 0 {
		c.results = c.results[n:]
	}
	c.changed++
	return &m, nil
}

// removeResult is for one that was acknowledged, or that another stands in for.
func (c *Chip) removeResult(number int64) bool {
	before := len(c.results)
	c.results = slices.DeleteFunc(slices.Clone(c.results), func(m rsp.EUICCPackageResult) bool {
		return m.Signed.Data.SeqNumber == number
	})
	if len(c.results) == before {
		return false
	}
	c.changed++
	return true
}

// resultsOf lists all results, or the one with a number.
func (c *Chip) resultsOf(number *int64) []rsp.EUICCPackageResult {
	list := []rsp.EUICCPackageResult{}
	for _, m := range c.results {
		if number == nil || m.Signed.Data.SeqNumber == *number {
			list = append(list, m)
		}
	}
	return list
}
