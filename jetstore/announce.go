package jetstore

import (
	"context"
	"time"

	"github.com/go-json-experiment/json/jsontext"
	"github.com/nats-io/nats.go"

	"github.com/enactlog/enact"
)

// headerMsgID deduplicates within the server's window; here it also tells a listing
// which creation an entry belongs to.
const headerMsgID = nats.MsgIdHdr

// indexEntry is the payload of a message in the index stream.
type indexEntry struct {
	ExecutionID enact.ExecutionID `json:"execution_id"`
	TenantID    enact.TenantID    `json:"tenant_id"`
	Timestamp   string            `json:"timestamp"` // of the execution's first event
}

// announce writes the index entry of a creation and waits for its
// acknowledgement. Written twice it counts once: a listing takes each commit id
// once, and only where it is the origin of the execution's records.
func (s *Store) announce(ctx context.Context, c *commit) error {
	msg := &nats.Msg{
		Subject: s.cfg.subjects.Index(c.key.tenant),
		Header:  nats.Header{headerMsgID: []string{c.id.String()}},
		Data:    appendIndexEntry(nil, c.key, c.times[0]),
	}
	_, err := retry(ctx, func() (uint64, error) { return s.asks.publish(ctx, s.cfg.index(), msg) })
	return err
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
