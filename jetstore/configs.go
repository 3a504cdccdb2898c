package jetstore

import (
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/enactlog/enact"
)

// Configs returns the configurations that [EnsureStream] gives to a log's stream and to its
// index stream, and with them the streams' names. For a log with a stream for each tenant
// they are the tenant's ([EnsureTenant]); for one with a stream for all, tenant must be "".
//
// Each call makes new incarnations, with a first sequence of now. Without [WithReplicas]
// there is one replica. It returns an [*enact.OptionError] or an [*enact.IDError].
func Configs(tenant enact.TenantID, opts ...Option) (log, index jetstream.StreamConfig, err error) {
	cfg, err := newConfig(opts)
	if err != nil {
		return log, index, err
	}
	switch {
	case cfg.perTenant:
		if err := tenant.Validate(); err != nil {
			return log, index, err
		}
		cfg = cfg.forTenant(tenant)
	case tenant != "":
		return log, index, &enact.OptionError{Option: "WithStreamPerTenant", Reason: "was not given: the tenants share a stream"}
	}
	now, replicas := time.Now(), max(cfg.replicas, 1)
	return cfg.logConfig(now, replicas), cfg.indexConfig(now, replicas), nil
}

// CheckConfig holds the configuration that a stream has, or is to have, against what the
// log needs of it: want is what [Configs] returns. It returns an [*enact.StreamConfigError]
// that names each setting which breaks a guarantee, as [Open] would.
func CheckConfig(have, want jetstream.StreamConfig) error {
	problems := streamProblems(&have, want.Subjects[0], want.Storage == jetstream.MemoryStorage)
	if len(problems) > 0 {
		return &enact.StreamConfigError{Stream: want.Name, Problems: problems}
	}
	return nil
}

// Incarnation returns what tells two streams of one name apart, by the configuration and
// the time of creation that the server tells.
func Incarnation(config jetstream.StreamConfig, created time.Time) string {
	return incarnationOf(config.Metadata, created)
}

// DefaultReplicas returns how many replicas [EnsureStream] gives to streams on the server
// of a connection, without [WithReplicas].
func DefaultReplicas(nc *nats.Conn) int {
	if nc.ConnectedClusterName() != "" {
		return 3
	}
	return 1
}
