package bench

import (
	"context"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/enactlog/enact"
	"github.com/enactlog/enact/internal/logtest"
	"github.com/enactlog/enact/jetstore"
)

// pageSize is how many executions the listings are for.
const pageSize = 50

// The newest executions of a tenant that has all of the log's, or every fiftieth, beside
// a direct-get batch of their last records, which knows already which they are: the list
// alone and with details, by a store that has listed before and by one that has not.
func BenchmarkList(b *testing.B) {
	for _, at := range []string{"R1-disk", "R3-disk"} {
		for _, n := range []int{20_000, 200_000} {
			b.Run(fmt.Sprintf("%s/%d", at, n), func(b *testing.B) {
				p := placeNamed(b, at)
				newest := p.fabricate(b, n, 50)
				for _, of := range []struct {
					name   string
					tenant enact.TenantID
				}{{"one-tenant", "all"}, {"every-50th", "t7"}} {
					b.Run(of.name, func(b *testing.B) { p.benchmarkList(b, of.tenant, newest[of.tenant]) })
				}
			})
		}
	}
}

func (p *place) benchmarkList(b *testing.B, tenant enact.TenantID, want []enact.ExecutionID) {
	ctx := context.Background()
	var subjects []string
	for _, id := range want {
		subjects = append(subjects, p.store.Subjects().Execution(tenant, id))
	}
	raw := func(int) { check(b, p.rawLasts(subjects)) }
	list := func(s *jetstore.Store) {
		got, err := s.ListExecutions(ctx, tenant, pageSize, 0)
		check(b, err)
		if !slices.Equal(want, got) {
			b.Fatalf("listed %v, want %v", got, want)
		}
	}
	query := func(s *jetstore.Store) {
		got, _, err := s.Executions(ctx, enact.Query{Tenant: tenant, Limit: pageSize})
		check(b, err)
		if len(got) != pageSize || got[0].ExecutionID != want[0] || got[0].Status != enact.StatusRunning {
			b.Fatalf("%d executions, the first %+v", len(got), got[0])
		}
	}
	kinds := []struct {
		name string
		do   func(*jetstore.Store)
	}{{"ListExecutions", list}, {"Executions", query}}
	for _, of := range kinds {
		b.Run(of.name, func(b *testing.B) {
			b.ReportAllocs()
			compare(b, raw, func(int) { of.do(p.store) })
		})
		b.Run(of.name+"-first", func(b *testing.B) {
			var r, o []time.Duration
			for b.Loop() {
				fresh, err := jetstore.Open(ctx, p.nc)
				check(b, err)
				r = append(r, timed(func() { raw(0) }))
				o = append(o, timed(func() { of.do(fresh) }))
				check(b, fresh.Shutdown(ctx))
			}
			report(b, r, o)
		})
	}
	for _, of := range kinds {
		b.Run(of.name+"-after-a-creation", func(b *testing.B) {
			var r, o []time.Duration
			for b.Loop() {
				id := enact.NewExecutionID()
				_, err := p.store.Append(ctx, id, tenant, enact.ExecutionStarted{})
				check(b, err)
				want = append([]enact.ExecutionID{id}, want[:pageSize-1]...)
				r = append(r, timed(func() { raw(0) }))
				o = append(o, timed(func() { of.do(p.store) }))
			}
			report(b, r, o)
		})
	}
}

// rawLasts reads the last messages of subjects of the log with one direct-get batch.
func (p *place) rawLasts(subjects []string) error {
	return p.rawDirect(map[string]any{"multi_last": subjects}, len(subjects))
}

// fabricate makes n executions of the tenant "all" and as many of the given number of
// tenants in turn, each with one event, as a writer does but without waiting for each,
// and returns the newest of each tenant, newest first.
func (p *place) fabricate(b *testing.B, n, tenants int) map[enact.TenantID][]enact.ExecutionID {
	b.Helper()
	newest := make(map[enact.TenantID][]enact.ExecutionID)
	const window = 5000 // messages under way
	create := func(i int, tenant enact.TenantID) {
		now := time.Now()
		c := logtest.Creation{
			Subjects: p.store.Subjects(), Tenant: tenant, Execution: enact.NewExecutionID(), Commit: logtest.NewCommit(now), Time: now,
			Events: []enact.Event{enact.ExecutionStarted{Metadata: enact.JSON(map[string]string{"goal": "answer the question that was asked"})}},
		}
		first, err := c.Record()
		check(b, err)
		for _, m := range []*nats.Msg{c.Entry(), first} {
			if i%window == 0 || i == n {
				_, err := p.js.PublishMsg(context.Background(), m) // waits for all before it
				check(b, err)
			} else {
				check(b, p.nc.PublishMsg(m))
			}
		}
		newest[tenant] = append(newest[tenant], c.Execution)
	}
	for i := 1; i <= n; i++ {
		create(i, "all")
		create(i, enact.TenantID(fmt.Sprint("t", i%tenants)))
	}
	for tenant, all := range newest {
		page := slices.Clone(all[len(all)-min(pageSize, len(all)):])
		slices.Reverse(page)
		newest[tenant] = page
	}
	return newest
}
