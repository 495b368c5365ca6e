// Package smdp is an SM-DP+ in two parts.
//
// The order book, [Engine], takes ES2+ orders, gives out ICCIDs and matching IDs,
// keeps one state per profile (GSMA SGP.22 section 3.1.6), finds the order a
// device may download, and reports progress to the operator that ordered. Make it
// with [New] and mount es2.NewHandler over it; in one process,
// [Engine.Operator] gives the same orders without a network. It needs no
// certificates.
//
// Towards devices, [Server] is the es9.Backend of that order book: eUICCs prove
// themselves, are offered their order, and get it bound to a one-time key of
// theirs (sections 3.1, 5.6 and annex G). Make it with [NewServer]. An order's
// package is the operator's own, or a small one made here; either has the sealed
// IoT profile in an element of its own (PE-NonStandard, issuer [DefaultIssuer]
// unless set otherwise), which the card's IoT security applet looks for.
//
// Orders live in a [Store] with compare-and-swap records, so that several
// engines may share one; [Memory] keeps them in the process and forgets them
// with it, package smdpsql keeps them in SQLite or PostgreSQL. What becomes of an
// order is recorded before a device hears of it. Sessions are kept by each Server
// for itself: several behind one name need each device's requests at the same one
// for the minutes that a download takes.
//
// [Engine.Deliver] and [Engine.Finish] are the same delivery without ES9+. They
// do not authenticate devices: whoever calls them must have done so, or rely, as
// the registry does for delivery, on the seal.
package smdp
