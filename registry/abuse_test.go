package registry_test

import (
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/iotregistry/sdk/mno"
	"github.com/iotregistry/sdk/registry"
	"github.com/iotregistry/sdk/registry/eid"
)

// What one caller writes into a request must not come back once for each device:
// a text of a megabyte and a million devices would be a million megabytes.
func TestWhatARequestSaysIsNotRepeatedForEachDevice(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	long := strings.Repeat("x", 100_000)
	for name, c := range map[string]func() ([]registry.Result, error){
		"operator of an import": func() ([]registry.Result, error) {
			return b.reg.Import(t.Context(), parko, registry.Import{Owner: city.Account, MNO: long, Rows: []registry.Row{{ID: eid.MustParse("1")}}})
		},
		"operator of a row": func() ([]registry.Result, error) {
			return b.reg.Import(t.Context(), parko, registry.Import{Owner: city.Account, Rows: []registry.Row{{ID: eid.MustParse("1"), MNO: long}}})
		},
		"owner of an import": func() ([]registry.Result, error) {
			return b.reg.Import(t.Context(), parko, registry.Import{Owner: long, MNO: telco.Account, Rows: []registry.Row{{ID: eid.MustParse("1")}}})
		},
		"operator of a switch": func() ([]registry.Result, error) {
			return b.reg.Switch(t.Context(), parko, long, registry.Options{}, eid.MustParse("1"))
		},
		"status": func() ([]registry.Result, error) {
			return b.reg.SetStatus(t.Context(), parko, registry.StatusChange{Add: []registry.Status{registry.Status(long)}}, eid.MustParse("1"))
		},
		"model": func() ([]registry.Result, error) {
			return b.reg.Import(t.Context(), parko, registry.Import{Owner: city.Account, MNO: telco.Account, Rows: []registry.Row{{ID: eid.MustParse("1"), Model: long}}})
		},
		"version": func() ([]registry.Result, error) {
			return b.reg.Import(t.Context(), parko, registry.Import{Owner: city.Account, MNO: telco.Account, Rows: []registry.Row{{ID: eid.MustParse("1"), Version: long}}})
		},
		"model of a claim": func() ([]registry.Result, error) {
			return b.reg.File(t.Context(), maker, []registry.Claim{{Device: eid.MustParse("1"), Model: long}})
		},
		"kind of job": func() ([]registry.Result, error) {
			_, err := b.reg.Submit(t.Context(), parko, registry.Batch{Op: registry.Op(long)}, nil)
			return nil, err
		},
		"message": func() ([]registry.Result, error) { return nil, b.reg.Ack(t.Context(), parko, long) },
	} {
		results, err := c()
		if err == nil {
			err = results[0].Err
		}
		require.Error(t, err, name)
		require.Less(t, len(err.Error()), 500, name)
	}
}

func TestModelsAndVersionsAreBounded(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	rows := b.claim(1)
	rows[0].Model = strings.Repeat("x", 257)
	results, err := b.reg.Import(t.Context(), parko, registry.Import{Owner: city.Account, MNO: telco.Account, Rows: rows})
	require.NoError(t, err)
	require.ErrorIs(t, results[0].Err, registry.ErrInvalid)
	rows[0].Model = strings.Repeat("x", 256)
	results, err = b.reg.Import(t.Context(), parko, registry.Import{Owner: city.Account, MNO: telco.Account, Rows: rows})
	require.NoError(t, err)
	require.NoError(t, results[0].Err)
}

// Each status is held against all others.
func TestAChangeNamesFewStatuses(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	_, err := b.reg.SetStatus(t.Context(), parko, registry.StatusChange{
		Add:    slices.Repeat([]registry.Status{registry.StatusClientHold}, 100),
		Remove: slices.Repeat([]registry.Status{registry.StatusClientUpdateProhibited}, 100),
	}, eid.MustParse("1"))
	require.ErrorIs(t, err, registry.ErrInvalid)
}

// An operator tells of what it delivers, and not of the profiles of the operator
// from which a device has come.
func TestOperatorsReportTheirOwnProfilesOnly(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	id := b.active(1)[0]
	other := registry.Actor{Account: "mno2", Role: registry.RoleMNO}
	require.NoError(t, b.reg.PutAccount(t.Context(), root, registry.Account{ID: other.Account, Role: other.Role}))
	_, err := b.reg.Switch(t.Context(), parko, other.Account, registry.Options{}, id)
	require.NoError(t, err)
	require.Equal(t, other.Account, b.device(id).MNO)
	before := b.profiles(id)[0]
	require.Equal(t, telco.Account, before.MNO)
	err = b.reg.Progress(t.Context(), other, mno.Progress{Device: id, ProfileID: before.ID, Time: b.clock(), Point: mno.PointInstall,
		Failure: &mno.StatusError{Subject: "8.2.1", Reason: "3.9"}})
	require.ErrorIs(t, err, registry.ErrNotFound)
	require.Equal(t, before.Status, b.profiles(id)[0].Status)
}
