// Package profile makes, seals and opens IoT profiles: what a device needs to
// reach its provider, in a form that only the device's eUICC can read.
//
// The registry has an [Authority], which issues the device's certificate and
// seals the profile to the eUICC's key:
//
//	der, err := authority.Issue(profile.Request{Name: name, PublicKey: pub, NotAfter: end})
//	sealed, err := authority.Seal(euiccKey, p)
//
// The device takes the sealed profile from its operator and opens it:
//
//	s, err := profile.ParseSealed(bytes)
//	p, err := s.Open(key, profile.OpenOptions{Device: id, Trust: trust})
//
// A seal is RFC 9180 HPKE to the eUICC's key-agreement key under a signature of
// the registry. Device, profile ID and registry are bound into both, so whoever
// carries a sealed profile can neither read it, nor give it to another device,
// nor bring an old one back.
//
// # What this does not protect from
//
// A registry that makes device keys has seen them; let the card make its key
// where it can. Whoever holds the eUICC's key-agreement key can open every
// profile ever sealed to it: HPKE's single-shot mode has no forward secrecy
// towards the recipient. Choose a hybrid ML-KEM key where profiles that are
// recorded today must not open once quantum computers exist.
package profile
