// Sqlite keeps a table of what each execution has done in a SQLite database, live, and
// counts every event exactly once, whatever ends the program in between: a row of the
// table and the sequence of the event that it counts change in one transaction.
//
//	go run . -store ./data -db ./table.db
//
// The log is the directory's; with -server URL it is a server's.
package main

import (
	"context"
	"database/sql"
	"errors"
	"flag"
	"fmt"
	"log"
	"os"
	"os/signal"
	"time"

	_ "modernc.org/sqlite"

	"github.com/enactlog/enact"
	"github.com/enactlog/enact/consumer"
	"github.com/enactlog/enact/jetstore"
	"github.com/enactlog/enact/jetstore/embedded"
)

// progressEvery is how often the token is kept.
const progressEvery = time.Second

func main() {
	dir := flag.String("store", "", "directory of the log")
	server := flag.String("server", "", "URL of the server that holds the log")
	file := flag.String("db", "table.db", "database file")
	live := flag.Bool("f", false, "wait for events to come")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	if err := run(ctx, *dir, *server, *file, *live); err != nil {
		log.Fatal(err)
	}
}

func run(ctx context.Context, dir, server, file string, live bool) (err error) {
	var store *jetstore.Store
	if server != "" {
		store, err = jetstore.Connect(ctx, server)
	} else {
		store, err = embedded.Open(ctx, dir)
	}
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, store.Shutdown(context.WithoutCancel(ctx))) }()
	t, err := open(ctx, file)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, t.db.Close()) }()
	var opts []consumer.FollowOption
	if !live {
		opts = append(opts, consumer.UntilLive())
	}
	if err := t.follow(ctx, store, opts...); err != nil {
		return err
	}
	return t.print(context.WithoutCancel(ctx))
}

// table is a row for each execution. It is the checkpoint of its own handler.
type table struct{ db *sql.DB }

func open(ctx context.Context, file string) (*table, error) {
	// With synchronous=full a transaction that was committed outlives a power cut.
	db, err := sql.Open("sqlite", "file:"+file+"?_pragma=journal_mode(wal)&_pragma=synchronous(full)&_pragma=busy_timeout(5000)")
	if err != nil {
		return nil, err
	}
	db.SetMaxOpenConns(1) // SQLite has one writer at a time
	for _, statement := range []string{
		`create table if not exists executions (
			tenant    text not null,
			execution text not null,
			sequence  integer not null, -- of the last event that the row counts
			steps     integer not null,
			failures  integer not null,
			status    text not null,
			primary key (tenant, execution)
		) strict, without rowid`,
		`create table if not exists progress (
			one   integer primary key check (one = 1),
			token text not null
		) strict`,
	} {
		if _, err := db.ExecContext(ctx, statement); err != nil {
			return nil, errors.Join(err, db.Close())
		}
	}
	return &table{db: db}, nil
}

// follow keeps the table up to date. The token that it keeps only saves work: it may be
// behind what the rows count, and what comes again they leave out.
func (t *table) follow(ctx context.Context, store *jetstore.Store, opts ...consumer.FollowOption) error {
	opts = append(opts, consumer.WithCheckpoint(t), consumer.OnProgress(progressEvery, t.keep))
	var text string
	switch err := t.db.QueryRowContext(ctx, `select token from progress`).Scan(&text); {
	case err == nil:
		token, err := consumer.ParseToken(text)
		if err != nil {
			return err
		}
		opts = append(opts, consumer.FromToken(token))
	case !errors.Is(err, sql.ErrNoRows):
		return err
	}
	return consumer.Follow(ctx, store, consumer.Filter{}, t.handle, opts...)
}

// keep notes the point up to which everything is in the table.
func (t *table) keep(ctx context.Context, token consumer.Token) error {
	_, err := t.db.ExecContext(ctx, `insert into progress values (1, ?) on conflict do update set token = excluded.token`, token.String())
	return err
}

// handle counts an event. The condition makes it safe by itself: an event that the row
// counts already, or that would leave a gap, is an error and changes nothing.
func (t *table) handle(ctx context.Context, ev enact.StoredEvent) error {
	steps, failures, status := 0, 0, ""
	switch ev.Event.(type) {
	case enact.StepCompleted:
		steps = 1
	case enact.StepFailed:
		failures = 1
	case enact.ExecutionCompleted, enact.ExecutionFailed, enact.ExecutionCancelled:
		status = ev.Event.Type()
	}
	tx, err := t.db.BeginTx(ctx, nil)
	if err != nil {
		return err
	}
	defer func() { _ = tx.Rollback() }() // after a commit it does nothing
	if ev.Sequence == 1 {
		_, err := tx.ExecContext(ctx, `insert into executions values (?, ?, 0, 0, 0, 'running') on conflict do nothing`,
			string(ev.TenantID), string(ev.ExecutionID))
		if err != nil {
			return err
		}
	}
	result, err := tx.ExecContext(ctx, `update executions
		set sequence = ?3, steps = steps + ?4, failures = failures + ?5, status = coalesce(nullif(?6, ''), status)
		where tenant = ?1 and execution = ?2 and sequence = ?3 - 1`,
		string(ev.TenantID), string(ev.ExecutionID), int64(ev.Sequence), steps, failures, status)
	if err != nil {
		return err
	}
	switch n, err := result.RowsAffected(); {
	case err != nil:
		return err
	case n != 1:
		return fmt.Errorf("event %d of %s does not follow what the table has", ev.Sequence, ev.ExecutionID)
	}
	return tx.Commit()
}

// Done implements consumer.Checkpoint.
func (t *table) Done(ctx context.Context, ev enact.StoredEvent) (bool, error) {
	var sequence int64
	err := t.db.QueryRowContext(ctx, `select sequence from executions where tenant = ? and execution = ?`,
		string(ev.TenantID), string(ev.ExecutionID)).Scan(&sequence)
	if errors.Is(err, sql.ErrNoRows) {
		return false, nil
	}
	return err == nil && ev.Sequence <= uint64(sequence), err
}

// Save implements consumer.Checkpoint: the handler has done it.
func (t *table) Save(context.Context, enact.StoredEvent) error { return nil }

// print writes the table.
func (t *table) print(ctx context.Context) error {
	rows, err := t.db.QueryContext(ctx, `select tenant, execution, sequence, steps, failures, status from executions order by tenant, execution`)
	if err != nil {
		return err
	}
	defer func() { _ = rows.Close() }()
	for rows.Next() {
		var tenant, execution, status string
		var sequence, steps, failures int64
		if err := rows.Scan(&tenant, &execution, &sequence, &steps, &failures, &status); err != nil {
			return err
		}
		fmt.Printf("%s %s: %d events, %d steps done, %d failed, %s\n", tenant, execution, sequence, steps, failures, status)
	}
	return rows.Err()
}
