package api

import (
	"context"
	"errors"
	"net/http"
	"sort"
	"strings"

	"github.com/weirlog/weir/internal/account"
)

// operation is one of the API's, under the id that the OpenAPI document gives it.
type operation struct {
	id     string
	method string
	path   string         // below /api/atlas/v2; what follows a ':' at the end of its last part is a verb
	result versioned      // of the reply
	may    account.Action // needed on the organization or the project that the path names
	status int            // of the reply, if it succeeds
	run    func(*call) (any, error)
}

// everyone is the action of operations that need no role: their reply depends on what the caller may see.
const everyone account.Action = -1

const (
	base     = "/api/atlas/v2"
	orgPath  = base + "/orgs/{orgId}"
	group    = base + "/groups/{groupId}"
	tenants  = group + "/streams"
	tenant   = tenants + "/{tenantName}"
	ownGroup = "/api/weir/v1/groups/{groupId}"
	ownOrg   = "/api/weir/v1/orgs/{orgId}"
)

var (
	general  = versioned{[]string{"2023-01-01"}, "json"}
	streams  = versioned{[]string{"2023-02-01"}, "json"}
	accounts = versioned{[]string{"2024-08-05"}, "json"}
	own      = versioned{nil, "json"} // weir's own resources have no versions
)

// operations returns the table of what is served beside logs and tokens.
func (s *Server) operations() []operation {
	const get, post, patch, remove = "GET", "POST", "PATCH", "DELETE"
	keys, key := orgPath+"/apiKeys", orgPath+"/apiKeys/{apiUserId}"
	sas, sa := orgPath+"/serviceAccounts", orgPath+"/serviceAccounts/{clientId}"
	groupSAs, groupSA := group+"/serviceAccounts", group+"/serviceAccounts/{clientId}"
	return []operation{
		{"getSystemStatus", get, base, general, everyone, 200, (*call).getSystemStatus},

		{"listOrgs", get, base + "/orgs", general, everyone, 200, (*call).listOrgs},
		{"createOrg", post, base + "/orgs", general, everyone, 201, (*call).createOrg},
		{"getOrg", get, orgPath, general, account.SeeOrg, 200, (*call).getOrg},
		{"updateOrg", patch, orgPath, general, account.OwnOrg, 200, (*call).updateOrg},
		{"deleteOrg", remove, orgPath, general, account.OwnOrg, 204, (*call).deleteOrg},
		{"getOrgGroups", get, orgPath + "/groups", general, account.SeeOrg, 200, (*call).listOrgGroups},

		{"listGroups", get, base + "/groups", general, everyone, 200, (*call).listGroups},
		{"createGroup", post, base + "/groups", general, everyone, 200, (*call).createGroup},
		{"getGroup", get, group, general, account.Read, 200, (*call).getGroup},
		{"updateGroup", patch, group, general, account.Own, 200, (*call).updateGroup},
		{"deleteGroup", remove, group, general, account.Own, 204, (*call).deleteGroup},

		{"listGroupAccessListEntries", get, group + "/accessList", general, account.Read, 200, (*call).listNetwork},
		{"createGroupAccessListEntry", post, group + "/accessList", general, account.Own, 200, (*call).addNetwork},
		{"getGroupAccessListEntry", get, group + "/accessList/{entryValue}", general, account.Read, 200, (*call).getNetwork},
		{"deleteGroupAccessListEntry", remove, group + "/accessList/{entryValue}", general, account.Own, 204, (*call).removeNetwork},
		{"getGroupAccessListStatus", get, group + "/accessList/{entryValue}/status", general, account.Read, 200, (*call).getNetworkStatus},

		{"listOrgApiKeys", get, keys, general, account.SeeOrg, 200, (*call).listOrgKeys},
		{"createOrgApiKey", post, keys, general, account.OwnOrg, 200, (*call).createOrgKey},
		{"getOrgApiKey", get, key, general, account.SeeOrg, 200, (*call).getOrgKey},
		{"updateOrgApiKey", patch, key, general, account.OwnOrg, 200, (*call).updateOrgKey},
		{"deleteOrgApiKey", remove, key, general, account.OwnOrg, 204, (*call).deleteOrgKey},
		{"listOrgApiKeyAccessListEntries", get, key + "/accessList", general, account.SeeOrg, 200, (*call).listKeyAccess},
		{"createOrgApiKeyAccessListEntry", post, key + "/accessList", general, account.SeeOrg, 200, (*call).addKeyAccess},
		{"getOrgApiKeyAccessListEntry", get, key + "/accessList/{ipAddress}", general, account.SeeOrg, 200, (*call).getKeyAccess},
		{"deleteOrgApiKeyAccessListEntry", remove, key + "/accessList/{ipAddress}", general, account.SeeOrg, 204, (*call).removeKeyAccess},

		{"listGroupApiKeys", get, group + "/apiKeys", general, account.Read, 200, (*call).listGroupKeys},
		{"createGroupApiKey", post, group + "/apiKeys", general, account.Own, 200, (*call).createGroupKey},
		{"addGroupApiKey", post, group + "/apiKeys/{apiUserId}", general, account.Own, 204, (*call).addGroupKey},
		{"updateGroupApiKeyRoles", patch, group + "/apiKeys/{apiUserId}", general, account.Own, 200, (*call).updateGroupKey},
		{"removeGroupApiKey", remove, group + "/apiKeys/{apiUserId}", general, account.Own, 204, (*call).removeGroupKey},

		{"listOrgServiceAccounts", get, sas, accounts, account.ReadOrg, 200, (*call).listOrgServiceAccounts},
		{"createOrgServiceAccount", post, sas, accounts, account.OwnOrg, 201, (*call).createOrgServiceAccount},
		{"getOrgServiceAccount", get, sa, accounts, account.ReadOrg, 200, (*call).getServiceAccount},
		{"updateOrgServiceAccount", patch, sa, accounts, account.OwnOrg, 200, (*call).updateServiceAccount},
		{"deleteOrgServiceAccount", remove, sa, accounts, account.OwnOrg, 204, (*call).deleteOrgServiceAccount},
		{"getOrgServiceAccountGroups", get, sa + "/groups", accounts, account.ReadOrg, 200, (*call).listServiceAccountGroups},
		{"createOrgServiceAccountSecret", post, sa + "/secrets", accounts, account.OwnOrg, 201, (*call).createSecret},
		{"deleteOrgServiceAccountSecret", remove, sa + "/secrets/{secretId}", accounts, account.OwnOrg, 204, (*call).deleteSecret},

		{"listOrgServiceAccountAccessList", get, sa + "/accessList", accounts, account.ReadOrg, 200, (*call).listAccountAccess},
		{"createOrgServiceAccountAccessList", post, sa + "/accessList", accounts, account.OwnOrg, 200, (*call).addAccountAccess},
		{"deleteOrgServiceAccountAccessListEntry", remove, sa + "/accessList/{ipAddress}", accounts, account.OwnOrg, 204, (*call).removeAccountAccess},

		{"listGroupServiceAccounts", get, groupSAs, accounts, account.Read, 200, (*call).listGroupServiceAccounts},
		{"createGroupServiceAccount", post, groupSAs, accounts, account.Own, 201, (*call).createGroupServiceAccount},
		{"getGroupServiceAccount", get, groupSA, accounts, account.Read, 200, (*call).getServiceAccount},
		{"updateGroupServiceAccount", patch, groupSA, accounts, account.Own, 200, (*call).updateServiceAccount},
		{"deleteGroupServiceAccount", remove, groupSA, accounts, account.Own, 204, (*call).removeGroupServiceAccount},
		{"inviteGroupServiceAccount", post, groupSA + ":invite", accounts, account.Own, 200, (*call).inviteServiceAccount},
		{"createGroupServiceAccountSecret", post, groupSA + "/secrets", accounts, account.Own, 201, (*call).createSecret},
		{"deleteGroupServiceAccountSecret", remove, groupSA + "/secrets/{secretId}", accounts, account.Own, 204, (*call).deleteSecret},
		{"listGroupServiceAccountAccessList", get, groupSA + "/accessList", accounts, account.Read, 200, (*call).listAccountAccess},
		{"createGroupServiceAccountAccessList", post, groupSA + "/accessList", accounts, account.Own, 200, (*call).addAccountAccess},
		{"deleteGroupServiceAccountAccessListEntry", remove, groupSA + "/accessList/{ipAddress}", accounts, account.Own, 204, (*call).removeAccountAccess},

		{"listGroupStreamWorkspaces", get, tenants, streams, account.Read, 200, (*call).listWorkspaces},
		{"createGroupStreamWorkspace", post, tenants, streams, account.ManageWorkspaces, 200, (*call).createWorkspace},
		{"getGroupStreamWorkspace", get, tenant, streams, account.Download, 200, (*call).getWorkspace},
		{"updateGroupStreamWorkspace", patch, tenant, streams, account.ManageWorkspaces, 200, (*call).updateWorkspace},
		{"deleteGroupStreamWorkspace", remove, tenant, streams, account.ManageWorkspaces, 202, (*call).deleteWorkspace},

		{"getGroupSettings", get, ownGroup + "/settings", own, account.Read, 200, (*call).getSettings},
		{"updateGroupSettings", patch, ownGroup + "/settings", own, account.Own, 200, (*call).updateSettings},
		{"listGroupLogs", get, ownGroup + "/logs", own, everyone, 200, (*call).listGroupLogs},
		{"listOrgLogs", get, ownOrg + "/logs", own, account.OwnOrg, 200, (*call).listOrgLogs},
		{"getGroupLog", get, ownGroup + "/logs/{logId}/document", own, everyone, 200, (*call).getGroupLog},
		{"updateGroupLog", patch, ownGroup + "/logs/{logId}/document", own, everyone, 200, (*call).updateGroupLog},
		{"getOrgLog", get, ownOrg + "/logs/{logId}/document", own, account.OwnOrg, 200, (*call).getOrgLog},
		{"updateOrgLog", patch, ownOrg + "/logs/{logId}/document", own, account.OwnOrg, 200, (*call).updateOrgLog},
	}
}

// routes of one path: handlers by method and verb ("" if none).
type routes map[string]map[string]handler

// route adds the handlers of everything that is served to the mux.
func (s *Server) route() {
	paths := map[string]routes{}
	add := func(method, path string, h handler) {
		path, verb := cutVerb(path)
		if paths[path] == nil {
			paths[path] = routes{}
		}
		if paths[path][verb] == nil {
			paths[path][verb] = map[string]handler{}
		}
		paths[path][verb][method] = h
	}
	for _, op := range s.operations() {
		add(op.method, op.path, s.operate(op))
	}
	add("POST", "/api/oauth/token", s.token)
	add("POST", "/api/oauth/revoke", s.revoke)
	s.addLogs(add)
	s.addProofs(add)
	for path, r := range paths {
		s.mux.Handle(path, s.handle(r.dispatch))
	}
	s.mux.Handle(tenant+"/{rest...}", s.handle(noEngine))
	s.mux.Handle("/", s.handle(notFound))
}

// cutVerb cuts a verb off the end of a path: patterns of a mux cannot have it.
func cutVerb(path string) (rest, verb string) {
	i := strings.LastIndexByte(path, ':')
	if i <= strings.LastIndexByte(path, '/') {
		return path, ""
	}
	return path[:i], path[i+1:]
}

// dispatch answers a request to one of the path's resources. GET means HEAD too.
func (r routes) dispatch(c *call) error {
	rest, verb := cutVerb(c.r.URL.Path)
	methods, ok := r[verb]
	if verb != "" && ok {
		c.cutVerb(rest)
	} else if methods, ok = r[""]; !ok {
		return notFound(c)
	}
	method := c.r.Method
	if method == http.MethodHead {
		method = http.MethodGet
	}
	if h, ok := methods[method]; ok {
		c.r.Pattern = method + " " + c.r.Pattern // for metrics
		return h(c)
	}
	var allow []string
	for method := range methods {
		if allow = append(allow, method); method == http.MethodGet {
			allow = append(allow, http.MethodHead)
		}
	}
	sort.Strings(allow)
	c.w.Header().Set("Allow", strings.Join(allow, ", "))
	return methodNotAllowed(c.r.Method)
}

// cutVerb takes the verb off the last variable of the path.
func (c *call) cutVerb(path string) {
	for _, name := range []string{"tenantName", "clientId"} {
		if value := c.r.PathValue(name); value != "" {
			value, _ = cutVerb(value)
			c.r.SetPathValue(name, value)
		}
	}
}

// noEngine answers for what belongs to a stream engine, which weir is not.
func noEngine(c *call) error {
	p := resourceNotFound(c.r.URL.Path)
	switch kind, _, _ := strings.Cut(c.r.PathValue("rest"), "/"); kind {
	case "connections", "processor", "processors":
	default:
		return p
	}
	if err := c.authenticate(); err != nil {
		return err
	}
	p.detail = "Cannot find resource " + c.r.URL.Path + ": weir keeps the logs of stream workspaces; connections and stream processors belong to a stream engine, which it is not."
	return p
}

// operate answers a request by an operation: who, version, what the path names and the caller's role on it, in this order.
func (s *Server) operate(op operation) handler {
	return func(c *call) error {
		c.operation = op.id
		if err := c.authenticate(); err != nil {
			return err
		}
		release, ok := op.result.release(c.r.Header.Values("Accept"))
		if !ok {
			return invalidVersion()
		}
		if err := c.checkFlags(); err != nil {
			return err
		}
		if err := c.enter(op.may); err != nil {
			return err
		}
		reply, err := op.run(c)
		if err != nil {
			return err
		}
		c.w.Header().Set("Content-Type", op.result.mediaType(release))
		c.write(op.status, reply)
		return nil
	}
}

// enter finds the organization, project and workspace that the path names, and returns why the caller may not do
// something there; nil if it may.
func (c *call) enter(a account.Action) error {
	if id := c.r.PathValue("orgId"); id != "" {
		return c.enterOrg(id, a)
	}
	group := c.r.PathValue("groupId")
	if group == "" {
		return nil
	}
	if !c.caller.Credential.MightSee(group) { // who may see nothing there must not learn from the time that a look takes either
		return c.permit(target{groupID: group}, a)
	}
	t, err := c.find()
	if err != nil {
		return err
	}
	c.target = t
	if a == everyone {
		return nil
	}
	return c.permit(t, a)
}

func (c *call) enterOrg(id string, a account.Action) error {
	if !account.ValidID(id) {
		return invalidOrgID(id)
	}
	if !c.caller.Credential.MayInOrg(account.SeeOrg, id) {
		return orgNotFound(id)
	}
	org, err := c.server.accounts.Organization(c.context(), id)
	if errors.Is(err, account.ErrNotFound) {
		return orgNotFound(id)
	}
	if err != nil {
		return unavailable(err)
	}
	if !c.caller.Credential.MayInOrg(a, id) {
		return forbidden()
	}
	c.org = org
	return nil
}

// detached returns a context for what must come to its end even if the client does not wait for it.
func (c *call) detached() context.Context { return context.WithoutCancel(c.context()) }
