package logtest

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/enactlog/enact/internal/record"
)

// headerExpectedSubject names the subject whose last message the server compares with a
// record's expectation, instead of the record's own.
const headerExpectedSubject = "Nats-Expected-Last-Subject-Sequence-Subject"

// Stream is the content of a stream, to be altered and written again.
type Stream struct {
	Config   jetstream.StreamConfig
	First    uint64      // position of Messages[0]
	Messages []*nats.Msg // as they were published; nil: there is none at its position
}

// ReadStream copies a stream.
func ReadStream(ctx context.Context, js jetstream.JetStream, name string) (*Stream, error) {
	stream, err := js.Stream(ctx, name)
	if err != nil {
		return nil, err
	}
	info := stream.CachedInfo()
	s := &Stream{Config: info.Config, First: info.State.FirstSeq}
	for p := info.State.FirstSeq; p <= info.State.LastSeq; p++ {
		m, err := stream.GetMsg(ctx, p)
		if errors.Is(err, jetstream.ErrMsgNotFound) {
			s.Messages = append(s.Messages, nil)
			continue
		}
		if err != nil {
			return nil, err
		}
		h := nats.Header{}
		for k, v := range m.Header {
			if !strings.HasPrefix(k, "Nats-") || k == record.HeaderExpected || k == nats.MsgIdHdr {
				h[k] = v
			}
		}
		s.Messages = append(s.Messages, &nats.Msg{Subject: m.Subject, Header: h, Data: m.Data})
	}
	return s, nil
}

// Clone returns a copy that can be altered by itself, its messages by [Stream.Edit].
func (s *Stream) Clone() *Stream {
	c := *s
	c.Messages = slices.Clone(s.Messages)
	return &c
}

// At returns the message at a position.
func (s *Stream) At(position uint64) *nats.Msg { return s.Messages[position-s.First] }

// Set puts a message at a position; nil: none.
func (s *Stream) Set(position uint64, m *nats.Msg) { s.Messages[position-s.First] = m }

// Add puts a message at the end and returns its position.
func (s *Stream) Add(m *nats.Msg) uint64 {
	s.Messages = append(s.Messages, m)
	return s.First + uint64(len(s.Messages)) - 1
}

// Edit returns a copy of the message at a position, which stands in its place from now on.
func (s *Stream) Edit(position uint64) *nats.Msg {
	m := s.At(position)
	h := nats.Header{}
	for k, v := range m.Header {
		h[k] = slices.Clone(v)
	}
	c := &nats.Msg{Subject: m.Subject, Header: h, Data: bytes.Clone(m.Data)}
	s.Set(position, c)
	return c
}

// Write makes the stream again, with each message at its position. The server checks the
// expectations of records: one that does not name the message before it on its subject must
// name the last one of another subject.
func (s *Stream) Write(ctx context.Context, js jetstream.JetStream) error {
	if err := js.DeleteStream(ctx, s.Config.Name); err != nil && !errors.Is(err, jetstream.ErrStreamNotFound) {
		return err
	}
	config := s.Config
	config.FirstSeq, config.DenyDelete = s.First, false
	stream, err := js.CreateStream(ctx, config)
	if err != nil {
		return err
	}
	var holes []uint64
	for i := range s.Messages {
		m := s.Messages[i]
		if m == nil {
			holes = append(holes, s.First+uint64(i))
			m = &nats.Msg{Subject: strings.ReplaceAll(config.Subjects[0], "*", "hole")}
		}
		if err := s.send(js.Conn(), uint64(i), m); err != nil {
			return err
		}
	}
	for _, p := range holes {
		if err := stream.DeleteMsg(ctx, p); err != nil {
			return err
		}
	}
	config.DenyDelete = s.Config.DenyDelete
	_, err = js.UpdateStream(ctx, config)
	return err
}

func (s *Stream) send(nc *nats.Conn, i uint64, m *nats.Msg) error {
	expected, err := strconv.ParseUint(m.Header.Get(record.HeaderExpected), 10, 64)
	if before := expected - s.First; err == nil && before < i {
		at := s.Messages[before]
		subject := strings.ReplaceAll(s.Config.Subjects[0], "*", "hole")
		if at != nil {
			subject = at.Subject
		}
		if subject != m.Subject {
			h := nats.Header{headerExpectedSubject: {subject}}
			for k, v := range m.Header {
				h[k] = v
			}
			m = &nats.Msg{Subject: m.Subject, Header: h, Data: m.Data}
		}
	}
	// A message id that the server knows is sent until it has forgotten it.
	for began := time.Now(); ; time.Sleep(10 * time.Millisecond) {
		ack, err := nc.RequestMsg(m, 10*time.Second)
		if err != nil {
			return err
		}
		var answer struct {
			Sequence  uint64 `json:"seq"`
			Duplicate bool   `json:"duplicate"`
		}
		err = json.Unmarshal(ack.Data, &answer)
		if err == nil && answer.Duplicate && time.Since(began) < 10*time.Second {
			continue
		}
		if err != nil || answer.Sequence != s.First+i {
			return fmt.Errorf("logtest: message for position %d: %s", s.First+i, ack.Data)
		}
		return nil
	}
}

// FlipOnDisk changes the last byte of the one place in the blocks of a server's stream that
// has the text. The server must be stopped.
func FlipOnDisk(dir, stream, text string) error {
	blocks, err := filepath.Glob(filepath.Join(dir, "jetstream", "*", "streams", stream, "msgs", "*.blk"))
	if err != nil {
		return err
	}
	found := 0
	for _, block := range blocks {
		data, err := os.ReadFile(block)
		if err != nil {
			return err
		}
		if i := bytes.LastIndex(data, []byte(text)); i >= 0 {
			found++
			data[i+len(text)-1] ^= 1
			if err := os.WriteFile(block, data, 0o600); err != nil {
				return err
			}
		}
	}
	if found != 1 {
		return fmt.Errorf("logtest: %q is in %d blocks of %s", text, found, dir)
	}
	return nil
}
