// Package jsonscan finds the ends of JSON values in text that is plainly valid: the text
// that writers of JSON write. What it takes, the tokenizer of jsontext takes too, and finds
// the same ends; it is several times as fast, since it knows no options and no errors. Of
// anything else it says that it is not sure, and a real decoder has the word.
package jsonscan

import (
	"encoding/binary"
	"math/bits"
	"unicode/utf8"
)

// Unsure is what the functions return instead of an index where the text is not plainly
// valid: it may be valid all the same.
const Unsure = -1

// maxDepth bounds the recursion.
const maxDepth = 128

// Space returns the index of the first byte from i on that is no white space, which is
// len(text) if there is none.
func Space(text []byte, i int) int {
	for i < len(text) && (text[i] == ' ' || text[i] == '\n' || text[i] == '\r' || text[i] == '\t') {
		i++
	}
	return i
}

// Value returns the index behind the value that begins at i.
func Value(text []byte, i int) int { return value(text, i, 0) }

func value(text []byte, i, depth int) int {
	if i >= len(text) || depth > maxDepth {
		return Unsure
	}
	switch c := text[i]; {
	case c == '"':
		return String(text, i)
	case c == '{':
		return list(text, i, depth, true)
	case c == '[':
		return list(text, i, depth, false)
	case c == '-' || isDigit(c):
		return number(text, i)
	case c == 't':
		return literal(text, i, "true")
	case c == 'f':
		return literal(text, i, "false")
	case c == 'n':
		return literal(text, i, "null")
	}
	return Unsure
}

// list is an array, or an object: a list whose values have keys.
func list(text []byte, i, depth int, keys bool) int {
	end := text[i] + 2 // ']' and '}' are two behind '[' and '{'
	if i = Space(text, i+1); i < len(text) && text[i] == end {
		return i + 1
	}
	for {
		if keys {
			if i = Key(text, i); i < 0 {
				return Unsure
			}
		}
		if i = value(text, i, depth+1); i < 0 {
			return Unsure
		}
		if i = Space(text, i); i >= len(text) {
			return Unsure
		}
		switch text[i] {
		case end:
			return i + 1
		case ',':
			i = Space(text, i+1)
		default:
			return Unsure
		}
	}
}

// Key returns the index of the value behind the key that begins at i, and its colon.
func Key(text []byte, i int) int {
	if i >= len(text) || text[i] != '"' {
		return Unsure
	}
	if i = String(text, i); i < 0 {
		return Unsure
	}
	if i = Space(text, i); i >= len(text) || text[i] != ':' {
		return Unsure
	}
	return Space(text, i+1)
}

func literal(text []byte, i int, want string) int {
	if end := i + len(want); end <= len(text) && string(text[i:end]) == want {
		return end
	}
	return Unsure
}

func number(text []byte, i int) int {
	if text[i] == '-' {
		i++
	}
	switch {
	case i < len(text) && text[i] == '0':
		i++
	default:
		if i = digits(text, i); i < 0 {
			return Unsure
		}
	}
	if i < len(text) && text[i] == '.' {
		if i = digits(text, i+1); i < 0 {
			return Unsure
		}
	}
	if i < len(text) && text[i]|0x20 == 'e' {
		if i++; i < len(text) && (text[i] == '+' || text[i] == '-') {
			i++
		}
		return digits(text, i)
	}
	return i
}

// digits wants one at least.
func digits(text []byte, i int) int {
	start := i
	for i < len(text) && isDigit(text[i]) {
		i++
	}
	if i == start {
		return Unsure
	}
	return i
}

func isDigit(c byte) bool { return '0' <= c && c <= '9' }

// String returns the index behind the string whose quote is at i.
func String(text []byte, i int) int {
	for i = plain(text, i+1); i < len(text); i = plain(text, i) {
		switch c := text[i]; {
		case c == '"':
			return i + 1
		case c == '\\':
			if i = escape(text, i); i < 0 {
				return Unsure
			}
		case c >= utf8.RuneSelf:
			r, n := utf8.DecodeRune(text[i:])
			if r == utf8.RuneError && n == 1 {
				return Unsure
			}
			i += n
		default:
			return Unsure // a control character
		}
	}
	return Unsure
}

// escape returns the index behind the escape whose backslash is at i. Surrogates it leaves
// to others.
func escape(text []byte, i int) int {
	if i+1 >= len(text) {
		return Unsure
	}
	switch text[i+1] {
	case '"', '\\', '/', 'b', 'f', 'n', 'r', 't':
		return i + 2
	case 'u':
		if i+6 > len(text) {
			return Unsure
		}
		r := 0
		for _, c := range text[i+2 : i+6] {
			d, ok := hexDigit(c)
			if !ok {
				return Unsure
			}
			r = r<<4 | d
		}
		if r >= 0xd800 && r < 0xe000 {
			return Unsure
		}
		return i + 6
	}
	return Unsure
}

func hexDigit(c byte) (d int, ok bool) {
	switch {
	case isDigit(c):
		return int(c - '0'), true
	case 'a' <= c|0x20 && c|0x20 <= 'f':
		return int(c|0x20-'a') + 10, true
	}
	return 0, false
}

// plain returns the index of the first byte from i on that means something in a string: a
// quote, a backslash, a control character, or part of a character beyond ASCII. It looks at
// eight bytes at a time: each of the terms has the top bit of the first byte that it looks
// for, and of none before it.
func plain(text []byte, i int) int {
	const ones, tops = 0x0101010101010101, 0x8080808080808080
	for i+8 <= len(text) {
		w := binary.LittleEndian.Uint64(text[i:])
		quote, escape := w^ones*'"', w^ones*'\\'
		found := w | (w-ones*' ')&^w | (quote-ones)&^quote | (escape-ones)&^escape
		if found &= tops; found != 0 {
			return i + bits.TrailingZeros64(found)/8
		}
		i += 8
	}
	for i < len(text) && text[i] >= ' ' && text[i] < utf8.RuneSelf && text[i] != '"' && text[i] != '\\' {
		i++
	}
	return i
}
