package main

import (
	"bufio"
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"io"

	"github.com/dustin/go-humanize"
)

// maxLine bounds a line of an import, in bytes.
const maxLine = 16 << 20

// lineAt is the place of a line.
type lineAt struct {
	file   string
	number int // from 1
	order  int // among all lines of the import
}

func (at lineAt) String() string { return fmt.Sprintf("%s:%d", at.file, at.number) }

// lineError says what is wrong with a line of an import.
type lineError struct {
	at  lineAt
	err error
}

func (e *lineError) Error() string { return fmt.Sprintf("%s: %v", e.at, e.err) }
func (e *lineError) Unwrap() error { return e.err }

// earliest returns the error of the earliest line. An error without a line, as of a
// lost connection, comes before any.
func earliest(a, b error) error {
	if a == nil || b == nil {
		return cmp.Or(a, b)
	}
	x, ok1 := errors.AsType[*lineError](a)
	y, ok2 := errors.AsType[*lineError](b)
	if !ok1 || ok2 && x.at.order <= y.at.order {
		return a
	}
	return b
}

// lineReader reads lines with their places, without the empty ones.
type lineReader struct {
	at lineAt
	sc *bufio.Scanner
}

func newLineReader(file string, in io.Reader) *lineReader {
	sc := bufio.NewScanner(in)
	// Somewhat more than a line, for its end and for spaces around it.
	sc.Buffer(nil, maxLine+64)
	return &lineReader{at: lineAt{file: file}, sc: sc}
}

// next returns the next line, which is valid until the next call, or io.EOF.
func (r *lineReader) next() (lineAt, []byte, error) {
	for r.sc.Scan() {
		r.at.number++
		line := bytes.TrimSpace(r.sc.Bytes())
		if len(line) > maxLine {
			return r.at, nil, r.tooLong()
		}
		if len(line) > 0 {
			return r.at, line, nil
		}
	}
	r.at.number++
	switch err := r.sc.Err(); {
	case err == nil:
		return r.at, nil, io.EOF
	case errors.Is(err, bufio.ErrTooLong):
		return r.at, nil, r.tooLong()
	default:
		return r.at, nil, &lineError{r.at, err}
	}
}

func (r *lineReader) tooLong() error {
	return &lineError{r.at, fmt.Errorf("the line has more than %s", humanize.IBytes(maxLine))}
}
