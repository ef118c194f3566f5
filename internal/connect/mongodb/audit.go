package mongodb

import (
	"encoding/base64"
	"errors"
	"fmt"
	"strings"

	"github.com/weirlog/weir/internal/connect"
)

// Audit is the format of the lines of a server's audit log.
type Audit struct{}

// Name returns what the format is called.
func (Audit) Name() string { return "a line of MongoDB's audit log" }

// Map appends the event that a line becomes. One that is OCSF stays as it is. One of MongoDB's own schema gets the
// class that MongoDB documents for its atype, or is one of the base class; all of the line stands in unmapped.
func (Audit) Map(dst, line []byte, uid string) ([]byte, error) {
	if _, ok := connect.OCSF(line); ok {
		return connect.WithUID(dst, line, uid), nil
	}
	a, err := readAudited(line)
	if err != nil {
		return dst, err
	}
	ms, err := instant(a.at)
	if err != nil {
		return dst, err
	}
	class, activity := a.class()
	dst = fmt.Appendf(dst, `{"activity_id":%d,"category_uid":%d,"class_uid":%d,"type_uid":%d`, activity, class/1000,
		class, class*100+activity)
	if activity == 99 {
		dst = connect.String(connect.Name(dst, "activity_name"), a.atype)
	}
	dst = a.appendStatus(fmt.Appendf(dst, `,"time":%d`, ms))
	dst = product(dst, "MongoDB Server")
	dst = connect.Given(connect.Given(dst, "uid", uid), "correlation_uid", a.connection)
	if class == networkActivity || class == 0 {
		dst = append(connect.Name(dst, "profiles"), `["host"]`...)
	}
	dst = a.appendOfClass(append(dst, '}'), class)
	return append(append(connect.Name(dst, "unmapped"), line...), '}'), nil
}

// Classes of OCSF.
const (
	processActivity = 1007
	accountChange   = 3001
	authentication  = 3002
	entityChange    = 3004
	networkActivity = 4001
	inventory       = 5001
	configuration   = 5002
	apiActivity     = 6003
)

// typeUIDs are those that MongoDB documents for its atypes, and OCSF has.
var typeUIDs = map[string]int{
	"authenticate": 300201, "logout": 300202, "clientMetadata": 400101,
	"directAuthMutation": 300100, "createUser": 300101, "createRole": 300101, "dropUser": 300106, "dropRole": 300106,
	"dropAllUsersFromDatabase": 300106, "dropAllRolesFromDatabase": 300106, "grantRolesToUser": 300107,
	"grantRolesToRole": 300107, "grantPrivilegesToRole": 300107, "dropPrivilegesToRole": 300107,
	"revokeRolesFromUser": 300108, "revokeRolesFromRole": 300108, "revokePrivilegesFromRole": 300108,
	"updateUser": 300199, "updateRole": 300199,
	"createCollection": 300401, "createDatabase": 300401, "createIndex": 300401, "importCollection": 300401,
	"renameCollection": 300403, "dropCollection": 300404, "dropDatabase": 300404, "dropIndex": 300404,
	"getClusterParameter": 600302, "addShard": 500101, "auditConfigure": 500201, "enableSharding": 500201,
	"shardCollection": 500201, "refineCollectionShardKey": 500201, "removeShard": 500201, "replSetReconfig": 500201,
	"setClusterParameter": 500201, "updateCachedClusterServerParameter": 500201,
	"startup": 100701, "shutdown": 100702, "rotateLog": 100799, "applicationMessage": 100799,
}

// audited has the members of a line that are read.
type audited struct {
	atype, at, connection     string
	local, remote             address
	users, roles              [][2]string // of a database
	param                     []byte
	result                    int64
	known                     bool // the result
	user, database, mechanism string
	role, ns, command, index  string
}

func readAudited(line []byte) (a audited, err error) {
	var uuid string
	if err := fields(line, map[string]*string{"atype": &a.atype, "ts.$date": &a.at, "uuid.$binary": &uuid,
		"param.user": &a.user, "param.db": &a.database, "param.mechanism": &a.mechanism, "param.role": &a.role,
		"param.ns": &a.ns, "param.command": &a.command, "param.indexName": &a.index}); err != nil {
		return a, err
	}
	if a.atype == "" || a.at == "" {
		return a, errors.New("it has neither class_uid and time nor atype and ts")
	}
	if id, err := base64.StdEncoding.DecodeString(uuid); err == nil && len(id) == 16 {
		a.connection = fmt.Sprintf("%x-%x-%x-%x-%x", id[:4], id[4:6], id[6:8], id[8:10], id[10:])
	}
	return a, connect.Members(line, func(name string, value []byte) error {
		switch name {
		case "local":
			a.local = readAddress(value)
		case "remote":
			a.remote = readAddress(value)
		case "intermediates":
			a.remote.through = addresses(value)
		case "users":
			a.users = named(value, "user")
		case "roles":
			a.roles = named(value, "role")
		case "param":
			a.param = value
		case "result":
			a.result, a.known = connect.Integer(value)
		}
		return nil
	})
}

// maxNamed bounds how many users and roles of a line are shown in fields of OCSF. The line has all.
const maxNamed = 50

// named returns the databases and names in a list of users or roles.
func named(list []byte, what string) (all [][2]string) {
	_ = connect.Elements(list, func(value []byte) error { // What is no list has none.
		var database, name string
		if fields(value, map[string]*string{"db": &database, what: &name}) == nil && len(all) < maxNamed {
			all = append(all, [2]string{database, name})
		}
		return nil
	})
	return all
}

// class returns the class and the activity of a line; class 0 for an atype that is not known.
func (a *audited) class() (class, activity int) {
	if a.atype == "authCheck" || a.atype == "authzCheck" {
		return apiActivity, activityOfCommand(a.command)
	}
	if uid, ok := typeUIDs[a.atype]; ok {
		return uid / 100, uid % 100
	}
	return 0, 99
}

// activityOfCommand returns the number of API Activity for a command; 0 if it has none.
func activityOfCommand(command string) int {
	for _, of := range []struct {
		prefixes string
		activity int
	}{{"insert create", 1}, {"find aggregate count distinct getMore list", 2}, {"update findAndModify rename collMod", 3},
		{"delete drop", 4}} {
		for prefix := range strings.FieldsSeq(of.prefixes) {
			if strings.HasPrefix(command, prefix) && command != "findAndModify" || command == prefix {
				return of.activity
			}
		}
	}
	return 0
}

// results are the names of the result codes of a server.
var results = map[int64]string{13: "Unauthorized", 18: "AuthenticationFailed", 26: "NamespaceNotFound",
	276: "IndexBuildAborted", 334: "MechanismUnavailable", 337: "AuthenticationAbandoned"}

func (a *audited) appendStatus(dst []byte) []byte {
	const unauthorized, failed = 13, 18
	switch {
	case !a.known:
		return append(dst, `,"severity_id":1`...)
	case a.result == 0:
		return append(dst, `,"severity_id":1,"status_id":1,"status":"Success"`...)
	case a.result == unauthorized || a.result == failed:
		dst = append(dst, `,"severity_id":3`...)
	default:
		dst = append(dst, `,"severity_id":2`...)
	}
	dst = fmt.Appendf(dst, `,"status_id":2,"status":"Failure","status_code":"%d"`, a.result)
	return connect.Given(dst, "status_detail", results[a.result])
}
