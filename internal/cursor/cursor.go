// Package cursor writes a place in a list as text that callers hand back: opaque,
// versioned, and bound to the list that it is a place in.
package cursor

import (
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"hash/crc32"

	"github.com/enactlog/enact"
)

// version is the first byte of a cursor.
const version = 1

// Layout of a cursor before base64url: version, list, place, checksum.
const (
	listAt  = 1
	placeAt = listAt + 8
	sumAt   = placeAt + 8
	size    = sumAt + 4
)

var encoding = base64.RawURLEncoding.Strict()

// List is one list: a tenant's executions in one incarnation of a log.
type List struct {
	Incarnation string
	Tenant      enact.TenantID
}

// mark tells lists apart. It is no secret: a cursor protects from mistakes, not from
// callers who may see the list anyway.
func (l List) mark() [8]byte {
	h := sha256.New()
	for _, s := range []string{l.Incarnation, string(l.Tenant)} {
		_ = binary.Write(h, binary.BigEndian, uint64(len(s))) // a hash takes everything
		h.Write([]byte(s))
	}
	return [8]byte(h.Sum(nil))
}

// Encode returns the cursor of a place.
func (l List) Encode(place uint64) string {
	mark := l.mark()
	b := append([]byte{version}, mark[:]...)
	b = binary.BigEndian.AppendUint64(b, place)
	b = binary.BigEndian.AppendUint32(b, crc32.ChecksumIEEE(b))
	return encoding.EncodeToString(b)
}

// Decode is the inverse of Encode. It returns an [*enact.CursorError] for any other
// text.
func (l List) Decode(text string) (place uint64, err error) {
	refuse := func(reason string) (uint64, error) { return 0, &enact.CursorError{Reason: reason} }
	// The length first: what is not a cursor may be of any size.
	if len(text) > 4*size {
		return refuse("it is damaged")
	}
	b, err := encoding.DecodeString(text)
	if err != nil || len(b) == 0 || encoding.EncodeToString(b) != text { // the decoder passes over line ends
		return refuse("it is damaged")
	}
	if b[0] != version {
		return refuse("it was made by another release")
	}
	if len(b) != size || binary.BigEndian.Uint32(b[sumAt:]) != crc32.ChecksumIEEE(b[:sumAt]) {
		return refuse("it is damaged")
	}
	if [8]byte(b[listAt:placeAt]) != l.mark() {
		return refuse("it is a place in another list: of another tenant, another log, or a log that was made anew")
	}
	return binary.BigEndian.Uint64(b[placeAt:sumAt]), nil
}
