package fsck_test

import (
	"bytes"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/enactlog/enact/fsck"
)

// Repair mends what Unlisted findings tell of, whatever else is wrong with the two streams.
func TestRepairOfDamagedStreams(t *testing.T) {
	for name, spoil := range map[string]func(s *sample, l *logCopy){
		"the last entry is gone": func(s *sample, l *logCopy) { l.index.Set(s.entry["c"], nil) },
		"an entry and the log's last message are gone": func(s *sample, l *logCopy) {
			l.index.Set(s.entry["b"], nil)
			l.records.Set(s.at["b"][12], nil)
		},
		"an entry names another execution": func(s *sample, l *logCopy) {
			l.index.Config.Duplicates = 100 * time.Millisecond // a message id is not forgotten sooner
			m := l.index.Edit(s.entry["b"])
			m.Data = bytes.Replace(m.Data, []byte(`"execution_id":"b"`), []byte(`"execution_id":"z"`), 1)
		},
	} {
		t.Run(name, func(t *testing.T) {
			s := newSample(t)
			l := s.log.clone()
			spoil(s, l)
			s.write(t, t.Context(), l)
			store := s.open(t)
			require.Equal(t, uint64(1), check(t, t.Context(), store, fsck.Options{}).Counts[fsck.Unlisted])
			added, err := fsck.Repair(t.Context(), store, "", nil)
			require.NoError(t, err)
			require.Equal(t, uint64(1), added)
			require.Zero(t, check(t, t.Context(), store, fsck.Options{}).Counts[fsck.Unlisted])
		})
	}
}
