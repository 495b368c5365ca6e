// Package smdp is the order book of an SM-DP+: it takes ES2+ orders, gives out
// ICCIDs and matching IDs, keeps one state per profile (GSMA SGP.22 section
// 3.1.6), finds the order a device may download, and reports progress to the
// operator that ordered.
//
// Make an [Engine] with [New] and mount es2.NewHandler over it; in one process,
// [Engine.Operator] gives the same orders without a network. The delivery side
// is [Engine.Deliver] and [Engine.Finish]: the SM-DP+'s own protocol towards
// devices calls them.
//
// Orders live in a [Store] with compare-and-swap records, so that several
// engines may share one; [Memory] keeps them in the process and forgets them
// with it.
//
// The engine does not authenticate devices: whoever calls Deliver and Finish
// must have done so, or rely, as the registry does for delivery, on the seal.
package smdp
