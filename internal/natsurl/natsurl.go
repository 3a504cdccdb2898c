// Package natsurl makes URLs of NATS servers fit to be shown.
package natsurl

import (
	"net/url"
	"strings"
)

// Redact takes names, passwords and tokens out of server URLs, which are separated by
// commas.
func Redact(servers string) string {
	list := strings.Split(servers, ",")
	for i, server := range list {
		u, err := url.Parse(strings.TrimSpace(server))
		if err != nil {
			list[i] = "(unreadable URL)"
			continue
		}
		u.User = nil
		list[i] = u.String()
	}
	return strings.Join(list, ",")
}
