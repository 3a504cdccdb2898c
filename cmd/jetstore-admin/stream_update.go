package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/nats-io/nats.go/jetstream"
	"github.com/spf13/cobra"

	"github.com/enactlog/enact"
	"github.com/enactlog/enact/jetstore"
)

func (a *app) streamUpdateCommand() *cobra.Command {
	var (
		tenant tenantFlag
		dryRun bool
	)
	cmd := &cobra.Command{
		Use:   "update SETTING=VALUE…",
		Short: "Change settings of the log's streams that keep every guarantee",
		Long: `Change settings of the log's stream and of its index:

  replicas=N                 1 to 5
  placement.cluster=NAME     which cluster holds the streams
  placement.tags=TAG,TAG     which servers; empty: any
  compression=s2 | none      of what is written from now on
  description=TEXT
  max_consumers=N            further consumers are refused; -1: unlimited

Each keeps what the log promises. Any other setting is refused, with the reason: most of
them delete events, sooner or later, and a stream's own protection does not prevent that.`,
		Example: `  jetstore-admin stream update --context production replicas=3 placement.tags=ssd
  jetstore-admin stream update --server nats://localhost:4222 compression=s2 --dry-run`,
		Args: takes(1, -1),
		RunE: a.do(func(ctx context.Context, _ *cobra.Command, args []string) error {
			return a.withSession(ctx, reads, func(s *session) error { return a.updateStreams(ctx, s, &tenant, args, dryRun) })
		}),
	}
	tenant.add(cmd, tenantOfStreams)
	cmd.Flags().BoolVar(&dryRun, "dry-run", false, "say what would change and change nothing")
	return cmd
}

// settings are those that may be changed: each makes the JSON of its value in the stream's
// configuration.
var settings = map[string]func(string) (any, error){
	"replicas":          func(v string) (any, error) { return number(v, 1, 5) },
	"placement.cluster": func(v string) (any, error) { return v, nil },
	"placement.tags": func(v string) (any, error) {
		if v == "" {
			return []string{}, nil
		}
		return strings.Split(v, ","), nil
	},
	"compression": func(v string) (any, error) {
		if v != "s2" && v != "none" {
			return nil, errors.New("must be s2 or none")
		}
		return v, nil
	},
	"description":   func(v string) (any, error) { return v, nil },
	"max_consumers": func(v string) (any, error) { return number(v, -1, 1<<31-1) },
}

func number(text string, least, most int) (any, error) {
	n, err := strconv.Atoi(text)
	if err != nil || n < least || n > most {
		return nil, fmt.Errorf("must be a number within %d to %d", least, most)
	}
	return n, nil
}

// change is a setting that differs, as printed.
type change struct {
	Stream  string          `json:"stream"`
	Setting string          `json:"setting"`
	From    json.RawMessage `json:"from"` // null: not set
	To      json.RawMessage `json:"to"`
}

func (a *app) updateStreams(ctx context.Context, s *session, tenant *tenantFlag, args []string, dryRun bool) error {
	found, want, err := s.streams(ctx, tenant)
	if err != nil {
		return err
	}
	var changes []change
	var bodies [2]map[string]json.RawMessage
	for i, st := range found {
		bodies[i] = maps.Clone(st.raw)
		for _, arg := range args {
			setting, value, ok := strings.Cut(arg, "=")
			if !ok {
				return usagef("%q is not SETTING=VALUE", arg)
			}
			made, err := apply(bodies[i], want[i], setting, value)
			if err != nil {
				return err
			}
			if string(made.From) != string(made.To) {
				made.Stream = st.Config.Name
				changes = append(changes, *made)
			}
		}
		// A stream that is broken already stays as it is: this is no way of mending it.
		if err := jetstore.CheckConfig(st.Config, want[i]); err != nil {
			return err
		}
	}
	if !dryRun {
		// An interrupt between the two would leave one of them changed.
		changing, cancel := a.bounded(context.WithoutCancel(ctx))
		defer cancel()
		for i, body := range bodies {
			if err := s.request(changing, "STREAM.UPDATE."+want[i].Name, body, nil); err != nil {
				return fmt.Errorf("update %s: %w", want[i].Name, err)
			}
		}
	}
	return a.printChanges(changes, dryRun)
}

// apply changes one setting of a configuration, or returns why it may not.
func apply(config map[string]json.RawMessage, want jetstream.StreamConfig, setting, value string) (*change, error) {
	parse, ok := settings[setting]
	if !ok {
		return nil, refuse(config, want, setting, value)
	}
	parsed, err := parse(value)
	if err != nil {
		return nil, usagef("%s=%s: %v", setting, value, err)
	}
	data, err := json.Marshal(parsed)
	if err != nil {
		return nil, err
	}
	key, sub, nested := strings.Cut(setting, ".")
	if !nested {
		had := config[setting]
		if setting == "replicas" {
			key = "num_replicas"
			had = config[key]
		}
		config[key] = data
		return &change{Setting: setting, From: orNull(had), To: data}, nil
	}
	inner := make(map[string]json.RawMessage)
	if len(config[key]) > 0 {
		if err := json.Unmarshal(config[key], &inner); err != nil {
			return nil, err
		}
	}
	had := orNull(inner[sub])
	inner[sub] = data
	if config[key], err = json.Marshal(inner); err != nil {
		return nil, err
	}
	return &change{Setting: setting, From: had, To: data}, nil
}

func orNull(data json.RawMessage) json.RawMessage {
	if len(data) == 0 {
		return json.RawMessage("null")
	}
	return data
}

// refuse says why a setting is not one that may be changed: what it would break, if it
// would break something.
func refuse(config map[string]json.RawMessage, want jetstream.StreamConfig, setting, value string) error {
	tried := maps.Clone(config)
	tried[setting] = json.RawMessage(value)
	if !json.Valid(tried[setting]) {
		tried[setting], _ = json.Marshal(value)
	}
	data, err := json.Marshal(tried)
	if err != nil {
		return err
	}
	var have jetstream.StreamConfig
	known := json.Unmarshal(data, &have) == nil
	if broken, ok := errors.AsType[*enact.StreamConfigError](jetstore.CheckConfig(have, want)); known && ok {
		for _, p := range broken.Problems {
			if p.Setting == setting {
				return fmt.Errorf("%s=%s is refused: it must be %s, so that %s", setting, value, p.Want, p.Why)
			}
		}
	}
	return fmt.Errorf("%s=%s is refused: it is not one of %s", setting, value, strings.Join(slices.Sorted(maps.Keys(settings)), ", "))
}

func (a *app) printChanges(changes []change, dryRun bool) error {
	if a.format != formatTable {
		return printList(a, changes, "", nil, nil)
	}
	if len(changes) == 0 {
		a.notice("nothing to change")
		return nil
	}
	would := ""
	if dryRun {
		would = " (not done)"
	}
	for _, c := range changes {
		if _, err := fmt.Fprintf(a.stdout, "%s: %s %s -> %s%s\n", c.Stream, c.Setting, c.From, c.To, would); err != nil {
			return err
		}
	}
	return nil
}
