package mno

// subjects and reasons are the dictionary of SGP.22 sections 5.2.6.1 and
// 5.2.6.2. They are read only.
var subjects = map[string]string{
	"1": "generic", "1.1": "function requester", "1.2": "function provider",
	"1.3": "protocol", "1.3.1": "protocol format", "1.3.2": "protocol version", "1.6": "function",
	"8": "eUICC remote provisioning", "8.1": "eUICC", "8.1.1": "EID", "8.1.2": "EUM certificate",
	"8.1.3": "eUICC certificate", "8.2": "profile", "8.2.1": "ICCID", "8.2.5": "profile type",
	"8.2.6": "matching ID", "8.2.7": "confirmation code", "8.2.8": "profile policy rules",
	"8.2.9": "profile metadata", "8.2.10": "bound profile package", "8.2.12": "profile owner",
	"8.8": "SM-DP+", "8.8.1": "SM-DP+ address", "8.8.2": "security configuration", "8.8.3": "specification version",
	"8.8.4": "SM-DP+ certificate", "8.8.5": "download order", "8.9": "SM-DS", "8.10": "RSP operation",
	"8.10.1": "transaction ID", "8.11": "CI", "8.11.1": "CI public key", "8.12": "LPA",
}

var reasons = map[string]string{
	"1.1": "unknown", "1.2": "not allowed", "2.1": "invalid", "2.2": "mandatory element missing",
	"2.3": "conditional element missing", "3.1": "unsupported", "3.3": "already in use or not available",
	"3.5": "invalid transition", "3.7": "unavailable", "3.8": "refused", "3.9": "unknown",
	"3.10": "invalid association", "3.11": "value has changed", "4.2": "execution error",
	"4.3": "stopped on warning", "4.8": "insufficient memory", "4.10": "time to live expired",
	"5.1": "inaccessible", "6.1": "verification failed", "6.3": "expired", "6.4": "too many attempts",
}
