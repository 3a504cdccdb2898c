package fsck_test

import (
	"bytes"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/enactlog/enact"
	"github.com/enactlog/enact/fsck"
)

func readHeads(text string) (heads []enact.Head, failed error) {
	for h, err := range fsck.ReadHeads(strings.NewReader(text)) {
		if err != nil {
			return heads, err
		}
		heads = append(heads, h)
	}
	return heads, nil
}

const zeroChain = "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"

func TestHeadFormat(t *testing.T) {
	var b bytes.Buffer
	w := fsck.NewHeadWriter(&b)
	head := enact.Head{TenantID: "a<b", ExecutionID: "e", Sequence: 3, Position: 9, Chain: enact.Chain{1}}
	require.NoError(t, w.Write(head))
	require.Equal(t, `{"tenant_id":"a<b","execution_id":"e","sequence":3,"position":9,"chain":"AQAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"}`+"\n", b.String())
	require.ErrorIs(t, w.Write(enact.Head{TenantID: "t", ExecutionID: "e"}), fsck.ErrHeads)

	got, err := readHeads("\n" + b.String() + "  \n" + strings.Replace(b.String(), "{", `{"more":1,`, 1))
	require.NoError(t, err)
	require.Equal(t, []enact.Head{head, head}, got)
}

func TestHeadsThatAreNone(t *testing.T) {
	good := `{"tenant_id":"t","execution_id":"e","sequence":3,"position":9,"chain":"` + zeroChain + `"}`
	for name, line := range map[string]string{
		"no JSON":      "x",
		"no tenant":    strings.Replace(good, `"tenant_id":"t",`, "", 1),
		"no execution": strings.Replace(good, `"execution_id":"e",`, "", 1),
		"no sequence":  strings.Replace(good, `"sequence":3,`, "", 1),
		"no chain":     strings.Replace(good, `,"chain":"`+zeroChain+`"`, "", 1),
		"null chain":   strings.Replace(good, `"`+zeroChain+`"`, "null", 1),
		"short chain":  strings.Replace(good, zeroChain, "AAA", 1),
		"two values":   good + good,
		"long line":    strings.Repeat(" ", 5000) + good,
	} {
		t.Run(name, func(t *testing.T) {
			got, err := readHeads(good + "\n" + line + "\n" + good)
			require.Len(t, got, 1)
			var bad *fsck.HeadsError
			require.ErrorAs(t, err, &bad)
			require.Equal(t, 2, bad.Line)
			require.ErrorIs(t, err, fsck.ErrHeads)
		})
	}
}

// What is written is read.
func TestHeadsRoundTrip(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		heads := rapid.SliceOfN(rapid.Custom(func(t *rapid.T) enact.Head {
			return enact.Head{
				TenantID:    enact.TenantID(rapid.StringN(1, 20, 128).Draw(t, "tenant")),
				ExecutionID: enact.ExecutionID(rapid.StringN(1, 20, 128).Draw(t, "execution")),
				Sequence:    rapid.Uint64Min(1).Draw(t, "sequence"), Position: rapid.Uint64().Draw(t, "position"),
				Chain: enact.Chain(rapid.SliceOfN(rapid.Byte(), 32, 32).Draw(t, "chain")),
			}
		}), 1, 5).Draw(t, "heads")
		var b bytes.Buffer
		w := fsck.NewHeadWriter(&b)
		for _, h := range heads {
			require.NoError(t, w.Write(h))
		}
		got, err := readHeads(b.String())
		require.NoError(t, err)
		require.Equal(t, heads, got)
	})
}

func FuzzReadHeads(f *testing.F) {
	f.Add(`{"tenant_id":"t","execution_id":"e","sequence":3,"position":9,"chain":"` + zeroChain + `"}`)
	f.Fuzz(func(t *testing.T, text string) {
		heads, err := readHeads(text)
		if err != nil {
			return
		}
		var b bytes.Buffer
		w := fsck.NewHeadWriter(&b)
		for _, h := range heads {
			require.NoError(t, w.Write(h))
		}
		again, err := readHeads(b.String())
		require.NoError(t, err)
		require.Equal(t, heads, again)
	})
}
