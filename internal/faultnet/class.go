package faultnet

import "strings"

// Direction is the way that a frame goes.
type Direction uint8

// Directions.
const (
	Request Direction = iota // from the client to the server
	Reply                    // from the server to the client, in answer to a request
)

func (d Direction) String() string { return [...]string{"request", "reply"}[d] }

// Class is what a request asks for; an answer has the class of its request.
type Class uint8

// Classes, as the event log's store uses the server.
const (
	None          Class = iota // whatever no fault is meant for: pings, subscriptions, the rest
	RecordPublish              // a record that is a commit of its own
	BatchStage                 // a record of a staged batch but for its last
	BatchCommit                // the last record of a staged batch
	IndexPublish               // an entry of the index stream
	LeaderGet                  // STREAM.MSG.GET
	StreamInfo                 // STREAM.INFO
	DirectGet                  // DIRECT.GET
	classes
)

func (c Class) String() string {
	return [...]string{"none", "record publish", "batch stage", "batch commit", "index publish", "leader get", "stream info", "direct get"}[c]
}

// Point is a place on the way of an append where something can go wrong.
type Point struct {
	Direction Direction
	Class     Class
}

func (p Point) String() string { return p.Class.String() + " " + p.Direction.String() }

// Points returns all points that a fault can be meant for.
func Points() []Point {
	var all []Point
	for c := None + 1; c < classes; c++ {
		all = append(all, Point{Request, c}, Point{Reply, c})
	}
	return all
}

// Subjects of the event log and of JetStream's API, and the headers of a staged batch
// (ADR-50).
const (
	indexSubjects  = "enact-index."
	recordSubjects = "enact."
	batchID        = "Nats-Batch-Id"
	batchCommit    = "Nats-Batch-Commit"
)

// classify returns the class of a request.
func classify(f *frame) Class {
	if f.op != "PUB" && f.op != "HPUB" {
		return None
	}
	switch {
	case strings.HasPrefix(f.subject, indexSubjects):
		return IndexPublish
	case strings.HasPrefix(f.subject, recordSubjects):
		switch {
		case f.has(batchCommit):
			return BatchCommit
		case f.has(batchID):
			return BatchStage
		}
		return RecordPublish
	case strings.Contains(f.subject, ".STREAM.MSG.GET."):
		return LeaderGet
	case strings.Contains(f.subject, ".STREAM.INFO."):
		return StreamInfo
	case strings.Contains(f.subject, ".DIRECT.GET."):
		return DirectGet
	}
	return None
}
