package dane_test

import (
	"math"
	"strings"
	"testing"

	"github.com/miekg/dns"
	"github.com/stretchr/testify/require"

	"github.com/iotregistry/sdk/dane"
)

func TestDeviceName(t *testing.T) {
	t.Parallel()
	label63 := strings.Repeat("a", 63)
	longZone := strings.Repeat(label63+".", 3) // 192 with its final dot
	tests := []struct {
		id           uint64
		device, zone string
		want         string // empty: ErrInvalid
	}{
		{11, "1000000000000001", "iotregistry.ca", "11.1000000000000001.iotregistry.ca"},
		{15, "302220601105021", "iotregistry.ca.", "15.302220601105021.iotregistry.ca"},
		{1, "8912230200031060003F", "IoTRegistry.CA", "1.8912230200031060003f.iotregistry.ca"},
		{math.MaxUint64, "89049032123451234512345678901235", "z", "18446744073709551615.89049032123451234512345678901235.z"},
		{1, "0001", "z", "1.0001.z"},
		{1, "a-b", "_sub.z", "1.a-b._sub.z"},
		{1, label63, "z", "1." + label63 + ".z"},
		{1, strings.Repeat("a", 59), longZone, "1." + strings.Repeat("a", 59) + "." + strings.TrimSuffix(longZone, ".")}, // 253
		{1, strings.Repeat("a", 60), longZone, ""},
		{0, "1", "z", ""},
		{1, "", "z", ""},
		{1, label63 + "a", "z", ""},
		{1, "a.b", "z", ""},
		{1, "a b", "z", ""},
		{1, "-a", "z", ""},
		{1, "a-", "z", ""},
		{1, "_a", "z", ""},
		{1, "*", "z", ""},
		{1, `a\.b`, "z", ""},
		{1, "é", "z", ""},
		{1, "1", "", ""},
		{1, "1", ".", ""},
		{1, "1", "a..b", ""},
		{1, "1", ".z", ""},
		{1, "1", "z..", ""},
		{1, "1", "münchen.de", ""},
	}
	for _, tt := range tests {
		got, err := dane.DeviceName(tt.id, tt.device, tt.zone)
		if tt.want == "" {
			require.ErrorIs(t, err, dane.ErrInvalid, "%+v", tt)
			require.Empty(t, got)
			continue
		}
		require.NoError(t, err)
		require.Equal(t, tt.want, got)
		require.LessOrEqual(t, len(got), 253)
		id, device, err := dane.ParseDeviceName(strings.ToUpper(got)+".", tt.zone)
		require.NoError(t, err)
		require.Equal(t, tt.id, id)
		require.Equal(t, strings.ToLower(tt.device), device)
	}
}

func TestParseDeviceNameRefuses(t *testing.T) {
	t.Parallel()
	for _, name := range []string{
		"", ".", "iotregistry.ca", "11.iotregistry.ca", "11.1.2.iotregistry.ca", "011.1.iotregistry.ca",
		"0.1.iotregistry.ca", "+1.1.iotregistry.ca", "-1.1.iotregistry.ca", "x.1.iotregistry.ca",
		"18446744073709551616.1.iotregistry.ca", "11.1.eviliotregistry.ca", "11.1.iotregistry.ca.example",
		"11._device.iotregistry.ca", "1.uuid._device.iotregistry.ca", "11.*.iotregistry.ca", "11..iotregistry.ca",
		"11.1.iotregistry.ca..", "11.1.iotregistry\\.ca",
	} {
		_, _, err := dane.ParseDeviceName(name, "iotregistry.ca")
		require.ErrorIs(t, err, dane.ErrInvalid, name)
	}
	_, _, err := dane.ParseDeviceName("11.1.iotregistry.ca", "")
	require.ErrorIs(t, err, dane.ErrInvalid)
}

func TestServiceName(t *testing.T) {
	t.Parallel()
	for host, want := range map[string]string{
		"parkoserv.ca":             "_443._tcp.parkoserv.ca",
		"WWW.ParkoServ.ca.":        "_443._tcp.www.parkoserv.ca",
		"localhost":                "_443._tcp.localhost",
		"xn--mnchen-3ya.de":        "_443._tcp.xn--mnchen-3ya.de",
		"a_b.example":              "_443._tcp.a_b.example",
		"192.0.2.1":                "",
		"2001:db8::1":              "",
		"":                         "",
		"a b":                      "",
		"münchen.de":               "",
		"*.example":                "",
		strings.Repeat("a.", 123):  "", // 245 and 10 before it
		strings.Repeat("ab.", 100): "",
	} {
		got, err := dane.ServiceName(host, 443)
		if want == "" {
			require.ErrorIs(t, err, dane.ErrInvalid, host)
			continue
		}
		require.NoError(t, err)
		require.Equal(t, want, got)
	}
	_, err := dane.ServiceName("parkoserv.ca", 0)
	require.ErrorIs(t, err, dane.ErrInvalid)
	got, err := dane.ServiceName("parkoserv.ca", 65535)
	require.NoError(t, err)
	require.Equal(t, "_65535._tcp.parkoserv.ca", got)
}

func TestDanceName(t *testing.T) {
	t.Parallel()
	got, err := dane.DanceName("5F1C2E6A-0000-4000-8000-000000000001", "parkoserv.ca")
	require.NoError(t, err)
	require.Equal(t, "5f1c2e6a-0000-4000-8000-000000000001._device.parkoserv.ca", got)
	_, err = dane.DanceName("a.b", "parkoserv.ca")
	require.ErrorIs(t, err, dane.ErrInvalid)
}

func TestNaming(t *testing.T) {
	t.Parallel()
	deck, dance := "15.302220601105021.iotregistry.ca.", "302220601105021._device.iotregistry.ca."
	q := func(name string, types ...uint16) (qs []dns.Question) {
		for _, t := range types {
			qs = append(qs, dns.Question{Name: name, Qtype: t, Qclass: dns.ClassINET})
		}
		return qs
	}
	for n, want := range map[dane.Naming][]dns.Question{
		0:                  append(q(deck, dns.TypeCERT, dns.TypeTLSA), q(dance, dns.TypeTLSA)...),
		dane.Deck2020:      q(deck, dns.TypeCERT, dns.TypeTLSA),
		dane.Prototype2020: q(deck, dns.TypeCERT, dns.TypeTLSA),
		dane.Dance2022:     q(dance, dns.TypeTLSA),
	} {
		got, err := n.Questions(15, "302220601105021", "iotregistry.ca")
		require.NoError(t, err)
		require.Equal(t, want, got)
	}
	require.True(t, dane.Naming(0).Has(dane.Deck2020))
	require.True(t, dane.Naming(0).Has(dane.Dance2022))
	require.False(t, dane.Naming(0).Has(dane.Prototype2020))
	_, err := dane.Naming(0).Questions(0, "1", "iotregistry.ca")
	require.ErrorIs(t, err, dane.ErrInvalid)
	_, err = dane.Dance2022.Questions(0, "1", "iotregistry.ca") // no profile ID in such names
	require.NoError(t, err)
}

func FuzzParseDeviceName(f *testing.F) {
	f.Add("11.1000000000000001.iotregistry.ca", "iotregistry.ca")
	f.Add("1.8912230200031060003F.iotregistry.ca.", "IOTREGISTRY.CA.")
	f.Add("0.a.b", "b")
	f.Add("1..", ".")
	f.Fuzz(func(t *testing.T, name, zone string) {
		id, device, err := dane.ParseDeviceName(name, zone)
		if err != nil {
			require.ErrorIs(t, err, dane.ErrInvalid)
			return
		}
		// What parses is what DeviceName builds.
		built, err := dane.DeviceName(id, device, zone)
		require.NoError(t, err)
		require.True(t, strings.EqualFold(built, strings.TrimSuffix(name, ".")))
		_, ok := dns.IsDomainName(built)
		require.True(t, ok)
	})
}
