package event

import (
	"cmp"
	"encoding/json"
	"time"
)

// Change describes a change of an organization, project, workspace or credential.
type Change struct {
	Act
	Operation  string // such as createGroupStreamWorkspace
	Activity   Activity
	EntityType string // such as "Stream Workspace"
	EntityID   string
	EntityName string
	Before     json.RawMessage // without secrets; nil if there was nothing
	After      json.RawMessage // without secrets; nil if there is nothing
	Unknown    bool            // it is not known whether the change took effect
}

// Activity is the kind of a change, by OCSF's numbers for Entity Management.
type Activity int

const (
	Create Activity = 1
	Update Activity = 3
	Delete Activity = 4
)

// Changed returns the event of a change: OCSF class 3004 (Entity Management). Its uid is random.
func Changed(c Change) []byte {
	e := entityManagement{ActivityID: int(c.Activity), CategoryUID: 3, ClassUID: 3004,
		TypeUID: 300400 + int(c.Activity),
		Time:    c.Time.UnixMilli(), SeverityID: 1, StatusID: 1, Status: "Success", Metadata: c.metadata(),
		Source: sourceOf(c.Address), Comment: c.Operation,
		Entity: managedEntity{Name: c.EntityName, UID: c.EntityID, Type: c.EntityType, TypeID: 99, Data: c.Before}}
	if c.Unknown {
		e.SeverityID, e.StatusID, e.Status = 3, 0, "Unknown"
		e.StatusDetail = "weir stopped before it knew whether this took effect"
	}
	e.Metadata.CorrelationUID = c.RequestID
	e.Actor = c.actor()
	if c.After != nil {
		result := e.Entity
		result.Data = c.After
		e.Result = &result
	}
	e.Unmapped.Atype = c.Operation
	return encode(e)
}

// SignInFailed returns the event of an authentication that failed for an existing credential: OCSF class 3002
// (Authentication), activity 1 (Logon). The protocol is "Digest", "OpenID Connect", "OAUTH 2.0" or "Ingest Token". Its
// uid is random.
func SignInFailed(a Act, protocol, why string) []byte {
	e := authentication{ActivityID: 1, CategoryUID: 3, ClassUID: 3002, TypeUID: 300201, Time: a.Time.UnixMilli(),
		SeverityID: 3, StatusID: 2, Status: "Failure", StatusDetail: why, repeated: a.attributes(),
		Metadata: a.metadata(), User: a.user(),
		Source: sourceOf(a.Address), Protocol: protocol, ProtocolID: protocols[protocol], IsRemote: true}
	e.complete(a, "authenticate")
	return encode(e)
}

// SessionActivity is the kind of an event of a session, by OCSF's numbers for Authentication.
type SessionActivity int

const (
	Logon  SessionActivity = 1
	Logoff SessionActivity = 2
)

// SessionChanged returns the event of a session that began, or that its holder ended: OCSF class 3002 (Authentication).
// session is its id; if empty, the event is about all sessions of the credential. how is the proof that the holder
// presented, such as "Secret". Its uid is random.
func SessionChanged(a Act, activity SessionActivity, operation, session, how string) []byte {
	e := authentication{ActivityID: int(activity), CategoryUID: 3, ClassUID: 3002, TypeUID: 300200 + int(activity),
		Time: a.Time.UnixMilli(), SeverityID: 1, StatusID: 1, Status: "Success", Metadata: a.metadata(),
		User: a.user(), Source: sourceOf(a.Address), Protocol: how, ProtocolID: cmp.Or(protocols[how], otherProtocol),
		IsRemote: true}
	if session != "" {
		e.Session = &sessionObject{session}
	}
	e.complete(a, operation)
	return encode(e)
}

// complete sets the attributes that all authentications have. For a person it names the provider that vouches.
func (e *authentication) complete(a Act, operation string) {
	e.Metadata.CorrelationUID = a.RequestID
	e.Service.Name = "weir"
	e.Unmapped.Atype = operation
	if by := a.actor(); by.Provider != nil {
		e.Actor = &by
	}
}

// Removal describes entries that retention removes from a log.
type Removal struct {
	Time             time.Time
	Project          string
	Workspace        string
	Log              string // id of the log
	Setting          string // setting of the project that causes the removal
	Days             int    // value of the setting
	First, Entries   int64  // index of the first entry, and number of entries
	Oldest, Youngest time.Time
}

// Pruned returns the event of a removal: OCSF class 3004 (Entity Management), activity 4 (Delete). Its uid is random.
func Pruned(r Removal) []byte {
	data, err := json.Marshal(struct {
		Setting  string    `json:"setting"`
		Days     int       `json:"days"`
		First    int64     `json:"firstEntry"`
		Entries  int64     `json:"entries"`
		Oldest   time.Time `json:"oldestEvent"`
		Youngest time.Time `json:"youngestEvent"`
	}{r.Setting, r.Days, r.First, r.Entries, r.Oldest.UTC(), r.Youngest.UTC()})
	if err != nil {
		data = nil // It fails for a time after the year 9999. The event still says what was removed.
	}
	return Changed(Change{Act: Act{Time: r.Time, Project: r.Project, Workspace: r.Workspace, CallerID: "weir",
		CallerKind: "System"},
		Operation: "removeEvents", Activity: Delete, EntityType: "Log", EntityID: r.Log, EntityName: r.Workspace,
		Before: data})
}

// protocols maps the names of the protocols that weir speaks to OCSF's numbers.
var protocols = map[string]int{"Digest": 3, openID: 4, "OAUTH 2.0": 6, "Ingest Token": 99}

const openID = "OpenID Connect"

const otherProtocol = 99 // OCSF's number for any other protocol

// The parts of OCSF's classes that weir writes, in the order in which it writes them.
type (
	entityManagement struct {
		ActivityID   int            `json:"activity_id"`
		CategoryUID  int            `json:"category_uid"`
		ClassUID     int            `json:"class_uid"`
		TypeUID      int            `json:"type_uid"`
		Time         int64          `json:"time"`
		SeverityID   int            `json:"severity_id"`
		StatusID     int            `json:"status_id"`
		Status       string         `json:"status"`
		StatusDetail string         `json:"status_detail,omitempty"`
		Metadata     ownMetadata    `json:"metadata"`
		Actor        actor          `json:"actor"`
		Source       endpoint       `json:"src_endpoint"`
		Comment      string         `json:"comment"`
		Entity       managedEntity  `json:"entity"`
		Result       *managedEntity `json:"entity_result,omitempty"`
		Unmapped     struct {
			Atype string `json:"atype"`
		} `json:"unmapped"`
	}
	managedEntity struct {
		Name   string          `json:"name,omitempty"`
		UID    string          `json:"uid,omitempty"`
		Type   string          `json:"type"`
		TypeID int             `json:"type_id"`
		Data   json.RawMessage `json:"data,omitempty"`
	}
	sessionObject struct {
		UID string `json:"uid"`
	}
	authentication struct {
		ActivityID   int    `json:"activity_id"`
		CategoryUID  int    `json:"category_uid"`
		ClassUID     int    `json:"class_uid"`
		TypeUID      int    `json:"type_uid"`
		Time         int64  `json:"time"`
		SeverityID   int    `json:"severity_id"`
		StatusID     int    `json:"status_id"`
		Status       string `json:"status"`
		StatusDetail string `json:"status_detail,omitempty"`
		repeated
		Metadata   ownMetadata    `json:"metadata"`
		Actor      *actor         `json:"actor,omitempty"`
		User       user           `json:"user"`
		Session    *sessionObject `json:"session,omitempty"`
		Source     endpoint       `json:"src_endpoint"`
		Protocol   string         `json:"auth_protocol"`
		ProtocolID int            `json:"auth_protocol_id"`
		IsRemote   bool           `json:"is_remote"`
		Service    struct {
			Name string `json:"name"`
		} `json:"service"`
		Unmapped struct {
			Atype string `json:"atype"`
		} `json:"unmapped"`
	}
)
