package main

import (
	"fmt"

	"github.com/dustin/go-humanize"
	"github.com/jedib0t/go-pretty/v6/text"

	"github.com/enactlog/enact"
	"github.com/enactlog/enact/replay"
)

// stateView turns the lists of a state into lines for people.
type stateView struct {
	state   *replay.State
	colours palette

	evaluations map[goalPlace][]replay.Evaluation // nil until they are needed
}

// goalPlace is a goal, by its place in the state's list, and a step that it was evaluated
// in; nil stands for none.
type goalPlace struct {
	goal   int
	inStep bool
	step   enact.StepID
}

// steps is the tree of steps; what happened in a step stands below it, before the
// steps that ran in it.
func (v *stateView) steps() []string {
	var nodes []treeNode
	for depth, st := range v.state.Walk() {
		nodes = append(nodes, treeNode{depth, v.step(st)})
		for _, line := range v.inStep(st) {
			nodes = append(nodes, treeNode{depth + 1, line})
		}
	}
	return drawTree(nodes)
}

func (v *stateView) step(st *replay.Step) string {
	id, attempts := "", ""
	if st.Name != "" {
		id = stepText(&st.ID)
	}
	if n := len(st.EarlierAttempts); n > 0 {
		attempts = fmt.Sprintf("attempt %d", n+1)
	}
	return join(stepLabel(st), string(st.Type), id) + "  " + v.attempt(&st.Attempt, attempts)
}

// attempt says how an attempt went: status, duration, when.
func (v *stateView) attempt(at *replay.Attempt, which string) string {
	took := ""
	switch {
	case at.DurationMS != nil:
		took = millis(*at.DurationMS)
	case !at.StartedAt.IsZero() && !at.EndedAt.IsZero():
		took = span(at.EndedAt.Sub(at.StartedAt))
	}
	line := v.stepStatus(at.Status)
	if rest := join(which, took, stamp(at.StartedAt, timeOfDay)); rest != "" {
		line += "  " + rest
	}
	return line
}

func (v *stateView) stepStatus(s replay.StepStatus) string {
	colour := text.FgCyan
	switch s {
	case replay.StepCompleted:
		colour = text.FgGreen
	case replay.StepFailed:
		colour = text.FgRed
	case replay.StepDiscovered:
		colour = text.FgYellow
	}
	return v.colours.paint(colour, string(s))
}

// inStep is what happened in a step, apart from the steps that ran in it.
func (v *stateView) inStep(st *replay.Step) []string {
	var lines []string
	for _, d := range st.Discoveries {
		lines = append(lines, join("discovered: "+d.Reason, string(d.SourceType), stamp(d.At, timeOfDay)))
	}
	for i := range st.EarlierAttempts {
		at := &st.EarlierAttempts[i]
		lines = append(lines, v.attempt(at, fmt.Sprintf("attempt %d", i+1)))
		if at.Error != nil {
			lines[len(lines)-1] += "  " + failureText(at.Error, summaryWidth)
		}
	}
	for _, i := range st.ToolCalls {
		lines = append(lines, toolCall(v.state.ToolCalls[i]))
	}
	for _, i := range st.Artifacts {
		lines = append(lines, artifact(&v.state.Artifacts[i]))
	}
	for _, i := range st.Checkpoints {
		lines = append(lines, checkpoint(&v.state.Checkpoints[i]))
	}
	for _, i := range st.Goals {
		lines = append(lines, v.goalIn(i, &st.ID)...)
	}
	if st.Output != nil {
		lines = append(lines, join("output: "+*st.Output))
	}
	if st.Error != nil {
		lines = append(lines, "error: "+failureText(st.Error, summaryWidth))
	}
	return lines
}

// outside is what happened in no step.
func (v *stateView) outside() []string {
	var nodes []treeNode
	for _, c := range v.state.ToolCalls {
		if c.StepID == nil {
			nodes = append(nodes, treeNode{0, toolCall(c)})
		}
	}
	for i := range v.state.Checkpoints {
		if p := &v.state.Checkpoints[i]; p.StepID == nil {
			nodes = append(nodes, treeNode{0, checkpoint(p)})
		}
	}
	for i := range v.state.Goals {
		for _, line := range v.goalIn(i, nil) {
			nodes = append(nodes, treeNode{0, line})
		}
	}
	return drawTree(nodes)
}

func (v *stateView) openCalls() []string {
	var nodes []treeNode
	for _, c := range v.state.OpenToolCalls() {
		where := ""
		if c.StepID != nil {
			where = "in " + stepLabel(v.state.Step(*c.StepID))
		}
		nodes = append(nodes, treeNode{0, join(c.Name, name(c.ID), "since "+stamp(c.StartedAt, clock), where)})
	}
	return drawTree(nodes)
}

// goals is how each goal stands.
func (v *stateView) goals() []string {
	var nodes []treeNode
	for _, g := range v.state.Goals {
		last, times := g.Latest(), ""
		if n := len(g.Evaluations); n > 1 {
			times = fmt.Sprintf("evaluated %d times", n)
		}
		nodes = append(nodes, treeNode{0, join(name(g.ID), evaluationText(last.Status, last.Score, last.Reason), times)})
	}
	return drawTree(nodes)
}

func (v *stateView) pauses() []string {
	var nodes []treeNode
	for _, p := range v.state.Pauses {
		until := "not resumed"
		if !p.ResumedAt.IsZero() {
			until = "for " + span(p.ResumedAt.Sub(p.At))
		}
		nodes = append(nodes, treeNode{0, join(stamp(p.At, timeOfDay), until, p.Reason)})
	}
	return drawTree(nodes)
}

func (v *stateView) errors() []string {
	var nodes []treeNode
	for i := range v.state.Errors {
		f := &v.state.Errors[i]
		where := "execution"
		if f.StepID != nil {
			where = stepLabel(v.state.Step(*f.StepID))
		}
		nodes = append(nodes, treeNode{0, join(stamp(f.At, timeOfDay), fmt.Sprintf("event %d", f.Sequence), where, failureText(&f.Error, summaryWidth))})
	}
	return drawTree(nodes)
}

func stepLabel(st *replay.Step) string {
	if st.Name != "" {
		return st.Name
	}
	return string(st.ID)
}

func toolCall(c *replay.ToolCall) string {
	took := "not completed"
	switch {
	case c.StartedSeq == 0:
		took = "no start is logged"
	case !c.Open():
		took = span(c.CompletedAt.Sub(c.StartedAt))
	}
	return join("tool "+c.Name, name(c.ID), took, string(c.Input))
}

func artifact(f *replay.Artifact) string {
	return join("artifact "+name(f.ID), humanize.IBytes(f.SizeBytes), f.ContentHash)
}

func checkpoint(p *replay.Checkpoint) string {
	return join("checkpoint "+name(p.ID), stamp(p.At, timeOfDay), p.StateHash)
}

// goalIn is how a goal was evaluated in a step, or, for nil, outside of steps. A goal may be
// evaluated in every step of a long run, so that each step looks for its own.
func (v *stateView) goalIn(goal int, step *enact.StepID) []string {
	place := func(goal int, step *enact.StepID) goalPlace {
		if step == nil {
			return goalPlace{goal: goal}
		}
		return goalPlace{goal, true, *step}
	}
	if v.evaluations == nil {
		v.evaluations = make(map[goalPlace][]replay.Evaluation)
		for i, g := range v.state.Goals {
			for _, e := range g.Evaluations {
				at := place(i, e.StepID)
				v.evaluations[at] = append(v.evaluations[at], e)
			}
		}
	}
	var lines []string
	for _, e := range v.evaluations[place(goal, step)] {
		lines = append(lines, join("goal "+name(v.state.Goals[goal].ID), evaluationText(e.Status, e.Score, e.Reason), stamp(e.At, timeOfDay)))
	}
	return lines
}
