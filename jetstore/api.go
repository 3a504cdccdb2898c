package jetstore

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"strconv"
	"strings"
	"time"

	jsonv2 "github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/enactlog/enact"
)

// Codes of the server's answers (server/errors.json of nats-server 2.15). Answers
// are told apart by code, never by text.
const (
	codeNotFound         = 10037 // no message found; also what a read error looks like
	codeTooLarge         = 10054 // message exceeds the stream's or the server's maximum
	codeHeadersTooLarge  = 10097
	codeBatchTooLarge    = 10199 // more messages than the server allows in an atomic batch
	codeConsumerNotFound = 10014
	codeStreamNotFound   = 10059
	codeStreamNameInUse  = 10058
	codeNoPeers          = 10005 // no suitable servers for the stream's replicas
	codeNotClustered     = 10074 // more than one replica, on a server that is no cluster
	codeNotEnabled       = 10076 // JetStream is not enabled on the server
	codeNotEnabledForAcc = 10039 // JetStream is not enabled for the account
)

// tryTimeout bounds one request, see api.patience; the call's context bounds the tries together.
const tryTimeout = 2 * time.Second

// pageTimeout bounds one request whose answer is a page of up to 100 000 names, which a busy
// server is not done with within tryTimeout, however often it is asked.
const pageTimeout = 10 * time.Second

// api speaks JetStream's request protocol over one connection. Requests are raw:
// nats.go's helpers turn a message get into a direct get, which a lagging replica
// may answer, and hide what the server said.
type api struct {
	nc      *nats.Conn
	prefix  string
	line    *line    // nil: nobody watches the connection
	silence *silence // nil: the connection is not left, whatever it brings
	// refusals of a connection of the caller's are not heard (nil): of several at once, on
	// different subjects, only the last is known for what it is.
	refusals *refusals
	inboxes  inboxes
	patience time.Duration // with one request: tryTimeout, but in tests of what is asked
}

func newAPI(nc *nats.Conn, prefix string, line *line) *api {
	return &api{nc: nc, prefix: prefix, line: line, inboxes: inboxes{nc: nc}, patience: tryTimeout}
}

// close ends everything on the connection that is the api's own.
func (a *api) close() {
	a.inboxes.close()
	if a.line != nil {
		a.line.close()
	}
}

type getRequest struct {
	Seq       uint64     `json:"seq,omitempty"`
	Since     *time.Time `json:"start_time,omitempty"`
	LastFor   string     `json:"last_by_subj,omitempty"`
	NextFor   string     `json:"next_by_subj,omitempty"`
	MultiLast []string   `json:"multi_last,omitempty"`
	Batch     int        `json:"batch,omitempty"`
	MaxBytes  int        `json:"max_bytes,omitempty"`
}

// message is a stored message, however it was read.
type message struct {
	subject  string
	position uint64
	header   nats.Header
	data     []byte
}

// answer is what every answer of the JetStream API may be instead of an answer.
type answer struct {
	Error *jetstream.APIError `json:"error"`
}

func (a *answer) failed() error {
	if a.Error == nil {
		return nil
	}
	return a.Error
}

// roundTrip sends one message and waits for its answer, for patience at most. It
// returns an error that matches enact.ErrNotPermitted if the server refused the
// message for want of permission.
func (a *api) roundTrip(ctx context.Context, msg *nats.Msg, patience time.Duration) (*nats.Msg, error) {
	count, before := a.refusals.count(), a.nc.LastError()
	reply, err := a.ask(ctx, msg, patience)
	if err != nil {
		refusal := a.refusals.since(count, msg.Subject)
		if after := a.nc.LastError(); refusal == nil && after != before && forbids(after, msg.Subject) {
			refusal = after
		}
		if refusal != nil {
			return nil, fmt.Errorf("%w: %w", enact.ErrNotPermitted, refusal)
		}
		return nil, err
	}
	return reply, nil
}

// forbids reports whether an error of a connection is the server's refusal of a subject:
// the only thing that tells is its text.
func forbids(err error, subject string) bool {
	return errors.Is(err, nats.ErrPermissionViolation) && strings.Contains(err.Error(), strconv.Quote(subject))
}

// errDeaf says that the server lets the connection not subscribe to the answers. What was
// sent may have been done all the same.
var errDeaf = errors.New("enact: the connection may not take answers, it needs another inbox prefix")

// ask sends one message and waits for its answer.
func (a *api) ask(ctx context.Context, msg *nats.Msg, patience time.Duration) (reply *nats.Msg, err error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	in, err := a.inboxes.take()
	if err != nil {
		return nil, err
	}
	lost := a.line.lost()
	if err = in.send(a.nc, msg); err == nil {
		reply, err = in.next(ctx, lost, patience)
	}
	if err != nil {
		a.inboxes.drop(in)
		if refusal := a.nc.LastError(); forbids(refusal, in.sub.Subject) {
			err = fmt.Errorf("%w: %w: %w", err, errDeaf, refusal)
		}
		return nil, err
	}
	a.inboxes.give(in)
	return reply, nil
}

// request sends one request and decodes the JSON answer into a struct that embeds
// answer. An answer that is an error is returned as *jetstream.APIError.
func (a *api) request(ctx context.Context, subject string, body any, into interface{ failed() error }) error {
	return a.requestWithin(ctx, a.patience, subject, body, into)
}

// requestWithin is request for an answer that takes up to patience.
func (a *api) requestWithin(ctx context.Context, patience time.Duration, subject string, body any, into interface{ failed() error }) error {
	var data []byte
	if body != nil {
		var err error
		if data, err = json.Marshal(body); err != nil {
			return err
		}
	}
	asked := time.Now()
	reply, err := a.roundTrip(ctx, &nats.Msg{Subject: a.prefix + "." + subject, Data: data}, patience)
	if err == nil {
		if err := decodeAnswer(reply.Data, into); err != nil {
			return fmt.Errorf("enact: unexpected answer on %s: %w", subject, err)
		}
		err = into.failed()
	}
	a.silence.heard(asked, err)
	if errors.Is(err, errDeaf) {
		return fmt.Errorf("%w: %w", enact.ErrNotPermitted, err) // of a publish it must not say so
	}
	return err
}

// decodeAnswer reads the server's JSON. Names beyond the struct's are the server's
// business; those that repeat are an answer that nobody should trust.
func decodeAnswer(data []byte, into any) error { return jsonv2.Unmarshal(data, into) }

// errNotFound says that the one who answered has no such message. From a replica
// it means nothing; from the leader it still may be a read error in disguise.
var errNotFound = errors.New("enact: message not found")

// leaderGet reads one message from the stream's leader: the only read that sees
// everything acknowledged before it, as long as the leader holds its office.
func (a *api) leaderGet(ctx context.Context, stream string, req getRequest) (*message, error) {
	var resp struct {
		answer
		Message *struct {
			Subject  string `json:"subject"`
			Sequence uint64 `json:"seq"`
			Header   []byte `json:"hdrs"`
			Data     []byte `json:"data"`
		} `json:"message"`
	}
	if err := a.request(ctx, "STREAM.MSG.GET."+stream, req, &resp); err != nil {
		if hasCode(err, codeNotFound) {
			return nil, errNotFound
		}
		return nil, namedStream(err, stream)
	}
	if resp.Message == nil {
		return nil, errors.New("enact: the server's answer has no message")
	}
	m := &message{subject: resp.Message.Subject, position: resp.Message.Sequence, data: resp.Message.Data}
	if len(resp.Message.Header) > 0 {
		var err error
		if m.header, err = nats.DecodeHeadersMsg(resp.Message.Header); err != nil {
			// Not something that the log writes: decoding it as a record says so.
			m.header = nil
		}
	}
	return m, nil
}

// streamInfo is the part of STREAM.INFO that the log looks at.
type streamInfo struct {
	answer
	Created time.Time `json:"created"`
	Config  struct {
		Metadata map[string]string `json:"metadata"`
	} `json:"config"`
	State struct {
		First    uint64            `json:"first_seq"`
		Last     uint64            `json:"last_seq"`
		Subjects map[string]uint64 `json:"subjects"`
	} `json:"state"`
}

// info asks the leader for the stream's state, with the counts of the subjects that
// match filter.
func (a *api) info(ctx context.Context, stream, filter string) (*streamInfo, error) {
	var resp streamInfo
	err := a.request(ctx, "STREAM.INFO."+stream, map[string]string{"subjects_filter": filter}, &resp)
	if err != nil {
		return nil, namedStream(err, stream)
	}
	return &resp, nil
}

// config asks the leader for the stream's configuration, and for the state of its replicas.
func (a *api) config(ctx context.Context, stream string) (c *jetstream.StreamConfig, incarnation string, health StreamHealth, err error) {
	var resp struct {
		answer
		Created time.Time      `json:"created"`
		Config  jsontext.Value `json:"config"`
		Cluster jsontext.Value `json:"cluster"`
	}
	if err := a.request(ctx, "STREAM.INFO."+stream, nil, &resp); err != nil {
		return nil, "", health, namedStream(err, stream)
	}
	// encoding/json: the configuration's own types are written for it, and times in
	// nanoseconds are what it reads a time.Duration from.
	c, health = new(jetstream.StreamConfig), StreamHealth{Stream: stream}
	if err := json.Unmarshal(resp.Config, c); err != nil {
		return nil, "", health, fmt.Errorf("enact: configuration of stream %s: %w", stream, err)
	}
	if len(resp.Cluster) > 0 {
		if err := json.Unmarshal(resp.Cluster, &health); err != nil {
			return nil, "", health, fmt.Errorf("enact: replicas of stream %s: %w", stream, err)
		}
	}
	return c, incarnationOf(c.Metadata, resp.Created), health, nil
}

func namedStream(err error, stream string) error {
	if hasCode(err, codeStreamNotFound) {
		return fmt.Errorf("%w: %s", enact.ErrStreamNotFound, stream)
	}
	return err
}

// incarnationOf tells two streams of one name apart.
func incarnationOf(metadata map[string]string, created time.Time) string {
	if id := metadata[metaIncarnation]; id != "" {
		return id
	}
	return created.UTC().Format(time.RFC3339Nano)
}

// publish sends one message and waits for its acknowledgement.
func (a *api) publish(ctx context.Context, stream string, msg *nats.Msg) (position uint64, err error) {
	asked := time.Now()
	reply, err := a.roundTrip(ctx, msg, a.patience)
	if err == nil {
		position, err = parseAck(reply.Data, stream)
	}
	a.silence.heard(asked, err)
	return position, err
}

// parseAck reads an acknowledgement (server/stream.go, JSPubAckResponse). A
// duplicate is one to the index stream only: the log itself uses no message ids.
func parseAck(data []byte, stream string) (position uint64, err error) {
	if position, ok := plainAck(data, stream); ok {
		return position, nil
	}
	var ack struct {
		answer
		Stream   string `json:"stream"`
		Sequence uint64 `json:"seq"`
	}
	if err := decodeAnswer(data, &ack); err != nil {
		return 0, fmt.Errorf("enact: unexpected answer to a publish: %w", err)
	}
	if err := ack.failed(); err != nil {
		return 0, err
	}
	if ack.Stream != stream || ack.Sequence == 0 {
		return 0, fmt.Errorf("enact: publish was acknowledged by stream %q, not by %q", ack.Stream, stream)
	}
	return ack.Sequence, nil
}

// plainAck reads the acknowledgement of a message that was stored, which the server
// writes in this one form (server/stream.go, pubAck). Any other answer is left to a JSON
// parser.
func plainAck(data []byte, stream string) (position uint64, ok bool) {
	const before, between, after = `{"stream":"`, `","seq":`, "}"
	text, ok1 := bytes.CutPrefix(data, []byte(before))
	text, ok2 := bytes.CutPrefix(text, []byte(stream))
	text, ok3 := bytes.CutPrefix(text, []byte(between))
	text, ok4 := bytes.CutSuffix(text, []byte(after))
	if !ok1 || !ok2 || !ok3 || !ok4 {
		return 0, false
	}
	position, err := strconv.ParseUint(string(text), 10, 64)
	return position, err == nil && position > 0
}

// directGet reads one message from any replica.
func (a *api) directGet(ctx context.Context, stream string, req getRequest) (*message, error) {
	body, err := json.Marshal(req)
	if err != nil {
		return nil, err
	}
	reply, err := a.roundTrip(ctx, &nats.Msg{Subject: a.prefix + ".DIRECT.GET." + stream, Data: body}, a.patience)
	if err != nil {
		return nil, err
	}
	return directMessage(reply)
}

// directMessage reads the answer to a direct get (ADR-31): the message with its
// place in Nats-* headers, or a status.
func directMessage(reply *nats.Msg) (*message, error) {
	if !isStored(reply) {
		switch status := reply.Header.Get("Status"); status {
		case "404":
			return nil, errNotFound
		case "":
			return nil, errors.New("enact: direct get answered without a sequence")
		default:
			return nil, fmt.Errorf("enact: direct get answered %s %s", status, reply.Header.Get("Description"))
		}
	}
	position, err := strconv.ParseUint(added(reply.Header, headerSequence), 10, 64)
	if err != nil {
		return nil, errors.New("enact: direct get answered without a sequence")
	}
	return &message{subject: added(reply.Header, "Nats-Subject"), position: position, header: reply.Header, data: reply.Data}, nil
}

const headerSequence = "Nats-Sequence"

// isStored reports whether the answer to a direct get is a message of the stream, which may
// itself have a header "Status".
func isStored(reply *nats.Msg) bool { return len(reply.Header[headerSequence]) > 0 }

// added returns the value of a header that the server adds to a message. One of that name
// that the message was published with stands before it (server/client.go, genHeader).
func added(h nats.Header, name string) string {
	values := h[name]
	if len(values) == 0 {
		return ""
	}
	return values[len(values)-1]
}

// directBatch reads up to req.Batch messages from one replica and gives each to
// handle, in the stream's order. What the replica has not got yet is missing at
// the end, never in between. The answers are at most req.MaxBytes, and one message.
func (a *api) directBatch(ctx context.Context, stream string, req getRequest, handle func(*message) error) error {
	_, err := a.directAnswers(ctx, stream, req, handle)
	return err
}

// directAnswers sends a request that one replica answers with up to maxAnswers-2 messages,
// gives each to handle and returns the headers of the answer that ends them.
func (a *api) directAnswers(ctx context.Context, stream string, req getRequest, handle func(*message) error) (end nats.Header, err error) {
	body, err := json.Marshal(req)
	if err != nil {
		return nil, err
	}
	in, err := a.inboxes.take()
	if err != nil {
		return nil, err
	}
	lost := a.line.lost()
	err = in.send(a.nc, &nats.Msg{Subject: a.prefix + ".DIRECT.GET." + stream, Data: body})
	for err == nil {
		var reply *nats.Msg
		if reply, err = in.next(ctx, lost, a.patience); err != nil {
			break
		}
		if status := reply.Header.Get("Status"); (status == "204" || status == "404") && !isStored(reply) {
			// The end of a batch, and of an empty one (server/stream.go, getDirectRequest).
			a.inboxes.give(in)
			return reply.Header, nil
		}
		var m *message
		if m, err = directMessage(reply); err == nil {
			err = handle(m)
		}
	}
	a.inboxes.drop(in)
	return nil, err
}

func hasCode(err error, code jetstream.ErrorCode) bool {
	apiErr, ok := errors.AsType[*jetstream.APIError](err)
	return ok && apiErr.ErrorCode == code
}

// lasting reports whether asking again cannot help: the stream is gone, JetStream
// is off, the connection lacks a permission, or was closed for good.
func lasting(err error) bool {
	return errors.Is(err, enact.ErrStreamNotFound) || errors.Is(err, enact.ErrNotPermitted) || errors.Is(err, nats.ErrConnectionClosed) ||
		hasCode(err, codeStreamNotFound) || hasCode(err, codeNotEnabled) || hasCode(err, codeNotEnabledForAcc)
}

// retry calls f until it succeeds, its error lasts or is not the server's, or ctx
// ends: then the error is the context's, joined to the last one that said more than
// that time was up.
func retry[T any](ctx context.Context, f func() (T, error)) (T, error) {
	var last error
	for try := 0; ; try++ {
		v, err := f()
		if err == nil || !transient(err) {
			return v, err
		}
		if timeUp := errors.Is(err, errNoAnswer) || errors.Is(err, context.DeadlineExceeded) || errors.Is(err, context.Canceled); last == nil || !timeUp || errors.Is(err, enact.ErrStale) {
			last = err
		}
		if waitErr := backoff(ctx, try); waitErr != nil {
			return v, ended(waitErr, last)
		}
	}
}

// ended joins the end of a call's context to what went wrong before.
func ended(ctxErr, last error) error {
	switch {
	case last == nil:
		return ctxErr
	case errors.Is(last, ctxErr):
		return last
	}
	return fmt.Errorf("%w; last: %w", ctxErr, last)
}

// transient reports whether the same question may have another answer later.
func transient(err error) bool {
	if lasting(err) || errors.Is(err, errNotFound) {
		return false
	}
	for _, contractual := range []error{
		enact.ErrCorrupt, enact.ErrUnsupportedVersion, enact.ErrUnknownCodec, enact.ErrPayload, enact.ErrClosed,
		enact.ErrAmbiguousExecution, enact.ErrTenantMismatch, enact.ErrStreamConfig,
	} {
		if errors.Is(err, contractual) {
			return false
		}
	}
	return true
}

// backoff waits before try+1: 2 ms doubling to 500 ms, half of it random so that
// writers who lost a race do not meet again.
func backoff(ctx context.Context, try int) error {
	d := 2 * time.Millisecond << min(try, 8)
	t := time.NewTimer(d/2 + rand.N(d/2))
	defer t.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-t.C:
		return nil
	}
}
