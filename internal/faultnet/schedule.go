package faultnet

import (
	"fmt"
	"math/rand/v2"
	"sync"
	"time"
)

// Fault is what happens to a frame.
type Fault uint8

// Faults.
const (
	Pass      Fault = iota // nothing
	Drop                   // it is lost
	Delay                  // it waits, and all that follows waits behind it
	Reorder                // it waits until later frames have passed, or for a time
	Duplicate              // it arrives twice in a row
	Echo                   // it arrives, and once more later
	CutBefore              // the connection ends, the frame is lost with it
	CutAfter               // the frame arrives, then the connection ends
	// Deny gives the answer "no message found" in place of the one to a LeaderGet: a
	// server's read error looks like that. To all else it is Pass.
	Deny
	faults
)

func (f Fault) String() string {
	return [...]string{"pass", "drop", "delay", "reorder", "duplicate", "echo", "cut before", "cut after", "deny"}[f]
}

// Faults returns all faults but Pass.
func Faults() []Fault {
	var all []Fault
	for f := Pass + 1; f < faults; f++ {
		all = append(all, f)
	}
	return all
}

// Rates gives the probability of each fault. Their sum is at most 1; what is left is
// that of Pass.
type Rates map[Fault]float64

// Rule applies a fault to single frames.
type Rule struct {
	At    Point
	Nth   int // of the frames at that point, from 1
	Times int // of how many frames in a row from there; 0: one
	Fault Fault
	// Behind is a point: the rule holds once a frame has met a fault there. The zero Point: it
	// holds from the beginning. What comes before that counts for Nth all the same.
	Behind Point
	Gap    int           // of Reorder and Echo: later frames to wait for; 0: 4
	Wait   time.Duration // of faults that wait, 0: Config.Longest; after a cut, how long connections are refused
}

// Config of a schedule.
type Config struct {
	Seed    uint64          // of the random faults
	Rates   map[Point]Rates // random faults; no entry: none
	Rules   []Rule          // in addition; the first that fits a frame wins
	Longest time.Duration   // longest wait of a random fault; 0: 500 ms
}

// Bounds of what is drawn for a fault.
const (
	shortWait  = 10 * time.Millisecond // of every second wait
	longWait   = 500 * time.Millisecond
	longestGap = 4 // later frames that a reordered one waits for
	refusal    = 30 * time.Millisecond
)

// Schedule decides what happens to each frame. Each point has a random sequence of its
// own, so that the decisions at one do not depend on what passes at another: the n-th
// frame at a point meets the same fault in every run with one seed.
type Schedule struct {
	cfg Config

	mu     sync.Mutex
	points map[Point]*sequence
}

type sequence struct {
	n   int
	met bool // a frame has met a fault
	rng *rand.Rand
}

// NewSchedule makes a schedule. It panics if rates are no probabilities.
func NewSchedule(cfg Config) *Schedule {
	for at, rates := range cfg.Rates {
		sum := 0.0
		for _, p := range rates {
			sum += p
		}
		if sum > 1 {
			panic(fmt.Sprintf("faultnet: the rates at %s come to %v", at, sum))
		}
	}
	if cfg.Longest == 0 {
		cfg.Longest = longWait
	}
	return &Schedule{cfg: cfg, points: make(map[Point]*sequence)}
}

// decision is a fault with its measures.
type decision struct {
	fault  Fault
	gap    int           // later frames to wait for
	wait   time.Duration // time to wait at most
	refuse time.Duration // after a cut: how long connections are refused
}

// next decides about the next frame at a point. A nil schedule passes everything.
func (s *Schedule) next(at Point) decision {
	if s == nil || at.Class == None {
		return decision{}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	q := s.points[at]
	if q == nil {
		q = &sequence{rng: rand.New(rand.NewPCG(s.cfg.Seed, uint64(at.Direction)<<8|uint64(at.Class)))}
		s.points[at] = q
	}
	q.n++
	// All are drawn for every frame: a decision shifts no later one.
	dice, gap, long := q.rng.Float64(), 1+q.rng.IntN(longestGap), q.rng.IntN(2) == 0
	wait, refuse := q.rng.Float64(), time.Duration(q.rng.Float64()*float64(refusal))
	for _, r := range s.cfg.Rules {
		if r.At == at && q.n >= r.Nth && q.n < r.Nth+max(r.Times, 1) && s.holds(r) {
			q.met = true
			d := decision{fault: r.Fault, gap: r.Gap, wait: r.Wait, refuse: r.Wait}
			if d.gap == 0 {
				d.gap = longestGap
			}
			if d.wait == 0 {
				d.wait = s.cfg.Longest
			}
			return d
		}
	}
	d := decision{gap: gap, refuse: refuse, wait: time.Duration(wait * float64(shortWait))}
	if long {
		d.wait = time.Duration(wait * float64(s.cfg.Longest))
	}
	for f := Pass + 1; f < faults; f++ {
		if dice -= s.cfg.Rates[at][f]; dice < 0 {
			d.fault, q.met = f, true
			return d
		}
	}
	return decision{}
}

// holds reports whether the rule holds already. It is for the one who holds the mutex.
func (s *Schedule) holds(r Rule) bool {
	if r.Behind == (Point{}) {
		return true
	}
	q := s.points[r.Behind]
	return q != nil && q.met
}
