package fsck

import (
	"bytes"
	"crypto/sha256"
	"encoding/gob"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"github.com/enactlog/enact"
)

// ErrState is matched by errors about a state file that a check cannot go on from: a
// [*StateError].
var ErrState = errors.New("fsck: the state is of no use for this check")

// StateError says why a state file cannot be gone on from. errors.Is(err, ErrState).
type StateError struct {
	File   string
	Reason string
}

func (e *StateError) Error() string { return fmt.Sprintf("%v: %s: %s", ErrState, e.File, e.Reason) }
func (e *StateError) Unwrap() error { return ErrState }

// stateMagic begins a state file: with the version of what follows, which is a SHA-256 and
// the gob that it is of.
const stateMagic = "enact fsck state 2\n"

// savedCheck is the content of a state file.
type savedCheck struct {
	Scope     Scope
	Heads     [32]byte // digest of the heads
	PerTenant bool
	Done      []enact.TenantID // whose streams are checked
	Report    Report           // so far
	Part      *savedPart       // nil: none was begun
}

// savedPart is the check of one log on its way.
type savedPart struct {
	Stream        string
	Log, Index    string // incarnations
	First, Last   uint64
	IndexFirst    uint64
	IndexLast     uint64
	Began         time.Time
	Passes, Pass  int
	HeadsGiven    bool
	Stage         Stage
	Source        int
	Next          uint64
	LogFilters    []string
	IndexFilters  []string
	Gaps, IdxGaps []span
	Explained     []span
	Unlisted      uint64
	Histories     []savedHistory
}

type savedHistory struct {
	ID      enact.ExecutionID
	History *history
}

// writeState replaces a state file.
func writeState(file string, c *savedCheck) (err error) {
	var b bytes.Buffer
	if err := gob.NewEncoder(&b).Encode(c); err != nil {
		return fmt.Errorf("fsck: state: %w", err)
	}
	tmp, err := os.CreateTemp(filepath.Dir(file), filepath.Base(file)+".*")
	if err != nil {
		return fmt.Errorf("fsck: state: %w", err)
	}
	defer func() {
		if err != nil {
			err = errors.Join(fmt.Errorf("fsck: state: %w", err), os.Remove(tmp.Name()))
		}
	}()
	sum := sha256.Sum256(b.Bytes())
	for _, part := range [][]byte{[]byte(stateMagic), sum[:], b.Bytes()} {
		if _, err := tmp.Write(part); err != nil {
			return errors.Join(err, tmp.Close())
		}
	}
	if err := errors.Join(tmp.Sync(), tmp.Close()); err != nil {
		return err
	}
	return os.Rename(tmp.Name(), file)
}

// readState reads a state file; nil: there is none.
func readState(file string) (*savedCheck, error) {
	data, err := os.ReadFile(file)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("fsck: state: %w", err)
	}
	rest, ok := bytes.CutPrefix(data, []byte(stateMagic))
	if !ok || len(rest) < sha256.Size {
		return nil, &StateError{file, "it is no state of a check, or of another release"}
	}
	sum, body := rest[:sha256.Size], rest[sha256.Size:]
	if have := sha256.Sum256(body); !bytes.Equal(have[:], sum) {
		return nil, &StateError{file, "it is damaged"}
	}
	c := new(savedCheck)
	if err := gob.NewDecoder(bytes.NewReader(body)).Decode(c); err != nil {
		return nil, &StateError{file, err.Error()}
	}
	return c, nil
}
