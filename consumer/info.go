package consumer

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
	"github.com/enactlog/enact/jetstore"
)

// Kind is what a consumer of the log's stream is for.
type Kind string

// Kinds of consumers.
const (
	KindTail   Kind = "tail"
	KindFollow Kind = "follow"
	KindGroup  Kind = "group"
	KindOther  Kind = "other" // not of this package
)

// Metadata of the consumers.
const (
	metaKind   = "enact.kind"
	metaLabel  = "enact.label"
	metaClient = "enact.client" // host:program[process]
	metaMode   = "enact.mode"
	metaRemade = "enact.remade" // a group that was removed under its members, and made again by one
)

// Info is what the server says of a consumer of the log's stream.
type Info struct {
	Name      string    `json:"name"`
	Kind      Kind      `json:"kind"`
	Mode      string    `json:"mode,omitempty"`   // of a group
	Label     string    `json:"label,omitempty"`  // see WithLabel
	Client    string    `json:"client,omitempty"` // host:program[process] of a Tail or Follow
	Subjects  []string  `json:"subjects"`         // that it is sent; none: the whole log
	Created   time.Time `json:"created"`
	Delivered uint64    `json:"delivered"` // position of the last record that was sent
	// Acknowledged is the position up to which everything is acknowledged; of a group.
	Acknowledged uint64    `json:"acknowledged"`
	Pending      uint64    `json:"pending"`     // records that it has not been sent
	InFlight     int       `json:"in_flight"`   // records that were sent and are not acknowledged; of a group
	Redelivered  int       `json:"redelivered"` // of these, those that were sent more than once
	Waiting      int       `json:"waiting"`     // requests for records that wait
	PausedUntil  time.Time `json:"paused_until,omitzero"`
	Pinned       bool      `json:"pinned,omitempty"` // an ordered group has an active member
}

// Lag returns how many records the consumer has still to be done with.
func (i Info) Lag() uint64 { return i.Pending + uint64(max(i.InFlight, 0)) }

// List returns the consumers of the log's stream, by name. Errors: enact.ErrNotPermitted,
// enact.ErrStreamNotFound, enact.ErrClosed, the context's, or the connection's.
func List(ctx context.Context, store *jetstore.Store) ([]Info, error) {
	var infos []Info
	err := manage(ctx, store, func(ctx context.Context, at site) error {
		infos = []Info{}
		for {
			var page struct {
				Total     int             `json:"total"`
				Consumers []*consumerInfo `json:"consumers"`
			}
			if err := at.Request(ctx, "CONSUMER.LIST."+at.stream, map[string]int{"offset": len(infos)}, &page); err != nil {
				return err
			}
			for _, c := range page.Consumers {
				info, err := c.info()
				if err != nil {
					return err
				}
				infos = append(infos, info)
			}
			if len(page.Consumers) == 0 || len(infos) >= page.Total {
				return nil
			}
		}
	})
	slices.SortFunc(infos, func(a, b Info) int { return cmp.Compare(a.Name, b.Name) })
	return infos, err
}

// Get returns what the server says of one consumer. Errors: [ErrNotFound], an
// [*enact.OptionError] for what no consumer is named, and those of [List].
func Get(ctx context.Context, store *jetstore.Store, name string) (info Info, err error) {
	if err := checkName(name); err != nil {
		return info, err
	}
	err = manage(ctx, store, func(ctx context.Context, at site) error {
		c, err := at.consumerInfo(ctx, name)
		if err == nil {
			info, err = c.info()
		}
		return err
	})
	return info, err
}

// Remove removes a consumer. A running Tail, Follow or member of a group makes itself
// another one; a group without members loses its position. Errors are those of [Get].
func Remove(ctx context.Context, store *jetstore.Store, name string) error {
	if err := checkName(name); err != nil {
		return err
	}
	tries := 0
	return manage(ctx, store, func(ctx context.Context, at site) error {
		err := named(at.Request(ctx, "CONSUMER.DELETE."+at.stream+"."+name, nil, nil), name)
		if tries++; tries > 1 && errors.Is(err, ErrNotFound) {
			return nil // removed by a try whose answer was lost
		}
		return err
	})
}

// Pause keeps a group from being sent anything until a time. What its members hold they
// finish. Errors: [ErrNotGroup] for a Tail or Follow, which would take a pause for a
// fault, an [*enact.OptionError] for a time that is past, and those of [Get].
func Pause(ctx context.Context, store *jetstore.Store, name string, until time.Time) error {
	if !until.After(time.Now()) {
		return invalid("until", "%s is past", until.UTC().Format(time.RFC3339))
	}
	return pauseUntil(ctx, store, name, until)
}

// Resume ends a pause. Errors are those of [Pause].
func Resume(ctx context.Context, store *jetstore.Store, name string) error {
	return pauseUntil(ctx, store, name, time.Time{})
}

func pauseUntil(ctx context.Context, store *jetstore.Store, name string, until time.Time) error {
	if err := checkName(name); err != nil {
		return err
	}
	return manage(ctx, store, func(ctx context.Context, at site) error {
		c, err := at.consumerInfo(ctx, name)
		if err != nil {
			return err
		}
		info, err := c.info()
		if err != nil {
			return err
		}
		if info.Kind != KindGroup {
			return fmt.Errorf("%w: %q", ErrNotGroup, name)
		}
		var body any
		if !until.IsZero() {
			body = map[string]time.Time{"pause_until": until.UTC()}
		}
		return named(at.Request(ctx, "CONSUMER.PAUSE."+at.stream+"."+name, body, nil), name)
	})
}

// checkName refuses names that would make another subject of a request.
func checkName(name string) error {
	if name == "" || len(name) > 255 || strings.ContainsAny(name, ".*> \t\r\n\f\x00") {
		return invalid("name", "%.100q is not the name of a consumer", name)
	}
	return nil
}

// manage runs one call on consumers, again while the servers have no leader.
func manage(ctx context.Context, store *jetstore.Store, f func(context.Context, site) error) error {
	att, err := store.Attach()
	if err != nil {
		return err
	}
	defer att.Close()
	return siteOf(att).manage(ctx, f)
}

func (s site) manage(ctx context.Context, f func(context.Context, site) error) error {
	ctx, cancel := bounded(ctx)
	defer cancel()
	_, err := retry(ctx, s, func() (struct{}, error) { return struct{}{}, f(ctx, s) })
	return err
}

// bounded gives ctx a deadline if it has none.
func bounded(ctx context.Context) (context.Context, context.CancelFunc) {
	if _, ok := ctx.Deadline(); ok {
		return context.WithCancel(ctx)
	}
	return context.WithTimeout(ctx, jetstore.DefaultTimeout)
}

// consumerInfo is the part of the server's consumer info that is looked at.
type consumerInfo struct {
	Name      string          `json:"name"`
	Created   time.Time       `json:"created"`
	Now       time.Time       `json:"ts"` // of the answer
	Config    json.RawMessage `json:"config"`
	Delivered struct {
		Stream   uint64 `json:"stream_seq"`
		Consumer uint64 `json:"consumer_seq"`
	} `json:"delivered"`
	AckFloor struct {
		Stream uint64 `json:"stream_seq"`
	} `json:"ack_floor"`
	InFlight    int    `json:"num_ack_pending"`
	Redelivered int    `json:"num_redelivered"`
	Waiting     int    `json:"num_waiting"`
	Pending     uint64 `json:"num_pending"`
	Paused      bool   `json:"paused"`
	Groups      []struct {
		Pinned string `json:"pinned_client_id"`
	} `json:"priority_groups"`
}

func (c *consumerInfo) config() (*jetstream.ConsumerConfig, error) {
	// encoding/json: the configuration's own types are written for it.
	cfg := new(jetstream.ConsumerConfig)
	if err := json.Unmarshal(c.Config, cfg); err != nil {
		return nil, fmt.Errorf("consumer: configuration of %s: %w", c.Name, err)
	}
	return cfg, nil
}

// acknowledged returns the position up to which everything is acknowledged. The server's
// own ack floor is 0 until something was.
func (c *consumerInfo) acknowledged(cfg *jetstream.ConsumerConfig) uint64 {
	floor := max(c.AckFloor.Stream, max(cfg.OptStartSeq, 1)-1)
	if c.InFlight == 0 {
		floor = max(floor, c.Delivered.Stream)
	}
	return floor
}

func (c *consumerInfo) info() (Info, error) {
	cfg, err := c.config()
	if err != nil {
		return Info{}, err
	}
	info := Info{
		Name: c.Name, Kind: KindOther, Mode: cfg.Metadata[metaMode], Label: cfg.Metadata[metaLabel], Client: cfg.Metadata[metaClient],
		Subjects: filtersOf(cfg), Created: c.Created, Delivered: c.Delivered.Stream, Acknowledged: c.acknowledged(cfg),
		Pending: c.Pending, InFlight: c.InFlight, Redelivered: c.Redelivered, Waiting: c.Waiting,
	}
	switch kind := Kind(cfg.Metadata[metaKind]); kind {
	case KindTail, KindFollow, KindGroup:
		info.Kind = kind
	}
	if c.Paused && cfg.PauseUntil != nil {
		info.PausedUntil = cfg.PauseUntil.UTC()
	}
	info.Pinned = len(c.Groups) > 0 && c.Groups[0].Pinned != ""
	return info, nil
}

func setFilters(cfg *jetstream.ConsumerConfig, filters []string) {
	if len(filters) == 1 {
		cfg.FilterSubject = filters[0]
	} else {
		cfg.FilterSubjects = filters
	}
}

func filtersOf(cfg *jetstream.ConsumerConfig) []string {
	if cfg.FilterSubject != "" {
		return []string{cfg.FilterSubject}
	}
	return slices.Sorted(slices.Values(cfg.FilterSubjects))
}

// createConsumer makes a consumer, or finds one of the same name and settings.
func (s site) createConsumer(ctx context.Context, cfg *jetstream.ConsumerConfig, action string) (*consumerInfo, error) {
	subject := "CONSUMER.CREATE." + s.stream + "." + cfg.Name
	if cfg.FilterSubject != "" {
		// Named there, it can be permitted or denied.
		subject += "." + cfg.FilterSubject
	}
	var info consumerInfo
	if err := s.Request(ctx, subject, map[string]any{"stream_name": s.stream, "config": cfg, "action": action}, &info); err != nil {
		return nil, s.namedStream(err)
	}
	return &info, nil
}

func (s site) consumerInfo(ctx context.Context, name string) (*consumerInfo, error) {
	var info consumerInfo
	if err := s.Request(ctx, "CONSUMER.INFO."+s.stream+"."+name, nil, &info); err != nil {
		return nil, s.namedStream(named(err, name))
	}
	return &info, nil
}

// named names the consumer that was not found.
func named(err error, name string) error {
	if hasCode(err, codeConsumerNotFound) {
		return fmt.Errorf("%w: %q", ErrNotFound, name)
	}
	return err
}

func (s site) namedStream(err error) error {
	if hasCode(err, codeStreamNotFound) {
		return fmt.Errorf("%w: %s", enact.ErrStreamNotFound, s.stream)
	}
	return err
}

// bound keeps the requests of p within what the server allows the consumer.
func (c *consumerInfo) bound(p *puller) error {
	cfg, err := c.config()
	if err != nil {
		return err
	}
	if cfg.MaxRequestBatch > 0 {
		p.batch = min(p.batch, cfg.MaxRequestBatch)
	}
	if cfg.MaxRequestMaxBytes > 0 {
		p.bytes = min(p.bytes, cfg.MaxRequestMaxBytes)
	}
	return nil
}
