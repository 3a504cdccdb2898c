package codec

import (
	"context"
	"errors"
	"fmt"
	"math"
	"slices"
	"sync"

	"github.com/klauspost/compress/zstd"

	"github.com/enactlog/enact"
)

// ZstdName is the name of [Zstd] around [JSON].
const ZstdName = JSONName + zstdSuffix

const zstdSuffix = "+zstd"

// DefaultMaxDecoded is how many bytes a compressed payload may decode to unless
// [MaxDecoded] says otherwise.
const DefaultMaxDecoded = 8 << 20

// Zstd compresses what another codec writes (RFC 8878): one frame that holds its
// content size. A payload that would not become smaller is written as the other codec
// writes it, under that codec's name. So short records stay plain.
//
// What a payload decodes to is bounded, since a few bytes can decode to very many.
// Events beyond the bound are refused by Encode, so that no reader with the same bound
// meets them.
type Zstd struct {
	wrapper
	limit   int
	encoder *zstd.Encoder
	decoder *zstd.Decoder
}

// ZstdOption is an option of [NewZstd].
type ZstdOption func(*zstdConfig) error

type zstdConfig struct {
	limit int
}

// MaxDecoded bounds the bytes that a payload decodes to. Default (and 0):
// [DefaultMaxDecoded]. At most 512 MiB. Readers need a bound as high as the writers'.
func MaxDecoded(bytes int) ZstdOption {
	return func(c *zstdConfig) error {
		if bytes < 0 || bytes > zstd.MaxWindowSize {
			return &enact.OptionError{Option: "MaxDecoded", Reason: fmt.Sprintf("%d is not within 0 to %d", bytes, zstd.MaxWindowSize)}
		}
		if bytes == 0 {
			bytes = DefaultMaxDecoded
		}
		c.limit = bytes
		return nil
	}
}

// NewZstd returns the compression of what inner writes; nil means [JSON]. It returns
// an [*enact.OptionError], or ErrInvalidName for an inner codec without a valid name.
func NewZstd(inner Codec, opts ...ZstdOption) (*Zstd, error) {
	w, err := wrap(inner, zstdSuffix)
	if err != nil {
		return nil, err
	}
	cfg := zstdConfig{limit: DefaultMaxDecoded}
	for _, opt := range opts {
		if opt == nil {
			continue
		}
		if err := opt(&cfg); err != nil {
			return nil, err
		}
	}
	z := &Zstd{wrapper: w, limit: cfg.limit}
	// The default level: docs/architecture.md has figures of the others.
	// One segment: the frame then has its content size, however small it is. No
	// checksum: the record's chain, and encryption's tag, cover the payload.
	z.encoder, err = zstd.NewWriter(nil, zstd.WithEncoderLevel(zstd.SpeedDefault), zstd.WithWindowSize(zstdWindow),
		zstd.WithSingleSegment(true), zstd.WithEncoderCRC(false))
	if err != nil {
		return nil, err
	}
	z.decoder, err = zstd.NewReader(nil, zstd.WithDecoderConcurrency(0), zstd.WithDecoderMaxMemory(uint64(cfg.limit)))
	if err != nil {
		return nil, err
	}
	return z, nil
}

// zstdWindow is how far back the encoder looks. Records of several events are smaller; for
// larger events it bounds the memory that the encoder keeps for each processor.
const zstdWindow = 1 << 20

// defaultZstd is the one that every set reads with.
var defaultZstd = sync.OnceValue(func() *Zstd {
	z, err := NewZstd(nil)
	if err != nil {
		panic(err) // its options are constants
	}
	return z
})

// Names returns the names that Encode gives: compressed, and not.
func (z *Zstd) Names() []string { return append(z.wrappedNames(), z.names...) }

// Overhead returns that of the inner codec: a payload that compression would make
// longer is not compressed.
func (z *Zstd) Overhead() int { return Overhead(z.inner) }

// Encode implements [Codec].
func (z *Zstd) Encode(ctx context.Context, dst []byte, place Place, events []enact.Event) ([]byte, string, error) {
	return z.encode(ctx, dst, place, source{events: events})
}

// zstdGain is how many bytes compression must save to be worth its name in the header.
const zstdGain = len("Enact-Codec: \r\n") + len(ZstdName)

func (z *Zstd) encode(ctx context.Context, dst []byte, place Place, src source) ([]byte, string, error) {
	plain, header, err := encode(ctx, z.inner, nil, place, src)
	if err != nil {
		return nil, "", err
	}
	if len(plain) > z.limit {
		return nil, "", &enact.TooLargeError{What: "payload before compression", Size: len(plain), Limit: z.limit, Unit: "bytes"}
	}
	start := len(dst)
	if out := z.encoder.EncodeAll(plain, dst); len(out)-start+zstdGain < len(plain) {
		return out, z.header(header, ""), nil
	}
	return append(dst, plain...), header, nil
}

// Decode implements [Codec].
func (z *Zstd) Decode(ctx context.Context, payload []byte, header string, place Place, n int) ([]enact.Event, error) {
	name, parameters := splitHeader(header)
	if slices.Contains(z.names, name) { // it was not worth compressing
		return z.inner.Decode(ctx, payload, header, place, n)
	}
	inner, err := z.innerHeader(name, parameters)
	if err != nil {
		return nil, err
	}
	plain, err := z.decompress(payload)
	if err != nil {
		return nil, err
	}
	return z.decode(ctx, plain, inner, place, n)
}

// decompress returns the content of a payload: of a frame that holds its size, and
// that nothing with content follows.
func (z *Zstd) decompress(payload []byte) ([]byte, error) {
	var h zstd.Header
	switch err := h.Decode(payload); {
	case err != nil:
		return nil, fmt.Errorf("not a zstd frame: %w", err)
	case h.Skippable:
		return nil, errors.New("a skippable zstd frame")
	case !h.HasFCS:
		return nil, errors.New("a zstd frame without its content size")
	case h.FrameContentSize > uint64(z.limit):
		// It may not fit an int.
		return nil, &enact.TooLargeError{What: "payload after decompression", Size: int(min(h.FrameContentSize, math.MaxInt)), Limit: z.limit, Unit: "bytes"}
	}
	plain, err := z.decoder.DecodeAll(payload, nil)
	if err != nil {
		return nil, fmt.Errorf("zstd: %w", err)
	}
	if uint64(len(plain)) != h.FrameContentSize {
		return nil, fmt.Errorf("%d bytes more than the first zstd frame's follow it", uint64(len(plain))-h.FrameContentSize)
	}
	return plain, nil
}
