package event

import (
	"bytes"
	"cmp"
	"crypto/rand"
	"encoding/json"
	"net/netip"
	"strconv"
	"time"
)

// Act describes something that a caller did to weir itself.
type Act struct {
	UID        string // of the event; if empty, it is random
	Time       time.Time
	Project    string // project that the act concerns; empty if there is none
	Workspace  string // workspace that the act concerns; empty if there is none
	RequestID  string
	CallerID   string // of the credential
	CallerName string // if empty, CallerID is used
	CallerKind string // "Service Account", "API Key", "Ingest Token", "User"
	Person     Person // of a user
	Address    netip.AddrPort
	Repeats    // if Count is not 0, the event stands for several acts
}

// Person is a user whom an OpenID provider vouches for. In an event, the subject is the user's uid, and the id of the
// person's credential is credential_uid.
type Person struct {
	Issuer  string // URL of the provider
	Subject string // id of the person at the provider
	Email   string // verified by the provider; empty if there is none
}

// Repeats counts acts of one kind, and says when the first and the last happened.
type Repeats struct {
	Count       int
	First, Last time.Time
}

// Add counts one more act.
func (r *Repeats) Add(now time.Time) {
	if r.Count == 0 {
		r.First = now
	}
	r.Count, r.Last = r.Count+1, now
}

// Repeat makes the event stand for several acts. Its time is the time of the last one.
func (a *Act) Repeat(r Repeats) {
	a.Repeats = r
	if r.Count > 0 {
		a.Time = r.Last
	}
}

// repeated is Repeats in an event: OCSF's count, start_time and end_time.
type repeated struct {
	Count int   `json:"count,omitempty"`
	Start int64 `json:"start_time,omitempty"`
	End   int64 `json:"end_time,omitempty"`
}

func (r *Repeats) attributes() repeated {
	if r.Count == 0 {
		return repeated{}
	}
	return repeated{r.Count, r.First.UnixMilli(), r.Last.UnixMilli()}
}

// Access is an attempt to read a log.
type Access struct {
	Act
	Operation  string // such as downloadAuditLogs
	Log        string // id of the log, if the caller named it by its id
	Start, End int64  // range of the request, seconds since the epoch; 0 if not known
	Processor  string // stream processor of the request; empty if it asked for all
	Query      string // in the query language; empty if it asked for all
	Status     int    // HTTP status of the refusal; 0 if the attempt was not refused
	ErrorCode  string // of the refusal
}

// Accessed returns the auditLogAccessed event of an attempt to read a log: OCSF class 6003 (API Activity), activity 2
// (Read). The event is complete, so Append does not change it. Its uid is random, so no two attempts are the same
// event.
func Accessed(a Access) []byte {
	e := apiActivity{ActivityID: 2, CategoryUID: 6, ClassUID: 6003, TypeUID: 600302, Time: a.Time.UnixMilli(),
		SeverityID: 1, StatusID: 1, Status: "Success", repeated: a.attributes(), Metadata: a.metadata(),
		Source: sourceOf(a.Address)}
	e.Actor = a.actor()
	e.API.Operation, e.API.Request.UID = a.Operation, a.RequestID
	e.Resources = []resourceDetails{a.subject()}
	e.Unmapped = unmappedAccess{"auditLogAccessed", accessParam{a.Start, a.End, a.Processor, a.Query}}
	if a.Status != 0 {
		e.SeverityID, e.StatusID, e.Status, e.StatusCode = 3, 2, "Failure", strconv.Itoa(a.Status)
		e.API.Response = &response{a.Status, a.ErrorCode}
	}
	return encode(e)
}

// subject returns what the caller wanted to read: a workspace's logs, another log, or those of a project.
func (a *Access) subject() resourceDetails {
	switch {
	case a.Workspace != "":
		return resourceDetails{a.Workspace, "Stream Workspace"}
	case a.Log != "":
		return resourceDetails{a.Log, "Log"}
	}
	return resourceDetails{a.Project, "Project"}
}

// encode returns an event's line. Encoding strings and integers cannot fail; bytes that are not UTF-8 become U+FFFD.
func encode(e any) []byte {
	var line bytes.Buffer
	encoder := json.NewEncoder(&line)
	encoder.SetEscapeHTML(false)
	_ = encoder.Encode(e)
	return bytes.TrimSuffix(line.Bytes(), []byte("\n"))
}

func (a *Act) metadata() ownMetadata {
	return ownMetadata{Version: "1.8.0", Product: product{"weir", "weir"}, UID: cmp.Or(a.UID, rand.Text()),
		LogName: a.Workspace, TenantUID: a.Project, LoggedTime: a.Time.UnixMilli()}
}

func (a *Act) user() user {
	u := user{Name: a.CallerName, Type: a.CallerKind, TypeID: 99, UID: a.CallerID}
	if p := a.Person; p.Issuer != "" {
		u = user{Name: cmp.Or(p.Email, p.Subject), Type: a.CallerKind, TypeID: 1, UID: p.Subject, Email: p.Email,
			CredentialUID: a.CallerID}
	}
	if u.Name == "" {
		u.Name = u.UID
	}
	return u
}

// actor returns the caller, and the provider that vouches for it if the caller is a person.
func (a *Act) actor() actor {
	by := actor{User: a.user()}
	if a.Person.Issuer != "" {
		by.Provider = &identityProvider{openID, a.Person.Issuer}
	}
	return by
}

func sourceOf(address netip.AddrPort) endpoint {
	if !address.IsValid() {
		return endpoint{Name: "unknown"} // OCSF requires a name.
	}
	return endpoint{IP: address.Addr().Unmap().WithZone("").String(), Port: address.Port()}
}

// The types below are the part of OCSF's API Activity that weir writes, in the order in which it writes it.
type (
	apiActivity struct {
		ActivityID  int    `json:"activity_id"`
		CategoryUID int    `json:"category_uid"`
		ClassUID    int    `json:"class_uid"`
		TypeUID     int    `json:"type_uid"`
		Time        int64  `json:"time"`
		SeverityID  int    `json:"severity_id"`
		StatusID    int    `json:"status_id"`
		Status      string `json:"status"`
		StatusCode  string `json:"status_code,omitempty"`
		repeated
		Metadata ownMetadata `json:"metadata"`
		Actor    actor       `json:"actor"`
		Source   endpoint    `json:"src_endpoint"`
		API      struct {
			Operation string `json:"operation"`
			Request   struct {
				UID string `json:"uid"`
			} `json:"request"`
			Response *response `json:"response,omitempty"`
		} `json:"api"`
		Resources []resourceDetails `json:"resources"`
		Unmapped  unmappedAccess    `json:"unmapped"`
	}
	ownMetadata struct {
		Version    string  `json:"version"`
		Product    product `json:"product"`
		UID        string  `json:"uid"`
		LogName    string  `json:"log_name,omitempty"`
		TenantUID  string  `json:"tenant_uid,omitempty"`
		LoggedTime int64   `json:"logged_time"`

		CorrelationUID string `json:"correlation_uid,omitempty"`
	}
	product struct {
		Name       string `json:"name"`
		VendorName string `json:"vendor_name"`
	}
	user struct {
		Name   string `json:"name"`
		Type   string `json:"type"`
		TypeID int    `json:"type_id"`
		UID    string `json:"uid"`

		Email         string `json:"email_addr,omitempty"`
		CredentialUID string `json:"credential_uid,omitempty"`
	}
	actor struct {
		User     user              `json:"user"`
		Provider *identityProvider `json:"idp,omitempty"`
	}
	identityProvider struct {
		Name   string `json:"name"`
		Issuer string `json:"issuer"`
	}
	endpoint struct {
		IP   string `json:"ip,omitempty"`
		Port uint16 `json:"port,omitempty"`
		Name string `json:"name,omitempty"`
	}
	response struct {
		Code  int    `json:"code"`
		Error string `json:"error"`
	}
	resourceDetails struct {
		Name string `json:"name"`
		Type string `json:"type"`
	}
	unmappedAccess struct {
		Atype string      `json:"atype"`
		Param accessParam `json:"param"`
	}
	accessParam struct { // by the names of the API's parameters
		Start     int64  `json:"startDate,omitempty"`
		End       int64  `json:"endDate,omitempty"`
		Processor string `json:"spName,omitempty"`
		Query     string `json:"q,omitempty"`
	}
)
