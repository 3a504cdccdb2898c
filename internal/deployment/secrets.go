package deployment

import (
	"bufio"
	"crypto/rand"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strings"
)

// Users of the configuration, by what each is for: deploy/nats/accounts.conf.
const (
	System         = "sys"
	Operator       = "operator"
	Platform       = "platform"
	Reader         = "reader"
	Acme           = "acme"
	GlobexOperator = "globex-operator"
	Globex         = "globex"
	route          = "route" // the servers among themselves
)

var users = []string{System, Operator, Platform, Reader, Acme, GlobexOperator, Globex, route}

// Secrets are the passwords of the configuration's users.
type Secrets map[string]string

// NewSecrets returns random passwords.
func NewSecrets() Secrets {
	s := make(Secrets)
	for _, user := range users {
		s[user] = newPassword()
	}
	return s
}

// newPassword returns a password that needs no quotes in a server's configuration, which
// would take one that begins with a digit for a number.
func newPassword() string { return "P" + rand.Text() }

// PasswordVariable returns the variable of the environment that holds a user's password.
func PasswordVariable(user string) string {
	return "ENACT_" + strings.ToUpper(strings.ReplaceAll(user, "-", "_")) + "_PASSWORD"
}

// Environment returns the passwords as the configuration reads them.
func (s Secrets) Environment() []string {
	var env []string
	for _, user := range users {
		env = append(env, PasswordVariable(user)+"="+s[user])
	}
	return env
}

// LoadSecrets reads the passwords from a file of lines VARIABLE=password, as docker compose
// reads ".env", and adds a random one for each user who has none there. The file is made if
// it is missing, for its owner alone. Other lines are left as they are.
func LoadSecrets(path string) (Secrets, error) {
	s := make(Secrets)
	text, err := os.ReadFile(path)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	variables := make(map[string]string)
	lines := bufio.NewScanner(strings.NewReader(string(text)))
	for lines.Scan() {
		if name, value, ok := strings.Cut(strings.TrimSpace(lines.Text()), "="); ok {
			variables[name] = value
		}
	}
	if err := lines.Err(); err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	var added strings.Builder
	if n := len(text); n > 0 && text[n-1] != '\n' {
		added.WriteString("\n")
	}
	missing := false
	for _, user := range users {
		variable := PasswordVariable(user)
		if s[user] = variables[variable]; s[user] == "" {
			s[user], missing = newPassword(), true
			fmt.Fprintf(&added, "%s=%s\n", variable, s[user])
		}
	}
	if !missing {
		return s, nil
	}
	f, err := os.OpenFile(path, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o600)
	if err != nil {
		return nil, err
	}
	_, err = f.WriteString(added.String())
	return s, errors.Join(err, f.Close())
}
