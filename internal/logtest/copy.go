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
func ReadStream(ctx context.Context, js jetstream.JetStream, name string) (s *Stream, err error) {
	stream, err := js.Stream(ctx, name)
	if err != nil {
		return nil, err
	}
	info := stream.CachedInfo()
	s = &Stream{Config: info.Config, First: info.State.FirstSeq}
	if info.State.LastSeq >= info.State.FirstSeq {
		s.Messages = make([]*nats.Msg, info.State.LastSeq-info.State.FirstSeq+1)
	}
	if info.State.Msgs == 0 {
		return s, nil
	}
	consumer, err := stream.CreateConsumer(ctx, jetstream.ConsumerConfig{
		AckPolicy: jetstream.AckNonePolicy, MemoryStorage: true, Replicas: 1,
		InactiveThreshold: time.Minute, // of its own the server removes what is not asked for 5 s
	})
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, stream.DeleteConsumer(ctx, consumer.CachedInfo().Name)) }()
	for left := int(info.State.Msgs); left > 0; {
		batch, err := consumer.Fetch(min(left, fetched), jetstream.FetchContext(ctx))
		if err != nil {
			return nil, err
		}
		for m := range batch.Messages() {
			meta, err := m.Metadata()
			if err != nil {
				return nil, err
			}
			h := nats.Header{}
			for k, v := range m.Headers() {
				if !strings.HasPrefix(k, "Nats-") || k == record.HeaderExpected || k == nats.MsgIdHdr {
					h[k] = v
				}
			}
			s.Set(meta.Sequence.Stream, &nats.Msg{Subject: m.Subject(), Header: h, Data: m.Data()})
			left--
		}
		if err := batch.Error(); err != nil {
			return nil, err
		}
	}
	return s, nil
}

// fetched is how many messages are asked for at a time.
const fetched = 500

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

// Cut removes the messages from a position on.
func (s *Stream) Cut(position uint64) { s.Messages = s.Messages[:position-s.First] }

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
			m = &nats.Msg{Subject: s.hole()}
		}
		// What nothing is checked of needs no answer of its own: the next one tells its place.
		unchecked := m.Header.Get(record.HeaderExpected) == "" && m.Header.Get(nats.MsgIdHdr) == ""
		if unchecked && i < len(s.Messages)-1 {
			if err := js.Conn().PublishMsg(m); err != nil {
				return err
			}
			continue
		}
		if err := s.send(ctx, js.Conn(), uint64(i), m); err != nil {
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

// hole returns the subject of what stands for a message that is not there.
func (s *Stream) hole() string { return strings.ReplaceAll(s.Config.Subjects[0], "*", "hole") }

func (s *Stream) send(ctx context.Context, nc *nats.Conn, i uint64, m *nats.Msg) error {
	expected, err := strconv.ParseUint(m.Header.Get(record.HeaderExpected), 10, 64)
	if before := expected - s.First; err == nil && before < i {
		subject := s.hole()
		if at := s.Messages[before]; at != nil {
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
	ctx, cancel := context.WithTimeout(ctx, sendTimeout)
	defer cancel()
	again := time.NewTicker(10 * time.Millisecond)
	defer again.Stop()
	for {
		ack, err := nc.RequestMsgWithContext(ctx, m)
		if err != nil {
			return err
		}
		var answer struct {
			Sequence  uint64 `json:"seq"`
			Duplicate bool   `json:"duplicate"`
		}
		err = json.Unmarshal(ack.Data, &answer)
		switch {
		case err == nil && answer.Sequence == s.First+i && !answer.Duplicate:
			return nil
		case err != nil || !answer.Duplicate:
			return fmt.Errorf("logtest: message for position %d: %s", s.First+i, ack.Data)
		}
		// A message id that the server knows is sent until it has forgotten it.
		select {
		case <-again.C:
		case <-ctx.Done():
			return fmt.Errorf("logtest: message for position %d: %w", s.First+i, ctx.Err())
		}
	}
}

// sendTimeout bounds the sending of one message. The server forgets message ids within
// what the stream's configuration says.
const sendTimeout = time.Minute

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
