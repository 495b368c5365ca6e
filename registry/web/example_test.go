package web_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/iotregistry/sdk/registry"
	"github.com/iotregistry/sdk/registry/web"
)

// A registry is served over HTTP. Registry and Transfers come from registry.New
// and transfer.New.
func ExampleServer() {
	b := newBench(&testing.B{})
	defer b.front.Close()
	api, err := web.New(web.Config{Registry: b.reg, Transfers: b.svc})
	if err != nil {
		fmt.Println(err)
		return
	}
	server := &http.Server{
		Handler: api, TLSConfig: api.TLSConfig(nil),
		ReadHeaderTimeout: 10 * time.Second, ReadTimeout: 2 * time.Minute, WriteTimeout: 2 * time.Minute, MaxHeaderBytes: 16 << 10,
	}
	w := httptest.NewRecorder()
	server.Handler.ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/healthz", nil))
	fmt.Print(w.Code, " ", w.Body)
	// Output: 200 {"status":"ok"}
}

// A provider brings a list of devices into service: one job imports them, and
// what was refused is known by device.
func ExampleClient() {
	b := newBench(&testing.B{})
	defer b.front.Close()
	b.claim(1, 2)
	ctx := context.Background()

	c := &web.Client{BaseURL: b.front.URL, Token: b.tokens["parkoserv"]}
	list := "Device ID,Model,Version\n1000000000000001,Meter,1.0\n1000000000000002,Meter,1.0\n77,Meter,1.0\n"
	job, err := c.SubmitCSV(ctx, registry.Batch{Op: registry.OpImport, Owner: "ottawa", MNO: "telco"}, strings.NewReader(list))
	if err != nil {
		fmt.Println(err)
		return
	}
	b.work() // which a running registry does by itself
	for j, err := range c.WatchJob(ctx, job.ID) {
		if err != nil {
			fmt.Println(err)
			return
		}
		fmt.Println(j.State, j.Done, "of", j.Total)
	}
	for result, err := range c.JobResults(ctx, job.ID, 0) {
		if err != nil {
			fmt.Println(err)
			return
		}
		fmt.Println(result.Line, result.Device, errors.Is(result.Err, registry.ErrNoKey))
	}
	// Output:
	// done 3 of 3
	// 2 1000000000000001 false
	// 3 1000000000000002 false
	// 4 77 true
}
