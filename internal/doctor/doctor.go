// Package doctor examines a log and the servers that hold it: whether what the log's
// guarantees rest on is there. It reads, and what it tries it tries in a scratch log of
// its own, which it removes.
package doctor

import (
	"cmp"
	"context"
	"errors"
	"slices"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/enactlog/enact"
	"github.com/enactlog/enact/jetstore"
)

// Status is the outcome of a check.
type Status string

// Outcomes, from the best to the worst.
const (
	OK      Status = "ok"
	Unknown Status = "unknown" // could not be found out with what was given
	Warn    Status = "warn"    // works, and is one fault away from not working
	Fail    Status = "fail"    // a guarantee is broken, or the log does not serve
)

var severity = []Status{OK, Unknown, Warn, Fail}

// worse reports whether a is worse than b.
func worse(a, b Status) bool { return slices.Index(severity, a) > slices.Index(severity, b) }

// Finding is what one check found.
type Finding struct {
	Check  string `json:"check"`
	Status Status `json:"status"`
	Found  string `json:"found"`           // what is so
	Means  string `json:"means,omitempty"` // what follows from it; empty where all is well
	Mend   string `json:"mend,omitempty"`  // what to do about it
}

// Report is the outcome of an examination.
type Report struct {
	Worst    Status    `json:"worst"`
	Findings []Finding `json:"findings"`
}

func (r *Report) add(findings ...Finding) {
	for _, f := range findings {
		if worse(f.Status, r.Worst) {
			r.Worst = f.Status
		}
		r.Findings = append(r.Findings, f)
	}
}

// Unreachable is the report on a log that there is no connection to: cause says why, mend
// what to do ("": what there is to do in general).
func Unreachable(cause error, mend string) Report {
	var r Report
	r.add(Finding{
		Check: checkConnection, Status: Fail, Found: cause.Error(), Means: "no program can reach the log this way",
		Mend: cmp.Or(mend, "check the address, the credentials and that the server runs"),
	})
	return r
}

// Patient is what is examined.
type Patient struct {
	Conn    *nats.Conn        // as programs have it
	Options []jetstore.Option // of the log
	Tenant  enact.TenantID    // of a log with a stream per tenant; "": all of its tenants

	// Embedded says that the server is in this process: nobody else reaches it, and how it
	// syncs elsewhere is not its own to say.
	Embedded bool
	System   *nats.Conn // of the system account; nil: none
	Unheard  []string   // what else was to be asked, and why it could not be
	Monitors []string   // base URLs of servers' monitoring, as in http://n1:8222
	// Role is whose connection this is: what an operator may do, a writer must not be able
	// to. "": not known.
	Role jetstore.Role
	// Lag is how many records a consumer may have before it. 0: [DefaultLag].
	Lag uint64
	// Patience is how long to wait for a further answer where nobody knows how many there
	// are. 0: half a second.
	Patience time.Duration
	// NoProbes leaves out what writes: the scratch log.
	NoProbes bool
}

// DefaultLag is how far behind a consumer may be, in records.
const DefaultLag = 10_000

const defaultPatience = 500 * time.Millisecond

// Names of the checks.
const (
	checkConnection  = "connection"
	checkVersions    = "server versions"
	checkSync        = "fsync"
	checkSettings    = "stream settings"
	checkReplicas    = "replicas"
	checkPlacement   = "placement"
	checkPermissions = "permissions"
	checkClock       = "clock"
	checkRoundTrip   = "round trip"
	checkAppends     = "appends"
	checkIngest      = "duplicate ingest"
	checkConsumers   = "consumers"
	checkStorage     = "storage"
	checkLeftovers   = "leftovers"
)

// checks are all checks, in the order of the report. What one finds out, later ones may use.
var checks = []func(context.Context, *examination) []Finding{
	connection, versions, syncs, settings, replicas, placement, permissions,
	clocks, roundTrips, appends, ingest, consumers, storage, leftovers,
}

// Examine makes every check. An error is an option that is out of range or that ctx was
// cancelled, which then also says of scratch streams that stay (scratch.LeftError). What goes
// wrong with the log is in the report, also that time ran out.
func Examine(ctx context.Context, p Patient) (Report, error) {
	x, err := newExamination(p)
	if err != nil {
		return Report{}, err
	}
	x.look(ctx)
	r := Report{Worst: OK}
	for _, check := range checks {
		found := check(ctx, x)
		switch err := ctx.Err(); {
		case errors.Is(err, context.DeadlineExceeded):
			r.add(Finding{
				Check: checkConnection, Status: Fail, Found: "time ran out before the examination was through",
				Means: "the servers do not answer, or not fast enough", Mend: "see whether the servers run and have a leader; allow more time",
			})
			if left := x.leftBehind(x.left); left != nil && !slices.Contains(r.Findings, *left) {
				r.add(*left)
			}
			return r, nil
		case err != nil:
			return r, errors.Join(err, x.left)
		}
		r.add(found...)
	}
	return r, nil
}
