package jetstore_test

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nkeys"
	"github.com/stretchr/testify/require"

	"github.com/enactlog/enact"
	"github.com/enactlog/enact/internal/natstest"
	"github.com/enactlog/enact/jetstore"
)

// setEnv sets the variables, and no others that FromEnv reads.
func setEnv(t *testing.T, env map[string]string) {
	t.Helper()
	for _, name := range []string{
		"NATS_URL", "NATS_CONTEXT", "NATS_CREDS", "NATS_NKEY", "NATS_USER", "NATS_PASSWORD", "NATS_CERT", "NATS_KEY", "NATS_CA",
	} {
		t.Setenv(name, env[name])
	}
}

// saveContext writes a context where the nats CLI keeps them, and returns its file.
func saveContext(t *testing.T, dir, name string, settings map[string]any) string {
	t.Helper()
	data, err := json.Marshal(settings)
	require.NoError(t, err)
	file := filepath.Join(dir, "nats", "context", name+".json")
	require.NoError(t, os.MkdirAll(filepath.Dir(file), 0o700))
	require.NoError(t, os.WriteFile(file, data, 0o600))
	return file
}

// patiently returns a context for whoever connects: without a deadline the client gives a server
// two seconds.
func patiently(t *testing.T) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	t.Cleanup(cancel)
	return ctx
}

// The environment, and contexts of the nats CLI, say where the log is and who asks.
func TestFromEnv(t *testing.T) {
	user, err := nkeys.CreateUser()
	require.NoError(t, err)
	public, err := user.PublicKey()
	require.NoError(t, err)
	seed, err := user.Seed()
	require.NoError(t, err)
	seedFile := filepath.Join(t.TempDir(), "seed")
	require.NoError(t, os.WriteFile(seedFile, seed, 0o600))
	srv := natstest.Start(t, natstest.Options{
		NoSync: true, NATS: []nats.Option{nats.UserInfo("u", "p")},
		Extra: fmt.Sprintf(`authorization { timeout: 60, users: [ { user: u, password: p }, { nkey: %s, permissions: { subscribe: "inbox.>", publish: ">" } } ] }`, public),
	})
	tokens := natstest.Start(t, natstest.Options{NoSync: true, Extra: "authorization { timeout: 60, token: secret }\n", NATS: []nats.Option{nats.Token("secret")}})
	for _, nc := range []func() (*nats.Conn, error){
		func() (*nats.Conn, error) {
			return nats.Connect(srv.URL(), nats.UserInfo("u", "p"), nats.Timeout(time.Minute))
		},
		func() (*nats.Conn, error) {
			return nats.Connect(tokens.URL(), nats.Token("secret"), nats.Timeout(time.Minute))
		},
	} {
		nc, err := nc()
		require.NoError(t, err)
		require.NoError(t, jetstore.EnsureStream(t.Context(), nc))
		nc.Close()
	}
	config := t.TempDir()
	t.Setenv("XDG_CONFIG_HOME", config)
	saveContext(t, config, "full", map[string]any{"url": srv.URL(), "user": "u", "password": "p"})
	saveContext(t, config, "elsewhere", map[string]any{"url": "nats://127.0.0.1:1", "user": "u", "password": "p"})
	saveContext(t, config, "inbox", map[string]any{"url": srv.URL(), "nkey": seedFile, "inbox_prefix": "inbox"})
	saveContext(t, config, "domain", map[string]any{"url": srv.URL(), "user": "u", "password": "p", "jetstream_domain": "nowhere"})
	saveContext(t, config, "prefix", map[string]any{"url": srv.URL(), "user": "u", "password": "p", "jetstream_api_prefix": "elsewhere.API"})
	file := saveContext(t, config, "token", map[string]any{"url": tokens.URL(), "token": "secret"})

	for name, tc := range map[string]struct {
		env  map[string]string
		opts []jetstore.Option
	}{
		"user and password":          {env: map[string]string{"NATS_URL": srv.URL(), "NATS_USER": "u", "NATS_PASSWORD": "p"}},
		"several servers":            {env: map[string]string{"NATS_URL": "nats://127.0.0.1:1, " + srv.URL(), "NATS_USER": "u", "NATS_PASSWORD": "p"}},
		"a token":                    {env: map[string]string{"NATS_URL": tokens.URL(), "NATS_USER": "secret"}},
		"an nkey":                    {env: map[string]string{"NATS_URL": srv.URL(), "NATS_NKEY": seedFile}, opts: []jetstore.Option{jetstore.WithNATS(nats.CustomInboxPrefix("inbox"))}},
		"a context":                  {env: map[string]string{"NATS_CONTEXT": "full"}},
		"a context's file":           {env: map[string]string{"NATS_CONTEXT": file}},
		"a context's inbox":          {env: map[string]string{"NATS_CONTEXT": "inbox"}},
		"another server":             {env: map[string]string{"NATS_CONTEXT": "elsewhere", "NATS_URL": srv.URL()}},
		"other servers":              {env: map[string]string{"NATS_CONTEXT": "elsewhere", "NATS_URL": "nats://127.0.0.1:1, " + srv.URL()}},
		"another user":               {env: map[string]string{"NATS_CONTEXT": "full", "NATS_USER": "u", "NATS_PASSWORD": "p"}},
		"a domain that is overruled": {env: map[string]string{"NATS_CONTEXT": "domain"}, opts: []jetstore.Option{jetstore.WithAPIPrefix("$JS.API")}},
		"options come last":          {env: map[string]string{"NATS_CONTEXT": "elsewhere"}, opts: []jetstore.Option{jetstore.WithContext("full")}},
	} {
		t.Run(name, func(t *testing.T) {
			setEnv(t, tc.env)
			s, err := jetstore.FromEnv(patiently(t), tc.opts...)
			require.NoError(t, err)
			defer shutDown(t, s)
			_, err = s.Append(t.Context(), enact.NewExecutionID(), "t", note(1))
			require.NoError(t, err)
			require.NoError(t, s.HealthCheck(t.Context()))
			require.Equal(t, "$JS.API", s.APIPrefix())
		})
	}
	for name, tc := range map[string]struct {
		env  map[string]string
		is   error
		says string
	}{
		"two identities":       {map[string]string{"NATS_URL": srv.URL(), "NATS_USER": "u", "NATS_CREDS": "f"}, enact.ErrInvalidOption, "NATS_USER"},
		"a password alone":     {map[string]string{"NATS_URL": srv.URL(), "NATS_PASSWORD": "p"}, enact.ErrInvalidOption, "NATS_PASSWORD"},
		"a certificate alone":  {map[string]string{"NATS_URL": srv.URL(), "NATS_CERT": "f"}, enact.ErrInvalidOption, "NATS_CERT"},
		"a key alone":          {map[string]string{"NATS_URL": srv.URL(), "NATS_KEY": "f"}, enact.ErrInvalidOption, "NATS_KEY"},
		"no such seed":         {map[string]string{"NATS_URL": srv.URL(), "NATS_NKEY": "/no/such/file"}, enact.ErrInvalidOption, "NATS_NKEY"},
		"no such credentials":  {map[string]string{"NATS_URL": srv.URL(), "NATS_CREDS": "/no/such/file"}, nil, "/no/such/file"},
		"no such authority":    {map[string]string{"NATS_URL": srv.URL(), "NATS_CA": "/no/such/file"}, nil, "/no/such/file"},
		"no such context":      {map[string]string{"NATS_CONTEXT": "stranger"}, nil, "stranger"},
		"a context with a dot": {map[string]string{"NATS_CONTEXT": "../x"}, nil, "../x"},
		"wrong password":       {map[string]string{"NATS_URL": srv.URL(), "NATS_USER": "u", "NATS_PASSWORD": "hush"}, nats.ErrAuthorization, srv.URL()},
	} {
		t.Run(name, func(t *testing.T) {
			setEnv(t, tc.env)
			_, err := jetstore.FromEnv(patiently(t))
			require.Error(t, err)
			require.ErrorContains(t, err, tc.says)
			require.NotContains(t, err.Error(), "hush")
			if tc.is != nil {
				require.ErrorIs(t, err, tc.is)
			}
		})
	}
	for name, prefix := range map[string]string{"domain": "$JS.nowhere.API", "prefix": "elsewhere.API"} {
		setEnv(t, map[string]string{"NATS_CONTEXT": name})
		s, err := jetstore.FromEnv(patiently(t), jetstore.WithStreamPerTenant())
		require.NoError(t, err)
		require.Equal(t, prefix, s.APIPrefix())
		shutDown(t, s)
	}
}
