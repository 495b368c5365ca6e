package cert_test

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"encoding/pem"
	"math/big"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/iotregistry/sdk/internal/rsp"
	"github.com/iotregistry/sdk/internal/rsp/cert"
	"github.com/iotregistry/sdk/internal/rsp/rsptest"
)

var start = time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)

func at(t time.Time) func() time.Time { return func() time.Time { return t } }

func newPKI(t testing.TB) (*rsptest.PKI, *cert.Verifier) {
	p, err := rsptest.New(start)
	require.NoError(t, err)
	return p, &cert.Verifier{CIs: [][]byte{p.CI.DER}, Now: at(start.AddDate(1, 0, 0))}
}

func refused(t *testing.T, err, want error, subject, reason string) {
	t.Helper()
	require.ErrorIs(t, err, want)
	var e *cert.Error
	require.ErrorAs(t, err, &e)
	require.Equal(t, rsp.Status{Subject: subject, Reason: reason}, e.Status, "%v", err)
}

func TestSGP26Chains(t *testing.T) {
	t.Parallel()
	p := rsptest.SGP26(t)
	v := &cert.Verifier{CIs: [][]byte{p.CI.DER}, Now: at(start)}
	card, err := v.EUICC(rsptest.SGP26EUICC(t).DER, p.EUM.DER, p.CI.Certificate.SubjectKeyId)
	require.NoError(t, err)
	require.Equal(t, rsptest.EID, card.EID.String())
	auth, err := v.Server(cert.RoleDPAuth, p.DPAuth.DER, nil)
	require.NoError(t, err)
	pb, err := v.Server(cert.RoleDPPB, p.DPPB.DER, nil)
	require.NoError(t, err)
	require.Equal(t, rsp.OID(rsptest.SMDPOID), auth.OID)
	require.NoError(t, cert.SameServer(auth, pb))

	other, err := p.EUICC("89049032000000000000000000000023")
	require.NoError(t, err)
	card, err = v.EUICC(other.DER, p.EUM.DER, nil)
	require.NoError(t, err)
	require.Equal(t, "89049032000000000000000000000023", card.EID.String())
	require.True(t, other.Key.PublicKey.Equal(card.PublicKey))

	v.Now = at(time.Date(2030, 3, 31, 0, 0, 0, 0, time.UTC))
	_, err = v.Server(cert.RoleDPAuth, p.DPAuth.DER, nil)
	refused(t, err, cert.ErrValidity, "8.8.4", "6.3")
	require.ErrorContains(t, err, "DPauth (8.8.4/6.3)")
}

// OpenSSL agrees about all but the eUICC, whose name it compares with the EUM's
// constraint as a whole, and therefore finds it outside.
func TestOpenSSLAgrees(t *testing.T) {
	t.Parallel()
	openssl, err := exec.LookPath("openssl")
	if err != nil {
		t.Skip("openssl is not installed")
	}
	p := rsptest.SGP26(t)
	dir := t.TempDir()
	write := func(name string, der []byte) string {
		file := filepath.Join(dir, name)
		require.NoError(t, os.WriteFile(file, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), 0o600))
		return file
	}
	own, v := newPKI(t)
	_, err = v.Server(cert.RoleDPPB, own.DPPB.DER, nil)
	require.NoError(t, err)
	for _, c := range []struct {
		rule     string
		ci, leaf []byte
		good     bool
	}{
		{"EUM", p.CI.DER, p.EUM.DER, true},
		{"DPauth", p.CI.DER, p.DPAuth.DER, true},
		{"DPpb", p.CI.DER, p.DPPB.DER, true},
		{"DPpb minted here", own.CI.DER, own.DPPB.DER, true},
		{"DPpb of another CI", own.CI.DER, p.DPPB.DER, false},
	} {
		out, err := exec.CommandContext(t.Context(), openssl, "verify", "-attime", "1798761600", // 2027-01-01
			"-CAfile", write("ci.pem", c.ci), write("leaf.pem", c.leaf)).CombinedOutput()
		require.Equal(t, c.good, err == nil, "%s: %s", c.rule, out)
	}
}

// with returns a certificate that differs from what its role wants.
func with(t *testing.T, p *rsptest.PKI, issuer *rsptest.Identity, role cert.Role, change func(c *x509.Certificate)) *rsptest.Identity {
	t.Helper()
	c, err := p.Template(role)
	require.NoError(t, err)
	change(c)
	id, err := rsptest.Issue(issuer, c)
	require.NoError(t, err)
	return id
}

func extension(critical bool, value []byte, arcs ...int) pkix.Extension {
	return pkix.Extension{Id: asn1.ObjectIdentifier(arcs), Critical: critical, Value: value}
}

func TestEUICCRules(t *testing.T) {
	t.Parallel()
	keep := func(*x509.Certificate) {}
	for _, c := range []struct {
		rule    string
		eum     func(c *x509.Certificate)
		euicc   func(c *x509.Certificate)
		want    error // nil: good
		subject string
		reason  string
	}{
		{"as it should be", keep, keep, nil, "", ""},
		{"list of EINs in place of name constraints", func(c *x509.Certificate) {
			c.ExtraExtensions[1] = rsptest.PermittedEINs("89033023", rsptest.EIN)
		}, keep, nil, "", ""},
		{"list of EINs and name constraints: both hold", func(c *x509.Certificate) {
			c.ExtraExtensions = append(c.ExtraExtensions, rsptest.PermittedEINs("89033023"))
		}, keep, cert.ErrRange, "8.1.3", "6.1"},
		{"EID outside the list of EINs", func(c *x509.Certificate) {
			c.ExtraExtensions[1] = rsptest.PermittedEINs("89033023")
		}, keep, cert.ErrRange, "8.1.3", "6.1"},
		{"EIN of other characters", func(c *x509.Certificate) {
			c.ExtraExtensions[1] = rsptest.PermittedEINs("8904903?")
		}, keep, cert.ErrConstraints, "8.1.2", "6.1"},
		{"EIN that is too short", func(c *x509.Certificate) {
			c.ExtraExtensions[1] = rsptest.PermittedEINs("")
		}, keep, cert.ErrConstraints, "8.1.2", "6.1"},
		{"no limits at all", func(c *x509.Certificate) { c.ExtraExtensions = c.ExtraExtensions[:1] }, keep, cert.ErrConstraints, "8.1.2", "6.1"},
		{"name constraints not critical", func(c *x509.Certificate) { c.ExtraExtensions[1].Critical = false }, keep, cert.ErrConstraints, "8.1.2", "6.1"},
		{"name constraints with a DNS name", func(c *x509.Certificate) {
			c.ExtraExtensions[1].Value = []byte{0x30, 0x0B, 0xA0, 0x09, 0x30, 0x07, 0x82, 0x05, 'a', '.', 'c', 'o', 'm'}
		}, keep, cert.ErrConstraints, "8.1.2", "6.1"},
		{"name constraints that exclude", func(c *x509.Certificate) {
			v := bytes.Clone(c.ExtraExtensions[1].Value)
			v[2] = 0xA1
			c.ExtraExtensions[1].Value = v
		}, keep, cert.ErrConstraints, "8.1.2", "6.1"},
		{"name constraints without digits", func(c *x509.Certificate) {
			c.ExtraExtensions[1] = rsptest.NameConstraint(rsptest.Organization, "")
		}, keep, cert.ErrConstraints, "8.1.2", "6.1"},
		{"EUM may have EUMs below it", func(c *x509.Certificate) { c.MaxPathLenZero, c.MaxPathLen = false, -1 }, keep, cert.ErrKeyUsage, "8.1.2", "6.1"},
		{"EUM may also sign data", func(c *x509.Certificate) { c.KeyUsage |= x509.KeyUsageDigitalSignature }, keep, cert.ErrKeyUsage, "8.1.2", "6.1"},
		{"EUM may also sign CRLs, as some in the field do", func(c *x509.Certificate) { c.KeyUsage |= x509.KeyUsageCRLSign }, keep, nil, "", ""},
		{"EUM signs CRLs only", func(c *x509.Certificate) { c.KeyUsage = x509.KeyUsageCRLSign }, keep, cert.ErrKeyUsage, "8.1.2", "6.1"},
		{"EUM is no CA", func(c *x509.Certificate) { c.IsCA, c.MaxPathLenZero = false, false }, keep, cert.ErrKeyUsage, "8.1.2", "6.1"},
		{"EUM in the role of a DPauth", func(c *x509.Certificate) { c.ExtraExtensions[0] = rsptest.Policy(cert.RoleDPAuth) }, keep, cert.ErrRole, "8.1.2", "6.1"},
		{"EUM with an unknown critical extension", func(c *x509.Certificate) {
			c.ExtraExtensions = append(c.ExtraExtensions, extension(true, []byte{5, 0}, 2, 999, 1))
		}, keep, cert.ErrCritical, "8.1.2", "6.1"},
		{"EUM not valid yet", func(c *x509.Certificate) { c.NotBefore = start.AddDate(2, 0, 0) }, keep, cert.ErrValidity, "8.1.2", "6.3"},
		{"EUM not valid any more", func(c *x509.Certificate) { c.NotAfter = start.AddDate(0, 1, 0) }, keep, cert.ErrValidity, "8.1.2", "6.3"},

		{"EID of another EUM", keep, func(c *x509.Certificate) { c.Subject.SerialNumber = "89033023123451234512345678901235" }, cert.ErrRange, "8.1.3", "6.1"},
		{"organization of another EUM", keep, func(c *x509.Certificate) { c.Subject.Organization = []string{"Other"} }, cert.ErrRange, "8.1.3", "6.1"},
		{"no organization", keep, func(c *x509.Certificate) { c.Subject.Organization = nil }, cert.ErrRange, "8.1.3", "6.1"},
		{"two organizations", keep, func(c *x509.Certificate) { c.Subject.Organization = []string{rsptest.Organization, "Other"} }, cert.ErrRange, "8.1.3", "6.1"},
		{"two EIDs", keep, func(c *x509.Certificate) {
			c.Subject.ExtraNames = []pkix.AttributeTypeAndValue{
				{Type: asn1.ObjectIdentifier{2, 5, 4, 5}, Value: rsptest.EID},
				{Type: asn1.ObjectIdentifier{2, 5, 4, 5}, Value: "89033023123451234512345678901235"},
			}
		}, cert.ErrEID, "8.1.3", "6.1"},
		{"EID of 31 digits", keep, func(c *x509.Certificate) { c.Subject.SerialNumber = rsptest.EID[:31] }, cert.ErrEID, "8.1.3", "6.1"},
		{"EID with a letter", keep, func(c *x509.Certificate) { c.Subject.SerialNumber = rsptest.EID[:31] + "a" }, cert.ErrEID, "8.1.3", "6.1"},
		{"no EID", keep, func(c *x509.Certificate) { c.Subject.SerialNumber = "" }, cert.ErrEID, "8.1.3", "6.1"},
		{"eUICC not valid any more", keep, func(c *x509.Certificate) { c.NotAfter = start.AddDate(0, 1, 0) }, cert.ErrValidity, "8.1.3", "6.3"},
		{"eUICC is a CA", keep, func(c *x509.Certificate) { c.IsCA, c.KeyUsage = true, x509.KeyUsageCertSign }, cert.ErrKeyUsage, "8.1.3", "6.1"},
		{"eUICC agrees on keys", keep, func(c *x509.Certificate) { c.KeyUsage |= x509.KeyUsageKeyAgreement }, cert.ErrKeyUsage, "8.1.3", "6.1"},
		{"eUICC without policy", keep, func(c *x509.Certificate) { c.ExtraExtensions = nil }, cert.ErrRole, "8.1.3", "6.1"},
		{"eUICC with its policy not critical", keep, func(c *x509.Certificate) { c.ExtraExtensions[0].Critical = false }, cert.ErrRole, "8.1.3", "6.1"},
		{"eUICC with limits of its own", keep, func(c *x509.Certificate) {
			c.ExtraExtensions = append(c.ExtraExtensions, rsptest.NameConstraint(rsptest.Organization, rsptest.EIN))
		}, cert.ErrCritical, "8.1.3", "6.1"},
		{"eUICC with a critical extended key usage", keep, func(c *x509.Certificate) {
			c.ExtraExtensions = append(c.ExtraExtensions, extension(true, []byte{0x30, 0x0A, 6, 8, 0x2B, 6, 1, 5, 5, 7, 3, 1}, 2, 5, 29, 37))
		}, cert.ErrCritical, "8.1.3", "6.1"},
	} {
		t.Run(c.rule, func(t *testing.T) {
			t.Parallel()
			p, v := newPKI(t)
			eum := with(t, p, p.CI, cert.RoleEUM, c.eum)
			euicc := with(t, p, eum, cert.RoleEUICC, c.euicc)
			_, err := v.EUICC(euicc.DER, eum.DER, p.CI.Certificate.SubjectKeyId)
			if c.want == nil {
				require.NoError(t, err)
				return
			}
			refused(t, err, c.want, c.subject, c.reason)
		})
	}
}

func TestIssuersAreMoreThanKeyIDs(t *testing.T) {
	t.Parallel()
	p, v := newPKI(t)
	euicc, err := p.EUICC(rsptest.EID)
	require.NoError(t, err)

	_, err = v.EUICC(euicc.DER, p.EUM.DER, []byte("another key ID"))
	refused(t, err, cert.ErrUnknownCI, "8.11.1", "3.9")
	_, err = (&cert.Verifier{Now: v.Now}).EUICC(euicc.DER, p.EUM.DER, nil)
	refused(t, err, cert.ErrUnknownCI, "8.11.1", "3.9")

	// A stranger's CI and EUM with the names and key IDs of the real ones.
	ci := with(t, p, nil, cert.RoleCI, func(c *x509.Certificate) { c.SubjectKeyId = p.CI.Certificate.SubjectKeyId })
	eum := with(t, p, ci, cert.RoleEUM, func(c *x509.Certificate) {})
	fake, err := (&rsptest.PKI{EUM: eum, Start: start}).EUICC(rsptest.EID)
	require.NoError(t, err)
	_, err = v.EUICC(fake.DER, eum.DER, nil)
	refused(t, err, cert.ErrIssuer, "8.1.2", "6.1")

	twin := with(t, p, p.CI, cert.RoleEUM, func(c *x509.Certificate) { c.SubjectKeyId = p.EUM.Certificate.SubjectKeyId })
	_, err = v.EUICC(euicc.DER, twin.DER, nil)
	refused(t, err, cert.ErrIssuer, "8.1.3", "6.1")
	_, err = v.EUICC(p.DPAuth.DER, p.EUM.DER, nil)
	refused(t, err, cert.ErrRole, "8.1.3", "6.1")
	renamed := with(t, p, p.CI, cert.RoleEUM, func(c *x509.Certificate) { c.Subject.CommonName = "Other" })
	_, err = v.EUICC(euicc.DER, renamed.DER, nil)
	refused(t, err, cert.ErrIssuer, "8.1.3", "6.1")

	v.Now = at(start.AddDate(20, 0, 0))
	_, err = v.EUICC(euicc.DER, p.EUM.DER, nil)
	refused(t, err, cert.ErrValidity, "8.11.1", "3.9")
}

func TestServerRules(t *testing.T) {
	t.Parallel()
	p, v := newPKI(t)
	auth, err := v.Server(cert.RoleDPAuth, p.DPAuth.DER, nil)
	require.NoError(t, err)
	for _, c := range []struct {
		rule   string
		change func(c *x509.Certificate)
		want   error
	}{
		{"no object identifier", func(c *x509.Certificate) { c.ExtraExtensions = c.ExtraExtensions[:1] }, cert.ErrOID},
		{"two object identifiers", func(c *x509.Certificate) {
			c.ExtraExtensions[1].Value = []byte{0x30, 8, 0x88, 2, 0x2A, 1, 0x88, 2, 0x2A, 2}
		}, cert.ErrOID},
		{"object identifier cut short", func(c *x509.Certificate) { c.ExtraExtensions[1].Value = []byte{0x30, 4, 0x88, 2, 0x2A, 0x81} }, cert.ErrOID},
		{"role of DPauth", func(c *x509.Certificate) { c.ExtraExtensions[0] = rsptest.Policy(cert.RoleDPAuth) }, cert.ErrRole},
		{"signs certificates", func(c *x509.Certificate) { c.IsCA, c.KeyUsage = true, x509.KeyUsageCertSign }, cert.ErrKeyUsage},
	} {
		pb := with(t, p, p.CI, cert.RoleDPPB, c.change)
		_, err := v.Server(cert.RoleDPPB, pb.DER, nil)
		require.ErrorIs(t, err, c.want, c.rule)
		refused(t, err, c.want, "8.8.4", "6.1")
	}
	other := with(t, p, p.CI, cert.RoleDPPB, func(c *x509.Certificate) { c.ExtraExtensions[1] = rsptest.RegisteredID(2, 999, 11) })
	pb, err := v.Server(cert.RoleDPPB, other.DER, nil)
	require.NoError(t, err)
	require.ErrorIs(t, cert.SameServer(auth, pb), cert.ErrOtherServer)
	require.ErrorIs(t, cert.SameServer(pb, auth), cert.ErrOtherServer)

	critical := with(t, p, p.CI, cert.RoleDPPB, func(c *x509.Certificate) { c.ExtraExtensions[1].Critical = true })
	pb, err = v.Server(cert.RoleDPPB, critical.DER, nil)
	require.NoError(t, err, "a critical alternative name is enforced")
	require.NoError(t, cert.SameServer(auth, pb))

	tls, err := p.TLS("smdp.example")
	require.NoError(t, err)
	_, err = v.Server(cert.RoleDPTLS, tls.DER, nil)
	require.ErrorIs(t, err, cert.ErrRole)
}

func TestOtherKeysAreRefused(t *testing.T) {
	t.Parallel()
	p, v := newPKI(t)
	template, err := p.Template(cert.RoleDPPB)
	require.NoError(t, err)
	key, err := ecdsa.GenerateKey(elliptic.P384(), rand.Reader)
	require.NoError(t, err)
	pb, err := rsptest.IssueFor(p.CI, template, key)
	require.NoError(t, err)
	_, err = v.Server(cert.RoleDPPB, pb.DER, nil)
	refused(t, err, cert.ErrFormat, "8.8.4", "6.1")
	_, err = v.Server(cert.RoleDPPB, make([]byte, 1<<20), nil)
	refused(t, err, cert.ErrFormat, "8.8.4", "6.1")
	_, err = v.EUICC(nil, nil, nil)
	refused(t, err, cert.ErrFormat, "8.1.2", "6.1")
}

func TestRoleNames(t *testing.T) {
	t.Parallel()
	require.Equal(t, "DPpb", cert.RoleDPPB.String())
	require.Equal(t, "role 9", cert.Role(9).String())
}

// Whatever a device sends as its certificates, nothing but what the EUM signed is
// accepted, and nothing panics.
func FuzzEUICC(f *testing.F) {
	p, v := newPKI(f)
	euicc, err := p.EUICC(rsptest.EID)
	require.NoError(f, err)
	f.Add(euicc.DER, p.EUM.DER)
	f.Add(p.DPAuth.DER, p.EUM.DER)
	f.Add(euicc.DER, p.CI.DER)
	f.Fuzz(func(t *testing.T, leaf, eum []byte) {
		card, err := v.EUICC(leaf, eum, nil)
		if err == nil {
			require.Equal(t, rsptest.EID, card.EID.String())
			require.Equal(t, euicc.Certificate.RawTBSCertificate, card.Leaf.RawTBSCertificate)
		}
		_, _ = v.Server(cert.RoleDPAuth, leaf, nil)
	})
}

// Whatever a CI has put into the extensions that are read here, they are
// understood or refused.
func FuzzExtensions(f *testing.F) {
	p, v := newPKI(f)
	f.Add(rsptest.NameConstraint(rsptest.Organization, rsptest.EIN).Value, rsptest.PermittedEINs(rsptest.EIN).Value, rsptest.RegisteredID(2, 999, 10).Value)
	f.Fuzz(func(t *testing.T, names, eins, alternatives []byte) {
		c, err := p.Template(cert.RoleEUM)
		require.NoError(t, err)
		c.ExtraExtensions[1].Value = names
		c.ExtraExtensions = append(c.ExtraExtensions, extension(false, eins, 2, 23, 146, 1, 2, 2, 0))
		if eum, err := rsptest.Issue(p.CI, c); err == nil {
			euicc, err := (&rsptest.PKI{EUM: eum, Start: start}).EUICC(rsptest.EID)
			require.NoError(t, err)
			if _, err := v.EUICC(euicc.DER, eum.DER, nil); err == nil {
				require.Contains(t, string(names), rsptest.EID[:8])
				require.Contains(t, string(eins), rsptest.EID[:8])
			}
		}
		if c, err = p.Template(cert.RoleDPAuth); err == nil {
			c.ExtraExtensions[1].Value = alternatives
			if auth, err := rsptest.Issue(p.CI, c); err == nil {
				server, err := v.Server(cert.RoleDPAuth, auth.DER, nil)
				require.True(t, err != nil || server.OID != "")
			}
		}
	})
}

// A CI that renews its certificate keeps its key: both are trusted, and which of
// them is valid counts.
func TestRenewedCI(t *testing.T) {
	t.Parallel()
	p, v := newPKI(t)
	euicc, err := p.EUICC(rsptest.EID)
	require.NoError(t, err)
	template, err := p.Template(cert.RoleCI)
	require.NoError(t, err)
	template.SerialNumber, template.NotAfter = big.NewInt(77), start.AddDate(0, 6, 0)
	template.SubjectKeyId = p.CI.Certificate.SubjectKeyId
	der, err := x509.CreateCertificate(rand.Reader, template, template, p.CI.Certificate.PublicKey, p.CI.Key)
	require.NoError(t, err)
	for _, cis := range [][][]byte{{der, p.CI.DER}, {p.CI.DER, der}} {
		v.CIs = cis
		_, err = v.EUICC(euicc.DER, p.EUM.DER, nil)
		require.NoError(t, err)
		_, err = v.Server(cert.RoleDPAuth, p.DPAuth.DER, nil)
		require.NoError(t, err)
	}
	v.CIs = [][]byte{der}
	_, err = v.EUICC(euicc.DER, p.EUM.DER, nil)
	refused(t, err, cert.ErrValidity, "8.11.1", "3.9")
}

// What is forged is called forged, also where it has run out besides.
func TestForgedBeforeExpired(t *testing.T) {
	t.Parallel()
	p, v := newPKI(t)
	expired := func(c *x509.Certificate) { c.NotAfter = start.AddDate(0, 1, 0) }
	ci := with(t, p, nil, cert.RoleCI, func(c *x509.Certificate) { c.SubjectKeyId = p.CI.Certificate.SubjectKeyId })
	eum := with(t, p, ci, cert.RoleEUM, func(*x509.Certificate) {})
	_, err := v.EUICC(with(t, p, eum, cert.RoleEUICC, expired).DER, eum.DER, nil)
	refused(t, err, cert.ErrIssuer, "8.1.2", "6.1")
	eum = with(t, p, ci, cert.RoleEUM, expired)
	_, err = v.EUICC(with(t, p, eum, cert.RoleEUICC, func(*x509.Certificate) {}).DER, eum.DER, nil)
	refused(t, err, cert.ErrIssuer, "8.1.2", "6.1")
	twin := with(t, p, p.CI, cert.RoleEUM, func(c *x509.Certificate) { c.SubjectKeyId = p.EUM.Certificate.SubjectKeyId })
	_, err = v.EUICC(with(t, p, twin, cert.RoleEUICC, expired).DER, p.EUM.DER, nil)
	refused(t, err, cert.ErrIssuer, "8.1.3", "6.1")
}

// What an attacker may put together from parts that somebody has signed.
func TestBentChains(t *testing.T) {
	t.Parallel()
	p, v := newPKI(t)
	keep := func(*x509.Certificate) {}
	other, err := rsptest.New(start)
	require.NoError(t, err)
	euicc, err := p.EUICC(rsptest.EID)
	require.NoError(t, err)
	foreign, err := other.EUICC(rsptest.EID)
	require.NoError(t, err)
	// An EUM that nobody has signed, named like the CI and with its key ID, between
	// the CI and what the CI signed itself.
	nobody := with(t, p, nil, cert.RoleCI, func(c *x509.Certificate) { c.SubjectKeyId = p.CI.Certificate.SubjectKeyId })
	likeCI := with(t, p, nobody, cert.RoleEUM, func(c *x509.Certificate) {
		c.Subject, c.SubjectKeyId, c.AuthorityKeyId = p.CI.Certificate.Subject, p.CI.Certificate.SubjectKeyId, p.CI.Certificate.SubjectKeyId
	})
	byCI := with(t, p, p.CI, cert.RoleEUICC, func(c *x509.Certificate) { c.Subject.SerialNumber = rsptest.EID })
	// The true EUM's key under limits of its own making.
	template, err := p.Template(cert.RoleEUM)
	require.NoError(t, err)
	template.ExtraExtensions[1] = rsptest.NameConstraint(rsptest.Organization, "89033023")
	wider, err := rsptest.IssueFor(nobody, template, p.EUM.Key)
	require.NoError(t, err)
	wide := with(t, p, p.EUM, cert.RoleEUICC, func(c *x509.Certificate) { c.Subject.SerialNumber = "89033023123451234512345678901235" })
	below := with(t, p, p.EUM, cert.RoleEUM, func(c *x509.Certificate) { c.Subject.CommonName = "EUM below" })
	for rule, c := range map[string][2][]byte{
		"EUM and CI change places":          {euicc.DER, p.CI.DER},
		"eUICC and EUM change places":       {p.EUM.DER, euicc.DER},
		"eUICC twice":                       {euicc.DER, euicc.DER},
		"EUM as eUICC":                      {p.EUM.DER, p.EUM.DER},
		"CI as eUICC":                       {p.CI.DER, p.EUM.DER},
		"DPauth as EUM":                     {euicc.DER, p.DPAuth.DER},
		"DPpb as eUICC":                     {p.DPPB.DER, p.EUM.DER},
		"EUM of another CI":                 {euicc.DER, other.EUM.DER},
		"eUICC of another CI's EUM":         {foreign.DER, p.EUM.DER},
		"all of another CI":                 {foreign.DER, other.EUM.DER},
		"eUICC of the CI, forged EUM":       {byCI.DER, likeCI.DER},
		"eUICC of the CI, true EUM":         {byCI.DER, p.EUM.DER},
		"eUICC of the CI, CI as EUM":        {byCI.DER, p.CI.DER},
		"EUM with limits of its own making": {wide.DER, wider.DER},
		"EUM of an EUM":                     {with(t, p, below, cert.RoleEUICC, keep).DER, below.DER},
	} {
		_, err := v.EUICC(c[0], c[1], nil)
		var e *cert.Error
		require.ErrorAs(t, err, &e, rule)
	}
	// Cross-signed: one key under two CIs. Each chain is that of the CI it names.
	cross := with(t, p, other.CI, cert.RoleEUM, func(c *x509.Certificate) {
		c.Subject, c.SubjectKeyId = p.EUM.Certificate.Subject, p.EUM.Certificate.SubjectKeyId
	})
	v.CIs = append(v.CIs, other.CI.DER)
	_, err = v.EUICC(euicc.DER, cross.DER, nil)
	require.Error(t, err, "another key under the same name")
	card, err := v.EUICC(foreign.DER, other.EUM.DER, other.CI.Certificate.SubjectKeyId)
	require.NoError(t, err)
	require.Equal(t, other.CI.Certificate.SubjectKeyId, card.CIKeyID)
	_, err = v.EUICC(foreign.DER, other.EUM.DER, p.CI.Certificate.SubjectKeyId)
	refused(t, err, cert.ErrUnknownCI, "8.11.1", "3.9")
}
