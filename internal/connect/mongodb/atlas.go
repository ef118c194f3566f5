package mongodb

import (
	"errors"
	"fmt"
	"net/netip"

	"github.com/weirlog/weir/internal/connect"
)

// Subject has the things that an event of Atlas names.
type Subject struct{ Processor, Workspace, Cluster, Project, Organization string }

// entity returns the kind and the name of the subject of an event: the most specific thing that it names.
func (s *Subject) entity() (kind, name string) {
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

func readEvent(line []byte) (h Happening, address string, err error) {
	err = fields(line, map[string]*string{"id": &h.UID, "eventTypeName": &h.Kind, "created": &h.OriginalTime,
		"username": &h.User, "userId": &h.UserID, "publicKey": &h.Key, "remoteAddress": &address,
		"processorName": &h.Processor, "instanceName": &h.Workspace, "clusterName": &h.Cluster, "groupId": &h.Project,
		"orgId": &h.Organization})
	if err == nil && (h.UID == "" || h.Kind == "" || h.OriginalTime == "") {
		err = errors.New("it lacks id, eventTypeName or created")
	}
	if err == nil {
		h.Time, err = instant(h.OriginalTime)
	}
	return h, address, err
}

// Map appends the event of OCSF's Entity Management that an event of Atlas becomes. Its uid is the id.
func (Event) Map(dst, line []byte, _ string) ([]byte, error) {
	h, address, err := readEvent(line)
	if err != nil {
		return dst, err
	}
	h.Severity = 1
	dst = endpoint(h.Begin(dst), "src_endpoint", address, "")
	return append(append(connect.Name(h.About(dst), "payload"), line...), "}}"...), nil
}

// Happening is an event of Atlas, however it came. What is empty is left out.
type Happening struct {
	Kind         string // as Atlas names it
	UID          string
	Time         int64 // milliseconds since the epoch
	OriginalTime string
	Severity     int // OCSF's number

	User, UserID string // who did it
	Key          string // an API key, if no user did
	Subject
}

// Begin begins an event of OCSF's Entity Management, up to who did it.
func (h *Happening) Begin(dst []byte) []byte {
	activity, name := activityOf(h.Kind)
	dst = fmt.Appendf(dst, `{"activity_id":%d,"category_uid":3,"class_uid":3004,"type_uid":%d,"time":%d,"severity_id":%d`,
		activity, 300400+activity, h.Time, h.Severity)
	dst = connect.Given(dst, "activity_name", name)
	dst = connect.String(connect.Name(dst, "message"), h.Kind)
	dst = product(dst, "MongoDB Atlas")
	dst = connect.String(connect.Name(dst, "uid"), h.UID)
	dst = connect.String(connect.Name(dst, "event_code"), h.Kind)
	dst = connect.Given(dst, "tenant_uid", h.Project)
	dst = append(connect.Given(dst, "original_time", h.OriginalTime), '}')
	switch {
	case h.User != "" || h.UserID != "":
		dst = append(connect.Name(dst, "actor"), `{"user":{"type_id":1`...)
		return append(connect.Given(connect.Given(dst, "name", h.User), "uid", h.UserID), "}}"...)
	case h.Key != "":
		dst = append(connect.Name(dst, "actor"), `{"user":{"type_id":99,"type":"API Key"`...)
		return append(connect.Given(dst, "uid", h.Key), "}}"...)
	}
	return dst
}

// About appends what the event is about, and begins unmapped.
func (h *Happening) About(dst []byte) []byte {
	kind, subject := h.entity()
	dst = connect.String(append(connect.Name(dst, "entity"), `{"name":`...), subject)
	dst = append(connect.String(connect.Name(dst, "type"), kind), `,"type_id":99}`...)
	return connect.String(connect.Name(append(connect.Name(dst, "unmapped"), '{'), "atype"), h.Kind)
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
	return append(connect.Given(connect.Given(dst, "ip", address), "hostname", host), '}')
}

// Access is the format of accesses to databases, as Atlas's Admin API lists them.
type Access struct{}

// Name returns what the format is called.
func (Access) Name() string { return "an access to a database of MongoDB Atlas" }

// access has the members of an access that are read.
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
	dst = fmt.Appendf(dst, `{"activity_id":1,"category_uid":3,"class_uid":3002,"type_uid":300201,"time":%d`, ms)
	if string(a.result) == "true" {
		dst = append(dst, `,"severity_id":1,"status_id":1,"status":"Success"`...)
	} else {
		dst = append(dst, `,"severity_id":3,"status_id":2,"status":"Failure"`...)
	}
	dst = connect.Given(dst, "status_detail", a.failure)
	dst = product(dst, "MongoDB Server")
	dst = connect.Given(dst, "uid", uid)
	dst = connect.Given(dst, "tenant_uid", a.project)
	dst = append(connect.Given(dst, "original_time", a.at), '}')
	if a.source != "" {
		a.user = a.source + "." + a.user
	}
	dst = connect.String(append(connect.Name(dst, "user"), `{"type_id":1,"name":`...), a.user)
	dst = append(dst, '}')
	if a.mechanism != "" {
		dst = fmt.Appendf(connect.Given(dst, "auth_protocol", a.mechanism), `,"auth_protocol_id":99`)
	}
	dst = endpoint(dst, "src_endpoint", a.address, "")
	dst = endpoint(dst, "dst_endpoint", "", a.host)
	dst = append(connect.Name(dst, "unmapped"), `{"atype":"authenticate"`...)
	return append(append(connect.Name(dst, "access"), line...), "}}"...), nil
}
