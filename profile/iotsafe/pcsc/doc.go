// Package pcsc carries APDUs to a card in a reader, by the daemon pcscd of Linux
// (pcsc-lite), without its C library.
//
//	card, err := pcsc.Open(ctx, pcsc.Options{})
//	client, err := iotsafe.Open(ctx, card, iotsafe.Options{})
//
// It speaks the daemon's own protocol over its socket, version 4.4, which the
// daemons from 1.8.24 on and all of 2.x take. Numbers in it have the byte order and
// width of the machine's C compiler; that is the same on all machines that Go and
// pcscd both run on. Other systems have no such socket: [Open] says that it cannot
// be reached.
package pcsc
