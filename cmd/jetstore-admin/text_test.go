package main

import (
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/enactlog/enact"
)

func TestInline(t *testing.T) {
	for _, tt := range []struct{ in, want string }{
		{"", ""},
		{"plain text", "plain text"},
		{"  two\r\n lines\t", "two lines"},
		{"\x1b[2Jgone", `\x1b[2Jgone`},
		{"bell\a", `bell\a`},
		{"right\u202eleft", `right\u202eleft`},
		{"bad \xff utf-8", "bad � utf-8"},
		{"0123456789abcdefghijk", "0123456789abcdefghi…"},
		{"漢字漢字漢字漢字漢字漢字", "漢字漢字漢字漢字漢…"},
		{strings.Repeat("\x00", 1<<20), `\x00\x00\x00\x00\x0…`},
	} {
		require.Equal(t, tt.want, inline(tt.in, 20), "%.40q", tt.in)
	}
}

func TestName(t *testing.T) {
	for _, tt := range []struct{ in, want string }{
		{"exec_1", "exec_1"},
		{"büro 7.*>", "büro 7.*>"},
		{" x", `" x"`},
		{"", `""`},
		{`say "hi"`, `"say \"hi\""`},
		{"a\x1b[31m\n", `"a\x1b[31m\n"`},
	} {
		require.Equal(t, tt.want, name(enact.ExecutionID(tt.in)))
	}
}

func TestSpan(t *testing.T) {
	for _, tt := range []struct {
		in   time.Duration
		want string
	}{
		{0, "0s"},
		{1234 * time.Nanosecond, "1µs"},
		{1234567 * time.Nanosecond, "1.2ms"},
		{1234567 * time.Microsecond, "1.23s"},
		{90*time.Second + 400*time.Millisecond, "1m30s"},
	} {
		require.Equal(t, tt.want, span(tt.in))
	}
	require.Equal(t, "1.5s", millis(1500))
	require.Equal(t, "18446744073709551615ms", millis(1<<64-1))
}
