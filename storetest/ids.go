package storetest

import (
	"context"
	"strings"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"github.com/enactlog/enact"
)

// hardIDs are ids that mean something to a server, a file system, a shell or a
// URL, and ids that a naive encoding would turn into one another.
var hardIDs = []string{
	"a", "A", "a.b", "a%2Eb", "a%2eb", "a%252Eb", "a_b", "a-b", "a b", "a+b", "a%20b", "a%b",
	".", "..", "a.", ".a", "a..b", "*", "a*", ">", "a>", "a.*", "a.>", "%", "%%", "%2A", "%2a", "$", "$SYS", "$JS.API",
	" ", "  ", " a", "a ", "\t", "\n", "a\r\nb", "\x00", "a\x00b", "\x1f", "\x7f", "a\x7f", "\u0080",
	"/", "../a", "a/b", "a\\b", "\\", ":", "a:b", ",", ";", "=", "&", "?", "#", "~", "'", "\"", "`", "|", "<a>",
	"é", "e\u0301", "ß", "ẞ", "ﬁ", "ı", "漢字", "🦀", "👩‍🔬", "\u200b", "\u202ea", "\ufeff", "\ufffd", "_INDEX", "-index",
}

// longID returns an id of MaxIDLength bytes that begins with prefix, most of it
// characters that percent-encoding triples.
func longID(prefix string) string {
	id := prefix + strings.Repeat("🦀", (enact.MaxIDLength-len(prefix))/len("🦀"))
	return id + strings.Repeat("%", enact.MaxIDLength-len(id))
}

func ids() []sentence {
	return []sentence{
		{"an execution may have any id, kept apart from its like", func(f *fixture) {
			unique := uuid.NewString()
			variants := []func(id string) string{
				func(id string) string { return id + unique },
				func(id string) string { return unique + id },
			}
			for _, variant := range variants {
				f := f.in(newTenant())
				names := make([]enact.ExecutionID, 0, len(hardIDs)+1)
				for _, id := range append(hardIDs, longID("")[len(unique):]) {
					names = append(names, enact.ExecutionID(variant(id)))
				}
				testNames(f, names)
			}
		}},
		{"a tenant may have any id, kept apart from its like", func(f *fixture) {
			unique := uuid.NewString()
			all := make([]*fixture, 0, len(hardIDs)+1)
			for _, id := range append(hardIDs, longID("")[len(unique):]) {
				all = append(all, f.in(enact.TenantID(unique+id)), f.in(enact.TenantID(id+unique)))
			}
			for i, g := range all {
				g.append(note(i))
			}
			for i, g := range all {
				g.holds(note(i))
				require.Equal(g.t, []enact.ExecutionID{g.execution}, g.listAll(), "executions of %q", g.tenant)
				g.loadN(1, enact.InTenant(g.tenant))
			}
		}},
		{"an id may be nothing but what is hard about it", func(f *fixture) {
			// These ids cannot be fresh: in a log that is not, they have a history.
			for _, id := range append(hardIDs, longID("")) {
				f := f.in("storetest: ids.*.>").on(enact.ExecutionID(id))
				seq := f.append(enact.Custom{EventType: "id", Data: enact.JSON(id)})
				require.Equal(f.t, seq, f.latest(), "%q", id)
				loaded := f.loadN(1, enact.Backwards(), enact.Limit(1))
				require.Equal(f.t, f.execution, loaded[0].ExecutionID)
				require.Equal(f.t, f.tenant, loaded[0].TenantID)
				sameEvent(f.t, enact.Custom{EventType: "id", Data: enact.JSON(id)}, loaded[0].Event)

				g := f.in(enact.TenantID(id))
				require.Equal(f.t, uint64(1), g.append(note(1)))
				g.holds(note(1))
				require.Equal(f.t, []enact.ExecutionID{g.execution}, g.list(1, 0), "newest of tenant %q", id)
			}
		}},
		{"tenant and execution are not joined into one name", func(f *fixture) {
			unique := uuid.NewString()
			pairs := [][2]string{{"a", "b.c"}, {"a.b", "c"}, {"a.b.c", "d"}, {"a%2Eb", "e"}, {"b", "a.b"}}
			all := make([]*fixture, len(pairs))
			for i, p := range pairs {
				all[i] = f.in(enact.TenantID(unique + p[0])).on(enact.ExecutionID(p[1] + unique))
				all[i].append(note(i))
			}
			for i, g := range all {
				g.holds(note(i))
				require.Equal(f.t, []enact.ExecutionID{g.execution}, g.listAll())
			}
		}},
		{"an invalid id is refused by every method", testInvalidIDs},
	}
}

// testNames requires executions of these ids to be kept apart.
func testNames(f *fixture, names []enact.ExecutionID) {
	for i, name := range names {
		require.Equal(f.t, uint64(1), f.on(name).append(note(i)), "%q", name)
	}
	for i, name := range names {
		g := f.on(name)
		require.Equal(f.t, uint64(2), g.append(note(-i), enact.ExpectSequence(1)), "%q", name)
		loaded := g.load()
		g.areNumbered(loaded, []enact.Event{note(i), note(-i)})
		g.areNumbered(g.load(enact.InTenant(f.tenant)), []enact.Event{note(i), note(-i)})
	}
	listed := f.listAll()
	require.Len(f.t, listed, len(names))
	for i, name := range names {
		require.Equal(f.t, name, listed[len(names)-1-i])
	}
}

func testInvalidIDs(f *fixture) {
	f.append(note(1))
	for _, bad := range []string{"", strings.Repeat("x", enact.MaxIDLength+1), "a\xffb", "\xc3", "\xed\xa0\x80"} {
		calls := map[string]func(context.Context) error{}
		add := func(name string, call func(ctx context.Context) error) { calls[name] = call }
		for _, by := range []string{"execution", "tenant"} {
			execution, tenant := enact.ExecutionID(bad), f.tenant
			if by == "tenant" {
				execution, tenant = f.execution, enact.TenantID(bad)
			}
			add("Append by "+by, func(ctx context.Context) error {
				_, err := f.store.Append(ctx, execution, tenant, note(2))
				return err
			})
			add("AppendBatch by "+by, func(ctx context.Context) error {
				_, err := f.store.AppendBatch(ctx, execution, tenant, notes(2, 3))
				return err
			})
			for name, read := range readers(f.store, execution, enact.InTenant(tenant)) {
				add(name+" by "+by, read)
			}
		}
		for name, read := range readers(f.store, enact.ExecutionID(bad)) {
			add(name, read)
		}
		add("ListExecutions", func(ctx context.Context) error {
			_, err := f.store.ListExecutions(ctx, enact.TenantID(bad), 0, 0)
			return err
		})
		for name, call := range calls {
			err := call(f.ctx)
			var id *enact.IDError
			require.ErrorAs(f.t, err, &id, "%s, id %q", name, bad)
			require.ErrorIs(f.t, err, enact.ErrInvalidID)
			require.Equal(f.t, bad, id.ID)
		}
	}
	f.holds(note(1))
	require.Equal(f.t, []enact.ExecutionID{f.execution}, f.listAll())
}
