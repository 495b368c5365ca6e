package euicc_test

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/hex"
	"fmt"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/iotregistry/sdk/internal/bertlv"
	"github.com/iotregistry/sdk/internal/rsp"
	"github.com/iotregistry/sdk/internal/rsp/rsptest"
	"github.com/iotregistry/sdk/profile/euicc"
)

const maxCounter = 0x7FFFFF

// manager is an eIM that sends packages to the chip of a world.
type manager struct {
	*world
	id      string
	key     *ecdsa.PrivateKey
	counter int64
	token   int64 // zero: none
}

func newManager(t testing.TB, w *world, id string) *manager {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	require.NoError(t, err)
	return &manager{world: w, id: id, key: key}
}

// managed is a world whose chip has an eIM, which has asked for a token.
func managed(t testing.TB, w *world) *manager {
	t.Helper()
	m := newManager(t, w, "eim.example.com")
	data := m.data(t)
	data.AssociationToken = ptr(rsp.NewAssociationToken)
	r := es10[rsp.AddInitialEIMResponse](t, w, &rsp.AddInitialEIMRequest{EIMs: []rsp.EIMConfigurationData{data}})
	require.Nil(t, r.Error)
	m.token = *r.Added[0].AssociationToken
	return m
}

func spki(t testing.TB, key *ecdsa.PrivateKey) []byte {
	der, err := x509.MarshalPKIXPublicKey(key.Public())
	require.NoError(t, err)
	return der
}

// data is what the chip has to know of it.
func (m *manager) data(t testing.TB) rsp.EIMConfigurationData {
	return rsp.EIMConfigurationData{
		EIMID: m.id, FQDN: ptr(m.id), IDType: ptr(rsp.EIMIDFQDN), Counter: ptr(m.counter),
		SigningKey: &rsp.EIMKey{PublicKey: spki(t, m.key)},
	}
}

// object is an EimConfigurationData alone.
func object(t testing.TB, data rsp.EIMConfigurationData) []byte {
	b, err := rsp.Encode(&rsp.AddInitialEIMRequest{EIMs: []rsp.EIMConfigurationData{data}})
	require.NoError(t, err)
	outer, err := bertlv.Parse(b)
	require.NoError(t, err)
	list, _, err := bertlv.Read(outer.Value)
	require.NoError(t, err)
	return list.Value
}

// order is a package with the next counter, without its signature.
func (m *manager) order(ops []rsp.PSMO, ecos []rsp.ECO) *rsp.EUICCPackageRequest {
	m.counter++
	id, _ := rsp.ParseEID(rsptest.EID)
	return &rsp.EUICCPackageRequest{Signed: rsp.EUICCPackageSigned{
		EIMID: m.id, EID: id, Counter: m.counter, EIMTransactionID: rsp.TransactionID{0xE1, byte(m.counter)},
		Operations: ops, Configuration: ecos,
	}}
}

func (m *manager) sign(t testing.TB, q *rsp.EUICCPackageRequest) *rsp.EUICCPackageRequest {
	text, err := q.Signed.SignedText(m.token)
	require.NoError(t, err)
	q.Signature, err = rsp.Sign(nil, m.key, text)
	require.NoError(t, err)
	return q
}

// send has the chip carry out a package, and checks what it has signed.
func (m *manager) send(t testing.TB, q *rsp.EUICCPackageRequest) *rsp.EUICCPackageResult {
	t.Helper()
	r := es10[rsp.EUICCPackageResult](t, m.world, q)
	m.check(t, r)
	return r
}

func (m *manager) check(t testing.TB, r *rsp.EUICCPackageResult) {
	t.Helper()
	var text, signature []byte
	var err error
	switch {
	case r.Signed != nil:
		text, err = r.Signed.Data.SignedText(m.token)
		signature = r.Signed.Signature
	case r.Error != nil:
		text, err = r.Error.Data.SignedText(m.token)
		signature = r.Error.Signature
	default:
		return
	}
	require.NoError(t, err)
	require.NoError(t, rsp.Verify(&m.world.key.PublicKey, text, signature))
}

// do carries out operations on profiles and says how each went.
func (m *manager) do(t testing.TB, ops ...rsp.PSMO) string {
	t.Helper()
	return said(m.send(t, m.sign(t, m.order(ops, nil))))
}

// configure carries out operations on eIMs.
func (m *manager) configure(t testing.TB, ecos ...rsp.ECO) string {
	t.Helper()
	return said(m.send(t, m.sign(t, m.order(nil, ecos))))
}

// said puts a result in words.
func said(r *rsp.EUICCPackageResult) string {
	switch {
	case r.Error != nil:
		return "refused: " + r.Error.Data.Code.String()
	case r.Unsigned != nil:
		return "unsigned: " + r.Unsigned.Code.String()
	}
	var words []string
	for _, d := range r.Signed.Data.Results {
		words = append(words, saidOne(d))
	}
	return strings.Join(words, ", ")
}

func saidOne(d rsp.EUICCResultData) string {
	switch {
	case d.Enable != nil:
		return "enable " + d.Enable.String()
	case d.Disable != nil:
		return "disable " + d.Disable.String()
	case d.Delete != nil:
		return "delete " + d.Delete.String()
	case d.List != nil && d.List.Error != nil:
		return fmt.Sprint("list error ", *d.List.Error)
	case d.List != nil:
		return fmt.Sprint("list of ", len(d.List.List))
	case d.AddEIM != nil && d.AddEIM.Code != nil:
		return "add " + d.AddEIM.Code.String()
	case d.AddEIM != nil:
		return fmt.Sprint("add with token ", *d.AddEIM.AssociationToken)
	case d.DeleteEIM != nil:
		return "delete " + d.DeleteEIM.String()
	case d.UpdateEIM != nil:
		return "update " + d.UpdateEIM.String()
	case d.ListEIM != nil && d.ListEIM.Error != nil:
		return fmt.Sprint("eIMs error ", *d.ListEIM.Error)
	case d.ListEIM != nil:
		return fmt.Sprint("eIMs ", len(d.ListEIM.EIMs))
	case d.Terminated != nil:
		return "terminated " + d.Terminated.String()
	}
	return hex.EncodeToString(d.Other)
}

func enable(id rsp.ICCID, rollback bool) rsp.PSMO {
	return rsp.PSMO{Enable: &rsp.PSMOEnable{ICCID: id, Rollback: rollback}}
}

func disable(id rsp.ICCID) rsp.PSMO { return rsp.PSMO{Disable: &rsp.PSMOProfile{ICCID: id}} }
func erase(id rsp.ICCID) rsp.PSMO   { return rsp.PSMO{Delete: &rsp.PSMOProfile{ICCID: id}} }
func listing() rsp.PSMO             { return rsp.PSMO{List: &rsp.ProfileInfoListRequest{}} }

func known(t testing.TB, w *world, id *string) []rsp.EIMConfigurationData {
	return es10[rsp.GetEIMConfigurationDataResponse](t, w, &rsp.GetEIMConfigurationDataRequest{EIMID: id}).EIMs
}

func TestInitialEIMs(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	require.Empty(t, known(t, w, nil))
	first, other, third := newManager(t, w, "a"), newManager(t, w, "b"), newManager(t, w, "c")
	a, b, c := first.data(t), other.data(t), third.data(t)
	a.AssociationToken, c.AssociationToken = ptr(rsp.NewAssociationToken), ptr(rsp.NewAssociationToken)
	b.FQDN, b.IDType, b.Counter = nil, nil, ptr(int64(maxCounter))
	b.SigningKey = &rsp.EIMKey{Untagged: b.SigningKey.PublicKey}
	c.SigningKey = &rsp.EIMKey{Certificate: w.pki.DPAuth.DER}
	q := &rsp.AddInitialEIMRequest{EIMs: []rsp.EIMConfigurationData{a, b, c}}
	r := es10[rsp.AddInitialEIMResponse](t, w, q)
	require.Nil(t, r.Error)
	require.Equal(t, []rsp.AddedEIM{{AssociationToken: ptr(int64(1))}, {}, {AssociationToken: ptr(int64(2))}}, r.Added)
	require.Equal(t, rsp.AddEIMExists, *es10[rsp.AddInitialEIMResponse](t, w, q).Error, "only while there is none")

	list := known(t, w, nil)
	require.Len(t, list, 3)
	require.Nil(t, list[0].Counter, "counters are not told")
	require.Equal(t, int64(1), *list[0].AssociationToken)
	require.Equal(t, "a", *list[0].FQDN)
	require.Equal(t, rsp.EIMIDProprietary, *list[1].IDType, "what is left out")
	require.Equal(t, rsp.EIMProprietaryProtocol, *list[1].Protocols)
	require.Equal(t, w.pki.CI.Certificate.SubjectKeyId, list[1].CIKeyID)
	one := known(t, w, ptr("b"))
	require.Len(t, one, 1)
	require.Equal(t, "b", one[0].EIMID)
	require.Empty(t, known(t, w, ptr("x")))
	require.Equal(t, "list of 0", first.tokened(1).do(t, listing()))
	third.key, third.token = w.pki.DPAuth.Key, 2
	require.Equal(t, "eIMs 3", third.configure(t, rsp.ECO{List: &rsp.Empty{}}), "a certificate is as good as its key")
	other.counter = maxCounter - 1
	require.Equal(t, "refused: replayError", other.do(t, listing()))
	require.Equal(t, "refused: counterValueOutOfRange", other.do(t, listing()))
}

func (m *manager) tokened(token int64) *manager {
	m.token = token
	return m
}

// badEIMs are configurations that no eIM may have, by what is answered.
func badEIMs(t testing.TB) map[string]struct {
	change func(d *rsp.EIMConfigurationData)
	want   rsp.AddEIMError
} {
	return map[string]struct {
		change func(d *rsp.EIMConfigurationData)
		want   rsp.AddEIMError
	}{
		"no counter":          {func(d *rsp.EIMConfigurationData) { d.Counter = nil }, rsp.AddEIMCommandError},
		"a counter too large": {func(d *rsp.EIMConfigurationData) { d.Counter = ptr(int64(maxCounter + 1)) }, rsp.AddEIMCounterOutOfRange},
		"no key":              {func(d *rsp.EIMConfigurationData) { d.SigningKey = nil }, rsp.AddEIMCommandError},
		"a key that is none": {func(d *rsp.EIMConfigurationData) {
			d.SigningKey = &rsp.EIMKey{PublicKey: []byte{0x30, 2, 5, 0}}
		}, rsp.AddEIMCommandError},
		"a key on another curve": {func(d *rsp.EIMConfigurationData) {
			key, err := ecdsa.GenerateKey(elliptic.P384(), rand.Reader)
			require.NoError(t, err)
			d.SigningKey = &rsp.EIMKey{PublicKey: spki(t, key)}
		}, rsp.AddEIMCommandError},
		"a CI that the eUICC does not sign under": {func(d *rsp.EIMConfigurationData) { d.CIKeyID = []byte{1, 2} }, rsp.AddEIMCIKeyUnknown},
		"more than there is room for": {func(d *rsp.EIMConfigurationData) {
			d.Proprietary = []rsp.VendorData{{Vendor: "2.999.1", Data: bertlv.Append(nil, 0x81, make([]byte, 900))}}
			d.TLSKey = &rsp.EIMKey{PublicKey: bertlv.Append(nil, 0x30, bertlv.Append(nil, 0x04, make([]byte, 15<<10)))}
			d.SigningKey = &rsp.EIMKey{PublicKey: d.SigningKey.PublicKey}
			d.EIMID = strings.Repeat("e", 128)
			d.Extra = bertlv.Append(nil, 0x8F, make([]byte, 20<<10))
		}, rsp.AddEIMInsufficientMemory},
	}
}

func TestInitialEIMsRefused(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	m := newManager(t, w, "a")
	before := w.chip.Changed()
	for rule, c := range badEIMs(t) {
		data := newManager(t, w, "b").data(t)
		c.change(&data)
		r := es10[rsp.AddInitialEIMResponse](t, w, &rsp.AddInitialEIMRequest{EIMs: []rsp.EIMConfigurationData{m.data(t), data}})
		require.NotNil(t, r.Error, rule)
		require.Equal(t, c.want, *r.Error, rule)
	}
	given := m.data(t)
	given.AssociationToken = ptr(int64(5))
	for rule, list := range map[string][]rsp.EIMConfigurationData{"5: a token given": {given}, "7: twice": {m.data(t), m.data(t)}, "7: none": {}} {
		r := es10[rsp.AddInitialEIMResponse](t, w, &rsp.AddInitialEIMRequest{EIMs: list})
		require.Equal(t, rule[0], byte('0'+*r.Error), rule)
	}
	require.Empty(t, known(t, w, nil), "all of them, or none")
	require.Equal(t, before, w.chip.Changed())
}

func TestEIMsOfTheMaker(t *testing.T) {
	t.Parallel()
	pki, err := rsptest.New(start())
	require.NoError(t, err)
	chip, err := pki.EUICC(rsptest.EID)
	require.NoError(t, err)
	m := newManager(t, nil, "a")
	agreed, drawn := m.data(t), m.data(t)
	agreed.AssociationToken = ptr(int64(700))
	drawn.EIMID, drawn.AssociationToken = "b", ptr(rsp.NewAssociationToken)
	m.world = newWorldOf(t, pki, chip, func(c *euicc.ChipConfig) { c.EIMs = [][]byte{object(t, agreed), object(t, drawn)} })
	require.Equal(t, "eIMs 2", m.tokened(700).configure(t, rsp.ECO{List: &rsp.Empty{}}))
	require.Equal(t, int64(701), *known(t, m.world, ptr("b"))[0].AssociationToken)

	for rule, list := range map[string][][]byte{
		"no object":   {{0x30}},
		"no key":      {object(t, rsp.EIMConfigurationData{EIMID: "a", Counter: ptr(int64(0))})},
		"twice":       {object(t, agreed), object(t, agreed)},
		"a large one": {object(t, func() rsp.EIMConfigurationData { d := agreed; d.AssociationToken = ptr(int64(1 << 32)); return d }())},
	} {
		cfg := config(pki, chip)
		cfg.EIMs = list
		_, err := euicc.NewChip(cfg)
		require.ErrorIs(t, err, euicc.ErrConfig, rule)
	}
}

func TestOperationsOnEIMs(t *testing.T) {
	t.Parallel()
	m := managed(t, newWorld(t))
	other := newManager(t, m.world, "other")
	data := other.data(t)
	require.Equal(t, "add ok, eIMs 2", m.configure(t, rsp.ECO{Add: &data}, rsp.ECO{List: &rsp.Empty{}}))
	require.Equal(t, "eIMs 2", other.configure(t, rsp.ECO{List: &rsp.Empty{}}), "it may send packages now")
	require.Equal(t, "add associatedEimAlreadyExists", m.configure(t, rsp.ECO{Add: &data}, rsp.ECO{List: &rsp.Empty{}}))
	asking := newManager(t, m.world, "asking").data(t)
	asking.AssociationToken = ptr(rsp.NewAssociationToken)
	require.Equal(t, "add with token 2", m.configure(t, rsp.ECO{Add: &asking}))
	for rule, c := range badEIMs(t) {
		bad := newManager(t, m.world, "bad").data(t)
		c.change(&bad)
		require.Equal(t, "add "+c.want.String(), m.configure(t, rsp.ECO{Add: &bad}), rule)
	}
	asking.EIMID, asking.AssociationToken = "given", ptr(int64(9))
	require.Equal(t, "add invalidAssociationToken", m.configure(t, rsp.ECO{Add: &asking}))
	require.Equal(t, "delete ok, eIMs 2", m.configure(t, rsp.ECO{Delete: &rsp.ECODelete{EIMID: "asking"}}, rsp.ECO{List: &rsp.Empty{}}))
	require.Equal(t, "delete eimNotFound", m.configure(t, rsp.ECO{Delete: &rsp.ECODelete{EIMID: "asking"}}))
	asking = newManager(t, m.world, "asking").data(t)
	asking.AssociationToken = ptr(rsp.NewAssociationToken)
	require.Equal(t, "add with token 3", m.configure(t, rsp.ECO{Add: &asking}), "no token is handed out twice")
	require.Equal(t, "delete ok", m.configure(t, rsp.ECO{Delete: &rsp.ECODelete{EIMID: "asking"}}))
	require.Equal(t, "delete ok", m.configure(t, rsp.ECO{Delete: &rsp.ECODelete{EIMID: m.id}}), "itself: signed all the same")
	require.Equal(t, "unsigned: undefinedError", m.configure(t, rsp.ECO{List: &rsp.Empty{}}))
	last := rsp.ECO{Delete: &rsp.ECODelete{EIMID: "other"}}
	require.Equal(t, "delete lastEimDeleted, eIMs 0", other.configure(t, last, rsp.ECO{List: &rsp.Empty{}}))
	require.Empty(t, known(t, m.world, nil))
}

func TestTooManyEIMs(t *testing.T) {
	t.Parallel()
	m := managed(t, newWorld(t))
	for n := range 15 {
		data := newManager(t, m.world, fmt.Sprint("eim", n)).data(t)
		require.Equal(t, "add ok", m.configure(t, rsp.ECO{Add: &data}))
	}
	data := newManager(t, m.world, "one more").data(t)
	require.Equal(t, "add insufficientMemory", m.configure(t, rsp.ECO{Add: &data}))
}

func TestUpdatedEIM(t *testing.T) {
	t.Parallel()
	m := managed(t, newWorld(t))
	m.counter = 10
	update := func(change func(d *rsp.EIMConfigurationData)) rsp.ECO {
		d := rsp.EIMConfigurationData{EIMID: m.id}
		change(&d)
		return rsp.ECO{Update: &d}
	}
	for rule, c := range map[string]struct {
		change func(d *rsp.EIMConfigurationData)
		want   string
	}{
		"another":            {func(d *rsp.EIMConfigurationData) { d.EIMID, d.FQDN = "x", ptr("x") }, "update eimNotFound"},
		"nothing":            {func(*rsp.EIMConfigurationData) {}, "update commandError"},
		"the token":          {func(d *rsp.EIMConfigurationData) { d.FQDN, d.AssociationToken = ptr("x"), ptr(rsp.NewAssociationToken) }, "update commandError"},
		"an unknown CI":      {func(d *rsp.EIMConfigurationData) { d.CIKeyID = []byte{1} }, "update ciPKUnknown"},
		"too large":          {func(d *rsp.EIMConfigurationData) { d.Counter = ptr(int64(maxCounter + 1)) }, "update counterValueOutOfRange"},
		"back, the key kept": {func(d *rsp.EIMConfigurationData) { d.Counter = ptr(int64(0)) }, "update commandError"},
		"back, the same key": {func(d *rsp.EIMConfigurationData) {
			d.Counter, d.SigningKey = ptr(int64(0)), &rsp.EIMKey{PublicKey: spki(t, m.key)}
		}, "update commandError"},
		"no key": {func(d *rsp.EIMConfigurationData) { d.SigningKey = &rsp.EIMKey{PublicKey: []byte{0x30, 0}} }, "update commandError"},
		"too long": {func(d *rsp.EIMConfigurationData) {
			d.TLSKey = &rsp.EIMKey{PublicKey: bertlv.Append(nil, 0x30, bertlv.Append(nil, 0x04, make([]byte, 16000)))}
			d.SigningKey = &rsp.EIMKey{PublicKey: spki(t, m.key)}
		}, "update ok"},
	} {
		before := known(t, m.world, nil)
		require.Equal(t, "list of 0", m.do(t, listing()))
		require.Equal(t, c.want, m.configure(t, update(c.change)), rule)
		if c.want != "update ok" {
			require.Equal(t, before, known(t, m.world, nil), rule)
		}
	}
	large := bertlv.Append(nil, 0x30, bertlv.Append(nil, 0x04, make([]byte, 16300)))
	other := newManager(t, m.world, "other").data(t)
	other.TLSKey = &rsp.EIMKey{PublicKey: large}
	full := update(func(d *rsp.EIMConfigurationData) { d.TLSKey = &rsp.EIMKey{PublicKey: large} })
	require.Equal(t, "add ok, update undefinedError", m.configure(t, rsp.ECO{Add: &other}, full), "there is no code for want of memory")
	require.Equal(t, "update ok", m.configure(t, update(func(d *rsp.EIMConfigurationData) {
		d.FQDN, d.IDType, d.Protocols, d.IndirectDownload = ptr("new"), ptr(rsp.EIMIDOID), ptr(rsp.EIMRetrieveHTTPS), true
		d.CIKeyID, d.Proprietary = m.pki.CI.Certificate.SubjectKeyId, []rsp.VendorData{}
		d.Counter = ptr(int64(1000))
	})))
	d := known(t, m.world, nil)[0]
	require.Equal(t, "new", *d.FQDN)
	require.True(t, d.IndirectDownload)
	require.Equal(t, int64(1), *d.AssociationToken, "as long as the association lasts")
	require.Equal(t, "refused: replayError", m.do(t, listing()), "its own wish of a counter")
	m.counter = 1000
	require.Equal(t, "list of 0", m.do(t, listing()))

	stale := m.sign(t, m.order([]rsp.PSMO{listing()}, nil))
	next, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	require.NoError(t, err)
	require.Equal(t, "update ok", m.configure(t, update(func(d *rsp.EIMConfigurationData) {
		d.SigningKey, d.Counter = &rsp.EIMKey{PublicKey: spki(t, next)}, ptr(int64(0))
	})))
	require.Equal(t, "unsigned: undefinedError", said(m.send(t, stale)), "of the old key")
	m.key, m.counter = next, 0
	require.Equal(t, "list of 0", m.do(t, listing()), "with a new key counters begin anew")
	require.Equal(t, "refused: replayError", said(m.send(t, m.sign(t, func() *rsp.EUICCPackageRequest { m.counter = 0; return m.order(nil, []rsp.ECO{}) }()))))
}

// An eIM that leaves and comes back in one package does not have it carried out
// twice, though it asks for a counter of zero.
func TestEIMAddedAgain(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	m := newManager(t, w, "eim.example.com")
	data := m.data(t)
	require.Nil(t, es10[rsp.AddInitialEIMResponse](t, w, &rsp.AddInitialEIMRequest{EIMs: []rsp.EIMConfigurationData{data}}).Error)
	q := m.sign(t, m.order(nil, []rsp.ECO{{Delete: &rsp.ECODelete{EIMID: m.id}}, {Add: &data}}))
	require.Equal(t, "delete lastEimDeleted, add ok", said(m.send(t, q)))
	require.Equal(t, "refused: replayError", said(m.send(t, q)))
}

func TestGetCerts(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	for _, id := range [][]byte{nil, w.pki.CI.Certificate.SubjectKeyId} {
		r := es10[rsp.GetCertsResponse](t, w, &rsp.GetCertsRequest{CIKeyID: id})
		require.NotNil(t, r.OK)
		require.Equal(t, w.cfg.Certificate, r.OK.EUICC)
		require.True(t, bytes.Equal(w.cfg.EUM, r.OK.EUM))
	}
	require.Equal(t, 1, *es10[rsp.GetCertsResponse](t, w, &rsp.GetCertsRequest{CIKeyID: []byte{1}}).Error)
}

func TestInfoOfIoT(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	info := es10[rsp.EUICCInfo2](t, w, &rsp.GetEUICCInfo2Request{})
	require.Equal(t, "900100b407a0050403010200", hex.EncodeToString(info.Extra), "ipaMode, iotSpecificInfo")
	w.install(t, newOrder(t, iccid, nil))
	require.Equal(t, rsp.ProfileOK, w.enable(t, iccid))
	w.chip.Reset()
	require.Equal(t, "6f188410a0000005591010ffffffff8900000100e104800206409000", exchange(t, w, selectISDR, "80c000001a"), "a profile is enabled")
}
