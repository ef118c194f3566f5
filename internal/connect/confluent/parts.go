package confluent

import (
	"cmp"
	"fmt"
	"net/netip"
	"strings"

	"github.com/weirlog/weir/internal/connect"
)

// success tells whether the request succeeded, and whether that is known.
func (e *audited) success() (success, known bool) {
	for _, status := range []string{e.result.text("status"), e.authz.text("result"), e.authn.text("result")} {
		if status != "" {
			return status == "SUCCESS" || status == "ALLOW", true
		}
	}
	granted := string(e.authz["granted"])
	return granted == "true", granted == "true" || granted == "false"
}

func (e *audited) appendStatus(dst []byte, success bool) []byte {
	if success {
		dst = append(dst, `,"status_id":1,"status":"Success"`...)
	} else {
		dst = append(dst, `,"status_id":2,"status":"Failure"`...)
	}
	code := cmp.Or(e.result.text("status"), e.authz.text("result"), e.authn.text("result"))
	if code != "SUCCESS" {
		dst = connect.Given(dst, "status_code", code)
	}
	return connect.Given(dst, "status_detail", cmp.Or(e.result.text("message"), e.authn.text("errorMessage")))
}

// appendUser appends a member with the principal, the one to show.
func (e *audited) appendUser(dst []byte, name string) []byte {
	principal := "originalPrincipal"
	if e.authn[principal] == nil {
		principal = "principal"
	}
	uid, kind := strings.TrimPrefix(e.authn.text(principal), "User:"), ""
	of := e.authn.object(principal)
	for _, member := range []string{"confluentUser", "confluentServiceAccount", "identityPool", "group",
		"externalAccount", "confluentInternal"} {
		if o := of.object(member); o != nil {
			uid, kind = cmp.Or(o.text("resourceId"), o.text("subject")), member
		}
	}
	dst = append(connect.Name(dst, name), '{')
	dst = connect.Given(connect.Given(dst, "uid", uid), "email_addr", cmp.Or(of.text("email"), e.authn.text("email")))
	dst = connect.Name(dst, "type_id")
	switch {
	case kind == "confluentUser" || strings.HasPrefix(uid, "u-"):
		return append(dst, `1,"type":"User"}`...)
	case kind == "confluentServiceAccount" || strings.HasPrefix(uid, "sa-"):
		return append(dst, `4,"type":"Service"}`...)
	case uid == "":
		return append(dst, `0,"type":"Unknown","name":"unknown"}`...)
	}
	return append(connect.String(append(dst, `99,"type":`...), cmp.Or(kind, "principal")), '}')
}

// appendActor appends the actor, and the authorization of the request.
func (e *audited) appendActor(dst []byte) []byte {
	dst = e.appendUser(append(connect.Name(dst, "actor"), '{'), "user")
	success, known := e.success()
	if len(e.authz) == 0 || !known {
		return append(dst, '}')
	}
	decision := "DENY"
	if success {
		decision = "ALLOW"
	}
	dst = connect.String(append(connect.Name(dst, "authorizations"), `[{"decision":`...), decision)
	policy := cmp.Or(e.authz.object("rbacAuthorization").text("role"),
		e.authz.object("aclAuthorization").text("permissionType"))
	if policy != "" {
		dst = append(connect.String(append(connect.Name(dst, "policy"), `{"name":`...), policy), '}')
	}
	return append(dst, "}]}"...)
}

// appendEndpoint appends from where it was done. Where that is required and not known, it is the service.
func (e *audited) appendEndpoint(dst []byte, required bool) []byte {
	var ip netip.Addr
	port := uint16(0)
	if client := first(e.meta["clientAddress"]); client != nil {
		ip, _ = address(client.text("ip"))
		if n, ok := connect.Integer(client["port"]); ok && n > 0 && n < 1<<16 {
			port = uint16(n)
		}
	} else {
		ip, port = address(cmp.Or(e.meta.text("clientAddress"),
			e.authz.object("ipfilterAuthorization").text("clientIp")))
	}
	switch {
	case ip.IsValid():
		dst = connect.String(append(connect.Name(dst, "src_endpoint"), `{"ip":`...), ip.String())
		if port > 0 {
			dst = fmt.Appendf(dst, `,"port":%d`, port)
		}
		return append(dst, '}')
	case required:
		name := cmp.Or(e.service, e.source)
		return append(connect.String(append(connect.Name(dst, "src_endpoint"), `{"svc_name":`...), name), '}')
	}
	return dst
}

func (e *audited) appendAuthentication(dst []byte) []byte {
	dst = e.appendUser(dst, "user")
	mechanism := cmp.Or(e.authn.object("credentials").text("mechanism"), e.authn.object("metadata").text("mechanism"))
	if mechanism != "" {
		dst = append(connect.Given(dst, "auth_protocol", mechanism), `,"auth_protocol_id":99`...)
	}
	dst = e.appendEndpoint(dst, false)
	return append(connect.String(append(connect.Name(dst, "service"), `{"name":`...), cmp.Or(e.service, e.source)), '}')
}

func (e *audited) appendEntity(dst []byte) []byte {
	kind, _ := e.entity()
	_, name := last(e.subject)
	dst = connect.String(append(connect.Name(dst, "entity"), `{"name":`...),
		cmp.Or(e.resource.text("resourceId"), name, "unknown"))
	return append(connect.String(connect.Name(dst, "type"), kind), `,"type_id":99}`...)
}

// appendCall appends the call, and its resources.
func (e *audited) appendCall(dst []byte) []byte {
	dst = connect.String(append(connect.Name(dst, "api"), `{"operation":`...), cmp.Or(e.method, e.kind))
	if e.service != "" {
		dst = append(connect.String(append(connect.Name(dst, "service"), `{"name":`...), e.service), '}')
	}
	id := cmp.Or(e.meta.firstText("requestId"), e.request.text("correlationId"))
	if id != "" {
		dst = append(connect.String(append(connect.Name(dst, "request"), `{"uid":`...), id), '}')
	}
	dst = append(dst, '}')
	if e.subject == "" {
		return dst
	}
	kind, name := last(e.subject)
	dst = connect.String(append(connect.Name(dst, "resources"), `[{"uid":`...), e.subject)
	dst = connect.Given(connect.Given(dst, "name", name), "type", kind)
	return append(connect.Given(dst, "namespace", e.environment), "}]"...)
}
