package integration

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"os"
	"slices"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"
	"github.com/stretchr/testify/require"

	"github.com/enactlog/enact"
	"github.com/enactlog/enact/internal/natstest"
	"github.com/enactlog/enact/jetstore"
)

const (
	creatorProcesses  = 16
	creatorGoroutines = 4
	creatorTenants    = 50
	creatorKills      = 12
	creatorsTimeout   = 30 * time.Minute

	// executionsVariable says how many executions the test creates; `make listing` sets it.
	executionsVariable = "ENACT_LISTING_EXECUTIONS"
	fewExecutions      = 2000
)

// creatorScript is what one process of creators does.
type creatorScript struct {
	URL   string
	Name  string // of the process, part of every id
	First int    // tenant of the first creation
	Count int    // of executions
}

// created is an acknowledged creation: its append began and ended within these times.
type created struct {
	Tenant     enact.TenantID
	Execution  enact.ExecutionID
	Began, Was int64 // by clock
}

func creatorTenant(i int) enact.TenantID {
	return enact.TenantID(fmt.Sprintf("tenant %d.", i%creatorTenants))
}

// playCreator creates executions from several goroutines, and says which were acknowledged.
func playCreator(text []byte, l line) error {
	var script creatorScript
	if err := json.Unmarshal(text, &script); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(context.Background(), creatorsTimeout)
	defer cancel()
	s, err := jetstore.Connect(ctx, script.URL)
	if err != nil {
		return err
	}
	var mu sync.Mutex
	errs := make([]error, creatorGoroutines)
	var all sync.WaitGroup
	for g := range creatorGoroutines {
		all.Go(func() {
			for n := g; n < script.Count && errs[g] == nil; n += creatorGoroutines {
				c := created{Tenant: creatorTenant(script.First + n), Execution: enact.ExecutionID(fmt.Sprintf("%s/%d", script.Name, n)), Began: clock()}
				if _, errs[g] = s.Append(ctx, c.Execution, c.Tenant, enact.ExecutionStarted{}, enact.ExpectSequence(0)); errs[g] != nil {
					return
				}
				c.Was = clock()
				mu.Lock()
				errs[g] = l.say.Encode(c)
				mu.Unlock()
			}
		})
	}
	all.Wait()
	return errors.Join(append(errs, s.Shutdown(ctx))...)
}

// creators is a crowd of processes that create executions, and what they have said.
type creators struct {
	url    string
	random *rand.Rand

	mu   sync.Mutex
	acks map[enact.TenantID][]created
	n    int
}

// run lets a process create count executions. It is killed after it has said killAfter of
// them, unless that is 0, and another takes over the rest.
func (c *creators) run(name string, first, count, killAfter int) error {
	said, err := c.live(name+"a", first, count, killAfter)
	if err != nil && killAfter > 0 {
		_, err = c.live(name+"b", first+said, count-said, 0)
	}
	return err
}

// live is the life of one process. It returns how many creations it has said.
func (c *creators) live(name string, first, count, killAfter int) (said int, err error) {
	p, err := spawn("creator", creatorScript{URL: c.url, Name: name, First: first, Count: count})
	if err != nil {
		return 0, err
	}
	defer p.kill()
	for {
		var one created
		if err := p.line.hear.Decode(&one); err != nil {
			break // it ended, or was killed as it spoke
		}
		c.mu.Lock()
		c.acks[one.Tenant] = append(c.acks[one.Tenant], one)
		c.n++
		c.mu.Unlock()
		if said++; said == killAfter {
			_ = p.cmd.Process.Kill() // an error means that it has ended
		}
	}
	if err := p.cmd.Wait(); err != nil {
		return said, fmt.Errorf("%s: %w: %s", name, err, p.errors.String())
	}
	return said, nil
}

// acknowledged returns what the tenant's creators have said so far.
func (c *creators) acknowledged(tenant enact.TenantID) []created {
	c.mu.Lock()
	defer c.mu.Unlock()
	return slices.Clone(c.acks[tenant])
}

// Processes create executions of many tenants at once, some of them killed on the way.
// Whatever lists them, and when: every execution that has events is listed once, none
// without, in an order of creation, and pages by offset and by cursor agree.
func TestListsOfManyCreators(t *testing.T) {
	executions := fewExecutions
	if text := os.Getenv(executionsVariable); text != "" {
		n, err := strconv.Atoi(text)
		require.NoError(t, err)
		executions = n
	}
	server := natstest.Start(t, natstest.Options{NoSync: true})
	ensure(t, server.URL())
	c := &creators{url: server.URL(), random: newRandom(t), acks: make(map[enact.TenantID][]created)}
	each := executions / creatorProcesses
	began := time.Now()
	errs := make([]error, creatorProcesses)
	var all sync.WaitGroup
	for i := range creatorProcesses {
		killAfter := 0
		if i < creatorKills {
			killAfter = 1 + c.random.IntN(each)
		}
		all.Go(func() { errs[i] = c.run(fmt.Sprint("p", i), i*each, each, killAfter) })
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		all.Wait()
	}()
	lists := c.listMeanwhile(t, done)
	require.NoError(t, errors.Join(errs...))
	t.Logf("%d creations in %v, %d lists meanwhile", c.n, time.Since(began).Round(time.Millisecond), lists)
	require.Equal(t, each*creatorProcesses, c.n)

	began = time.Now()
	s := open(t, server.URL())
	stream, err := jetstream.New(connect(t, server.URL()))
	require.NoError(t, err)
	log, err := stream.Stream(t.Context(), s.StreamName())
	require.NoError(t, err)
	listed, unacknowledged := 0, 0
	for i := range creatorTenants {
		tenant := creatorTenant(i)
		info, err := log.Info(t.Context(), jetstream.WithSubjectFilter(s.Subjects().Tenant(tenant)))
		require.NoError(t, err)
		ids := c.check(t, s, tenant, info.State.Subjects)
		listed += len(ids)
		unacknowledged += len(ids) - len(c.acks[tenant])
	}
	tenants, err := s.ListTenants(t.Context())
	require.NoError(t, err)
	require.Len(t, tenants, creatorTenants)
	entries := 0
	for _, x := range tenants {
		entries += int(x.Executions)
	}
	require.GreaterOrEqual(t, entries, listed)
	t.Logf("%d executions listed, %d of them never acknowledged, %d creations crashed; checked in %v",
		listed, unacknowledged, entries-listed, time.Since(began).Round(time.Millisecond))
}

// listMeanwhile lists tenants by cursors until done: every execution acknowledged before a
// list begins is in it, once. It returns the number of lists.
func (c *creators) listMeanwhile(t *testing.T, done <-chan struct{}) (lists int) {
	t.Helper()
	s := open(t, c.url)
	for {
		select {
		case <-done:
			return lists
		default:
		}
		tenant := creatorTenant(c.random.IntN(creatorTenants))
		before := c.acknowledged(tenant)
		seen := make(map[enact.ExecutionID]bool)
		for x, err := range enact.AllExecutions(t.Context(), s, enact.Query{Tenant: tenant, Limit: 1 + c.random.IntN(100)}) {
			require.NoError(t, err)
			require.NoError(t, x.Err)
			require.False(t, seen[x.ExecutionID], "%s is listed twice", x.ExecutionID)
			seen[x.ExecutionID] = true
		}
		for _, one := range before {
			require.True(t, seen[one.Execution], "%s was acknowledged and is not listed", one.Execution)
		}
		lists++
	}
}

// check compares a tenant's lists with each other, with the subjects that have messages,
// and with what is known of the order. It returns the list, newest first.
func (c *creators) check(t *testing.T, s *jetstore.Store, tenant enact.TenantID, subjects map[string]uint64) []enact.ExecutionID {
	t.Helper()
	ctx := t.Context()
	ids, err := s.ListExecutions(ctx, tenant, math.MaxInt, 0)
	require.NoError(t, err)
	require.Len(t, ids, len(subjects), "executions with events, and those listed")
	for _, id := range ids {
		subject := s.Subjects().Execution(tenant, id)
		require.Positive(t, subjects[subject], "%s is listed, and without events or listed twice", id)
		delete(subjects, subject)
	}
	size := 1 + len(ids)/10 + c.random.IntN(1+len(ids)/5)
	var byOffset, byCursor []enact.ExecutionID
	for {
		page, err := s.ListExecutions(ctx, tenant, size, len(byOffset))
		require.NoError(t, err)
		if len(page) == 0 {
			break
		}
		byOffset = append(byOffset, page...)
	}
	require.Equal(t, ids, byOffset, "pages of %d by offset", size)
	for x, err := range enact.AllExecutions(ctx, s, enact.Query{Tenant: tenant, Limit: min(size, enact.MaxQueryLimit)}) {
		require.NoError(t, err)
		require.NoError(t, x.Err)
		require.Equal(t, uint64(1), x.Events)
		require.Equal(t, enact.StatusRunning, x.Status)
		byCursor = append(byCursor, x.ExecutionID)
	}
	require.Equal(t, ids, byCursor, "pages of %d by cursor", size)

	// One that was acknowledged before another's append began is listed behind it.
	times := make(map[enact.ExecutionID]created)
	for _, one := range c.acks[tenant] {
		times[one.Execution] = one
	}
	earliest := int64(math.MaxInt64) // acknowledgement of those listed so far, which are newer
	for _, id := range ids {
		one, ok := times[id]
		if !ok {
			continue
		}
		require.LessOrEqual(t, one.Began, earliest, "%s is listed as older than one that was there before it began", id)
		earliest = min(earliest, one.Was)
		delete(times, id)
	}
	require.Empty(t, times, "acknowledged, and not listed")
	return ids
}
