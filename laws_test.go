package enact_test

import (
	"encoding/json"
	"math"
	"reflect"
	"slices"
	"testing"
	"unicode/utf8"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/enactlog/enact"
	"github.com/enactlog/enact/internal/eventgen"
)

// What is written reads back as it was, for every type.
func TestEventRoundTrip(t *testing.T) {
	for _, tag := range enact.EventTypes() {
		t.Run(tag, func(t *testing.T) {
			rapid.Check(t, func(t *rapid.T) {
				e := eventgen.EventOf(tag).Draw(t, "event")
				require.NoError(t, e.Validate())
				require.Equal(t, tag, e.Type())
				prefix := []byte("before ")
				data, err := enact.AppendEvent(slices.Clone(prefix), e)
				require.NoError(t, err)
				require.Equal(t, string(prefix), string(data[:len(prefix)]))
				data = data[len(prefix):]

				back, err := enact.ParseEvent(data)
				require.NoError(t, err, "%s", data)
				require.Equal(t, e, back, "%s", data)
				require.True(t, json.Valid(data))

				// The event shares no memory with the text that it was read from.
				clear(data)
				require.Equal(t, e, back)
			})
		})
	}
}

// The types read and write themselves as the functions do, and refuse one another's text.
func TestEventsAsJSONValues(t *testing.T) {
	tags := enact.EventTypes()
	for i, tag := range tags {
		t.Run(tag, func(t *testing.T) {
			rapid.Check(t, func(t *rapid.T) {
				e := eventgen.EventOf(tag).Draw(t, "event")
				want, err := enact.AppendEvent(nil, e)
				require.NoError(t, err)
				data, err := e.(json.Marshaler).MarshalJSON()
				require.NoError(t, err)
				require.Equal(t, string(want), string(data))

				into := reflect.New(reflect.TypeOf(e))
				require.NoError(t, into.Interface().(json.Unmarshaler).UnmarshalJSON(data))
				require.Equal(t, e, into.Elem().Interface())

				other, err := enact.AppendEvent(nil, eventgen.EventOf(tags[(i+1)%len(tags)]).Draw(t, "other"))
				require.NoError(t, err)
				var refused *enact.EventError
				require.ErrorAs(t, into.Interface().(json.Unmarshaler).UnmarshalJSON(other), &refused)
			})
		})
	}
}

func TestUnknownRoundTrip(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		e := eventgen.Unknown().Draw(t, "event")
		require.NoError(t, e.Validate())
		data, err := enact.AppendEvent(nil, e)
		require.NoError(t, err)
		require.Equal(t, string(e.(enact.Unknown).Raw), string(data))
		back, err := enact.ParseEvent(data)
		require.NoError(t, err)
		require.Equal(t, e, back)
	})
}

func TestStoredEventRoundTrip(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		ev := eventgen.StoredEvent().Draw(t, "stored event")
		line, err := ev.AppendJSON(nil)
		require.NoError(t, err)
		require.NotContains(t, string(line), "\n")
		var back enact.StoredEvent
		require.NoError(t, json.Unmarshal(line, &back), "%s", line)
		require.Equal(t, ev, back, "%s", line)
	})
}

// Where "type" stands makes no difference.
func TestTypeAnywhereLaw(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		e := eventgen.Event().Draw(t, "event")
		data, err := enact.AppendEvent(nil, e)
		require.NoError(t, err)
		tag := `"type":"` + e.Type() + `"`
		rest := data[len(tag)+1:]
		last := slices.Concat([]byte("{"), rest[min(1, len(rest)-1):len(rest)-1])
		if len(last) > 1 {
			last = append(last, ',')
		}
		last = append(append(last, tag...), '}')
		back, err := enact.ParseEvent(last)
		require.NoError(t, err, "%s", last)
		require.Equal(t, e, back)
	})
}

func TestFloatLaw(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		v := eventgen.Float().Draw(t, "float")
		text, err := scoreText(v)
		require.NoError(t, err)
		require.Regexp(t, `[.e]`, text, "a reader that tells the two apart must see a float")
		e, err := enact.ParseEvent([]byte(`{"type":"goal_evaluated","goal_id":"g","status":"met","score":` + text + `}`))
		require.NoError(t, err)
		require.Equal(t, math.Float64bits(v), math.Float64bits(*e.(enact.GoalEvaluated).Score), text)
	})
}

func TestTimeLaw(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		at := eventgen.TimeIn(-9999, 99999).Draw(t, "time")
		text := string(enact.AppendTime(nil, at))
		back, err := enact.ParseTime(text)
		require.NoError(t, err, text)
		require.Equal(t, at, back, text)
		require.Regexp(t, `^([+-]\d{4,5}|\d{4})-\d\d-\d\dT\d\d:\d\d:\d\d(\.(\d{3}|\d{6}|\d{9}))?Z$`, text)
		require.NotRegexp(t, `\.(\d*000)Z$`, text, "more fraction digits than needed")
	})
}

// The encoding of a token is a bijection between strings and tokens that NATS
// takes for one plain token.
func TestTokenLaw(t *testing.T) {
	text := rapid.OneOf(eventgen.Text(), eventgen.InvalidUTF8(), rapid.Map(eventgen.TenantID(), func(id enact.TenantID) string { return string(id) }))
	rapid.Check(t, func(t *rapid.T) {
		a, b := text.Draw(t, "a"), text.Draw(t, "b")
		token := enact.EncodeToken(a)
		require.Regexp(t, `^([A-Za-z0-9_-]|%[0-9A-F]{2})*$`, token)
		back, err := enact.DecodeToken(token)
		require.NoError(t, err)
		require.Equal(t, a, back)
		require.Equal(t, a == b, token == enact.EncodeToken(b), "two strings must not share a token")

		// Whatever decodes is what the encoder writes.
		if s, err := enact.DecodeToken(b); err == nil {
			require.Equal(t, b, enact.EncodeToken(s))
		}
	})
}

func TestSubjectLaw(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		subjects, err := enact.NewSubjects(rapid.SampledFrom([]string{"", "enact", "a.b-c.D_9"}).Draw(t, "prefix"))
		require.NoError(t, err)
		tenant, execution := eventgen.TenantID().Draw(t, "tenant"), eventgen.ExecutionID().Draw(t, "execution")
		subject := subjects.Execution(tenant, execution)
		gotTenant, gotExecution, err := subjects.ParseExecution(subject)
		require.NoError(t, err)
		require.Equal(t, tenant, gotTenant)
		require.Equal(t, execution, gotExecution)
		require.Equal(t, subject, subjects.Prefix()+"."+enact.EncodeToken(string(tenant))+"."+enact.EncodeToken(string(execution)))
		gotTenant, err = subjects.ParseIndex(subjects.Index(tenant))
		require.NoError(t, err)
		require.Equal(t, tenant, gotTenant)
	})
}

func TestIDLaw(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		s := rapid.OneOf(eventgen.Text(), eventgen.InvalidUTF8(), rapid.StringN(0, 200, 200)).Draw(t, "id")
		valid := s != "" && len(s) <= enact.MaxIDLength && utf8.ValidString(s)
		for _, err := range []error{enact.ExecutionID(s).Validate(), enact.TenantID(s).Validate(), enact.StepID(s).Validate()} {
			if valid {
				require.NoError(t, err)
			} else {
				require.ErrorIs(t, err, enact.ErrInvalidID)
			}
		}
	})
}

func TestChainLaw(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		c := enact.Chain(rapid.SliceOfN(rapid.Byte(), 32, 32).Draw(t, "chain"))
		text, err := c.MarshalText()
		require.NoError(t, err)
		require.Len(t, text, 43)
		require.Equal(t, c.String(), string(text))
		var back enact.Chain
		require.NoError(t, back.UnmarshalText(text))
		require.Equal(t, c, back)
	})
}
