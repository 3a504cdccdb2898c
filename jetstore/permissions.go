package jetstore

import (
	"fmt"
	"strings"

	"github.com/enactlog/enact"
)

// Role is what a user of the log may do.
type Role string

// Roles.
const (
	// RoleReader loads, lists, and follows executions live.
	RoleReader Role = "reader"
	// RoleWriter does what a reader does, appends, and rebuilds the index.
	RoleWriter Role = "writer"
	// RoleOperator does everything that there is to do in the account: makes streams,
	// changes and deletes them, backs them up and restores them.
	RoleOperator Role = "operator"
)

// Permissions are the subjects that a user of a role needs. A NATS server that allows them
// and no others refuses everything else: for readers and writers above all to update,
// delete, purge or restore a stream, which the stream's own settings do not prevent.
// docs/guarantees.md says what they confine, and what only an account can.
type Permissions struct {
	Publish   []string `json:"publish"`   // allowed
	Subscribe []string `json:"subscribe"` // allowed
	// InboxPrefix is what the user's connections must be given by nats.CustomInboxPrefix,
	// "" where the default will do. Users who could subscribe to each other's inboxes would
	// see each other's answers. Without it a connection hears none, and calls return
	// enact.ErrNotPermitted.
	InboxPrefix string `json:"inbox_prefix,omitempty"`
}

// PermissionsFor returns the permissions of a role in the log that the options describe
// ([WithStream], [WithPrefix], [WithDomain], [WithAPIPrefix], [WithStreamPerTenant]): for
// one tenant's executions, or, with "", for all. It returns an [*enact.OptionError] for a
// role that there is not and for an operator of one tenant, and an [*enact.IDError].
func PermissionsFor(role Role, tenant enact.TenantID, opts ...Option) (Permissions, error) {
	cfg, err := newConfig(opts)
	if err != nil {
		return Permissions{}, err
	}
	var p Permissions
	all := tenant == ""
	if !all {
		if err := tenant.Validate(); err != nil {
			return Permissions{}, err
		}
		if cfg.perTenant {
			cfg = cfg.forTenant(tenant)
		} else {
			cfg.tenant = &tenant
		}
		p.InboxPrefix = "_INBOX_" + enact.EncodeToken(string(tenant))
	}
	switch role {
	case RoleReader, RoleWriter:
	case RoleOperator:
		if !all {
			return Permissions{}, &enact.OptionError{Option: "tenant", Reason: "an operator is not one of a tenant: streams are the account's"}
		}
		return Permissions{Publish: []string{">"}, Subscribe: []string{">"}}, nil
	default:
		return Permissions{}, &enact.OptionError{Option: "role", Reason: fmt.Sprintf("%.50q is no role", string(role))}
	}
	log, index := cfg.stream, cfg.index()
	streams := []string{log, index}
	if cfg.perTenant {
		log, streams = "*", []string{"*"} // of all tenants: their names have no common token
	}
	for _, request := range []string{"STREAM.INFO.", "STREAM.MSG.GET.", "DIRECT.GET."} {
		for _, stream := range streams {
			p.Publish = append(p.Publish, cfg.apiPrefix+"."+request+stream)
		}
	}
	// Followers name the subject that they filter by at the end of the request, which the
	// server holds against the request itself (ADR-42).
	filter := ">"
	if !all {
		filter = "*." + cfg.subjects.Tenant(tenant)
	}
	p.Publish = append(
		p.Publish,
		cfg.apiPrefix+".CONSUMER.CREATE."+log+"."+filter,
		cfg.apiPrefix+".CONSUMER.INFO."+log+".*",
		cfg.apiPrefix+".CONSUMER.MSG.NEXT."+log+".*",
		cfg.apiPrefix+".CONSUMER.DELETE."+log+".*",
		"$JS.ACK."+log+".>",
	)
	if role == RoleWriter {
		p.Publish = append(p.Publish, cfg.logSubject(), cfg.indexSubject())
	}
	p.Subscribe = []string{"_INBOX.>"}
	if p.InboxPrefix != "" {
		p.Subscribe = []string{p.InboxPrefix + ".>"}
	}
	return p, nil
}

// Config returns the permissions as the value of a user's "permissions" in the
// configuration of a NATS server.
func (p Permissions) Config() string {
	var b strings.Builder
	b.WriteString("{\n")
	for _, side := range []struct {
		name  string
		allow []string
	}{{"publish", p.Publish}, {"subscribe", p.Subscribe}} {
		fmt.Fprintf(&b, "  %s: { allow: [\n", side.name)
		for _, subject := range side.allow {
			fmt.Fprintf(&b, "    %q\n", subject)
		}
		b.WriteString("  ] }\n")
	}
	b.WriteString("}\n")
	return b.String()
}
