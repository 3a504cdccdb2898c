package doctor

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/enactlog/enact"
	"github.com/enactlog/enact/internal/ask"
	"github.com/enactlog/enact/jetstore"
)

// examination is what the checks share.
type examination struct {
	Patient
	base    jetstore.Layout // of the whole log
	layout  jetstore.Layout // of what is looked at
	servers serverSet
	streams []*stream
	lost    error // why the streams are not known

	all    []jetstream.StreamConfig // of the account, as they were at the beginning
	allErr error                    // why they are not known

	left error // why scratch streams stay; nil: none do
}

// stream is one of the log's streams as its leader describes it.
type stream struct {
	jetstore.StreamLayout
	tenant  enact.TenantID // whose it is; "": everybody's
	err     error          // why the rest is not known
	config  jetstream.StreamConfig
	info    streamInfo
	reading reading // of the leader's clock
}

// streamInfo is the part of STREAM.INFO that is looked at (server/stream.go, StreamInfo).
type streamInfo struct {
	Config  json.RawMessage `json:"config"`
	Now     time.Time       `json:"ts"`
	Cluster *struct {
		Name     string `json:"name"`
		Leader   string `json:"leader"`
		Replicas []peer `json:"replicas"`
	} `json:"cluster"`
	State struct {
		Bytes uint64 `json:"bytes"`
	} `json:"state"`
}

// peer is a replica that is not the leader.
type peer struct {
	Name    string        `json:"name"`
	Current bool          `json:"current"`
	Offline bool          `json:"offline"`
	Active  time.Duration `json:"active"` // since it was last heard of
	Lag     uint64        `json:"lag"`    // operations
}

// reading is a clock as it was read over a connection.
type reading struct {
	of            string
	ahead, within time.Duration // of ours, give or take
}

// readClock places a time that an answer bears in the time that the answer took.
func readClock(of string, now, asked, answered time.Time) reading {
	half := answered.Sub(asked) / 2
	return reading{of: of, ahead: now.Sub(asked.Add(half)).Round(time.Millisecond), within: half}
}

func newExamination(p Patient) (*examination, error) {
	base, err := jetstore.LayoutOf("", p.Options...)
	if err != nil {
		return nil, err
	}
	layout, err := jetstore.LayoutOf(p.Tenant, p.Options...)
	if err != nil {
		return nil, err
	}
	switch p.Role {
	case "", jetstore.RoleReader, jetstore.RoleWriter, jetstore.RoleOperator:
	default:
		return nil, &enact.OptionError{Option: "role", Reason: fmt.Sprintf("%.50q is no role", string(p.Role))}
	}
	p.Lag = cmp.Or(p.Lag, DefaultLag)
	p.Patience = cmp.Or(p.Patience, defaultPatience)
	return &examination{Patient: p, base: base, layout: layout}, nil
}

// request sends a request of JetStream's API, as [ask.JSON] does.
func (x *examination) request(ctx context.Context, subject string, body, into any) error {
	return ask.JSON(ctx, x.Conn, x.layout.APIPrefix+"."+subject, body, into)
}

// look gathers what more than one check needs.
func (x *examination) look(ctx context.Context) {
	x.findServers(ctx)
	x.all, x.allErr = x.listStreams(ctx)
	layouts := map[enact.TenantID]jetstore.Layout{x.Tenant: x.layout}
	if x.layout.PerTenant {
		if x.lost = x.allErr; x.lost != nil {
			return
		}
		layouts = x.tenantLayouts()
	}
	for tenant, l := range layouts {
		for _, sl := range []jetstore.StreamLayout{l.Log, l.Index} {
			s := &stream{StreamLayout: sl, tenant: tenant}
			s.err = x.describe(ctx, s)
			x.streams = append(x.streams, s)
		}
	}
	slices.SortStableFunc(x.streams, func(a, b *stream) int { return strings.Compare(string(a.tenant), string(b.tenant)) })
}

// tenantLayouts returns where the tenants' logs are.
func (x *examination) tenantLayouts() map[enact.TenantID]jetstore.Layout {
	layouts := make(map[enact.TenantID]jetstore.Layout)
	for _, c := range x.all {
		if !strings.HasPrefix(c.Name, x.layout.Index.Name+"-") || len(c.Subjects) != 1 {
			continue
		}
		tenant, err := x.layout.Subjects.ParseIndex(c.Subjects[0])
		if err != nil {
			continue // of another log
		}
		if l, err := jetstore.LayoutOf(tenant, x.Options...); err == nil && l.Index.Name == c.Name {
			layouts[tenant] = l
		}
	}
	return layouts
}

// listStreams returns the configurations of all streams of the account.
func (x *examination) listStreams(ctx context.Context) ([]jetstream.StreamConfig, error) {
	var all []jetstream.StreamConfig
	for {
		var page struct {
			Total   int `json:"total"`
			Streams []struct {
				Config jetstream.StreamConfig `json:"config"`
			} `json:"streams"`
		}
		if err := x.request(ctx, "STREAM.LIST", map[string]int{"offset": len(all)}, &page); err != nil {
			return nil, err
		}
		for _, s := range page.Streams {
			all = append(all, s.Config)
		}
		if len(page.Streams) == 0 || len(all) >= page.Total {
			return all, nil
		}
	}
}

// describe asks the stream's leader for what it is.
func (x *examination) describe(ctx context.Context, s *stream) error {
	asked := time.Now()
	err := x.request(ctx, "STREAM.INFO."+s.Name, nil, &s.info)
	answered := time.Now()
	if apiErr, ok := errors.AsType[*jetstream.APIError](err); ok && apiErr.ErrorCode == jetstream.JSErrCodeStreamNotFound {
		return fmt.Errorf("%w: %s", enact.ErrStreamNotFound, s.Name)
	}
	if err != nil {
		return err
	}
	if !s.info.Now.IsZero() {
		s.reading = readClock(s.leader(), s.info.Now, asked, answered)
	}
	return json.Unmarshal(s.info.Config, &s.config)
}

// leader returns the name of the server that leads the stream.
func (s *stream) leader() string {
	if s.info.Cluster == nil {
		return ""
	}
	return s.info.Cluster.Leader
}

// holders returns the names of the servers that hold the stream.
func (s *stream) holders() []string {
	var names []string
	if c := s.info.Cluster; c != nil {
		if c.Leader != "" {
			names = append(names, c.Leader)
		}
		for _, r := range c.Replicas {
			names = append(names, r.Name)
		}
	}
	return names
}

// each makes the findings of a check that looks at each stream. Streams of which the same
// is true share a finding; of those that are not known it says why not.
func (x *examination) each(check string, look func(*stream) Finding) []Finding {
	if x.lost != nil {
		return []Finding{{
			Check: check, Status: Unknown, Found: "the tenants' streams are not known: " + ask.Why(x.lost),
			Mend: "give a connection that may list streams, or name a tenant",
		}}
	}
	var found []Finding
	names := make(map[Finding][]string)
	for _, s := range x.streams {
		var f Finding
		switch {
		case s.err == nil:
			f = look(s)
		case errors.Is(s.err, enact.ErrStreamNotFound) && check == checkSettings:
			f = Finding{
				Status: Fail, Found: "there is no such stream", Means: "there is no log to open, or it cannot be listed",
				Mend: "see whether this is the server, the account and the --stream that is meant; stream create makes what is missing, fsck --repair fills an index",
			}
		case errors.Is(s.err, enact.ErrStreamNotFound):
			f = Finding{Status: Unknown, Found: "there is no such stream"}
		default:
			f = Finding{Status: Unknown, Found: ask.Why(s.err)}
		}
		f.Check = check
		if names[f] = append(names[f], s.Name); len(names[f]) == 1 {
			found = append(found, f)
		}
	}
	for i, f := range found {
		found[i].Found = few(names[f]) + ": " + f.Found
	}
	return found
}

// few names the first of many.
func few(names []string) string {
	const most = 4
	if len(names) <= most {
		return strings.Join(names, ", ")
	}
	return fmt.Sprintf("%s and %d more", strings.Join(names[:most], ", "), len(names)-most)
}
