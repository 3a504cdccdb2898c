package main

import (
	"encoding/json"
	"fmt"
	"io"
	"strings"

	"github.com/jedib0t/go-pretty/v6/table"
	"github.com/spf13/cobra"
)

// format is how data is written.
type format int

const (
	formatTable format = iota // for people
	formatJSON                // one JSON value
	formatJSONL               // one JSON value a line, where there are several
)

var formatNames = [...]string{formatTable: "table", formatJSON: "json", formatJSONL: "jsonl"}

// String implements pflag.Value.
func (f *format) String() string { return formatNames[*f] }

// Set implements pflag.Value.
func (f *format) Set(s string) error {
	for i, name := range formatNames {
		if s == name {
			*f = format(i)
			return nil
		}
	}
	return fmt.Errorf("must be one of %s", strings.Join(formatNames[:], ", "))
}

// Type implements pflag.Value.
func (f *format) Type() string { return "format" }

// registerFormats makes the shell complete the values of --output.
func registerFormats(root *cobra.Command) {
	// The error is for a flag that does not exist.
	_ = root.RegisterFlagCompletionFunc("output", cobra.FixedCompletions(formatNames[:], cobra.ShellCompDirectiveNoFileComp))
}

// writeJSON writes v as the format says: indented, or on one line. Text keeps its
// '<', '>' and '&'.
func writeJSON(w io.Writer, f format, v any) error {
	enc := json.NewEncoder(w)
	enc.SetEscapeHTML(false)
	if f == formatJSON {
		enc.SetIndent("", "  ")
	}
	return enc.Encode(v)
}

// printList writes a list: as a JSON array, one JSON value a line, or a table with a row
// for each item. An empty table is the notice none.
func printList[T any](a *app, items []T, none string, header table.Row, row func(T) table.Row, columns ...table.ColumnConfig) error {
	switch a.format {
	case formatJSON:
		if items == nil {
			items = []T{}
		}
		return writeJSON(a.stdout, a.format, items)
	case formatJSONL:
		for _, item := range items {
			if err := writeJSON(a.stdout, a.format, item); err != nil {
				return err
			}
		}
		return nil
	}
	if len(items) == 0 {
		a.notice("%s", none)
		return nil
	}
	t := newTable()
	t.AppendHeader(header)
	t.SetColumnConfigs(columns)
	for _, item := range items {
		t.AppendRow(row(item))
	}
	_, err := a.stdout.WriteString(t.Render() + "\n")
	return err
}

// newTable returns a table without lines, two spaces between columns.
func newTable() table.Writer {
	t := table.NewWriter()
	style := table.StyleDefault
	style.Options = table.OptionsNoBordersAndSeparators
	style.Box.PaddingLeft, style.Box.PaddingRight = "", "  "
	t.SetStyle(style)
	t.SuppressTrailingSpaces()
	return t
}

// writePairs writes names and values, one pair a line, without the pairs whose value
// is empty.
func writePairs(w io.Writer, pairs [][2]string) error {
	t := newTable()
	for _, p := range pairs {
		if p[1] != "" {
			t.AppendRow(table.Row{p[0], p[1]})
		}
	}
	_, err := fmt.Fprintln(w, t.Render())
	return err
}
