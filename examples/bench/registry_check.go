package main

import (
	"bytes"
	"context"
	"crypto"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/miekg/dns"

	"github.com/iotregistry/sdk/registry"
	"github.com/iotregistry/sdk/registry/audit"
)

// findings are what can be wrong after a transfer, in the order of the report.
var findings = []string{"sponsors", "live_profiles", "zone_names", "orders", "results", "messages", "audit_entries", "audit_unverified", "work_owed"}

// check opens what the lives of a registry have left and counts what is wrong.
func check(ctx context.Context, folder string, s *survivors, life int) (found map[string]int, err error) {
	e, err := readEstate(folder)
	if err != nil {
		return nil, err
	}
	reg, closeStore, err := e.registry(ctx, folder, s.url, life)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, closeStore()) }()
	c := &checker{reg: reg, s: s, e: e, found: map[string]int{}}
	for _, part := range []func(context.Context) error{c.devices, c.results, c.messages, c.audit, c.owed} {
		if err := part(ctx); err != nil {
			return c.found, err
		}
	}
	return c.found, nil
}

type checker struct {
	reg   *registry.Registry
	s     *survivors
	e     *estate
	found map[string]int
}

func (c *checker) want(finding string, holds bool) {
	if !holds {
		c.found[finding]++
	}
}

// devices demands one sponsor, one live profile and one name for each, and that
// the operator has that profile.
func (c *checker) devices(ctx context.Context) error {
	names := map[string]bool{}
	for name := range c.s.zone.Names() {
		if name != c.s.zone.Origin() {
			names[name] = true
		}
	}
	for _, id := range c.e.Devices {
		d, err := c.reg.Device(ctx, rootActor(), id)
		if err != nil {
			return err
		}
		profiles, err := c.reg.Profiles(ctx, rootActor(), id)
		if err != nil {
			return err
		}
		c.want("sponsors", d.Sponsor == carParkActor().Account && d.Pending == nil)
		var live []*registry.Profile
		for _, p := range profiles {
			if p.Status != registry.ProfileRevoked {
				live = append(live, p)
			}
		}
		if len(live) != 1 || len(profiles) != 2 || live[0].ID != d.Profile || live[0].Sponsor != d.Sponsor || len(d.Retired) > 0 {
			c.found["live_profiles"]++
			continue
		}
		c.want("zone_names", names[dns.Fqdn(live[0].Name)])
		delete(names, dns.Fqdn(live[0].Name))
		order, err := c.s.engine.Profile(ctx, live[0].Receipt.ICCID)
		c.want("orders", err == nil && order.ProfileID == d.Profile)
	}
	c.found["zone_names"] += len(names) // of nobody any more
	return nil
}

// results demands one job and a good result for each device.
func (c *checker) results(ctx context.Context) error {
	jobs, err := c.reg.Jobs(ctx, carParkActor(), "", 0)
	if err != nil {
		return err
	}
	c.want("results", len(jobs) == 1)
	for _, j := range jobs {
		c.want("results", j.State == registry.JobDone && j.Done == len(c.e.Devices) && j.Failed == 0)
		at := 0
		for res, err := range c.reg.JobResults(ctx, carParkActor(), j.ID, 0) {
			if err != nil {
				return err
			}
			c.want("results", at < len(c.e.Devices) && res.Device == c.e.Devices[at] && res.Err == nil)
			at++
		}
		c.want("results", at == len(c.e.Devices))
	}
	return nil
}

// messages demands one message for each device and each of those who are told,
// and one for the job.
func (c *checker) messages(ctx context.Context) error {
	for actor, want := range map[registry.Actor]int{parkoActor(): len(c.e.Devices), cityActor(): len(c.e.Devices), carParkActor(): 1} {
		told := map[string]int{}
		for after := ""; ; {
			msgs, err := c.reg.Messages(ctx, actor, after, 0)
			if err != nil {
				return err
			}
			for _, m := range msgs {
				told[fmt.Sprint(m.Type, m.Device)]++
				c.want("messages", m.Type == registry.MessageTransferApproved || m.Type == registry.MessageJobDone)
				after = m.ID
			}
			if len(msgs) == 0 {
				break
			}
		}
		c.once("messages", told, want)
	}
	return nil
}

// once demands so many different events, each of which happened once.
func (c *checker) once(finding string, events map[string]int, want int) {
	c.found[finding] += max(want-len(events), len(events)-want)
	for _, n := range events {
		c.found[finding] += n - 1
	}
}

// audit verifies the export and demands one entry for each event.
func (c *checker) audit(ctx context.Context) error {
	key, err := parseKey(c.e.Audit)
	if err != nil {
		return err
	}
	var export bytes.Buffer
	if err := c.reg.ExportAudit(ctx, rootActor(), &export, 0); err != nil {
		return err
	}
	v := audit.Verifier{Log: registryZone, Keys: []crypto.PublicKey{key.Public()}, RequireHead: true}
	_, err = v.Verify(&export)
	c.want("audit_unverified", err == nil)
	events := map[string]map[string]int{"move": {}, "withdraw": {}, "confirm": {}, "submit": {}, "job done": {}}
	for after := uint64(0); ; {
		lines, err := c.reg.Audit(ctx, rootActor(), after, 0)
		if err != nil {
			return err
		}
		for _, line := range lines {
			after = line.Seq
			var e audit.Entry
			if err := json.Unmarshal(line.Entry, &e); err != nil {
				return err
			}
			if of := events[e.Op]; of != nil {
				of[e.Device]++
			}
		}
		if len(lines) == 0 {
			break
		}
	}
	for op, of := range events {
		want := len(c.e.Devices)
		if op == "submit" || op == "job done" {
			want = 1
		}
		c.once("audit_entries", of, want)
	}
	return nil
}

// owed demands that nothing is left to do.
func (c *checker) owed(ctx context.Context) error {
	return c.reg.Store.View(ctx, func(tx registry.Tx) error {
		for _, t := range []registry.Table{registry.TableWork, registry.TableJournal, registry.TableCodes, registry.TableIncoming} {
			recs, err := tx.List(ctx, t, registry.Query{})
			if err != nil {
				return err
			}
			c.found["work_owed"] += len(recs)
		}
		return nil
	})
}
