package otlp

import (
	"errors"
	"fmt"

	"github.com/weirlog/weir/internal/connect"
	"github.com/weirlog/weir/internal/connect/mongodb"
)

// atlasService is the name of the service as which MongoDB Atlas sends its events.
const atlasService = "mongodb-atlas-events"

// atlasEvent has the members of an event of Atlas that are read.
type atlasEvent struct {
	mongodb.Happening
	payload, address string
}

// atlas returns the event that one of Atlas becomes: OCSF's Entity Management, of the stream processor, the
// workspace, the cluster, the project or the organization that it names.
func (m *Mapping) atlas(r record, body []byte) ([]byte, error) {
	e, err := readAtlas(body)
	if err != nil {
		return nil, err
	}
	if err := m.CheckTime(e.Time); err != nil {
		return nil, err
	}
	e.UID, e.Severity = r.atlasEvent, severityOf(r.severity)
	dst := e.Begin(m.made[:0])
	if e.address != "" {
		dst = append(connect.String(append(connect.Name(dst, "src_endpoint"), `{"ip":`...), e.address), '}')
	}
	dst = e.About(dst)
	if connect.Members([]byte(e.payload), func(string, []byte) error { return nil }) == nil {
		dst = append(connect.Name(dst, "payload"), e.payload...)
	}
	m.made = append(m.appendAll(dst, r), "}}"...)
	return m.made, nil
}

func readAtlas(body []byte) (e atlasEvent, err error) {
	texts := map[string]*string{"eventType": &e.Kind, "projectId": &e.Project, "eventPayload": &e.payload}
	err = connect.Members(body, func(name string, value []byte) error {
		if to := texts[name]; to != nil {
			*to, _ = connect.Text(value)
			if name == "eventPayload" && value[0] == '{' {
				e.payload = string(value)
			}
		}
		if name == "createdDate" {
			e.Time, _ = connect.Whole(value)
		}
		return nil
	})
	switch {
	case err != nil:
		return e, fmt.Errorf("an event of Atlas: %w", err)
	case e.Kind == "" || e.Time == 0:
		return e, errors.New("an event of Atlas without eventType or createdDate")
	}
	payload := map[string]*string{"processorName": &e.Processor, "instanceName": &e.Workspace, "clusterName": &e.Cluster,
		"orgId": &e.Organization, "username": &e.User, "userId": &e.UserID, "remoteAddress": &e.address}
	_ = connect.Members([]byte(e.payload), func(name string, value []byte) error { // If it is no object, it stays a text.
		if to := payload[name]; to != nil {
			*to, _ = connect.Text(value)
		}
		return nil
	})
	return e, nil
}
