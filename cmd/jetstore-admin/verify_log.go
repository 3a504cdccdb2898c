package main

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/enactlog/enact"
	"github.com/enactlog/enact/fsck"
	"github.com/enactlog/enact/jetstore"
)

// errFaults says that a log that was restored is not sound.
var errFaults = errors.New("the log that was restored has faults")

// verifyLog checks all that a restore brought back, as fsck does. What cannot be checked
// without the keys is told and is no fault.
func (a *app) verifyLog(ctx context.Context, s *session, tenant *tenantFlag) (err error) {
	store, err := jetstore.Open(ctx, s.nc, s.options...)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, closeStore(ctx, store)) }()
	var (
		b     *bar
		stage fsck.Stage
	)
	defer func() { b.end() }()
	result, err := fsck.Check(ctx, store, fsck.Options{
		Tenant: enact.TenantID(tenant.id),
		Progress: func(p fsck.Progress) {
			if p.Stage != stage {
				b.end()
				stage, b = p.Stage, a.progress("fsck "+p.Stream, int64(p.Last-p.First)+1, countUnit)
			}
			b.set(int64(p.Position - min(p.First, p.Position)))
		},
	})
	if err != nil {
		return fmt.Errorf("check of what was restored: %w", err)
	}
	if result.Faults > 0 {
		var said []string
		for _, f := range result.Findings {
			if f.Severity == fsck.Fault && len(said) < 10 {
				said = append(said, fmt.Sprintf("%s at position %d of %s: %s", f.Kind, f.Position, f.Stream, f.Reason))
			}
		}
		return fmt.Errorf("%w, %d of them:\n  %s", errFaults, result.Faults, strings.Join(said, "\n  "))
	}
	a.notice("checked: %s of %s, no faults", counted(int(result.Events), "event"), counted(int(result.Executions), "execution"))
	if result.Unchecked > 0 {
		a.notice("%s could not be checked: give --keys, or see fsck", counted(int(result.Unchecked), "finding"))
	}
	return nil
}
