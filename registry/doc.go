// Package registry is the registry's engine: it knows accounts, devices, their
// sponsors and their profiles, and carries a fleet from an owner's list to
// published, delivered profiles, and from one provider to the next.
//
//	reg, err := registry.New(registry.Config{Zone: "iotregistry.ca", Store: store, ...})
//	results, err := reg.Import(ctx, asp, registry.Import{Owner: "ottawa", MNO: "telco", Rows: rows})
//	results, err = reg.Activate(ctx, asp, registry.Options{}, ids...)
//
// Every call names its [Actor]; one table says who may do what. Calls work on
// batches and give one result per device. A call with an idempotency key may be
// made again, also after a restart: what a batch did and the answer to it are
// committed together. [Registry.Submit] makes a job of a batch of any size, which
// any number of processes carry out with [Registry.Run].
//
// What a call began and a crash interrupted, [Registry.Resume] and Run finish:
// each step is recorded before it acts on the zone or the operator and after,
// and each may be repeated without harm. Deadlines take effect on read, at their
// time, whether or not a process is awake.
//
// What happened is written in the transaction in which it happens: as an entry of
// the audit trail, a hash chain with signed heads that package audit checks
// offline, and as messages to those concerned ([Registry.Messages]).
//
// Package transfer adds the procedure by which devices change providers, package
// claim reads makers' signed files, and package web puts all of it on HTTPS. The
// sub-packages memory, sqlite and postgres keep the records; registrytest checks
// them and stores of your own.
//
// # What this does not protect from
//
// The engine believes the [Actor] it is given; authenticate callers before, for
// instance with [Registry.Authenticate]. It makes devices' private keys and
// forgets them, so whoever runs the process could keep them; not those of devices
// whose cards make them, of which it sees certificate requests only
// ([Claim], [Registry.Enroll]). The store sees no
// codes, tokens or private keys, but who can write to it can move devices, and
// rewrite what the audit trail says since the newest head that somebody else has
// kept.
package registry
