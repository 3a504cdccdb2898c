package jetstore_test

import (
	"context"
	"encoding/base64"
	"errors"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/enactlog/enact"
	"github.com/enactlog/enact/codec"
	"github.com/enactlog/enact/internal/record"
	"github.com/enactlog/enact/jetstore"
	"github.com/enactlog/enact/jetstore/embedded"
)

// verbose makes each payload longer by a fixed number of bytes, and says so.
type verbose struct {
	codec.JSON
	more int
}

func (verbose) Name() string    { return "verbose" }
func (v verbose) Overhead() int { return v.more }

func (v verbose) Encode(ctx context.Context, dst []byte, place codec.Place, events []enact.Event) ([]byte, string, error) {
	payload, _, err := v.JSON.Encode(ctx, dst, place, events)
	return append(payload, strings.Repeat(" ", v.more)...), v.Name(), err
}

// What a codec adds does not make a record of several events larger than its limit.
func TestRecordsKeepTheirLimit(t *testing.T) {
	l := newCodecLog(t)
	ctx := t.Context()
	random := rand.NewChaCha8([32]byte{1})
	size := rand.New(random)
	var events []enact.Event
	for range 300 {
		data := make([]byte, size.IntN(20_000))
		_, _ = random.Read(data)
		events = append(events, enact.Custom{EventType: "random", Data: enact.JSON(base64.StdEncoding.EncodeToString(data))})
	}
	metadata := map[string]string{"k": strings.Repeat(";", 8000)} // three bytes each in a header
	for _, c := range []codec.Codec{codec.JSON{}, newSealed(t, l.keys), verbose{more: 50_000}} {
		run := l.open(jetstore.WithCodec(c)).Execution("acme", enact.NewExecutionID())
		_, err := run.AppendBatch(ctx, events, enact.WithMetadata(metadata))
		require.NoError(t, err)
		largest := 0
		for _, r := range l.records(run) {
			if r.Count() == 1 {
				continue
			}
			m, err := r.Message(run.Store().Subjects())
			require.NoError(t, err)
			largest = max(largest, record.HeaderBytes(m.Header)+len(m.Data))
		}
		require.LessOrEqual(t, largest, record.MaxBytes, c.Name())
		require.Greater(t, largest, record.MaxBytes*3/4, c.Name())
		holds(t, run, events)
	}
}

// An event that is too large for the server is stored if it is not when compressed;
// beyond what the codec decodes it is refused, and nothing is stored.
func TestEventThatFitsWhenCompressed(t *testing.T) {
	wide := newZstd(t, codec.MaxDecoded(20<<20))
	s := embedded.ForTest(t, embedded.WithMemoryStorage(), embedded.WithStore(jetstore.WithCodec(wide), jetstore.WithTimeout(5*time.Minute)))
	ctx := t.Context()
	run := s.Execution("acme", "e")
	large := enact.ExecutionPaused{Reason: strings.Repeat("0123456789abcdef", embedded.MaxPayload/8)}
	_, err := run.Append(ctx, large)
	require.NoError(t, err)
	holds(t, run, []enact.Event{large})
	_, err = run.Append(ctx, enact.ExecutionPaused{Reason: strings.Repeat("0", 20<<20)})
	tooLarge, ok := errors.AsType[*enact.TooLargeError](err)
	require.True(t, ok, "%v", err)
	require.Equal(t, 20<<20, tooLarge.Limit)
	head, err := run.Head(ctx)
	require.NoError(t, err)
	require.Equal(t, uint64(1), head.Sequence)
}

// A small payload that decodes to more than the reader allows ends the read there.
func TestDecompressionBomb(t *testing.T) {
	l := newCodecLog(t)
	run := l.open(jetstore.WithCodec(newZstd(t, codec.MaxDecoded(16<<20)))).Execution("acme", enact.NewExecutionID())
	_, err := run.AppendBatch(t.Context(), texts(1, 3))
	require.NoError(t, err)
	receipt, err := run.Append(t.Context(), enact.ExecutionPaused{Reason: strings.Repeat("0", 10<<20)})
	require.NoError(t, err)
	require.Less(t, len(l.records(run)[1].Payload), 16<<10)

	for _, s := range []*jetstore.Store{l.open(), l.sealed()} {
		events, err := readUntilError(t, s.Execution("acme", run.ID()))
		require.Len(t, events, 3)
		failed, ok := errors.AsType[*enact.PayloadError](err)
		require.True(t, ok, "%v", err)
		require.Equal(t, receipt.Position, failed.Position)
		require.Equal(t, uint64(4), failed.Sequence)
		tooLarge, ok := errors.AsType[*enact.TooLargeError](err)
		require.True(t, ok, "%v", err)
		require.Equal(t, codec.DefaultMaxDecoded, tooLarge.Limit)
	}
}
