package fsck

import (
	"context"
	"errors"
	"fmt"
	"hash/maphash"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/enactlog/enact"
)

const (
	// stretch is how many positions have one digest.
	stretch = 4096
	// mostStretches is how many stretches that differ are looked at message by message.
	mostStretches = 64
)

// compareReplicas makes each replica the leader in turn, of the log and of the index, and
// compares what they hold. It returns the replicas, none where there is one copy only.
func (p *part) compareReplicas(ctx context.Context) ([]string, error) {
	all := []string{}
	for _, s := range []struct {
		stream      string
		first, last uint64
	}{{p.stream, p.first, p.last}, {p.indexStream, p.indexFirst, p.indexLast}} {
		c := &comparison{p: p, stream: s.stream, first: s.first, last: s.last, seed: maphash.MakeSeed()}
		if err := c.run(ctx); err != nil {
			return all, fmt.Errorf("fsck: replicas of %s: %w", s.stream, err)
		}
		all = append(all, c.servers...)
	}
	slices.Sort(all)
	return slices.Compact(all), nil
}

// comparison compares the replicas of one stream.
type comparison struct {
	p           *part
	stream      string
	first, last uint64
	seed        maphash.Seed
	servers     []string // the leader that was found, then the others
}

func (c *comparison) run(ctx context.Context) (err error) {
	info, err := (&source{att: c.p.att, stream: c.stream}).info(ctx, "")
	if err != nil {
		return err
	}
	if info.Cluster == nil || len(info.Cluster.Replicas) == 0 {
		return nil
	}
	c.servers = []string{info.Cluster.Leader}
	for _, r := range info.Cluster.Replicas {
		c.servers = append(c.servers, r.Name)
	}
	slices.Sort(c.servers[1:])
	if c.last < c.first {
		return nil
	}
	digests := make([][]uint64, len(c.servers))
	defer func() {
		// The leader that it was before, so that a check changes nothing that lasts.
		if backErr := c.lead(context.WithoutCancel(ctx), c.servers[0]); err == nil {
			err = backErr
		}
	}()
	for i, server := range c.servers {
		digests[i] = make([]uint64, (c.last-c.first)/stretch+1)
		err := c.read(ctx, server, c.first, c.last, func(position, digest uint64) { digests[i][(position-c.first)/stretch] ^= digest })
		if err != nil {
			return err
		}
	}
	differing := 0
	for k := range digests[0] {
		same := true
		for _, d := range digests {
			same = same && d[k] == digests[0][k]
		}
		if same {
			continue
		}
		first := c.first + uint64(k)*stretch
		last := min(first+stretch-1, c.last)
		if differing++; differing > mostStretches {
			c.found(Finding{Position: first, Last: last, Reason: "the replicas hold different messages among these"})
			continue
		}
		if err := c.closely(ctx, first, last); err != nil {
			return err
		}
	}
	return nil
}

func (c *comparison) found(f Finding) {
	f.Kind, f.Stream = ReplicaDiffers, c.stream
	c.p.report.add(c.p.opts.Findings, f)
}

// closely compares a stretch message by message.
func (c *comparison) closely(ctx context.Context, first, last uint64) error {
	held := make([]map[uint64]uint64, len(c.servers)) // digests by position
	positions := make(map[uint64]bool)
	for i, server := range c.servers {
		held[i] = make(map[uint64]uint64)
		err := c.read(ctx, server, first, last, func(position, digest uint64) { held[i][position], positions[position] = digest, true })
		if err != nil {
			return err
		}
	}
	for _, position := range slices.Sorted(maps.Keys(positions)) {
		with := make(map[uint64][]string) // servers by what they hold
		var without []string
		for i, server := range c.servers {
			if d, ok := held[i][position]; ok {
				with[d] = append(with[d], server)
			} else {
				without = append(without, server)
			}
		}
		if len(with) == 1 && without == nil {
			continue
		}
		var parts []string
		if without != nil {
			parts = append(parts, strings.Join(without, ", ")+" has no message here")
		}
		if len(with) > 1 {
			groups := []string{}
			for _, servers := range with {
				groups = append(groups, strings.Join(servers, ", "))
			}
			slices.Sort(groups)
			parts = append(parts, strings.Join(groups, " and ")+" hold different messages")
		}
		c.found(Finding{Position: position, Reason: strings.Join(parts, "; ")})
	}
	return nil
}

// read reads one server's copy, while that server leads, and gives a digest for each message.
func (c *comparison) read(ctx context.Context, server string, first, last uint64, digest func(position, digest uint64)) error {
	if err := c.lead(ctx, server); err != nil {
		return err
	}
	s := &source{att: c.p.att, stream: c.stream, pinned: server}
	seen := 0
	tell := func(position uint64) {
		c.p.opts.Progress(Progress{
			Stage: StageReplicas, Stream: c.stream, Replica: server, Pass: 1, Passes: 1, Position: position, First: first, Last: last, Faults: c.p.report.Faults,
		})
	}
	err := s.read(ctx, first, last, reading{
		message: func(m message) error {
			digest(m.position, c.digest(m))
			if seen++; seen%progressEvery == 0 {
				tell(m.position)
			}
			return nil
		},
		gap: func(uint64, uint64) {},
	})
	if err == nil {
		tell(last)
	}
	return err
}

// digest is of all that a message is: its subject, its headers in any order, its payload,
// and its position.
func (c *comparison) digest(m message) uint64 {
	var headers uint64
	for name, values := range m.Header {
		for i, v := range values {
			headers += maphash.Comparable(c.seed, [2]uint64{maphash.String(c.seed, name) + uint64(i), maphash.String(c.seed, v)})
		}
	}
	return maphash.Comparable(c.seed, [4]uint64{m.position, maphash.String(c.seed, m.Subject), headers, maphash.Bytes(c.seed, m.Data)})
}

// lead makes a server the leader of the stream and waits until it has everything that is
// to be compared.
func (c *comparison) lead(ctx context.Context, server string) error {
	s := &source{att: c.p.att, stream: c.stream}
	for began := time.Now(); ; {
		info, err := s.info(ctx, "")
		if err != nil {
			return err
		}
		if info.Cluster != nil && info.Cluster.Leader == server && info.State.Last >= c.last {
			return nil
		}
		if time.Since(began) > patience {
			return fmt.Errorf("server %q did not become the leader within %s", server, patience)
		}
		if info.Cluster == nil || info.Cluster.Leader != server {
			// What it answers does not matter: whether it was done, the next look says.
			err = c.p.att.Request(ctx, "STREAM.LEADER.STEPDOWN."+c.stream, map[string]any{"placement": map[string]string{"preferred": server}}, nil)
			if errors.Is(err, enact.ErrNotPermitted) {
				return err
			}
		}
		if err := pause(ctx, 100*time.Millisecond); err != nil {
			return err
		}
	}
}
