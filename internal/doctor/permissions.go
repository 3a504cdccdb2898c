package doctor

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"

	"github.com/nats-io/nats.go"

	"github.com/enactlog/enact"
	"github.com/enactlog/enact/internal/ask"
	"github.com/enactlog/enact/jetstore"
)

// requiredLevel makes a request void: the server refuses it before it looks at anything
// else, as it asks for a level of the API that there is not (server/jetstream_versioning.go,
// errorOnRequiredApiLevel, since 2.12).
var requiredLevel = nats.Header{"Nats-Required-Api-Level": {"2147483647"}}

// ownAPI is the prefix of the API of the connection's own account.
const ownAPI = "$JS.API"

// harm is a request that can destroy the log.
type harm struct {
	does    string
	request string // ends with the stream's name
	// body makes the request one that no server carries out, also without requiredLevel: it
	// is refused for what it says before the stream is looked at (server/jetstream_api.go).
	body string
}

// harms are the requests that only operators may send. Each body is refused whatever the
// version: a delete that is not empty, an update that is no JSON, a purge that says both up
// to where and how much to keep, a restore and a message delete without content. A purge
// above all must be JSON: one that is not is carried out.
var harms = []harm{
	{"delete", "STREAM.DELETE.", `{"void":true}`},
	{"update", "STREAM.UPDATE.", `void`},
	{"purge", "STREAM.PURGE.", `{"seq":1,"keep":1}`},
	{"restore", "STREAM.RESTORE.", ``},
	{"delete messages of", "STREAM.MSG.DELETE.", ``},
}

// permissions says what the connection may do to the log's stream. It is told by the server
// or finds out with requests that cannot be carried out.
func permissions(ctx context.Context, x *examination) []Finding {
	const check = checkPermissions
	if x.Embedded {
		return []Finding{{Check: check, Status: OK, Found: "nobody but the program that opens the directory reaches the server"}}
	}
	stream := x.layout.Log.Name
	if x.layout.PerTenant {
		if len(x.streams) == 0 {
			return []Finding{{Check: check, Status: Unknown, Found: "there is no tenant's stream to ask about"}}
		}
		stream = x.streams[0].Name
	}
	allowed := func(subject, body string) (bool, error) { return x.tryVoid(ctx, subject, body) }
	if known, err := x.ownPermissions(ctx); err == nil {
		allowed = func(subject, body string) (bool, error) {
			if !known.mayPublish(subject) || x.layout.APIPrefix == ownAPI {
				return known.mayPublish(subject), nil
			}
			// What of another account's API is imported, the user's permissions do not say.
			return x.tryVoid(ctx, subject, body)
		}
	}
	var may []string
	for _, h := range harms {
		ok, err := allowed(x.layout.APIPrefix+"."+h.request+stream, h.body)
		if err != nil {
			return []Finding{{
				Check: check, Status: Unknown, Found: fmt.Sprintf("whether the connection may %s %s: %s", h.does, stream, ask.Why(err)),
			}}
		}
		if ok {
			may = append(may, h.does)
		}
	}
	return []Finding{judgePermissions(may, stream, x.Role)}
}

func judgePermissions(may []string, stream string, role jetstore.Role) Finding {
	f := Finding{Check: checkPermissions, Status: OK}
	if len(may) == 0 {
		f.Found = "the connection may not delete, update, purge or restore " + stream
		if role == jetstore.RoleOperator {
			f.Status, f.Means, f.Mend = Warn, "an operator could not repair the log with it", "give the operator the permissions of that role"
		}
		return f
	}
	f.Found = fmt.Sprintf("the connection may %s %s", strings.Join(may, ", "), stream)
	const mend = "give programs a user with the permissions of a writer or reader (tenant permissions)"
	switch role {
	case jetstore.RoleOperator:
	case jetstore.RoleReader, jetstore.RoleWriter:
		f.Status, f.Mend = Fail, mend
		f.Means = fmt.Sprintf("a %s can destroy the log: the stream's own settings do not prevent it", role)
	default:
		f.Status, f.Mend = Warn, mend+"; of an operator's connection say so (--role operator)"
		f.Means = "right for an operator; a program with this connection can destroy the log, which the stream's own settings do not prevent"
	}
	return f
}

// errNotTold says that the server does not tell this user what it may.
var errNotTold = errors.New("the server does not tell")

// userPermissions is what a server says that a user may (server/auth.go, Permissions).
type userPermissions struct {
	Publish *struct {
		Allow []string `json:"allow"`
		Deny  []string `json:"deny"`
	} `json:"publish"`
}

// ownPermissions asks the server for the permissions of the connection's user.
func (x *examination) ownPermissions(ctx context.Context) (*userPermissions, error) {
	answer, err := ask.One(ctx, x.Conn, &nats.Msg{Subject: "$SYS.REQ.USER.INFO"})
	if err != nil {
		return nil, err
	}
	var info struct {
		Data *struct {
			Permissions *userPermissions `json:"permissions"`
		} `json:"data"`
	}
	if err := json.Unmarshal(answer.Data, &info); err != nil {
		return nil, err
	}
	if info.Data == nil {
		return nil, errNotTold
	}
	if info.Data.Permissions == nil {
		return &userPermissions{}, nil // none means no limits
	}
	return info.Data.Permissions, nil
}

// mayPublish reports whether the permissions allow a literal subject.
func (p *userPermissions) mayPublish(subject string) bool {
	if p.Publish == nil {
		return true
	}
	for _, pattern := range p.Publish.Deny {
		if covers(pattern, subject) {
			return false
		}
	}
	for _, pattern := range p.Publish.Allow {
		if covers(pattern, subject) {
			return true
		}
	}
	return len(p.Publish.Allow) == 0
}

// covers reports whether a pattern of NATS matches a literal subject.
func covers(pattern, subject string) bool {
	for {
		want, restWant, moreWant := strings.Cut(pattern, ".")
		have, restHave, moreHave := strings.Cut(subject, ".")
		switch {
		case want == ">":
			return true
		case want != "*" && want != have, moreWant != moreHave:
			return false
		case !moreWant:
			return true
		}
		pattern, subject = restWant, restHave
	}
}

// tryVoid sends a request that no server carries out and reports whether it got through to
// one. It needs a server that refuses it twice over.
func (x *examination) tryVoid(ctx context.Context, subject, body string) (bool, error) {
	if version := x.Conn.ConnectedServerVersion(); version == "" || jetstore.CheckServerVersion(version) != nil {
		return false, errors.New("the server is too old to be asked without risk")
	}
	_, err := ask.One(ctx, x.Conn, &nats.Msg{Subject: subject, Header: requiredLevel, Data: []byte(body)})
	switch {
	case errors.Is(err, enact.ErrNotPermitted), errors.Is(err, nats.ErrNoResponders):
		return false, nil
	case err != nil:
		return false, err
	}
	return true, nil
}
