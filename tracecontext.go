package enact

// TraceContext is the W3C Trace Context of an append: which trace it belongs to. The
// record carries it as the headers of these names, so that what is done with an event
// later can be linked to the append, wherever that happens. The zero value is none.
type TraceContext struct {
	Parent string // traceparent, as in "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
	State  string // tracestate, of vendors; "": none
}

// MaxTraceState is the greatest length of a tracestate, in bytes, which the W3C
// recommendation asks to be propagated.
const MaxTraceState = 512

// Where the parts of a version 00 traceparent stand.
const (
	traceParentBytes = 55
	traceFlags       = 53
)

// WithTraceContext stores a trace context with every event of the append, for instance
// one that came with a request. Without it a store with telemetry stores that of its own
// span of the append.
func WithTraceContext(t TraceContext) AppendOption {
	return func(o *AppendOptions) { o.Trace = t }
}

// IsZero reports whether there is none.
func (t TraceContext) IsZero() bool { return t == TraceContext{} }

// Sampled reports whether the trace is recorded, as far as its parent knows. It is false
// for what is not valid.
func (t TraceContext) Sampled() bool {
	// The flag is the lowest bit of the last digit.
	return t.Validate() == nil && !t.IsZero() && hexValue(t.Parent[traceFlags+1])&1 == 1
}

// Validate returns an [*OptionError] for what is neither zero nor a traceparent of version
// 00 with a tracestate of at most [MaxTraceState] bytes of printable ASCII.
func (t TraceContext) Validate() error {
	switch {
	case t.IsZero():
		return nil
	case !validTraceParent(t.Parent):
		return &OptionError{Option: "TraceContext", Reason: clip(t.Parent) + " is not a traceparent of version 00"}
	case len(t.State) > MaxTraceState:
		return &OptionError{Option: "TraceContext", Reason: "the tracestate has more than 512 bytes"}
	}
	for i := range len(t.State) {
		if c := t.State[i]; c < ' ' || c > '~' || c == ' ' && (i == 0 || i == len(t.State)-1) {
			return &OptionError{Option: "TraceContext", Reason: "the tracestate is not printable ASCII without spaces around it"}
		}
	}
	return nil
}

// validTraceParent reports whether s is 00-<trace id>-<parent id>-<flags> in lower-case
// hex, with ids that are not all zeros.
func validTraceParent(s string) bool {
	if len(s) != traceParentBytes || s[:3] != "00-" {
		return false
	}
	var trace, parent bool // has a digit that is not 0
	for i := 3; i < len(s); i++ {
		switch {
		case i == 35 || i == 52:
			if s[i] != '-' {
				return false
			}
		case hexValue(s[i]) > 15:
			return false
		case s[i] == '0':
		case i < 35:
			trace = true
		case i < 52:
			parent = true
		}
	}
	return trace && parent
}

// hexValue returns the value of a lower-case hex digit, and 255 for anything else.
func hexValue(c byte) byte {
	switch {
	case '0' <= c && c <= '9':
		return c - '0'
	case 'a' <= c && c <= 'f':
		return c - 'a' + 10
	}
	return 255
}
