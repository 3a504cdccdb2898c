package deployment_test

import (
	"flag"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/enactlog/enact"
	"github.com/enactlog/enact/jetstore"
)

var update = flag.Bool("update", false, "rewrite the permission files in deploy/nats")

// The permissions in the files are those that the library returns.
func TestPermissionFiles(t *testing.T) {
	dir := filepath.Join(config, "permissions")
	want := map[string]struct {
		role   jetstore.Role
		tenant enact.TenantID
	}{
		"reader.conf":      {jetstore.RoleReader, ""},
		"writer.conf":      {jetstore.RoleWriter, ""},
		"writer-acme.conf": {jetstore.RoleWriter, "acme"},
	}
	for name, of := range want {
		p, err := jetstore.PermissionsFor(of.role, of.tenant)
		require.NoError(t, err)
		if *update {
			require.NoError(t, os.WriteFile(filepath.Join(dir, name), []byte(p.Config()), 0o600))
		}
		text, err := os.ReadFile(filepath.Join(dir, name))
		require.NoError(t, err)
		require.Equal(t, p.Config(), string(text), name)
	}
	files, err := os.ReadDir(dir)
	require.NoError(t, err)
	require.Len(t, files, len(want), "a file that nothing checks")
}
