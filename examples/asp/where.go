package main

import (
	"encoding/json"
	"fmt"
	"io"
	"strings"
)

// where says where everything is: what a start prints.
type where struct {
	Host   string   `json:"host"`
	Zones  []string `json:"zones"`
	HTTPS  string   `json:"https,omitempty"`
	MQTT   string   `json:"mqtt,omitempty"`
	Status string   `json:"status,omitempty"`
	Data   string   `json:"data"`
	TLSA   []string `json:"tlsa"` // to publish in the zone of the host
}

func (w *where) print(out io.Writer, asJSON bool) error {
	if asJSON {
		return json.NewEncoder(out).Encode(w)
	}
	var parts []string
	for _, p := range []struct{ name, addr string }{{"HTTPS ", w.HTTPS}, {"MQTT ", w.MQTT}, {"status ", w.Status}} {
		if p.addr != "" {
			parts = append(parts, p.name+p.addr)
		}
	}
	_, err := fmt.Fprintf(out, "asp %s for devices of %s: %s; publish %s\n",
		w.Host, strings.Join(w.Zones, ", "), strings.Join(parts, ", "), strings.Join(w.TLSA, " and "))
	return err
}
