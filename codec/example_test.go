package codec_test

import (
	"context"
	"errors"
	"fmt"
	"log"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"github.com/enactlog/enact"
	"github.com/enactlog/enact/codec"
)

// What repeats itself becomes smaller; what would not stays as it is.
func ExampleNewZstd() {
	z, err := codec.NewZstd(nil) // around JSON
	if err != nil {
		log.Fatal(err)
	}
	ctx := context.Background()
	at := codec.Place{TenantID: "acme", ExecutionID: "exec_1", Sequence: 1}

	_, header, err := z.Encode(ctx, nil, at, []enact.Event{enact.ExecutionStarted{}})
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println("a short record:", header)

	page := strings.Repeat("All happy families are alike. ", 100)
	payload, header, err := z.Encode(ctx, nil, at, []enact.Event{enact.ToolCallCompleted{ToolCallID: "call_1", Output: enact.JSON(page)}})
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println("a long one:", header, len(payload) < len(page)/10)
	// Output:
	// a short record: json
	// a long one: json+zstd true
}

// A few bytes may decode to very many: a reader says how many it takes.
func ExampleMaxDecoded() {
	ctx := context.Background()
	at := codec.Place{TenantID: "acme", ExecutionID: "exec_1", Sequence: 1}
	generous, err := codec.NewZstd(nil, codec.MaxDecoded(64<<20))
	if err != nil {
		log.Fatal(err)
	}
	payload, header, err := generous.Encode(ctx, nil, at, []enact.Event{enact.ExecutionPaused{Reason: strings.Repeat("0", 16<<20)}})
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(len(payload) < 4096)

	careful, err := codec.NewZstd(nil)
	if err != nil {
		log.Fatal(err)
	}
	_, err = careful.Decode(ctx, payload, header, at, 1)
	fmt.Println(err)
	// Output:
	// true
	// enact: payload after decompression too large: 16777255 bytes, the limit is 8388608
}

// Encryption binds a payload to the place that it was written for.
func ExampleNewAES256GCM() {
	ctx := context.Background()
	keys := codec.NewMemoryKeyRing()
	if err := keys.Add(ctx, "acme", "2026-02", []byte("0123456789abcdef0123456789abcdef")); err != nil { // from a secret store
		log.Fatal(err)
	}
	sealed, err := codec.NewAES256GCM(nil, keys) // around zstd around JSON
	if err != nil {
		log.Fatal(err)
	}
	at := codec.Place{TenantID: "acme", ExecutionID: "exec_1", Sequence: 1}
	payload, header, err := sealed.Encode(ctx, nil, at, []enact.Event{enact.ExecutionPaused{Reason: "waiting for Ann"}})
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(header, strings.Contains(string(payload), "waiting for Ann"))

	events, err := sealed.Decode(ctx, payload, header, at, 1)
	fmt.Println(events, err)

	elsewhere := codec.Place{TenantID: "acme", ExecutionID: "exec_2", Sequence: 1}
	_, err = sealed.Decode(ctx, payload, header, elsewhere, 1)
	fmt.Println(err)
	// Output:
	// json+aes256gcm;key=2026-02 false
	// [{waiting for Ann}] <nil>
	// key "2026-02" does not open the payload: it was changed, or written for another place
}

// Dropping a tenant's keys makes everything that it ever wrote unreadable, wherever
// copies of it are.
func ExampleMemoryKeyRing() {
	ctx := context.Background()
	keys := codec.NewMemoryKeyRing()
	sealed, err := codec.NewAES256GCM(nil, keys)
	if err != nil {
		log.Fatal(err)
	}
	at := codec.Place{TenantID: "acme", ExecutionID: "exec_1", Sequence: 1}
	secret := []enact.Event{enact.ExecutionPaused{Reason: "waiting for Ann"}}

	_, _, err = sealed.Encode(ctx, nil, at, secret)
	fmt.Println("before the first key:", errors.Is(err, codec.ErrKeyUnknown))

	if _, err := keys.Rotate(ctx, "acme"); err != nil {
		log.Fatal(err)
	}
	payload, header, err := sealed.Encode(ctx, nil, at, secret)
	if err != nil {
		log.Fatal(err)
	}
	if _, err := keys.Rotate(ctx, "acme"); err != nil { // what was written stays readable
		log.Fatal(err)
	}
	events, err := sealed.Decode(ctx, payload, header, at, 1)
	fmt.Println("rotated:", events[0].Type(), err)

	if err := keys.DropTenant(ctx, "acme"); err != nil {
		log.Fatal(err)
	}
	events, err = sealed.Decode(ctx, payload, header, at, 1)
	fmt.Println("dropped:", events[0].Type(), err)
	_, _, err = sealed.Encode(ctx, nil, at, secret)
	fmt.Println("and nothing more is written:", errors.Is(err, codec.ErrKeyDropped))
	// Output:
	// before the first key: true
	// rotated: execution_paused <nil>
	// dropped: enact.unreadable <nil>
	// and nothing more is written: true
}

// A key file is made once. Then any number of processes open it.
func ExampleCreateFileKeyRing() {
	dir, err := os.MkdirTemp("", "keys")
	if err != nil {
		log.Fatal(err)
	}
	defer os.RemoveAll(dir)
	ctx := context.Background()
	path := filepath.Join(dir, "keys.json")
	keys, err := codec.CreateFileKeyRing(ctx, path)
	if err != nil {
		log.Fatal(err)
	}
	id, err := keys.Rotate(ctx, "acme")
	if err != nil {
		log.Fatal(err)
	}

	elsewhere, err := codec.OpenFileKeyRing(path)
	if err != nil {
		log.Fatal(err)
	}
	key, err := elsewhere.Current(ctx, "acme")
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(key.ID() == id)
	// Output: true
}

// A file that others than its owner can read is refused.
func ExampleOpenFileKeyRing() {
	dir, err := os.MkdirTemp("", "keys")
	if err != nil {
		log.Fatal(err)
	}
	defer os.RemoveAll(dir)
	path := filepath.Join(dir, "keys.json")
	if _, err := codec.CreateFileKeyRing(context.Background(), path); err != nil {
		log.Fatal(err)
	}
	if err := os.Chmod(path, 0o644); err != nil {
		log.Fatal(err)
	}
	_, err = codec.OpenFileKeyRing(path)
	if refused, ok := errors.AsType[*codec.KeyFileError](err); ok {
		fmt.Println(refused.Reason)
	}
	// Output: has mode 0644: others than its owner have permissions on it
}

// Keys that a key management service wraps: the database holds what only the service
// can open, and this process keeps what it opened for five minutes.
func ExampleKeyRing() {
	ctx := context.Background()
	ring := &kmsKeyRing{service: newService(), wrapped: make(map[string][]byte), current: make(map[enact.TenantID]string), opened: make(map[string]openedKey)}
	if err := ring.makeKey(ctx, "acme", "2026-02"); err != nil {
		log.Fatal(err)
	}
	sealed, err := codec.NewAES256GCM(nil, ring)
	if err != nil {
		log.Fatal(err)
	}
	at := codec.Place{TenantID: "acme", ExecutionID: "exec_1", Sequence: 1}
	payload, header, err := sealed.Encode(ctx, nil, at, []enact.Event{enact.ExecutionResumed{}})
	if err != nil {
		log.Fatal(err)
	}
	clear(ring.opened)

	ring.service.away = true // no reason to call the events unreadable
	_, err = sealed.Decode(ctx, payload, header, at, 1)
	fmt.Println(errors.Is(err, codec.ErrUnavailable), err)

	ring.service.away = false
	events, err := sealed.Decode(ctx, payload, header, at, 1)
	fmt.Println(events[0].Type(), err)
	// Output:
	// true codec: key "2026-02" of tenant "acme": the service is away
	// execution_resumed <nil>
}

// kmsKeyRing is a key ring in front of a key management service.
type kmsKeyRing struct {
	service *service

	mu      sync.Mutex
	wrapped map[string][]byte         // in a database, by tenant and id; nil: destroyed
	current map[enact.TenantID]string // beside them
	opened  map[string]openedKey
}

type openedKey struct {
	key   *codec.Key
	until time.Time
}

func (r *kmsKeyRing) makeKey(ctx context.Context, tenant enact.TenantID, id string) error {
	_, wrapped, err := r.service.generateDataKey(ctx)
	if err != nil {
		return err
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.wrapped[string(tenant)+"/"+id], r.current[tenant] = wrapped, id
	return nil
}

func (r *kmsKeyRing) Current(ctx context.Context, tenant enact.TenantID) (*codec.Key, error) {
	r.mu.Lock()
	id, ok := r.current[tenant]
	r.mu.Unlock()
	if !ok {
		return nil, codec.ErrKeyUnknown
	}
	return r.Lookup(ctx, tenant, id)
}

func (r *kmsKeyRing) Lookup(ctx context.Context, tenant enact.TenantID, id string) (*codec.Key, error) {
	name := string(tenant) + "/" + id
	r.mu.Lock()
	opened := r.opened[name]
	wrapped, known := r.wrapped[name]
	r.mu.Unlock()
	switch {
	case !known:
		return nil, codec.ErrKeyUnknown
	case wrapped == nil:
		return nil, codec.ErrKeyDropped
	case time.Now().Before(opened.until):
		return opened.key, nil
	}
	secret, err := r.service.decrypt(ctx, wrapped)
	if err != nil {
		return nil, err // away, throttled, not permitted: perhaps not at the next try
	}
	key, err := codec.NewKey(id, secret)
	if err != nil {
		return nil, err
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.opened[name] = openedKey{key, time.Now().Add(5 * time.Minute)}
	return key, nil
}

// service stands for the client of a key management service.
type service struct{ away bool }

func newService() *service { return &service{} }

func (s *service) generateDataKey(context.Context) (secret, wrapped []byte, err error) {
	secret = []byte(strings.Repeat("s", codec.KeySize))
	return secret, []byte("wrapped:" + string(secret)), nil
}

func (s *service) decrypt(_ context.Context, wrapped []byte) ([]byte, error) {
	if s.away {
		return nil, errors.New("the service is away")
	}
	return []byte(strings.TrimPrefix(string(wrapped), "wrapped:")), nil
}
