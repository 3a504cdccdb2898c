package record

import (
	"encoding/base64"
	"fmt"
	"math"
	"math/bits"
	"slices"
	"strconv"
	"strings"

	"github.com/google/uuid"

	"github.com/enactlog/enact"
)

// Link is what binds a record to its execution's history.
type Link struct {
	Number uint64    // of the record within its execution, from 1
	Origin uuid.UUID // commit id of the execution's first record
	Back   []Ref     // earlier records, see Numbers
	Chain  enact.Chain
}

// Ref names an earlier record of the same execution.
type Ref struct {
	Sequence uint64 // of its first event
	Position uint64 // its stream sequence; 0 while it is staged and not stored
}

// Numbers yields the numbers of the records that record r names in back: r-1,
// then that with its lowest set bit cleared, until 0. With them any earlier
// record is O(log r) steps away.
func Numbers(r uint64) func(yield func(uint64) bool) {
	return func(yield func(uint64) bool) {
		for n := max(r, 1) - 1; n > 0; n &= n - 1 {
			if !yield(n) {
				return
			}
		}
	}
}

// NextBack returns the back list of the record after t. Every number that it
// needs is t's own or in t's list: clearing the lowest set bit of t.Number is
// clearing all trailing ones of t.Number-1, which t's list does one by one.
func (t Tail) NextBack() []Ref {
	if t.Number == 0 {
		return nil
	}
	refs := make([]Ref, 0, bits.OnesCount64(t.Number))
	refs = append(refs, Ref{Sequence: t.RecordSequence, Position: t.Position})
	return append(refs, keptRefs(t)...)
}

// keptRefs returns the end of t's back list that the next record's has too: what comes
// behind the trailing ones of t.Number-1.
func keptRefs(t Tail) []Ref { return t.Back[min(bits.TrailingZeros64(t.Number), len(t.Back)):] }

// LinksTo reports whether the record's back list is the one that follows t. The chain
// does not cover it, since positions belong to a stream.
func (r *Record) LinksTo(t Tail) bool {
	back := r.Link.Back
	if t.Number == 0 {
		return len(back) == 0
	}
	return len(back) > 0 && back[0] == Ref{Sequence: t.RecordSequence, Position: t.Position} && slices.Equal(back[1:], keptRefs(t))
}

// appendLink writes the header's text. place is the record's place in its staged
// batch: what its number puts into the same batch is named by distance, for its
// position is not known while the batch is made.
func appendLink(dst []byte, l *Link, place int) []byte {
	dst = append(dst, "rec="...)
	dst = strconv.AppendUint(dst, l.Number, 10)
	dst = append(dst, " org="...)
	dst = appendUUID(dst, l.Origin)
	dst = append(dst, " back="...)
	number := l.Number - 1 // of the record that an entry names
	for i := range l.Back {
		if i > 0 {
			dst = append(dst, ',')
		}
		dst = strconv.AppendUint(dst, l.Back[i].Sequence, 10)
		dst = append(dst, '@')
		if distance := l.Number - number; distance < uint64(place) {
			dst = append(dst, '~')
			dst = strconv.AppendUint(dst, distance, 10)
		} else {
			dst = strconv.AppendUint(dst, l.Back[i].Position, 10)
		}
		number &= number - 1
	}
	dst = append(dst, " chain="...)
	return base64.RawURLEncoding.AppendEncode(dst, l.Chain[:])
}

// parseLink reads the header's text. position is the record's stream sequence,
// place its place in its staged batch.
func parseLink(s string, position uint64, place int) (Link, error) {
	var l Link
	rec, rest, ok1 := cutField(s, "rec=")
	org, rest, ok2 := cutField(rest, "org=")
	back, rest, ok3 := cutField(rest, "back=")
	chain, ok4 := strings.CutPrefix(rest, "chain=")
	if !ok1 || !ok2 || !ok3 || !ok4 {
		return l, fmt.Errorf("link %q is not rec= org= back= chain=", clip(s))
	}
	var err error
	if l.Number, err = parseUint(rec); err != nil || l.Number == 0 {
		return l, fmt.Errorf("link: rec %q is not a record number", clip(rec))
	}
	if l.Origin, err = parseUUID(org); err != nil {
		return l, fmt.Errorf("link: org: %w", err)
	}
	if err := l.Chain.UnmarshalText([]byte(chain)); err != nil {
		return l, fmt.Errorf("link: %w", err)
	}
	l.Back, err = parseBack(back, l.Number, position, place)
	return l, err
}

func parseBack(s string, number, position uint64, place int) ([]Ref, error) {
	if number == 1 {
		if s != "" {
			return nil, fmt.Errorf("link: the first record names earlier ones")
		}
		return nil, nil
	}
	want := bits.OnesCount64(number - 1)
	if strings.Count(s, ",")+1 != want {
		return nil, fmt.Errorf("link: record %d must name %d earlier ones", number, want)
	}
	refs := make([]Ref, 0, want)
	for n := number - 1; n > 0; n &= n - 1 { // as Numbers yields them
		ref, rest, err := parseRef(s, number-n, position, place)
		if err != nil {
			return nil, err
		}
		entry := s[:len(s)-len(rest)]
		s = strings.TrimPrefix(rest, ",")
		// Record n starts at event n or later, and at event 1 only if it is the first.
		if ref.Sequence < n || n == 1 && ref.Sequence != 1 {
			return nil, fmt.Errorf("link: back entry %q cannot be record %d", clip(entry), n)
		}
		if k := len(refs); k > 0 && (ref.Position >= refs[k-1].Position || ref.Sequence >= refs[k-1].Sequence) {
			return nil, fmt.Errorf("link: back entry %q is not before what follows it", clip(entry))
		}
		refs = append(refs, ref)
	}
	return refs, nil
}

// parseRef reads the entry at the front of list for the record that is distance records
// before this one, and returns what follows it, from the comma on.
func parseRef(list string, distance, position uint64, place int) (ref Ref, rest string, err error) {
	seq, where, ok1 := cutUint(list)
	where, ok2 := strings.CutPrefix(where, "@")
	where, relative := strings.CutPrefix(where, "~")
	p, rest, ok3 := cutUint(where)
	staged := distance < uint64(place) // is of the same staged batch
	entry := func() string { e, _, _ := strings.Cut(list, ","); return clip(e) }
	switch {
	case !ok1 || !ok2 || !ok3 || p == 0 || rest != "" && rest[0] != ',':
		return Ref{}, "", badRef(entry())
	case relative && (!staged || p >= position):
		return Ref{}, "", fmt.Errorf("link: back entry %q reaches before the staged batch", entry())
	case relative && p != distance:
		return Ref{}, "", fmt.Errorf("link: back entry %q is not %d records before this one", entry(), distance)
	case relative:
		return Ref{Sequence: seq, Position: position - p}, rest, nil
	case p >= position:
		return Ref{}, "", fmt.Errorf("link: back entry %q is not before this record", entry())
	case staged || position-p < uint64(place):
		return Ref{}, "", fmt.Errorf("link: back entry %q names a record of its own staged batch by position", entry())
	}
	return Ref{Sequence: seq, Position: p}, rest, nil
}

// badRef says what is wrong with the form of an entry.
func badRef(entry string) error {
	sequence, _, ok := strings.Cut(entry, "@")
	if !ok {
		return fmt.Errorf("link: back entry %q is not <sequence>@<position>", entry)
	}
	if _, err := parseUint(sequence); err != nil {
		return fmt.Errorf("link: back entry %q: bad sequence", entry)
	}
	return fmt.Errorf("link: back entry %q: bad position", entry)
}

// cutField takes "name=value " from the front of s.
func cutField(s, name string) (value, rest string, ok bool) {
	s, named := strings.CutPrefix(s, name)
	value, rest, ended := strings.Cut(s, " ")
	return value, rest, named && ended
}

// cutUint takes a decimal number, in the one form that strconv writes, from the front of s.
func cutUint(s string) (n uint64, rest string, ok bool) {
	i := 0
	for i < len(s) && '0' <= s[i] && s[i] <= '9' {
		digit := uint64(s[i] - '0')
		if i >= maxUint64Digits-1 && (i >= maxUint64Digits || n > (math.MaxUint64-digit)/10) {
			return 0, s, false
		}
		n = n*10 + digit
		i++
	}
	return n, s[i:], i == 1 || i > 1 && s[0] != '0'
}

const maxUint64Digits = 20

// parseUint reads a decimal number in the one form that strconv writes.
func parseUint(s string) (uint64, error) {
	n, rest, ok := cutUint(s)
	if !ok || rest != "" {
		return 0, strconv.ErrSyntax
	}
	return n, nil
}

// parseUUID reads a UUID in the one form that String writes.
func parseUUID(s string) (uuid.UUID, error) {
	id, err := uuid.Parse(s)
	// Parse reads other forms too: in braces, as a URN, without hyphens, in capitals.
	if err != nil || len(s) != 36 || strings.ContainsAny(s, "ABCDEF") {
		return uuid.UUID{}, fmt.Errorf("%q is not a UUID in lower case", clip(s))
	}
	return id, nil
}

func clip(s string) string {
	const limit = 160
	if len(s) <= limit {
		return s
	}
	return strings.ToValidUTF8(s[:limit], "") + "…"
}
