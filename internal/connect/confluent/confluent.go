// Package confluent makes events of OCSF of the audit events of Confluent Cloud and Confluent Platform, which are
// CloudEvents 1.0 in JSON.
//
// It reads both generations of Confluent's schema, and members in either spelling (methodName, method_name). Members
// without a field of OCSF stay in unmapped, as they came. The mapping follows Confluent's documentation; it was not
// tried with a topic of Confluent.
package confluent

import (
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/weirlog/weir/internal/connect"
)

// Format is the name of this format for events that cannot be read.
const Format = "an audit event of Confluent"

// Classes of OCSF.
const (
	authentication = 3002
	entity         = 3004
	api            = 6003
)

// audited has the members of an event that are read.
type audited struct {
	id, source, kind, subject, time string
	data                            []byte

	method, service string
	authn, authz    object // authenticationInfo and authorizationInfo
	meta            object // requestMetadata
	request, result object
	resource        object // the first one that it names
	organization    string
	environment     string
}

// Map appends the event that an audit event becomes, and returns its time in milliseconds since the epoch. Its uid is
// the id. If it says no time, that is at.
func Map(dst, raw []byte, at int64) (made []byte, ms int64, err error) {
	e, err := read(raw)
	if err != nil {
		return dst, 0, err
	}
	if ms = at; e.time != "" {
		t, err := time.Parse(time.RFC3339, e.time)
		if err != nil {
			return dst, 0, errors.New("its time is not in the form of RFC 3339")
		}
		ms = t.UnixMilli()
	}
	return e.appendEvent(dst, ms), ms, nil
}

func read(raw []byte) (e audited, err error) {
	all, err := members(raw)
	if err != nil {
		return e, err
	}
	e.id, e.source, e.kind = all.text("id"), all.text("source"), all.text("type")
	e.subject, e.time, e.data = all.text("subject"), all.text("time"), all["data"]
	switch {
	case e.id == "" || e.source == "" || e.kind == "":
		return e, errors.New("one of the attributes id, source and type is missing or empty")
	case all.text("specversion") != "1.0":
		return e, errors.New("its specversion is not 1.0")
	}
	data := all.object("data")
	e.method, e.service = data.text("methodName"), data.text("serviceName")
	e.authn, e.authz = data.object("authenticationInfo"), data.object("authorizationInfo")
	e.meta, e.request, e.result = data.object("requestMetadata"), data.object("request"), data.object("result")
	place := first(data["cloudResources"])
	e.resource = place.object("resource")
	e.organization, e.environment = crn(e.subject, "organization"), crn(e.subject, "environment")
	_ = connect.Elements(place.object("scope")["resources"], func(value []byte) error { // There may be none.
		r, _ := members(value)
		switch r.text("type") {
		case "ORGANIZATION":
			e.organization = r.text("resourceId")
		case "ENVIRONMENT":
			e.environment = r.text("resourceId")
		}
		return nil
	})
	return e, nil
}

// class returns the class of an event, its activity, and the severity of a success. The class is 0 if it is not known.
func (e *audited) class() (class, activity, severity int) {
	_, kind, _ := strings.Cut(e.kind, "/")
	switch kind {
	case "authentication":
		return authentication, 1, 1
	case "authorization":
		return api, activityOf(e.authz.text("operation")), 1
	case "access-transparency":
		return api, 2, 2
	case "request":
		if of, activity := e.entity(); of != "" {
			return entity, activity, 1
		}
		if activity = activityOf(method(e.method)); activity == 0 {
			activity = map[string]int{"MODIFICATION": 3, "READ_ONLY": 2}[e.request.text("accessType")]
		}
		return api, activity, 1
	}
	return 0, 99, 1
}

// method returns the name of a method without its service.
func method(name string) string { return name[strings.LastIndexByte(name, '.')+1:] }

// activityOf returns the number that OCSF's API Activity has for an operation; 0 if it has none.
func activityOf(operation string) int {
	for _, of := range []struct {
		verbs    string
		activity int
	}{{"Create", 1}, {"Read Describe List Get", 2}, {"Alter Write Update Pause Resume", 3}, {"Delete", 4}} {
		for verb := range strings.FieldsSeq(of.verbs) {
			if strings.HasPrefix(operation, verb) {
				return of.activity
			}
		}
	}
	return 0
}

// entity returns the type of the statement or connector that an event changes, and the activity of Entity Management;
// empty if it changes none.
func (e *audited) entity() (kind string, activity int) {
	name := method(e.method)
	switch {
	case strings.HasSuffix(name, "Statement"):
		kind = "Flink Statement"
	case strings.HasSuffix(name, "Connector"):
		kind = "Connector"
	}
	for verb, activity := range map[string]int{"Create": 1, "Update": 3, "Delete": 4, "Pause": 12, "Resume": 13} {
		if kind != "" && strings.HasPrefix(name, verb) {
			return kind, activity
		}
	}
	return "", 0
}

func (e *audited) appendEvent(dst []byte, ms int64) []byte {
	class, activity, severity := e.class()
	status, known := e.success()
	if known && !status {
		severity = 3
	}
	dst = fmt.Appendf(dst, `{"activity_id":%d,"category_uid":%d,"class_uid":%d,"type_uid":%d,"time":%d,"severity_id":%d`,
		activity, class/1000, class, class*100+activity, ms, severity)
	if activity == 99 {
		dst = connect.String(connect.Name(dst, "activity_name"), e.kind)
	}
	if known {
		dst = e.appendStatus(dst, status)
	}
	dst = append(connect.Name(dst, "metadata"), `{"version":"1.8.0","product":{"name":"Confluent Cloud",`+
		`"vendor_name":"Confluent"}`...)
	dst = connect.String(connect.Name(dst, "uid"), e.id)
	dst = connect.Given(dst, "original_time", e.time)
	dst = connect.Given(dst, "tenant_uid", e.organization)
	dst = connect.Given(dst, "log_source", e.source)
	dst = connect.Given(dst, "event_code", e.method)
	dst = append(connect.Given(dst, "correlation_uid", e.meta.text("connectionId")), '}')
	switch class {
	case authentication:
		dst = e.appendAuthentication(dst)
	case entity:
		dst = e.appendEntity(e.appendEndpoint(e.appendActor(dst), false))
	case api:
		dst = e.appendCall(e.appendEndpoint(e.appendActor(dst), true))
	}
	dst = append(connect.Name(dst, "unmapped"), '{')
	dst = connect.String(connect.Name(dst, "type"), e.kind)
	dst = connect.Given(connect.Given(dst, "methodName", e.method), "subject", e.subject)
	if e.data != nil {
		dst = append(connect.Name(dst, "data"), e.data...)
	}
	return append(dst, "}}"...)
}
