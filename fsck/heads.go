package fsck

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"iter"

	"github.com/enactlog/enact"
)

// ErrHeads is matched by errors about a file of heads: a [*HeadsError].
var ErrHeads = errors.New("fsck: not a file of heads")

// HeadsError says what is wrong with a line of a file of heads. errors.Is(err, ErrHeads).
type HeadsError struct {
	Line   int // from 1
	Reason string
}

func (e *HeadsError) Error() string {
	return fmt.Sprintf("%v: line %d: %s", ErrHeads, e.Line, e.Reason)
}
func (e *HeadsError) Unwrap() error { return ErrHeads }

// maxHeadLine bounds a line of a file of heads, in bytes: two ids of 128 bytes, each of
// which may take six characters in JSON, and the rest.
const maxHeadLine = 4 << 10

// HeadWriter writes heads to a file to be kept elsewhere: a JSON object a line, with the
// keys tenant_id, execution_id, sequence, position and chain. [ReadHeads] reads it. It
// must not be used from more than one goroutine at a time.
type HeadWriter struct{ enc *json.Encoder }

// NewHeadWriter returns a writer to w. Each head is one call of w.Write.
func NewHeadWriter(w io.Writer) *HeadWriter {
	enc := json.NewEncoder(w)
	enc.SetEscapeHTML(false)
	return &HeadWriter{enc}
}

// Write writes one head. It returns a *HeadsError (of line 0) for one that ReadHeads would
// refuse, and else what the writer below returns.
func (w *HeadWriter) Write(h enact.Head) error {
	if err := validHead(h); err != nil {
		return &HeadsError{Reason: err.Error()}
	}
	return w.enc.Encode(h)
}

// ReadHeads yields the heads of a file that a [HeadWriter] wrote, in its order. Empty lines
// are passed over, keys that it does not know ignored. An error is the last that is
// yielded: a [*HeadsError], or what the reader returned.
func ReadHeads(r io.Reader) iter.Seq2[enact.Head, error] {
	return func(yield func(enact.Head, error) bool) {
		sc := bufio.NewScanner(r)
		sc.Buffer(make([]byte, 0, maxHeadLine), maxHeadLine)
		line := 0
		for sc.Scan() {
			line++
			text := bytes.TrimSpace(sc.Bytes())
			if len(text) == 0 {
				continue
			}
			h, err := parseHead(text)
			if err != nil {
				yield(enact.Head{}, &HeadsError{Line: line, Reason: err.Error()})
				return
			}
			if !yield(h, nil) {
				return
			}
		}
		err := sc.Err()
		if errors.Is(err, bufio.ErrTooLong) {
			err = &HeadsError{Line: line + 1, Reason: fmt.Sprintf("it has more than %d bytes", maxHeadLine)}
		}
		if err != nil {
			yield(enact.Head{}, err)
		}
	}
}

func parseHead(text []byte) (enact.Head, error) {
	var h struct {
		enact.Head
		Chain *enact.Chain `json:"chain"` // its zero value is not what an absent one means
	}
	if err := json.Unmarshal(text, &h); err != nil {
		return enact.Head{}, err
	}
	if h.Chain == nil {
		return enact.Head{}, errors.New("it has no chain")
	}
	h.Head.Chain = *h.Chain
	return h.Head, validHead(h.Head)
}

func validHead(h enact.Head) error {
	if err := h.TenantID.Validate(); err != nil {
		return err
	}
	if err := h.ExecutionID.Validate(); err != nil {
		return err
	}
	if h.Sequence == 0 {
		return errors.New("it is of an execution without events")
	}
	return nil
}
