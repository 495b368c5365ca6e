package smdp_test

import (
	"bytes"
	"crypto/x509"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/iotregistry/sdk/internal/rsp"
	"github.com/iotregistry/sdk/internal/rsp/cert"
	"github.com/iotregistry/sdk/internal/rsp/rsptest"
	"github.com/iotregistry/sdk/mno"
	"github.com/iotregistry/sdk/mno/es2"
	"github.com/iotregistry/sdk/mno/es9"
	"github.com/iotregistry/sdk/mno/smdp"
)

var foreignPKI = sync.OnceValues(func() (*rsptest.PKI, error) { return rsptest.New(now.AddDate(-1, 0, 0)) })

func otherPKI(t testing.TB) *rsptest.PKI {
	p, err := foreignPKI()
	require.NoError(t, err)
	return p
}

// issue mints a certificate with something changed.
func issue(t testing.TB, issuer *rsptest.Identity, role cert.Role, change func(*x509.Certificate)) *rsptest.Identity {
	template, err := pki(t).Template(role)
	require.NoError(t, err)
	change(template)
	id, err := rsptest.Issue(issuer, template)
	require.NoError(t, err)
	return id
}

func expired(c *x509.Certificate) { c.NotAfter = now.Add(-time.Hour) }

// Each refusal before there is a session, and what must go right.
func TestInitiateRefusals(t *testing.T) {
	t.Parallel()
	ci, foreign := pki(t).CI.Certificate.SubjectKeyId, otherPKI(t).CI.Certificate.SubjectKeyId
	for _, c := range []struct {
		rule, want string
		change     func(*card)
	}{
		{"as it should be", "", func(*card) {}},
		{"name in capitals, with a port", "", func(c *card) { c.address = "SMDP.Example:8443" }},
		{"eUICC of version 3", "", func(c *card) { c.info1.SVN = []byte{3, 1, 0} }},
		{"address of another SM-DP+", "8.8.1/3.8", func(c *card) { c.address = "smdp.example.org" }},
		{"no address", "8.8.1/3.8", func(c *card) { c.address = "" }},
		{"eUICC of the future", "8.8.3/3.1", func(c *card) { c.info1.SVN = []byte{4, 0, 0} }},
		{"eUICC of the past", "8.8.3/3.1", func(c *card) { c.info1.SVN = []byte{1, 1, 0} }},
		{"no CI in common", "8.8.2/3.1", func(c *card) { c.info1.SignKeys, c.info1.VerifyKeys = [][]byte{foreign}, [][]byte{foreign} }},
		{"eUICC signs for no CI", "8.8.2/3.1", func(c *card) { c.info1.SignKeys = [][]byte{} }},
		{"eUICC does not trust our CI", "8.8.4/3.7", func(c *card) { c.info1.VerifyKeys = [][]byte{foreign} }},
		{"our CI among others", "", func(c *card) { c.info1.SignKeys = [][]byte{foreign, ci} }},
	} {
		card := newBench(t).card(1)
		c.change(card)
		require.Equal(t, c.want, code(t, card.initiate()), c.rule)
	}
	s := newBench(t).server
	_, err := s.InitiateAuthentication(t.Context(), es9.InitiateAuthentication{SMDPAddress: "smdp.example", Challenge: make([]byte, 15)})
	require.Equal(t, "1.6/2.1", code(t, err))
	_, err = s.InitiateAuthentication(t.Context(), es9.InitiateAuthentication{SMDPAddress: "smdp.example", Challenge: make([]byte, 16), Info1: []byte("x")})
	require.Equal(t, "1.6/2.1", code(t, err))
}

// An eUICC of a second CI is served where that is trusted.
func TestEUICCOfAnotherCI(t *testing.T) {
	t.Parallel()
	other := otherPKI(t)
	b := newBench(t, func(_ *smdp.Config, s *smdp.ServerConfig) { s.CIs = append(s.CIs, other.CI.DER) })
	r, c := b.order(1, 11), newCard(t, b.server, other, device(t, 1))
	c.info1.VerifyKeys = [][]byte{pki(t).CI.Certificate.SubjectKeyId}
	c.verifier.CIs = [][]byte{pki(t).CI.DER}
	require.NoError(t, initiateUnder(c))
	_, err := b.server.AuthenticateClient(t.Context(), c.proof(&r.MatchingID, nil))
	require.NoError(t, err)

	c = newCard(t, b.server, other, device(t, 1)) // says that it has a certificate of our CI, and sends another
	c.info1.SignKeys = [][]byte{other.CI.Certificate.SubjectKeyId, pki(t).CI.Certificate.SubjectKeyId}
	c.info1.VerifyKeys = c.info1.SignKeys
	require.NoError(t, initiateUnder(c))
	_, err = b.server.AuthenticateClient(t.Context(), c.proof(&r.MatchingID, nil))
	require.Equal(t, "8.11.1/3.9", code(t, err), "another CI than was chosen")
}

func TestAddressWithPort(t *testing.T) {
	t.Parallel()
	for address, want := range map[string]string{
		"smdp.example": "", "SMDP.example:8443": "", "smdp.example:443": "8.8.1/3.8", "smdp.example.:8443": "8.8.1/3.8",
	} {
		c := newBench(t, func(c *smdp.Config, _ *smdp.ServerConfig) { c.Address = "smdp.example:8443" }).card(1)
		c.address = address
		require.Equal(t, want, code(t, c.initiate()), address)
	}
}

// initiateUnder is initiate for a card whose own CI is not the server's.
func initiateUnder(c *card) (err error) {
	c.auth, err = c.server.InitiateAuthentication(c.t.Context(), es9.InitiateAuthentication{
		Challenge: make([]byte, 16), Info1: c.encode(&c.info1), SMDPAddress: c.address,
	})
	if err == nil {
		c.signed1, err = rsp.Decode[rsp.ServerSigned1](c.auth.ServerSigned1)
	}
	return err
}

// Each refusal of an eUICC's proof, and then of the order it wants.
func TestAuthenticateRefusals(t *testing.T) {
	t.Parallel()
	p, foreign := pki(t), otherPKI(t)
	eum := issue(t, p.CI, cert.RoleEUM, expired)
	mine := func(c *x509.Certificate) { c.Subject.SerialNumber = device(t, 1).String() }
	under := func(eum *rsptest.Identity, change func(*x509.Certificate)) func(*card) {
		return func(c *card) {
			c.eum = eum.DER
			c.id = issue(t, eum, cert.RoleEUICC, func(x *x509.Certificate) { mine(x); change(x) })
		}
	}
	same := func(*x509.Certificate) {}
	for _, c := range []struct {
		rule, want string
		change     func(*card)
		edit       func(*rsp.EUICCSigned1)
		request    func(*card, *es9.AuthenticateClient)
	}{
		{rule: "as it should be"},
		{rule: "chain of a CI that is not trusted", want: "8.11.1/3.9", change: under(foreign.EUM, same)},
		{rule: "EUM expired", want: "8.1.2/6.3", change: under(eum, same)},
		{rule: "EUM is none", want: "8.1.2/6.1", change: func(c *card) { c.eum = p.DPAuth.DER }},
		{rule: "EUM is no certificate", want: "8.1.2/6.1", change: func(c *card) { c.eum = []byte{0x30, 0} }},
		{rule: "eUICC expired", want: "8.1.3/6.3", change: under(p.EUM, expired)},
		{rule: "eUICC of another EUM", want: "8.1.3/6.1", change: func(c *card) { c.id = issue(t, foreign.EUM, cert.RoleEUICC, mine) }},
		{rule: "eUICC's certificate is another role's", want: "8.1.3/6.1", change: func(c *card) { c.id = issue(t, p.EUM, cert.RoleDPAuth, mine) }},
		{rule: "EID is not one of its EUM", want: "8.1.3/6.1", change: under(p.EUM, func(x *x509.Certificate) {
			x.Subject.SerialNumber = "89049033123451234512345678901234"
		})},
		{rule: "check digits of the EID do not fit", want: "8.1.3/6.1", change: under(p.EUM, func(x *x509.Certificate) {
			x.Subject.SerialNumber = "89049032123451234512345678901236"
		})},
		{rule: "signed by another key", want: "8.1/6.1", change: func(c *card) { c.id = &rsptest.Identity{DER: c.id.DER, Key: p.EUM.Key} }},
		{rule: "another challenge", want: "8.1/6.1", edit: func(m *rsp.EUICCSigned1) { m.ServerChallenge = make([]byte, 16) }},
		{rule: "another address", want: "8.1/6.1", edit: func(m *rsp.EUICCSigned1) { m.ServerAddress = "other.example" }},
		{rule: "signed for another session", want: "8.10.1/3.9", edit: func(m *rsp.EUICCSigned1) { m.TransactionID = make([]byte, 16) }},
		{rule: "sent to another session", want: "8.10.1/3.9", request: func(_ *card, r *es9.AuthenticateClient) { r.TransactionID = make([]byte, 16) }},
		{rule: "no transaction ID", want: "8.10.1/3.9", request: func(_ *card, r *es9.AuthenticateClient) { r.TransactionID = nil }},
		{rule: "not the message", want: "1.6/2.1", request: func(_ *card, r *es9.AuthenticateClient) { r.Response = r.Response[1:] }},
		{rule: "proof changed on the way", want: "8.1/6.1", request: func(_ *card, r *es9.AuthenticateClient) {
			i := bytes.Index(r.Response, []byte("smdp.example"))
			r.Response[i] = 'S'
		}},
		{rule: "the eUICC has refused the server", want: "8.1/6.1", request: func(c *card, r *es9.AuthenticateClient) {
			r.Response = c.encode(&rsp.AuthenticateServerResponse{Error: &rsp.AuthenticateFailure{TransactionID: r.TransactionID, Code: rsp.AuthInvalidSignature}})
		}},
		{rule: "unknown matching ID", want: "8.2.6/3.8", edit: func(m *rsp.EUICCSigned1) { m.CtxParams1.MatchingID = ptr("NONE") }},
		{rule: "order of another EID", want: "8.1.1/3.8", change: func(c *card) { *c = *newCard(t, c.server, p, device(t, 2)) }},
		{rule: "nothing ordered for this EID", want: "8.2.6/3.8", change: func(c *card) { *c = *newCard(t, c.server, p, device(t, 2)) },
			edit: func(m *rsp.EUICCSigned1) { m.CtxParams1.MatchingID = nil }},
		{rule: "eUICC is full", want: "8.1/4.8", edit: func(m *rsp.EUICCSigned1) { m.Info2.ExtCardResource = []byte{0x82, 1, 5} }},
		{rule: "eUICC does not say what is free", edit: func(m *rsp.EUICCSigned1) { m.Info2.ExtCardResource = []byte{0x82, 9} }},
	} {
		b := newBench(t)
		r, card := b.order(1, 11), b.card(1)
		if c.change != nil {
			c.change(card)
		}
		require.NoError(t, card.initiate())
		request := card.proof(&r.MatchingID, c.edit)
		if c.request != nil {
			c.request(card, &request)
		}
		require.Equal(t, c.want, code(t, card.authenticate(request)), c.rule)
		require.Equal(t, mno.Released, b.state(r), c.rule)
		require.Empty(t, b.news.got, c.rule)
		if c.want != "" && c.change == nil {
			require.NoError(t, card.authenticate(card.proof(&r.MatchingID, nil)), "%s: nobody has spoilt the session", c.rule)
		}
	}
}

func TestOrdersThatAreNotForDownload(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	waiting := func(b *bench) mno.Receipt {
		return b.confirmed(mno.Order{Device: device(t, 1), ProfileID: 11, Sealed: sealed(11)}, es2.ConfirmOrder{})
	}
	for _, c := range []struct {
		rule, want string
		prepare    func(b *bench) mno.Receipt
	}{
		{"not released", "8.2/1.2", waiting},
		{"released later", "", func(b *bench) mno.Receipt {
			r := waiting(b)
			require.NoError(t, b.engine.ReleaseProfile(ctx, registry, r.ICCID))
			return r
		}},
		{"not confirmed, asked for by EID", "8.2/1.2", func(b *bench) mno.Receipt {
			order(t, b.engine, mno.Order{Device: device(t, 1), ProfileID: 11, ProfileType: "iot", Sealed: sealed(11)})
			return mno.Receipt{}
		}},
		{"cancelled", "8.8.5/4.10", func(b *bench) mno.Receipt {
			r := b.order(1, 11)
			require.NoError(t, b.engine.Operator("registry").Cancel(ctx, r))
			return r
		}},
		{"superseded", "8.8.5/4.10", func(b *bench) mno.Receipt {
			r := b.order(1, 11)
			b.order(1, 12)
			return r
		}},
		{"cancelled for another use", "8.2.6/3.8", func(b *bench) mno.Receipt {
			r := b.order(1, 11)
			require.NoError(t, b.engine.CancelOrder(ctx, registry, es2.CancelOrder{ICCID: r.ICCID, Device: r.Device, Final: mno.Available}))
			return r
		}},
		{"installed", "8.2.6/3.8", func(b *bench) mno.Receipt {
			r := b.order(1, 11)
			_, err := b.engine.Deliver(ctx, r.Device, 0)
			require.NoError(t, err)
			require.NoError(t, b.engine.Finish(ctx, r.Device, 11, nil))
			return r
		}},
	} {
		b := newBench(t)
		r := c.prepare(b)
		require.Equal(t, c.want, code(t, b.card(1).meet(&r.MatchingID)), c.rule)
	}
}

// Each refusal of an eUICC's consent.
func TestPackageRefusals(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		rule, want string
		edit       func(*rsp.EUICCSigned2)
		change     func(*bench, *card, mno.Receipt)
		request    func(*card, *es9.GetBoundProfilePackage)
	}{
		{rule: "as it should be"},
		{rule: "signed for another session", want: "8.10.1/3.9", edit: func(m *rsp.EUICCSigned2) { m.TransactionID = make([]byte, 16) }},
		{rule: "sent to another session", want: "8.10.1/3.9", request: func(_ *card, r *es9.GetBoundProfilePackage) { r.TransactionID = make([]byte, 16) }},
		{rule: "one-time key is no point", want: "8.1/6.1", edit: func(m *rsp.EUICCSigned2) { m.OTPK = append([]byte{4}, bytes.Repeat([]byte{1}, 64)...) }},
		{rule: "signed by another key", want: "8.1/6.1", change: func(_ *bench, c *card, _ mno.Receipt) { c.id = pki(t).EUM }},
		{rule: "signed over another offer", want: "8.1/6.1", change: func(_ *bench, c *card, _ mno.Receipt) { c.signature2 = make([]byte, 64) }},
		{rule: "changed on the way", want: "8.1/6.1", request: func(_ *card, r *es9.GetBoundProfilePackage) { r.Response[len(r.Response)-1] ^= 1 }},
		{rule: "not the message", want: "1.6/2.1", request: func(_ *card, r *es9.GetBoundProfilePackage) { r.Response = nil }},
		{rule: "the eUICC has refused the offer", want: "8.1/6.1", request: func(c *card, r *es9.GetBoundProfilePackage) {
			r.Response = c.encode(&rsp.PrepareDownloadResponse{Error: &rsp.PrepareDownloadFailure{TransactionID: r.TransactionID, Code: rsp.DownloadUndefined}})
		}},
		{rule: "not authenticated", want: "8.10.1/3.9", request: func(c *card, r *es9.GetBoundProfilePackage) {
			require.NoError(t, c.initiate())
			r.TransactionID = c.auth.TransactionID
		}},
		{rule: "cancelled meanwhile", want: "8.8.5/4.10", change: func(b *bench, _ *card, r mno.Receipt) {
			require.NoError(t, b.engine.Operator("registry").Cancel(t.Context(), r))
		}},
		{rule: "ICCID used for another order meanwhile", want: "8.8.5/4.10", change: func(b *bench, c *card, r mno.Receipt) {
			require.NoError(t, b.engine.CancelOrder(t.Context(), registry, es2.CancelOrder{ICCID: r.ICCID, Device: r.Device, Final: mno.Available}))
			b.confirmed(mno.Order{ICCID: r.ICCID, Device: c.eid, ProfileID: 12, Sealed: sealed(12)}, es2.ConfirmOrder{Release: true})
		}},
		{rule: "the eUICC has begun another session", want: "8.10.1/3.9", change: func(b *bench, c *card, r mno.Receipt) {
			next := *c
			require.NoError(t, next.meet(&r.MatchingID))
		}},
		{rule: "confirmation code that nobody wants"},
	} {
		b := newBench(t)
		r, card := b.order(1, 11), b.card(1)
		require.NoError(t, card.meet(&r.MatchingID))
		before := b.state(r)
		if c.change != nil {
			c.change(b, card, r)
			before = b.state(r)
		}
		request := card.consent("secret", c.edit)
		if c.request != nil {
			c.request(card, &request)
		}
		_, err := card.get(request)
		require.Equal(t, c.want, code(t, err), c.rule)
		if c.want != "" {
			require.Equal(t, before, b.state(r), c.rule)
		}
	}
}

func TestSessionsDoNotMix(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	r, c := b.order(1, 11), b.card(1)
	require.NoError(t, c.initiate())
	proof := c.proof(&r.MatchingID, nil)
	require.NoError(t, c.authenticate(proof))
	require.Equal(t, "8.10.1/3.9", code(t, c.authenticate(proof)), "a proof is good once")
	consent := c.consent("", nil)
	first, err := c.get(consent)
	require.NoError(t, err)
	_, err = c.get(c.consent("", nil))
	require.Equal(t, "8.2/3.7", code(t, err), "another one-time key in the same session")
	again, err := c.get(consent)
	require.NoError(t, err)
	require.Equal(t, first, again)
	require.NoError(t, c.notify(c.result(nil, nil)))
	_, err = c.get(consent)
	require.Equal(t, "8.10.1/3.9", code(t, err), "a result ends the session")

	next := b.card(2)
	require.NoError(t, next.initiate())
	replayed := es9.AuthenticateClient{TransactionID: next.auth.TransactionID, Response: proof.Response}
	require.Equal(t, "8.10.1/3.9", code(t, next.authenticate(replayed)), "a proof from another session")
}

// Sessions are bounded in number and time, and who begins many disturbs nobody
// who has proved itself.
func TestSessionLimits(t *testing.T) {
	t.Parallel()
	var mu sync.Mutex
	at := now
	b := newBench(t, func(c *smdp.Config, s *smdp.ServerConfig) {
		s.MaxSessions, s.SessionLife = 3, 5*time.Minute
		c.Now = func() time.Time { mu.Lock(); defer mu.Unlock(); return at }
	})
	r, c := b.order(1, 11), b.card(1)
	require.NoError(t, c.meet(&r.MatchingID))
	flood := make([]*card, 4)
	for i := range flood {
		flood[i] = b.card(10 + i)
		require.NoError(t, flood[i].initiate())
	}
	require.Equal(t, "8.10.1/3.9", code(t, flood[0].authenticate(flood[0].proof(nil, nil))), "pushed out")
	require.Equal(t, "8.2.6/3.8", code(t, flood[1].authenticate(flood[1].proof(nil, nil))), "still there")
	_, err := c.get(c.consent("", nil))
	require.NoError(t, err, "not pushed out by those")
	at = at.Add(5 * time.Minute)
	require.Equal(t, "8.10.1/3.9", code(t, c.cancel(rsp.CancelTimeout, nil)), "over")
	require.Equal(t, "8.10.1/3.9", code(t, flood[1].authenticate(flood[1].proof(nil, nil))))

	cards := make([]*card, 4)
	for i := range cards {
		cards[i] = b.card(20 + i)
		r := b.order(20+i, 11)
		require.NoError(t, cards[i].meet(&r.MatchingID))
	}
	require.Equal(t, "8.10.1/3.9", code(t, cards[0].cancel(rsp.CancelTimeout, nil)), "the oldest of the proven ones")
	for _, c := range cards[1:] {
		require.NoError(t, c.cancel(rsp.CancelTimeout, nil))
	}
}

func TestCancelRefusals(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	r, c := b.order(1, 11), b.card(1)
	require.NoError(t, c.initiate())
	require.Equal(t, "8.10.1/3.9", code(t, c.cancel(rsp.CancelEndUserRejection, nil)), "whose session it is, is not known yet")
	require.NoError(t, c.authenticate(c.proof(&r.MatchingID, nil)))
	own := c.id
	for _, x := range []struct {
		rule, want string
		id         *rsptest.Identity
		edit       func(*rsp.EUICCCancelSessionSigned)
	}{
		{"signed by somebody else", "8.1/6.1", b.card(2).id, nil},
		{"another session", "8.10.1/3.9", own, func(m *rsp.EUICCCancelSessionSigned) { m.TransactionID = make([]byte, 16) }},
		{"another SM-DP+", "8.8/3.10", own, func(m *rsp.EUICCCancelSessionSigned) { m.SMDPOID = "2.999.11" }},
	} {
		c.id = x.id
		require.Equal(t, x.want, code(t, c.cancel(rsp.CancelEndUserRejection, x.edit)), x.rule)
	}
	for _, response := range [][]byte{nil, c.encode(&rsp.CancelSessionResponse{Error: ptr(5)})} {
		err := b.server.CancelSession(t.Context(), es9.CancelSession{TransactionID: c.auth.TransactionID, Response: response})
		require.Error(t, err)
	}
	require.Equal(t, mno.Released, b.state(r))
	require.Empty(t, b.news.got)
	_, err := c.get(c.consent("", nil))
	require.NoError(t, err, "the session goes on")
}

// Notifications that prove nothing change nothing, and are not asked for again.
func TestUselessNotifications(t *testing.T) {
	t.Parallel()
	var log bytes.Buffer
	b := newBench(t, func(_ *smdp.Config, s *smdp.ServerConfig) { s.Log = slog.New(slog.NewTextHandler(&log, nil)) })
	r, c := b.order(1, 11), b.card(1)
	_, err := c.download(&r.MatchingID)
	require.NoError(t, err)
	own, other := c.id, b.card(2).id
	as := func(id *rsptest.Identity, make func() []byte) []byte {
		c.id = id
		defer func() { c.id = own }()
		return make()
	}
	rows := []struct {
		rule string
		n    []byte
	}{
		{"nothing", nil},
		{"no notification", []byte("{}")},
		{"unknown session", c.result(nil, func(m *rsp.ProfileInstallationResultData) { m.TransactionID = make([]byte, 16) })},
		{"another eUICC's signature", as(other, func() []byte { return c.result(nil, nil) })},
		{"another SM-DP+", c.result(nil, func(m *rsp.ProfileInstallationResultData) { m.SMDPOID = ptr(rsp.OID("2.999.11")) })},
		{"another profile", c.result(nil, func(m *rsp.ProfileInstallationResultData) {
			m.Notification.ICCID = ptr(rsp.ICCID("89000123456789012341"))
		})},
		{"enabled before it was installed", c.event(rsp.EventEnable, nil)},
		{"another eUICC's event", as(other, func() []byte { return c.event(rsp.EventEnable, nil) })},
		{"two events", c.event(rsp.EventEnable|rsp.EventDelete, nil)},
		{"no ICCID", c.event(rsp.EventEnable, func(m *rsp.NotificationMetadata) { m.ICCID = nil })},
		{"unknown ICCID", c.event(rsp.EventEnable, func(m *rsp.NotificationMetadata) { m.ICCID = ptr(rsp.ICCID("89000123456789012341")) })},
		{"eUICC of nobody", as(otherPKI(t).EUM, func() []byte { return c.event(rsp.EventEnable, nil) })},
	}
	for i, x := range rows {
		require.NoError(t, c.notify(x.n), x.rule)
		require.Equal(t, i+1, strings.Count(log.String(), "without effect"), x.rule)
		require.Equal(t, mno.Downloaded, b.state(r), x.rule)
		require.Empty(t, b.news.got, x.rule)
	}
	failed := c.result(&rsp.InstallationFailure{Command: rsp.BPPLoadProfileElements, Reason: rsp.InstallInterrupted}, nil)
	done := c.result(nil, nil)
	require.NoError(t, c.notify(done))
	b.news.got = nil
	require.NoError(t, c.notify(failed), "a result that says otherwise, later")
	require.NoError(t, c.notify(done), "replayed")
	require.Empty(t, b.news.got)
	require.Equal(t, mno.Installed, b.state(r))
	require.NoError(t, c.notify(as(other, func() []byte { return c.event(rsp.EventDelete, nil) })))
	require.Empty(t, b.news.got)
}

func TestInstallationFailures(t *testing.T) {
	t.Parallel()
	for reason, want := range map[rsp.InstallError]string{
		rsp.InstallSCP03tSecurity:     "8.2.10/4.2",
		rsp.InstallInsufficientMemory: "8.1/4.8",
		rsp.InstallICCIDExists:        "8.2.1/3.3",
		rsp.InstallPPRNotAllowed:      "8.2.8/1.2",
		rsp.InstallDataMismatch:       "8.2.9/3.11",
	} {
		b := newBench(t)
		r, c := b.order(1, 11), b.card(1)
		_, err := c.download(&r.MatchingID)
		require.NoError(t, err)
		n := c.result(&rsp.InstallationFailure{Command: rsp.BPPLoadProfileElements, Reason: reason}, nil)
		b.news.err = mno.ErrSMDSInaccessible
		require.ErrorIs(t, c.notify(n), mno.ErrSMDSInaccessible, "not taken, so the device sends it again")
		b.news.err, b.news.got = nil, nil
		require.NoError(t, c.notify(n))
		require.Equal(t, mno.Error, b.state(r))
		require.Len(t, b.news.got, 1)
		require.Equal(t, want, code(t, b.news.got[0].Failure))
		require.Equal(t, n, b.news.got[0].Result)
		require.Equal(t, "8.8.5/4.10", code(t, c.meet(&r.MatchingID)))
	}
}
