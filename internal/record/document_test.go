package record

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"os"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/enactlog/enact"
)

// The vectors in the document are held against the code, so that neither changes alone.

func document(tb testing.TB) string {
	tb.Helper()
	text, err := os.ReadFile("../../docs/wire-format.md")
	require.NoError(tb, err)
	return string(text)
}

// rows returns the cells of the table that has the given header line.
func rows(tb testing.TB, doc, header string) [][]string {
	tb.Helper()
	_, table, ok := strings.Cut(doc, "\n"+header+"\n")
	require.True(tb, ok, "no table %s", header)
	var out [][]string
	for i, line := range strings.Split(table, "\n") {
		if !strings.HasPrefix(line, "|") {
			break
		}
		if i == 0 {
			continue // the line of dashes
		}
		cells := strings.Split(strings.Trim(line, "|"), "|")
		for i := range cells {
			cells[i] = strings.Trim(cells[i], " `")
		}
		out = append(out, cells)
	}
	require.NotEmpty(tb, out)
	return out
}

func TestDocumentTokens(t *testing.T) {
	for _, row := range rows(t, document(t), "| id | token |") {
		id, err := strconv.Unquote(row[0])
		require.NoError(t, err, row[0])
		require.Equal(t, row[1], enact.EncodeToken(id))
		decoded, err := enact.DecodeToken(row[1])
		require.NoError(t, err)
		require.Equal(t, id, decoded)
	}
	for _, row := range rows(t, document(t), "| refused | why |") {
		_, err := enact.DecodeToken(row[0])
		require.ErrorIs(t, err, enact.ErrInvalidID, row[0])
	}
}

func TestDocumentBackNumbers(t *testing.T) {
	table := rows(t, document(t), "| r | names the records |")
	require.Len(t, table, 13)
	for i, row := range table {
		require.Equal(t, strconv.Itoa(i+1), row[0])
		var names []string
		for n := range Numbers(uint64(i) + 1) {
			names = append(names, strconv.FormatUint(n, 10))
		}
		require.Equal(t, strings.Join(names, ", "), row[1], "record %d", i+1)
	}
}

func TestDocumentLimits(t *testing.T) {
	doc := document(t)
	for _, text := range []string{
		fmt.Sprintf("| tenant id, execution id | 1 to %d bytes |", enact.MaxIDLength),
		fmt.Sprintf("| events of a record | %d |", MaxEvents),
		fmt.Sprintf("| records of a staged batch | %d,", MaxStaged),
		fmt.Sprintf("| idempotency key | 1 to %d bytes", enact.MaxIdempotencyKey),
		fmt.Sprintf("| metadata key | 1 to %d bytes", enact.MaxMetadataKey),
		fmt.Sprintf("(%d bytes), before encoding", enact.MaxMetadata),
		fmt.Sprintf("(%d bytes) | no |\n| record of several", MaxHeaderBytes),
		fmt.Sprintf("about 128 KiB (%d bytes)", MaxBytes),
	} {
		require.True(t, strings.Contains(doc, text), "the document must say %s", text)
	}
}

func TestDocumentHeaders(t *testing.T) {
	var names []string
	for _, row := range rows(t, document(t), "| header | value | present |") {
		names = append(names, row[0])
	}
	require.Equal(t, []string{
		HeaderExpected, HeaderVersion, HeaderSequence, HeaderCount, HeaderTime, HeaderCodec, HeaderCommit, HeaderKey, HeaderLink,
		HeaderMetaPrefix + "<key>", HeaderTraceParent + "`, `" + HeaderTraceState,
	}, names)
}

// The fields of the chain, in the document's order, are those of the layout that the
// chain's own test uses.
func TestDocumentChainFields(t *testing.T) {
	r, err := samples(t)["single"].parse()
	require.NoError(t, err)
	var names, documented []string
	for _, f := range chainFields(r) {
		names = append(names, f.name)
	}
	for _, row := range rows(t, document(t), "| field | bytes |") {
		documented = append(documented, strings.Split(row[0], ", ")...)
	}
	require.Equal(t, names, documented)
}

// chainExample writes out the computation of a record's chain value.
func chainExample(r *Record, prev enact.Chain) string {
	var b strings.Builder
	b.WriteString("| field | length | value |\n| --- | --- | --- |\n")
	for _, f := range chainFields(r) {
		fmt.Fprintf(&b, "| %s | %d | `%s` |\n", f.name, len(f.value), f.value)
	}
	layout := chainBytes(r, prev)
	fmt.Fprintf(&b, "\nThe %d bytes in hex, 32 a line:\n\n```\n", len(layout))
	for line := range strings.SplitSeq(regexp.MustCompile(`.{64}`).ReplaceAllString(hex.EncodeToString(layout), "$0\n"), "\n") {
		b.WriteString(line + "\n")
	}
	sum := sha256.Sum256(layout)
	fmt.Fprintf(&b, "```\n\nTheir SHA-256 is `%x`, in base64url `%s`.\n", sum, enact.Chain(sum))
	return b.String()
}

func TestDocumentChainExample(t *testing.T) {
	records := goldenHistories(t)["vector"].records
	first, second := records[0], records[1]
	example := chainExample(second, first.Link.Chain)
	doc := document(t)
	before := "has the chain value `" + first.Link.Chain.String() + "`"
	require.True(t, strings.Contains(doc, before), "the document must say %s", before)
	require.True(t, strings.Contains(doc, example), "the document must have\n%s", example)
	require.Contains(t, example, "`"+second.Link.Chain.String()+"`")

	// The hex as it is printed, with nothing but SHA-256 from here on.
	_, block, _ := strings.Cut(doc, "32 a line:\n\n```\n")
	block, _, _ = strings.Cut(block, "```")
	layout, err := hex.DecodeString(strings.ReplaceAll(block, "\n", ""))
	require.NoError(t, err)
	require.Equal(t, second.Link.Chain, enact.Chain(sha256.Sum256(layout)))
}

// Every golden file that the document names is there, and its example of back stands
// in the file.
func TestDocumentExamples(t *testing.T) {
	doc := document(t)
	for _, m := range regexp.MustCompile("`([a-z0-9-]+\\.golden)`").FindAllStringSubmatch(doc, -1) {
		require.FileExists(t, "testdata/"+m[1])
	}
	twelfth, err := os.ReadFile(goldenPath("twelfth"))
	require.NoError(t, err)
	m := regexp.MustCompile("`rec=12 … (back=[0-9@,]+)`").FindStringSubmatch(doc)
	require.NotNil(t, m)
	require.Contains(t, string(twelfth), " "+m[1]+" ")
}
