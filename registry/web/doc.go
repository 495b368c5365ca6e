// Package web is the registry's JSON API over HTTP: [Server] is the handler,
// [Client] its other side, and [OpenAPI] describes both.
//
//	api, err := web.New(web.Config{Registry: reg, Transfers: svc})
//	server := &http.Server{Handler: api, TLSConfig: api.TLSConfig(base), ReadHeaderTimeout: 10 * time.Second, ...}
//
//	c := &web.Client{BaseURL: "https://api.iotregistry.ca", Token: token}
//	results, err := c.Import(ctx, registry.Import{Owner: "ottawa", MNO: "telco", Rows: rows})
//
// # What holds for every call
//
// Callers prove themselves by a bearer token (RFC 6750) or, where they send none,
// the key of their TLS client certificate, by which a page of another site in a
// browser cannot change anything. Devices have one route of their own, /v1/enroll, and
// prove themselves by the TLS client certificate of their current profile. Bulk calls answer 200 with one result per item, in their
// order, also where items are refused; what is refused as a whole is a problem
// document (RFC 9457) with the engine's kind and its EPP result code, which the
// client turns into the engine's error again. The header Idempotency-Key makes a
// call repeatable ([registry.Actor]). A device's ETag is its revision.
//
// Requests are bounded in bytes and shape, bulk calls to 100,000 items, and members that are not in the
// document are refused. Lists come in pages: "next" of an answer is "after" of
// the following request. What is too much for one call is a job.
//
// # What this does not protect from
//
// Tokens travel as they are: serve TLS only. Behind a proxy that ends TLS, client
// certificates do not arrive. Config.Strangers bounds refused credentials, not
// connections and not the three routes that are everybody's: those are for a proxy
// to slow down. Idempotency keys do not keep
// a repeated call from drawing new authorization codes, or from making another
// token.
package web
