package fsck

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"hash"
	"io/fs"
	"os"
	"slices"
	"time"

	"github.com/enactlog/enact"
	"github.com/enactlog/enact/jetstore"
)

// Check checks a log: up to where it ended when the check began. It may run beside
// writers. It goes through the whole log, of one copy of it unless [Options.EachReplica] is
// set, and through the index; of executions it keeps about 400 bytes each, within
// [Options.Memory].
//
// What is wrong with the log is in the report and no error. An error says that the check
// could not be done: enact.ErrStreamNotFound, enact.ErrNotPermitted, enact.ErrClosed,
// [ErrHeads], [ErrState], enact.ErrInvalidOption, enact.ErrInvalidID, the context's, or what
// the servers answered. The report then says what was found before; with [Options.State] the
// next Check with the same options goes on.
//
// Of a store with a stream for each tenant all tenants' streams are checked, one after the
// other, or that of [Options.Tenant].
func Check(ctx context.Context, store *jetstore.Store, opts Options) (*Report, error) {
	opts, err := opts.normal()
	if err != nil {
		return new(Report), err
	}
	c := &check{store: store, opts: opts}
	c.saved.Scope = Scope{opts.Tenant, opts.Execution}
	c.saved.Report.Scope = c.saved.Scope
	err = c.run(ctx)
	report := &c.saved.Report
	report.sort()
	for i := range report.Findings {
		report.Findings[i].Severity = report.Findings[i].Kind.Severity()
	}
	return report, err
}

// check is a check on its way.
type check struct {
	store *jetstore.Store
	opts  Options
	saved savedCheck
	heads uint64
}

func (c *check) run(ctx context.Context) error {
	if err := c.countHeads(ctx); err != nil {
		return err
	}
	probe, err := c.store.Attach()
	if err == nil {
		probe.Close()
	}
	c.saved.PerTenant = errors.Is(err, enact.ErrTenantRequired)
	if err != nil && !c.saved.PerTenant {
		return err
	}
	if c.opts.EachReplica && (c.opts.Execution != "" || c.opts.Tenant != "" && !c.saved.PerTenant) {
		return &enact.OptionError{Option: "EachReplica", Reason: "is for whole streams"}
	}
	if err := c.resume(); err != nil {
		return err
	}
	if err := c.parts(ctx); err != nil {
		return err
	}
	if c.opts.State == "" {
		return nil
	}
	if err := os.Remove(c.opts.State); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("fsck: state: %w", err)
	}
	return nil
}

// parts checks the log, or those of the tenants.
func (c *check) parts(ctx context.Context) error {
	if !c.saved.PerTenant {
		return c.part(ctx, c.store, "")
	}
	tenants, err := tenantsOf(ctx, c.store, c.opts.Tenant)
	if err != nil {
		return err
	}
	for _, tenant := range tenants {
		if slices.Contains(c.saved.Done, tenant) {
			continue
		}
		store, err := c.store.Tenant(ctx, tenant)
		if err != nil {
			return err
		}
		if err := c.part(ctx, store, tenant); err != nil {
			return err
		}
		c.saved.Done = append(c.saved.Done, tenant)
	}
	return nil
}

// part checks one log. tenant is whose it is, "" for all tenants'.
func (c *check) part(ctx context.Context, store *jetstore.Store, tenant enact.TenantID) error {
	att, err := store.Attach()
	if err != nil {
		return err
	}
	defer att.Close()
	p := &part{
		opts: c.opts, att: att, subjects: store.Subjects(), codecs: store.Codecs(),
		stream: store.StreamName(), indexStream: store.IndexName(), perTenant: c.saved.PerTenant,
		tenant: c.opts.Tenant, execution: c.opts.Execution, began: time.Now(), report: &c.saved.Report,
	}
	resumed := c.saved.Part
	if err := p.plan(ctx, c.heads); err != nil {
		return err
	}
	log, index, err := p.incarnations(ctx)
	if err != nil {
		return err
	}
	if resumed != nil {
		if err := c.sameStreams(resumed, p, log, index); err != nil {
			return err
		}
		p.goOn(resumed)
	}
	p.start(ctx)
	if resumed != nil {
		if err := p.restore(resumed.Histories); err != nil {
			p.stop()
			return &StateError{c.opts.State, err.Error()}
		}
	}
	save := func() error {
		c.saved.Part = p.state(log, index)
		err := writeState(c.opts.State, &c.saved)
		c.saved.Part = nil
		return err
	}
	if c.opts.State != "" {
		p.save, p.saved = save, time.Now()
	}
	err = p.run(ctx, func() error { return c.giveHeads(ctx, p, tenant) })
	p.stop()
	if failed := p.failure(); err == nil {
		err = failed
	} else if failed == nil && p.save != nil && !p.finishing {
		p.collect()
		err = errors.Join(err, p.save())
	}
	p.collect()
	if err != nil {
		return err
	}
	c.saved.Part = nil
	done := StreamReport{Stream: p.stream, Incarnation: log, First: p.first, Last: p.last, Passes: p.passes, Replicas: []string{}}
	if c.opts.EachReplica {
		if done.Replicas, err = p.compareReplicas(ctx); err != nil {
			return err
		}
	}
	c.saved.Report.Streams = append(c.saved.Report.Streams, done)
	return nil
}

// eachHead yields the heads within the scope.
func (c *check) eachHead(ctx context.Context, f func(enact.Head)) error {
	if c.opts.Heads == nil {
		return nil
	}
	for h, err := range c.opts.Heads() {
		if err != nil {
			return err
		}
		if err := ctx.Err(); err != nil {
			return err
		}
		if (c.opts.Tenant == "" || h.TenantID == c.opts.Tenant) && (c.opts.Execution == "" || h.ExecutionID == c.opts.Execution) {
			f(h)
		}
	}
	return nil
}

// countHeads counts the heads, and makes their digest.
func (c *check) countHeads(ctx context.Context) error {
	var sum hash.Hash = sha256.New()
	err := c.eachHead(ctx, func(h enact.Head) {
		c.heads++
		sum.Write(fmt.Appendf(nil, "%q %q %d %d %s\n", h.TenantID, h.ExecutionID, h.Sequence, h.Position, h.Chain))
	})
	c.saved.Heads = [32]byte(sum.Sum(nil))
	return err
}

// giveHeads gives the heads to a log, of which tenant is the only one unless it is "".
func (c *check) giveHeads(ctx context.Context, p *part, tenant enact.TenantID) error {
	return c.eachHead(ctx, func(h enact.Head) {
		if tenant == "" || tenant == h.TenantID {
			p.head(h)
		}
	})
}

// resume takes up what a state file has.
func (c *check) resume() error {
	if c.opts.State == "" {
		return nil
	}
	saved, err := readState(c.opts.State)
	if saved == nil || err != nil {
		return err
	}
	reason := ""
	switch {
	case saved.Scope != c.saved.Scope:
		reason = fmt.Sprintf("it is of a check of tenant %q, execution %q", saved.Scope.TenantID, saved.Scope.ExecutionID)
	case saved.Heads != c.saved.Heads:
		reason = "it is of a check with other heads"
	case saved.PerTenant != c.saved.PerTenant:
		reason = "it is of a log with other streams"
	}
	if reason != "" {
		return &StateError{c.opts.State, reason}
	}
	c.saved = *saved
	return nil
}

// sameStreams refuses a state of other streams.
func (c *check) sameStreams(s *savedPart, p *part, log, index string) error {
	switch {
	case s.Stream != p.stream:
		return &StateError{c.opts.State, fmt.Sprintf("it is of stream %q, this one is %q", s.Stream, p.stream)}
	case s.Log != log || s.Index != index:
		return &StateError{c.opts.State, fmt.Sprintf("it is of another stream of the name %q: that of incarnation %s, this one is %s", s.Stream, s.Log, log)}
	case s.Last > p.last || s.IndexLast > p.indexLast:
		return &StateError{c.opts.State, fmt.Sprintf("stream %q had more messages then", s.Stream)}
	}
	return nil
}

// incarnations returns what tells the log's stream and its index from others of their names.
func (p *part) incarnations(ctx context.Context) (log, index string, err error) {
	for stream, into := range map[string]*string{p.stream: &log, p.indexStream: &index} {
		info, err := (&source{att: p.att, stream: stream}).info(ctx, "")
		if err != nil {
			return "", "", err
		}
		*into = info.incarnation()
	}
	return log, index, nil
}

// state returns the check of the log as it stands. The shards must have nothing to do.
func (p *part) state(log, index string) *savedPart {
	s := &savedPart{
		Stream: p.stream, Log: log, Index: index, First: p.first, Last: p.last, IndexFirst: p.indexFirst, IndexLast: p.indexLast,
		Began: p.began, Passes: p.passes, Pass: p.pass, HeadsGiven: p.headsGiven, Stage: p.stage, Source: p.source, Next: p.next,
		LogFilters: filters(p.logs), IndexFilters: filters(p.indexes), Gaps: p.gaps, IdxGaps: p.indexGaps, Explained: p.explained, Unlisted: p.unlisted,
	}
	for _, x := range p.shards {
		for id, first := range x.executions {
			for h := first; h != nil; h = h.next {
				s.Histories = append(s.Histories, savedHistory{id, h})
			}
		}
	}
	return s
}

// goOn puts the check where a saved one stood.
func (p *part) goOn(s *savedPart) {
	p.first, p.last, p.indexFirst, p.indexLast, p.began = s.First, s.Last, s.IndexFirst, s.IndexLast, s.Began
	p.passes, p.pass, p.headsGiven, p.stage, p.source, p.next = s.Passes, s.Pass, s.HeadsGiven, s.Stage, s.Source, s.Next
	p.gaps, p.indexGaps, p.explained, p.unlisted = s.Gaps, s.IdxGaps, s.Explained, s.Unlisted
	again := func(stream string, filters []string) (sources []*source) {
		for _, filter := range filters {
			sources = append(sources, &source{att: p.att, stream: stream, filter: filter})
		}
		return sources
	}
	p.logs, p.indexes = again(p.stream, s.LogFilters), again(p.indexStream, s.IndexFilters)
}

func filters(sources []*source) (filters []string) {
	for _, s := range sources {
		filters = append(filters, s.filter)
	}
	return filters
}
