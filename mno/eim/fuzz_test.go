package eim_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/iotregistry/sdk/internal/rsp"
	"github.com/iotregistry/sdk/mno/eim"
	"github.com/iotregistry/sdk/mno/esipa"
)

// FuzzResult tells an eIM anything: it does not panic, and nothing that is not
// signed anew makes a job succeed or is acknowledged.
func FuzzResult(f *testing.F) {
	w := newWorld(f, func(c *eim.Config) { c.Open = true; c.Attempts = 100 })
	c := w.registered(1)
	id := ids(f, c.manage(eim.List{}))
	pkg := c.poll()
	m := c.request(pkg)
	other := w.registered(2)
	for _, object := range [][]byte{
		c.encode(other.result(m, nil)), c.encode(other.refusal(m, rsp.PackageReplay)), c.encode(other.receipt(id, nil)), c.encode(noDownload(id)),
		failure(id, rsp.ResultUndefined), failure(nil, rsp.ResultInvalidFormat), w.card(3).tell(c.encode(&rsp.IPAEUICCDataRequest{TagList: []byte{0xA6}})),
		c.encode(&rsp.IPAEUICCDataResponse{Data: &rsp.IPAEUICCData{EIMTransactionID: id, PackageResults: []rsp.EUICCPackageResult{*other.result(m, nil)}}}),
		c.encode(&rsp.EUICCPackageResult{Unsigned: &rsp.EUICCPackageErrorUnsigned{EIMID: eimID, EIMTransactionID: id}}),
	} {
		f.Add(object, true)
		f.Add(object, false)
	}
	f.Fuzz(func(t *testing.T, object []byte, named bool) {
		r := esipa.Result{Object: object}
		if named {
			r.EID = c.eid.String()
		}
		done, _ := w.eim.ProvideEIMPackageResult(t.Context(), r)
		require.Empty(t, done)
		s, err := w.eim.Status(t.Context(), c.eid)
		require.NoError(t, err)
		for _, j := range s.Done {
			require.Equal(t, eim.Failed, j.State)
			require.False(t, j.Proven)
		}
	})
}
