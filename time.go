package enact

import (
	"errors"
	"strconv"
	"time"
)

// AppendTime appends t as the log writes times: RFC 3339 in UTC with a final Z
// and 0, 3, 6 or 9 fraction digits, the fewest that lose nothing. A year outside
// 0 to 9999 is written with a sign, as Rust's chrono does.
func AppendTime(dst []byte, t time.Time) []byte {
	t = t.UTC()
	year, month, day := t.Date()
	hour, minute, sec := t.Clock()
	if year < 0 || year > 9999 {
		sign := byte('+')
		if year < 0 {
			sign, year = '-', -year
		}
		dst = append(dst, sign)
	}
	dst = appendPadded(dst, year, 4)
	dst = appendPadded(append(dst, '-'), int(month), 2)
	dst = appendPadded(append(dst, '-'), day, 2)
	dst = appendPadded(append(dst, 'T'), hour, 2)
	dst = appendPadded(append(dst, ':'), minute, 2)
	dst = appendPadded(append(dst, ':'), sec, 2)
	switch ns := t.Nanosecond(); {
	case ns == 0:
	case ns%1e6 == 0:
		dst = appendPadded(append(dst, '.'), ns/1e6, 3)
	case ns%1e3 == 0:
		dst = appendPadded(append(dst, '.'), ns/1e3, 6)
	default:
		dst = appendPadded(append(dst, '.'), ns, 9)
	}
	return append(dst, 'Z')
}

func appendPadded(dst []byte, v, width int) []byte {
	for limit := 10; width > 1; width, limit = width-1, limit*10 {
		if v < limit {
			for range width - 1 {
				dst = append(dst, '0')
			}
			break
		}
	}
	return strconv.AppendInt(dst, int64(v), 10)
}

var errBadTime = errors.New("not an RFC 3339 time with an offset")

// ParseTime reads what the seed's readers accept: RFC 3339 with any offset and
// any number of fraction digits (those past the ninth are dropped), 't', 'T' or
// a space between date and time, 'z' or 'Z', and years with a sign. The result
// is in UTC. A leap second, which Go cannot represent, is the first instant of
// the next minute.
func ParseTime(s string) (time.Time, error) {
	p := timeParser{rest: s}
	sign, width := 1, 4
	if c := p.peek(); c == '+' || c == '-' {
		p.rest = p.rest[1:]
		if c == '-' {
			sign = -1
		}
		for width < 6 && width < len(p.rest) && isDigit(p.rest[width]) {
			width++
		}
	}
	year := sign * p.number(width)
	p.literal("-")
	month := p.number(2)
	p.literal("-")
	day := p.number(2)
	p.literal("Tt ")
	hour := p.number(2)
	p.literal(":")
	minute := p.number(2)
	p.literal(":")
	sec := p.number(2)
	ns := p.fraction()
	offset := p.offset()
	if p.bad || p.rest != "" || month < 1 || month > 12 || day < 1 || hour > 23 || minute > 59 || sec > 60 {
		return time.Time{}, errBadTime
	}
	t := time.Date(year, time.Month(month), day, 0, 0, 0, 0, time.UTC)
	if t.Day() != day {
		return time.Time{}, errBadTime
	}
	return time.Date(year, time.Month(month), day, hour, minute, sec, ns, time.UTC).Add(-offset), nil
}

type timeParser struct {
	rest string
	bad  bool
}

func isDigit(c byte) bool { return '0' <= c && c <= '9' }

func (p *timeParser) peek() byte {
	if p.rest == "" {
		return 0
	}
	return p.rest[0]
}

func (p *timeParser) literal(set string) {
	c := p.peek()
	for i := range len(set) {
		if c == set[i] {
			p.rest = p.rest[1:]
			return
		}
	}
	p.bad = true
}

func (p *timeParser) number(width int) int {
	if len(p.rest) < width {
		p.bad = true
		return 0
	}
	n := 0
	for i := range width {
		if !isDigit(p.rest[i]) {
			p.bad = true
			return 0
		}
		n = n*10 + int(p.rest[i]-'0')
	}
	p.rest = p.rest[width:]
	return n
}

func (p *timeParser) fraction() int {
	if p.peek() != '.' {
		return 0
	}
	p.rest = p.rest[1:]
	if !isDigit(p.peek()) {
		p.bad = true
	}
	ns := 0
	for scale := 100_000_000; isDigit(p.peek()); scale /= 10 {
		ns += int(p.rest[0]-'0') * scale
		p.rest = p.rest[1:]
	}
	return ns
}

func (p *timeParser) offset() time.Duration {
	c := p.peek()
	if c == 'Z' || c == 'z' {
		p.rest = p.rest[1:]
		return 0
	}
	p.literal("+-")
	hours := p.number(2)
	p.literal(":")
	minutes := p.number(2)
	if hours > 23 || minutes > 59 {
		p.bad = true
	}
	d := time.Duration(hours)*time.Hour + time.Duration(minutes)*time.Minute
	if c == '-' {
		return -d
	}
	return d
}
