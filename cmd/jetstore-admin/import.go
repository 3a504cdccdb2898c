package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/dustin/go-humanize"
	"github.com/dustin/go-humanize/english"
	"github.com/spf13/cobra"

	"github.com/enactlog/enact/jetstore"
)

func (a *app) importCommand() *cobra.Command {
	var dryRun bool
	cmd := &cobra.Command{
		Use:   "import FILE…",
		Short: "Store executions from files of JSON lines",
		Long: `Store executions from files of JSON lines, one stored event a line, as export
writes them. "-" is standard input.

Sequences, times and metadata are kept; positions are given anew. The lines of an
execution must continue what the log holds of it: a gap is an error. A line whose
event the log already has is compared with it: equal ones are passed over, a
different one is an error. So an import can be repeated, and one that was
interrupted goes on where it stood.

Where each tenant has streams, those of --store are made if they are missing; on a
server they must exist.

At the first line that is wrong the import stops. What stands before that line is
stored then; of other executions, lines shortly after it may be too. Memory is
bounded by the number of executions, not by the size of the files.`,
		Example: `  jetstore-admin import --store ./data runs.jsonl
  jetstore-admin import --store ./data --dry-run a.jsonl b.jsonl
  zcat runs.jsonl.gz | jetstore-admin import --server nats://localhost:4222 -`,
		Args: takes(1, -1),
		RunE: a.doLong(func(ctx context.Context, _ *cobra.Command, args []string) error {
			return a.withStore(ctx, writes, func(store *jetstore.Store) error {
				imp := newImporter(store, dryRun)
				imp.perTenant, imp.makesTenants = a.connection.perTenant, a.connection.store != ""
				bar := a.progress("import", sizeOf(args), bytesUnit)
				err := a.importFiles(ctx, imp, args, bar)
				bar.end()
				a.reportImport(imp, err)
				if err == nil && a.format != formatTable {
					err = writeJSON(a.stdout, a.format, imp.report())
				}
				return err
			})
		}),
	}
	cmd.Flags().BoolVar(&dryRun, "dry-run", false, "check the files against the log, store nothing")
	return cmd
}

// importFiles imports the files in turn, and ends with what is still to be stored.
func (a *app) importFiles(ctx context.Context, imp *importer, files []string, bar *bar) error {
	for _, file := range files {
		if err := a.importFile(ctx, imp, file, bar); err != nil {
			// What stands before the bad line is stored all the same.
			return earliest(err, imp.flushAll(ctx))
		}
	}
	return imp.flushAll(ctx)
}

func (a *app) importFile(ctx context.Context, imp *importer, file string, bar *bar) error {
	in, err := a.openInput(ctx, file)
	if err != nil {
		return err
	}
	defer in.Close()
	if file == "-" {
		file = "stdin"
	}
	lines := newLineReader(file, counting{in, bar})
	for {
		at, line, err := lines.next()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		if err := ctx.Err(); err != nil {
			return err
		}
		if err := imp.line(ctx, at, line); err != nil {
			return err
		}
	}
}

// counting shows on a bar how much was read.
type counting struct {
	io.Reader
	bar *bar
}

func (c counting) Read(b []byte) (int, error) {
	n, err := c.Reader.Read(b)
	c.bar.add(n)
	return n, err
}

// sizeOf returns the bytes of the files together, 0 if that is not known.
func sizeOf(files []string) (total int64) {
	for _, file := range files {
		info, err := os.Stat(file)
		if err != nil || !info.Mode().IsRegular() {
			return 0
		}
		total += info.Size()
	}
	return total
}

// importReport is the outcome of an import.
type importReport struct {
	Stored       int  `json:"stored"`
	AlreadyThere int  `json:"already_there"`
	Executions   int  `json:"executions"`
	DryRun       bool `json:"dry_run"`
}

// reportImport says how far the import came, also when it failed with err.
func (a *app) reportImport(imp *importer, err error) {
	r := imp.report()
	verb := "stored"
	if r.DryRun {
		verb = "to be stored"
	}
	a.notice("%s %s, %s already there, in %s", counted(r.Stored, "event"), verb,
		humanize.Comma(int64(r.AlreadyThere)), counted(r.Executions, "execution"))
	if _, bad := errors.AsType[*lineError](err); err != nil && !r.DryRun && (!bad || a.interrupt.Err() != nil) {
		a.notice("Import the same files again to go on: what is stored is passed over.")
	}
}

func counted(n int, noun string) string {
	return fmt.Sprintf("%s %s", humanize.Comma(int64(n)), english.PluralWord(n, noun, ""))
}
