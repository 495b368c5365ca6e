package atcsim_test

import (
	"context"
	"fmt"
	"net"

	"github.com/iotregistry/sdk/profile/iotsafe"
	"github.com/iotregistry/sdk/profile/iotsafe/applet"
	"github.com/iotregistry/sdk/profile/iotsafe/atcsim"
)

// A device and a modem that cuts long lines, joined by a pipe. On Linux OpenSerial
// and OpenPTY give the two ends.
func Example() {
	ctx := context.Background()
	card, _ := applet.New(applet.Config{Objects: []applet.Object{applet.File{ID: []byte{2}, Data: make500()}}})
	device, modem := net.Pipe()
	go func() { _ = atcsim.Serve(ctx, modem, card, atcsim.ServeOptions{Cut: 256}) }()

	line := atcsim.NewClient(device, atcsim.Options{})
	defer line.Close()
	client, err := iotsafe.Open(ctx, line, iotsafe.Options{})
	if err != nil {
		fmt.Println(err)
		return
	}
	file, err := client.ReadFile(ctx, iotsafe.Container(2))
	fmt.Println(len(file), "bytes in chunks of", client.Quirks().Chunk, err)
	// Output: 500 bytes in chunks of 120 <nil>
}

func make500() []byte {
	b := make([]byte, 500)
	b[0] = 1
	return b
}
