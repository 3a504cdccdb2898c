package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/jedib0t/go-pretty/v6/text"
	"github.com/spf13/cobra"
	"golang.org/x/term"
)

// isTerminal reports whether a stream is a terminal, and not a file, a pipe, /dev/null or
// something of a test's.
func isTerminal(stream any) bool {
	f, ok := stream.(*os.File)
	return ok && term.IsTerminal(int(f.Fd()))
}

// colorMode is when output is coloured.
type colorMode int

const (
	colorAuto   colorMode = iota // on a terminal, unless NO_COLOR or TERM=dumb
	colorAlways                  // also in a pipe, and whatever the environment says
	colorNever
)

var colorModes = [...]string{colorAuto: "auto", colorAlways: "always", colorNever: "never"}

// String implements pflag.Value.
func (m *colorMode) String() string { return colorModes[*m] }

// Set implements pflag.Value.
func (m *colorMode) Set(s string) error {
	for i, name := range colorModes {
		if s == name {
			*m = colorMode(i)
			return nil
		}
	}
	return fmt.Errorf("must be one of %s", strings.Join(colorModes[:], ", "))
}

// Type implements pflag.Value.
func (m *colorMode) Type() string { return "when" }

// registerColors makes the shell complete the values of --color.
func registerColors(root *cobra.Command) {
	// The error is for a flag that does not exist.
	_ = root.RegisterFlagCompletionFunc("color", cobra.FixedCompletions(colorModes[:], cobra.ShellCompDirectiveNoFileComp))
}

// palette colours text. The zero palette leaves it as it is.
type palette struct{ on bool }

// newPalette returns the colours for what is written to w. NO_COLOR counts if it is set
// and not empty (no-color.org).
func newPalette(mode colorMode, w io.Writer, getenv func(string) string) palette {
	switch mode {
	case colorAlways:
		return palette{on: true}
	case colorNever:
		return palette{}
	}
	return palette{on: isTerminal(w) && getenv("NO_COLOR") == "" && getenv("TERM") != "dumb"}
}

func (p palette) paint(c text.Color, s string) string {
	if !p.on || s == "" {
		return s
	}
	return text.Escape(s, c.EscapeSeq())
}

// confirm asks the user to type answer, in words as in `Type "ENACT" to go on`, and
// returns an error for anything else. Without a terminal nobody can answer: then it is a
// usage error, which names the flag that does without.
func (a *app) confirm(ctx context.Context, question, answer, flag string) error {
	if !isTerminal(a.stdin) {
		return usagef("this has to be confirmed, and there is no terminal to ask on: give --%s", flag)
	}
	if _, err := fmt.Fprintf(a.stderr, "%s\nType %q to go on: ", question, answer); err != nil {
		return err
	}
	in := a.input(ctx)
	defer in.Close()
	line, err := bufio.NewReader(in).ReadString('\n')
	if err != nil && !errors.Is(err, io.EOF) {
		return err
	}
	if strings.TrimSpace(line) != answer {
		return errors.New("not confirmed: nothing was done")
	}
	return nil
}
