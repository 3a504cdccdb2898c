package fsck

import (
	"cmp"
	"context"
	"errors"
	"runtime"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/enactlog/enact"
	"github.com/enactlog/enact/codec"
	"github.com/enactlog/enact/internal/record"
	"github.com/enactlog/enact/jetstore"
)

const (
	// perExecution is what is kept of an execution, in bytes: its history, about 250, its id
	// and back pointers, about 100, and its place in a map.
	perExecution = 400
	// progressEvery is how many messages lie between two calls of the progress function.
	progressEvery = 1000
	// grace is how long the shards may go on when a check is broken off.
	grace = 10 * time.Second
)

// part is the check of one log: a stream and its index stream.
//
// One goroutine reads; each message goes to the shard that its execution falls to. The
// index comes first, then the log, up to where they ended when the check began: the end of
// the log is asked for before that of the index, so that every execution found has had
// its entry.
type part struct {
	opts        Options
	att         *jetstore.Attachment
	subjects    enact.Subjects
	codecs      codec.Set
	stream      string
	indexStream string
	perTenant   bool           // the streams are one tenant's
	tenant      enact.TenantID // whose findings are wanted; "": all
	execution   enact.ExecutionID

	logs, indexes []*source // one without a filter, or one for each subject wanted
	first, last   uint64    // of the log
	indexFirst    uint64
	indexLast     uint64
	began         time.Time
	passes        int

	// Where the check stands.
	pass       int // from 1
	headsGiven bool
	stage      Stage
	source     int // among those of the stage
	next       uint64
	finishing  bool // the pass is being brought to its end: this is no state to be saved

	shards    []*shard
	running   sync.WaitGroup
	release   func()
	pending   []chunk // for each shard
	bytes     []int   // of the payloads in it
	seen      int
	saved     time.Time
	gaps      []span // positions of the log without messages
	indexGaps []span
	explained []span
	unlisted  uint64 // executions of this log without an entry; the report's may be of others, too
	report    *Report
	save      func() error // nil: nothing is saved
}

func (p *part) within(tenant enact.TenantID) bool { return p.tenant == "" || p.tenant == tenant }

// recordsOf returns the source of an execution's records.
func (p *part) recordsOf(tenant enact.TenantID, id enact.ExecutionID) *source {
	return &source{att: p.att, stream: p.stream, filter: p.subjects.Execution(tenant, id)}
}

// plan finds out what there is to read.
func (p *part) plan(ctx context.Context, heads uint64) error {
	at := func(stream, filter string) *source { return &source{att: p.att, stream: stream, filter: filter} }
	log, index := at(p.stream, ""), at(p.indexStream, "")
	info, err := log.info(ctx, p.wanted())
	if err != nil {
		return err
	}
	indexInfo, err := index.info(ctx, "")
	if err != nil {
		return err
	}
	p.first, p.last = info.bounds()
	p.indexFirst, p.indexLast = indexInfo.bounds()
	p.logs, p.indexes = []*source{log}, []*source{index}
	switch {
	case p.execution != "":
		p.logs, p.indexes = nil, nil
		tenants := []enact.TenantID{}
		for subject := range info.State.Subjects {
			if tenant, _, err := p.subjects.ParseExecution(subject); err == nil {
				tenants = append(tenants, tenant)
			}
		}
		if p.tenant != "" && !slices.Contains(tenants, p.tenant) {
			tenants = append(tenants, p.tenant)
		}
		slices.Sort(tenants)
		for _, tenant := range tenants {
			p.logs = append(p.logs, at(p.stream, p.subjects.Execution(tenant, p.execution)))
			p.indexes = append(p.indexes, at(p.indexStream, p.subjects.Index(tenant)))
		}
	case p.tenant != "" && !p.perTenant:
		p.logs[0].filter, p.indexes[0].filter = p.subjects.Tenant(p.tenant), p.subjects.Index(p.tenant)
	}
	most := max(info.State.NumSubj, indexInfo.State.Messages, heads)
	p.passes = int(max(1, (int64(most)*perExecution+p.opts.Memory-1)/p.opts.Memory))
	if p.execution != "" {
		p.passes = 1
	}
	p.pass, p.stage, p.source, p.next = 1, StageIndex, 0, p.indexFirst
	return nil
}

// wanted returns the filter that makes the stream's info name an execution's subjects.
func (p *part) wanted() string {
	if p.execution == "" {
		return ""
	}
	return p.subjects.AnyTenant(p.execution)
}

// start starts the shards, which end their work also when ctx ends: what was read has to
// be worked on before the state is saved.
func (p *part) start(ctx context.Context) {
	work, cancel := context.WithCancel(context.WithoutCancel(ctx))
	unwatch := context.AfterFunc(ctx, func() { time.AfterFunc(grace, cancel) })
	p.release = func() { unwatch(); cancel() }
	n := runtime.GOMAXPROCS(0)
	p.shards, p.pending, p.bytes = make([]*shard, n), make([]chunk, n), make([]int, n)
	for i := range p.shards {
		s := newShard(p)
		s.in = make(chan chunk, chunksAhead)
		p.shards[i] = s
		p.running.Go(func() { s.run(work) })
	}
}

// stop gives the shards what is left and waits until they have worked on it.
func (p *part) stop() {
	for i, s := range p.shards {
		p.flush(i)
		close(s.in)
	}
	p.running.Wait()
	p.release()
}

// settle waits until everything that was read is worked on. It returns the error that ended
// the work of a shard.
func (p *part) settle() error {
	var done sync.WaitGroup
	done.Add(len(p.shards))
	for i := range p.shards {
		p.pending[i].done = &done
		p.flush(i)
	}
	done.Wait()
	return p.failure()
}

func (p *part) failure() error {
	for _, s := range p.shards {
		if s.err != nil {
			return s.err
		}
	}
	return nil
}

func (p *part) flush(i int) {
	p.shards[i].in <- p.pending[i]
	p.pending[i], p.bytes[i] = chunk{}, 0
}

// collect takes what the shards have found. They must have nothing to do.
func (p *part) collect() {
	for _, s := range p.shards {
		p.unlisted += s.report.Counts[Unlisted]
		p.report.merge(p.opts.Findings, &s.report)
		s.report = Report{}
		p.explained = append(p.explained, s.explained...)
		s.explained = nil
	}
}

// tokenHash tells to which pass and which shard an execution belongs: all tenants of an id
// to the same. It is FNV-1a, since a state file outlives the process.
func tokenHash(token string) uint64 {
	h := uint64(14695981039346656037)
	for i := range len(token) {
		h = (h ^ uint64(token[i])) * 1099511628211
	}
	return h
}

// shardOf returns the shard of an execution's token; ok is false if its turn is in another
// pass.
func (p *part) shardOf(token string) (i int, ok bool) {
	h := tokenHash(token)
	return int(h >> 32 % uint64(len(p.shards))), h%uint64(p.passes) == uint64(p.pass-1)
}

// run checks the log from where the check stands. The shards must be running.
func (p *part) run(ctx context.Context, heads func() error) error {
	for ; ; p.pass++ {
		if !p.headsGiven {
			if err := heads(); err != nil {
				return err
			}
			p.headsGiven = true
		}
		if p.stage == StageIndex {
			if err := p.read(ctx, p.indexes, p.indexFirst, p.indexLast, p.entry, &p.indexGaps); err != nil {
				return err
			}
			p.stage, p.source, p.next = StageLog, 0, p.first
		}
		if err := p.read(ctx, p.logs, p.first, p.last, p.message, &p.gaps); err != nil {
			return err
		}
		if err := p.settle(); err != nil {
			return err
		}
		p.finishing = true
		for _, s := range p.shards {
			if err := s.finish(ctx); err != nil {
				return err
			}
			clear(s.executions)
			clear(s.tenants)
		}
		p.collect()
		if p.pass == p.passes {
			p.missing()
			return nil
		}
		p.stage, p.source, p.next = StageIndex, 0, p.indexFirst
		p.finishing, p.headsGiven = false, false
	}
}

// read reads the sources of a stage from where the check stands.
func (p *part) read(ctx context.Context, sources []*source, first, last uint64, handle func(message) error, gaps *[]span) error {
	for ; p.source < len(sources); p.source, p.next = p.source+1, first {
		s := sources[p.source]
		tell := func() {
			p.opts.Progress(Progress{
				Stage: p.stage, Stream: s.stream, Pass: p.pass, Passes: p.passes, Position: p.next - 1, First: first, Last: last, Faults: p.report.Faults,
			})
		}
		err := s.read(ctx, p.next, last, reading{
			message: func(m message) error {
				if err := handle(m); err != nil {
					return err
				}
				p.next = m.position + 1
				p.seen++
				if p.seen%progressEvery > 0 {
					return nil
				}
				return p.checkpoint(tell)
			},
			gap: func(from, to uint64) {
				if p.pass == 1 {
					*gaps = append(*gaps, span{from, to})
				}
				p.next = to + 1
			},
			lacks: func(position uint64) {
				if p.pass == 1 {
					p.report.add(p.opts.Findings, Finding{
						Kind: ReplicaDiffers, Stream: s.stream, Position: position,
						Reason: "the leader has this message, the replica that was read did not give it",
					})
				}
			},
		})
		if err != nil {
			return err
		}
		p.next = last + 1
		tell()
	}
	return nil
}

// checkpoint is called now and then between two messages.
func (p *part) checkpoint(tell func()) error {
	if p.save != nil && time.Since(p.saved) > saveEvery {
		if err := p.settle(); err != nil {
			return err
		}
		p.collect()
		if err := p.save(); err != nil {
			return err
		}
		p.saved = time.Now()
	}
	tell()
	return nil
}

// message hands a message of the log to its shard.
func (p *part) message(m message) error {
	if p.pass == 1 {
		p.report.Messages++
	}
	i, ok := p.shardOf(m.Subject[strings.LastIndexByte(m.Subject, '.')+1:])
	if !ok {
		return nil
	}
	c := &p.pending[i]
	if c.messages == nil {
		c.messages = make([]message, 0, chunkMessages)
	}
	c.messages = append(c.messages, m)
	p.bytes[i] += len(m.Data)
	if len(c.messages) < chunkMessages && p.bytes[i] < chunkBytes {
		return nil
	}
	p.flush(i)
	return nil
}

// entry hands an entry of the index to its shard.
func (p *part) entry(m message) error {
	e, err := record.ParseEntry(p.subjects, m.Subject, m.position, m.Header, m.Data)
	if err != nil {
		if p.pass > 1 {
			return nil
		}
		f := Finding{Kind: BadEntry, Stream: p.indexStream, Position: m.position, Reason: reasonOf(err)}
		if f.TenantID, err = p.subjects.ParseIndex(m.Subject); err != nil {
			f.Kind = OutsideScheme
		}
		p.report.add(p.opts.Findings, f)
		return nil
	}
	i, ok := p.shardOf(enact.EncodeToken(string(e.ExecutionID)))
	if !ok || p.execution != "" && p.execution != e.ExecutionID {
		return nil
	}
	c := &p.pending[i]
	if c.entries = append(c.entries, e); len(c.entries) == chunkMessages {
		p.flush(i)
	}
	return nil
}

// head gives a head to its execution. The shards must have nothing to do.
func (p *part) head(h enact.Head) {
	i, ok := p.shardOf(enact.EncodeToken(string(h.ExecutionID)))
	if !ok {
		return
	}
	s := p.shards[i]
	x := s.history(h.TenantID, h.ExecutionID)
	k := kept{h.Sequence, h.Position, h.Chain}
	at, found := slices.BinarySearchFunc(x.Heads, k, func(a, b kept) int { return cmp.Compare(a.Sequence, b.Sequence) })
	s.report.Heads++
	if found && x.Heads[at] == k {
		return
	}
	x.Heads = slices.Insert(x.Heads, at, k)
}

// missing tells of the positions without messages that no other finding tells of.
func (p *part) missing() {
	slices.SortFunc(p.explained, func(a, b span) int { return cmp.Compare(a.First, b.First) })
	for _, gap := range without(p.gaps, p.explained) {
		p.report.add(p.opts.Findings, missingMessage(p.stream, gap))
	}
	// An entry that is missing where its execution was found is told of by that.
	var lost uint64
	for _, gap := range p.indexGaps {
		lost += gap.Last - gap.First + 1
	}
	if lost > p.unlisted {
		for _, gap := range p.indexGaps {
			p.report.add(p.opts.Findings, missingMessage(p.indexStream, gap))
		}
	}
}

func missingMessage(stream string, gap span) Finding {
	f := Finding{Kind: MissingMessage, Stream: stream, Position: gap.First, Reason: "the stream has no message here"}
	if gap.Last > gap.First {
		f.Last, f.Reason = gap.Last, "the stream has no messages here"
	}
	return f
}

// without returns what of the spans no other covers.
func without(spans, others []span) []span {
	var left []span
	for _, s := range spans {
		next := s.First
		for _, o := range others {
			if o.Last < next || o.First > s.Last {
				continue
			}
			if o.First > next {
				left = append(left, span{next, o.First - 1})
			}
			if next = o.Last + 1; next > s.Last {
				break
			}
		}
		if next <= s.Last {
			left = append(left, span{next, s.Last})
		}
	}
	return left
}

// restore puts saved histories into the shards.
func (p *part) restore(saved []savedHistory) error {
	for _, x := range saved {
		i, ok := p.shardOf(enact.EncodeToken(string(x.ID)))
		if !ok || x.History == nil {
			return errors.New("it holds an execution of another pass")
		}
		p.shards[i].keep(x.ID, x.History)
	}
	return nil
}
