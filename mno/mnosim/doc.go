// Package mnosim is a mobile network operator in a box, for tests, examples and
// demonstrations: an SM-DP+ that takes orders over ES2+, delivers sealed IoT
// profiles to devices, and reports progress back to the registry.
//
// Make an [Operator] with [New] and mount [Operator.Handler] (ES2+) on an HTTPS
// server with mutual TLS, and [Operator.DeviceHandler] on one with server
// authentication only. Devices use the [Device] client.
//
// # The device side is a seam, not ES9+
//
// Devices fetch their profiles by two plain HTTPS calls:
//
//	POST /iotregistry/v1/download   {"deviceId": "...", "afterProfileId": 11}
//	  -> 200 {"iccid", "matchingId", "profileId", "sealed"}, or 204: nothing new
//	POST /iotregistry/v1/installed  {"deviceId", "profileId", "ok", "error"}
//	  -> 204: the registry has the news; anything else: say it again
//
// This does NOT authenticate the device. Whoever knows a device ID can fetch
// its sealed profile, which only that device's eUICC can open, and can report an
// installation that did not happen or failed. The seal protects the profile; it
// does not protect the order's state. ES9+ (package es9) with the eUICC's
// signed notifications replaces this seam. Do not run it as an operator.
package mnosim
