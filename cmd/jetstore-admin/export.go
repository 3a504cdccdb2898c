package main

import (
	"bufio"
	"context"
	"errors"
	"io"
	"io/fs"
	"math"
	"os"
	"path/filepath"
	"slices"
	"syscall"

	"github.com/spf13/cobra"

	"github.com/enactlog/enact/jetstore"
)

// exportFlags are the flags of export.
type exportFlags struct {
	tenant    tenantFlag
	file      string
	positions bool
}

func (a *app) exportCommand() *cobra.Command {
	var flags exportFlags
	cmd := &cobra.Command{
		Use:   "export [EXECUTION…]",
		Short: "Write executions as JSON lines, for import or another program",
		Long: `Write executions as JSON lines, one stored event a line: those named, or with
--tenant alone all of a tenant, oldest first. An import of the lines gives equal
events.`,
		Example: `  jetstore-admin export --store ./data exec_2yB8…
  jetstore-admin export --server nats://localhost:4222 --tenant acme --file acme.jsonl`,
		Args: cobra.ArbitraryArgs,
		RunE: a.doLong(func(ctx context.Context, cmd *cobra.Command, args []string) error {
			if len(args) == 0 && flags.tenant.id == "" {
				return usagef("what is to be exported? Name executions, or give --tenant for all of a tenant")
			}
			if cmd.Flags().Changed("output") && a.format != formatJSONL {
				return usagef("export writes jsonl only")
			}
			return a.withStore(ctx, reads, func(store *jetstore.Store) error {
				return a.export(ctx, store, args, &flags)
			})
		}),
	}
	flags.tenant.add(cmd, "tenant of the executions; alone: all its executions")
	cmd.Flags().StringVar(&flags.file, "file", "", "write to this file, which is replaced once all is written (default stdout)")
	cmd.Flags().BoolVar(&flags.positions, "positions", false, "write the events' positions in the stream too")
	return cmd
}

func (a *app) export(ctx context.Context, store *jetstore.Store, args []string, flags *exportFlags) error {
	runs, err := exported(ctx, store, args, flags)
	if err != nil {
		return err
	}
	bar := a.progress("executions", int64(len(runs)), countUnit)
	defer bar.end()
	events := 0
	write := func(w io.Writer) error {
		for _, run := range runs {
			n, err := exportTo(ctx, w, run, flags.positions)
			if err != nil {
				return err
			}
			events += n
			bar.add(1)
		}
		return nil
	}
	if flags.file == "" {
		err = write(a.stdout)
	} else {
		err = replaceFile(flags.file, write)
	}
	if err == nil {
		bar.end()
		a.notice("%s of %s exported", counted(events, "event"), counted(len(runs), "execution"))
	}
	return err
}

// exported returns the executions to export, each of which has events.
func exported(ctx context.Context, store *jetstore.Store, args []string, flags *exportFlags) ([]jetstore.Execution, error) {
	var runs []jetstore.Execution
	for _, arg := range args {
		id, err := executionArg(arg)
		if err != nil {
			return nil, err
		}
		head, err := flags.tenant.existing(ctx, store, id)
		if err != nil {
			return nil, err
		}
		runs = append(runs, store.Execution(head.TenantID, id))
	}
	if len(args) > 0 {
		return runs, nil
	}
	tenant, err := flags.tenant.required()
	if err != nil {
		return nil, err
	}
	ids, err := store.ListExecutions(ctx, tenant, math.MaxInt, 0)
	if err != nil {
		return nil, err
	}
	for _, id := range slices.Backward(ids) {
		runs = append(runs, store.Execution(tenant, id))
	}
	return runs, nil
}

// exportTo writes one execution and returns the number of its events.
func exportTo(ctx context.Context, w io.Writer, run jetstore.Execution, positions bool) (n int, err error) {
	var line []byte
	for ev, err := range run.Events(ctx, 0) {
		if err != nil {
			return n, err
		}
		if !positions {
			ev.Position = 0
		}
		if line, err = ev.AppendJSON(line[:0]); err != nil {
			return n, err
		}
		line = append(line, '\n')
		if _, err := w.Write(line); err != nil {
			return n, err
		}
		n++
	}
	return n, nil
}

// replaceFile writes a file beside path and puts it there once it is whole, so that
// half an export is never taken for one. Only the user may read it: agents' runs
// hold what they were told.
//
// Only a file is replaced: a link is followed to one, and what is none, as /dev/null or a
// named pipe, is written to.
func replaceFile(path string, write func(io.Writer) error) (err error) {
	if target, err := filepath.EvalSymlinks(path); err == nil {
		path = target
	}
	info, err := os.Stat(path)
	switch {
	case err == nil && info.IsDir():
		return &fs.PathError{Op: "write", Path: path, Err: syscall.EISDIR}
	case err == nil && !info.Mode().IsRegular():
		return writeTo(path, write)
	}
	f, err := os.CreateTemp(filepath.Dir(path), "."+filepath.Base(path)+".*")
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, os.Remove(f.Name()))
		}
	}()
	w := bufio.NewWriterSize(f, 64<<10)
	err = write(w)
	if err == nil {
		err = w.Flush()
	}
	if err == nil {
		err = f.Sync()
	}
	if closeErr := f.Close(); err == nil {
		err = closeErr
	}
	if err != nil {
		return err
	}
	return os.Rename(f.Name(), path)
}

// writeTo writes to something that is there and no file.
func writeTo(path string, write func(io.Writer) error) error {
	f, err := os.OpenFile(path, os.O_WRONLY, 0)
	if err != nil {
		return err
	}
	w := bufio.NewWriterSize(f, 64<<10)
	if err = write(w); err == nil {
		err = w.Flush()
	}
	return errors.Join(err, f.Close())
}
