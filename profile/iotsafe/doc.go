// Package iotsafe is the client of the GSMA IoT SAFE applet (IoT.05) on a SIM or
// eUICC, for those who build devices: it makes the card's key a crypto.Signer and
// reads the profile that the registry has put there.
//
//	modem, err := atcsim.OpenSerial("/dev/ttyUSB2", 115200)
//	card, err := iotsafe.Open(ctx, atcsim.NewClient(modem, atcsim.Options{}), iotsafe.Options{})
//	profile, err := card.Profile(ctx)
//	conn, err := tls.Dial("tcp", profile.Address(), profile.TLSConfig())
//
// The card is reached through a [Transport]. Package atcsim below this one speaks
// AT+CSIM to a modem, package pcsc to a card reader.
//
// # Cards differ
//
// IoT.05 leaves room, and cards and modems use it: IDs of one to four bytes, two
// classes of commands, three ways to write a signature, padded files, random bytes
// that are zeros when too many are asked for, answers that a modem cuts. [Open]
// and the calls after it find out; [Client.Quirks] says what was found, which is
// the first thing to put into a report about a card.
//
// # What the card cannot prove
//
// Everything that is read is checked against the certificates on the card itself.
// That they are the registry's is for the DNS to say: package profile/device and
// package dane do that.
//
// # When the registry changes the profile
//
// The registry can write to the card at any time. The card then says so in its
// next answer, and the call fails with [ErrChanged]: read the profile again.
package iotsafe
