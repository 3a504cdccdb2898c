package power

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"math/rand/v2"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/enactlog/enact"
	"github.com/enactlog/enact/integration/power/powerfs"
	"github.com/enactlog/enact/jetstore/embedded"
)

// embeddedScript is what a process with an embedded server is told, said what it says of
// each append: what it is about to send, and that this was acknowledged.
type embeddedScript struct {
	Dir        string
	Seed       uint64
	Executions []enact.ExecutionID
}

type said struct {
	Of      int // index of the execution
	Sending []string
	Acked   bool
}

// A process with an embedded server loses power amid appends.
func TestEmbedded(t *testing.T) {
	t.Parallel()
	const rounds = 8
	disks := mountDisks(t, 1, powerfs.Journaled)
	w := newWork(t)
	var total tally
	for round := range rounds {
		w.renew()
		script := embeddedScript{Dir: disks.dir + "/n1", Seed: w.random.Uint64()}
		for _, h := range w.histories {
			script.Executions = append(script.Executions, h.execution)
		}
		p := startProcess(t, "embedded", script)
		w.listen(t, p, 40+w.random.IntN(80))
		total.add(disks.lose(w.some(round), 0))

		s, err := embedded.Open(t.Context(), script.Dir)
		require.NoError(t, err)
		require.Zero(t, w.lost(t, s), "round %d", round)
		shutDown(t, s)
	}
	total.report(t, w, rounds, 0)
}

// listen notes what a process says of its appends, kills it after a number of them were
// acknowledged, and notes what it had said by then.
func (w *work) listen(t *testing.T, p *process, until int) {
	t.Helper()
	defer func() {
		_ = p.cmd.Process.Kill() // it may have ended
		_ = p.cmd.Wait()         // a kill is an error, and what was asked for
	}()
	for {
		var line said
		err := p.hear.Decode(&line)
		if until <= 0 && (errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF)) {
			return
		}
		require.NoError(t, err)
		h := w.histories[line.Of]
		if !line.Acked {
			h.pending = line.Sending
			continue
		}
		w.appends.Add(1)
		h.settled(true)
		if until--; until == 0 {
			require.NoError(t, p.cmd.Process.Kill())
		}
	}
}

// playEmbedded appends to a log in a directory until it is killed.
func playEmbedded(script []byte, _ *json.Decoder, say *json.Encoder) error {
	var s embeddedScript
	if err := json.Unmarshal(script, &s); err != nil {
		return err
	}
	ctx := context.Background()
	store, err := embedded.Open(ctx, s.Dir)
	if err != nil {
		return err
	}
	var mu sync.Mutex
	tell := func(line said) error {
		mu.Lock()
		defer mu.Unlock()
		return say.Encode(line)
	}
	failed := make(chan error)
	for i, execution := range s.Executions {
		random := rand.New(rand.NewPCG(s.Seed, uint64(i)))
		go func() {
			h := &history{execution: execution}
			for {
				events, opts := h.next(random)
				if err := tell(said{Of: i, Sending: h.pending}); err != nil {
					failed <- err
				}
				if _, err := store.AppendBatch(ctx, execution, tenant, events, opts...); err != nil {
					failed <- err
				}
				if err := tell(said{Of: i, Acked: true}); err != nil {
					failed <- err
				}
			}
		}()
	}
	return <-failed
}
