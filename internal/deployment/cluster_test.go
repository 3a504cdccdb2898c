//go:build deployment

package deployment_test

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/stretchr/testify/require"

	"github.com/enactlog/enact"
	"github.com/enactlog/enact/internal/deployment"
	"github.com/enactlog/enact/jetstore"
)

const patience = 5 * time.Minute // with a build of the admin program

// The tests of this file run servers for half a minute: make deploy-test.

// Three servers run from the files in deploy/nats, with and without TLS: operators make the
// streams, users may do what they are for and nothing else, and the loss of a server is
// an append that takes longer.
func TestCluster(t *testing.T) {
	for name, tls := range map[string]bool{"plain": false, "TLS": true} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			ctx, cancel := context.WithTimeout(t.Context(), patience)
			defer cancel()
			c, err := deployment.Start(ctx, deployment.Options{Config: config, Dir: t.TempDir(), TLS: tls, FreePorts: true})
			require.NoError(t, err)
			defer c.Stop()

			createStreams(ctx, t, c, deployment.Operator, tls)
			createStreams(ctx, t, c, deployment.GlobexOperator, tls)
			platform := open(t, c, deployment.Platform)
			run := platform.Execution("umbrella", enact.NewExecutionID())
			_, err = run.Append(ctx, enact.ExecutionResumed{})
			require.NoError(t, err)
			tenants(ctx, t, c, run)
			strangers(t, c)
			losesOne(ctx, t, c, run)
		})
	}
}

// createStreams makes the streams of a user's account with the command of docker-compose.yml.
func createStreams(ctx context.Context, t *testing.T, c *deployment.Cluster, user string, tls bool) {
	t.Helper()
	_, err := jetstore.Connect(ctx, c.URL(user), jetstore.WithNATS(append(c.NATS(), nats.Timeout(time.Minute))...))
	require.ErrorIs(t, err, enact.ErrStreamNotFound)
	args := readCompose(t, tls).Services["streams"].Command
	if tls {
		require.Equal(t, "--tlsca", args[len(args)-2])
		args[len(args)-1] = c.CA()
	}
	cmd := exec.CommandContext(ctx, "go", append([]string{"run", "../../cmd/jetstore-admin"}, args...)...)
	cmd.Env = append(os.Environ(), "NATS_URL="+c.URL(user))
	out, err := cmd.CombinedOutput()
	require.NoError(t, err, "%s", out)
}

// open opens the log as a user. It is shut down when the test ends.
func open(t *testing.T, c *deployment.Cluster, user string, opts ...nats.Option) *jetstore.Store {
	t.Helper()
	// Refusals and lost connections are what the tests are about: nothing to print.
	opts = append(opts, nats.Timeout(time.Minute), nats.ErrorHandler(func(*nats.Conn, *nats.Subscription, error) {}))
	s, err := jetstore.Connect(t.Context(), c.URL(user), jetstore.WithNATS(append(c.NATS(), opts...)...))
	require.NoError(t, err, user)
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), patience)
		defer cancel()
		require.NoError(t, s.Shutdown(ctx))
	})
	return s
}

// tenants checks what the example users may and may not do, given another tenant's execution.
func tenants(ctx context.Context, t *testing.T, c *deployment.Cluster, others jetstore.Execution) {
	t.Helper()
	acme := open(t, c, deployment.Acme, nats.CustomInboxPrefix("_INBOX_acme"))
	_, err := acme.Append(ctx, enact.NewExecutionID(), "acme", enact.ExecutionResumed{})
	require.NoError(t, err)
	_, err = acme.Append(ctx, others.ID(), others.Tenant(), enact.ExecutionResumed{})
	require.ErrorIs(t, err, enact.ErrNotPermitted, "to another tenant's execution")
	_, err = acme.Append(ctx, enact.NewExecutionID(), others.Tenant(), enact.ExecutionResumed{})
	require.ErrorIs(t, err, enact.ErrNotPermitted, "as another tenant")

	reader := open(t, c, deployment.Reader)
	loaded, err := reader.LoadEvents(ctx, others.ID())
	require.NoError(t, err)
	require.Len(t, loaded, 1)
	_, err = reader.Append(ctx, others.ID(), others.Tenant(), enact.ExecutionResumed{})
	require.ErrorIs(t, err, enact.ErrNotPermitted, "by a reader")

	// An account of its own has a log of its own.
	globex := open(t, c, deployment.Globex)
	exists, err := globex.ExecutionExists(ctx, others.ID())
	require.NoError(t, err)
	require.False(t, exists)
	_, err = globex.Append(ctx, enact.NewExecutionID(), "globex", enact.ExecutionResumed{})
	require.NoError(t, err)
}

// strangers checks that nobody comes in without a password, or, with TLS, without the authority.
func strangers(t *testing.T, c *deployment.Cluster) {
	t.Helper()
	address := c.Nodes[0].Client()
	for _, who := range []string{"", "platform:@", "platform:password@", "operator:operator@"} {
		_, err := nats.Connect("nats://"+who+address, append(c.NATS(), nats.Timeout(time.Minute))...)
		require.ErrorIs(t, err, nats.ErrAuthorization, who)
	}
	if c.CA() != "" {
		_, err := nats.Connect(c.URL(deployment.Platform), nats.Timeout(time.Minute))
		require.ErrorContains(t, err, "certificate")
	}
}

// losesOne kills a server, appends, starts it again, kills another, and finds everything.
func losesOne(ctx context.Context, t *testing.T, c *deployment.Cluster, run jetstore.Execution) {
	t.Helper()
	for i, n := range c.Nodes[:2] {
		n.Kill()
		receipt, err := run.Append(ctx, enact.ExecutionPaused{Reason: fmt.Sprint(i)})
		require.NoError(t, err)
		require.Equal(t, uint64(i+2), receipt.First)
		loaded, err := run.LoadEvents(ctx)
		require.NoError(t, err)
		require.Len(t, loaded, i+2)
		require.NoError(t, n.Start(ctx))
	}
}
