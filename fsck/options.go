package fsck

import (
	"fmt"
	"iter"
	"time"

	"github.com/enactlog/enact"
)

// Defaults of the options.
const (
	DefaultMemory   = 64 << 20
	DefaultFindings = 10_000
)

// saveEvery is the time between two savings of the state.
const saveEvery = time.Minute

// Options say what is checked and how. The zero value checks everything.
type Options struct {
	// Tenant confines the check to a tenant. On a shared stream it does not notice messages
	// that are missing behind a history's last record, nor ids in two tenants. Default: all.
	Tenant enact.TenantID
	// Execution confines the check to an execution, in all tenants unless Tenant names one.
	Execution enact.ExecutionID
	// Heads gives heads that were kept elsewhere, as [ReadHeads] does; it is called once and
	// once more for each pass over the log. Heads outside the scope are passed over. Heads of
	// one execution may be several. Default: none.
	Heads func() iter.Seq2[enact.Head, error]
	// EachReplica makes every replica the leader in turn, of log and index, and compares
	// what they hold. Appends wait some milliseconds, or an election, for each. Only for a
	// check of everything, or of a tenant that has streams of its own.
	EachReplica bool
	// Memory bounds what is kept of executions, in bytes; about 400 for each. More of them are
	// checked in more passes over the log. Default (and 0): 64 MiB.
	Memory int64
	// Findings is how many findings a report keeps. Default (and 0): 10 000.
	Findings int
	// State is a file that an unfinished check leaves behind, and from which it goes on. It is
	// written every minute, and when the check is broken off, and removed when it is done.
	// The comparison of replicas begins anew. Default: none.
	State string
	// Progress is called now and then by the calling goroutine. Default: nil.
	Progress func(Progress)
}

// Progress is how far a check has come.
type Progress struct {
	Stage    Stage
	Stream   string
	Replica  string // of the comparison: the server whose copy is read
	Pass     int    // from 1
	Passes   int
	Position uint64 // in the stream, up to which the stage has come
	First    uint64
	Last     uint64
	Faults   uint64 // so far
}

// Stage is a part of a check.
type Stage string

// The stages of a check, in their order. Index and Log are passed for each pass.
const (
	StageIndex    Stage = "index"
	StageLog      Stage = "log"
	StageReplicas Stage = "replicas"
)

// normal returns the options with their defaults, or an [*enact.OptionError] or
// [*enact.IDError].
func (o Options) normal() (Options, error) {
	if o.Tenant != "" {
		if err := o.Tenant.Validate(); err != nil {
			return o, err
		}
	}
	if o.Execution != "" {
		if err := o.Execution.Validate(); err != nil {
			return o, err
		}
	}
	if o.Memory < 0 {
		return o, &enact.OptionError{Option: "Memory", Reason: fmt.Sprintf("%d is below 0", o.Memory)}
	}
	if o.Findings < 0 {
		return o, &enact.OptionError{Option: "Findings", Reason: fmt.Sprintf("%d is below 0", o.Findings)}
	}
	if o.Memory == 0 {
		o.Memory = DefaultMemory
	}
	if o.Findings == 0 {
		o.Findings = DefaultFindings
	}
	if o.Progress == nil {
		o.Progress = func(Progress) {}
	}
	return o, nil
}
