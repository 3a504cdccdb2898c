package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"github.com/enactlog/enact"
	"github.com/enactlog/enact/jetstore"
)

// appendFlags are the flags of append.
type appendFlags struct {
	tenant tenantFlag
	expect uint64
	exists bool
	key    string
	meta   []string
	time   string
}

func (a *app) appendCommand() *cobra.Command {
	var flags appendFlags
	cmd := &cobra.Command{
		Use:   "append EXECUTION [EVENT | -]",
		Short: "Append an event, or a batch of events, to an execution",
		Long: `Append an event, or a batch of events, to an execution, which need not exist.

EVENT is the JSON of one event, or an array of events; without it, or with "-",
events are read from standard input, one JSON value after another. All are stored,
next to each other, or none is. EXECUTION may be "new", which makes an id.`,
		Example: `  jetstore-admin append --store ./data --tenant acme new '{"type":"execution_started"}'
  jetstore-admin append --store ./data --tenant acme exec_2yB8… --expect 3 '{"type":"execution_resumed"}'
  jetstore-admin append --store ./data --tenant acme exec_2yB8… --key job-17 < events.jsonl`,
		Args: takes(1, 2),
		RunE: a.do(func(ctx context.Context, cmd *cobra.Command, args []string) error {
			batch, err := flags.batch(args[0], cmd.Flags().Changed("expect"))
			if err != nil {
				return err
			}
			if batch.Events, err = a.readEvents(ctx, args[1:]); err != nil {
				return err
			}
			return a.withStore(ctx, writes, func(store *jetstore.Store) error {
				if a.connection.perTenant && a.connection.store != "" {
					if err := store.EnsureTenant(ctx, batch.TenantID); err != nil {
						return err
					}
				}
				receipt, err := store.Commit(ctx, batch)
				if err != nil {
					return err
				}
				return a.printReceipt(batch, receipt)
			})
		}),
	}
	flags.tenant.add(cmd, "tenant of the execution (required)")
	cmd.Flags().Uint64Var(&flags.expect, "expect", 0, "append only if the last sequence is `N`; 0: if the execution does not exist")
	cmd.Flags().BoolVar(&flags.exists, "expect-exists", false, "append only if the execution exists")
	cmd.Flags().StringVar(&flags.key, "key", "", "idempotency key: the same append with the same key is stored once")
	cmd.Flags().StringArrayVar(&flags.meta, "meta", nil, "metadata `key=value` of the events, may be repeated")
	cmd.Flags().StringVar(&flags.time, "time", "", "time of the events, RFC 3339 (default now)")
	exclusive(cmd, "expect", "expect-exists")
	return cmd
}

// batch makes the append that the flags describe, without its events.
func (f *appendFlags) batch(execution string, expectSequence bool) (enact.Batch, error) {
	var none enact.Batch
	id := enact.NewExecutionID()
	if execution != "new" {
		var err error
		if id, err = executionArg(execution); err != nil {
			return none, err
		}
	}
	tenant, err := f.tenant.required()
	if err != nil {
		return none, err
	}
	o := enact.AppendOptions{IdempotencyKey: f.key}
	switch {
	case expectSequence:
		o.Expect = enact.Expectation{Kind: enact.ExactSequence, Sequence: f.expect}
	case f.exists:
		o.Expect = enact.Expectation{Kind: enact.MustExist}
	}
	for _, pair := range f.meta {
		key, value, ok := strings.Cut(pair, "=")
		if !ok {
			return none, usagef("--meta %q is not key=value", pair)
		}
		if o.Metadata == nil {
			o.Metadata = make(map[string]string)
		}
		o.Metadata[key] = value
	}
	if f.time != "" {
		if o.Timestamp, err = enact.ParseTime(f.time); err != nil {
			return none, usagef("--time %q: %v", f.time, err)
		}
	}
	return enact.Batch{TenantID: tenant, ExecutionID: id, Options: o}, nil
}

// readEvents reads the events of the arguments, or of stdin.
func (a *app) readEvents(ctx context.Context, args []string) ([]enact.Event, error) {
	if len(args) > 0 && args[0] != "-" {
		return parseEvents(strings.NewReader(args[0]))
	}
	in := a.input(ctx)
	defer in.Close()
	return parseEvents(in)
}

// parseEvents reads JSON values, each an event or an array of events.
func parseEvents(in io.Reader) ([]enact.Event, error) {
	var events []enact.Event
	dec := json.NewDecoder(in)
	for {
		var value json.RawMessage
		if err := dec.Decode(&value); errors.Is(err, io.EOF) {
			break
		} else if err != nil {
			return nil, fmt.Errorf("event %d: %w", len(events)+1, err)
		}
		values := []json.RawMessage{value}
		if value[0] == '[' {
			if err := json.Unmarshal(value, &values); err != nil {
				return nil, err
			}
		}
		for _, v := range values {
			e, err := enact.ParseEvent(v)
			if err != nil {
				return nil, fmt.Errorf("event %d: %w", len(events)+1, err)
			}
			events = append(events, e)
		}
	}
	return events, nil
}

// receiptInfo is the receipt of an append, as printed.
type receiptInfo struct {
	ExecutionID enact.ExecutionID `json:"execution_id"`
	TenantID    enact.TenantID    `json:"tenant_id"`
	First       uint64            `json:"first"`
	Last        uint64            `json:"last"`
	Position    uint64            `json:"position"`
	Chain       enact.Chain       `json:"chain"`
	Duplicate   bool              `json:"duplicate"`
}

func (a *app) printReceipt(b enact.Batch, r enact.Receipt) error {
	if a.format != formatTable {
		return writeJSON(a.stdout, a.format, receiptInfo{
			ExecutionID: b.ExecutionID, TenantID: b.TenantID, First: r.First, Last: r.Last,
			Position: r.Position, Chain: r.Chain, Duplicate: r.Duplicate,
		})
	}
	pairs := [][2]string{
		{"Execution", name(b.ExecutionID)},
		{"Tenant", name(b.TenantID)},
		{"First", strconv.FormatUint(r.First, 10)},
		{"Last", strconv.FormatUint(r.Last, 10)},
		{"Position", strconv.FormatUint(r.Position, 10)},
		{"Chain", r.Chain.String()},
	}
	if r.Duplicate {
		pairs = append(pairs, [2]string{"Duplicate", "the key was known: nothing was stored"})
	}
	return writePairs(a.stdout, pairs)
}
