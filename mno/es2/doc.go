// Package es2 is the ES2+ interface between an operator, here the registry,
// and an SM-DP+, in the JSON binding over HTTPS (GSMA SGP.22 v2.5, sections
// 5.3 and 6.5.2): a [Client] and an http.Handler for either direction.
//
// The registry uses [Client], which is a [mno.Operator]: its Order places and
// confirms an order in two calls. An SM-DP+ mounts [NewHandler] over its order
// book (package smdp has one). Progress comes back the other way: the SM-DP+
// calls [Client.HandleDownloadProgressInfo], the registry mounts
// [NewProgressHandler].
//
// # Extension members
//
// ES2+ has no member for a payload of ours, and names devices by EID only. The
// sealed IoT profile therefore travels in members that the standard does not
// know and that a standard SM-DP+ ignores:
//
//	iotDeviceId       the device ID where it is no EID (else eid)
//	iotProfileId      the registry's number of the IoT profile, a JSON number
//	iotSealedProfile  the sealed IoT profile, standard base64
//
// All three appear in DownloadOrder, iotDeviceId also in ConfirmOrder,
// CancelOrder and, with iotProfileId, in HandleDownloadProgressInfo. An SM-DP+
// that ignores them delivers no IoT profile and is not idempotent by profile
// ID; for such a one the sealed profile has to be put into the profile package
// itself, which this package does not do yet.
//
// # What it does not protect from
//
// Peers are authenticated by mutual TLS, which the program configures: give the
// http.Client a certificate, and the http.Server ClientAuth =
// tls.RequireAndVerifyClientCert. The handlers refuse requests without a
// verified client certificate, but which certificate may speak for which
// functionRequesterIdentifier is for [Options].Authorize to say.
package es2
