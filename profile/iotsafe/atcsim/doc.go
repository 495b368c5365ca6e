// Package atcsim carries APDUs over AT commands to the SIM in a modem: AT+CSIM of
// 3GPP TS 27.007 section 8.17. [Client] is the side of a device, [Serve] that of a
// modem, for which a simulated card can stand behind a pseudo-terminal.
//
//	port, err := atcsim.OpenSerial("/dev/ttyUSB2", 115200)
//	card, err := iotsafe.Open(ctx, atcsim.NewClient(port, atcsim.Options{}), iotsafe.Options{})
//
// Modems differ, and their lines get lost, repeated and mixed with others. The
// client takes a line for an answer only where it must be one; it uses the modem's
// echo, where there is one, to tell answers to its command from late ones.
package atcsim
