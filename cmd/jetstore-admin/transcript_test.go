package main

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// The session in docs/admin.md is what the commands print. -update writes it anew.
func TestTranscript(t *testing.T) {
	doc, err := filepath.Abs("../../docs/admin.md")
	require.NoError(t, err)
	text, err := os.ReadFile(doc)
	require.NoError(t, err)
	t.Chdir(t.TempDir())
	blocks := regexp.MustCompile("(?s)```console\n.*?```")
	require.NotEmpty(t, blocks.FindAll(text, -1))
	got := blocks.ReplaceAllStringFunc(string(text), func(block string) string {
		var out strings.Builder
		out.WriteString("```console\n")
		for line := range strings.SplitSeq(block, "\n") {
			if command, ok := strings.CutPrefix(line, "$ "); ok {
				out.WriteString(line + "\n" + play(t, command))
			}
		}
		return out.String() + "```"
	})
	if *update {
		require.NoError(t, os.WriteFile(doc, []byte(got), 0o600))
		return
	}
	require.Equal(t, normal(string(text)), normal(got))
}

// play runs one command and returns what a terminal would show, and its exit code
// unless that is 0.
func play(t *testing.T, command string) string {
	words := shellWords.FindAllString(command, -1)
	for i, w := range words {
		words[i] = strings.Trim(w, "'")
	}
	if dir, ok := strings.CutPrefix(command, "rm -r "); ok {
		require.NoError(t, os.RemoveAll(dir))
		return ""
	}
	require.Equal(t, programName, words[0])
	var out bytes.Buffer
	code := run(t.Context(), patient(words[1:]), strings.NewReader(""), &out, &out)
	if code != 0 {
		fmt.Fprintf(&out, "(exit code %d)\n", code)
	}
	return out.String()
}

// normal takes out what differs from one run to the next.
func normal(s string) string {
	for _, r := range []struct{ what, by string }{
		{`[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}`, "UUID"},
		{`\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z`, "TIME"},
		{`\b\d{16}\b`, "POSITION"},
		{`(?m)^(Chain +)[A-Za-z0-9_-]{43}$`, "${1}CHAIN"}, // it may begin and end with a dash
		{`[0-9.]+ [KMG]?i?B\b`, "SIZE"},
		{`=\d+B\b`, "=SIZE"},
	} {
		s = regexp.MustCompile(r.what).ReplaceAllString(s, r.by)
	}
	return s
}
