package main

import "strings"

// treeNode is a line of a tree with its depth, 0 for roots.
type treeNode struct {
	depth int
	text  string
}

// drawTree draws nodes, which come parents before children, with box-drawing
// characters. (go-pretty's list looks ahead over the whole list for every level of
// every line, which the long chains of agentic loops make too slow.)
func drawTree(nodes []treeNode) []string {
	lines := make([]string, len(nodes))
	// From the end: more[d] says that a later node of depth d has the same parent.
	more := []bool{}
	for i := len(nodes) - 1; i >= 0; i-- {
		n := nodes[i]
		// What comes below a later parent is of no interest to this one.
		more = more[:min(len(more), n.depth+1)]
		for len(more) <= n.depth {
			more = append(more, false)
		}
		var b strings.Builder
		for _, m := range more[:n.depth] {
			if m {
				b.WriteString("│  ")
			} else {
				b.WriteString("   ")
			}
		}
		if more[n.depth] {
			b.WriteString("├─ ")
		} else {
			b.WriteString("└─ ")
		}
		more[n.depth] = true
		lines[i] = b.String() + n.text
	}
	return lines
}
