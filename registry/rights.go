package registry

// Actor is who makes a call, as the front that authenticated it says. Every
// call names one; there is no ambient identity.
type Actor struct {
	Account string
	Role    Role

	// Key is the call's idempotency key, at most 255 bytes. A call that changes
	// something and is made again with the same key, by the same account and
	// with the same content, gets the answer of the first and changes nothing
	// more, also after a restart and for RequestTTL; with other content it is
	// refused with ErrKeyReused. Where nothing was done the first time, it is
	// judged again. Keys of jobs and of other calls do not know of each other. Empty
	// means that every call is a new one.
	Key string
}

// itself is the registry where nobody asked it: the actor of deadlines and of
// what follows from what others did.
var itself = Actor{Role: RoleOperator}

// The operations that rights knows, also used as Error.Op and in the audit trail.
const (
	opAccount  = "account"
	opAudit    = "audit"
	opClaim    = "claim"
	opImport   = "import"
	opJob      = "job"
	opActivate = "activate"
	opReset    = "reset"
	opSwitch   = "switch"
	opStatus   = "status"
	opDelete   = "delete"
	opRestore  = "restore"
	opConfirm  = "confirm"
	opMove     = "move"
	opCode     = "authorization code"
	opPoll     = "poll"
	opProgress = "progress"
	opRead     = "read"
	opRun      = "run"
	opEnroll   = "enroll"
	opForget   = "forget card key"

	// Of package transfer.
	opApprove = "approve"
	opReject  = "reject"
	opCancel  = "cancel"
	opUndo    = "undo"

	opDue = "server approve" // nobody does it; a deadline does
)

// scope is which devices a role may do an operation on.
type scope int

const (
	none   scope = iota
	theirs       // those that are the account's: see Device.of
	all
)

// rights is the only place that says who may do what, so that fronts cannot
// disagree.
var rights = map[string]map[Role]scope{
	opAccount:  {RoleOperator: all},
	opAudit:    {RoleOperator: all, RoleAuditor: all},
	opClaim:    {RoleMaker: theirs},
	opImport:   {RoleASP: theirs},
	opActivate: {RoleASP: theirs, RoleOperator: all},
	opReset:    {RoleASP: theirs, RoleOperator: all},
	opSwitch:   {RoleASP: theirs, RoleOperator: all},
	opStatus:   {RoleASP: theirs, RoleOperator: all},
	opDelete:   {RoleASP: theirs, RoleOperator: all},
	opRestore:  {RoleASP: theirs, RoleOperator: all},
	opConfirm:  {RoleASP: theirs},
	opMove:     {RoleASP: all}, // the code decides
	opApprove:  {RoleASP: theirs, RoleOperator: all},
	opReject:   {RoleASP: theirs, RoleOperator: all},
	opCancel:   {RoleASP: all, RoleOperator: all}, // whose request it is decides
	opUndo:     {RoleASP: theirs, RoleOwner: theirs, RoleOperator: all},
	opCode:     {RoleOwner: theirs},
	opProgress: {RoleMNO: theirs},
	opPoll:     {RoleOperator: theirs, RoleASP: theirs, RoleOwner: theirs, RoleMNO: theirs, RoleMaker: theirs, RoleAuditor: theirs},
	opRead:     {RoleASP: theirs, RoleOwner: theirs, RoleMNO: theirs, RoleOperator: all, RoleAuditor: all},
	opRun:      {RoleOperator: all},
	opForget:   {RoleASP: theirs, RoleOperator: all},
	opEnroll:   {}, // no account: the device itself, by its certificate
}

// may reports why actor may not do op on d; d is nil where no device is known
// yet or the operation is about none.
func may(actor Actor, op string, d *Device) error {
	s := rights[op][actor.Role]
	if s == all || s == theirs && (d == nil || d.of(actor)) {
		return nil
	}
	if d != nil && !mayRead(actor, d) {
		return ErrNotFound // whom a device belongs to is nobody else's business
	}
	return ErrForbidden
}

func mayRead(actor Actor, d *Device) bool {
	s := rights[opRead][actor.Role]
	return s == all || s == theirs && d.of(actor)
}

// of reports whether the device is the actor's, in the way of its role.
func (d *Device) of(actor Actor) bool {
	switch actor.Role {
	case RoleASP:
		return d.Sponsor == actor.Account
	case RoleOwner:
		return d.Owner == actor.Account
	case RoleMNO:
		return d.MNO == actor.Account
	}
	return false
}
