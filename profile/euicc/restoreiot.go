package euicc

import (
	"errors"
	"fmt"

	"github.com/iotregistry/sdk/internal/rsp"
)

// takeIoT takes what an IoT eUICC keeps. Profiles and notifications are there.
func (c *Chip) takeIoT(s *state) error {
	if err := c.takeEIMs(s); err != nil {
		return err
	}
	if err := c.takeResults(s.Results); err != nil {
		return err
	}
	if len(s.Immediate) > 0 {
		q, err := rsp.Decode[rsp.ConfigureImmediateProfileEnablingRequest](s.Immediate)
		if err != nil {
			return err
		}
		c.immediate = immediate{q.Enable, q.SMDPOID, q.Address}
	}
	return c.takeRollback(s.Rollback)
}

func (c *Chip) takeEIMs(s *state) error {
	if c.tokens = s.Tokens; s.Tokens < 0 {
		return errors.New("an association token is below zero")
	}
	if len(s.EIMs) == 0 {
		return nil
	}
	q, err := rsp.Decode[rsp.AddInitialEIMRequest](s.EIMs)
	if err != nil {
		return err
	}
	for _, data := range q.EIMs {
		if token := data.AssociationToken; token != nil && (*token < 0 || *token > s.Tokens) {
			return fmt.Errorf("eIM %q has an association token of the future", data.EIMID)
		}
		token := data.AssociationToken
		data.AssociationToken = nil
		e, code := c.newEIM(data, false)
		if code != rsp.AddEIMOK || c.findEIM(data.EIMID) != nil {
			return fmt.Errorf("eIM %q is none, or there twice: %v", data.EIMID, code)
		}
		e.data.AssociationToken = token
		c.eims = append(c.eims, e)
	}
	if len(c.eims) == 0 || !fit(c.eims) {
		return errors.New("a list of eIMs that no chip keeps")
	}
	return nil
}

func (c *Chip) takeResults(saved [][]byte) error {
	if len(saved) > maxResults {
		return errors.New("more results of packages than a chip keeps")
	}
	last := int64(0)
	for _, b := range saved {
		m, err := rsp.Decode[rsp.EUICCPackageResult](b)
		if err != nil {
			return err
		}
		if m.Signed == nil {
			return errors.New("a result of a package is none")
		}
		number := m.Signed.Data.SeqNumber
		if number <= last || number > c.sequence {
			return errors.New("results of packages are out of order")
		}
		for _, n := range c.pending {
			if n.Metadata().SeqNumber == number {
				return errors.New("a result of a package has the number of a notification")
			}
		}
		last = number
		c.results = append(c.results, *m)
	}
	return nil
}

func (c *Chip) takeRollback(s *savedRollback) error {
	if s == nil {
		return nil
	}
	number := rsp.ICCID(s.ICCID)
	data := rsp.EUICCPackageResultData{
		EIMID: string(s.EIM), Counter: s.Counter, EIMTransactionID: s.Transaction, SeqNumber: s.Result,
	}
	if _, err := rsp.Encode(&data); err != nil {
		return err
	}
	p := c.find(rsp.ProfileID{ICCID: &number})
	if p == nil || p.enabled || c.current() == nil || s.Result > c.sequence || s.Counter > maxCounter {
		return errors.New("a rollback that no package has allowed")
	}
	c.back = &rollback{number, string(s.EIM), s.Counter, s.Transaction, s.Result}
	return nil
}
