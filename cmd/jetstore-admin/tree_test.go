package main

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestDrawTree(t *testing.T) {
	require.Empty(t, drawTree(nil))
	require.Equal(t, strings.TrimSpace(`
├─ a
│  ├─ b
│  │  └─ c
│  └─ d
└─ e
   └─ f
      └─ g`), strings.Join(drawTree([]treeNode{{0, "a"}, {1, "b"}, {2, "c"}, {1, "d"}, {0, "e"}, {1, "f"}, {2, "g"}}), "\n"))
}
