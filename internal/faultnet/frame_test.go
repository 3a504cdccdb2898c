package faultnet

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"
)

// frameTexts are frames of every shape, with what they say.
var frameTexts = []struct {
	text string
	want frame // op, names and size of headers
}{
	{"INFO {\"server_id\":\"x\"}\r\n", frame{op: "INFO"}},
	{"CONNECT {\"verbose\":false}\r\n", frame{op: "CONNECT"}},
	{"PING\r\n", frame{op: "PING"}},
	{"+OK\r\n", frame{op: "+OK"}},
	{"-ERR 'Unknown Protocol Operation'\r\n", frame{op: "-ERR"}},
	{"SUB a.* 1\r\n", frame{op: "SUB"}},
	{"UNSUB 1 5\r\n", frame{op: "UNSUB"}},
	{"PUB a 0\r\n\r\n", frame{op: "PUB", subject: "a"}},
	{"pub a  reply   5\r\nhello\r\n", frame{op: "PUB", subject: "a", reply: "reply"}},
	{"PUB a 12\r\nPUB b 1\r\nx\r\n\r\n", frame{op: "PUB", subject: "a"}}, // a payload that looks like frames
	{"HPUB a r 12 17\r\nNATS/1.0\r\n\r\nhello\r\n", frame{op: "HPUB", subject: "a", reply: "r", headers: 12}},
	{"MSG a 9 2\r\nhi\r\n", frame{op: "MSG", subject: "a", sid: "9"}},
	{"MSG a 9 r 2\r\nhi\r\n", frame{op: "MSG", subject: "a", sid: "9", reply: "r"}},
	{"HMSG a 9 17 19\r\nNATS/1.0\r\nA:b\r\n\r\n\r\n\r\n", frame{op: "HMSG", subject: "a", sid: "9", headers: 17}},
	{"PUB big 2000000\r\n" + strings.Repeat("\r\n", 1_000_000) + "\r\n", frame{op: "PUB", subject: "big"}},
}

func readAll(t require.TestingT, r io.Reader) (frames []frame) {
	for b := bufio.NewReaderSize(r, 64); ; {
		f, err := readFrame(b)
		if err == io.EOF {
			return frames
		}
		require.NoError(t, err)
		frames = append(frames, f)
	}
}

// Frames are whole however the network cuts the stream into reads.
func TestFramesAreReadWholeFromAnyReads(t *testing.T) {
	var stream bytes.Buffer
	for _, c := range frameTexts {
		stream.WriteString(c.text)
	}
	check := func(t require.TestingT, r io.Reader) {
		frames := readAll(t, r)
		require.Len(t, frames, len(frameTexts))
		for i, f := range frames {
			c := frameTexts[i]
			require.True(t, c.text == string(f.raw), "frame %d", i) // no diff of megabytes
			f.raw, f.line = nil, 0
			require.Equal(t, c.want, f)
		}
	}
	check(t, bytes.NewReader(stream.Bytes()))
	check(t, iotest.OneByteReader(bytes.NewReader(stream.Bytes())))
	check(t, iotest.DataErrReader(bytes.NewReader(stream.Bytes())))
	rapid.Check(t, func(rt *rapid.T) {
		cuts := rapid.SliceOfN(rapid.IntRange(1, 4000), 1, 50).Draw(rt, "reads")
		check(rt, &chunks{rest: stream.Bytes(), sizes: cuts})
	})
}

// chunks gives its bytes in reads of the given sizes, over and over.
type chunks struct {
	rest  []byte
	sizes []int
	n     int
}

func (c *chunks) Read(p []byte) (int, error) {
	if len(c.rest) == 0 {
		return 0, io.EOF
	}
	n := copy(p, c.rest[:min(len(c.rest), c.sizes[c.n%len(c.sizes)])])
	c.rest, c.n = c.rest[n:], c.n+1
	return n, nil
}

func TestWhatIsNoFrameIsRefused(t *testing.T) {
	for name, text := range map[string]string{
		"no size":                     "PUB a\r\n",
		"too many names":              "PUB a b c 1\r\nx\r\n",
		"a message without its sid":   "MSG a 1\r\nx\r\n",
		"size is no number":           "PUB a x\r\n",
		"negative size":               "PUB a -1\r\n",
		"absurd size":                 "PUB a 99999999999\r\n",
		"headers larger than all":     "HPUB a 20 10\r\n0123456789\r\n",
		"negative headers":            "HPUB a -1 0\r\n\r\n",
		"payload longer than it says": "PUB a 1\r\nxyz\r\n",
		"end inside a payload":        "PUB a 10\r\nxyz",
		"end before a payload":        "PUB a 10\r\n",
		"end inside a line":           "PIN",
		"endless line":                strings.Repeat("x", maxLine+100),
	} {
		_, err := readFrame(bufio.NewReader(strings.NewReader(text)))
		require.Error(t, err, name)
		require.NotErrorIs(t, err, io.EOF, name)
	}
}

func TestHeadersAreFoundInTheHeaderBlockOnly(t *testing.T) {
	block, payload := "NATS/1.0\r\nNats-Batch-Id: xyz\r\n\r\n", "\r\nNats-Batch-Commit: 1"
	text := fmt.Sprintf("HPUB a %d %d\r\n%s%s\r\n", len(block), len(block)+len(payload), block, payload)
	f, err := readFrame(bufio.NewReader(strings.NewReader(text)))
	require.NoError(t, err)
	require.True(t, f.has("Nats-Batch-Id"))
	require.False(t, f.has("Nats-Batch-Commit"), "that is payload")
	require.False(t, f.has("Nats-Batch"))
}

// No input makes the reader panic, and what it reads is what came.
func FuzzReadFrame(f *testing.F) {
	for _, c := range frameTexts {
		if len(c.text) < 1000 {
			f.Add([]byte(c.text))
		}
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		r := bufio.NewReader(bytes.NewReader(data))
		var read []byte
		for {
			fr, err := readFrame(r)
			if err != nil {
				break
			}
			read = append(read, fr.raw...)
			fr.has("Nats-Batch-Id")
			require.LessOrEqual(t, fr.line+fr.headers, len(fr.raw))
		}
		require.True(t, bytes.HasPrefix(data, read))
	})
}
