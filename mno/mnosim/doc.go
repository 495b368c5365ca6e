// Package mnosim is a mobile network operator in a box, for tests, examples and
// demonstrations: an SM-DP+ that takes orders over ES2+, delivers sealed IoT
// profiles to eUICCs over ES9+, and reports progress back to the registry; an eIM
// that has devices come for them over ESipa (GSMA SGP.32); and the PKI that
// SM-DP+ and eUICCs have their certificates of.
//
// Make an [Operator] with [New] and mount [Operator.Handler] (ES2+) on an HTTPS
// server with mutual TLS, and [Operator.DeviceHandler] (ES9+) and
// [Operator.EIMHandler] (ESipa) on one each with server authentication only.
// [Operator.EUICC] certifies the eUICCs that are to be served, such as those of
// package profile/euicc.
//
// What it says on its interfaces is what packages es2, smdp, es9, eim and esipa
// say: only the PKI is played, is new in each process, and is trusted by nobody
// else. [Operator.Inject] makes trouble on the way.
package mnosim
