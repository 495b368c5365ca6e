package es2_test

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"time"

	"github.com/iotregistry/sdk/mno"
	"github.com/iotregistry/sdk/mno/es2"
	"github.com/iotregistry/sdk/mno/smdp"
	"github.com/iotregistry/sdk/registry/eid"
)

// The registry's end of ES2+. The certificate is the one the operator knows.
func ExampleClient() {
	var cert tls.Certificate // tls.LoadX509KeyPair("registry.pem", "registry.key")
	operator := &es2.Client{
		BaseURL:   "https://smdp.example.net:8443",
		Requester: "1.3.6.1.4.1.99999.1",
		HTTP: &http.Client{Timeout: 10 * time.Second, Transport: &http.Transport{
			TLSClientConfig: &tls.Config{Certificates: []tls.Certificate{cert}}, ForceAttemptHTTP2: true}},
	}
	meter, err := eid.Parse("89049032123451234512345678901235")
	if err != nil {
		fmt.Println(err)
		return
	}
	// Refused before anything is sent: the order says no profile type.
	_, err = operator.Order(context.Background(), mno.Order{Device: meter, ProfileID: 11, Sealed: []byte("sealed")})
	fmt.Println(err)
	// Output:
	// mno: function (1.6): conditional element missing (2.3): set ProfileType, or ICCID
}

// The operator's end of ES2+, over an order book in memory.
func ExampleNewHandler() {
	book, err := smdp.New(smdp.Config{Address: "smdp.example"})
	if err != nil {
		fmt.Println(err)
		return
	}
	// A real server has ClientAuth: tls.RequireAndVerifyClientCert instead.
	server := httptest.NewTLSServer(es2.NewHandler(book, &es2.Options{AllowNoClientCertificate: true}))
	defer server.Close()
	client := &es2.Client{BaseURL: server.URL, HTTP: server.Client(), Requester: "registry"}

	iccid, err := client.DownloadOrder(context.Background(), mno.Order{ProfileType: "iot"})
	fmt.Println(len(iccid), err)
	err = client.ReleaseProfile(context.Background(), iccid)
	fmt.Println(errors.Is(err, mno.ErrInvalidTransition))
	// Output:
	// 19 <nil>
	// true
}
