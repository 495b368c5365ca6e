// Package publish puts DNS records where validators find them, signed.
//
// A [Publisher] applies change sets. [Zone] is the one that lives in this
// process: it signs what it is given (RFC 4033 to 4035), proves what is not
// there with NSEC, and keeps its signatures fresh for as long as it runs.
// [Listen] serves zones over UDP and TCP; [Authority] answers for them without
// sockets.
//
// The two calls most people need are [NewZone] and [Listen]:
//
//	zone, err := publish.NewZone(publish.ZoneConfig{Origin: "iotregistry.ca.", Keys: keys})
//	server, err := publish.Listen("127.0.0.1:0", zone)
//	receipt, err := zone.Publish(ctx, publish.ChangeSet{Add: records})
//
// What this package does not protect from: NSEC lets anyone who may ask list
// every name of a zone; a zone lives in memory, and whoever owns its records
// publishes them again after a restart; whoever holds the process holds the
// signing keys, unless they are behind a hardware [crypto.Signer]; there is no
// response-rate limit, so an open network needs one in front.
package publish
