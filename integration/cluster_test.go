package integration

import (
	"encoding/json"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/stretchr/testify/require"

	"github.com/enactlog/enact/internal/natstest"
)

// cluster is the part of STREAM.INFO about a stream's replicas.
type cluster struct {
	Leader   string `json:"leader"`
	Replicas []struct {
		Name    string `json:"name"`
		Current bool   `json:"current"`
	} `json:"replicas"`
}

// asking is how long a question waits for its answer: longer each time there is none. At
// first it is short, for what is asked in an election nobody may answer.
type asking struct{ time.Duration }

const (
	firstAsking = 250 * time.Millisecond
	lastAsking  = 10 * time.Second
)

func (a *asking) next() time.Duration {
	a.Duration = min(max(a.Duration*3/2, firstAsking), lastAsking)
	return a.Duration
}

// replicas asks the stream's leader for its replicas; nil if none answers.
func (a *asking) replicas(nc *nats.Conn, stream string) *cluster {
	reply, err := nc.Request("$JS.API.STREAM.INFO."+stream, nil, a.next())
	if err != nil {
		return nil
	}
	a.Duration = 0
	var info struct {
		Cluster *cluster `json:"cluster"`
	}
	if json.Unmarshal(reply.Data, &info) != nil {
		return nil
	}
	return info.Cluster
}

// awaitReplicas waits until a leader answers whose replicas fulfil cond.
func awaitReplicas(t *testing.T, nc *nats.Conn, stream string, cond func(*cluster) bool) *cluster {
	t.Helper()
	var c *cluster
	var a asking
	natstest.Eventually(t, 2*patience, func() bool { // elections may follow one another
		c = a.replicas(nc, stream)
		return c != nil && cond(c)
	}, func() string {
		text, _ := json.Marshal(c)
		return "the replicas of " + stream + " are " + string(text)
	})
	return c
}

// named returns the server of that name.
func named(t *testing.T, servers []*natstest.Server, name string) *natstest.Server {
	t.Helper()
	for _, s := range servers {
		if s.Name() == name {
			return s
		}
	}
	require.FailNow(t, "no server is named "+name)
	return nil
}
