package audit_test

import (
	"bytes"
	"crypto"
	"crypto/ed25519"
	"errors"
	"fmt"
	"time"

	"github.com/iotregistry/sdk/registry/audit"
)

func Example() {
	public, private, _ := ed25519.GenerateKey(nil)
	now := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)

	// The registry seals what it does, and signs now and then.
	var chain audit.Chain
	var export []byte
	for _, op := range []string{"import", "activate", "transfer"} {
		entry, err := audit.Entry{Time: now, Actor: "parkoserv", Role: "asp", Op: op, Device: "1000000000000001"}.Encode()
		if err != nil {
			fmt.Println(err)
			return
		}
		line := chain.Append(entry)
		export = append(line.AppendJSON(export), '\n')
	}
	head := chain.Head("iotregistry.ca", now)
	if err := head.Sign(nil, private); err != nil {
		fmt.Println(err)
		return
	}
	export = append(head.AppendJSON(export), '\n')

	// An auditor checks the file, with the key and nothing else.
	v := audit.Verifier{Log: "iotregistry.ca", Keys: []crypto.PublicKey{public}, RequireHead: true}
	report, err := v.Verify(bytes.NewReader(export))
	fmt.Println(report.Lines, "entries, signed through", report.SignedThrough, err)

	tampered := bytes.Replace(export, []byte("activate"), []byte("transfer"), 1)
	_, err = v.Verify(bytes.NewReader(tampered))
	fmt.Println(errors.Is(err, audit.ErrChain), err)

	// Who kept a head also sees that the end was cut off.
	v = audit.Verifier{Log: "iotregistry.ca", AtLeast: report.Head}
	_, err = v.Verify(bytes.NewReader(export[:bytes.IndexByte(export, '\n')]))
	fmt.Println(errors.Is(err, audit.ErrTruncated))
	// Output:
	// 3 entries, signed through 3 <nil>
	// true audit: line 2: entry 2: hash differs from the computed one: this entry or one before it was changed
	// true
}
