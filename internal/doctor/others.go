package doctor

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/nats-io/nuid"

	"github.com/enactlog/enact"
	"github.com/enactlog/enact/consumer"
	"github.com/enactlog/enact/internal/ask"
	"github.com/enactlog/enact/internal/scratch"
	"github.com/enactlog/enact/jetstore"
)

// ingest looks for whatever stores the log's messages twice, or stores others in it.
func ingest(ctx context.Context, x *examination) []Finding {
	var found []Finding
	if x.allErr != nil {
		found = append(found, Finding{
			Check: checkIngest, Status: Unknown, Found: "what other streams there are: " + ask.Why(x.allErr),
			Mend: "examine with an operator's connection",
		})
	}
	found = append(found, x.judgeStreams()...)
	found = append(found, x.listeners(ctx)...)
	if len(found) == 0 {
		found = append(found, Finding{Check: checkIngest, Status: OK, Found: "one stream takes the log's subjects, and copies go nowhere"})
	}
	return found
}

// judgeStreams looks at the streams' settings: which copy the log, and which write to it.
func (x *examination) judgeStreams() []Finding {
	var found []Finding
	own := make(map[string]bool)
	subjects := []string{x.layout.Log.Subject, x.layout.Index.Subject}
	for _, s := range x.streams {
		own[s.Name] = true
		subjects = append(subjects, s.Subject)
	}
	overlaps := func(pattern string) bool {
		return slices.ContainsFunc(subjects, func(s string) bool { return meet(pattern, s) })
	}
	for _, c := range x.all {
		if own[c.Name] {
			if c.RePublish != nil {
				found = append(found, Finding{
					Check: checkIngest, Status: Warn, Found: fmt.Sprintf("%s publishes what it stores again, as %s", c.Name, c.RePublish.Destination),
					Means: "whoever may subscribe there sees events, past the permissions on the log; a stream there stores them twice",
					Mend:  "take republish out of the stream's settings, unless something follows it; package consumer does without",
				})
			}
			continue
		}
		if c.RePublish != nil && overlaps(destination(c.RePublish.Destination)) {
			found = append(found, Finding{
				Check: checkIngest, Status: Fail, Found: fmt.Sprintf("%s publishes what it stores as %s", c.Name, c.RePublish.Destination),
				Means: "foreign messages get into the log, where reads end at them with ErrCorrupt", Mend: "take republish out of that stream's settings",
			})
		}
		if slices.ContainsFunc(c.Subjects, overlaps) && !x.ofThisLog(c.Name) {
			found = append(found, Finding{
				Check: checkIngest, Status: Fail, Found: c.Name + " takes the log's subjects too",
				Means: "an append is acknowledged by whichever stream is first, and settled by asking the other", Mend: "take the subjects out of that stream's settings",
			})
		}
		sources := c.Sources
		if c.Mirror != nil {
			sources = append(slices.Clone(sources), c.Mirror)
		}
		for _, source := range sources {
			if source.External == nil && own[source.Name] {
				found = append(found, Finding{
					Check: checkIngest, Status: Warn, Found: fmt.Sprintf("%s copies %s", c.Name, source.Name),
					Means: "every event is stored twice; the copy has none of the log's permissions, and stays when the log is removed",
					Mend:  "keep it if it is meant as a copy, and give it the same permissions; else remove it",
				})
			}
		}
	}
	return found
}

// ofThisLog reports whether a stream is one of a log with a stream per tenant, of which all
// have subjects that meet the log's.
func (x *examination) ofThisLog(name string) bool {
	return x.base.PerTenant && (strings.HasPrefix(name, x.base.Log.Name+"-") || strings.HasPrefix(name, x.base.Index.Name+"-"))
}

// destination turns the destination of a republish into a pattern: its mappings of tokens
// may come to anything.
func destination(subject string) string {
	tokens := strings.Split(subject, ".")
	for i, t := range tokens {
		if strings.HasPrefix(t, "{{") || strings.HasPrefix(t, "$") {
			tokens[i] = "*"
		}
	}
	return strings.Join(tokens, ".")
}

// meet reports whether some subject matches both patterns.
func meet(a, b string) bool {
	x, y := strings.Split(a, "."), strings.Split(b, ".")
	for i := range min(len(x), len(y)) {
		switch {
		case x[i] == ">" || y[i] == ">":
			return true
		case x[i] != "*" && y[i] != "*" && x[i] != y[i]:
			return false
		}
	}
	return len(x) == len(y)
}

// listeners asks who takes a message to the log's subject. The message is void for any
// stream: it names one that there is not (Nats-Expected-Stream), and a predecessor that
// nothing can have, and is refused by each for itself before it is stored (server/stream.go
// and jetstream_batching.go). So streams of other domains and accounts show too, which
// no list names.
func (x *examination) listeners(ctx context.Context) []Finding {
	subject, log := x.layout.Log.Subject, x.layout.Log.Name
	if x.layout.PerTenant {
		if len(x.streams) == 0 || x.streams[0].err != nil {
			return nil
		}
		subject, log = x.streams[0].Subject, x.streams[0].Name
	}
	if version := x.Conn.ConnectedServerVersion(); version == "" || jetstore.CheckServerVersion(version) != nil || !x.Conn.HeadersSupported() {
		return []Finding{{Check: checkIngest, Status: Unknown, Found: "who takes the log's subjects: the server is too old to be asked without risk"}}
	}
	msg := &nats.Msg{
		Subject: strings.ReplaceAll(subject, "*", "doctor-"+nuid.Next()),
		Header: nats.Header{
			nats.ExpectedStreamHdr:      {"no-such-stream-" + nuid.Next()},
			nats.ExpectedLastSubjSeqHdr: {strconv.FormatUint(1<<63-1, 10)},
			nats.ExpectedLastMsgIdHdr:   {"no-such-message"},
		},
	}
	answers, err := ask.All(ctx, x.Conn, msg, x.Patience, func(answers []*nats.Msg) bool { return len(answers) > 1 })
	if err != nil {
		return []Finding{{Check: checkIngest, Status: Unknown, Found: "who takes the log's subjects: " + ask.Why(err)}}
	}
	if len(answers) == 1 && refusedBy(answers[0]) {
		return nil
	}
	return []Finding{{
		Check: checkIngest, Status: Fail, Found: fmt.Sprintf("more than %s answers on %s", log, subject),
		Means: "an append may be acknowledged by another than the log: a stream of another domain or account, or a program",
		Mend:  "find out who subscribes to the log's subjects; deny them on leaf nodes, or give the log another prefix",
	}}
}

// refusedBy reports whether an answer is a stream's refusal of a void message.
func refusedBy(m *nats.Msg) bool {
	var answer struct {
		Error *jetstream.APIError `json:"error"`
	}
	return json.Unmarshal(m.Data, &answer) == nil && answer.Error != nil
}

// consumers looks for consumers that fall behind.
func consumers(ctx context.Context, x *examination) []Finding {
	const check = checkConsumers
	unknown := func(err error) []Finding {
		return []Finding{{Check: check, Status: Unknown, Found: ask.Why(err)}}
	}
	store, err := jetstore.Open(ctx, x.Conn, x.Options...)
	if err != nil {
		return unknown(err)
	}
	// Its connection is the caller's: there is nothing to wait for.
	defer func() { _ = store.Shutdown(context.WithoutCancel(ctx)) }()
	logs := []*jetstore.Store{store}
	if x.base.PerTenant {
		logs = nil
		for tenant := range x.tenants() {
			log, err := store.Tenant(ctx, tenant)
			if err != nil {
				return unknown(err)
			}
			logs = append(logs, log)
		}
	}
	var found []Finding
	n := 0
	for _, log := range logs {
		// Whether it may be asked, the store would find out by waiting.
		if err := x.request(ctx, "CONSUMER.LIST."+log.StreamName(), nil, nil); errors.Is(err, enact.ErrNotPermitted) || errors.Is(err, nats.ErrNoResponders) {
			return unknown(err)
		}
		infos, err := consumer.List(ctx, log)
		if err != nil {
			return unknown(err)
		}
		n += len(infos)
		for _, info := range infos {
			if f := judgeConsumer(info, log.StreamName(), x.Lag); f.Status != OK {
				found = append(found, f)
			}
		}
	}
	if len(found) == 0 {
		found = append(found, Finding{Check: check, Status: OK, Found: english(n, "consumer") + ", none of them behind"})
	}
	return found
}

// tenants returns whose streams are looked at.
func (x *examination) tenants() map[enact.TenantID]bool {
	set := make(map[enact.TenantID]bool)
	for _, s := range x.streams {
		set[s.tenant] = true
	}
	return set
}

func judgeConsumer(i consumer.Info, stream string, limit uint64) Finding {
	f := Finding{Check: checkConsumers, Status: OK}
	name := fmt.Sprintf("%s %s of %s", i.Kind, i.Name, stream)
	switch {
	case i.Lag() > limit && !i.PausedUntil.IsZero():
		f.Status, f.Found = Warn, fmt.Sprintf("%s has %d records before it and is paused until %s", name, i.Lag(), i.PausedUntil.Format("2006-01-02T15:04:05Z07:00"))
		f.Means, f.Mend = "it takes that much longer to catch up once it goes on", "resume it if the pause is not needed any more"
	case i.Kind == consumer.KindGroup && i.Pending > 0 && i.InFlight == 0 && i.Waiting == 0 && i.PausedUntil.IsZero():
		f.Status, f.Found = Warn, fmt.Sprintf("%s has %d records before it, and nobody asks for them", name, i.Lag())
		f.Means, f.Mend = "the group has no running member", "start its program, or remove the group"
	case i.Lag() > limit:
		f.Status, f.Found = Warn, fmt.Sprintf("%s has %d records before it", name, i.Lag())
		f.Means, f.Mend = "it sees events late, and later still while more come than it handles", "give it more members or a faster handler"
	case i.Redelivered > 0:
		f.Status, f.Found = Warn, fmt.Sprintf("%s has %d records that were sent more than once and are not done", name, i.Redelivered)
		f.Means, f.Mend = "a handler fails, or takes longer than it is given", "look at the program's log"
	}
	return f
}

// leftovers looks for scratch streams that nobody removed.
func leftovers(_ context.Context, x *examination) []Finding {
	f := Finding{Check: checkLeftovers, Status: OK, Found: "none"}
	if x.allErr != nil {
		f.Status, f.Found = Unknown, "what other streams there are: "+ask.Why(x.allErr)
		return []Finding{f}
	}
	var left []string
	for _, c := range x.all {
		if scratch.IsScratch(c.Name) {
			left = append(left, c.Name)
		}
	}
	if len(left) > 0 {
		f.Status, f.Found = Warn, few(left)
		f.Means, f.Mend = "a doctor or a bench was killed, or runs just now: they remove their streams", "remove the streams, as with: nats stream rm"
	}
	return []Finding{f}
}
