// Package danetest gives tests a small DNS world of their own: signed zones
// from a private root down, a clock that stands still until told otherwise, and
// faults to switch on per question.
//
// The two calls most tests need are [NewWorld] and [World.Add]:
//
//	w := danetest.NewWorld(t, danetest.Config{})
//	w.Add(`_443._tcp.parkoserv.ca. 300 TLSA 3 1 1 ` + digest)
//	resolver := &dnssec.Resolver{Exchanger: w, Now: w.Now, Anchors: …w.Anchor()…}
//
// A World answers in process through [World.Exchange], and over UDP and TCP on
// loopback at [World.Addr]; the faults of [World.Inject] apply to both. It is
// made of the servers and signers of package publish, so what it serves is what
// production serves. It works under testing/synctest when used in process.
//
// What it does not do: it answers with authority for all of its zones at one
// address, as a stub validator's upstream would, and simulates no resolver's
// cache.
package danetest
