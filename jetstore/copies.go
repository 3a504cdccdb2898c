package jetstore

import (
	"context"
	"slices"
	"time"

	"github.com/google/uuid"

	"github.com/enactlog/enact"
)

// A commit's entry may be in the index more than once: whoever sent it again under the
// same id, and whatever held up the first copy until the server no longer knew the id.
// Stores of this release do so only where a stream was made again (see announce), but a list
// must not show an execution twice for it, on whichever pages the copies are. The oldest copy
// counts: it was stored while the creation was under way, and where it stands never changes.
//
// The server stores no two copies within the index stream's duplicate window. So an
// entry that was stored before half of that had passed since its id was made, by the
// clock of whoever made it, is the first; the other half is for clocks that differ.
// Others are looked for from the time of their making on.

// withoutCopies returns the entries, which are in order, without those of which an older
// copy exists.
func (s *Store) withoutCopies(ctx context.Context, tenant enact.TenantID, entries []creation) ([]creation, error) {
	slack := s.window / 2
	suspects := make(map[uuid.UUID]uint64) // where the first copy stands, as far as known
	var since time.Time
	var last uint64
	for _, e := range entries {
		made, ok := madeAt(e.commit)
		if !ok || e.rebuilt || e.stored.Sub(made) < slack {
			continue
		}
		if since.IsZero() || made.Before(since) {
			since = made
		}
		if at, ok := suspects[e.commit]; !ok || e.position < at {
			suspects[e.commit] = e.position
		}
		last = max(last, e.position)
	}
	if len(suspects) == 0 {
		return entries, nil
	}
	since = since.Add(-slack)
	from := getRequest{Since: &since}
	for try, reached := 0, false; !reached; try++ {
		page, _, err := s.entries(ctx, tenant, from, indexBatch)
		if err != nil && !transient(err) {
			return nil, err
		}
		for _, e := range page {
			if at, ok := suspects[e.commit]; ok && e.position < at {
				suspects[e.commit] = e.position
			}
			from, try = getRequest{Seq: e.position + 1}, 0
			reached = e.position >= last
		}
		if len(page) == 0 { // the last suspect is yet to come: the replica lags
			if waitErr := backoff(ctx, try); waitErr != nil {
				return nil, ended(waitErr, err)
			}
		}
	}
	return slices.DeleteFunc(slices.Clone(entries), func(e creation) bool {
		at, ok := suspects[e.commit]
		return ok && at < e.position
	}), nil
}

// madeAt returns when a commit id was made; ok is false for one that does not tell.
func madeAt(id uuid.UUID) (at time.Time, ok bool) {
	if id.Version() != 7 {
		return time.Time{}, false
	}
	sec, nsec := id.Time().UnixTime()
	return time.Unix(sec, nsec), true
}
