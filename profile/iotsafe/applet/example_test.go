package applet_test

import (
	"context"
	"fmt"
	"testing"

	"github.com/iotregistry/sdk/profile/iotsafe/applet"
)

// A card with a device's IoT profile, as CIRA's prototype lays it out. A client
// selects the applet and reads where the provider is; then the registry replaces
// the profile, and the next command tells.
func ExampleApplet() {
	t := new(testing.T)
	w := newWorld(t)
	objects, _ := applet.CIRA(w.profile, applet.CIRAOptions{Issuer: w.issuer})
	card, err := applet.New(applet.Config{Objects: objects})
	fmt.Println(err)

	read := func() {
		response, err := card.Transmit(context.Background(), []byte{0x00, 0xB0, 0x00, 0x00, 0x03, 0x83, 0x01, 0x08, 0x00})
		n := len(response) - 2
		fmt.Printf("%s %X %v\n", response[:n], response[n:], err)
	}
	sel := []byte{0x00, 0xA4, 0x04, 0x00, 0x07, 0xA0, 0x00, 0x00, 0x05, 0x59, 0x00, 0x10}
	response, err := card.Transmit(context.Background(), sel)
	fmt.Printf("%X %v\n", response, err)
	read()

	w.profile.Host = "carparkserv.ca"
	objects, _ = applet.CIRA(w.profile, applet.CIRAOptions{Issuer: w.issuer})
	fmt.Println(card.Update(objects...))
	read()
	read()
	// Output:
	// <nil>
	// 9000 <nil>
	// {"url":"parkoserv.ca","port":443} 9000 <nil>
	// <nil>
	// {"url":"carparkserv.ca","port":443} 63CF <nil>
	// {"url":"carparkserv.ca","port":443} 9000 <nil>
}

// A key that the card makes: the registry gets a certification request.
func ExampleApplet_GenerateKey() {
	card, _ := applet.New(applet.Config{})
	_, err := card.GenerateKey(context.Background(), []byte{1})
	fmt.Println(err)
	request, err := card.CSR([]byte{1}, "11.1000000000000001.iotregistry.ca")
	fmt.Println(len(request) > 0, err)
	// Output:
	// <nil>
	// true <nil>
}
