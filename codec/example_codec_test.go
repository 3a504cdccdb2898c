package codec_test

import (
	"context"
	"encoding/json"
	"fmt"
	"log"

	"github.com/enactlog/enact"
	"github.com/enactlog/enact/codec"
)

// A payload is read by the codec that its header names. A codec's name must be one that
// the header can carry, and stores leave room for what it adds to the JSON.
func ExampleCodec() {
	ctx := context.Background()
	at := codec.Place{TenantID: "acme", ExecutionID: "exec_1", Sequence: 1}
	var plain codec.Codec = codec.JSON{}

	payload, header, err := plain.Encode(ctx, nil, at, []enact.Event{enact.ExecutionResumed{}, enact.ExecutionCompleted{DurationMS: 12}})
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(header, string(payload))
	events, err := plain.Decode(ctx, payload, header, at, 2)
	fmt.Println(events[0].Type(), err)
	fmt.Println(codec.ValidName("json+lz4"), codec.ValidName("JSON"), codec.Overhead(plain))
	// Output:
	// json [{"type":"execution_resumed"},{"type":"execution_completed","output":null,"duration_ms":12}]
	// execution_resumed <nil>
	// true false 0
}

// A store that shares records between callers asks whether a codec would look at the events
// themselves, which are their callers'.
func ExampleTakesTexts() {
	small, err := codec.NewZstd(codec.JSON{})
	if err != nil {
		log.Fatal(err)
	}
	own := struct{ codec.Codec }{small} // a codec of another package
	fmt.Println(codec.TakesTexts(codec.JSON{}), codec.TakesTexts(small), codec.TakesTexts(own))
	// Output: true true false
}

// A store that has the JSON of its events, since it has validated them, does not have it
// made again.
func ExampleEncodeTexts() {
	ctx := context.Background()
	batch := enact.Batch{TenantID: "acme", ExecutionID: "exec_1", Events: []enact.Event{enact.ExecutionResumed{}}}
	texts, err := batch.Encode()
	if err != nil {
		log.Fatal(err)
	}
	at := codec.Place{TenantID: "acme", ExecutionID: "exec_1", Sequence: 1}
	payload, header, err := codec.EncodeTexts(ctx, codec.JSON{}, nil, at, batch.Events, texts)
	fmt.Println(header, json.Valid(payload), err)
	// Output: json true <nil>
}

// What whoever looks after the keys does: see them, and destroy one that came into
// wrong hands, with what it has encrypted.
func ExampleKeyManager() {
	ctx := context.Background()
	var keys codec.KeyManager = codec.NewMemoryKeyRing()
	for _, id := range []string{"2026-01", "2026-02"} {
		if err := keys.Add(ctx, "acme", id, make([]byte, codec.KeySize)); err != nil { // from a secret store
			log.Fatal(err)
		}
	}
	if err := keys.Drop(ctx, "acme", "2026-01"); err != nil {
		log.Fatal(err)
	}

	tenants, err := keys.Tenants(ctx)
	fmt.Println(tenants, err)
	infos, dropped, err := keys.Keys(ctx, "acme")
	for _, k := range infos {
		fmt.Println(k.ID, "current:", k.Current, "dropped:", !k.Dropped.IsZero())
	}
	fmt.Println(dropped, err)
	_, err = keys.Lookup(ctx, "acme", "2026-01")
	fmt.Println(err)
	// Output:
	// [acme] <nil>
	// 2026-01 current: false dropped: true
	// 2026-02 current: true dropped: false
	// false <nil>
	// codec: key was dropped
}

// However it is printed, a key shows its id only.
func ExampleNewKey() {
	key, err := codec.NewKey("2026-02", make([]byte, codec.KeySize)) // from a secret store
	fmt.Println(key, err)
	fmt.Println(codec.ValidKeyID("2026/02"))
	_, err = codec.NewKey("2026-02", []byte("too short"))
	fmt.Println(err)
	// Output:
	// key 2026-02 <nil>
	// false
	// enact: NewKey: the secret of key "2026-02" has 9 bytes, must have 32
}
