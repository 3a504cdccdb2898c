package deployment

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"time"
)

// validity of the certificates that are made here: long enough to try things out.
const validity = 90 * 24 * time.Hour

// Certificates are files: an authority's certificate, and one for all servers, with its key.
type Certificates struct{ CA, Cert, Key string }

// MakeCertificates makes certificates for trying TLS out: an authority, whose key is thrown
// away, and a certificate of localhost and of the nodes n1, n2 and n3, for 90 days. It writes
// them to dir, which is made if it is missing, unless they are there already.
func MakeCertificates(dir string) (Certificates, error) {
	c := Certificates{filepath.Join(dir, "ca.pem"), filepath.Join(dir, "server.pem"), filepath.Join(dir, "server-key.pem")}
	if _, err := os.Stat(c.Key); !errors.Is(err, fs.ErrNotExist) {
		return c, err
	}
	authority := template("Enact trial authority")
	authority.IsCA, authority.BasicConstraintsValid = true, true
	authority.KeyUsage = x509.KeyUsageCertSign
	authorityKey, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return c, err
	}
	authorityDER, err := x509.CreateCertificate(rand.Reader, authority, authority, &authorityKey.PublicKey, authorityKey)
	if err != nil {
		return c, err
	}
	server := template("Enact trial server")
	server.KeyUsage = x509.KeyUsageDigitalSignature
	// Servers are clients of each other.
	server.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth}
	server.DNSNames = append([]string{"localhost"}, Names[:]...)
	server.IPAddresses = []net.IP{net.IPv4(127, 0, 0, 1), net.IPv6loopback}
	serverKey, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return c, err
	}
	serverDER, err := x509.CreateCertificate(rand.Reader, server, authority, &serverKey.PublicKey, authorityKey)
	if err != nil {
		return c, err
	}
	keyDER, err := x509.MarshalPKCS8PrivateKey(serverKey)
	if err != nil {
		return c, err
	}
	if err := os.MkdirAll(dir, 0o750); err != nil {
		return c, err
	}
	// The key last: where it is, everything is.
	for _, file := range []struct {
		path, kind string
		der        []byte
	}{{c.CA, "CERTIFICATE", authorityDER}, {c.Cert, "CERTIFICATE", serverDER}, {c.Key, "PRIVATE KEY", keyDER}} {
		text := pem.EncodeToMemory(&pem.Block{Type: file.kind, Bytes: file.der})
		if err := os.WriteFile(file.path, text, 0o600); err != nil {
			return c, fmt.Errorf("write certificate: %w", err)
		}
	}
	return c, nil
}

func template(name string) *x509.Certificate {
	now := time.Now()
	return &x509.Certificate{
		SerialNumber: new(big.Int).SetBytes([]byte(rand.Text()[:16])),
		Subject:      pkix.Name{CommonName: name},
		NotBefore:    now.Add(-time.Hour), NotAfter: now.Add(validity),
	}
}
