// Package esipa is ESipa, the interface between the IoT profile assistant of a
// device and an eIM (GSMA SGP.32 version 1.2, sections 5.14, 6.1 and 6.3), in its
// ASN.1 binding over HTTPS.
package esipa
