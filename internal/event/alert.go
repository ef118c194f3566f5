package event

import "time"

// Finding is an event of an alert: it fired, it was given up, or it is over.
type Finding struct {
	UID      string // of the event
	Time     time.Time
	Project  string
	Activity FindingActivity
	Severity int // by OCSF's numbers, 1 (informational) to 5 (critical)

	Alert           string // id of the alert
	Rule, RuleID    string
	Text            string // what happened, for people
	Cause           string
	Group           map[string]string // values of the fields by which the rule groups events
	Log             string            // log of the entry that made the rule fire; empty if there is none
	Entry           int64
	First, Last     time.Time // range of time in which the rule's count was reached
	Query, Question string    // query of the rule; URL of the page that shows its events
}

// FindingActivity is what happened to an alert, by OCSF's numbers for Detection Finding.
type FindingActivity int

// The activities.
const (
	AlertFired    FindingActivity = 1
	AlertGivenUp  FindingActivity = 2 // A notifier refused a notification of the alert, and gets no more of it.
	AlertResolved FindingActivity = 3
)

// findingClass is OCSF's class Detection Finding.
const findingClass = 2004

// Found returns the event of an alert: OCSF class 2004 (Detection Finding).
func Found(f Finding) []byte {
	act := Act{UID: f.UID, Time: f.Time, Project: f.Project}
	e := detectionFinding{ActivityID: int(f.Activity), CategoryUID: 2, ClassUID: findingClass,
		ClassName: "Detection Finding", TypeUID: findingClass*100 + int(f.Activity), Time: f.Time.UnixMilli(),
		SeverityID: f.Severity, StatusID: 1, Status: "New", Message: f.Text, Metadata: act.metadata()}
	e.Unmapped.Atype = "alertFired"
	switch f.Activity {
	case AlertGivenUp:
		e.StatusID, e.Status, e.Unmapped.Atype = 2, "In Progress", "alertNotificationGivenUp"
	case AlertResolved:
		e.StatusID, e.Status, e.Unmapped.Atype = 4, "Resolved", "alertResolved"
	}
	e.Info.UID, e.Info.Title, e.Info.Created = f.Alert, f.Rule, f.Time.UnixMilli()
	e.Info.First, e.Info.Last, e.Info.Source = f.First.UnixMilli(), f.Last.UnixMilli(), f.Question
	e.Info.Analytic.Name, e.Info.Analytic.UID, e.Info.Analytic.Type, e.Info.Analytic.TypeID = f.Rule, f.RuleID, "Rule", 1
	e.Unmapped.Param = findingParam{f.Cause, f.Query, f.Group, f.Log, nil}
	if f.Log != "" {
		e.Unmapped.Param.Entry = &f.Entry
	}
	return encode(e)
}

type (
	detectionFinding struct {
		ActivityID  int         `json:"activity_id"`
		CategoryUID int         `json:"category_uid"`
		ClassUID    int         `json:"class_uid"`
		ClassName   string      `json:"class_name"`
		TypeUID     int         `json:"type_uid"`
		Time        int64       `json:"time"`
		SeverityID  int         `json:"severity_id"`
		StatusID    int         `json:"status_id"`
		Status      string      `json:"status"`
		Message     string      `json:"message"`
		Metadata    ownMetadata `json:"metadata"`
		Info        struct {
			UID      string `json:"uid"`
			Title    string `json:"title"`
			Created  int64  `json:"created_time"`
			First    int64  `json:"first_seen_time"`
			Last     int64  `json:"last_seen_time"`
			Source   string `json:"src_url,omitempty"`
			Analytic struct {
				Name   string `json:"name"`
				UID    string `json:"uid"`
				Type   string `json:"type"`
				TypeID int    `json:"type_id"`
			} `json:"analytic"`
		} `json:"finding_info"`
		Unmapped struct {
			Atype string       `json:"atype"`
			Param findingParam `json:"param"`
		} `json:"unmapped"`
	}
	findingParam struct {
		Cause string            `json:"cause"`
		Query string            `json:"query"`
		Group map[string]string `json:"group,omitempty"`
		Log   string            `json:"log,omitempty"`
		Entry *int64            `json:"entry,omitempty"`
	}
)

// Findings is the query that matches the events of alerts in a project's own log, to which only weir records.
const Findings = "class_uid:2004 metadata.product.name:weir"
