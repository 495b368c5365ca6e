package registry_test

import (
	"bytes"
	"context"
	"crypto"
	"encoding/json"
	"errors"
	"fmt"
	"testing"

	"github.com/miekg/dns"
	"github.com/stretchr/testify/require"

	"github.com/iotregistry/sdk/registry"
	"github.com/iotregistry/sdk/registry/audit"
	"github.com/iotregistry/sdk/registry/eid"
)

// moved is what a transfer of devices from ParkoServ to CarParkServ has left,
// in the registry and in the systems around it.
type moved struct {
	t     testing.TB
	reg   *registry.Registry
	ids   []eid.ID
	zone  map[string]bool            // its names
	order func(iccid string) uint64  // the profile that the operator has for it
	job   string                     // "" when the transfer was none
	late  bool                       // the operator did not take every order at once
	key   crypto.PublicKey           // of audit heads
	first map[string]map[string]bool // of noteOnce
}

// checkWhole demands that nothing was lost and nothing applied twice: one
// sponsor, one live profile and one name for each device, every event told once,
// an audit trail that verifies, and nothing owed.
func (m *moved) checkWhole() {
	m.t.Helper()
	m.checkDevices()
	m.checkMessages()
	m.checkAudit()
	require.Len(m.t, m.table(registry.TableTransfers, ""), len(m.ids), "one transfer of each device")
	for _, table := range []registry.Table{registry.TableWork, registry.TableJournal, registry.TableCodes, registry.TableIncoming, registry.TableFailures} {
		require.Empty(m.t, m.table(table, ""), "left in %s", table)
	}
	if m.job != "" {
		m.checkJob()
	}
}

func (m *moved) table(table registry.Table, parent string) (recs []registry.Record) {
	m.t.Helper()
	ctx := context.Background()
	require.NoError(m.t, m.reg.Store.View(ctx, func(tx registry.Tx) (err error) {
		recs, err = tx.List(ctx, table, registry.Query{Parent: parent})
		return err
	}))
	return recs
}

func (m *moved) checkDevices() {
	m.t.Helper()
	names, devices := map[string]bool{}, map[string]registry.Device{}
	for _, rec := range m.table(registry.TableDevices, "") {
		var d registry.Device
		require.NoError(m.t, json.Unmarshal(rec.Body, &d))
		require.Equal(m.t, carPark.Account, rec.Parent)
		require.Equal(m.t, carPark.Account, d.Sponsor)
		require.Empty(m.t, d.Retired)
		require.Nil(m.t, d.Pending)
		devices[rec.Key] = d
	}
	require.Len(m.t, devices, len(m.ids))
	profiles := m.table(registry.TableProfiles, "")
	require.Len(m.t, profiles, 2*len(m.ids), "each device had one profile and got one")
	for _, rec := range profiles {
		var p registry.Profile
		require.NoError(m.t, json.Unmarshal(rec.Body, &p))
		if devices[rec.Parent].Profile != p.ID {
			require.Equal(m.t, registry.ProfileRevoked, p.Status, "a second live profile of %s", rec.Parent)
			require.Equal(m.t, parko.Account, p.Sponsor)
			continue
		}
		require.Equal(m.t, registry.ProfileConnected, p.Status)
		require.Equal(m.t, carPark.Account, p.Sponsor)
		require.Equal(m.t, p.ID, m.order(p.Receipt.ICCID), "the operator has what the registry says")
		names[dns.Fqdn(p.Name)] = true
	}
	require.Len(m.t, names, len(m.ids))
	require.Equal(m.t, names, m.zone, "the zone has one name for each device")
}

// checkMessages demands one message for each device and each of those who are
// told, and one for the job.
func (m *moved) checkMessages() {
	m.t.Helper()
	for actor, want := range map[registry.Actor]map[registry.MessageType]int{
		parko:   {registry.MessageTransferApproved: len(m.ids)},
		city:    {registry.MessageTransferApproved: len(m.ids)},
		carPark: {registry.MessageJobDone: 1},
	} {
		if m.job == "" {
			delete(want, registry.MessageJobDone)
		}
		got, seen := map[registry.MessageType]int{}, map[eid.ID]bool{}
		msgs, err := m.reg.Messages(context.Background(), actor, "", 0)
		require.NoError(m.t, err)
		for _, msg := range msgs {
			got[msg.Type]++
			require.False(m.t, seen[msg.Device], "%s is told twice of %s", actor.Account, msg.Device)
			seen[msg.Device] = true
		}
		require.Equal(m.t, want, got, actor.Account)
	}
}

// checkAudit verifies the export and demands that each event stands in it once.
func (m *moved) checkAudit() {
	m.t.Helper()
	var export bytes.Buffer
	require.NoError(m.t, m.reg.ExportAudit(context.Background(), root, &export, 0))
	lines := bytes.Count(export.Bytes(), []byte("\n")) - 1 // and the head
	v := audit.Verifier{Log: zone, Keys: []crypto.PublicKey{m.key}, RequireHead: true}
	report, err := v.Verify(&export)
	require.NoError(m.t, err)
	require.EqualValues(m.t, lines, report.SignedThrough)

	counts := map[string]int{}
	m.first = map[string]map[string]bool{}
	for _, rec := range m.table(registry.TableAudit, "") {
		line, err := audit.ParseLine(rec.Body)
		require.NoError(m.t, err)
		var e audit.Entry
		require.NoError(m.t, json.Unmarshal(line.Entry, &e))
		counts[e.Op]++
		m.noteOnce(e)
	}
	for _, op := range []string{"import", "activate", "move", "confirm", "withdraw"} {
		require.Equal(m.t, len(m.ids), counts[op], op)
	}
	for _, op := range []string{"submit", "job done"} {
		require.Equal(m.t, min(len(m.job), 1), counts[op], op)
	}
}

func (m *moved) noteOnce(e audit.Entry) {
	m.t.Helper()
	if m.first[e.Op] == nil {
		m.first[e.Op] = map[string]bool{}
	}
	about := fmt.Sprint(e.Device, e.Subject)
	require.False(m.t, m.first[e.Op][about], "two entries %q of %s", e.Op, about)
	m.first[e.Op][about] = true
}

// checkJob demands a good result for each device, in the order of submission.
func (m *moved) checkJob() {
	m.t.Helper()
	ctx := context.Background()
	j, err := m.reg.Job(ctx, carPark, m.job)
	require.NoError(m.t, err)
	require.Equal(m.t, registry.JobDone, j.State)
	require.Equal(m.t, []int{len(m.ids), len(m.ids)}, []int{j.Total, j.Done})
	at, late := 0, 0
	for res, err := range m.reg.JobResults(ctx, carPark, m.job, 0) {
		require.NoError(m.t, err)
		if m.late && errors.Is(res.Err, registry.ErrUndelivered) {
			late++ // it says so, and is tried again
		} else {
			require.NoError(m.t, res.Err)
		}
		require.Equal(m.t, m.ids[at], res.Device)
		require.NotZero(m.t, res.ProfileID)
		at++
	}
	require.Equal(m.t, len(m.ids), at)
	require.Equal(m.t, late, j.Failed)
}
