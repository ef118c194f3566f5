package event

import (
	"bytes"
	"crypto/rand"
	"crypto/sha256"
	_ "embed"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"net/netip"
	"time"
)

// Access is an attempt to read a log.
type Access struct {
	Time       time.Time
	Project    string // whose log it is
	Workspace  string
	RequestID  string
	CallerID   string // of the credential
	CallerKind string // "Service Account" or "API Key"
	Address    netip.AddrPort
	Operation  string // such as downloadAuditLogs
	Start, End int64  // of the range asked for, seconds since the epoch; 0: not known
	Processor  string
	Status     int    // HTTP status of the refusal; 0: not refused
	ErrorCode  string // of the refusal
}

type ocsfUser struct {
	Name   string `json:"name"`
	Type   string `json:"type"`
	TypeID int    `json:"type_id"`
	UID    string `json:"uid"`
}

type ocsfResponse struct {
	Code  int    `json:"code"`
	Error string `json:"error"`
}

type ocsfNamed struct {
	Name string `json:"name"`
	Type string `json:"type"`
}

// Accessed returns the auditLogAccessed event of an attempt to read a log: OCSF class 6003 (API Activity), activity 2
// (Read).
func Accessed(a Access) []byte {
	var e struct {
		ActivityID  int    `json:"activity_id"`
		CategoryUID int    `json:"category_uid"`
		ClassUID    int    `json:"class_uid"`
		TypeUID     int    `json:"type_uid"`
		Time        int64  `json:"time"`
		SeverityID  int    `json:"severity_id"`
		StatusID    int    `json:"status_id"`
		Status      string `json:"status"`
		StatusCode  string `json:"status_code,omitempty"`
		Metadata    struct {
			Version string `json:"version"`
			Product struct {
				Name       string `json:"name"`
				VendorName string `json:"vendor_name"`
			} `json:"product"`
			UID        string `json:"uid"`
			LogName    string `json:"log_name"`
			TenantUID  string `json:"tenant_uid"`
			LoggedTime int64  `json:"logged_time"`
		} `json:"metadata"`
		Actor struct {
			User ocsfUser `json:"user"`
		} `json:"actor"`
		SrcEndpoint struct {
			IP   string `json:"ip"`
			Port int    `json:"port,omitempty"`
		} `json:"src_endpoint"`
		API struct {
			Operation string `json:"operation"`
			Request   struct {
				UID string `json:"uid"`
			} `json:"request"`
			Response *ocsfResponse `json:"response,omitempty"`
		} `json:"api"`
		Resources []ocsfNamed `json:"resources"`
		Unmapped  struct {
			Atype string         `json:"atype"`
			Param map[string]any `json:"param,omitempty"`
		} `json:"unmapped"`
	}
	e.ActivityID, e.CategoryUID, e.ClassUID, e.TypeUID = 2, 6, 6003, 600302
	e.Time = a.Time.UnixMilli()
	e.SeverityID, e.StatusID, e.Status = 1, 1, "Success"
	if a.Status != 0 {
		e.SeverityID, e.StatusID, e.Status, e.StatusCode = 3, 2, "Failure", fmt.Sprint(a.Status)
		e.API.Response = &ocsfResponse{a.Status, a.ErrorCode}
	}
	e.Metadata.Version = "1.8.0"
	e.Metadata.Product.Name, e.Metadata.Product.VendorName = "weir", "weir"
	e.Metadata.UID = rand.Text()
	e.Metadata.LogName, e.Metadata.TenantUID, e.Metadata.LoggedTime = a.Workspace, a.Project, e.Time
	e.Actor.User = ocsfUser{Name: a.CallerID, Type: a.CallerKind, TypeID: 99, UID: a.CallerID}
	e.SrcEndpoint.IP, e.SrcEndpoint.Port = a.Address.Addr().String(), int(a.Address.Port())
	e.API.Operation, e.API.Request.UID = a.Operation, a.RequestID
	e.Resources = []ocsfNamed{{a.Workspace, "Stream Workspace"}}
	e.Unmapped.Atype = "auditLogAccessed"
	param := map[string]any{}
	if a.End != 0 {
		param["startDate"], param["endDate"] = a.Start, a.End
	}
	if a.Processor != "" {
		param["spName"] = a.Processor
	}
	e.Unmapped.Param = param
	line, err := json.Marshal(e)
	if err != nil {
		panic(err) // strings and numbers only
	}
	return line
}

//go:embed ocsf/samples.ndjson
var samples []byte

// sampleProcessors are the stream processors of the samples.
var sampleProcessors = []string{"orders-enrich", "payments-window", "clickstream-rollup"}

// Samples returns events of a busy workspace, as if of the three days before until, in the order of their times. The
// same arguments give the same events.
func Samples(workspace, project string, until time.Time) [][]byte {
	kinds := bytes.Split(bytes.TrimSpace(samples), []byte("\n"))
	const rounds = 6
	step := 72 * time.Hour / time.Duration(rounds*len(kinds)+1)
	at := until.Add(-72 * time.Hour)
	var events [][]byte
	for round := range rounds {
		for _, kind := range kinds {
			at = at.Add(step)
			processor := sampleProcessors[round%len(sampleProcessors)]
			events = append(events, sample(kind, workspace, project, processor, at))
		}
	}
	return events
}

// sample returns one of the shipped events with another time, place and processor.
func sample(kind []byte, workspace, project, processor string, at time.Time) []byte {
	line := bytes.ReplaceAll(kind, []byte("orders-enrich"), []byte(processor))
	line = bytes.ReplaceAll(line, []byte("prod-orders"), []byte(workspace))
	line = bytes.ReplaceAll(line, []byte("6a793f48c0eb9e7a17712c9a"), []byte(project))
	id := sha256.Sum256(fmt.Appendf(nil, "%s %s %s %d", project, workspace, kind, at.UnixMilli()))
	line = replaceMember(line, `"uid":"0193b0c2-`, `"`, `"uid":"`+hex.EncodeToString(id[:16]))
	return replaceMember(line, `"time":`, `,`, fmt.Sprintf(`"time":%d`, at.UnixMilli()))
}

// replaceMember replaces what stands from the first from up to the next to.
func replaceMember(line []byte, from, to, with string) []byte {
	start := bytes.Index(line, []byte(from))
	if start < 0 {
		return line
	}
	end := start + len(from) + bytes.Index(line[start+len(from):], []byte(to))
	return append(append(bytes.Clone(line[:start]), with...), line[end:]...)
}
