package main

import (
	"bufio"
	"fmt"

	"github.com/jedib0t/go-pretty/v6/text"

	"github.com/enactlog/enact"
)

// eventsWriter writes events one by one in any format, in bounded memory.
type eventsWriter struct {
	out     *bufio.Writer
	format  format
	layout  string // of times in the table
	origin  origin // that the table shows
	colours palette

	buf []byte
	n   int
}

// origin says whose event each line of a table shows.
type origin int

const (
	originKnown     origin = iota // all events are one execution's
	originExecution               // one tenant's
	originTenant                  // of all tenants
)

// Widths of what shows an origin: ids made here fit.
const (
	tenantWidth    = 12
	executionWidth = 32
)

// columns returns what stands before an event.
func (o origin) columns(tenant, execution string) string {
	switch o {
	case originExecution:
		return fmt.Sprintf("%-*s  ", executionWidth, execution)
	case originTenant:
		return fmt.Sprintf("%-*s  %-*s  ", tenantWidth, tenant, executionWidth, execution)
	}
	return ""
}

func (a *app) newEventsWriter() *eventsWriter {
	return &eventsWriter{out: a.stdout, format: a.format, layout: clock, colours: a.colours}
}

// begin writes what stands before the first event.
func (w *eventsWriter) begin() error {
	var err error
	switch w.format {
	case formatTable:
		_, err = fmt.Fprintf(w.out, "%s%6s  %-*s  %-19s  %s\n", w.origin.columns("TENANT", "EXECUTION"), "SEQ", len(w.layout), "TIME", "TYPE", "SUMMARY")
	case formatJSON:
		err = w.out.WriteByte('[')
	}
	return err
}

// event writes one event.
func (w *eventsWriter) event(ev enact.StoredEvent) error {
	w.n++
	if w.format == formatTable {
		return w.row(ev)
	}
	line := w.buf[:0]
	if w.format == formatJSON {
		if w.n > 1 {
			line = append(line, ',')
		}
		line = append(line, '\n')
	}
	line, err := ev.AppendJSON(line)
	if err != nil {
		return err
	}
	if w.format == formatJSONL {
		line = append(line, '\n')
	}
	w.buf = line
	_, err = w.out.Write(line)
	return err
}

// row writes one event for people.
func (w *eventsWriter) row(ev enact.StoredEvent) error {
	kind := fmt.Sprintf("%-19s", inline(ev.Event.Type(), summaryWidth))
	said := summary(ev.Event)
	if said != "" {
		said = "  " + said
	} else {
		kind = inline(kind, summaryWidth)
	}
	_, err := fmt.Fprintf(w.out, "%s%6d  %s  %s%s\n", w.origin.columns(name(ev.TenantID), name(ev.ExecutionID)), ev.Sequence,
		w.colours.paint(text.Faint, stamp(ev.Timestamp, w.layout)), w.colours.paint(eventColour(ev.Event), kind), said)
	return err
}

// end writes what stands after the last event.
func (w *eventsWriter) end() error {
	if w.format != formatJSON {
		return nil
	}
	closing := "\n]\n"
	if w.n == 0 {
		closing = "]\n"
	}
	_, err := w.out.WriteString(closing)
	return err
}

func eventColour(event enact.Event) text.Color {
	switch event.(type) {
	case enact.StepCompleted, enact.ExecutionCompleted, enact.ToolCallCompleted:
		return text.FgGreen
	case enact.StepFailed, enact.ExecutionFailed, enact.ExecutionCancelled, enact.Unreadable:
		return text.FgRed
	case enact.ExecutionPaused, enact.ExecutionResumed, enact.StepDiscovered:
		return text.FgYellow
	}
	return text.FgCyan
}
