package mongodb

import (
	"cmp"
	"fmt"
	"net/netip"
	"strings"

	"github.com/weirlog/weir/internal/connect"
)

// address is an end of a connection to a server.
type address struct {
	ip, unix string
	port     int64
	system   bool     // The server itself.
	through  []string // addresses in between
}

func readAddress(raw []byte) (a address) {
	_ = connect.Members(raw, func(name string, value []byte) error { // What is no object has no address.
		switch name {
		case "ip":
			if text, ok := connect.Text(value); ok && isIP(text) {
				a.ip = text
			}
		case "unix":
			a.unix, _ = connect.Text(value)
		case "port":
			a.port, _ = connect.Integer(value)
		case "isSystemUser":
			a.system = string(value) == "true"
		}
		return nil
	})
	return a
}

func isIP(text string) bool {
	_, err := netip.ParseAddr(text)
	return err == nil
}

// addresses returns those of a list.
func addresses(list []byte) (all []string) {
	_ = connect.Elements(list, func(value []byte) error { // What is no list has none.
		if a := readAddress(value); a.ip != "" && len(all) < maxNamed {
			all = append(all, a.ip)
		}
		return nil
	})
	return all
}

// append appends the end as a member; nothing if it is not known. The given name is used for the server itself.
func (a address) append(dst []byte, member, name string) []byte {
	switch {
	case a.ip != "":
		dst = connect.String(append(connect.Name(dst, member), `{"ip":`...), a.ip)
		if a.port > 0 && a.port < 1<<16 {
			dst = fmt.Appendf(dst, `,"port":%d`, a.port)
		}
		if len(a.through) > 0 { // They are addresses, so they need no escapes.
			dst = append(connect.Name(dst, "intermediate_ips"), `["`+strings.Join(a.through, `","`)+`"]`...)
		}
		return append(dst, '}')
	case a.unix != "":
		dst = connect.String(append(connect.Name(dst, member), `{"name":`...), a.unix)
		return append(dst, `,"interface_name":"unix"}`...)
	case name != "":
		return append(connect.String(append(connect.Name(dst, member), `{"name":`...), name), '}')
	}
	return dst
}

// appendOfClass appends the members that only events of a class have.
func (a *audited) appendOfClass(dst []byte, class int) []byte {
	dst = a.appendActor(dst, class == apiActivity)
	switch class {
	case authentication:
		dst = a.local.append(a.remote.append(dst, "src_endpoint", ""), "dst_endpoint", "")
		return a.appendAuthentication(dst)
	case accountChange:
		return a.appendAccount(a.remote.append(dst, "src_endpoint", ""))
	case entityChange:
		return a.appendEntity(a.remote.append(dst, "src_endpoint", ""))
	case networkActivity:
		return a.local.append(a.remote.append(dst, "src_endpoint", ""), "dst_endpoint", "mongod")
	case apiActivity:
		dst = a.local.append(a.remote.append(dst, "src_endpoint", "__system"), "dst_endpoint", "")
		return a.appendCall(dst)
	case processActivity, inventory, configuration:
		return a.appendDevice(dst, class)
	}
	return dst
}

// appendActor appends who did it, if that is known, or must be said.
func (a *audited) appendActor(dst []byte, required bool) []byte {
	begin := func() []byte { return append(connect.Name(dst, "actor"), `{"user":{"type_id":`...) }
	switch {
	case len(a.users) > 0:
		dst = connect.String(append(begin(), `1,"name":`...), a.users[0][0]+"."+a.users[0][1])
		return append(appendNamed(dst, "groups", a.roles, "}"), "}}"...)
	case a.local.system || a.remote.system:
		return append(begin(), `3,"type":"System","name":"__system"}}`...)
	case required:
		return append(begin(), `0,"name":"unknown"}}`...)
	}
	return dst
}

func (a *audited) appendAuthentication(dst []byte) []byte {
	database, name := a.database, a.user
	if a.atype == "logout" {
		if first := named(member(a.param, "initialUsers"), "user"); len(first) > 0 {
			database, name = first[0][0], first[0][1]
		} else if len(a.users) > 0 {
			database, name = a.users[0][0], a.users[0][1]
		}
	}
	kind := 1
	if name == "" {
		kind = 0
	}
	dst = fmt.Appendf(connect.Name(dst, "user"), `{"type_id":%d,"name":`, kind)
	dst = append(connect.String(dst, database+"."+name), '}')
	if a.mechanism != "" {
		dst = append(connect.Given(dst, "auth_protocol", a.mechanism), `,"auth_protocol_id":99`...)
	}
	return dst
}

// member returns a member of an object; nil if it has none of the name.
func member(object []byte, name string) (value []byte) {
	_ = connect.Members(object, func(is string, v []byte) error { // What is no object has none.
		if is == name {
			value = v
		}
		return nil
	})
	return value
}

// appendAccount appends the account that was changed: a user, a role, a database or a collection of them.
func (a *audited) appendAccount(dst []byte) []byte {
	kind, name := "", a.database+"."+a.user
	switch {
	case a.role != "":
		kind, name = "Role", a.database+"."+a.role
	case a.user != "":
	case a.ns != "":
		kind, name = "Collection", a.ns
	case a.database != "":
		kind, name = "Database", a.database
	default:
		kind, name = "Account", "unknown"
	}
	dst = append(connect.Name(dst, "user"), `{"type_id":`...)
	if kind == "" {
		dst = append(dst, '1')
	} else {
		dst = connect.String(append(dst, `99,"type":`...), kind)
	}
	dst = append(connect.String(connect.Name(dst, "name"), name), '}')
	if !strings.HasPrefix(a.atype, "grantRoles") && !strings.HasPrefix(a.atype, "revokeRoles") {
		return dst
	}
	return appendNamed(dst, "policies", named(member(a.param, "roles"), "role"), `,"type":"Role"}`)
}

// appendNamed appends a list of users or roles, each ended so; nothing if there are none.
func appendNamed(dst []byte, name string, all [][2]string, end string) []byte {
	if len(all) == 0 {
		return dst
	}
	dst = append(connect.Name(dst, name), '[')
	for i, one := range all {
		if i > 0 {
			dst = append(dst, ',')
		}
		dst = append(connect.String(append(dst, `{"name":`...), one[0]+"."+one[1]), end...)
	}
	return append(dst, ']')
}

func (a *audited) appendEntity(dst []byte) []byte {
	entity := func(member, name, kind string) {
		dst = connect.String(append(connect.Name(dst, member), `{"name":`...), cmp.Or(name, "unknown"))
		dst = append(connect.String(connect.Name(dst, "type"), kind), `,"type_id":99`...)
	}
	switch {
	case a.atype == "renameCollection":
		before, _ := connect.Text(member(a.param, "old"))
		after, _ := connect.Text(member(a.param, "new"))
		entity("entity", before, "Collection")
		dst = append(dst, '}')
		entity("entity_result", after, "Collection")
	case strings.HasSuffix(a.atype, "Index"):
		entity("entity", a.index, "Index")
		if a.ns != "" {
			dst = append(connect.String(append(connect.Name(dst, "data"), `{"ns":`...), a.ns), '}')
		}
	case strings.HasSuffix(a.atype, "Database"):
		entity("entity", a.ns, "Database")
	default:
		entity("entity", a.ns, "Collection")
	}
	return append(dst, '}')
}

// appendCall appends the command that was checked, and what it is about.
func (a *audited) appendCall(dst []byte) []byte {
	dst = connect.String(append(connect.Name(dst, "api"), `{"operation":`...), cmp.Or(a.command, a.atype))
	request := a.ns
	if a.atype == "getClusterParameter" {
		request = "admin"
	}
	if request != "" {
		dst = append(connect.String(append(connect.Name(dst, "request"), `{"uid":`...), request), '}')
	}
	if a.known {
		dst = fmt.Appendf(connect.Name(dst, "response"), `{"code":%d`, a.result)
		dst = append(connect.Given(dst, "error", results[a.result]), '}')
	}
	dst = append(dst, '}')
	if a.ns != "" {
		dst = connect.String(append(connect.Name(dst, "resources"), `[{"name":`...), a.ns)
		dst = append(dst, `,"type":"Namespace"}]`...)
	}
	return dst
}

// appendDevice appends the server, and what it does.
func (a *audited) appendDevice(dst []byte, class int) []byte {
	dst = append(connect.Name(dst, "device"), `{"type_id":1,"type":"Server"`...)
	if a.local.ip != "" {
		dst = connect.Given(dst, "ip", a.local.ip)
	} else {
		dst = connect.Given(dst, "name", "mongod")
	}
	dst = append(dst, '}')
	if class != processActivity {
		return dst
	}
	dst = append(connect.Name(dst, "process"), `{"name":"mongod","uid":"mongod"}`...)
	message, _ := connect.Text(member(a.param, "msg"))
	return connect.Given(dst, "message", message)
}
