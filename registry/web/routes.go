package web

import (
	"net/http"
	"reflect"

	"github.com/iotregistry/sdk/registry"
	"github.com/iotregistry/sdk/registry/audit"
)

// routes is the whole API. The OpenAPI document is made from it.
func routes() []*route {
	const (
		operator, asp, owner = registry.RoleOperator, registry.RoleASP, registry.RoleOwner
		operatorMNO          = registry.RoleMNO
		auditor              = registry.RoleAuditor
	)
	var (
		after  = param{"after", "The next of the page before; absent for the first page", "string"}
		limit  = param{"limit", "How many items at most: 100 unless given, at most 1,000", "integer"}
		seq    = param{"after", "Sequence number of the last line that is known", "integer"}
		from   = param{"from", "Index of the first result, from 0", "integer"}
		many   = param{"limit", "How many items at most: 100 unless given, at most 10,000", "integer"}
		role   = param{"role", "Only accounts of this role", "string"}
		submit = []param{
			{"op", "What the job does, of a list in CSV", "string"}, {"owner", "Account of the owner, of an import", "string"},
			{"mno", "Account of the operator, of an import or a switch", "string"},
			{"atomic", "All devices or none", "boolean"}, {"dryRun", "Judge only", "boolean"},
		}
	)
	get, post := http.MethodGet, http.MethodPost
	return []*route{
		reading("/healthz", "health", "Whether the process runs", (*Server).health).open(),
		reading("/readyz", "ready", "Whether the store can be reached", (*Server).ready).open(),
		{method: get, path: "/openapi.json", id: "openapi", summary: "This document", public: true, status: http.StatusOK,
			stream: typeJSON, run: (*Server).openapi},
		reading("/v1/me", "me", "Who the caller is", (*Server).me),

		reading("/v1/accounts", "listAccounts", "Accounts", (*Server).accounts).by(operator, auditor).asks(role, after, limit),
		reading("/v1/accounts/{id}", "getAccount", "One account", (*Server).account),
		telling(http.MethodPut, "/v1/accounts/{id}", "putAccount", "Create or change an account", (*Server).putAccount).by(operator),
		reading("/v1/accounts/{id}/credentials", "listCredentials", "An account's credentials", (*Server).credentials),
		writing(post, "/v1/accounts/{id}/tokens", "issueToken", "Make a bearer token, which is shown once", (*Server).issueToken).by(operator).with(http.StatusCreated).anew(),
		writing(post, "/v1/accounts/{id}/certificates", "trustCertificate", "Trust a client certificate's key", (*Server).trustCertificate).by(operator).with(http.StatusCreated),
		{method: http.MethodDelete, path: "/v1/credentials/{id}", id: "revokeCredential", summary: "Take a credential out of use",
			status: http.StatusNoContent, keyless: true, run: (*Server).revokeCredential},

		{method: post, path: "/v1/claims", id: "fileClaims", status: http.StatusOK, long: true, run: (*Server).fileClaims,
			summary: "File a maker's claims: as the maker in JSON; from anybody in CSV with the maker's signature in the header Signature (base64), or as certificates in PEM",
			in:      reflect.TypeFor[claimsBody](), other: []string{typeCSV, typePEM}, out: reflect.TypeFor[resultsAnswer]()},
		writing(post, "/v1/enroll", "enroll", "As a device, with the certificate of its current profile: hand in a certificate request for the key that its next profiles certify. The same key again changes nothing",
			(*Server).enroll).byDevice().anew(),
		bulk("/v1/card-keys/forget", "forgetCardKeys", "Have the registry make devices' keys again, whose cards have lost theirs", (*Server).forgetCardKeys).by(asp, operator),
		bulk("/v1/import", "import", "Register devices", (*Server).importRows).by(asp),
		bulk("/v1/activate", "activate", "Give devices their first profile", (*Server).activate).by(asp, operator),
		bulk("/v1/reset", "reset", "Give devices a new profile", (*Server).reset).by(asp, operator),
		bulk("/v1/switch", "switch", "Take devices to another operator", (*Server).switchTo).by(asp, operator),
		bulk("/v1/delete", "delete", "Take devices out of service", (*Server).remove).by(asp, operator),
		bulk("/v1/restore", "restore", "Bring deleted devices back", (*Server).restore).by(asp, operator),
		bulk("/v1/status", "setStatus", "Set and take back statuses of devices", (*Server).setStatus).by(asp, operator),
		bulk("/v1/confirm", "confirm", "Tell that devices have connected with their profiles", (*Server).confirm).by(asp),
		bulk("/v1/progress", "progress", "Report how deliveries go on", (*Server).progress).by(operatorMNO),
		writing(post, "/v1/codes", "issueCodes", "Draw authorization codes, which are shown once", (*Server).issueCodes).by(owner).anew(),
		bulk("/v1/codes/clear", "clearCodes", "Take authorization codes out of use", (*Server).clearCodes).by(owner),

		reading("/v1/devices", "listDevices", "Devices", (*Server).devices).by(asp, owner, operator, auditor).asks(after, limit),
		reading("/v1/devices/{id}", "getDevice", "One device", (*Server).device).by(readers()...).tagged(),
		writing(http.MethodPatch, "/v1/devices/{id}", "changeStatus", "Set and take back statuses of one device at a known revision", (*Server).changeStatus).by(asp, operator).tagged().matched(),
		reading("/v1/devices/{id}/profiles", "listProfiles", "Every profile a device ever had", (*Server).profiles).by(readers()...),
		reading("/v1/devices/{id}/profiles/{profile}", "getIssued", "What was made for a profile: certificate and sealed profile", (*Server).issued).by(readers()...),
		reading("/v1/devices/{id}/code", "getCode", "Whether a device has an authorization code, and until when", (*Server).code).by(readers()...),
		reading("/v1/devices/{id}/timeline", "timeline", "What happened to a device", (*Server).timeline).by(readers()...).asks(seq, limit),
		reading("/v1/devices/{id}/transfers", "listTransfers", "A device's transfers", (*Server).history).by(readers()...),

		bulk("/v1/transfers", "requestTransfer", "Ask for devices with their owners' codes", (*Server).requestTransfer).by(asp),
		bulk("/v1/transfers/approve", "approveTransfer", "Let pending transfers happen at once", (*Server).approve).by(asp, operator),
		bulk("/v1/transfers/reject", "rejectTransfer", "End pending transfers of devices one has", (*Server).reject).by(asp, operator),
		bulk("/v1/transfers/cancel", "cancelTransfer", "Take back requests of one's own", (*Server).cancel).by(asp, operator),
		bulk("/v1/transfers/undo", "undoTransfer", "Take devices back to the provider before", (*Server).undo).by(asp, owner, operator),
		reading("/v1/transfers/incoming", "listIncoming", "Devices asked for and not decided", (*Server).incoming).by(asp).asks(after, limit),

		{method: post, path: "/v1/jobs", id: "submitJob", status: http.StatusAccepted, long: true, run: (*Server).submit,
			summary: "Submit a request for any number of devices: in JSON, with items as the last member, or a list in CSV with the rest in the query",
			in:      reflect.TypeFor[jobBody](), other: []string{typeCSV}, out: reflect.TypeFor[registry.Job](), query: submit,
			roles: []registry.Role{asp, operator}},
		reading("/v1/jobs", "listJobs", "Jobs", (*Server).jobs).asks(after, limit),
		reading("/v1/jobs/{id}", "getJob", "One job", (*Server).job),
		reading("/v1/jobs/{id}/results", "listJobResults", "Results of a job's devices, in their order", (*Server).jobResults).asks(from, many),
		{method: get, path: "/v1/jobs/{id}/events", id: "watchJob", summary: "The job now and whenever it changes, until it is done (server-sent events named job)",
			status: http.StatusOK, stream: typeEvents, run: (*Server).jobEvents, long: true},
		{method: http.MethodDelete, path: "/v1/jobs/{id}", id: "cancelJob", summary: "Stop a job", status: http.StatusOK,
			out: reflect.TypeFor[*registry.Job](), run: (*Server).cancelJob},

		reading("/v1/messages", "poll", "The caller's messages (RFC 5730 section 2.9.2.3)", (*Server).messages).asks(after, limit),
		telling(post, "/v1/messages/ack", "acknowledge", "Remove messages that are dealt with", (*Server).ack).anew(),

		reading("/v1/audit", "audit", "The sealed audit trail", (*Server).audit).by(operator, auditor).asks(seq, limit),
		reading("/v1/audit/head", "auditHead", "The trail's newest signed head", func(s *Server, c *call) (audit.Head, error) {
			return s.Registry.AuditHead(c.ctx, c.actor)
		}).by(operator, auditor),
		{method: get, path: "/v1/audit/export", id: "exportAudit", summary: "The trail and its head, for offline verification, as JSON lines",
			status: http.StatusOK, stream: typeLines, run: (*Server).exportAudit, long: true, query: []param{seq},
			roles: []registry.Role{operator, auditor}},
	}
}

// readers are the roles that can read a device.
func readers() []registry.Role {
	return []registry.Role{registry.RoleASP, registry.RoleOwner, registry.RoleMNO, registry.RoleOperator, registry.RoleAuditor}
}

func (rt *route) tagged() *route {
	rt.etag = true
	return rt
}

func (rt *route) matched() *route {
	rt.match = true
	return rt
}
