package consumer

import (
	"context"
	"encoding/base64"
	"encoding/binary"
	"fmt"
	"hash/crc32"
	"strings"
	"time"

	"github.com/enactlog/enact/jetstore"
)

// Token is a point in a log from which a [Follow] can go on: everything before it has
// been handled. Its text is opaque and of a version; it holds the incarnation of the
// stream, so that a stream that was made anew is an error and not a silent jump. Tokens
// are comparable; the zero Token is no point.
type Token struct {
	incarnation string
	next        uint64 // position from which to go on
	done        uint64 // events handled from the record there on
}

// tokenVersion begins the text of a token.
const tokenVersion = "e1."

// IsZero reports whether t is no point in a log.
func (t Token) IsZero() bool { return t == Token{} }

// Position returns the position (stream sequence) of the first record that is still to
// be handled, or handled in part. It is for people to look at: only the whole token
// says where to go on.
func (t Token) Position() uint64 { return t.next }

// Rewind returns the point so many positions earlier. Positions count the records of
// the whole log, whatever a filter selects. A point before the beginning means the
// beginning.
func (t Token) Rewind(positions uint64) Token {
	if t.IsZero() || positions == 0 {
		return t
	}
	t.done = 0
	t.next -= min(positions, t.next-1)
	return t
}

// End returns the point behind everything that the log holds now: a Follow from there
// sees what is appended from now on. Errors are those of a store's reads.
func End(ctx context.Context, store *jetstore.Store) (Token, error) {
	att, err := store.Attach()
	if err != nil {
		return Token{}, err
	}
	defer att.Close()
	state, err := retry(ctx, att, func() (jetstore.StreamState, error) { return att.State(ctx, 0) })
	if err != nil {
		return Token{}, err
	}
	return Token{incarnation: state.Incarnation, next: state.Last + 1}, nil
}

// deposed is for how long a leader that has lost its office may answer without knowing
// it (server/raft.go: lostQuorumInterval, and lostQuorumCheck for seeing it), and a bit more.
const deposed = 22 * time.Second

// admit checks a token against the stream, of which state is what a leader has said. The log
// loses nothing, so a point that it has not reached is one of a log that has been restored
// from an earlier copy: what was appended since must not be passed over.
func (t Token) admit(ctx context.Context, l link, stream string, state jetstore.StreamState) error {
	for p, began := (pause{}), time.Now(); ; {
		switch {
		case t.incarnation != state.Incarnation:
			return &StreamChangedError{Stream: stream, Want: t.incarnation, Have: state.Incarnation}
		case t.next <= state.Last+1:
			return nil
		case time.Since(began) > deposed:
			return &TokenError{
				Token: t.String(), Reason: fmt.Sprintf("is of position %d, and stream %s ends at %d: it was restored from an earlier copy", t.next, stream, state.Last),
			}
		}
		err := p.wait(ctx, l)
		if err == nil {
			state, err = retry(ctx, l, func() (jetstore.StreamState, error) { return l.State(ctx, 0) })
		}
		if err != nil {
			return err
		}
	}
}

// String returns the token's text, "" for the zero Token.
func (t Token) String() string {
	if t.IsZero() {
		return ""
	}
	b := binary.AppendUvarint(nil, t.next)
	b = binary.AppendUvarint(b, t.done)
	b = append(b, t.incarnation...)
	// A checksum, so that a text that was cut or mistyped is no other token.
	b = binary.BigEndian.AppendUint32(b, crc32.ChecksumIEEE(b))
	return tokenVersion + base64.RawURLEncoding.EncodeToString(b)
}

// ParseToken reads a token's text. It returns a [*TokenError] for any text that
// [Token.String] would not write, the empty one included.
func ParseToken(text string) (Token, error) {
	refuse := func(reason string) (Token, error) { return Token{}, &TokenError{Token: text, Reason: reason} }
	body, ok := strings.CutPrefix(text, tokenVersion)
	if !ok {
		return refuse("is not one of this release")
	}
	b, err := base64.RawURLEncoding.Strict().DecodeString(body)
	if err != nil || len(b) < 4 || crc32.ChecksumIEEE(b[:len(b)-4]) != binary.BigEndian.Uint32(b[len(b)-4:]) {
		return refuse("is damaged")
	}
	var t Token
	rest := b[:len(b)-4]
	for _, into := range []*uint64{&t.next, &t.done} {
		v, n := binary.Uvarint(rest)
		if n <= 0 {
			return refuse("is damaged")
		}
		*into, rest = v, rest[n:]
	}
	t.incarnation = string(rest)
	if t.next == 0 || t.incarnation == "" || t.String() != text {
		return refuse("is damaged")
	}
	return t, nil
}

// MarshalText implements encoding.TextMarshaler.
func (t Token) MarshalText() ([]byte, error) { return []byte(t.String()), nil }

// UnmarshalText implements encoding.TextUnmarshaler. The empty text is the zero Token.
func (t *Token) UnmarshalText(text []byte) (err error) {
	if len(text) == 0 {
		*t = Token{}
		return nil
	}
	*t, err = ParseToken(string(text))
	return err
}
