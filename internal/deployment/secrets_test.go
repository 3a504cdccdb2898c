package deployment_test

import (
	"crypto/x509"
	"encoding/pem"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/enactlog/enact/internal/deployment"
)

// What a file has is kept, and what it lacks is added once.
func TestLoadSecrets(t *testing.T) {
	path := filepath.Join(t.TempDir(), ".env")
	const own = "# mine\nCOLOUR=blue\nENACT_SYS_PASSWORD=chosen"
	require.NoError(t, os.WriteFile(path, []byte(own), 0o600))
	first, err := deployment.LoadSecrets(path)
	require.NoError(t, err)
	require.Equal(t, "chosen", first[deployment.System])
	text, err := os.ReadFile(path)
	require.NoError(t, err)
	require.Contains(t, string(text), own+"\n")

	again, err := deployment.LoadSecrets(path)
	require.NoError(t, err)
	require.Equal(t, first, again)
	after, err := os.ReadFile(path)
	require.NoError(t, err)
	require.Equal(t, text, after)
	seen := make(map[string]string)
	for user, password := range first {
		require.Empty(t, seen[password], "%s has the password of another", user)
		seen[password] = user
		if user != deployment.System {
			require.Greater(t, len(password), 20)
		}
	}
}

func TestSecretsAreForTheirOwner(t *testing.T) {
	path := filepath.Join(t.TempDir(), ".env")
	_, err := deployment.LoadSecrets(path)
	require.NoError(t, err)
	info, err := os.Stat(path)
	require.NoError(t, err)
	require.Equal(t, os.FileMode(0o600), info.Mode())
	_, err = deployment.LoadSecrets(filepath.Join(t.TempDir(), "missing", ".env"))
	require.ErrorIs(t, err, os.ErrNotExist)
}

// The certificate is good for every name that a server goes by, as a server and as a client,
// and what is there is not made again.
func TestMakeCertificates(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "certificates")
	made, err := deployment.MakeCertificates(dir)
	require.NoError(t, err)
	authority, err := os.ReadFile(made.CA)
	require.NoError(t, err)
	text, err := os.ReadFile(made.Cert)
	require.NoError(t, err)
	block, _ := pem.Decode(text)
	cert, err := x509.ParseCertificate(block.Bytes)
	require.NoError(t, err)
	pool := x509.NewCertPool()
	require.True(t, pool.AppendCertsFromPEM(authority))
	for _, name := range append([]string{"localhost", "127.0.0.1"}, deployment.Names[:]...) {
		for _, use := range []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth} {
			_, err := cert.Verify(x509.VerifyOptions{DNSName: name, Roots: pool, KeyUsages: []x509.ExtKeyUsage{use}})
			require.NoError(t, err, name)
		}
	}
	_, err = cert.Verify(x509.VerifyOptions{DNSName: "example.org", Roots: pool})
	require.Error(t, err)

	_, err = deployment.MakeCertificates(dir)
	require.NoError(t, err)
	after, err := os.ReadFile(made.Cert)
	require.NoError(t, err)
	require.Equal(t, text, after)
}
