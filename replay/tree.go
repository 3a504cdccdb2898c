package replay

import (
	"iter"
	"slices"

	"github.com/enactlog/enact"
)

// index finds entries of a state's lists.
type index struct {
	steps map[enact.StepID]int // place in Steps
	open  map[string][]int     // places in ToolCalls of the open calls with an id, ascending
	goals map[string]int       // place in Goals
}

// indexed returns the index, which a state made by New, Clone or from JSON does
// not have yet.
func (s *State) indexed() *index {
	if s.index != nil {
		return s.index
	}
	x := &index{
		steps: make(map[enact.StepID]int, len(s.Steps)),
		open:  make(map[string][]int),
		goals: make(map[string]int, len(s.Goals)),
	}
	for i, st := range s.Steps {
		x.steps[st.ID] = i
	}
	for i, c := range s.ToolCalls {
		if c.Open() {
			x.open[c.ID] = append(x.open[c.ID], i)
		}
	}
	for i, g := range s.Goals {
		x.goals[g.ID] = i
	}
	s.index = x
	return x
}

// insert adds i to an ascending list that holds it at most once.
func insert(list []int, i int) []int {
	k, found := slices.BinarySearch(list, i)
	if found {
		return list
	}
	return slices.Insert(list, k, i)
}

// Step returns the step with the id, or nil.
func (s *State) Step(id enact.StepID) *Step {
	if i, ok := s.indexed().steps[id]; ok {
		return s.Steps[i]
	}
	return nil
}

// Goal returns the goal with the id, or nil.
func (s *State) Goal(id string) *Goal {
	if i, ok := s.indexed().goals[id]; ok {
		return s.Goals[i]
	}
	return nil
}

// OpenToolCalls returns the calls that have not completed, in order of their start.
func (s *State) OpenToolCalls() []*ToolCall {
	var open []*ToolCall
	for _, c := range s.ToolCalls {
		if c.Open() {
			open = append(open, c)
		}
	}
	return open
}

// forest is the tree of steps by places in Steps.
type forest struct {
	roots    []int
	children [][]int
}

// forest links the steps to their parents. Nothing keeps a history from naming
// parents in a circle; such a circle hangs on its step that appeared first, which
// counts as a root, so that every step is in the forest exactly once.
func (s *State) forest() forest {
	parents := make([]int, len(s.Steps))
	for i, st := range s.Steps {
		parents[i] = -1
		if st.ParentID != nil {
			if p, ok := s.indexed().steps[*st.ParentID]; ok {
				parents[i] = p
			}
		}
	}
	const unseen = 0
	seenFrom := make([]int, len(s.Steps)) // 1 + the step whose chain of parents came by
	for i := range s.Steps {
		j := i
		for j >= 0 && seenFrom[j] == unseen {
			seenFrom[j] = i + 1
			j = parents[j]
		}
		if j < 0 || seenFrom[j] != i+1 {
			continue
		}
		first := j
		for k := parents[j]; k != j; k = parents[k] {
			first = min(first, k)
		}
		parents[first] = -1
	}
	f := forest{children: make([][]int, len(s.Steps))}
	for i, p := range parents {
		if p < 0 {
			f.roots = append(f.roots, i)
		} else {
			f.children[p] = append(f.children[p], i)
		}
	}
	return f
}

func (s *State) at(places []int) []*Step {
	var steps []*Step
	for _, i := range places {
		steps = append(steps, s.Steps[i])
	}
	return steps
}

// Roots returns the steps without a parent, in order of first appearance. Of
// steps that name each other as parents in a circle, the one that appeared first
// is a root.
func (s *State) Roots() []*Step { return s.at(s.forest().roots) }

// Children returns the steps whose parent is the step with the id, in order of
// first appearance. A root is nobody's child. Each call looks at all steps;
// [State.Walk] is the way through a whole tree.
func (s *State) Children(id enact.StepID) []*Step {
	i, ok := s.indexed().steps[id]
	if !ok {
		return nil
	}
	return s.at(s.forest().children[i])
}

// Walk yields every step once with its depth, 0 for roots: parents before their
// children, siblings in order of first appearance. The state must not change
// meanwhile.
func (s *State) Walk() iter.Seq2[int, *Step] {
	return func(yield func(int, *Step) bool) {
		f := s.forest()
		type visit struct{ depth, step int }
		var stack []visit
		push := func(depth int, steps []int) {
			for _, i := range slices.Backward(steps) {
				stack = append(stack, visit{depth, i})
			}
		}
		push(0, f.roots)
		for len(stack) > 0 {
			v := stack[len(stack)-1]
			stack = stack[:len(stack)-1]
			if !yield(v.depth, s.Steps[v.step]) {
				return
			}
			push(v.depth+1, f.children[v.step])
		}
	}
}
