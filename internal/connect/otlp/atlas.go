package otlp

import (
	"errors"
	"fmt"

	"github.com/weirlog/weir/internal/connect"
	"github.com/weirlog/weir/internal/connect/mongodb"
)

// atlasService is the name of the service as which MongoDB Atlas sends its events.
const atlasService = "mongodb-atlas-events"

// atlasEvent is what is read of an event of Atlas.
type atlasEvent struct {
	kind, payload string
	created       int64 // milliseconds since the epoch

	// of the payload, but for the project
	mongodb.Subject
	user, userID, address string
}

// atlas returns the event that one of Atlas becomes: OCSF's Entity Management, of the stream processor, the
// workspace, the cluster, the project or the organization that it names.
func (m *Mapping) atlas(r record, body []byte) ([]byte, error) {
	e, err := readAtlas(body)
	if err != nil {
		return nil, err
	}
	if err := m.CheckTime(e.created); err != nil {
		return nil, err
	}
	activity, name := mongodb.Activity(e.kind)
	dst := fmt.Appendf(m.made[:0], `{"activity_id":%d,"category_uid":3,"class_uid":3004,"type_uid":%d,"time":%d,`+
		`"severity_id":%d`, activity, 300400+activity, e.created, severityOf(r.severity))
	if name != "" {
		dst = connect.String(connect.Name(dst, "activity_name"), name)
	}
	dst = connect.String(connect.Name(dst, "message"), e.kind)
	dst = append(connect.Name(dst, "metadata"), `{"version":"1.8.0","product":{"name":"MongoDB Atlas",`+
		`"vendor_name":"MongoDB"}`...)
	dst = connect.String(connect.Name(dst, "uid"), r.atlasEvent)
	dst = connect.String(connect.Name(dst, "event_code"), e.kind)
	if e.Project != "" {
		dst = connect.String(connect.Name(dst, "tenant_uid"), e.Project)
	}
	dst = e.appendWho(append(dst, '}'))
	kind, subject := e.Entity()
	dst = connect.String(append(connect.Name(dst, "entity"), `{"name":`...), subject)
	dst = append(connect.String(connect.Name(dst, "type"), kind), `,"type_id":99}`...)
	dst = append(connect.Name(dst, "unmapped"), '{')
	dst = connect.String(connect.Name(dst, "atype"), e.kind)
	if connect.Members([]byte(e.payload), func(string, []byte) error { return nil }) == nil {
		dst = append(connect.Name(dst, "payload"), e.payload...)
	}
	m.made = append(m.appendAll(dst, r), "}}"...)
	return m.made, nil
}

// appendWho appends who did it, and from where.
func (e *atlasEvent) appendWho(dst []byte) []byte {
	if e.user != "" || e.userID != "" {
		dst = append(connect.Name(dst, "actor"), `{"user":{"type_id":1`...)
		if e.user != "" {
			dst = connect.String(connect.Name(dst, "name"), e.user)
		}
		if e.userID != "" {
			dst = connect.String(connect.Name(dst, "uid"), e.userID)
		}
		dst = append(dst, "}}"...)
	}
	if e.address != "" {
		dst = append(connect.String(append(connect.Name(dst, "src_endpoint"), `{"ip":`...), e.address), '}')
	}
	return dst
}

func readAtlas(body []byte) (e atlasEvent, err error) {
	texts := map[string]*string{"eventType": &e.kind, "projectId": &e.Project, "eventPayload": &e.payload}
	err = connect.Members(body, func(name string, value []byte) error {
		if to := texts[name]; to != nil {
			*to, _ = connect.Text(value)
			if name == "eventPayload" && value[0] == '{' {
				e.payload = string(value)
			}
		}
		if name == "createdDate" {
			e.created, _ = long(value)
		}
		return nil
	})
	switch {
	case err != nil:
		return e, fmt.Errorf("an event of Atlas: %w", err)
	case e.kind == "" || e.created == 0:
		return e, errors.New("an event of Atlas without eventType or createdDate")
	}
	payload := map[string]*string{"processorName": &e.Processor, "instanceName": &e.Workspace, "clusterName": &e.Cluster,
		"orgId": &e.Organization, "username": &e.user, "userId": &e.userID, "remoteAddress": &e.address}
	_ = connect.Members([]byte(e.payload), func(name string, value []byte) error { // It stays a text if it is none.
		if to := payload[name]; to != nil {
			*to, _ = connect.Text(value)
		}
		return nil
	})
	return e, nil
}
