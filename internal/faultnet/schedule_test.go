package faultnet

import (
	"testing"

	"github.com/stretchr/testify/require"
)

// even gives each fault the same share of half the frames, at every point.
func even() map[Point]Rates {
	rates := make(map[Point]Rates)
	for _, at := range Points() {
		rates[at] = Rates{}
		for _, f := range Faults() {
			rates[at][f] = 0.5 / float64(len(Faults()))
		}
	}
	return rates
}

func draw(s *Schedule, at Point, n int) (all []decision) {
	for range n {
		all = append(all, s.next(at))
	}
	return all
}

func TestOneSeedDecidesTheSame(t *testing.T) {
	for _, at := range Points() {
		a := draw(NewSchedule(Config{Seed: 7, Rates: even()}), at, 200)
		require.Equal(t, a, draw(NewSchedule(Config{Seed: 7, Rates: even()}), at, 200))
		require.NotEqual(t, a, draw(NewSchedule(Config{Seed: 8, Rates: even()}), at, 200))
	}
}

// What passes at one point does not change the decisions at another.
func TestPointsDecideByThemselves(t *testing.T) {
	alone, mixed := NewSchedule(Config{Seed: 3, Rates: even()}), NewSchedule(Config{Seed: 3, Rates: even()})
	at, other := Point{Request, RecordPublish}, Point{Reply, LeaderGet}
	for range 200 {
		mixed.next(other)
		require.Equal(t, alone.next(at), mixed.next(at))
	}
	require.NotEqual(t, draw(NewSchedule(Config{Seed: 3, Rates: even()}), other, 50), draw(NewSchedule(Config{Seed: 3, Rates: even()}), at, 50))
}

func TestFaultsComeAtTheirRates(t *testing.T) {
	const frames = 20_000
	s := NewSchedule(Config{Seed: 1, Rates: even()})
	count := make(map[Fault]int)
	for _, d := range draw(s, Point{Request, RecordPublish}, frames) {
		count[d.fault]++
		require.LessOrEqual(t, d.wait, longWait)
		require.LessOrEqual(t, d.refuse, refusal)
	}
	require.InDelta(t, frames/2, count[Pass], frames/50)
	for _, f := range Faults() {
		require.InDelta(t, frames/2/len(Faults()), count[f], frames/100, f)
	}
}

func TestRulesNameFrames(t *testing.T) {
	at := Point{Reply, StreamInfo}
	s := NewSchedule(Config{Rules: []Rule{
		{At: at, Nth: 3, Fault: Drop},
		{At: at, Nth: 5, Times: 2, Fault: Delay, Wait: shortWait},
		{At: Point{Request, StreamInfo}, Nth: 1, Fault: CutBefore},
	}})
	var got []Fault
	for _, d := range draw(s, at, 8) {
		got = append(got, d.fault)
	}
	require.Equal(t, []Fault{Pass, Pass, Drop, Pass, Delay, Delay, Pass, Pass}, got)
}

// A rule that stands behind another point waits until a frame has met a fault there.
func TestRulesStandBehindFaults(t *testing.T) {
	first, then := Point{Request, RecordPublish}, Point{Reply, LeaderGet}
	s := NewSchedule(Config{Rules: []Rule{
		{At: first, Nth: 2, Fault: Delay},
		{At: then, Nth: 1, Times: 100, Fault: Drop, Behind: first},
	}})
	require.Equal(t, Pass, s.next(then).fault)
	require.Equal(t, Pass, s.next(first).fault)
	require.Equal(t, Pass, s.next(then).fault)
	require.Equal(t, Delay, s.next(first).fault)
	require.Equal(t, Drop, s.next(then).fault)
	require.Equal(t, Pass, s.next(first).fault)
	require.Equal(t, Drop, s.next(then).fault)

	all := map[Point]Rates{first: {Drop: 1}}
	s = NewSchedule(Config{Rates: all, Rules: []Rule{{At: then, Nth: 1, Times: 100, Fault: Drop, Behind: first}}})
	require.Equal(t, Pass, s.next(then).fault)
	s.next(first)
	require.Equal(t, Drop, s.next(then).fault, "a fault by chance is one, too")
}

func TestNoScheduleNoFaults(t *testing.T) {
	var s *Schedule
	require.Equal(t, decision{}, s.next(Point{Request, RecordPublish}))
	every := NewSchedule(Config{Rates: map[Point]Rates{{Request, None}: {Drop: 1}}})
	require.Equal(t, decision{}, every.next(Point{Request, None}), "frames of no class are never touched")
}

func TestRatesAreProbabilities(t *testing.T) {
	require.Panics(t, func() {
		NewSchedule(Config{Rates: map[Point]Rates{{Request, LeaderGet}: {Drop: 0.6, Delay: 0.6}}})
	})
}
