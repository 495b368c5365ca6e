// Package sdk is the Secure IoT Registry SDK: what registries and DNS did for
// domain names, done for the credentials of devices. The packages below it are
// the SDK; this one only tells how they fit together.
//
// # The life of a device
//
// A maker builds a device around an eUICC, which has a key of its own, and
// files the device ID and that key at the registry. A city buys a thousand of
// them. No cloud is built in. The city gives its list to a provider (ASP),
// which imports it: [github.com/iotregistry/sdk/registry] reads the list, holds
// it against the maker's claims and makes the provider the devices' sponsor.
//
// On activation the registry issues each device a certificate and an IoT
// profile (where the provider listens, the certificate, its key), seals the
// profile to the eUICC's key so that nobody else can open it, publishes the
// certificate as a DNSSEC-signed CERT record at
// <profile ID>.<device ID>.<zone>, and orders the delivery from the mobile
// operator (MNO). Issuing, sealing and opening are
// [github.com/iotregistry/sdk/profile]; names and records are
// [github.com/iotregistry/sdk/dane], signed zones
// [github.com/iotregistry/sdk/dane/publish]; the operator's side is
// [github.com/iotregistry/sdk/mno].
//
// The device opens the profile, asks the DNS, validated from the root, whether
// its own certificate is the published one and whether the provider's matches
// its TLSA records, and connects with mutual TLS. The provider asks the DNS the
// same about the device. The device's part is
// [github.com/iotregistry/sdk/profile/device]; a device with a runtime of its
// own imports only dane.
//
// Later the city draws authorization codes and gives them to another provider,
// which requests the transfer: [github.com/iotregistry/sdk/transfer]. New
// profiles go out, the devices connect elsewhere, and the old certificates
// leave the DNS. Its validated denial is what revocation looks like. Nobody
// touches a device.
//
// # The packages
//
//   - [github.com/iotregistry/sdk/dane]: certificates against CERT and TLSA
//     records; [github.com/iotregistry/sdk/dane/dnssec]: the validator under
//     it, with [github.com/iotregistry/sdk/dane/dnssec/doh] for DNS over HTTPS;
//     [github.com/iotregistry/sdk/dane/publish]: signed zones and their server;
//     [github.com/iotregistry/sdk/dane/danetest]: a signed world for tests.
//   - [github.com/iotregistry/sdk/profile]: IoT profiles, sealed and open;
//     [github.com/iotregistry/sdk/profile/euicc]: a simulated eUICC, also by
//     APDU;
//     [github.com/iotregistry/sdk/profile/iotsafe]: a client of the IoT SAFE
//     applet on a SIM, by [github.com/iotregistry/sdk/profile/iotsafe/atcsim]
//     through a modem or [github.com/iotregistry/sdk/profile/iotsafe/pcsc] through
//     a card reader; [github.com/iotregistry/sdk/profile/iotsafe/applet]: such an
//     applet, simulated;
//     APDU; [github.com/iotregistry/sdk/profile/euicc/tpmkeys]: its keys in a
//     TPM;
//     [github.com/iotregistry/sdk/profile/device]: the device's runtime;
//     [github.com/iotregistry/sdk/profile/profiletest]: checks for other keys.
//   - [github.com/iotregistry/sdk/mno]: orders, states, errors;
//     [github.com/iotregistry/sdk/mno/es2]: ES2+ of SGP.22;
//     [github.com/iotregistry/sdk/mno/es9]: ES9+ and a local profile assistant;
//     [github.com/iotregistry/sdk/mno/esipa]: ESipa of SGP.32, and the assistant
//     of devices without a user;
//     [github.com/iotregistry/sdk/mno/smdp]: an SM-DP+: its order book, and
//     bound profile packages for eUICCs;
//     [github.com/iotregistry/sdk/mno/smdp/smdpsql]: its orders in SQLite or
//     PostgreSQL;
//     [github.com/iotregistry/sdk/mno/smdp/smdptest]: checks for other stores;
//     [github.com/iotregistry/sdk/mno/eim]: an eIM, which has devices download and
//     enable profiles with nobody there;
//     [github.com/iotregistry/sdk/mno/eim/eimsql]: what it knows, in SQLite or
//     PostgreSQL;
//     [github.com/iotregistry/sdk/mno/eim/eimtest]: checks for other stores;
//     [github.com/iotregistry/sdk/mno/mnosim]: an operator in a box;
//     [github.com/iotregistry/sdk/mno/mnotest]: checks for other operators.
//   - [github.com/iotregistry/sdk/registry]: the engine;
//     [github.com/iotregistry/sdk/registry/eid]: device IDs;
//     [github.com/iotregistry/sdk/registry/audit]: the audit trail, sealed and
//     checked offline;
//     [github.com/iotregistry/sdk/registry/claim]: makers' signed files;
//     [github.com/iotregistry/sdk/registry/web]: its API over HTTP and the client;
//     [github.com/iotregistry/sdk/registry/memory],
//     [github.com/iotregistry/sdk/registry/sqlite] and
//     [github.com/iotregistry/sdk/registry/postgres]: where it keeps its records;
//     [github.com/iotregistry/sdk/registry/registrytest]: checks for other stores;
//     [github.com/iotregistry/sdk/registry/web/rdap]: who answers for a device;
//     [github.com/iotregistry/sdk/registry/web/limit]: how often an account may call;
//     [github.com/iotregistry/sdk/registry/web/metrics]: what Prometheus scrapes;
//     [github.com/iotregistry/sdk/registry/web/webhook]: telling accounts to fetch
//     their messages.
//   - [github.com/iotregistry/sdk/transfer]: how devices change providers.
//
// examples/ottawa runs all of it in one process.
//
// # What this does not protect you from
//
// Whoever can sign the registry's zone, or a zone above it, can say which
// certificates are good. A registry that makes the devices' keys has seen them.
// A withdrawn certificate is good until the caches have forgotten it: the TTL
// is the delay of revocation. Device IDs and profile IDs stand in the DNS for
// everybody to read.
//
// # Compatibility
//
// Before version 1 anything may change; the CHANGELOG says what did, and the
// golden texts in internal/api show it. Sealed profiles, profile documents and
// stored records carry a version from the start.
package sdk
