package faultnet

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"strconv"
)

// Bounds of a frame, above those of any server: a longer one is no NATS protocol.
const (
	maxLine    = 1 << 20
	maxPayload = 64 << 20
)

// frame is one whole message of the client protocol (docs.nats.io, "Client Protocol").
type frame struct {
	op      string // upper case, as in "PUB"
	subject string // of messages; "" for all else
	reply   string // subject to answer on; "": none
	sid     string // subscription that a message is delivered to
	raw     []byte // as on the wire
	line    int    // bytes of the control line in raw, with its line end
	headers int    // bytes of the header block that follows it
}

// readFrame reads the next frame. io.EOF means that the stream ended between two.
func readFrame(r *bufio.Reader) (frame, error) {
	raw, err := readLine(r)
	if err != nil {
		return frame{}, err
	}
	f := frame{raw: raw, line: len(raw)}
	op, rest, _ := bytes.Cut(bytes.TrimRight(raw, "\r\n"), []byte(" "))
	f.op = string(bytes.ToUpper(op))
	args := bytes.Fields(rest)
	// Arguments between the names and the sizes: a message that is delivered names
	// its subscription, one with headers has two sizes.
	switch f.op {
	case "PUB":
		err = f.message(args, false, 1)
	case "HPUB":
		err = f.message(args, false, 2)
	case "MSG":
		err = f.message(args, true, 1)
	case "HMSG":
		err = f.message(args, true, 2)
	default:
		return f, nil
	}
	if err != nil {
		return frame{}, err
	}
	total, err := strconv.Atoi(string(args[len(args)-1]))
	if err != nil || total < f.headers || total > maxPayload {
		return frame{}, fmt.Errorf("faultnet: size in %q", bytes.TrimSpace(raw))
	}
	f.raw = append(make([]byte, 0, len(raw)+total+2), raw...)
	f.raw = f.raw[:len(raw)+total+2]
	if _, err := io.ReadFull(r, f.raw[len(raw):]); err != nil {
		return frame{}, unexpected(err)
	}
	if !bytes.HasSuffix(f.raw, []byte("\r\n")) {
		return frame{}, fmt.Errorf("faultnet: the payload of %q does not end where it says", bytes.TrimSpace(raw))
	}
	return f, nil
}

// message reads the arguments of an operation that carries a payload.
func (f *frame) message(args [][]byte, delivered bool, sizes int) error {
	names := len(args) - sizes
	least := 1
	if delivered {
		least = 2
	}
	if names < least || names > least+1 {
		return fmt.Errorf("faultnet: arguments of %q", bytes.TrimSpace(f.raw))
	}
	f.subject = string(args[0])
	if delivered {
		f.sid = string(args[1])
	}
	if names > least {
		f.reply = string(args[least])
	}
	if sizes == 2 {
		var err error
		if f.headers, err = strconv.Atoi(string(args[names])); err != nil || f.headers < 0 {
			return fmt.Errorf("faultnet: header size in %q", bytes.TrimSpace(f.raw))
		}
	}
	return nil
}

// readLine reads up to and with the next line end.
func readLine(r *bufio.Reader) ([]byte, error) {
	var line []byte
	for {
		part, err := r.ReadSlice('\n')
		line = append(line, part...)
		switch {
		case err == nil:
			return line, nil
		case err == bufio.ErrBufferFull && len(line) < maxLine:
		case err == bufio.ErrBufferFull:
			return nil, fmt.Errorf("faultnet: a line of more than %d bytes", maxLine)
		case len(line) > 0:
			return nil, unexpected(err)
		default:
			return nil, err
		}
	}
}

func unexpected(err error) error {
	if err == io.EOF {
		return io.ErrUnexpectedEOF
	}
	return err
}

// has reports whether the message has a header of that name.
func (f *frame) has(name string) bool {
	return bytes.Contains(f.raw[f.line:f.line+f.headers], []byte("\r\n"+name+":"))
}

// withPayload returns the delivered message with another payload, and no headers.
func (f *frame) withPayload(data []byte) frame {
	line := fmt.Appendf(nil, "MSG %s %s %d\r\n", f.subject, f.sid, len(data))
	c := frame{op: "MSG", subject: f.subject, sid: f.sid, line: len(line)}
	c.raw = append(append(line, data...), "\r\n"...)
	return c
}
