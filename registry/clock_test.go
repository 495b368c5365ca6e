package registry_test

import (
	"bytes"
	"crypto"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/iotregistry/sdk/registry"
	"github.com/iotregistry/sdk/registry/audit"
	"github.com/iotregistry/sdk/transfer"
)

// A process that died while its clock was a day ahead keeps nobody from its work
// for a day.
func TestLeaseOfAClockThatWasAhead(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	ids := b.active(2)
	e := &estate{Devices: ids, Codes: []string{b.code(ids[0]).Reveal(), b.code(ids[1]).Reveal()}}
	actor := carPark
	actor.Key = "the fleet"
	_, err := b.reg.Submit(t.Context(), actor, registry.Batch{Op: registry.OpTransfer}, e.items())
	require.NoError(t, err)
	b.wait(24 * time.Hour)
	dead := b.mortal(2) // it claims, and that is all
	transfer.New(dead, transfer.Policy{})
	_, err = dead.Work(t.Context(), root)
	require.ErrorIs(t, err, errCrash)
	b.wait(-24 * time.Hour)

	transfer.New(b.reg, transfer.Policy{})
	b.wait(lifetime)
	n, err := b.reg.Work(t.Context(), root)
	require.NoError(t, err)
	require.Equal(t, 1, n)
}

// Who keeps heads of the audit trail is not told that it was rewritten because
// the registry's clock was put back.
func TestAuditHeadsOfAClockPutBack(t *testing.T) {
	t.Parallel()
	key := signer(t)
	b := newBench(t, func(c *registry.Config) { c.AuditKey = key })
	ids := b.imported(1)
	_, err := b.reg.SealAudit(t.Context(), root)
	require.NoError(t, err)
	kept, err := b.reg.AuditHead(t.Context(), root)
	require.NoError(t, err)
	b.wait(-24 * time.Hour)
	b.allDone(b.reg.Activate(t.Context(), parko, registry.Options{}, ids...))
	_, err = b.reg.SealAudit(t.Context(), root)
	require.NoError(t, err)

	var export bytes.Buffer
	require.NoError(t, b.reg.ExportAudit(t.Context(), root, &export, 0))
	v := audit.Verifier{Log: zone, Keys: []crypto.PublicKey{key.Public()}, RequireHead: true, AtLeast: &kept}
	report, err := v.Verify(&export)
	require.NoError(t, err)
	require.Greater(t, report.SignedThrough, kept.Seq)
}
