package main

import (
	"bufio"
	"encoding/json"
	"errors"
	"io/fs"
	"os"
)

// outbox stands for a service that sends mail and knows letters by an id: one that comes
// again is not sent again.
type outbox struct{ path string }

type letter struct {
	ID    string          `json:"id"`
	Input json.RawMessage `json:"input"`
}

// letters returns what was sent.
func (o outbox) letters() (list []letter, err error) {
	f, err := os.Open(o.path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	defer f.Close()
	for lines := bufio.NewScanner(f); lines.Scan(); {
		var l letter
		if err := json.Unmarshal(lines.Bytes(), &l); err != nil {
			return nil, err
		}
		list = append(list, l)
	}
	return list, nil
}

// send sends a letter unless it was sent.
func (o outbox) send(id string, input json.RawMessage) (any, error) {
	sent, err := o.letters()
	if err != nil {
		return nil, err
	}
	for _, l := range sent {
		if l.ID == id {
			return "sent", nil
		}
	}
	line, err := json.Marshal(letter{id, input})
	if err != nil {
		return nil, err
	}
	f, err := os.OpenFile(o.path, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o600)
	if err != nil {
		return nil, err
	}
	_, err = f.Write(append(line, '\n'))
	return "sent", errors.Join(err, f.Sync(), f.Close())
}
