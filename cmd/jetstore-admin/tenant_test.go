package main

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/stretchr/testify/require"
)

// A server takes the permissions of any tenant, and the users are named after it.
func TestPermissionsOfAnyTenant(t *testing.T) {
	for _, tenant := range []string{
		"acme", "büro 7.*>", "a\u00a0b", "a\u200bb", "\u2028", "a\"b\\c\\x41", "a\a\b\f\v\n\r\t\x00\x7f", "日本", "$x", "#x // {}",
	} {
		code, out, errs := admin(t, "", "tenant", "permissions", "--tenant", tenant)
		require.Zero(t, code, errs)
		file := filepath.Join(t.TempDir(), "server.conf")
		require.NoError(t, os.WriteFile(file, []byte("authorization {\n"+out+"}\n"), 0o600))
		opts, err := server.ProcessConfigFile(file)
		require.NoError(t, err, "%q", tenant)
		var names []string
		for _, u := range opts.Users {
			names = append(names, u.Username)
		}
		require.Equal(t, []string{tenant + "-reader", tenant + "-writer", "operator"}, names)
	}
}
