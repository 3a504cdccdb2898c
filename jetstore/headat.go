package jetstore

import (
	"context"

	"github.com/enactlog/enact"
)

// HeadAt returns the end of the execution's history as it was when its event of that
// sequence had just been stored, to compare with a head that was kept elsewhere then. Its
// Sequence is that of the last event of the record that holds the event, so greater than
// asked for where events after it were stored with it, and 0 where the history does not
// reach that far. It takes O(log n) reads and does not check what lies between: reading the
// history does. Errors are those of [Store.Head], and enact.ErrInvalidOption for sequence 0.
func (s *Store) HeadAt(ctx context.Context, execution enact.ExecutionID, sequence uint64, opts ...enact.ReadOption) (enact.Head, error) {
	ctx, end, err := s.begin(ctx)
	if err != nil {
		return enact.Head{}, err
	}
	defer end()
	if sequence == 0 {
		return enact.Head{}, &enact.OptionError{Option: "sequence", Reason: "is 0: sequences begin with 1"}
	}
	o, err := readOptions(execution, opts)
	if err != nil {
		return enact.Head{}, err
	}
	if s, err = s.ofRead(ctx, &o); err != nil {
		return enact.Head{}, err
	}
	key, last, err := s.watermark(ctx, execution, o)
	head := enact.Head{TenantID: key.tenant, ExecutionID: execution}
	if err != nil || last == nil {
		return head, err
	}
	if last.Last() < sequence {
		if inBatch(last) {
			return head, torn(last)
		}
		return head, nil
	}
	r, err := s.locate(ctx, key, last, func(first, _ uint64) bool { return first <= sequence })
	if err != nil {
		return enact.Head{}, err
	}
	if inBatch(last) && r.Commit.ID == last.Commit.ID {
		return head, torn(last)
	}
	head.Sequence, head.Position, head.Chain = r.Last(), r.Position, r.Link.Chain
	return head, nil
}

// HeadAt is [Store.HeadAt] of the execution.
func (e Execution) HeadAt(ctx context.Context, sequence uint64, opts ...enact.ReadOption) (enact.Head, error) {
	return e.store.HeadAt(ctx, e.id, sequence, e.in(opts)...)
}
