package registry_test

import (
	"context"
	"fmt"
	"testing"

	"github.com/iotregistry/sdk/registry"
)

// A provider registers an owner's devices, brings them into service, and takes
// no device over without its owner's code. File, New and PutAccount, which came
// before, are in newBench; the results' errors are left out here.
func ExampleRegistry() {
	b := newBench(&testing.T{})
	ctx, reg := context.Background(), b.reg
	rows := b.claim(2)

	_, err := reg.Import(ctx, parko, registry.Import{Owner: "ottawa", MNO: "telco", Rows: rows, Atomic: true})
	fmt.Println("import", err)
	results, err := reg.Activate(ctx, parko, registry.Options{}, rows[0].ID, rows[1].ID)
	fmt.Println("activate", results[0].ProfileID, results[1].ProfileID, err)
	_, err = reg.Confirm(ctx, parko, registry.Confirmation{Device: rows[0].ID, ProfileID: 11})
	fmt.Println("confirm", err)

	codes, err := reg.IssueCodes(ctx, city, rows[0].ID)
	fmt.Println("code", codes[0].Code, err)
	moves := []registry.Move{{Device: rows[0].ID, Code: codes[0].Code}, {Device: rows[1].ID, Code: codes[0].Code}}
	results, err = reg.Move(ctx, carPark, moves, registry.MoveOptions{})
	fmt.Println("move", results[0].ProfileID, err)
	fmt.Println("move", results[1].Err, registry.Code(results[1].Err))
	// Output:
	// import <nil>
	// activate 11 12 <nil>
	// confirm <nil>
	// code ***** <nil>
	// move 13 <nil>
	// move registry: move 1000000000000002: authorization code refused: it is wrong, expired, used or was never set; ask the owner for a new one 2202
}
