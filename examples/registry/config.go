package main

import (
	"time"

	"github.com/iotregistry/sdk/registry"
)

// config is the configuration file. The doc tags are what -print-config shows.
type config struct {
	Zone         string `json:"zone" doc:"DNS zone of the registry, and its name in every profile: never change it."`
	Organization string `json:"organization" doc:"Name for people, in certificates. Counts when the authority is made."`
	Data         string `json:"data" doc:"Folder for keys, certificates and the database; made with mode 0700. Paths start where the program does."`
	Store        string `json:"store" doc:"SQLite file, or postgres://...; empty for registry.db in the data folder. One process at a time."`
	Operator     string `json:"operator" doc:"Account that runs the registry; made at the first start, with a token in DATA/operator.token."`

	Listen  string   `json:"listen" doc:"Address of the API over HTTPS."`
	TLS     tlsFiles `json:"tls" doc:"Certificate of the API. Empty: one of the registry's own CA, whose certificate is DATA/ca.pem."`
	Metrics string   `json:"metrics" doc:"Address of /metrics over plain HTTP, for operators only; empty for none."`
	DNS     dnsCfg   `json:"dns" doc:"The zone's server. It must be up whenever devices connect."`

	Keys      keyURIs            `json:"keys" doc:"Private keys: files, or URIs such as softkms:path=FILE;pin-source=FILE. Empty: files in DATA/keys, made at the first start."`
	Operators []operatorCfg      `json:"operators" doc:"Mobile network operators that deliver profiles, each with its account, which is made."`
	Accounts  []registry.Account `json:"accounts" doc:"Accounts that are put at each start: id, role, name, host, port, trust, webhook."`

	Policy   policyCfg  `json:"policy" doc:"Rules. Durations are such as 72h or 15m."`
	Rate     rateCfg    `json:"rate" doc:"How often one account may call."`
	RDAP     rdapCfg    `json:"rdap" doc:"Look-ups at /rdap/ of who answers for a device."`
	Webhooks webhookCfg `json:"webhooks" doc:"Calls to accounts that have a webhook and messages."`
	Log      logCfg     `json:"log" doc:"The log on standard error."`
	Work     duration   `json:"work" doc:"How often to look for work that is owed or due."`
	Drain    duration   `json:"drain" doc:"How long calls under way may take when the program is told to end."`
}

type tlsFiles struct {
	Cert  string   `json:"cert" doc:"PEM file, leaf first."`
	Key   string   `json:"key" doc:"PEM file of its key."`
	Names []string `json:"names" doc:"Names and addresses for the certificate of the registry's own CA, besides localhost and the address it listens on."`
}

type dnsCfg struct {
	Listen string   `json:"listen" doc:"Address over UDP and TCP."`
	NS     []string `json:"ns" doc:"Names of the zone's servers; empty for ns. and the zone."`
	TTL    uint32   `json:"ttl" doc:"TTL of CERT records in seconds: how long a withdrawn one may live on in caches."`
}

type keyURIs struct {
	Root   string `json:"root" doc:"Root of the profile authority; needed once, then best kept offline."`
	Issuer string `json:"issuer" doc:"Signs certificates and profiles."`
	KSK    string `json:"ksk" doc:"Signs the zone's keys."`
	ZSK    string `json:"zsk" doc:"Signs the zone's records."`
	Audit  string `json:"audit" doc:"Signs the heads of the audit trail; its public key is in DATA/audit-key.pem."`
}

type operatorCfg struct {
	Account   string `json:"account" doc:"Account ID."`
	Simulate  bool   `json:"simulate" doc:"Play an operator whose devices install what they get at once. For trying things out."`
	ES2       string `json:"es2" doc:"Base URL of its SM-DP+, without the paths of ES2+."`
	CA        string `json:"ca" doc:"PEM file with what vouches for the SM-DP+'s certificate; empty for the system's."`
	Cert      string `json:"cert" doc:"PEM file with the registry's client certificate."`
	Key       string `json:"key" doc:"PEM file with its key."`
	Requester string `json:"requester" doc:"functionRequesterIdentifier; empty for the zone."`
}

type policyCfg struct {
	FirstProfile   uint64   `json:"firstProfile" doc:"Number of the first profile ever."`
	Wait           duration `json:"wait" doc:"How long the losing provider may think; 0s lets the owner's code decide at once."`
	Undo           duration `json:"undo" doc:"How long a transfer can be undone."`
	Lock           bool     `json:"lock" doc:"Refuse a transfer while the last one can be undone."`
	Overlap        duration `json:"overlap" doc:"How long a replaced profile stays valid at most."`
	CodeTTL        duration `json:"codeTTL" doc:"Life of an authorization code."`
	Validity       duration `json:"validity" doc:"Life of a device's certificate."`
	EnrollEvery    duration `json:"enrollEvery" doc:"How long a device waits between two new keys of its card."`
	Redemption     duration `json:"redemption" doc:"How long a deleted device can be restored."`
	PurgeAfter     duration `json:"purgeAfter" doc:"How long after that it is forgotten."`
	AllowUnclaimed bool     `json:"allowUnclaimed" doc:"Believe public keys that only an owner's list gives: whoever edits the list can then read profiles."`
}

type rateCfg struct {
	PerSecond float64 `json:"perSecond" doc:"Calls a second in the long run; 0 for no limit."`
	Burst     int     `json:"burst" doc:"Calls at once."`
}

type rdapCfg struct {
	Public bool   `json:"public" doc:"Show everybody that a device exists, and who answers for it."`
	Base   string `json:"base" doc:"URL under which the world finds /rdap/, for links; may be empty."`
}

type webhookCfg struct {
	Enabled bool `json:"enabled" doc:"Make such calls."`
	Private bool `json:"private" doc:"Also to addresses that are not public."`
}

type logCfg struct {
	Format string `json:"format" doc:"text or json."`
	Level  string `json:"level" doc:"debug, info, warn or error."`
}

// duration is a time.Duration that reads and writes itself as 72h0m0s.
type duration time.Duration

// MarshalText writes the duration as package time does.
func (d duration) MarshalText() ([]byte, error) { return []byte(time.Duration(d).String()), nil }

// UnmarshalText reads what package time reads.
func (d *duration) UnmarshalText(text []byte) error {
	v, err := time.ParseDuration(string(text))
	*d = duration(v)
	return err
}

func (d duration) std() time.Duration { return time.Duration(d) }
