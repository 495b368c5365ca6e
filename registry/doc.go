// Package registry is the registry's engine: it knows devices, their sponsors
// and their profiles, and carries a fleet from an owner's list to published,
// delivered profiles, and from one provider to the next.
//
//	reg, err := registry.New(registry.Config{Zone: "iotregistry.ca", Store: store, ...})
//	results, err := reg.Import(ctx, asp, registry.Import{Owner: "ottawa", MNO: "telco", Rows: rows})
//	results, err = reg.Activate(ctx, asp, ids...)
//
// Calls work on batches and give one result per device. Every call names its
// actor. What a call began and a crash interrupted, [Registry.Resume] finishes:
// each step is recorded before it acts on the zone or the operator and after,
// and each may be repeated without harm.
//
// Package transfer adds the procedure by which devices change providers. The
// sub-packages memory, sqlite and postgres keep the records; registrytest checks
// them and stores of your own.
//
// # What this does not protect from
//
// The engine believes the [Actor] it is given; authenticate callers before. It
// makes devices' private keys and forgets them, so whoever runs the process
// could keep them. The store sees no codes and no private keys, but who can
// write to it can move devices.
package registry
