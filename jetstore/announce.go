package jetstore

import (
	"context"
	"time"

	"github.com/go-json-experiment/json/jsontext"
	"github.com/google/uuid"
	"github.com/nats-io/nats.go"

	"github.com/enactlog/enact"
)

// headerMsgID deduplicates within the server's window; here it also tells a listing
// which creation an entry belongs to.
const headerMsgID = nats.MsgIdHdr

// announce writes the index entry of a creation and waits for its acknowledgement.
//
// Each sending has a commit id of its own, which is the commit's from then on: nothing
// was sent to the log yet. So an id is sent once, a copy that was not acknowledged
// belongs to no execution whenever it is stored, and the entry that counts was stored
// while its creation was under way. Only what was announced in an index that is no more
// keeps its id: the log may have been sent it.
func (s *Store) announce(ctx context.Context, c *commit) error {
	sent := false
	_, err := retry(ctx, func() (struct{}, error) {
		if sent && c.announced == "" {
			id, err := uuid.NewV7()
			if err != nil {
				return struct{}{}, err
			}
			c.id = id
		}
		sent = true
		return struct{}{}, s.publishEntry(ctx, c.key, c.id, c.times[0])
	})
	return err
}

// announceAgain writes the index entry of a creation that was sent to the log already, for an
// index that was made since. The id cannot change any more; a listing leaves out copies.
func (s *Store) announceAgain(ctx context.Context, a *attempt) error {
	r, err := s.checkPending(a, a.messages[0], 1, len(a.messages))
	if err != nil {
		return err
	}
	return s.publishEntry(ctx, a.key, a.commit, r.Times[0])
}

// publishEntry sends the index entry of a creation once, and remembers where it stands.
func (s *Store) publishEntry(ctx context.Context, key execution, commit uuid.UUID, t time.Time) error {
	position, err := s.asks.publish(ctx, s.cfg.index(), entryMessage(s.cfg.subjects, key, commit, t))
	if err == nil {
		s.tails.meet(key.tenant, position)
	}
	return err
}

// entryMessage is the index entry of the creation of an execution by a commit.
func entryMessage(subjects enact.Subjects, key execution, commit uuid.UUID, t time.Time) *nats.Msg {
	return &nats.Msg{
		Subject: subjects.Index(key.tenant),
		Header:  nats.Header{headerMsgID: []string{commit.String()}},
		Data:    appendIndexEntry(nil, key, t),
	}
}

func appendIndexEntry(dst []byte, key execution, t time.Time) []byte {
	// The ids are valid UTF-8, the only thing that AppendQuote can refuse.
	dst = append(dst, `{"execution_id":`...)
	dst, _ = jsontext.AppendQuote(dst, string(key.id))
	dst = append(dst, `,"tenant_id":`...)
	dst, _ = jsontext.AppendQuote(dst, string(key.tenant))
	dst = append(dst, `,"timestamp":"`...)
	dst = enact.AppendTime(dst, t)
	return append(dst, `"}`...)
}
