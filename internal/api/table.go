package api

import "github.com/weirlog/weir/internal/account"

// Paths.
const (
	base     = "/api/atlas/v2"
	orgPath  = base + "/orgs/{orgId}"
	group    = base + "/groups/{groupId}"
	byName   = base + "/groups/byName/"
	tenants  = group + "/streams"
	tenant   = tenants + "/{tenantName}"
	ownGroup = "/api/weir/v1/groups/{groupId}"
	ownOrg   = "/api/weir/v1/orgs/{orgId}"

	ownTenant = ownGroup + "/streams/{tenantName}"
)

// Media types of replies.
var (
	general   = versioned{releases: []string{"2023-01-01"}, format: "json"}
	limiting  = versioned{releases: []string{"2025-03-12"}, format: "json"}
	users     = versioned{releases: []string{"2023-01-01", "2025-02-19"}, format: "json"}
	clusters  = versioned{releases: []string{"2023-01-01", "2023-02-01", "2024-08-05"}, format: "json"}
	streams   = versioned{releases: []string{"2023-02-01"}, format: "json"}
	accounts  = versioned{releases: []string{"2024-08-05"}, format: "json"}
	own       = versioned{format: "json"} // weir's own resources, without versions
	recording = versioned{releases: []string{"2023-02-01"}, format: "json", optional: true}
)

// Traits of operations that do not read a log's content.
var (
	looks   = traits{audit: unaudited("it shows what is set up, and no log"), form: atlasForm}
	changes = traits{audit: unaudited("it changes what is set up, which is an event of its own"), body: jsonBody,
		form: atlasForm}
	removes = traits{audit: changes.audit, form: atlasForm}
	signsIn = traits{audit: unaudited("it reads no log; failures are events of their own"), body: formBody,
		caller: byClientSecret, form: oauthForm}
)

// operations returns the table of all operations.
func (s *Server) operations() []operation {
	common := control{s.accounts, s.recorder}
	credentials := credentials{common}
	var table []operation
	for _, rows := range [][]operation{
		tokens{s.auth, s.signInFailed}.operations(),
		sessions{common, s.auth, s.signInFailed}.operations(),
		orgs{credentials, keys{credentials}, serviceAccounts{credentials}}.operations(),
		projects{credentials}.operations(),
		atlasSettings{common}.operations(),
		absent{}.operations(),
		rateLimits{s.options.DownloadRate, func() []operation { return s.table }}.operations(),
		networks{common}.operations(),
		keys{credentials}.operations(),
		serviceAccounts{credentials}.operations(),
		accessLists{credentials}.operations(),
		ingestTokens{credentials, accessLists{credentials}}.operations(),
		integrations{common, s.deliveries}.operations(),
		sources{common, s.options.Sources}.operations(),
		signIns{common, s.auth}.operations(),
		alerts{common, s.options.Alerts}.operations(),
		alertNotifiers{common, s.options.Alerts, s.options.Box}.operations(),
		workspaces{common}.operations(),
		settings{common}.operations(),
		recordings{s.recorder, s.metrics, s.options, s.first}.operations(),
		hec{recordings{s.recorder, s.metrics, s.options, s.first}, s.tag}.operations(),
		logs{common, s.logs}.operations(),
		proofs{s.logs}.operations(),
		entries{references{s.auth}, s.logs, s.waiters, newEnds(s.endOf), s.stopping}.operations(),
		s.events().operations(),
		tails{s.events(), s.feed, s.tails, s.still, s.problemOf, s.auditRead, s.beat, s.stopping}.operations(),
	} {
		table = append(table, rows...)
	}
	return table
}

const get, post, put, patch, remove = "GET", "POST", "PUT", "PATCH", "DELETE"

func (h tokens) operations() []operation {
	return []operation{
		{"issueToken", post, "/api/oauth/token", own, anyRole, 200, none, asJSON(h.issue), signsIn},
		{"revokeToken", post, "/api/oauth/revoke", own, anyRole, 200, none, asNothing(h.revoke), signsIn},
	}
}

func (h sessions) operations() []operation {
	const path = "/api/weir/v1/session"
	begins, ends, asks := signsIn, removes, signsIn
	begins.audit = unaudited("it reads no log; a sign-in and a failure are events of their own")
	asks.audit = unaudited("it says where a person signs in; the sign-in is an event of its own")
	ends.audit, ends.session = unaudited("it reads no log; a sign-out is an event of its own"), true
	return []operation{
		{"beginSession", post, path, own, anyRole, 201, none, asJSON(h.begin), begins},
		{"beginAuthorization", post, path + ":authorize", own, anyRole, 200, none, asJSON(h.authorize), asks},
		{"getSession", get, path, own, anyRole, 200, none, asJSON(h.get), looks},
		{"endSession", remove, path, own, anyRole, 204, []parameter{everywhere}, asNothing(h.end), ends},
	}
}

func (h orgs) operations() []operation {
	return []operation{
		{"getSystemStatus", get, base, general, anyRole, 200, none, asJSON(getSystemStatus), looks},
		{"listOrgs", get, base + "/orgs", general, anyRole, 200, with(lists, namePrefix), asJSON(h.list), looks},
		{"createOrg", post, base + "/orgs", general, anyRole, 201, none, asJSON(h.create), changes},
		{"getOrg", get, orgPath, general, account.SeeOrg, 200, none, asJSON(h.get), looks},
		{"updateOrg", patch, orgPath, general, account.OwnOrg, 200, none, asJSON(h.update), changes},
		{"deleteOrg", remove, orgPath, general, account.OwnOrg, 204, none, asJSON(h.delete), removes},
	}
}

func (h projects) operations() []operation {
	return []operation{
		{"getOrgGroups", get, orgPath + "/groups", general, account.SeeOrg, 200, with(lists, namePrefix),
			asJSON(h.listOfOrg), looks},
		{"listGroups", get, base + "/groups", general, anyRole, 200, lists, asJSON(h.list), looks},
		{"createGroup", post, base + "/groups", general, anyRole, 200, []parameter{projectOwner},
			asJSON(h.create), changes},
		{"getGroup", get, group, general, account.Read, 200, none, asJSON(h.get), looks},
		{"getGroupByName", get, byName + "{groupName}", general, anyRole, 200, none, asJSON(h.getByName), looks},
		{"updateGroup", patch, group, general, account.Own, 200, none, asJSON(h.update), changes},
		{"deleteGroup", remove, group, general, account.Own, 204, none, asJSON(h.delete), removes},
	}
}

func (h atlasSettings) operations() []operation {
	return []operation{
		{"getOrgSettings", get, orgPath + "/settings", general, account.SeeOrg, 200, none, asJSON(h.ofOrg), looks},
		{"updateOrgSettings", patch, orgPath + "/settings", general, account.OwnOrg, 200, none,
			asJSON(h.updateOrg), changes},
		{"getGroupSettings", get, group + "/settings", general, account.Read, 200, none, asJSON(h.ofProject), looks},
		{"updateGroupSettings", patch, group + "/settings", general, account.Own, 200, none,
			asJSON(h.updateProject), changes},
		{"getGroupManagedSlowMs", get, group + "/managedSlowMs", general, account.Read, 200, none,
			asJSON(h.managedSlowMs), looks},
		{"enableGroupManagedSlowMs", post, group + "/managedSlowMs/enable", general, account.Own, 204, none,
			asJSON(h.setManagedSlowMs("true")), removes},
		{"disableGroupManagedSlowMs", remove, group + "/managedSlowMs/disable", general, account.Own, 204, none,
			asJSON(h.setManagedSlowMs("false")), removes},
	}
}

func (h absent) operations() []operation {
	members := with(lists, userName, membershipStatus, membershipsStatus)
	return []operation{
		{"listOrgUsers", get, orgPath + "/users", users, account.SeeOrg, 200, members, asJSON(h.list), looks},
		{"listOrgTeams", get, orgPath + "/teams", general, account.SeeOrg, 200, lists, asJSON(h.list), looks},
		{"listGroupUsers", get, group + "/users", users, account.Read, 200, with(members, flattenTeams, includeOrgUsers),
			asJSON(h.list), looks},
		{"listGroupTeams", get, group + "/teams", general, account.Read, 200, lists, asJSON(h.list), looks},
		{"listGroupLimits", get, group + "/limits", general, account.Read, 200, none, asJSON(h.array), looks},
		{"listGroupClusters", get, group + "/clusters", clusters, account.Read, 200, with(lists, retainedBackups),
			asJSON(h.list), looks},
		{"getGroupIpAddresses", get, group + "/ipAddresses", general, account.Read, 200, none,
			asJSON(h.ipAddresses), looks},
	}
}

func (h rateLimits) operations() []operation {
	query := with(lists, limitsOfGroup, limitsOfOrg, limitsOfUser, limitsOfAddress, namePrefix, endpointPath)
	return []operation{
		{"listRateLimits", get, base + "/rateLimits", limiting, anyRole, 200, query, asJSON(h.list), looks},
	}
}

func (h networks) operations() []operation {
	list, entry := group+"/accessList", group+"/accessList/{entryValue}"
	return []operation{
		{"listGroupAccessListEntries", get, list, general, account.Read, 200, lists, asJSON(h.list), looks},
		{"createGroupAccessListEntry", post, list, general, account.Own, 200, lists, asJSON(h.add), changes},
		{"getGroupAccessListEntry", get, entry, general, account.Read, 200, none, asJSON(h.get), looks},
		{"deleteGroupAccessListEntry", remove, entry, general, account.Own, 204, none, asJSON(h.remove), removes},
		{"getGroupAccessListStatus", get, entry + "/status", general, account.Read, 200, none, asJSON(h.status), looks},
	}
}

func (h keys) operations() []operation {
	all, one := orgPath+"/apiKeys", orgPath+"/apiKeys/{apiUserId}"
	groupAll, groupOne := group+"/apiKeys", group+"/apiKeys/{apiUserId}"
	return []operation{
		{"listOrgApiKeys", get, all, general, account.SeeOrg, 200, lists, asJSON(h.listOfOrg), looks},
		{"createOrgApiKey", post, all, general, account.OwnOrg, 200, none, asJSON(h.createInOrg), changes},
		{"getOrgApiKey", get, one, general, account.SeeOrg, 200, none, asJSON(h.get), looks},
		{"updateOrgApiKey", patch, one, general, account.OwnOrg, 200, none, asJSON(h.update), changes},
		{"deleteOrgApiKey", remove, one, general, account.OwnOrg, 204, none, asJSON(h.deleteFromOrg), removes},
		{"listGroupApiKeys", get, groupAll, general, account.Read, 200, lists, asJSON(h.listOfProject), looks},
		{"createGroupApiKey", post, groupAll, general, account.Own, 200, none, asJSON(h.createInProject), changes},
		{"addGroupApiKey", post, groupOne, general, account.Own, 204, none, asJSON(h.addToProject), changes},
		{"updateGroupApiKeyRoles", patch, groupOne, general, account.Own, 200, lists,
			asJSON(h.updateInProject), changes},
		{"removeGroupApiKey", remove, groupOne, general, account.Own, 204, none, asJSON(h.removeFromProject), removes},
	}
}

func (h serviceAccounts) operations() []operation {
	all, one := orgPath+"/serviceAccounts", orgPath+"/serviceAccounts/{clientId}"
	groupAll, groupOne := group+"/serviceAccounts", group+"/serviceAccounts/{clientId}"
	listed := with(lists, systemManaged)
	return []operation{
		{"listOrgServiceAccounts", get, all, accounts, account.ReadOrg, 200, listed, asJSON(h.listOfOrg), looks},
		{"createOrgServiceAccount", post, all, accounts, account.OwnOrg, 201, none, asJSON(h.createInOrg), changes},
		{"getOrgServiceAccount", get, one, accounts, account.ReadOrg, 200, none, asJSON(h.get), looks},
		{"updateOrgServiceAccount", patch, one, accounts, account.OwnOrg, 200, none, asJSON(h.update), changes},
		{"deleteOrgServiceAccount", remove, one, accounts, account.OwnOrg, 204, none, asJSON(h.deleteFromOrg), removes},
		{"getOrgServiceAccountGroups", get, one + "/groups", accounts, account.ReadOrg, 200, lists,
			asJSON(h.listProjects), looks},
		{"createOrgServiceAccountSecret", post, one + "/secrets", accounts, account.OwnOrg, 201, none,
			asJSON(h.createSecret), changes},
		{"deleteOrgServiceAccountSecret", remove, one + "/secrets/{secretId}", accounts, account.OwnOrg, 204, none,
			asJSON(h.deleteSecret), removes},

		{"listGroupServiceAccounts", get, groupAll, accounts, account.Read, 200, listed,
			asJSON(h.listOfProject), looks},
		{"createGroupServiceAccount", post, groupAll, accounts, account.Own, 201, none,
			asJSON(h.createInProject), changes},
		{"getGroupServiceAccount", get, groupOne, accounts, account.Read, 200, none, asJSON(h.get), looks},
		{"updateGroupServiceAccount", patch, groupOne, accounts, account.Own, 200, none, asJSON(h.update), changes},
		{"deleteGroupServiceAccount", remove, groupOne, accounts, account.Own, 204, none,
			asJSON(h.removeFromProject), removes},
		{"inviteGroupServiceAccount", post, groupOne + ":invite", accounts, account.OwnOrg, 200, none,
			asJSON(h.invite), changes},
		{"createGroupServiceAccountSecret", post, groupOne + "/secrets", accounts, account.Own, 201, none,
			asJSON(h.createSecret), changes},
		{"deleteGroupServiceAccountSecret", remove, groupOne + "/secrets/{secretId}", accounts, account.Own, 204, none,
			asJSON(h.deleteSecret), removes},
	}
}

func (h accessLists) operations() []operation {
	keys := orgPath + "/apiKeys/{apiUserId}/accessList"
	sas, groupSAs := orgPath+"/serviceAccounts/{clientId}/accessList", group+"/serviceAccounts/{clientId}/accessList"
	const entry = "/{ipAddress}"
	return []operation{
		{"listOrgApiKeyAccessListEntries", get, keys, general, account.SeeOrg, 200, lists, asJSON(h.listOfKey), looks},
		{"createOrgApiKeyAccessListEntry", post, keys, general, account.SeeOrg, 200, lists,
			asJSON(h.addToKey), changes},
		{"getOrgApiKeyAccessListEntry", get, keys + entry, general, account.SeeOrg, 200, none,
			asJSON(h.getOfKey), looks},
		{"deleteOrgApiKeyAccessListEntry", remove, keys + entry, general, account.SeeOrg, 204, none,
			asJSON(h.removeFromKey), removes},

		{"listOrgServiceAccountAccessList", get, sas, accounts, account.ReadOrg, 200, lists,
			asJSON(h.listOfAccount), looks},
		{"createOrgServiceAccountAccessList", post, sas, accounts, account.OwnOrg, 200, lists,
			asJSON(h.addToAccount), changes},
		{"deleteOrgServiceAccountAccessListEntry", remove, sas + entry, accounts, account.OwnOrg, 204, none,
			asJSON(h.removeFromAccount), removes},

		{"listGroupServiceAccountAccessList", get, groupSAs, accounts, account.Read, 200, lists,
			asJSON(h.listOfAccount), looks},
		{"createGroupServiceAccountAccessList", post, groupSAs, accounts, account.Own, 200, lists,
			asJSON(h.addToAccount), changes},
		{"deleteGroupServiceAccountAccessListEntry", remove, groupSAs + entry, accounts, account.Own, 204, none,
			asJSON(h.removeFromAccount), removes},
	}
}

func (h ingestTokens) operations() []operation {
	const all = ownGroup + "/ingestTokens"
	const one, list = all + "/{tokenId}", all + "/{tokenId}/accessList"
	return []operation{
		{"listGroupIngestTokens", get, all, own, account.Read, 200, lists, asJSON(h.list), looks},
		{"createGroupIngestToken", post, all, own, account.Own, 201, none, asJSON(h.create), changes},
		{"getGroupIngestToken", get, one, own, account.Read, 200, none, asJSON(h.get), looks},
		{"deleteGroupIngestToken", remove, one, own, account.Own, 204, none, asJSON(h.delete), removes},
		{"listGroupIngestTokenAccessList", get, list, own, account.Read, 200, lists, asJSON(h.listAccess), looks},
		{"createGroupIngestTokenAccessList", post, list, own, account.Own, 200, lists, asJSON(h.addAccess), changes},
		{"deleteGroupIngestTokenAccessListEntry", remove, list + "/{ipAddress}", own, account.Own, 204, none,
			asJSON(h.removeAccess), removes},
	}
}

func (h integrations) operations() []operation {
	const all, one = group + "/logIntegrations", group + "/logIntegrations/{integrationId}"
	const ownOne = ownGroup + "/logIntegrations/{integrationId}"
	query := []parameter{validateFirst}
	return []operation{
		{"listGroupLogIntegrations", get, all, limiting, account.Own, 200, with(lists, integrationType),
			asJSON(h.list), looks},
		{"createGroupLogIntegration", post, all, limiting, account.Own, 201, query, asJSON(h.create), changes},
		{"getGroupLogIntegration", get, one, limiting, account.Own, 200, none, asJSON(h.get), looks},
		{"updateGroupLogIntegration", put, one, limiting, account.Own, 200, query, asJSON(h.update), changes},
		{"deleteGroupLogIntegration", remove, one, limiting, account.Own, 204, none, asJSON(h.delete), removes},
		{"getGroupLogIntegrationStatus", get, ownOne + "/status", own, account.Own, 200, none, asJSON(h.status), looks},
		{"pauseGroupLogIntegration", post, ownOne + ":pause", own, account.Own, 200, none,
			asJSON(h.setPaused(true)), removes},
		{"resumeGroupLogIntegration", post, ownOne + ":resume", own, account.Own, 200, none,
			asJSON(h.setPaused(false)), removes},
		{"replayGroupLogIntegration", post, ownOne + ":replay", own, account.Own, 200, none,
			asJSON(h.replay), changes},
		{"retryGroupLogIntegrationParked", post, ownOne + ":retryParked", own, account.Own, 200, none,
			asJSON(h.sendParked), removes},
		{"discardGroupLogIntegrationParked", post, ownOne + ":discardParked", own, account.Own, 200, none,
			asJSON(h.discardParked), removes},
	}
}

func (h sources) operations() []operation {
	const all = ownGroup + "/sources"
	const one = all + "/{sourceId}"
	return []operation{
		{"listGroupSources", get, all, own, account.Read, 200, lists, asJSON(h.list), looks},
		{"createGroupSource", post, all, own, account.Own, 201, none, asJSON(h.create), changes},
		{"getGroupSource", get, one, own, account.Read, 200, none, asJSON(h.get), looks},
		{"updateGroupSource", patch, one, own, account.Own, 200, none, asJSON(h.update), changes},
		{"deleteGroupSource", remove, one, own, account.Own, 204, none, asJSON(h.delete), removes},
		{"getGroupSourceStatus", get, one + "/status", own, account.Read, 200, none, asJSON(h.status), looks},
	}
}

func (h signIns) operations() []operation {
	return []operation{
		{"forgetFailedSignIns", post, ownOrg + "/failedSignIns:forget", own, account.OwnOrg, 200, none,
			asJSON(h.forget), changes},
	}
}

func (h alerts) operations() []operation {
	const all = ownGroup + "/alerts"
	const one = all + "/{alertId}"
	return []operation{
		{"listGroupAlerts", get, all, own, account.Read, 200, lists, asJSON(h.list), looks},
		{"createGroupAlert", post, all, own, account.Own, 201, none, asJSON(h.create), changes},
		{"getGroupAlert", get, one, own, account.Read, 200, none, asJSON(h.get), looks},
		{"updateGroupAlert", patch, one, own, account.Own, 200, none, asJSON(h.update), changes},
		{"deleteGroupAlert", remove, one, own, account.Own, 204, none, asJSON(h.delete), removes},
		{"getGroupAlertStatus", get, one + "/status", own, account.Read, 200, none, asJSON(h.status), looks},
	}
}

func (h alertNotifiers) operations() []operation {
	const all = ownGroup + "/alertNotifiers"
	const one = all + "/{notifierId}"
	return []operation{
		{"listGroupAlertNotifiers", get, all, own, account.Read, 200, lists, asJSON(h.list), looks},
		{"createGroupAlertNotifier", post, all, own, account.Own, 201, none, asJSON(h.create), changes},
		{"getGroupAlertNotifier", get, one, own, account.Read, 200, none, asJSON(h.get), looks},
		{"updateGroupAlertNotifier", patch, one, own, account.Own, 200, none, asJSON(h.update), changes},
		{"deleteGroupAlertNotifier", remove, one, own, account.Own, 204, none, asJSON(h.delete), removes},
	}
}

func (h workspaces) operations() []operation {
	return []operation{
		{"listGroupStreamWorkspaces", get, tenants, streams, account.Read, 200, lists, asJSON(h.list), looks},
		{"createGroupStreamWorkspace", post, tenants, streams, account.ManageWorkspaces, 200, none,
			asJSON(h.create), changes},
		{"getGroupStreamWorkspace", get, tenant, streams, account.Download, 200, []parameter{includeConnections},
			asJSON(h.get), looks},
		{"updateGroupStreamWorkspace", patch, tenant, streams, account.ManageWorkspaces, 200, none,
			asJSON(h.update), changes},
		{"deleteGroupStreamWorkspace", remove, tenant, streams, account.ManageWorkspaces, 202, none,
			asJSON(h.delete), removes},
	}
}

func (h settings) operations() []operation {
	return []operation{
		{"getGroupLogSettings", get, ownGroup + "/settings", own, account.Read, 200, none, asJSON(h.get), looks},
		{"updateGroupLogSettings", patch, ownGroup + "/settings", own, account.Own, 200, none,
			asJSON(h.update), changes},
	}
}

func (h recordings) operations() []operation {
	records := traits{audit: unaudited("it writes to a log and reads none of it"), node: ingestNode, body: eventsBody,
		caller: orIngestToken, form: atlasForm}
	query := []parameter{partial, conformance}
	otlp := records
	otlp.form = otlpForm
	return []operation{
		{"recordGroupStreamAuditLogs", post, tenant + "/auditLogs", recording, account.Record, 200, query,
			asJSON(h.record(auditLog)), records},
		{"recordGroupStreamOperationalLogs", post, tenant + ":recordOperationalLogs", recording, account.Record, 200,
			query, asJSON(h.record(operationalLog)), records},
		{"recordGroupStreamOpenTelemetryLogs", post, ownTenant + "/otlp/v1/logs", own, account.Record, 200, none,
			handler{jsonResult, h.otlpLogs}, otlp},
	}
}

// operations returns the operations on each of Splunk's paths, including the alternative names that senders use.
func (h hec) operations() []operation {
	takes := traits{audit: unaudited("it writes to a log and reads none of it"), node: ingestNode, body: eventsBody,
		caller: orIngestToken, form: hecForm}
	looks := takes
	looks.body, looks.audit = noBody, unaudited("it tells whether a node takes events")
	acks := takes
	acks.audit, acks.with = unaudited("it tells whether a node gave out a number"), hecChannelName.name
	channel := []parameter{hecChannelName}
	lines := with(channel, hecTime, hecHost, hecSource, hecSourceType, hecIndex)
	events := with(lines, hecExtract)
	const collector = ownTenant + "/hec/services/collector"
	return []operation{
		{"recordSplunkEvents", post, collector, own, account.Record, 200, events, asJSON(h.events), takes},
		{"recordSplunkEventsAtEvent", post, collector + "/event", own, account.Record, 200, events, asJSON(h.events), takes},
		{"recordSplunkEventsAtVersion", post, collector + "/event/1.0", own, account.Record, 200, events,
			asJSON(h.events), takes},
		{"recordSplunkLines", post, collector + "/raw", own, account.Record, 200, lines, asJSON(h.raw), takes},
		{"recordSplunkLinesAtVersion", post, collector + "/raw/1.0", own, account.Record, 200, lines, asJSON(h.raw), takes},
		{"getSplunkAcknowledgements", post, collector + "/ack", own, account.Record, 200, channel, asJSON(h.acks), acks},
		{"getSplunkHealth", get, collector + "/health", own, account.Record, 200, none, asJSON(h.health), looks},
		{"getSplunkHealthAtVersion", get, collector + "/health/1.0", own, account.Record, 200, none, asJSON(h.health), looks},
	}
}

func (h logs) operations() []operation {
	group, org := ownGroup+"/logs", ownOrg+"/logs"
	const log = "/{logId}"
	downloads := func(k logKind) traits {
		return traits{audit: audited(k.operation, "it sends events"), node: readNode, limit: k.endpoint, kept: true,
			form: atlasForm}
	}
	lives := downloads(auditLog)
	lives.kept = false
	operational := downloads(operationalLog)
	operational.kept = false
	counts := traits{audit: unaudited("it shows how many events a log has, how large they are together, when the first " +
		"and the last were, and the root of the tree of all; none of them"),
		kept: true, form: atlasForm}
	publishes := changes
	publishes.kept = true
	return []operation{
		{"downloadGroupStreamAuditLogs", get, tenant + "/auditLogs", auditLog.file, account.Download, 200, ranges,
			asFile(h.downloadOf(auditLog)), lives},
		{"downloadGroupStreamOperationalLogs", get, tenant + ":downloadOperationalLogs", operationalLog.file,
			account.Download, 200, ranges, asFile(h.downloadOf(operationalLog)), operational},
		{"listGroupLogs", get, group, own, account.Download, 200, lists, asJSON(h.listOfProject), counts},
		{"downloadGroupLog", get, group + log, anyLog.file, account.Download, 200, ranges, asFile(h.downloadByID),
			downloads(anyLog)},
		{"getGroupLog", get, group + log + "/document", own, account.Download, 200, none, asJSON(h.get), counts},
		{"updateGroupLog", patch, group + log + "/document", own, account.Download, 200, none,
			asJSON(h.update), publishes},
		{"listOrgLogs", get, org, own, account.OwnOrg, 200, lists, asJSON(h.listOfOrg), counts},
		{"downloadOrgLog", get, org + log, anyLog.file, account.OwnOrg, 200, ranges, asFile(h.downloadByID),
			downloads(anyLog)},
		{"getOrgLog", get, org + log + "/document", own, account.OwnOrg, 200, none, asJSON(h.get), counts},
		{"updateOrgLog", patch, org + log + "/document", own, account.OwnOrg, 200, none, asJSON(h.update), publishes},
	}
}

func (h entries) operations() []operation {
	reads := traits{audit: audited("readEntries", "it sends events; what follows is the same read for an hour"),
		node: readNode, limit: "api/weir/v1/logs/entries", kept: true, form: atlasForm}
	query := []parameter{fromSize, entryLimit, waitSeconds, readBefore}
	return []operation{
		{"readGroupLogEntries", get, ownGroup + "/logs/{logId}/entries", own, account.Download, 200, query,
			handler{jsonResult, h.read}, reads},
		{"readOrgLogEntries", get, ownOrg + "/logs/{logId}/entries", own, account.OwnOrg, 200, query,
			handler{jsonResult, h.read}, reads},
	}
}

func (h events) operations() []operation {
	finds := traits{audit: audited("searchEvents", "it sends events; the pages after the first are the same question"),
		node: readNode, limit: "api/weir/v1/groups/events", kept: true, form: atlasForm}
	counts := finds
	counts.audit = audited(summaryOperation, "it tells how many events there are of any kind that is asked for")
	names := finds
	names.audit = audited(fieldsOperation, "it tells which fields the events have, and values of them")
	exports := finds
	exports.audit = audited("exportEvents", "it sends events")
	const path = ownGroup + "/events"
	return []operation{
		{"searchGroupEvents", get, path, own, account.Download, 200, with(questions, eventOrder, resultLimit, pageCursor),
			handler{jsonResult, h.find}, finds},
		{"summarizeGroupEvents", get, path + ":summary", own, account.Download, 200,
			with(questions, barCount, barZone, barSplit, facetFields, facetTop), handler{jsonResult, h.summarize}, counts},
		{"listGroupEventFields", get, path + ":fields", own, account.Download, 200, questions,
			handler{jsonResult, h.fields}, names},
		{"exportGroupEvents", get, path + ":export", own, account.Download, 200,
			with(questions, tableFormat, tableColumns, rawCells, byteOrder), asFile(h.export), exports},
	}
}

func (h tails) operations() []operation {
	tails := traits{audit: audited(tailOperation, "it sends events; what follows is the same read for an hour"),
		node: readNode, limit: "api/weir/v1/groups/events", kept: true, form: atlasForm}
	return []operation{
		{"tailGroupEvents", get, ownGroup + "/events:tail", own, account.Download, 200, with(questions, tailSeconds),
			handler{streamResult, h.tail}, tails},
	}
}

func (h proofs) operations() []operation {
	digests := traits{audit: unaudited("it shows digests of the tree; those who watch a log ask all the time, " +
		"and an event each would be another entry to ask for"),
		node: readNode, kept: true, form: atlasForm}
	open, bySizes := digests, digests
	open.caller, bySizes.with = orPublic, fromSize.name
	ofFile := traits{audit: audited("proveDownload",
		"it tells which entries are in a range of time and of a stream processor"),
		node: readNode, limit: "api/weir/v1/logs/proof", kept: true, form: atlasForm}
	byIndex := ofFile
	byIndex.audit = audited("proveEntry",
		"it shows the digest of one event, by which a caller that knows its salt can confirm a guess of it")
	byIndex.with = entryIndex.name
	var table []operation
	for _, of := range []struct {
		name, path string
		needs      account.Action
	}{
		{"Group", ownGroup + "/logs/{logId}", account.Download},
		{"Org", ownOrg + "/logs/{logId}", account.OwnOrg},
	} {
		table = append(table, []operation{
			{"get" + of.name + "LogCheckpoint", get, of.path + "/checkpoint", own, of.needs, 200, none,
				asText(h.checkpoint), open},
			{"get" + of.name + "LogTile", get, of.path + "/tile/{tile...}", own, of.needs, 200, none,
				asText(h.tile), digests},
			{"prove" + of.name + "LogEntry", get, of.path + "/proof", own, of.needs, 200, []parameter{entryIndex},
				handler{jsonResult, h.entry}, byIndex},
			{"prove" + of.name + "LogGrowth", get, of.path + "/proof", own, of.needs, 200,
				[]parameter{fromSize, toSize}, asJSON(h.growth), bySizes},
			{"prove" + of.name + "LogDownload", get, of.path + "/proof", own, of.needs, 200, with(ranges, treeSize),
				asStream(h.download), ofFile},
		}...)
	}
	return table
}
