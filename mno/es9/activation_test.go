package es9_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/iotregistry/sdk/mno/es9"
)

func TestActivationCode(t *testing.T) {
	t.Parallel()
	for _, x := range []struct {
		rule, text string
		want       es9.ActivationCode
	}{
		{"shortest", "1$smdp.example$", es9.ActivationCode{Address: "smdp.example"}},
		{"matching ID", "1$smdp.example$04386-AGYFT-A74Y8-3F815", es9.ActivationCode{Address: "smdp.example", MatchingID: "04386-AGYFT-A74Y8-3F815"}},
		{"QR code", "LPA:1$SMDP.example$A", es9.ActivationCode{Address: "SMDP.example", MatchingID: "A"}},
		{"small prefix", "lpa:1$smdp.example$A", es9.ActivationCode{Address: "smdp.example", MatchingID: "A"}},
		{"port", "1$127.0.0.1:8443$A", es9.ActivationCode{Address: "127.0.0.1:8443", MatchingID: "A"}},
		{"object identifier", "1$smdp.example$A$2.999.10", es9.ActivationCode{Address: "smdp.example", MatchingID: "A", OID: "2.999.10"}},
		{"all", "1$smdp.example$A$2.999.10$1", es9.ActivationCode{Address: "smdp.example", MatchingID: "A", OID: "2.999.10", ConfirmationCode: true}},
		{"confirmation code alone", "1$smdp.example$A$$1", es9.ActivationCode{Address: "smdp.example", MatchingID: "A", ConfirmationCode: true}},
		{"empty flag", "1$smdp.example$A$$", es9.ActivationCode{Address: "smdp.example", MatchingID: "A"}},
		{"later fields", "1$smdp.example$A$$1$x$y", es9.ActivationCode{Address: "smdp.example", MatchingID: "A", ConfirmationCode: true}},
	} {
		got, err := es9.ParseActivationCode(x.text)
		require.NoError(t, err, x.rule)
		require.True(t, x.want == got, x.rule)
	}
	for _, x := range []struct{ rule, text string }{
		{"nothing", ""}, {"prefix", "LPA:"}, {"two fields", "1$smdp.example"}, {"another format", "2$smdp.example$A"}, {"no address", "1$$A"},
		{"a path", "1$smdp.example/x$A"}, {"a user", "1$u@smdp.example$A"}, {"no port", "1$smdp.example:$A"}, {"two ports", "1$smdp.example:1:2$A"},
		{"odd port", "1$smdp.example:a$A"}, {"long port", "1$smdp.example:123456$A"}, {"small letters", "1$smdp.example$SECRETa"}, {"space", "1$smdp.example$SECRET A"},
		{"no object identifier", "1$smdp.example$SECRET$x"}, {"odd flag", "1$smdp.example$SECRET$$2"}, {"long address", "1$" + strings.Repeat("a", 256) + "$SECRET"},
		{"long", "1$smdp.example$SECRET$$$" + strings.Repeat("x", 2000)},
	} {
		got, err := es9.ParseActivationCode(x.text)
		require.ErrorIs(t, err, es9.ErrActivationCode, x.rule)
		require.NotContains(t, err.Error(), "SECRET", x.rule)
		require.True(t, es9.ActivationCode{} == got, x.rule)
	}
	_, err := es9.ActivationCode{}.Text()
	require.ErrorIs(t, err, es9.ErrActivationCode)
}

func TestActivationCodeIsSecret(t *testing.T) {
	t.Parallel()
	c := es9.ActivationCode{Address: "smdp.example", MatchingID: "SECRET"}
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q"} {
		require.NotContains(t, fmt.Sprintf(verb, c), "SECRET", verb)
		require.NotContains(t, fmt.Sprintf(verb, &c), "SECRET", verb)
	}
	require.Contains(t, fmt.Sprint(c), "smdp.example")
}
