package jetstore

import (
	"context"
	"encoding/json"
	"fmt"

	"github.com/enactlog/enact"
	"github.com/enactlog/enact/codec"
	"github.com/enactlog/enact/internal/record"
)

// Header bytes that packing reserves: for the fixed headers of a record, and for
// each further event whose time differs.
const (
	fixedHeaders  = 4096
	timeDistance  = 22
	headerPerMeta = len(record.HeaderMetaPrefix) + len(": \r\n")
)

// pack divides the append's events into as few records as the record's limits
// allow, in order, and returns the number of events of each. It goes by the events'
// JSON: what a codec may add is reserved, what it saves is saved on the wire and on disk.
// One event alone may exceed the limits, up to what the server takes, which encode
// checks. It returns an
// [*enact.TooLargeError] for more records than a transaction can hold.
func pack(c *commit) ([]int, error) {
	if len(c.texts) == 1 {
		return []int{1}, nil
	}
	reserved := reservedHeaders(c)
	budget := c.s.maxRecord() - reserved
	perEvent := 1 // the comma or bracket
	maxEvents := record.MaxEvents
	if !record.AllEqual(c.times) {
		perEvent += timeDistance
		maxEvents = min(maxEvents, maxTimes(reserved))
	}
	if c.batch.Options.OneEventPerRecord {
		maxEvents = 1
	}
	var groups []int
	size, n := 0, 0
	for i, text := range c.texts {
		cost := len(text) + perEvent
		if n > 0 && (n == maxEvents || size+cost > budget || !record.TimesFit(c.times[i-n], c.times[i])) {
			groups = append(groups, n)
			size, n = 0, 0
		}
		size, n = size+cost, n+1
	}
	groups = append(groups, n)
	if len(groups) > record.MaxStaged {
		return nil, &enact.TooLargeError{What: "batch", Size: len(groups), Limit: record.MaxStaged, Unit: "records"}
	}
	return groups, nil
}

// maxRecord returns the most bytes that a record of several events may have: the format's
// limit, or what the server takes in a message of a staged batch, if that is less.
func (s *Store) maxRecord() int {
	if limit := int(s.asks.nc.MaxPayload()); limit > 0 {
		return min(record.MaxBytes, limit-stagedBytes)
	}
	return record.MaxBytes
}

// maxTimes returns how many events of different times a record may have whose other
// headers take so many bytes.
func maxTimes(reserved int) int { return max(1, (record.MaxHeaderBytes-reserved)/timeDistance) }

// reservedHeaders bounds the bytes of one of the append's records that are not its
// events': its headers, but for the list of the events' times, and what the codec adds.
func reservedHeaders(c *commit) int {
	n := fixedHeaders + 3*len(c.batch.Options.IdempotencyKey) + codec.Overhead(c.s.cfg.write)
	for k, v := range c.batch.Options.Metadata {
		n += len(enact.EncodeToken(k)) + len(enact.EncodeToken(v)) + headerPerMeta
	}
	return n
}

// encodePayload sets the record's payload and codec, for the place that the record has.
// It returns what the codec returned, and an [*enact.OptionError] for a codec that
// writes under a name which the store could not read again.
func (s *Store) encodePayload(ctx context.Context, r *record.Record, events []enact.Event, texts []json.RawMessage) (err error) {
	r.Payload, r.Codec, err = codec.EncodeTexts(ctx, s.cfg.write, nil, r.Place(), events, texts)
	if err != nil {
		return err
	}
	if _, ok := s.cfg.codecs.Lookup(r.Codec); !ok {
		return &enact.OptionError{Option: "WithCodec", Reason: fmt.Sprintf("codec %q wrote %.160q, which no codec of the store reads", s.cfg.write.Name(), r.Codec)}
	}
	return nil
}
