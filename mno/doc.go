// Package mno holds the nouns of the operator side of the registry: an
// [Order] for one device's sealed IoT profile, the [Receipt] a mobile network
// operator gives for it, the [State] its SM-DP+ keeps, the [Progress] it
// reports back, and the [StatusError] it refuses with.
//
// The two calls most people need are the two methods of [Operator]. Package
// es2 implements it against a remote SM-DP+ over ES2+ (GSMA SGP.22 section
// 5.3), package smdp is such an SM-DP+'s order book, and package mnosim is a
// whole operator in a box for tests and demonstrations. Package mnotest holds
// the cases every Operator must pass.
//
// The package does not look into a sealed profile: secrecy and the binding to
// one device, one profile ID and one registry are the seal's own (package
// profile). An operator can still withhold, delay or reorder what it carries,
// and can lie about progress: only a device that connects proves that its
// profile arrived.
package mno
