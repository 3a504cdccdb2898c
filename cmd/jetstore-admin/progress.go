package main

import (
	"time"

	"github.com/dustin/go-humanize"
	"github.com/jedib0t/go-pretty/v6/progress"
)

// bar shows how far a long command is: on stderr, if that is a terminal. Its methods may
// be called on a nil bar, which shows nothing, and from any goroutine.
type bar struct {
	writer  progress.Writer
	tracker *progress.Tracker
	done    chan struct{}
}

// Units of a bar.
var (
	countUnit = progress.Units{Formatter: humanize.Comma}
	bytesUnit = progress.Units{Formatter: func(n int64) string { return humanize.IBytes(uint64(max(n, 0))) }}
)

// progress begins a bar, which must be ended. total is 0 where it is not known.
func (a *app) progress(title string, total int64, unit progress.Units) *bar {
	if !isTerminal(a.stderr) {
		return nil
	}
	b := &bar{
		writer:  progress.NewWriter(),
		tracker: &progress.Tracker{Message: title, Total: total, Units: unit, RemoveOnCompletion: true},
		done:    make(chan struct{}),
	}
	b.writer.SetOutputWriter(a.stderr)
	b.writer.SetUpdateFrequency(100 * time.Millisecond)
	b.writer.SetTrackerLength(24)
	b.writer.Style().Visibility.ETA = total > 0
	b.writer.Style().Visibility.Percentage = total > 0
	b.writer.Style().Visibility.TrackerOverall = false
	b.writer.Style().Visibility.Speed = true
	b.writer.AppendTracker(b.tracker)
	go func() {
		defer close(b.done)
		b.writer.Render()
	}()
	return b
}

// add says that n more are done.
func (b *bar) add(n int) {
	if b != nil {
		b.tracker.Increment(int64(n))
	}
}

// set says that n are done in all.
func (b *bar) set(n int64) {
	if b != nil {
		b.tracker.SetValue(n)
	}
}

// end takes the bar away and waits until nothing is written any more.
func (b *bar) end() {
	if b == nil {
		return
	}
	b.tracker.MarkAsDone()
	for {
		// One that comes before the rendering has begun is lost.
		b.writer.Stop()
		select {
		case <-b.done:
			return
		case <-time.After(10 * time.Millisecond):
		}
	}
}
