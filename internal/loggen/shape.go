// Package loggen fills a log with the executions of many agents at work side by side,
// for benchmarks: real records, correct in every link and chain, as stores would have
// appended them, but published without waiting for each acknowledgement.
//
// What a [Shape] makes is always the same, so that a log that was made before can be
// measured again.
package loggen

import (
	"cmp"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"

	"github.com/segmentio/ksuid"

	"github.com/enactlog/enact"
)

// Shape says what a log is made of: some classes of executions, and around them short
// ones, whose lengths follow a power law.
type Shape struct {
	Seed       uint64
	Records    int // of the whole log
	Executions int // of the whole log
	Tenants    int // 0: 1
	Classes    []Class
}

// Class is a number of executions that are alike.
type Class struct {
	Name  string
	Count int
	// Records of each execution, at least one, drawn evenly from Min to Max. Max below
	// Min counts as Min.
	Min, Max int
	// Gap is how many messages lie, on average, from one of its records to the next. 0
	// spreads the execution over the whole log, evenly, and those of the class so that
	// their records are apart.
	Gap float64
	// Bursts divides the records into so many parts, which are spread like that, each with
	// its records Gap apart: an agent that works, waits for days, and works again.
	Bursts int
	// Single gives each record one event. Otherwise one in five has several.
	Single bool
}

// Short is the name of the class that the executions beside the classes are in. Half of
// them have less than three quarters of the mean number of records, one in a hundred has
// five times as many. From one record to the next lie 20 to 2000 messages.
const Short = "short"

// Execution is one execution of a log.
type Execution struct {
	TenantID    enact.TenantID
	ExecutionID enact.ExecutionID
	Class       string
	Records     int
	single      bool
}

// Plan is where every record of a log stands.
type Plan struct {
	shape      Shape
	executions []Execution // in the order of their first records
	order      []int32     // index of the execution of each record
}

// Plan lays a log out. It returns an error for a shape whose classes need more records
// or executions than it has.
func (s Shape) Plan() (*Plan, error) {
	random := rand.New(rand.NewPCG(s.Seed, 1))
	p := &Plan{shape: s}
	var visits []visit
	add := func(e Execution, times []float64) {
		for _, at := range times {
			visits = append(visits, visit{at, int32(len(p.executions))})
		}
		p.executions = append(p.executions, e)
	}
	used := 0
	for _, c := range s.Classes {
		for i := range c.Count {
			n := c.Min + random.IntN(max(1, c.Max-c.Min+1))
			used += n
			var times []float64
			switch {
			case c.Bursts > 0:
				for j, at := range s.spread(random, c.Bursts, i, c.Count) {
					times = append(times, exponential(random, at, (n+j)/c.Bursts, c.Gap)...)
				}
			case c.Gap == 0:
				times = s.spread(random, n, i, c.Count)
			default:
				times = s.paced(random, n, c.Gap)
			}
			add(s.name(random, Execution{Class: c.Name, Records: n, single: c.Single}), times)
		}
	}
	short, left := s.Executions-len(p.executions), s.Records-used
	if short < 0 || left < short || short == 0 && left > 0 {
		return nil, fmt.Errorf("loggen: %d short executions cannot have %d records", short, left)
	}
	for _, n := range powerLaw(random, short, left) {
		gap := 20 * math.Pow(100, random.Float64())
		add(s.name(random, Execution{Class: Short, Records: n}), s.paced(random, n, gap))
	}
	p.arrange(visits)
	return p, nil
}

// visit is an agent's turn: a time, in units of one message of the whole log, and the
// execution that gets a record.
type visit struct {
	at        float64
	execution int32
}

// arrange puts the records in the order of their times and the executions in that of
// their first records.
func (p *Plan) arrange(visits []visit) {
	slices.SortFunc(visits, func(a, b visit) int { return cmp.Compare(a.at, b.at) })
	place := make([]int32, len(p.executions))
	for i := range place {
		place[i] = -1
	}
	sorted := make([]Execution, 0, len(p.executions))
	p.order = make([]int32, len(visits))
	for i, v := range visits {
		if place[v.execution] < 0 {
			place[v.execution] = int32(len(sorted))
			sorted = append(sorted, p.executions[v.execution])
		}
		p.order[i] = place[v.execution]
	}
	p.executions = sorted
}

// paced returns n times that are gap apart on average, somewhere in the log: as those of
// an agent that is at work among others.
func (s Shape) paced(random *rand.Rand, n int, gap float64) []float64 {
	gap = min(gap, 0.9*float64(s.Records)/float64(n))
	return exponential(random, random.Float64()*(float64(s.Records)-gap*float64(n)), n, gap)
}

// exponential returns n times from at on that are gap apart on average.
func exponential(random *rand.Rand, at float64, n int, gap float64) []float64 {
	times := make([]float64, n)
	for i := range times {
		times[i] = at
		at += gap * random.ExpFloat64()
	}
	return times
}

// spread returns n times over the whole log, those of the i-th of count executions.
func (s Shape) spread(random *rand.Rand, n, i, count int) []float64 {
	times := make([]float64, n)
	for j := range times {
		place := (float64(i) + random.Float64()/2) / float64(count)
		times[j] = (float64(j) + place) / float64(n) * float64(s.Records)
	}
	return times
}

// powerLaw divides total among n, each at least 1: the k-th has about as many as
// 1/sqrt(k) says.
func powerLaw(random *rand.Rand, n, total int) []int {
	counts := make([]int, n)
	for i := range counts {
		counts[i] = 1
	}
	for range total - n {
		u := random.Float64()
		counts[int(u*u*float64(n))]++
	}
	return counts
}

func (s Shape) name(random *rand.Rand, e Execution) Execution {
	var id ksuid.KSUID
	for i := range id {
		id[i] = byte(random.Uint32())
	}
	e.ExecutionID = enact.ExecutionID("exec_" + id.String())
	e.TenantID = enact.TenantID(fmt.Sprintf("tenant-%d", random.IntN(max(1, s.Tenants))))
	return e
}

// Class returns the executions of a class, in the order of their first records.
func (p *Plan) Class(name string) []Execution {
	var some []Execution
	for _, e := range p.executions {
		if e.Class == name {
			some = append(some, e)
		}
	}
	return some
}

// Executions returns all executions, in the order of their first records.
func (p *Plan) Executions() []Execution { return p.executions }

// Records returns the number of records of the log.
func (p *Plan) Records() int { return len(p.order) }
