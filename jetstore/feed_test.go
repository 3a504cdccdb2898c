package jetstore

import (
	"testing"

	"github.com/stretchr/testify/require"
)

func TestAckPosition(t *testing.T) {
	for reply, want := range map[string]uint64{
		"$JS.ACK.ENACT.reader.1.1882676328995954.7.1763900000000000000.42":                    1882676328995954,
		"$JS.ACK._.ACCOUNT.ENACT.reader.1.1882676328995954.7.1763900000000000000.42":          1882676328995954,
		"$JS.ACK.hub.ACCOUNT.ENACT.reader.1.1882676328995954.7.1763900000000000000.42.aBcDeF": 1882676328995954,
		"$JS.ACK.ENACT.reader.1.0.7.1763900000000000000.42":                                   0,
		"$JS.ACK.ENACT.reader.1.-1.7.1763900000000000000.42":                                  0,
		"$JS.ACK.ENACT.reader.1": 0,
		"$JS.FC.ENACT.reader.1.1882676328995954.7.1763900000000000000.42": 0,
		"": 0,
	} {
		var f feed
		for range 2 { // the second time it knows what stands before the position
			position, ok := f.position(reply)
			require.Equal(t, want > 0, ok, reply)
			if ok {
				require.Equal(t, want, position, reply)
			}
		}
	}
}
