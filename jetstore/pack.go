package jetstore

import (
	"github.com/enactlog/enact"
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
// allow, in order, and returns the number of events of each. One event alone may
// exceed them, up to what the server takes, which encode checks. It returns an
// [*enact.TooLargeError] for more records than a transaction can hold.
func pack(c *commit) ([]int, error) {
	if len(c.texts) == 1 {
		return []int{1}, nil
	}
	reserved := reservedHeaders(c)
	budget := record.MaxBytes - reserved
	perEvent := 1 // the comma or bracket
	maxEvents := record.MaxEvents
	if !record.AllEqual(c.times) {
		perEvent += timeDistance
		maxEvents = min(maxEvents, max(1, (record.MaxHeaderBytes-reserved)/timeDistance))
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

// reservedHeaders bounds the header bytes of one of the append's records, but for
// the list of its events' times.
func reservedHeaders(c *commit) int {
	n := fixedHeaders + 3*len(c.batch.Options.IdempotencyKey)
	for k, v := range c.batch.Options.Metadata {
		n += len(enact.EncodeToken(k)) + len(enact.EncodeToken(v)) + headerPerMeta
	}
	return n
}
