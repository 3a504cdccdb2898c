package jetstore

import (
	"fmt"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/enactlog/enact"
)

// MetadataRestore is the key in the metadata of a stream that a restore is making (package
// backup). Until the restore is done, or where it was broken off, there is a part of the log
// that looks whole: no store opens it.
const MetadataRestore = "enact.restore"

// Layout is where a log is: its streams, and the way to them. Programs that look at the
// streams themselves, instead of at the executions in them, start from it.
type Layout struct {
	Log, Index StreamLayout
	APIPrefix  string // of the requests of JetStream's API, as in "$JS.API"
	Subjects   enact.Subjects
	// PerTenant says that there is no such stream: each tenant has its own.
	PerTenant bool
}

// StreamLayout is one of a log's streams.
type StreamLayout struct {
	Name    string
	Subject string // the only one that it has
	memory  bool
}

// LayoutOf returns the layout of the log that the options describe; with
// [WithStreamPerTenant], of the tenant's. "" means all tenants. Errors are
// [*enact.OptionError] and [*enact.IDError].
func LayoutOf(tenant enact.TenantID, opts ...Option) (Layout, error) {
	cfg, err := newConfig(opts)
	if err != nil {
		return Layout{}, err
	}
	if tenant != "" {
		if err := tenant.Validate(); err != nil {
			return Layout{}, err
		}
		if cfg.perTenant {
			cfg = cfg.forTenant(tenant)
		}
	}
	return Layout{
		Log:       StreamLayout{Name: cfg.stream, Subject: cfg.logSubject(), memory: cfg.memory},
		Index:     StreamLayout{Name: cfg.index(), Subject: cfg.indexSubject(), memory: cfg.memory},
		APIPrefix: cfg.apiPrefix, Subjects: cfg.subjects, PerTenant: cfg.perTenant,
	}, nil
}

// Problems names every setting that breaks a guarantee of the log, in the order of the
// settings, as [Open] would; nil if there is none.
func (l StreamLayout) Problems(have *jetstream.StreamConfig) []enact.StreamProblem {
	return streamProblems(have, l.Subject, l.memory)
}

// CheckServerVersion returns an error that matches enact.ErrServerTooOld if a server of the
// version, as in "2.15.2", does not keep the log's promises. A pre-release counts as its
// release.
func CheckServerVersion(version string) error {
	if versionLess(version, MinServerVersion) {
		return fmt.Errorf("%w: %s, need %s", enact.ErrServerTooOld, version, MinServerVersion)
	}
	return nil
}
