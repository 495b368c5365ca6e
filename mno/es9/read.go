package es9

// From wire objects to nouns, on either side.

func (r *initiateRequest) noun() (InitiateAuthentication, error) {
	var m members
	v := InitiateAuthentication{
		Challenge:   m.challenge(r.Challenge),
		Info1:       m.object("euiccInfo1", r.Info1, tagInfo1),
		SMDPAddress: m.address(r.SMDPAddress),
	}
	return v, m.err
}

func (r *initiateResponse) noun() (Authentication, error) {
	var m members
	v := Authentication{
		TransactionID: m.transaction(r.TransactionID),
		ServerSigned1: m.object("serverSigned1", r.ServerSigned1, tagSequence),
		Signature1:    m.object("serverSignature1", r.Signature1, tagSignature),
		CIKeyID:       m.object("euiccCiPKIdToBeUsed", r.CIKeyID, tagOctets),
		Certificate:   m.object("serverCertificate", r.Certificate, tagSequence),
	}
	return v, m.err
}

func (r *authenticateClientRequest) noun() (AuthenticateClient, error) {
	var m members
	v := AuthenticateClient{
		TransactionID: m.transaction(r.TransactionID),
		Response:      m.object("authenticateServerResponse", r.Response, tagAuthenticate),
	}
	return v, m.err
}

func (r *authenticateClientResponse) noun() (Offer, error) {
	var m members
	v := Offer{
		TransactionID: m.transaction(r.TransactionID),
		Metadata:      m.object("profileMetadata", r.Metadata, tagMetadata),
		SMDPSigned2:   m.object("smdpSigned2", r.SMDPSigned2, tagSequence),
		Signature2:    m.object("smdpSignature2", r.Signature2, tagSignature),
		Certificate:   m.object("smdpCertificate", r.Certificate, tagSequence),
	}
	return v, m.err
}

func (r *packageRequest) noun() (GetBoundProfilePackage, error) {
	var m members
	v := GetBoundProfilePackage{
		TransactionID: m.transaction(r.TransactionID),
		Response:      m.object("prepareDownloadResponse", r.Response, tagPrepare),
	}
	return v, m.err
}

func (r *packageResponse) noun() (Package, error) {
	var m members
	v := Package{
		TransactionID: m.transaction(r.TransactionID),
		Bound:         m.object("boundProfilePackage", r.Bound, tagPackage),
	}
	return v, m.err
}

func (r *cancelRequest) noun() (CancelSession, error) {
	var m members
	v := CancelSession{
		TransactionID: m.transaction(r.TransactionID),
		Response:      m.object("cancelSessionResponse", r.Response, tagCancel),
	}
	return v, m.err
}

func (*emptyResponse) noun() (struct{}, error) { return struct{}{}, nil }

func (r *notificationRequest) noun() ([]byte, error) {
	var m members
	b := m.object("pendingNotification", r.Notification, tagResult, tagSequence)
	return b, m.err
}
