package main

import (
	"cmp"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/spf13/pflag"

	"github.com/enactlog/enact/codec"
	"github.com/enactlog/enact/internal/natsurl"
	"github.com/enactlog/enact/jetstore"
)

// Variables that stand for flags which are not given, as for the nats CLI.
const (
	serverVariable  = "NATS_URL"
	contextVariable = "NATS_CONTEXT"
)

// connectionFlags say where the log is, who asks, and how the log is laid out.
type connectionFlags struct {
	store string

	context  string
	server   string
	creds    string
	nkey     string
	user     string
	password string
	tlsCert  string
	tlsKey   string
	tlsCA    string
	inbox    string
	domain   string
	api      string

	stream    string
	prefix    string
	perTenant bool
	keys      string
}

// networkFlag is a flag that says how to reach a server in another process.
type networkFlag struct {
	name, usage string
	variable    string // of the environment; "": none
	value       *string
}

func (c *connectionFlags) network() []networkFlag {
	return []networkFlag{
		{"context", "context of the nats CLI, by name or absolute path (default the selected one)", contextVariable, &c.context},
		{"server", "`URL` of the NATS server, several separated by commas", serverVariable, &c.server},
		{"creds", "credentials `file`", "NATS_CREDS", &c.creds},
		{"nkey", "`file` of an nkey's seed", "NATS_NKEY", &c.nkey},
		{"user", "user, or, without --password, token", "NATS_USER", &c.user},
		{"password", "password of --user", "NATS_PASSWORD", &c.password},
		{"tlscert", "client certificate `file`", "NATS_CERT", &c.tlsCert},
		{"tlskey", "client key `file`", "NATS_KEY", &c.tlsKey},
		{"tlsca", "certificate authority `file`", "NATS_CA", &c.tlsCA},
		{"inbox-prefix", "`prefix` of the subjects that answers come to", "", &c.inbox},
		{"js-domain", "JetStream `domain` of the log", "", &c.domain},
		{"js-api-prefix", "subject `prefix` of the JetStream API, where it is imported", "", &c.api},
	}
}

func (c *connectionFlags) add(flags *pflag.FlagSet) {
	flags.StringVar(&c.store, "store", "", "`directory` of a log, opened by a server in this program")
	for _, f := range c.network() {
		usage := f.usage
		if f.variable != "" {
			usage += " (env " + f.variable + ")"
		}
		flags.StringVar(f.value, f.name, "", usage)
	}
	flags.StringVar(&c.stream, "stream", jetstore.DefaultStream, "`name` of the log's stream")
	flags.StringVar(&c.prefix, "prefix", "", "`prefix` of the log's subjects (default \"enact\")")
	flags.BoolVar(&c.perTenant, "per-tenant", false, "the log has a stream for each tenant")
	flags.StringVar(&c.keys, "keys", "", "key `file`, to read what is encrypted, and to encrypt what is written")
}

// given reports whether any of the flags is on the command line.
func (*connectionFlags) given(flags *pflag.FlagSet) bool {
	var own pflag.FlagSet
	new(connectionFlags).add(&own)
	found := false
	own.VisitAll(func(f *pflag.Flag) { found = found || flags.Changed(f.Name) })
	return found
}

// resolve refuses flags that contradict each other, and fills in from the environment
// what no flag says. What neither says is taken from the context, by whoever connects.
func (c *connectionFlags) resolve(getenv func(string) string) error {
	if c.store != "" {
		for _, f := range c.network() {
			if *f.value != "" {
				return usagef("--%s is for a server elsewhere, not for --store", f.name)
			}
		}
		return nil
	}
	if err := c.oneIdentity("flags"); err != nil {
		return err
	}
	known := c.identity() != nil
	for _, f := range c.network() {
		switch f.variable {
		case "":
			continue
		case "NATS_CREDS", "NATS_NKEY", "NATS_USER", "NATS_PASSWORD":
			// A connection has one identity: a flag's replaces the environment's as a whole.
			if known {
				continue
			}
		}
		if *f.value == "" {
			*f.value = getenv(f.variable)
		}
	}
	if err := c.oneIdentity("environment"); err != nil {
		return err
	}
	switch {
	case (c.tlsCert == "") != (c.tlsKey == ""):
		return usagef("--tlscert and --tlskey need each other")
	case c.domain != "" && c.api != "":
		return usagef("--js-domain and --js-api-prefix exclude each other")
	}
	if c.context = cmp.Or(c.context, selectedContext(getenv)); c.context == "" && c.server == "" {
		return usagef("where is the log? Give --store DIR, --server URL or --context NAME (or set %s or %s)", serverVariable, contextVariable)
	}
	return nil
}

// identity names the flags that say who asks.
func (c *connectionFlags) identity() (names []string) {
	for _, f := range []struct{ name, value string }{{"--creds", c.creds}, {"--nkey", c.nkey}, {"--user", c.user}} {
		if f.value != "" {
			names = append(names, f.name)
		}
	}
	return names
}

func (c *connectionFlags) oneIdentity(source string) error {
	names := c.identity()
	switch {
	case len(names) > 1:
		return usagef("%s exclude each other: a connection has one identity (from the %s)", strings.Join(names, " and "), source)
	case c.password != "" && c.user == "":
		return usagef("--password needs --user")
	}
	return nil
}

// selectedContext returns the name of the context that was chosen with "nats context
// select", "" if none was.
func selectedContext(getenv func(string) string) string {
	dir := getenv("XDG_CONFIG_HOME")
	if dir == "" {
		home, err := os.UserHomeDir()
		if err != nil {
			return ""
		}
		dir = filepath.Join(home, ".config")
	}
	name, err := os.ReadFile(filepath.Join(dir, "nats", "context.txt"))
	if err != nil {
		return ""
	}
	return strings.TrimSpace(string(name))
}

// where names the server, or the directory, for people.
func (c *connectionFlags) where() string {
	switch {
	case c.store != "":
		return c.store
	case c.server != "":
		return natsurl.Redact(c.server)
	}
	return fmt.Sprintf("the server of context %q", c.context)
}

// natsOptions returns what a connection needs beside its context.
func (c *connectionFlags) natsOptions(timeout time.Duration) ([]nats.Option, error) {
	opts := []nats.Option{nats.Timeout(timeout)}
	switch {
	case c.creds != "":
		opts = append(opts, anonymous, nats.UserCredentials(c.creds))
	case c.nkey != "":
		option, err := nats.NkeyOptionFromSeed(c.nkey)
		if err != nil {
			return nil, &credentialsError{fmt.Errorf("--nkey %s: %w", c.nkey, err)}
		}
		opts = append(opts, anonymous, option)
	case c.password != "":
		opts = append(opts, anonymous, nats.UserInfo(c.user, c.password))
	case c.user != "":
		opts = append(opts, anonymous, nats.Token(c.user))
	}
	if c.tlsCert != "" {
		opts = append(opts, nats.ClientCert(c.tlsCert, c.tlsKey))
	}
	if c.tlsCA != "" {
		opts = append(opts, nats.RootCAs(c.tlsCA))
	}
	if c.inbox != "" {
		opts = append(opts, nats.CustomInboxPrefix(c.inbox))
	}
	return opts, nil
}

// anonymous takes back whatever a context says of who asks: a flag replaces all of it.
func anonymous(o *nats.Options) error {
	o.User, o.Password, o.Token, o.Nkey = "", "", "", ""
	o.TokenHandler, o.UserInfo, o.UserJWT, o.SignatureCB = nil, nil, nil, nil
	return nil
}

// logOptions returns the options that describe the log, without where it is.
func (c *connectionFlags) logOptions(timeout time.Duration) ([]jetstore.Option, error) {
	opts := []jetstore.Option{
		jetstore.WithStream(c.stream), jetstore.WithPrefix(c.prefix), jetstore.WithTimeout(timeout),
	}
	if c.domain != "" {
		opts = append(opts, jetstore.WithDomain(c.domain))
	}
	if c.api != "" {
		opts = append(opts, jetstore.WithAPIPrefix(c.api))
	}
	if c.perTenant {
		opts = append(opts, jetstore.WithStreamPerTenant())
	}
	if _, err := jetstore.LayoutOf("", opts...); err != nil {
		return nil, asUsage(err)
	}
	if c.keys != "" {
		keys, err := codec.OpenFileKeyRing(c.keys)
		if err != nil {
			return nil, fmt.Errorf("--keys: %w", err)
		}
		encrypted, err := codec.NewAES256GCM(nil, keys)
		if err != nil {
			return nil, err
		}
		opts = append(opts, jetstore.WithCodec(encrypted))
	}
	return opts, nil
}
