package jetstore

import (
	"cmp"
	"context"
	"os"

	"github.com/nats-io/nats.go"

	"github.com/enactlog/enact"
)

// FromEnv connects as [Connect] does, where and as the environment says, under the names
// that the nats CLI has:
//
//	NATS_URL                       servers, separated by commas; default nats://127.0.0.1:4222
//	NATS_CONTEXT                   a context of the nats CLI, see [WithContext]
//	NATS_CREDS                     credentials file
//	NATS_NKEY                      file of an nkey's seed
//	NATS_USER, NATS_PASSWORD       user and password; a user alone is a token
//	NATS_CERT, NATS_KEY, NATS_CA   files of the client's certificate, its key, the authority
//
// A variable that is empty is not set. What is set beside a context replaces what the context
// says of it. A context that was selected with the CLI, and is not named here, is not used.
// opts come after the environment.
//
// It returns the errors of Connect, and an [*enact.OptionError] for variables that do not
// go together.
func FromEnv(ctx context.Context, opts ...Option) (*Store, error) {
	env, err := envOptions(os.Getenv)
	if err != nil {
		return nil, err
	}
	servers := os.Getenv("NATS_URL")
	if os.Getenv("NATS_CONTEXT") == "" {
		servers = cmp.Or(servers, nats.DefaultURL)
	}
	return Connect(ctx, servers, append(env, opts...)...)
}

// envOptions returns the options that variables stand for.
func envOptions(get func(string) string) ([]Option, error) {
	opts := []Option{WithContext(get("NATS_CONTEXT"))}
	add := func(o nats.Option) { opts = append(opts, WithNATS(o)) }
	given := ""
	for _, as := range []struct {
		variable string
		option   func(string) (nats.Option, error)
	}{
		{"NATS_CREDS", func(file string) (nats.Option, error) { return nats.UserCredentials(file), nil }},
		{"NATS_NKEY", nats.NkeyOptionFromSeed},
		{"NATS_USER", func(user string) (nats.Option, error) {
			if password := get("NATS_PASSWORD"); password != "" {
				return nats.UserInfo(user, password), nil
			}
			return nats.Token(user), nil
		}},
	} {
		value := get(as.variable)
		if value == "" {
			continue
		}
		if given != "" {
			return nil, &enact.OptionError{Option: as.variable, Reason: "is set beside " + given + ", and a connection has one identity"}
		}
		given = as.variable
		option, err := as.option(value)
		if err != nil {
			return nil, &enact.OptionError{Option: as.variable, Reason: err.Error()}
		}
		add(option)
	}
	if get("NATS_PASSWORD") != "" && get("NATS_USER") == "" {
		return nil, &enact.OptionError{Option: "NATS_PASSWORD", Reason: "is set without NATS_USER"}
	}
	cert, key := get("NATS_CERT"), get("NATS_KEY")
	if (cert == "") != (key == "") {
		return nil, &enact.OptionError{Option: "NATS_CERT, NATS_KEY", Reason: "are set one without the other"}
	}
	if cert != "" {
		add(nats.ClientCert(cert, key))
	}
	if ca := get("NATS_CA"); ca != "" {
		add(nats.RootCAs(ca))
	}
	return opts, nil
}
