package rdap

import "github.com/iotregistry/sdk/registry"

// statusOf maps EPP statuses to those of RDAP (RFC 8056 section 2).
var statusOf = map[registry.Status]string{
	registry.StatusOK:                       "active",
	registry.StatusInactive:                 "inactive",
	registry.StatusClientTransferProhibited: "client transfer prohibited",
	registry.StatusServerTransferProhibited: "server transfer prohibited",
	registry.StatusClientUpdateProhibited:   "client update prohibited",
	registry.StatusServerUpdateProhibited:   "server update prohibited",
	registry.StatusClientDeleteProhibited:   "client delete prohibited",
	registry.StatusServerDeleteProhibited:   "server delete prohibited",
	registry.StatusClientHold:               "client hold",
	registry.StatusServerHold:               "server hold",
	registry.StatusPendingTransfer:          "pending transfer",
	registry.StatusTransferPeriod:           "transfer period",
	registry.StatusRedemptionPeriod:         "redemption period",
	registry.StatusPendingDelete:            "pending delete",
}

// statuses maps what has an RDAP status and leaves out what has none: clients know
// only registered ones.
func statuses(epp []registry.Status) []string {
	out := []string{}
	for _, s := range epp {
		if r, ok := statusOf[s]; ok {
			out = append(out, r)
		}
	}
	return out
}
