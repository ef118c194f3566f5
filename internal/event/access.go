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

// Act is what is known of something that a caller did to weir itself.
type Act struct {
	UID        string // of the event; empty: a random one
	Time       time.Time
	Project    string // that it concerns; empty: none
	Workspace  string // that it concerns; empty: none
	RequestID  string
	CallerID   string // of the credential
	CallerName string // empty: the CallerID
	CallerKind string // "Service Account", "API Key", "Ingest Token", "User"
	Person     Person // of a user
	Address    netip.AddrPort
	Repeats    // if Count is not 0, of several acts, the event is of all of them
}

// Person is a user whom an OpenID provider vouches for. The user's uid is the subject then, and the id of what stands
// for it among credentials is credential_uid.
type Person struct {
	Issuer  string // URL of the provider
	Subject string // who it is at the provider
	Email   string // that the provider has verified; empty if there is none
}

// Repeats is a number of acts of one kind, and when the first and the last were.
type Repeats struct {
	Count       int
	First, Last time.Time
}

// Add counts one more.
func (r *Repeats) Add(now time.Time) {
	if r.Count == 0 {
		r.First = now
	}
	r.Count, r.Last = r.Count+1, now
}

// Repeat makes the act one of several. Its time is that of the last.
func (a *Act) Repeat(r Repeats) {
	a.Repeats = r
	if r.Count > 0 {
		a.Time = r.Last
	}
}

// repeated is Repeats as an event has it: OCSF's count, start_time and end_time.
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
	Log        string // id of the log, where it was named so
	Start, End int64  // of the range asked for, seconds since the epoch; 0: not known
	Processor  string // asked for; empty: all
	Query      string // in the query language; empty: all
	Status     int    // HTTP status of the refusal; 0: not refused
	ErrorCode  string // of the refusal
}

// Accessed returns the auditLogAccessed event of an attempt to read a log: OCSF class 6003 (API Activity), activity 2
// (Read). It is complete, so that Append leaves it as it is, and its uid is random: no two attempts are one event.
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

// subject returns what was to be read: a workspace's logs, another log, or those of a project.
func (a *Access) subject() resourceDetails {
	switch {
	case a.Workspace != "":
		return resourceDetails{a.Workspace, "Stream Workspace"}
	case a.Log != "":
		return resourceDetails{a.Log, "Log"}
	}
	return resourceDetails{a.Project, "Project"}
}

// encode returns an event's line. Strings and integers cannot fail; what is not UTF-8 becomes U+FFFD.
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

// actor returns who acts, and who vouches for it.
func (a *Act) actor() actor {
	by := actor{User: a.user()}
	if a.Person.Issuer != "" {
		by.Provider = &identityProvider{openID, a.Person.Issuer}
	}
	return by
}

func sourceOf(address netip.AddrPort) endpoint {
	if !address.IsValid() {
		return endpoint{Name: "unknown"} // OCSF wants something
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
