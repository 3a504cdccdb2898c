package jetstore

import "time"

// Patient is an option for tests that count what a store asks the server: where a busy machine
// holds an answer up, it waits, and does not ask again. What answers slowly for another reason
// the caller's context ends.
func Patient() Option {
	return func(c *config) error {
		c.patience = time.Minute
		return nil
	}
}
