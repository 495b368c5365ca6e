package main

import (
	"encoding/json"
	"fmt"
	"io"
)

// where says where everything is: the line that a start prints.
type where struct {
	Zone      string `json:"zone"`
	API       string `json:"api"`
	DNS       string `json:"dns"`
	Metrics   string `json:"metrics,omitempty"`
	Data      string `json:"data"`
	CA        string `json:"ca,omitempty"`
	CASHA256  string `json:"ca_sha256,omitempty"`
	TokenFile string `json:"token_file"`
	Anchor    string `json:"anchor"`
	AuditKey  string `json:"audit_key"`
}

func (w *where) print(out io.Writer, asJSON bool) error {
	if asJSON {
		return json.NewEncoder(out).Encode(w)
	}
	text := fmt.Sprintf("registry of %s: API %s, DNS %s (UDP, TCP)", w.Zone, w.API, w.DNS)
	if w.Metrics != "" {
		text += ", metrics " + w.Metrics
	}
	if w.CA != "" {
		text += fmt.Sprintf("; CA %s (SHA-256 %s)", w.CA, w.CASHA256)
	}
	_, err := fmt.Fprintf(out, "%s; token %s\n", text, w.TokenFile)
	return err
}
