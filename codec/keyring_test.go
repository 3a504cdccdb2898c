package codec_test

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/enactlog/enact"
	"github.com/enactlog/enact/codec"
)

// managers runs a test on each key ring of this package.
func managers(t *testing.T, f func(t *testing.T, open func(t require.TestingT) codec.KeyManager)) {
	t.Run("memory", func(t *testing.T) {
		f(t, func(require.TestingT) codec.KeyManager { return codec.NewMemoryKeyRing() })
	})
	t.Run("file", func(t *testing.T) {
		n := 0
		f(t, func(t2 require.TestingT) codec.KeyManager {
			n++
			ring, err := codec.CreateFileKeyRing(t.Context(), filepath.Join(t.TempDir(), fmt.Sprintf("keys-%d.json", n)))
			require.NoError(t2, err)
			return ring
		})
	})
}

func secret(n byte) []byte { return slices.Repeat([]byte{n}, codec.KeySize) }

func TestKeyManager(t *testing.T) {
	managers(t, func(t *testing.T, open func(require.TestingT) codec.KeyManager) {
		ctx := t.Context()
		ring := open(t)
		current := func(tenant enact.TenantID) string {
			key, err := ring.Current(ctx, tenant)
			require.NoError(t, err)
			return key.ID()
		}
		// A tenant that nobody gave a key.
		_, err := ring.Current(ctx, acme)
		require.ErrorIs(t, err, codec.ErrKeyUnknown)
		_, err = ring.Lookup(ctx, acme, "k")
		require.ErrorIs(t, err, codec.ErrKeyUnknown)
		infos, dropped, err := ring.Keys(ctx, acme)
		require.NoError(t, err)
		require.False(t, dropped)
		require.Empty(t, infos)

		first, err := ring.Rotate(ctx, acme)
		require.NoError(t, err)
		require.True(t, codec.ValidKeyID(first))
		require.Equal(t, first, current(acme))
		_, err = ring.Current(ctx, "globex")
		require.ErrorIs(t, err, codec.ErrKeyUnknown, "keys belong to tenants")
		_, err = ring.Lookup(ctx, "globex", first)
		require.ErrorIs(t, err, codec.ErrKeyUnknown)

		require.NoError(t, ring.Add(ctx, acme, "second", secret(2)))
		require.Equal(t, "second", current(acme))
		require.ErrorIs(t, ring.Add(ctx, acme, "second", secret(2)), codec.ErrKeyExists)
		require.ErrorIs(t, ring.Add(ctx, acme, first, secret(3)), codec.ErrKeyExists)
		require.Equal(t, "second", current(acme))
		key, err := ring.Lookup(ctx, acme, first)
		require.NoError(t, err)
		require.Equal(t, first, key.ID())

		// The current key goes: nothing is written until there is another one.
		require.NoError(t, ring.Drop(ctx, acme, "second"))
		require.NoError(t, ring.Drop(ctx, acme, "second"), "again")
		_, err = ring.Current(ctx, acme)
		require.ErrorIs(t, err, codec.ErrKeyDropped)
		_, err = ring.Lookup(ctx, acme, "second")
		require.ErrorIs(t, err, codec.ErrKeyDropped)
		require.ErrorIs(t, ring.Add(ctx, acme, "second", secret(2)), codec.ErrKeyDropped, "for good")
		third, err := ring.Rotate(ctx, acme)
		require.NoError(t, err)
		require.Equal(t, third, current(acme))
		require.NoError(t, ring.Drop(ctx, acme, "never-seen"))
		_, err = ring.Lookup(ctx, acme, "never-seen")
		require.ErrorIs(t, err, codec.ErrKeyDropped, "declared lost")

		infos, dropped, err = ring.Keys(ctx, acme)
		require.NoError(t, err)
		require.False(t, dropped)
		var ids []string
		for _, info := range infos {
			ids = append(ids, info.ID)
			require.WithinDuration(t, time.Now(), info.Created, 10*time.Minute)
			require.Equal(t, info.ID == third, info.Current)
			require.Equal(t, info.ID == "second" || info.ID == "never-seen", !info.Dropped.IsZero())
		}
		require.Equal(t, []string{first, "second", third, "never-seen"}, ids)

		// The tenant goes.
		require.NoError(t, ring.Add(ctx, "globex", "g", secret(1)))
		require.NoError(t, ring.DropTenant(ctx, acme))
		require.NoError(t, ring.DropTenant(ctx, acme), "again")
		for _, id := range append(ids, "any other") {
			_, err = ring.Lookup(ctx, acme, id)
			require.ErrorIs(t, err, codec.ErrKeyDropped, id)
		}
		_, err = ring.Current(ctx, acme)
		require.ErrorIs(t, err, codec.ErrKeyDropped)
		_, err = ring.Rotate(ctx, acme)
		require.ErrorIs(t, err, codec.ErrKeyDropped)
		require.ErrorIs(t, ring.Add(ctx, acme, "new", secret(1)), codec.ErrKeyDropped)
		require.NoError(t, ring.Drop(ctx, acme, first))
		infos, dropped, err = ring.Keys(ctx, acme)
		require.NoError(t, err)
		require.True(t, dropped)
		require.Empty(t, infos)
		require.Equal(t, "g", current("globex"), "and no other tenant")
		require.NoError(t, ring.DropTenant(ctx, "never-seen"))
		_, err = ring.Lookup(ctx, "never-seen", "k")
		require.ErrorIs(t, err, codec.ErrKeyDropped)
		tenants, err := ring.Tenants(ctx)
		require.NoError(t, err)
		require.Equal(t, []enact.TenantID{acme, "globex", "never-seen"}, tenants)
	})
}

func TestKeyManagerRefuses(t *testing.T) {
	managers(t, func(t *testing.T, open func(require.TestingT) codec.KeyManager) {
		ctx := t.Context()
		ring := open(t)
		for _, id := range []string{"", "a b", "a;b", "a=b", "é", "a/b", strings.Repeat("k", 65), "a\n"} {
			require.False(t, codec.ValidKeyID(id), id)
			require.ErrorIs(t, ring.Add(ctx, acme, id, secret(1)), enact.ErrInvalidOption, id)
			require.ErrorIs(t, ring.Drop(ctx, acme, id), enact.ErrInvalidOption, id)
		}
		for _, n := range []int{0, 16, 31, 33, 64} {
			err := ring.Add(ctx, acme, "k", make([]byte, n))
			require.ErrorIs(t, err, enact.ErrInvalidOption, n)
		}
		for _, tenant := range []enact.TenantID{"", "\xff", enact.TenantID(strings.Repeat("t", 129))} {
			_, err := ring.Rotate(ctx, tenant)
			require.ErrorIs(t, err, enact.ErrInvalidID)
			require.ErrorIs(t, ring.Add(ctx, tenant, "k", secret(1)), enact.ErrInvalidID)
			require.ErrorIs(t, ring.Drop(ctx, tenant, "k"), enact.ErrInvalidID)
			require.ErrorIs(t, ring.DropTenant(ctx, tenant), enact.ErrInvalidID)
		}
		tenants, err := ring.Tenants(ctx)
		require.NoError(t, err)
		require.Empty(t, tenants, "nothing of it was kept")
	})
}

// The caller's secret may be cleared once it was added.
func TestKeysAreCopied(t *testing.T) {
	managers(t, func(t *testing.T, open func(require.TestingT) codec.KeyManager) {
		ctx := t.Context()
		a, b := open(t), open(t)
		mine := secret(5)
		require.NoError(t, a.Add(ctx, acme, "k", mine))
		clear(mine)
		require.NoError(t, b.Add(ctx, acme, "k", secret(5)))
		one, err := codec.NewAES256GCM(nil, a)
		require.NoError(t, err)
		other, err := codec.NewAES256GCM(nil, b)
		require.NoError(t, err)
		payload, header, err := one.Encode(ctx, nil, place, notes(1))
		require.NoError(t, err)
		_, err = other.Decode(ctx, payload, header, place, 1)
		require.NoError(t, err)
	})
}

// Any sequence of changes gives what a model of sets gives.
func TestKeyManagerModel(t *testing.T) {
	managers(t, func(t *testing.T, open func(require.TestingT) codec.KeyManager) {
		most := 12 // steps
		if _, file := open(t).(*codec.FileKeyRing); file {
			most = 3 // each is synced
		}
		rapid.Check(t, func(t *rapid.T) {
			ctx := context.Background()
			ring := open(t)
			type model struct {
				current    string
				live, gone map[string]bool
				dropped    bool
			}
			tenants := map[enact.TenantID]*model{}
			for range rapid.IntRange(1, most).Draw(t, "steps") {
				tenant := rapid.SampledFrom([]enact.TenantID{"a", "b"}).Draw(t, "tenant")
				m := tenants[tenant]
				if m == nil {
					m = &model{live: map[string]bool{}, gone: map[string]bool{}}
					tenants[tenant] = m
				}
				id := rapid.SampledFrom([]string{"1", "2", "3"}).Draw(t, "id")
				switch rapid.SampledFrom([]string{"add", "add", "rotate", "drop", "drop tenant"}).Draw(t, "step") {
				case "add":
					err := ring.Add(ctx, tenant, id, secret(1))
					switch {
					case m.dropped || m.gone[id]:
						require.ErrorIs(t, err, codec.ErrKeyDropped)
					case m.live[id]:
						require.ErrorIs(t, err, codec.ErrKeyExists)
					default:
						require.NoError(t, err)
						m.live[id], m.current = true, id
					}
				case "rotate":
					made, err := ring.Rotate(ctx, tenant)
					if m.dropped {
						require.ErrorIs(t, err, codec.ErrKeyDropped)
					} else {
						require.NoError(t, err)
						require.False(t, m.live[made] || m.gone[made])
						m.live[made], m.current = true, made
					}
				case "drop":
					require.NoError(t, ring.Drop(ctx, tenant, id))
					delete(m.live, id)
					m.gone[id] = true
				case "drop tenant":
					require.NoError(t, ring.DropTenant(ctx, tenant))
					m.dropped = true
				}
			}
			for tenant, m := range tenants {
				for _, id := range []string{"1", "2", "3", m.current} {
					if id == "" {
						continue
					}
					key, err := ring.Lookup(ctx, tenant, id)
					switch {
					case m.dropped || m.gone[id]:
						require.ErrorIs(t, err, codec.ErrKeyDropped)
					case m.live[id]:
						require.NoError(t, err)
						require.Equal(t, id, key.ID())
					default:
						require.ErrorIs(t, err, codec.ErrKeyUnknown)
					}
				}
				key, err := ring.Current(ctx, tenant)
				switch {
				case m.dropped || m.gone[m.current]:
					require.ErrorIs(t, err, codec.ErrKeyDropped)
				case m.current == "":
					require.ErrorIs(t, err, codec.ErrKeyUnknown)
				default:
					require.NoError(t, err)
					require.Equal(t, m.current, key.ID())
				}
			}
		})
	})
}

func TestKeyManagerConcurrently(t *testing.T) {
	managers(t, func(t *testing.T, open func(require.TestingT) codec.KeyManager) {
		ctx := t.Context()
		ring := open(t)
		_, err := ring.Rotate(ctx, acme)
		require.NoError(t, err)
		var wg sync.WaitGroup
		made := make([][]string, 4)
		for w := range made {
			wg.Go(func() {
				for range 5 {
					id, err := ring.Rotate(ctx, acme)
					if err != nil {
						t.Error(err)
						return
					}
					made[w] = append(made[w], id)
				}
			})
		}
		for range 4 {
			wg.Go(func() {
				for range 200 {
					key, err := ring.Current(ctx, acme)
					if err == nil {
						_, err = ring.Lookup(ctx, acme, key.ID())
					}
					if err != nil {
						t.Error(err)
						return
					}
				}
			})
		}
		wg.Wait()
		for _, id := range slices.Concat(made...) {
			_, err := ring.Lookup(ctx, acme, id)
			require.NoError(t, err, "no change is lost")
		}
	})
}

// However a key is printed, its secret does not show.
func TestKeysDoNotShow(t *testing.T) {
	key, err := codec.NewKey("2026-02", secret('S'))
	require.NoError(t, err)
	var log strings.Builder
	slog.New(slog.NewTextHandler(&log, nil)).Info("x", "key", key, "value", *key)
	text, err := json.Marshal(map[string]any{"key": key})
	require.NoError(t, err)
	for _, s := range []string{
		fmt.Sprint(key), fmt.Sprint(*key), fmt.Sprintf("%v %+v %#v %s %q %d %x", key, key, key, key, key, key, key),
		fmt.Sprintf("%v %+v %#v %s %q %d %x", *key, *key, *key, *key, *key, *key, *key), fmt.Sprintf("%+v", struct{ K *codec.Key }{key}), log.String(), string(text),
	} {
		for _, shown := range []string{"SS", "83 83", "5353", "0x53", "U1NT"} {
			require.NotContains(t, s, shown)
		}
	}
	require.Equal(t, "key 2026-02", fmt.Sprint(key))
	require.Equal(t, "<nil>", fmt.Sprint((*codec.Key)(nil)))
}
