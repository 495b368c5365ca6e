package smdpsql

import (
	"strings"

	"github.com/iotregistry/sdk/mno/smdp"
	"github.com/iotregistry/sdk/registry/eid"
)

// For FuzzBody and the test of stored bodies.
var (
	Encode = encode
	Decode = decode
)

// Plans are the conditions of all kinds of query, and the index for each.
func Plans() map[string]string {
	device := eid.MustParse("1")
	out := map[string]string{}
	for index, q := range map[string]smdp.Query{
		"(iccid=?)":                          {ICCID: "x"},
		"smdp_profiles_matching":             {MatchingID: "x"},
		"smdp_profiles_device (device=? AND": {Device: device, ProfileID: 1},
		"smdp_profiles_device (device=?":     {Device: device},
		"smdp_profiles_waiting":              {EUICC: device},
		"smdp_transactions":                  {Transaction: "x"},
	} {
		where, _ := selection(q)
		out[strings.ReplaceAll(where, "$", "?")] = index // as SQLite has it
	}
	return out
}
