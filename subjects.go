package enact

import (
	"fmt"
	"strings"
	"unicode/utf8"
)

// DefaultPrefix is the first token of the log's subjects.
const DefaultPrefix = "enact"

// Subjects is the subject scheme of a log:
//
//	<prefix>.<tenant>.<execution>   the execution's records
//	<prefix>-index.<tenant>         the tenant's entries in the index stream
//
// Ids are carried percent-encoded, one token each (see [EncodeToken]), so that
// no id can widen a subject: the server takes a token "*" or ">" for a wildcard
// even in a publish, and a byte 0x7F switches its per-subject checks off.
type Subjects struct{ prefix string }

// NewSubjects returns the scheme under a prefix of one or more tokens of
// [A-Za-z0-9_-], separated by dots; "" means [DefaultPrefix]. It returns an
// [*OptionError] for any other prefix.
func NewSubjects(prefix string) (Subjects, error) {
	if prefix == "" {
		prefix = DefaultPrefix
	}
	for tok := range strings.SplitSeq(prefix, ".") {
		if tok == "" || strings.IndexFunc(tok, func(r rune) bool { return r >= utf8.RuneSelf || !plain(byte(r)) }) >= 0 {
			return Subjects{}, &OptionError{Option: "prefix", Reason: fmt.Sprintf("%q is not a list of tokens of letters, digits, '_' and '-'", clip(prefix))}
		}
	}
	if len(prefix) > MaxIDLength {
		return Subjects{}, &OptionError{Option: "prefix", Reason: fmt.Sprintf("has %d bytes, at most %d are allowed", len(prefix), MaxIDLength)}
	}
	return Subjects{prefix: prefix}, nil
}

// Prefix returns the prefix.
func (s Subjects) Prefix() string { return s.prefix }

// Execution returns the one subject of an execution's records. The ids must be valid.
func (s Subjects) Execution(tenant TenantID, execution ExecutionID) string {
	b := make([]byte, 0, len(s.prefix)+2+len(tenant)+len(execution)+16)
	b = append(b, s.prefix...)
	b = appendToken(append(b, '.'), string(tenant))
	b = appendToken(append(b, '.'), string(execution))
	return string(b)
}

// AnyTenant returns the wildcard subject of an execution id in every tenant.
func (s Subjects) AnyTenant(execution ExecutionID) string {
	return s.prefix + ".*." + EncodeToken(string(execution))
}

// Tenant returns the wildcard subject of all executions of a tenant.
func (s Subjects) Tenant(tenant TenantID) string {
	return s.prefix + "." + EncodeToken(string(tenant)) + ".*"
}

// All returns the wildcard subject of the whole log, the subject of its stream.
func (s Subjects) All() string { return s.prefix + ".*.*" }

// Index returns the subject of a tenant's entries in the index stream.
func (s Subjects) Index(tenant TenantID) string {
	return s.prefix + "-index." + EncodeToken(string(tenant))
}

// AllIndex returns the wildcard subject of the index stream.
func (s Subjects) AllIndex() string { return s.prefix + "-index.*" }

// ParseIndex is the inverse of [Subjects.Index]. It refuses any subject that Index
// would not produce.
func (s Subjects) ParseIndex(subject string) (TenantID, error) {
	token, ok := strings.CutPrefix(subject, s.prefix+"-index.")
	if !ok {
		return "", fmt.Errorf("%w: subject %q is not %s-index.<tenant>", ErrInvalidID, clip(subject), s.prefix)
	}
	t, err := DecodeToken(token)
	if err != nil {
		return "", err
	}
	return TenantID(t), TenantID(t).Validate()
}

// ParseExecution is the inverse of [Subjects.Execution]. It refuses any subject
// that Execution would not produce.
func (s Subjects) ParseExecution(subject string) (TenantID, ExecutionID, error) {
	rest, ok1 := strings.CutPrefix(subject, s.prefix)
	rest, ok2 := strings.CutPrefix(rest, ".")
	tenant, execution, ok3 := strings.Cut(rest, ".")
	if !ok1 || !ok2 || !ok3 {
		return "", "", fmt.Errorf("%w: subject %q is not %s.<tenant>.<execution>", ErrInvalidID, clip(subject), s.prefix)
	}
	t, err := DecodeToken(tenant)
	if err != nil {
		return "", "", err
	}
	e, err := DecodeToken(execution)
	if err != nil {
		return "", "", err
	}
	if err := TenantID(t).Validate(); err != nil {
		return "", "", err
	}
	if err := ExecutionID(e).Validate(); err != nil {
		return "", "", err
	}
	return TenantID(t), ExecutionID(e), nil
}

// EncodeToken percent-encodes s: bytes of [A-Za-z0-9_-] stand as they are, every
// other byte becomes %XX in upper-case hex.
func EncodeToken(s string) string {
	for i := range len(s) {
		if !plain(s[i]) {
			return string(appendToken(make([]byte, 0, len(s)+16), s))
		}
	}
	return s
}

func appendToken(dst []byte, s string) []byte {
	const hex = "0123456789ABCDEF"
	for i := range len(s) {
		if c := s[i]; plain(c) {
			dst = append(dst, c)
		} else {
			dst = append(dst, '%', hex[c>>4], hex[c&15])
		}
	}
	return dst
}

// DecodeToken is the inverse of [EncodeToken]. It returns an error that matches
// ErrInvalidID for any text that EncodeToken would not produce, so that every
// string has exactly one encoding.
func DecodeToken(token string) (string, error) {
	if !strings.Contains(token, "%") {
		for i := range len(token) {
			if !plain(token[i]) {
				return "", badToken(token)
			}
		}
		return token, nil
	}
	out := make([]byte, 0, len(token))
	for i := 0; i < len(token); i++ {
		c := token[i]
		if plain(c) {
			out = append(out, c)
			continue
		}
		if c != '%' || i+2 >= len(token) {
			return "", badToken(token)
		}
		hi, ok1 := unhex(token[i+1])
		lo, ok2 := unhex(token[i+2])
		if c = hi<<4 | lo; !ok1 || !ok2 || plain(c) {
			return "", badToken(token)
		}
		out = append(out, c)
		i += 2
	}
	return string(out), nil
}

func badToken(token string) error {
	return fmt.Errorf("%w: token %q is not percent-encoded", ErrInvalidID, clip(token))
}

func plain(c byte) bool {
	return 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9' || c == '_' || c == '-'
}

func unhex(c byte) (byte, bool) {
	switch {
	case '0' <= c && c <= '9':
		return c - '0', true
	case 'A' <= c && c <= 'F':
		return c - 'A' + 10, true
	}
	return 0, false
}
