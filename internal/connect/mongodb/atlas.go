package mongodb

import (
	"errors"
	"fmt"
	"net/netip"

	"github.com/weirlog/weir/internal/connect"
)

// Subject is what an event of Atlas names.
type Subject struct{ Processor, Workspace, Cluster, Project, Organization string }

// Entity returns the kind and the name of what an event is about: the nearest thing that it names.
func (s *Subject) Entity() (kind, name string) {
	for _, of := range [][2]string{{"Stream Processor", s.Processor}, {"Stream Workspace", s.Workspace},
		{"Cluster", s.Cluster}, {"Project", s.Project}, {"Organization", s.Organization}} {
		if of[1] != "" {
			return of[0], of[1]
		}
	}
	return "Atlas", "MongoDB Atlas"
}

// Event is the format of events of projects and organizations, as Atlas's Admin API lists them.
type Event struct{}

// Name returns what the format is called.
func (Event) Name() string { return "an event of MongoDB Atlas" }

// happening is what is read of one.
type happening struct {
	id, kind, created, user, userID, key, address string
	Subject
}

func readEvent(line []byte) (e happening, err error) {
	err = fields(line, map[string]*string{"id": &e.id, "eventTypeName": &e.kind, "created": &e.created,
		"username": &e.user, "userId": &e.userID, "publicKey": &e.key, "remoteAddress": &e.address,
		"processorName": &e.Processor, "instanceName": &e.Workspace, "clusterName": &e.Cluster, "groupId": &e.Project,
		"orgId": &e.Organization})
	if err == nil && (e.id == "" || e.kind == "" || e.created == "") {
		err = errors.New("it lacks id, eventTypeName or created")
	}
	return e, err
}

// Map appends the event of OCSF's Entity Management that an event of Atlas becomes. Its uid is the id.
func (Event) Map(dst, line []byte, _ string) ([]byte, error) {
	e, err := readEvent(line)
	if err != nil {
		return dst, err
	}
	ms, err := instant(e.created)
	if err != nil {
		return dst, err
	}
	activity, name := Activity(e.kind)
	dst = head(dst, 3004, activity, ms, false, false)
	dst = given(dst, "activity_name", name)
	dst = connect.String(connect.Name(dst, "message"), e.kind)
	dst = product(dst, "MongoDB Atlas")
	dst = connect.String(connect.Name(dst, "uid"), e.id)
	dst = connect.String(connect.Name(dst, "event_code"), e.kind)
	dst = given(dst, "tenant_uid", e.Project)
	dst = connect.String(connect.Name(dst, "original_time"), e.created)
	dst = e.appendActor(append(dst, '}'))
	kind, subject := e.Entity()
	dst = connect.String(append(connect.Name(dst, "entity"), `{"name":`...), subject)
	dst = append(connect.String(connect.Name(dst, "type"), kind), `,"type_id":99}`...)
	dst = append(connect.Name(dst, "unmapped"), '{')
	dst = connect.String(connect.Name(dst, "atype"), e.kind)
	return append(append(connect.Name(dst, "payload"), line...), "}}"...), nil
}

// appendActor appends who did it, and from where.
func (e *happening) appendActor(dst []byte) []byte {
	switch {
	case e.user != "" || e.userID != "":
		dst = append(connect.Name(dst, "actor"), `{"user":{"type_id":1`...)
		dst = append(given(given(dst, "name", e.user), "uid", e.userID), "}}"...)
	case e.key != "":
		dst = append(connect.Name(dst, "actor"), `{"user":{"type_id":99,"type":"API Key"`...)
		dst = append(given(dst, "uid", e.key), "}}"...)
	}
	return endpoint(dst, "src_endpoint", e.address, "")
}

// endpoint appends the place of an address, or of a name. A text that is no address is a name.
func endpoint(dst []byte, name, address, host string) []byte {
	if _, err := netip.ParseAddr(address); err != nil && host == "" {
		address, host = "", address
	} else if err != nil {
		address = ""
	}
	if address == "" && host == "" {
		return dst
	}
	dst = append(connect.Name(dst, name), '{')
	return append(given(given(dst, "ip", address), "hostname", host), '}')
}

// Access is the format of accesses to databases, as Atlas's Admin API lists them.
type Access struct{}

// Name returns what the format is called.
func (Access) Name() string { return "an access to a database of MongoDB Atlas" }

// access is what is read of one.
type access struct {
	user, source, address, host, at, failure, logged, mechanism, project string
	result                                                               []byte
}

func readAccess(line []byte) (a access, err error) {
	var logLine string
	err = fields(line, map[string]*string{"username": &a.user, "authSource": &a.source, "ipAddress": &a.address,
		"hostname": &a.host, "timestamp": &a.at, "failureReason": &a.failure, "logLine": &logLine, "groupId": &a.project})
	if err == nil {
		err = connect.Members(line, func(name string, value []byte) error {
			if name == "authResult" {
				a.result = value
			}
			return nil
		})
	}
	switch {
	case err != nil:
	case string(a.result) != "true" && string(a.result) != "false":
		err = errors.New("it lacks authResult")
	case logLine != "": // It stays a text if it is no object.
		_ = fields([]byte(logLine), map[string]*string{"t.$date": &a.logged, "attr.mechanism": &a.mechanism})
	}
	return a, err
}

// time returns when it was: as the server's own line says, to the millisecond, or as the list does.
func (a *access) time() (ms int64, err error) {
	if ms, err = instant(a.logged); err == nil {
		return ms, nil
	}
	return instant(a.at)
}

// Map appends the event of OCSF's Authentication that an access becomes. It has no identity of its own.
func (Access) Map(dst, line []byte, uid string) ([]byte, error) {
	a, err := readAccess(line)
	if err != nil {
		return dst, err
	}
	ms, err := a.time()
	if err != nil {
		return dst, err
	}
	const logon = 1
	dst = head(dst, 3002, logon, ms, string(a.result) == "true", true)
	dst = given(dst, "status_detail", a.failure)
	dst = product(dst, "MongoDB Server")
	dst = given(dst, "uid", uid)
	dst = given(dst, "tenant_uid", a.project)
	dst = append(given(dst, "original_time", a.at), '}')
	if a.source != "" {
		a.user = a.source + "." + a.user
	}
	dst = connect.String(append(connect.Name(dst, "user"), `{"type_id":1,"name":`...), a.user)
	dst = append(dst, '}')
	if a.mechanism != "" {
		dst = fmt.Appendf(given(dst, "auth_protocol", a.mechanism), `,"auth_protocol_id":99`)
	}
	dst = endpoint(dst, "src_endpoint", a.address, "")
	dst = endpoint(dst, "dst_endpoint", "", a.host)
	dst = append(connect.Name(dst, "unmapped"), `{"atype":"authenticate"`...)
	return append(append(connect.Name(dst, "access"), line...), "}}"...), nil
}
