package eimsql

// For FuzzBody and the test of stored bodies.
var (
	Encode = encode
	Decode = decode
)
