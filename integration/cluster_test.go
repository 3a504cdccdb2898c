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

// replicas asks the stream's leader for its replicas; nil if none answers.
func replicas(nc *nats.Conn, stream string) *cluster {
	reply, err := nc.Request("$JS.API.STREAM.INFO."+stream, nil, 250*time.Millisecond)
	if err != nil {
		return nil
	}
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
	natstest.Eventually(t, 4*patience, func() bool { // elections may follow one another
		c = replicas(nc, stream)
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
