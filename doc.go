// Package sdk is the Secure IoT Registry SDK.
package sdk
