package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/enactlog/enact"
	"github.com/enactlog/enact/replay"
)

// model is the read model. What it counts and how far it has come are one file, written
// as a whole: that is what makes the effect of an event happen once.
type model struct {
	Executions map[string]*execution `json:"executions"`
	Tools      map[string]int        `json:"tools"` // calls of each
	repeats    int                   // events that came again
}

type execution struct {
	Status   enact.Status `json:"status"`
	Sequence uint64       `json:"sequence"` // of the last event that is in the model
}

func readModel(file string) (*model, error) {
	m := &model{Executions: make(map[string]*execution), Tools: make(map[string]int)}
	data, err := os.ReadFile(file)
	if errors.Is(err, fs.ErrNotExist) {
		return m, nil
	}
	if err != nil {
		return nil, err
	}
	return m, json.Unmarshal(data, m)
}

// apply takes an event in. It returns false, and changes nothing, for one that is in.
func (m *model) apply(ev enact.StoredEvent) bool {
	key := enact.EncodeToken(string(ev.TenantID)) + "/" + enact.EncodeToken(string(ev.ExecutionID))
	x := m.Executions[key]
	if x == nil {
		x = &execution{Status: replay.StatusRunning}
		m.Executions[key] = x
	}
	if ev.Sequence <= x.Sequence {
		m.repeats++
		return false
	}
	x.Sequence = ev.Sequence
	switch e := ev.Event.(type) {
	case enact.ToolCallStarted:
		m.Tools[e.ToolName]++
	case enact.ExecutionPaused:
		x.Status = replay.StatusPaused
	case enact.ExecutionResumed:
		x.Status = replay.StatusRunning
	case enact.ExecutionCompleted:
		x.Status = replay.StatusCompleted
	case enact.ExecutionFailed:
		x.Status = replay.StatusFailed
	case enact.ExecutionCancelled:
		x.Status = replay.StatusCancelled
	}
	return true
}

// write replaces the file.
func (m *model) write(file string) error {
	data, err := json.Marshal(m)
	if err != nil {
		return err
	}
	f, err := os.CreateTemp(filepath.Dir(file), "model-")
	if err != nil {
		return err
	}
	_, err = f.Write(data)
	if err = errors.Join(err, f.Sync(), f.Close()); err != nil {
		return errors.Join(err, os.Remove(f.Name()))
	}
	return os.Rename(f.Name(), file)
}

func (m *model) String() string {
	statuses := make(map[enact.Status]int)
	for _, x := range m.Executions {
		statuses[x.Status]++
	}
	return fmt.Sprintf("executions %v, calls %v, came again %d", statuses, m.Tools, m.repeats) // maps print sorted
}
