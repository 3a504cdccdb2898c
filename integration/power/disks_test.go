package power

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/enactlog/enact/integration/power/powerfs"
)

// disks are file systems that lose what is not synced, mounted by a process of their own:
// it unmounts them when the test's process ends, however that ends.
type disks struct {
	t       *testing.T
	dir     string // with a directory for each disk, n1 and so on
	process *process
}

// disksScript is what the process is told first, request what it is told then.
type disksScript struct {
	Dirs  []string
	Order powerfs.Order
}

type request struct {
	Sync bool   // bring everything to the disks
	Lose []int  // disks that lose what is not synced; nobody may be using them
	Some bool   // keep part of it,
	Seed uint64 // chosen by this
}

// answer follows each request, and the mounting.
type answer struct {
	Err  string
	Loss powerfs.Loss
}

// mountDisks mounts n disks. They are gone when the test ends.
func mountDisks(t *testing.T, n int, order powerfs.Order) *disks {
	t.Helper()
	d := &disks{t: t, dir: t.TempDir()}
	script := disksScript{Order: order}
	for i := range n {
		dir := filepath.Join(d.dir, fmt.Sprintf("n%d", i+1))
		require.NoError(t, os.Mkdir(dir, 0o750))
		script.Dirs = append(script.Dirs, dir)
	}
	d.process = startProcess(t, "disks", script)
	t.Cleanup(func() {
		require.NoError(t, d.process.in.Close())
		require.NoError(t, d.process.cmd.Wait())
	})
	d.hear()
	return d
}

func (d *disks) hear() powerfs.Loss {
	d.t.Helper()
	var a answer
	require.NoError(d.t, d.process.hear.Decode(&a), "the process that mounts the disks has ended")
	require.Empty(d.t, a.Err)
	return a.Loss
}

func (d *disks) ask(r request) powerfs.Loss {
	d.t.Helper()
	require.NoError(d.t, d.process.say.Encode(r))
	return d.hear()
}

// lose makes disks lose what is not synced, or, if random is not nil, a part of it.
func (d *disks) lose(random *rand.Rand, which ...int) powerfs.Loss {
	d.t.Helper()
	r := request{Lose: which, Some: random != nil}
	if r.Some {
		r.Seed = random.Uint64()
	}
	return d.ask(r)
}

// playDisks mounts disks and does to them what it is asked.
func playDisks(script []byte, hear *json.Decoder, say *json.Encoder) (err error) {
	var s disksScript
	if err := json.Unmarshal(script, &s); err != nil {
		return err
	}
	contents := make([]*powerfs.Disk, len(s.Dirs))
	mounts := make([]*powerfs.Mount, len(s.Dirs))
	defer func() {
		for _, m := range mounts {
			if m != nil {
				err = errors.Join(err, m.Detach())
			}
		}
	}()
	up := func(i int) error {
		m, err := contents[i].MountAt(s.Dirs[i])
		mounts[i] = m
		return err
	}
	tell := func(loss powerfs.Loss, err error) error {
		a := answer{Loss: loss}
		if err != nil {
			a.Err = err.Error()
		}
		return say.Encode(a)
	}
	for i := range contents {
		contents[i] = powerfs.NewDisk(s.Order)
		err = errors.Join(err, up(i))
	}
	if err := tell(powerfs.Loss{}, err); err != nil {
		return err
	}
	for {
		var r request
		if err := hear.Decode(&r); errors.Is(err, io.EOF) {
			return nil
		} else if err != nil {
			return err
		}
		var random *rand.Rand
		if r.Some {
			random = rand.New(rand.NewPCG(r.Seed, 0))
		}
		var total powerfs.Loss
		var failed error
		for _, i := range r.Lose {
			if failed = mounts[i].Unmount(); failed != nil {
				break
			}
			mounts[i] = nil
			loss := contents[i].LosePower(random)
			total = powerfs.Loss{Writes: total.Writes + loss.Writes, Bytes: total.Bytes + loss.Bytes, Names: total.Names + loss.Names}
			if failed = up(i); failed != nil {
				break
			}
		}
		if r.Sync {
			for _, disk := range contents {
				disk.Sync()
			}
		}
		if err := tell(total, failed); err != nil {
			return err
		}
	}
}
