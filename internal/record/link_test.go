package record

import (
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestNumbers(t *testing.T) {
	for r, want := range map[uint64][]uint64{
		0: nil, 1: nil, 2: {1}, 3: {2}, 4: {3, 2}, 5: {4}, 8: {7, 6, 4}, 12: {11, 10, 8}, 16: {15, 14, 12, 8}, 17: {16}, 1<<40 + 1: {1 << 40},
	} {
		require.Equal(t, want, slices.Collect(Numbers(r)), r)
	}
	for n := range Numbers(12) {
		require.Equal(t, uint64(11), n)
		break
	}
}

func brokenLinks(tb testing.TB) []breakage {
	chain := strings.TrimPrefix(samples(tb)["second"].m.Header[HeaderLink][0][len("rec=2 org=")+36+1:], "back=1@1000 chain=")
	first, id := testCommit(1).String(), testCommit(2).String()
	const form = "is not rec= org= back= chain="
	link := func(rec, org, back, chain string) func(s *sample) {
		return set(HeaderLink, "rec="+rec+" org="+org+" back="+back+" chain="+chain)
	}
	rules := []breakage{
		{"second", "no link", drop(HeaderLink), "Enact-Link is missing", 2},
		{"second", "two links", set(HeaderLink, "a", "b"), "Enact-Link is there 2 times", 2},
		{"second", "empty", set(HeaderLink, ""), form, 2},
		{"second", "no rec", edit(HeaderLink, "rec=2 ", ""), form, 2},
		{"second", "no org", edit(HeaderLink, "org="+first+" ", ""), form, 2},
		{"second", "no back", edit(HeaderLink, "back=1@1000 ", ""), form, 2},
		{"second", "no chain", edit(HeaderLink, " chain="+chain, ""), form, 2},
		{"second", "a number without its name", edit(HeaderLink, "rec=", ""), form, 2},
		{"second", "an origin without its name", edit(HeaderLink, "org=", ""), form, 2},
		{"second", "a list without its name", edit(HeaderLink, "back=", ""), form, 2},
		{"second", "a chain value without its name", edit(HeaderLink, "chain=", ""), form, 2},
		{"second", "another order", edit(HeaderLink, "rec=2 org="+first, "org="+first+" rec=2"), form, 2},
		{"second", "two spaces", edit(HeaderLink, "rec=2 ", "rec=2  "), form, 2},
		{"second", "space in front", edit(HeaderLink, "rec=", " rec="), form, 2},
		{"second", "space at the end", edit(HeaderLink, chain, chain+" "), "is not a chain value", 2},
		{"second", "a further field", edit(HeaderLink, chain, chain+" x=1"), "is not a chain value", 2},

		{"second", "number beyond the sequence", link("3", first, "1@1000", chain), "cannot be record 2", 2},
		{"second", "number 1 of a later record", link("1", first, "", chain), "Nats-Expected-Last-Subject-Sequence", 2},
		{"second", "first record that names one", link("1", id, "1@1000", chain), "the first record names earlier ones", 2},
		{"creation3", "number beyond the position", at(2), "record 3 of the execution cannot stand at position 2", 3},
		{"creation1", "position 0", at(0), "record 1 of the execution cannot stand at position 0", 1},

		{"creation1", "org of another commit", edit(HeaderLink, first, id), "does not fit record 1", 1},
		{"creation3", "org of another commit inside the first batch", edit(HeaderLink, first, id), "does not fit record 3", 3},
		{"second", "org of a later commit", edit(HeaderLink, first, id), "does not fit record 2", 2},
		{"staged2", "org of a later batch", edit(HeaderLink, first, testCommit(3).String()), "does not fit record 4", 5},
	}
	for _, text := range []string{"", "0", "02", "+2", "-2", "x", "2.", "18446744073709551616"} {
		rules = append(rules, breakage{"second", "rec " + text, link(text, first, "1@1000", chain), "is not a record number", 2})
	}
	for _, text := range []string{"", "x", strings.ToUpper(first), "{" + first + "}", strings.ReplaceAll(first, "-", ""), first[:35]} {
		rules = append(rules, breakage{"second", "org " + text, link("2", text, "1@1000", chain), "is not a UUID in lower case", 2})
	}
	for _, text := range []string{
		"", chain[:42], chain + "A", chain + "=", chain[:42] + "=", chain[:20] + "+" + chain[21:], chain[:20] + "/" + chain[21:],
		chain[:20] + "\n" + chain[20:], chain[:42] + "\n", chain[:42] + nonZeroTail(chain[42]),
	} {
		rules = append(rules, breakage{"second", "chain " + text, link("2", first, "1@1000", text), "is not a chain value", 2})
	}
	return rules
}

// nonZeroTail returns a character of base64url that decodes to the same four bits as
// c, the last of 43, but has other unused bits.
func nonZeroTail(c byte) string {
	const alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
	return string(alphabet[strings.IndexByte(alphabet, c)+1])
}

func brokenBacks() []breakage {
	const (
		single  = "back=20@1100,18@1090,14@1070 "
		number  = "record 12 must name 3 earlier ones"
		before  = "is not before what follows it"
		cannot  = "cannot be record"
		tooFar  = "reaches before the staged batch"
		inBatch = "names a record of its own staged batch by position"
	)
	back := func(text string) func(s *sample) { return edit(HeaderLink, single, "back="+text+" ") }
	rules := []breakage{
		{"single", "an entry too few", back("20@1100,18@1090"), number, 22},
		{"single", "an entry too many", back("20@1100,18@1090,14@1070,1@1000"), number, 22},
		{"single", "a comma at the end", back("20@1100,18@1090,14@1070,"), number, 22},
		{"single", "no entry", back(""), number, 22},
		{"single", "entries in the wrong order", back("14@1070,18@1090,20@1100"), before, 22},
		{"single", "equal positions", back("20@1100,18@1100,14@1070"), before, 22},
		{"single", "rising positions", back("20@1090,18@1100,14@1070"), before, 22},
		{"single", "equal sequences", back("20@1100,20@1090,14@1070"), before, 22},
		{"single", "rising sequences", back("18@1100,20@1090,14@1070"), before, 22},
		{"single", "its own position", back("20@1110,18@1090,14@1070"), "is not before this record", 22},
		{"single", "a position beyond its own", back("20@1111,18@1090,14@1070"), "is not before this record", 22},
		{"single", "a sequence below the number", back("20@1100,18@1090,7@1070"), cannot, 22},
		{"second", "a first record that does not begin with event 1", both(set(HeaderSequence, "3"), edit(HeaderLink, "1@1000", "2@1000")), cannot, 3},
		{"single", "relative outside a batch", back("20@~1,18@1090,14@1070"), tooFar, 22},
		{"creation1", "a first record that names one", edit(HeaderLink, "back= ", "back=1@1 "), "the first record names earlier ones", 1},

		{"staged2", "relative to before the batch", edit(HeaderLink, "2@1010", "2@~2"), tooFar, 5},
		{"staged2", "relative to before the stream", at(1), tooFar, 5},
		{"staged2", "relative to itself", edit(HeaderLink, "4@~1", "4@~0"), "bad position", 5},
		{"staged2", "a position inside the batch", edit(HeaderLink, "4@~1", "4@1020"), inBatch, 5},
		{"staged5", "a position inside the batch, later on", edit(HeaderLink, "5@~3", "5@1021"), inBatch, 8},
		{"staged5", "another record of the batch", edit(HeaderLink, "5@~3", "5@~2"), "is not 3 records before this one", 8},
		{"staged2", "a position of the batch for what stands before it", edit(HeaderLink, "2@1010", "2@1020"), inBatch, 5},
	}
	for _, text := range []string{",18@1090,14@1070", "20,18@1090,14@1070", "20:1100,18@1090,14@1070", "20@1100,,14@1070"} {
		rules = append(rules, breakage{"single", "form " + text, back(text), "is not <sequence>@<position>", 22})
	}
	for _, text := range []string{"@1100", "020@1100", "+20@1100", "-20@1100", "x@1100", "18446744073709551616@1100", "~1@1100"} {
		rules = append(rules, breakage{"single", "sequence " + text, back(text + ",18@1090,14@1070"), "bad sequence", 22})
	}
	for _, text := range []string{"20@", "20@0", "20@01100", "20@+1100", "20@x", "20@1100@1", "20@~", "20@~~1", "20@~0", "20@~01", "20@18446744073709551616"} {
		rules = append(rules, breakage{"single", "position " + text, back(text + ",18@1090,14@1070"), "bad position", 22})
	}
	return append(rules, breakage{"single", "sequence 0", back("0@1100,18@1090,14@1070"), cannot, 22})
}
