package codec_test

import (
	"bufio"
	"bytes"
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/gofrs/flock"
	"github.com/stretchr/testify/require"

	"github.com/enactlog/enact"
	"github.com/enactlog/enact/codec"
)

func newKeyFile(t *testing.T) (*codec.FileKeyRing, string) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "keys.json")
	ring, err := codec.CreateFileKeyRing(t.Context(), path)
	require.NoError(t, err)
	return ring, path
}

func currentID(t *testing.T, ring codec.KeyRing, tenant enact.TenantID) string {
	t.Helper()
	key, err := ring.Current(t.Context(), tenant)
	require.NoError(t, err)
	return key.ID()
}

// The format of the file, which later releases must read.
func TestKeyFileGolden(t *testing.T) {
	ctx := t.Context()
	path := filepath.Join(t.TempDir(), "keys.json")
	golden, err := os.ReadFile("testdata/keys.json")
	require.NoError(t, err)
	require.NoError(t, os.WriteFile(path, golden, 0o600))
	ring, err := codec.OpenFileKeyRing(path)
	require.NoError(t, err)

	tenants, err := ring.Tenants(ctx)
	require.NoError(t, err)
	require.Equal(t, []enact.TenantID{"acme", "globex", "initech"}, tenants)
	infos, dropped, err := ring.Keys(ctx, acme)
	require.NoError(t, err)
	require.False(t, dropped)
	day := func(month time.Month, d int) time.Time { return time.Date(2026, month, d, 0, 0, 0, 0, time.UTC) }
	require.Equal(t, []codec.KeyInfo{
		{ID: "2025-12", Created: day(1, 1), Dropped: day(2, 20)},
		{ID: "2026-02", Created: day(2, 1), Current: true},
	}, infos)
	_, dropped, err = ring.Keys(ctx, "globex")
	require.NoError(t, err)
	require.True(t, dropped)
	_, err = ring.Current(ctx, "initech")
	require.ErrorIs(t, err, codec.ErrKeyUnknown)

	// The key is the one that it says.
	id, secret, vectors := readVectors(t)
	require.Equal(t, id, currentID(t, ring, acme))
	sealed, err := codec.NewAES256GCM(nil, ring)
	require.NoError(t, err)
	_, err = sealed.Decode(ctx, vectors[0].Payload, vectors[0].Codec, vectors[0].place(), 1)
	require.NoError(t, err)
	require.Contains(t, string(golden), base64.StdEncoding.EncodeToString(secret))

	// A change writes the rest as it was.
	require.NoError(t, ring.DropTenant(ctx, "initech"))
	text, err := os.ReadFile(path)
	require.NoError(t, err)
	before, after, _ := strings.Cut(string(golden), `"tenant": "initech",`)
	require.True(t, strings.HasPrefix(string(text), before+`"tenant": "initech",`), "%s", text)
	require.Contains(t, string(text), `"dropped": "`)
	require.NotEmpty(t, after)
}

func TestKeyFileIsForItsOwner(t *testing.T) {
	ring, path := newKeyFile(t)
	_, err := ring.Rotate(t.Context(), acme)
	require.NoError(t, err)
	files, err := os.ReadDir(filepath.Dir(path))
	require.NoError(t, err)
	require.Len(t, files, 2, "the file and its lock")
	for _, f := range files {
		info, err := f.Info()
		require.NoError(t, err)
		require.Equal(t, fs.FileMode(0o600), info.Mode(), f.Name())
	}

	for _, mode := range []fs.FileMode{0o644, 0o640, 0o604, 0o620, 0o602, 0o610, 0o601, 0o777} {
		require.NoError(t, os.Chmod(path, mode))
		_, err := codec.OpenFileKeyRing(path)
		refused, ok := errors.AsType[*codec.KeyFileError](err)
		require.True(t, ok, "%04o: %v", mode, err)
		require.Equal(t, path, refused.Path)
		require.Contains(t, refused.Reason, fmt.Sprintf("mode %04o", mode))
		// One that is open refuses it too, as soon as it looks.
		_, err = ring.Rotate(t.Context(), acme)
		require.ErrorAs(t, err, &refused)
		_, err = ring.Lookup(t.Context(), acme, "unknown")
		require.ErrorAs(t, err, &refused)
	}
	require.Eventually(t, func() bool {
		_, err := ring.Current(t.Context(), acme)
		return err != nil
	}, time.Minute, 10*time.Millisecond)
	require.NoError(t, os.Chmod(path, 0o400))
	_, err = codec.OpenFileKeyRing(path)
	require.NoError(t, err)
	require.NotEmpty(t, currentID(t, ring, acme), "it recovers")
}

func TestKeyFileMustExist(t *testing.T) {
	path := filepath.Join(t.TempDir(), "keys.json")
	_, err := codec.OpenFileKeyRing(path)
	require.ErrorIs(t, err, fs.ErrNotExist)
	_, err = codec.CreateFileKeyRing(t.Context(), path)
	require.NoError(t, err)
	_, err = codec.CreateFileKeyRing(t.Context(), path)
	require.ErrorIs(t, err, fs.ErrExist)
	_, err = codec.CreateFileKeyRing(t.Context(), filepath.Join(path, "below"))
	require.Error(t, err)
	_, err = codec.OpenFileKeyRing(filepath.Dir(path))
	require.Error(t, err, "a directory")

	// One that goes away is an error, and no ring without keys.
	ring, err := codec.OpenFileKeyRing(path)
	require.NoError(t, err)
	id, err := ring.Rotate(t.Context(), acme)
	require.NoError(t, err)
	require.NoError(t, os.Rename(path, path+".away"))
	_, err = ring.Lookup(t.Context(), acme, "unknown")
	require.ErrorIs(t, err, fs.ErrNotExist)
	_, err = ring.Rotate(t.Context(), acme)
	require.ErrorIs(t, err, fs.ErrNotExist)
	_, err = ring.Tenants(t.Context())
	require.ErrorIs(t, err, fs.ErrNotExist)
	_, _, err = ring.Keys(t.Context(), acme)
	require.ErrorIs(t, err, fs.ErrNotExist)
	require.NoError(t, os.Rename(path+".away", path))
	require.Equal(t, id, currentID(t, ring, acme))
}

func TestKeyFileRefusesContent(t *testing.T) {
	const good = `"AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA="`
	tenants := func(text string) string { return `{"version":1,"tenants":[` + text + `]}` }
	keys := func(text string) string { return tenants(`{"tenant":"acme","keys":[` + text + `]}`) }
	for name, tt := range map[string]struct{ text, reason string }{
		"nothing":                   {``, "is not valid"},
		"cut":                       {`{"version":1,"tenants":[`, "is not valid"},
		"something behind":          {tenants(``) + `{}`, "is not valid"},
		"no version":                {`{"tenants":[]}`, "has version 0, this release reads version 1"},
		"a later version":           {`{"version":2,"rings":[]}`, "has version 2"},
		"an unknown member":         {`{"version":1,"tenants":[],"x":1}`, `"x"`},
		"an unknown member of keys": {keys(`{"id":"k","created":"2026-01-01T00:00:00Z","secret":` + good + `,"x":1}`), `"x"`},
		"a member twice":            {`{"version":1,"version":1,"tenants":[]}`, "is not valid"},
		"null for a tenant":         {tenants(`null`), "null"},
		"a tenant without a name":   {tenants(`{"keys":[]}`), "tenant id"},
		"a tenant twice":            {tenants(`{"tenant":"acme","keys":[]},{"tenant":"acme","keys":[]}`), "twice"},
		"a key twice":               {keys(`{"id":"k","secret":` + good + `},{"id":"k","secret":` + good + `}`), "twice"},
		"a key without an id":       {keys(`{"secret":` + good + `}`), "id"},
		"a key without a secret":    {keys(`{"id":"k"}`), "0 bytes"},
		"a short secret":            {keys(`{"id":"k","secret":"c2hvcnQ="}`), "5 bytes"},
		"a secret not in base64":    {keys(`{"id":"k","secret":"hunter2 is no base64"}`), "is not valid"},
		"a dropped key's secret":    {keys(`{"id":"k","dropped":"2026-01-01T00:00:00Z","secret":` + good + `}`), "was dropped and has a secret"},
		"a current key of nowhere":  {tenants(`{"tenant":"acme","current":"k","keys":[]}`), `current key "k"`},
		"a dropped tenant's key":    {tenants(`{"tenant":"acme","dropped":"2026-01-01T00:00:00Z","keys":[{"id":"k","secret":` + good + `}]}`), "was dropped and has keys"},
	} {
		t.Run(name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "keys.json")
			require.NoError(t, os.WriteFile(path, []byte(tt.text), 0o600))
			_, err := codec.OpenFileKeyRing(path)
			refused, ok := errors.AsType[*codec.KeyFileError](err)
			require.True(t, ok, "%v", err)
			require.Contains(t, refused.Reason, tt.reason)
			require.Contains(t, err.Error(), path)
			require.NotContains(t, err.Error(), "hunter2")
			require.NotContains(t, err.Error(), "c2hvcnQ")
		})
	}
}

// What another one changes is seen: at once where a key is not known, within a second
// where it is.
func TestKeyFileShowsChangesOfOthers(t *testing.T) {
	writer, path := newKeyFile(t)
	ctx := t.Context()
	reader, err := codec.OpenFileKeyRing(path)
	require.NoError(t, err)
	for range 20 {
		id, err := writer.Rotate(ctx, acme)
		require.NoError(t, err)
		key, err := reader.Lookup(ctx, acme, id)
		require.NoError(t, err)
		require.Equal(t, id, key.ID())
		require.NoError(t, writer.Drop(ctx, acme, id))
	}
	id, err := writer.Rotate(ctx, acme)
	require.NoError(t, err)
	_, err = reader.Lookup(ctx, acme, id)
	require.NoError(t, err)
	require.NoError(t, writer.DropTenant(ctx, acme))
	_, err = writer.Lookup(ctx, acme, id)
	require.ErrorIs(t, err, codec.ErrKeyDropped, "at once for the one who drops")
	began := time.Now()
	require.Eventually(t, func() bool {
		_, err := reader.Lookup(ctx, acme, id)
		return errors.Is(err, codec.ErrKeyDropped)
	}, time.Minute, 10*time.Millisecond)
	t.Logf("seen after %v", time.Since(began))
}

// A change right after another may show in nothing but the content: a file's time has a
// grain, and a place on disk is used again.
func TestKeyFileChangesWithinAnInstant(t *testing.T) {
	ring, path := newKeyFile(t)
	require.NoError(t, ring.Add(t.Context(), acme, "one", secret(1)))
	// The instant is one that does not pass while this test is held up.
	instant := time.Now().Add(time.Hour)
	require.NoError(t, os.Chtimes(path, time.Time{}, instant))
	_, err := ring.Tenants(t.Context()) // looks at it
	require.NoError(t, err)
	text, err := os.ReadFile(path)
	require.NoError(t, err)
	require.NoError(t, os.WriteFile(path, bytes.ReplaceAll(text, []byte(`"one"`), []byte(`"two"`)), 0o600))
	require.NoError(t, os.Chtimes(path, time.Time{}, instant))
	key, err := ring.Lookup(t.Context(), acme, "two")
	require.NoError(t, err)
	require.Equal(t, "two", key.ID())
}

// The path may be a symbolic link: what it points to is what changes.
func TestKeyFileBehindALink(t *testing.T) {
	ring, path := newKeyFile(t)
	link := filepath.Join(t.TempDir(), "link")
	require.NoError(t, os.Symlink(path, link))
	linked, err := codec.OpenFileKeyRing(link)
	require.NoError(t, err)
	id, err := linked.Rotate(t.Context(), acme)
	require.NoError(t, err)
	info, err := os.Lstat(link)
	require.NoError(t, err)
	require.NotZero(t, info.Mode()&fs.ModeSymlink)
	_, err = ring.Lookup(t.Context(), acme, id)
	require.NoError(t, err)
}

// A change that fails leaves the file as it was, and what a crash left is no obstacle.
func TestKeyFileChangesAsAWhole(t *testing.T) {
	ring, path := newKeyFile(t)
	ctx := t.Context()
	id, err := ring.Rotate(ctx, acme)
	require.NoError(t, err)
	before, err := os.ReadFile(path)
	require.NoError(t, err)

	// Something that is in the way and cannot be removed.
	require.NoError(t, os.MkdirAll(path+".new/full", 0o700))
	_, err = ring.Rotate(ctx, acme)
	require.Error(t, err)
	require.Error(t, ring.DropTenant(ctx, acme))
	after, err := os.ReadFile(path)
	require.NoError(t, err)
	require.Equal(t, string(before), string(after))
	require.Equal(t, id, currentID(t, ring, acme))
	require.NoError(t, os.RemoveAll(path+".new"))

	require.NoError(t, os.WriteFile(path+".new", []byte("half a fi"), 0o644))
	require.NoError(t, ring.DropTenant(ctx, acme))
	_, err = os.Stat(path + ".new")
	require.ErrorIs(t, err, fs.ErrNotExist)
	text, err := os.ReadFile(path)
	require.NoError(t, err)
	require.NotContains(t, string(text), "secret", "nothing of the keys is left in the file")
}

// No process encrypts with a key that a loss of power may take back: when the file first says
// that it is the current one, the key is on the disk.
func TestKeyFileRotatesDurably(t *testing.T) {
	ring, path := newKeyFile(t)
	durable := make(map[string]bool) // keys
	looks := 0
	ring.BeforeSync(func() {
		looks++
		other, err := codec.OpenFileKeyRing(path)
		require.NoError(t, err)
		infos, _, err := other.Keys(t.Context(), acme)
		require.NoError(t, err)
		for _, k := range infos {
			require.True(t, !k.Current || durable[k.ID], "key %s", k.ID)
		}
		for _, k := range infos {
			durable[k.ID] = true
		}
	})
	for n := range 3 {
		id, err := ring.Rotate(t.Context(), acme)
		require.NoError(t, err)
		require.Equal(t, id, currentID(t, ring, acme))
		require.Len(t, durable, n+1)
	}
	require.Equal(t, 6, looks)
}

// A change waits for another process's, as long as its context lets it.
func TestKeyFileLock(t *testing.T) {
	ring, path := newKeyFile(t)
	lock := flock.New(path + ".lock")
	require.NoError(t, lock.Lock())
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	_, err := ring.Rotate(ctx, acme)
	require.ErrorIs(t, err, context.DeadlineExceeded)
	_, err = ring.Lookup(t.Context(), acme, "k")
	require.ErrorIs(t, err, codec.ErrKeyUnknown, "reading needs no lock")
	require.NoError(t, lock.Unlock())
	_, err = ring.Rotate(t.Context(), acme)
	require.NoError(t, err)
}

// readerVariable makes a process of this test's program a reader of the key file that
// it names.
const readerVariable = "CODEC_TEST_READ_KEYS"

// readUntilDropped looks the tenant's current key up until the tenant is dropped.
func readUntilDropped(path string) error {
	ring, err := codec.OpenFileKeyRing(path)
	if err != nil {
		return err
	}
	fmt.Println("ready")
	// As long as the hundred changes take, of which each is synced twice.
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Minute)
	defer cancel()
	for ctx.Err() == nil {
		key, err := ring.Current(ctx, acme)
		if err == nil {
			_, err = ring.Lookup(ctx, acme, key.ID())
		}
		if errors.Is(err, codec.ErrKeyDropped) {
			return nil
		}
		// Looks at the file each time, as it is being replaced.
		if _, err := ring.Lookup(ctx, acme, "unknown"); err == nil || !errors.Is(err, codec.ErrKeyUnknown) && !errors.Is(err, codec.ErrKeyDropped) {
			return fmt.Errorf("unknown key: %w", err)
		}
		if err != nil {
			return err
		}
	}
	return ctx.Err()
}

// Processes read while others change the file: each look-up finds one content or the
// next, and a drop reaches all.
func TestManyProcessesReadOneFile(t *testing.T) {
	ring, path := newKeyFile(t)
	ctx := t.Context()
	_, err := ring.Rotate(ctx, acme)
	require.NoError(t, err)
	type reader struct {
		cmd    *exec.Cmd
		stderr bytes.Buffer
	}
	readers := make([]*reader, 3)
	for i := range readers {
		r := &reader{cmd: exec.CommandContext(ctx, os.Args[0])}
		r.cmd.Env = append(os.Environ(), readerVariable+"="+path)
		r.cmd.Stderr = &r.stderr
		out, err := r.cmd.StdoutPipe()
		require.NoError(t, err)
		require.NoError(t, r.cmd.Start())
		line, err := bufio.NewReader(out).ReadString('\n')
		require.NoError(t, err)
		require.Equal(t, "ready\n", line)
		readers[i] = r
	}
	for range 50 {
		_, err := ring.Rotate(ctx, acme)
		require.NoError(t, err)
	}
	require.NoError(t, ring.DropTenant(ctx, acme))
	for _, r := range readers {
		require.NoError(t, r.cmd.Wait(), r.stderr.String())
	}
}
