package es9

import "context"

// The functions of ES9+ (SGP.22 section 5.6). Fields of type []byte hold DER
// objects with their tags, exactly as they were sent or are to be sent:
// signatures run over those bytes.

// InitiateAuthentication begins a session (SGP.22 section 5.6.1).
type InitiateAuthentication struct {
	Challenge   []byte // of the eUICC, 16 bytes without a tag
	Info1       []byte // EUICCInfo1, BF20
	SMDPAddress string // name the device believes it talks to; may have a port
}

// Authentication is the SM-DP+'s side of mutual authentication.
type Authentication struct {
	TransactionID []byte // 1 to 16 bytes
	ServerSigned1 []byte // 30
	Signature1    []byte // 5F37, over ServerSigned1
	CIKeyID       []byte // 04: the CI key that the eUICC is to verify the certificate under
	Certificate   []byte // 30: CERT.DPauth
}

// AuthenticateClient is the eUICC's side of it (SGP.22 section 5.6.3).
type AuthenticateClient struct {
	TransactionID []byte
	Response      []byte // AuthenticateServerResponse, BF38
}

// Offer is the profile that waits, for the device to accept.
type Offer struct {
	TransactionID []byte
	Metadata      []byte // StoreMetadataRequest, BF25
	SMDPSigned2   []byte // 30
	Signature2    []byte // 5F37, over SMDPSigned2 and the eUICC's signature
	Certificate   []byte // 30: CERT.DPpb
}

// GetBoundProfilePackage accepts it (SGP.22 section 5.6.2).
type GetBoundProfilePackage struct {
	TransactionID []byte
	Response      []byte // PrepareDownloadResponse, BF21
}

// Package is the profile, bound to the session's eUICC.
type Package struct {
	TransactionID []byte
	Bound         []byte // BoundProfilePackage, BF36
}

// CancelSession ends a session (SGP.22 section 5.6.5).
type CancelSession struct {
	TransactionID []byte
	Response      []byte // CancelSessionResponse, BF41
}

// Backend is an SM-DP+ behind ES9+. Errors that devices are to read are
// [*mno.StatusError]; any other is told as an execution error and stays inside.
// Implementations are safe for concurrent use.
type Backend interface {
	// InitiateAuthentication begins a session and proves who the SM-DP+ is.
	// Called again, it begins another.
	InitiateAuthentication(ctx context.Context, r InitiateAuthentication) (Authentication, error)

	// AuthenticateClient checks who the eUICC is and finds the profile that waits
	// for it. It may count as an attempt to download.
	AuthenticateClient(ctx context.Context, r AuthenticateClient) (Offer, error)

	// GetBoundProfilePackage binds the profile. The same request in the same
	// session gets the same package, so that a lost answer can be asked for again.
	GetBoundProfilePackage(ctx context.Context, r GetBoundProfilePackage) (Package, error)

	// CancelSession ends a session; the reason in it says what becomes of the
	// order.
	CancelSession(ctx context.Context, r CancelSession) error

	// HandleNotification takes a PendingNotification (BF37 or 30; SGP.22 section
	// 5.6.4). It returns nil when the notification needs not be sent again, which
	// also goes for one that it can make nothing of.
	HandleNotification(ctx context.Context, notification []byte) error
}
