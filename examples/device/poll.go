package main

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/iotregistry/sdk/mno/esipa"
)

// poll asks the eIM what there is to do, once or until ctx ends.
func (d *device) poll(ctx context.Context, _ []string) error {
	if d.file.EIM == "" {
		return fmt.Errorf("%s has no eIM: mno euicc makes cards that have one", d.flags.card)
	}
	client := &esipa.Client{BaseURL: "https://" + d.file.EIM, HTTP: d.http(d.flags.eim)}
	ipa := &esipa.IPA{LPA: d.lpa, EIM: client}
	if d.flags.indirect {
		ipa.Indirect = client
	}
	if d.flags.every == 0 {
		report, err := ipa.Poll(ctx)
		return errors.Join(d.report(report, err == nil), err)
	}
	again := time.NewTicker(d.flags.every)
	defer again.Stop()
	for {
		report, err := ipa.Poll(ctx)
		if err := d.report(report, false); err != nil {
			return err
		}
		if d.kept.stale {
			return errShared // which it would be for ever
		}
		if ctx.Err() != nil {
			return nil // the card has what was done, and the next poll tells
		}
		if err != nil {
			fmt.Fprintf(d.stderr, "device: %s\n", shown(err.Error()))
		}
		select {
		case <-ctx.Done():
			return nil
		case <-again.C:
		}
	}
}

type pollResult struct {
	EID      string       `json:"eid"`
	Done     []doneResult `json:"done"`
	Notified int          `json:"notified"` // how many notifications SM-DP+s have taken
	More     bool         `json:"more"`     // there may be more to do
}

// doneResult is what came of one package.
type doneResult struct {
	Kind       esipa.Kind        `json:"kind"`
	Job        string            `json:"job,omitempty"`
	ICCID      string            `json:"iccid,omitempty"`
	Installed  bool              `json:"installed,omitempty"`
	Operations []operationResult `json:"operations,omitempty"`
	Told       bool              `json:"eim_told"`
	Error      string            `json:"error,omitempty"`
}

type operationResult struct {
	Name    string `json:"name"`
	Subject string `json:"subject,omitempty"`
	Result  string `json:"result"`
}

// report prints what was done, and always says if that was nothing.
func (d *device) report(r esipa.Report, always bool) error {
	result := pollResult{EID: r.EID, Done: []doneResult{}, Notified: r.Notified, More: r.More}
	for i := range r.Packages {
		p := &r.Packages[i]
		p.Err = d.cause(p.Err)
		one := doneResult{Kind: p.Kind, Job: p.Transaction, ICCID: p.ICCID, Installed: p.Installed, Told: p.Told}
		for _, o := range p.Operations {
			one.Operations = append(one.Operations, operationResult{o.Name, o.Subject, o.Result})
		}
		if p.Err != nil {
			one.Error = p.Err.Error()
		}
		result.Done = append(result.Done, one)
	}
	lines := strings.Split(r.String(), "\n")
	for i := range lines {
		lines[i] = shown(lines[i])
	}
	text := strings.Join(lines, "\n")
	switch {
	case text == "" && !always:
		return nil
	case text == "":
		text = "nothing to do"
	}
	return d.print(result, text+"\n")
}
