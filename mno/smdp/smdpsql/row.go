package smdpsql

import (
	"fmt"
	"strconv"

	"github.com/iotregistry/sdk/mno"
	"github.com/iotregistry/sdk/mno/internal/sqlkit"
	"github.com/iotregistry/sdk/mno/smdp"
)

// columns of a row, in its order. There is also waiting, which is only searched.
const columns = "iccid, matching_id, device, profile_id, version, body"

// row is a record as the database has it.
type row struct {
	iccid, matchingID, device, profileID string
	version                              int64
	body                                 []byte
}

// rowOf returns the record that takes p's place.
func rowOf(p smdp.Profile) (row, error) {
	for _, text := range append([]string{p.ICCID, p.MatchingID}, p.Download.Transactions...) {
		if !sqlkit.Storable(text) {
			return row{}, fmt.Errorf("record %.40q: %w", p.ICCID, errText)
		}
	}
	body, err := encode(p)
	if err != nil {
		return row{}, fmt.Errorf("record %.40q: %w", p.ICCID, err)
	}
	return row{
		iccid: p.ICCID, matchingID: p.MatchingID, device: p.Device.String(), profileID: number(p.ProfileID),
		version: int64(p.Version) + 1, body: body, // Put has seen that it is no overflow
	}, nil
}

// profile returns the record's profile.
func (r row) profile() (smdp.Profile, error) {
	p, err := decode(r.body)
	if err != nil {
		return smdp.Profile{}, fmt.Errorf("smdpsql: record %s: %w", r.iccid, err)
	}
	p.ICCID, p.MatchingID, p.Version = r.iccid, r.matchingID, uint64(r.version)
	if err := p.Device.UnmarshalText([]byte(r.device)); err != nil {
		return smdp.Profile{}, fmt.Errorf("smdpsql: record %s: device: %w", r.iccid, ErrDamaged)
	}
	if r.profileID != "" {
		if p.ProfileID, err = strconv.ParseUint(r.profileID, 10, 64); err != nil {
			return smdp.Profile{}, fmt.Errorf("smdpsql: record %s: profile ID: %w", r.iccid, ErrDamaged)
		}
	}
	return p, nil
}

// number writes a profile ID so that texts are in the order of numbers, empty
// for none.
func number(profileID uint64) string {
	if profileID == 0 {
		return ""
	}
	return fmt.Sprintf("%020d", profileID)
}

// waiting is the eUICC whose [smdp.Query] finds p, empty where none does.
func waiting(p smdp.Profile) string {
	if (p.ByDevice || p.ProfileID != 0) && (p.State == mno.Released || p.State == mno.Downloaded) {
		return p.EUICC.String()
	}
	return ""
}
