// Package web is the registry's JSON API over HTTP: [Server] is the handler,
// [Client] its other side, and [OpenAPI] describes both.
//
//	srv, err := web.New(web.Config{Registry: reg, Transfers: svc})
//	http.Server{Handler: srv, TLSConfig: srv.TLSConfig(base), ...}
//
//	c := &web.Client{BaseURL: "https://api.iotregistry.ca", Token: token}
//	results, err := c.Import(ctx, registry.Import{Owner: "ottawa", MNO: "telco", Rows: rows})
package web
