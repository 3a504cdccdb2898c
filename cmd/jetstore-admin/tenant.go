package main

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/dustin/go-humanize"
	"github.com/jedib0t/go-pretty/v6/table"
	"github.com/jedib0t/go-pretty/v6/text"
	"github.com/spf13/cobra"

	"github.com/enactlog/enact"
	"github.com/enactlog/enact/jetstore"
)

func (a *app) tenantCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "tenant",
		Short: "List tenants, and print the permissions of their users",
		Long: `List the tenants of a log, and print the permissions that users need to read it, to
write to it and to look after it.`,
		Example: `  jetstore-admin tenant ls --context production
  jetstore-admin tenant permissions --tenant acme --role writer`,
	}
	grouping(cmd)
	cmd.AddCommand(a.tenantLsCommand(), a.tenantPermissionsCommand())
	return cmd
}

func (a *app) tenantLsCommand() *cobra.Command {
	return &cobra.Command{
		Use:     "ls",
		Aliases: []string{"list"},
		Short:   "List the tenants that have executions",
		Long: `List the tenants that have executions, by id, with how many: entries of the index,
those of creations that crashed included. Where each tenant has streams of its own
(--per-tenant), one without executions is listed, too.`,
		Example: `  jetstore-admin tenant ls --store ./data
  jetstore-admin tenant ls --context production --per-tenant -o jsonl`,
		Args: takes(0, 0),
		RunE: a.do(func(ctx context.Context, _ *cobra.Command, _ []string) error {
			return a.withStore(ctx, reads, func(store *jetstore.Store) error {
				tenants, err := store.ListTenants(ctx)
				if err != nil {
					return err
				}
				return a.printTenants(store, tenants)
			})
		}),
	}
}

// tenantInfo is a tenant in a list, as printed.
type tenantInfo struct {
	TenantID   enact.TenantID `json:"tenant_id"`
	Executions uint64         `json:"executions"`
	Stream     string         `json:"stream"`
}

func (a *app) printTenants(store *jetstore.Store, tenants []enact.TenantInfo) error {
	infos := make([]tenantInfo, len(tenants))
	for i, t := range tenants {
		infos[i] = tenantInfo{TenantID: t.TenantID, Executions: t.Executions, Stream: store.StreamOf(t.TenantID)}
	}
	return printList(a, infos, "no tenants", table.Row{"Tenant", "Executions", "Stream"}, func(t tenantInfo) table.Row {
		return table.Row{name(t.TenantID), humanize.Comma(int64(t.Executions)), t.Stream}
	}, table.ColumnConfig{Name: "Executions", Align: text.AlignRight})
}

// permissionFlags are the flags of tenant permissions.
type permissionFlags struct {
	tenant tenantFlag
	role   string
	user   string
}

func (a *app) tenantPermissionsCommand() *cobra.Command {
	var flags permissionFlags
	cmd := &cobra.Command{
		Use:   "permissions",
		Short: "Print the permissions that users of the log need",
		Long: `Print what the users of the log need to be allowed, as a block that the configuration of
a NATS server takes as it is ("include" it in an account or an authorization block):
a user for each role, or for that of --role. With --tenant the reader and the writer are
confined to the tenant; an account's users are one block, so that more tenants in one
account have to be put together by hand.

  reader    loads, lists, and follows executions live
  writer    also appends
  operator  of an account, not of a tenant: makes, changes, backs up and deletes streams

A server that allows these and no more refuses everything else. Passwords stand for
whatever proves a user. The connections of a tenant's users need the inbox prefix that is
named beside them. Within one stream only writes can be confined to a tenant: see
docs/guarantees.md, and --per-tenant.

-o json has the subjects as lists. No server is asked.`,
		Example: `  jetstore-admin tenant permissions > permissions.conf
  jetstore-admin tenant permissions --per-tenant --tenant acme --role writer
  jetstore-admin tenant permissions --tenant acme --role reader -o json`,
		Args: takes(0, 0),
		RunE: a.do(func(_ context.Context, _ *cobra.Command, _ []string) error {
			users, err := a.userPermissions(&flags)
			if err != nil {
				return err
			}
			return a.printPermissions(users)
		}),
	}
	flags.tenant.add(cmd, "whose users (default all tenants')")
	cmd.Flags().StringVar(&flags.role, "role", "", "reader, writer or operator (default all three)")
	cmd.Flags().StringVar(&flags.user, "name", "", "`name` of the user, with --role (default made of tenant and role)")
	return cmd
}

// userPermissions is a user with what it may, as printed.
type userPermissions struct {
	User     string         `json:"user"`
	Role     jetstore.Role  `json:"role"`
	TenantID enact.TenantID `json:"tenant_id,omitempty"`
	jetstore.Permissions
}

// checkRole refuses a --role that there is not; "" is none.
func checkRole(role string) error {
	switch jetstore.Role(role) {
	case "", jetstore.RoleReader, jetstore.RoleWriter, jetstore.RoleOperator:
		return nil
	}
	return usagef("--role %q is not operator, writer or reader", role)
}

func (a *app) userPermissions(flags *permissionFlags) ([]userPermissions, error) {
	if flags.user != "" && flags.role == "" {
		return nil, usagef("--name is the name of one user: give its --role")
	}
	if err := checkRole(flags.role); err != nil {
		return nil, err
	}
	tenant := enact.TenantID(flags.tenant.id)
	roles := []jetstore.Role{jetstore.Role(flags.role)}
	if flags.role == "" {
		roles = []jetstore.Role{jetstore.RoleReader, jetstore.RoleWriter, jetstore.RoleOperator}
	}
	opts, err := a.connection.logOptions(a.timeout)
	if err != nil {
		return nil, err
	}
	var users []userPermissions
	for _, role := range roles {
		tenant := tenant
		if flags.role == "" && role == jetstore.RoleOperator {
			tenant = "" // a block of users is for an account, which needs one
		}
		p, err := jetstore.PermissionsFor(role, tenant, opts...)
		if errors.Is(err, enact.ErrInvalidOption) || errors.Is(err, enact.ErrInvalidID) {
			return nil, asUsage(err)
		}
		if err != nil {
			return nil, err
		}
		u := userPermissions{User: flags.user, Role: role, TenantID: tenant, Permissions: p}
		if u.User == "" {
			u.User = strings.TrimPrefix(string(tenant)+"-"+string(role), "-")
		}
		users = append(users, u)
	}
	return users, nil
}

func (a *app) printPermissions(users []userPermissions) error {
	if a.format != formatTable {
		return printList(a, users, "", nil, nil)
	}
	var b strings.Builder
	b.WriteString("users: [\n")
	for _, u := range users {
		if u.InboxPrefix != "" {
			fmt.Fprintf(&b, "  # Its connections need the inbox prefix %s.\n", u.InboxPrefix)
		}
		block := strings.ReplaceAll(strings.TrimRight(u.Config(), "\n"), "\n", "\n    ")
		fmt.Fprintf(&b, "  {\n    user: %s, password: \"change me\"\n    permissions: %s\n  }\n", confQuote(u.User), block)
	}
	b.WriteString("]\n")
	_, err := a.stdout.WriteString(b.String())
	return err
}

// confQuote quotes a text for a server's configuration, whose strings know fewer escapes than
// Go's (conf/lex.go of nats-server).
func confQuote(s string) string {
	var b strings.Builder
	b.WriteByte('"')
	for i := range len(s) {
		if c := s[i]; c < ' ' || c == '"' || c == '\\' || c == 0x7f {
			fmt.Fprintf(&b, `\x%02x`, c)
		} else {
			b.WriteByte(c)
		}
	}
	b.WriteByte('"')
	return b.String()
}
