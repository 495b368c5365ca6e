package registry

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/iotregistry/sdk/registry/eid"
)

// Delete takes devices out of service (RFC 5731 section 3.2.2): their records
// leave the zone at once, and for Config.Redemption they can be restored (RFC
// 3915). After Config.PurgeAfter more the registry does not know them any more,
// and they can be registered anew. A device that was never activated goes at
// once. Results are in the order of ids.
func (r *Registry) Delete(ctx context.Context, actor Actor, opts Options, ids ...eid.ID) ([]Result, error) {
	results, plans := plansOf(opDelete, ids)
	var purge map[time.Time][]string
	return results, r.eachDevice(ctx, actor, change{
		Options: opts, op: opDelete, plans: plans, allowed: mayKnown,
		begin: func() { purge = map[time.Time][]string{} },
		apply: func(d *Device, now time.Time) (bool, error) {
			switch {
			case !d.Deleted.IsZero():
				return false, nil
			case d.Pending != nil:
				return false, ErrPending
			case d.has(StatusClientDeleteProhibited, StatusServerDeleteProhibited):
				return false, fmt.Errorf("%w: delete is prohibited", ErrState)
			}
			d.Deleted, d.Redeem, d.Purge = now, now, now
			if d.Profile != 0 {
				d.Redeem = now.Add(r.Redemption)
				d.Purge = d.Redeem.Add(r.PurgeAfter)
			}
			purge[d.Purge] = append(purge[d.Purge], d.ID.String())
			return true, nil
		},
		tell: func(d *Device) []Message {
			return toEach(Message{Type: MessageDeviceDeleted, Device: d.ID, By: actor.Account,
				Detail: map[string]string{"redeem": d.Redeem.Format(time.RFC3339)}}, d.Sponsor, d.Owner)
		},
		commit: func(ctx context.Context, tx Tx) error {
			for due, about := range purge {
				if err := putTimers(ctx, tx, timerPurge, due, about...); err != nil {
					return err
				}
			}
			return nil
		},
	})
}

// Restore brings deleted devices back within their redemption period, with the
// profiles they had. Results are in the order of ids.
func (r *Registry) Restore(ctx context.Context, actor Actor, opts Options, ids ...eid.ID) ([]Result, error) {
	results, plans := plansOf(opRestore, ids)
	var transferred []string
	return results, r.eachDevice(ctx, actor, change{
		Options: opts, op: opRestore, plans: plans, allowed: mayKnown,
		begin: func() { transferred = nil },
		apply: func(d *Device, now time.Time) (bool, error) {
			switch {
			case d.Deleted.IsZero():
				return false, nil
			case !now.Before(d.Redeem):
				return false, fmt.Errorf("%w: its redemption period has ended", ErrState)
			}
			d.Deleted, d.Redeem, d.Purge = time.Time{}, time.Time{}, time.Time{}
			if d.From != "" {
				transferred = append(transferred, d.ID.String())
			}
			return true, nil
		},
		// While a device was deleted its transfer may have happened and made no
		// profile.
		commit: func(ctx context.Context, tx Tx) error {
			return putTimers(ctx, tx, timerTransfer, r.now(), transferred...)
		},
	})
}

// purge forgets deleted devices whose time is over. What is known of their
// profiles and transfers stays, since profile IDs are never used again.
func (r *Registry) purge(ctx context.Context, ids []eid.ID) (int, error) {
	n := 0
	err := r.store.Update(ctx, func(tx Tx) error {
		devices, err := getAll[Device](ctx, tx, TableDevices, idKeys(ids)...)
		if err != nil {
			return err
		}
		now := r.now()
		var keys, owned []string
		var notes []Note
		var withdrawn []uint64
		for key, d := range devices {
			if d.gone(now) { // and not restored, or registered anew
				keys, owned = append(keys, key), append(owned, ownedKey(d))
				notes = append(notes, Note{Op: "purge", Device: d.ID})
				withdrawn = append(withdrawn, d.published()...)
			}
		}
		n = len(keys)
		for t, keys := range map[Table][]string{TableDevices: keys, TableOwned: owned, TableCodes: keys} {
			if err := tx.Delete(ctx, t, keys...); err != nil {
				return err
			}
		}
		if err := r.putWork(ctx, tx, workWithdraw, withdrawn); err != nil {
			return err
		}
		return r.Record(ctx, tx, itself, notes...)
	})
	return n, err
}

// ownedKey is a device's key in the index of owners.
func ownedKey(d *Device) string { return d.Owner + "/" + d.ID.String() }

func ownedRecord(d *Device) Record {
	return Record{Key: ownedKey(d), Parent: d.Owner, Body: []byte("{}")}
}

func deviceOfOwned(key string) string {
	_, id, _ := strings.Cut(key, "/")
	return id
}
