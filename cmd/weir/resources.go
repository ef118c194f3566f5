package main

import (
	"errors"
	"fmt"
	"net/netip"
	"strconv"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

type (
	flagsOf   = []func(*pflag.FlagSet, *adminFlags)
	requestOf = func(*adminFlags, []string) (request, error)
)

func orgFlag(s *pflag.FlagSet, f *adminFlags) {
	s.StringVar(&f.org, "org", "", "`id` of the organization (default MONGODB_ATLAS_ORG_ID)")
}

func projectFlag(s *pflag.FlagSet, f *adminFlags) {
	s.StringVar(&f.project, "project", "", "`id` of the project (default MONGODB_ATLAS_PROJECT_ID)")
}

// scopeFlags select the organization or the project of credentials.
func scopeFlags(s *pflag.FlagSet, f *adminFlags) {
	s.StringVar(&f.project, "project", "", "`id` of a project whose credentials, and their roles on it, are meant "+
		"(default: those of the organization)")
	orgFlag(s, f)
}

func nameFlag(s *pflag.FlagSet, f *adminFlags) { s.StringVar(&f.name, "name", "", "new `name`") }

func descriptionFlag(s *pflag.FlagSet, f *adminFlags) {
	s.StringVar(&f.description, "description", "", "purpose of the credential, 1 to 250 characters; \"create\" needs one")
}

var errNoDescription = errors.New("give a --description: what is the credential for?")

func rolesFlag(s *pflag.FlagSet, f *adminFlags) {
	s.StringSliceVar(&f.roles, "role", nil, "a `role`, such as ORG_OWNER or GROUP_OWNER; may be repeated")
}

func hoursFlag(s *pflag.FlagSet, f *adminFlags) {
	s.IntVar(&f.hours, "secret-hours", 365*24, "number of hours until the secret expires")
}

func tagsFlag(s *pflag.FlagSet, f *adminFlags) {
	s.StringSliceVar(&f.tags, "tag", nil, "`key=value`; may be repeated")
}

func workspaceFlags(s *pflag.FlagSet, f *adminFlags) {
	projectFlag(s, f)
	s.StringVar(&f.provider, "provider", "AWS", "cloud provider: AWS, AZURE or GCP")
	s.StringVar(&f.region, "region", "VIRGINIA_USA", "the provider's region")
	s.StringVar(&f.tier, "tier", "SP30", "tier")
	s.StringVar(&f.maxTier, "max-tier", "", "highest tier")
	s.BoolVar(&f.requireOCSF, "require-ocsf", false,
		"refuse events that do not conform to their OCSF class (weir only)")
}

// given returns the attributes whose flags were set. The last element of each attribute is the name of the flag.
func (f *adminFlags) given(attributes ...any) map[string]any {
	body := map[string]any{}
	for i := 0; i < len(attributes); i += 3 {
		if f.changed(attributes[i+2].(string)) {
			body[attributes[i].(string)] = attributes[i+1]
		}
	}
	return body
}

// changes is given, but returns an error if no flag was set.
func (f *adminFlags) changes(attributes ...any) (any, error) {
	body := f.given(attributes...)
	if len(body) > 0 {
		return body, nil
	}
	var flags []string
	for i := 2; i < len(attributes); i += 3 {
		flags = append(flags, "--"+attributes[i].(string))
	}
	return nil, errors.New("nothing to change: give " + strings.Join(flags, ", ") + "; see --help")
}

func list(path func(*adminFlags, []string) (string, error)) requestOf {
	return func(f *adminFlags, args []string) (request, error) {
		p, err := path(f, args)
		return request{path: p}, err
	}
}

// ask returns a request without a body.
func ask(method string, path func(*adminFlags, []string) (string, error)) requestOf {
	return func(f *adminFlags, args []string) (request, error) {
		p, err := path(f, args)
		return request{method: method, path: p}, err
	}
}

// send returns a request with a body.
func send(method string, path func(*adminFlags, []string) (string, error), body func(*adminFlags, []string) (any,
	error)) requestOf {
	return func(f *adminFlags, args []string) (request, error) {
		p, err := path(f, args)
		if err != nil {
			return request{}, err
		}
		b, err := body(f, args)
		return request{method: method, path: p, body: b}, err
	}
}

func inOrg(rest ...string) func(*adminFlags, []string) (string, error) {
	return func(f *adminFlags, args []string) (string, error) { return f.orgPath(append(rest, args...)...) }
}

func inProject(rest ...string) func(*adminFlags, []string) (string, error) {
	return func(f *adminFlags, args []string) (string, error) { return f.projectPath(append(rest, args...)...) }
}

func inScope(rest ...string) func(*adminFlags, []string) (string, error) {
	return func(f *adminFlags, args []string) (string, error) { return f.credentialPath(append(rest, args...)...) }
}

// theProject uses the argument as the project, if there is one.
func theProject(f *adminFlags, args []string) (string, error) {
	if len(args) > 0 {
		f.project = args[0]
	}
	return f.projectPath()
}

func theOrg(f *adminFlags, args []string) (string, error) {
	if len(args) > 0 {
		f.org = args[0]
	}
	return f.orgPath()
}

func fixed(path string) func(*adminFlags, []string) (string, error) {
	return func(*adminFlags, []string) (string, error) { return path, nil }
}

var one, upToOne = cobra.ExactArgs(1), cobra.MaximumNArgs(1)

// resources returns everything that "weir admin" manages.
func resources() []resource {
	return []resource{
		{"organization", []string{"org"}, "Organizations", orgVerbs(), nil},
		{"project", []string{"group"}, "Projects, and how long their logs are kept", projectVerbs(), nil},
		{"workspace", []string{"tenant"}, "Stream Processing workspaces", workspaceVerbs(), nil},
		{"key", []string{"api-key"}, "API keys of an organization or a project", keyVerbs(), nil},
		{"service-account", []string{"sa"}, "Service accounts of an organization or a project, and their secrets",
			serviceAccountVerbs(), nil},
		{"ingest-token", nil, "Fixed tokens of a project, with which senders record events", ingestTokenVerbs(), nil},
		{"alert", nil, "Rules of alerts of a project", alertVerbs(), []func() *cobra.Command{applyAlerts}},
		{"alert-notifier", nil, "Notifiers, which are told of the alerts of a project", alertNotifierVerbs(), nil},
		{"source", nil, "Sources, from which a project collects: MongoDB Atlas, another weir, Kafka", sourceVerbs(), nil},
		{"delivery", nil, "Deliveries, which send the events of a project to other systems", deliveryVerbs(), nil},
		{"access-list", nil, "Addresses from which a project, API key, service account or ingest token may be used",
			accessVerbs(), nil},
		{"failures", nil, "Failed sign-ins, for which an address may be limited", failuresVerbs(), nil},
		{"log", nil, "Logs, those of deleted workspaces too", logVerbs(), nil},
	}
}

func orgVerbs() []verb {
	columns := []column{col("ID", "id", "organization.id"), col("NAME", "name", "organization.name")}
	name := func(_ *adminFlags, args []string) (any, error) { return map[string]any{"name": args[0]}, nil }
	return []verb{
		{"list", "List the organizations that you have a role in", nil, nil,
			list(fixed("/api/atlas/v2/orgs")), columns},
		{"create NAME", "Create an organization, which you own", one, nil, send("POST", fixed("/api/atlas/v2/orgs"),
			name), columns},
		{"describe [ID]", "Show an organization", upToOne, flagsOf{orgFlag}, ask("GET", theOrg), columns},
		{"update [ID]", "Rename an organization", upToOne, flagsOf{orgFlag, nameFlag},
			send("PATCH", theOrg, func(f *adminFlags, _ []string) (any, error) {
				return f.changes("name", f.name, "name")
			}), columns},
		{"delete ID", "Delete an organization that has no projects", one, nil, ask("DELETE", theOrg), nil},
	}
}

func projectVerbs() []verb {
	columns := []column{col("ID", "id"), col("NAME", "name"), col("ORGANIZATION", "orgId"), col("CREATED", "created")}
	settings := []column{col("RETENTION DAYS", "retentionDays"), col("DELETED LOG RETENTION DAYS",
		"deletedLogRetentionDays"), col("LEGAL HOLD", "legalHold")}
	theSettings := func(f *adminFlags, args []string) (string, error) {
		path, err := own(theProject(f, args))
		return path + "/settings", err
	}
	retentionFlags := func(s *pflag.FlagSet, f *adminFlags) {
		s.StringVar(&f.retention, "retention-days", "",
			"number of days that events are kept, at least 30, or \"forever\"")
		s.StringVar(&f.deleted, "deleted-log-retention-days", "",
			"number of days that logs of deleted workspaces are kept, at least 30")
		s.BoolVar(&f.hold, "legal-hold", false, "remove no events while it is set")
	}
	return []verb{
		{"list", "List the projects that you may see", nil, nil, list(fixed("/api/atlas/v2/groups")), columns},
		{"create NAME", "Create a project", one, flagsOf{orgFlag, tagsFlag}, createProject, columns},
		{"describe [ID]", "Show a project", upToOne, flagsOf{projectFlag}, ask("GET", theProject), columns},
		{"update [ID]", "Rename a project, or replace its tags", upToOne, flagsOf{projectFlag, nameFlag, tagsFlag},
			send("PATCH", theProject, func(f *adminFlags, _ []string) (any, error) {
				tags, err := f.tagList()
				if err != nil {
					return nil, err
				}
				return f.changes("name", f.name, "name", "tags", tags, "tag")
			}), columns},
		{"delete ID", "Delete a project that has no workspaces", one, nil, ask("DELETE", theProject), nil},
		{"settings [ID]", "Show how long a project's logs are kept", upToOne, flagsOf{projectFlag},
			ask("GET", theSettings), settings},
		{"set [ID]", "Set how long a project's logs are kept", upToOne, flagsOf{projectFlag, retentionFlags},
			send("PATCH", theSettings, retentionBody), settings},
	}
}

func createProject(f *adminFlags, args []string) (request, error) {
	path, err := f.orgPath()
	tags, tagsErr := f.tagList()
	body := map[string]any{"name": args[0], "orgId": path[strings.LastIndexByte(path, '/')+1:], "tags": tags}
	return request{method: "POST", path: "/api/atlas/v2/groups", body: body}, errors.Join(err, tagsErr)
}

func (f *adminFlags) tagList() ([]map[string]string, error) {
	tags := []map[string]string{}
	for _, text := range f.tags {
		key, value, ok := strings.Cut(text, "=")
		if !ok {
			return nil, fmt.Errorf("--tag %q: want key=value", text)
		}
		tags = append(tags, map[string]string{"key": key, "value": value})
	}
	return tags, nil
}

func retentionBody(f *adminFlags, _ []string) (any, error) {
	var living any // if it stays nil, events are kept for ever
	var err error
	if f.retention != "forever" {
		living, err = days("retention-days", f.retention, ", or forever")
	}
	deleted, deletedErr := days("deleted-log-retention-days", f.deleted, "")
	if err := errors.Join(err, deletedErr); err != nil {
		return nil, err
	}
	return f.changes("retentionDays", living, "retention-days", "deletedLogRetentionDays", deleted,
		"deleted-log-retention-days",
		"legalHold", f.hold, "legal-hold")
}

// days parses a number of days, which may be empty. The server checks the bounds.
func days(flag, text, otherwise string) (any, error) {
	n, err := strconv.Atoi(text)
	if text != "" && (err != nil || n < 1) {
		return nil, fmt.Errorf("--%s %.40q: want a whole number of days, at least 30%s", flag, text, otherwise)
	}
	return n, nil
}

func workspaceVerbs() []verb {
	columns := []column{col("ID", "_id"), col("NAME", "name"), col("CLOUD", "dataProcessRegion.cloudProvider"),
		col("REGION", "dataProcessRegion.region"), col("TIER", "streamConfig.tier")}
	create := func(f *adminFlags, args []string) (any, error) {
		tiers := f.tiers()
		tiers["tier"] = f.tier
		body := map[string]any{"name": args[0], "dataProcessRegion": map[string]string{"cloudProvider": f.provider,
			"region": f.region}, "streamConfig": tiers}
		if f.requireOCSF {
			body["requireOCSF"] = true
		}
		return body, nil
	}
	update := func(f *adminFlags, _ []string) (any, error) {
		return f.changes("cloudProvider", f.provider, "provider", "region", f.region, "region", "requireOCSF",
			f.requireOCSF, "require-ocsf",
			"streamConfig", f.tiers(), "tier", "streamConfig", f.tiers(), "max-tier")
	}
	return []verb{
		{"list", "List the workspaces of a project", nil, flagsOf{projectFlag}, list(inProject("streams")), columns},
		{"create NAME", "Create a workspace", one, flagsOf{workspaceFlags},
			send("POST", func(f *adminFlags, _ []string) (string, error) { return f.projectPath("streams") },
				create), columns},
		{"describe NAME", "Show a workspace", one, flagsOf{projectFlag}, ask("GET", inProject("streams")), columns},
		{"update NAME", "Change a workspace", one, flagsOf{workspaceFlags}, send("PATCH", inProject("streams"),
			update), columns},
		{"delete NAME", "Delete a workspace; its logs are kept for at least 30 days", one, flagsOf{projectFlag},
			ask("DELETE", inProject("streams")), nil},
	}
}

func (f *adminFlags) tiers() map[string]any {
	return f.given("tier", f.tier, "tier", "maxTierSize", f.maxTier, "max-tier")
}

func keyVerbs() []verb {
	columns := []column{col("ID", "id"), col("DESCRIPTION", "desc"), col("PUBLIC KEY", "publicKey"),
		col("PRIVATE KEY", "privateKey"), col("ROLES", "roles.roleName")}
	create := func(f *adminFlags, _ []string) (any, error) {
		if f.description == "" {
			return nil, errNoDescription
		}
		return map[string]any{"desc": f.description, "roles": f.roles}, nil
	}
	update := func(f *adminFlags, _ []string) (any, error) {
		return f.changes("desc", f.description, "description", "roles", f.roles, "role")
	}
	assign := func(f *adminFlags, _ []string) (any, error) { return []map[string]any{{"roles": f.roles}}, nil }
	here := func(f *adminFlags, _ []string) (string, error) { return f.credentialPath("apiKeys") }
	return []verb{
		{"list", "List API keys", nil, flagsOf{scopeFlags}, list(here), columns},
		{"create", "Create an API key; its private key is shown this once", nil, flagsOf{scopeFlags, descriptionFlag,
			rolesFlag}, send("POST", here, create), columns},
		{"describe ID", "Show an API key of the organization", one, flagsOf{orgFlag},
			ask("GET", inOrg("apiKeys")), columns},
		{"update ID", "Change an API key", one, flagsOf{scopeFlags, descriptionFlag, rolesFlag},
			send("PATCH", inScope("apiKeys"), update), columns},
		{"assign ID", "Give an API key of the organization roles on a project", one, flagsOf{projectFlag, rolesFlag},
			send("POST", inProject("apiKeys"), assign), nil},
		{"delete ID", "Delete an API key, or take it off a project (--project)", one, flagsOf{scopeFlags},
			ask("DELETE", inScope("apiKeys")), nil},
	}
}

func serviceAccountVerbs() []verb {
	columns := []column{col("CLIENT ID", "clientId"), col("NAME", "name"), col("ROLES", "roles"),
		col("SECRET ID", "secrets.id"),
		col("SECRET", "secrets.secret", "secrets.maskedSecretValue"), col("EXPIRES", "secrets.expiresAt")}
	secret := []column{col("SECRET ID", "id"), col("SECRET", "secret"), col("EXPIRES", "expiresAt")}
	create := func(f *adminFlags, args []string) (any, error) {
		if f.description == "" {
			return nil, errNoDescription
		}
		return map[string]any{"name": args[0], "description": f.description, "roles": f.roles,
			"secretExpiresAfterHours": f.hours}, nil
	}
	update := func(f *adminFlags, _ []string) (any, error) {
		return f.changes("name", f.name, "name", "description", f.description, "description", "roles", f.roles, "role")
	}
	here := func(f *adminFlags, _ []string) (string, error) { return f.credentialPath("serviceAccounts") }
	invite := func(f *adminFlags, args []string) (string, error) {
		path, err := f.projectPath("serviceAccounts", args[0])
		return path + ":invite", err
	}
	roles := func(f *adminFlags, _ []string) (any, error) { return map[string]any{"roles": f.roles}, nil }
	hours := func(f *adminFlags, _ []string) (any, error) {
		return map[string]any{"secretExpiresAfterHours": f.hours}, nil
	}
	secrets := func(f *adminFlags, args []string) (string, error) {
		return f.credentialPath(append([]string{"serviceAccounts", args[0], "secrets"}, args[1:]...)...)
	}
	projects := func(f *adminFlags, args []string) (string, error) {
		return f.orgPath("serviceAccounts", args[0], "groups")
	}
	return []verb{
		{"list", "List service accounts", nil, flagsOf{scopeFlags}, list(here), columns},
		{"create NAME", "Create a service account; its secret is shown this once", one,
			flagsOf{scopeFlags, descriptionFlag, rolesFlag, hoursFlag}, send("POST", here, create), columns},
		{"describe ID", "Show a service account", one, flagsOf{scopeFlags},
			ask("GET", inScope("serviceAccounts")), columns},
		{"update ID", "Change a service account", one, flagsOf{scopeFlags, nameFlag, descriptionFlag, rolesFlag},
			send("PATCH", inScope("serviceAccounts"), update), columns},
		{"assign ID", "Give a service account of the organization roles on a project", one,
			flagsOf{projectFlag, rolesFlag}, send("POST", invite, roles), columns},
		{"projects ID", "List the projects that a service account has roles on", one, flagsOf{orgFlag}, list(projects),
			[]column{col("PROJECT", "groupId"), col("ROLES", "roles")}},
		{"delete ID", "Delete a service account, or take it off a project (--project)", one, flagsOf{scopeFlags},
			ask("DELETE", inScope("serviceAccounts")), nil},
		{"create-secret ID", "Create another secret, shown this once; there are at most two", one,
			flagsOf{scopeFlags, hoursFlag}, send("POST", secrets, hours), secret},
		{"delete-secret ID SECRET-ID", "Delete a secret", cobra.ExactArgs(2), flagsOf{scopeFlags},
			ask("DELETE", secrets), nil},
	}
}

func ingestTokenVerbs() []verb {
	columns := []column{col("ID", "id"), col("NAME", "name"), col("WORKSPACE", "tenantName"),
		col("TOKEN", "token", "maskedToken"), col("EXPIRES", "expiresAt"), col("LAST USED", "lastUsedAt")}
	bounds := func(s *pflag.FlagSet, f *adminFlags) {
		s.StringVar(&f.workspace, "workspace", "", "the only `workspace` that it may record in (default: all)")
		s.IntVar(&f.hours, "expires-hours", 0, "number of hours until it expires (default: never)")
	}
	path := func(f *adminFlags, args []string) (string, error) {
		return own(f.projectPath(append([]string{"ingestTokens"}, args...)...))
	}
	here := func(f *adminFlags, _ []string) (string, error) { return path(f, nil) }
	create := func(f *adminFlags, args []string) (any, error) {
		body := f.given("tenantName", f.workspace, "workspace", "expiresAfterHours", f.hours, "expires-hours")
		body["name"] = args[0]
		return body, nil
	}
	return []verb{
		{"list", "List the ingest tokens of a project", nil, flagsOf{projectFlag}, list(here), columns},
		{"create NAME", "Create an ingest token; it is shown this once", one, flagsOf{projectFlag, bounds},
			send("POST", here, create), columns},
		{"describe ID", "Show an ingest token", one, flagsOf{projectFlag}, ask("GET", path), columns},
		{"delete ID", "Delete an ingest token; all nodes refuse it within seconds", one, flagsOf{projectFlag},
			ask("DELETE", path), nil},
	}
}

func accessVerbs() []verb {
	columns := []column{col("CIDR BLOCK", "cidrBlock", "awsSecurityGroup"), col("ADDRESS", "ipAddress"),
		col("COMMENT", "comment"), col("CREATED", "created", "createdAt")}
	whose := func(s *pflag.FlagSet, f *adminFlags) {
		s.StringVar(&f.key, "key", "", "`id` of an API key of the organization (default: the project's own list)")
		s.StringVar(&f.serviceAccount, "service-account", "",
			"client `id` of a service account of the organization, or of the project that --project names")
		s.StringVar(&f.ingestToken, "ingest-token", "", "`id` of an ingest token of the project")
		projectFlag(s, f)
		orgFlag(s, f)
	}
	comment := func(s *pflag.FlagSet, f *adminFlags) {
		s.StringVar(&f.comment, "comment", "", "purpose of the entries, for a project's list")
	}
	path := func(f *adminFlags, args []string) (string, error) {
		switch {
		case f.key != "":
			return f.orgPath(append([]string{"apiKeys", f.key, "accessList"}, args...)...)
		case f.serviceAccount != "":
			return f.credentialPath(append([]string{"serviceAccounts", f.serviceAccount, "accessList"}, args...)...)
		case f.ingestToken != "":
			return own(f.projectPath(append([]string{"ingestTokens", f.ingestToken, "accessList"}, args...)...))
		}
		return f.projectPath(append([]string{"accessList"}, args...)...)
	}
	here := func(f *adminFlags, _ []string) (string, error) { return path(f, nil) }
	return []verb{
		{"list", "List the entries", nil, flagsOf{whose}, list(here), columns},
		{"create ENTRY…", "Add addresses and CIDR blocks", cobra.MinimumNArgs(1), flagsOf{whose, comment},
			send("POST", here, func(f *adminFlags, args []string) (any, error) {
				var entries []map[string]string
				for _, text := range args {
					kind := "cidrBlock"
					if _, err := netip.ParseAddr(text); err == nil {
						kind = "ipAddress"
					}
					entry := map[string]string{kind: text}
					if f.comment != "" {
						entry["comment"] = f.comment
					}
					entries = append(entries, entry)
				}
				return entries, nil
			}), []column{col("CIDR BLOCKS", "results.cidrBlock")}},
		{"describe ENTRY", "Show an entry of a project's or an API key's list", one, flagsOf{whose},
			ask("GET", path), columns},
		{"delete ENTRY", "Remove an entry", one, flagsOf{whose}, ask("DELETE", path), nil},
	}
}

func failuresVerbs() []verb {
	here := func(f *adminFlags, _ []string) (string, error) { return own(f.orgPath("failedSignIns:forget")) }
	return []verb{
		{"forget ADDRESS", "Forget the failed sign-ins of an address, at the node that answers only", one,
			flagsOf{orgFlag}, send("POST", here, func(_ *adminFlags, args []string) (any, error) {
				return map[string]string{"ipAddress": args[0]}, nil
			}), []column{col("NETWORK", "network"), col("NOTE", "note")}},
	}
}

func logVerbs() []verb {
	columns := []column{col("ID", "logId"), col("KIND", "kind"), col("WORKSPACE", "workspaceName"),
		col("STATE", "state"), col("DAYS LEFT", "daysLeft"),
		col("EVENTS", "events"), col("BYTES", "sizeBytes"), col("FIRST", "firstEvent"), col("LAST", "lastEvent"),
		col("OVERDUE SINCE", "retention.overdueSince"), col("KEPT", "retention.why")}
	ofProject := func(f *adminFlags, _ []string) (string, error) { return own(f.projectPath("logs")) }
	ofOrg := func(f *adminFlags, _ []string) (string, error) { return own(f.orgPath("logs")) }
	proven := []column{col("ID", "logId"), col("ORIGIN", "origin"), col("SIZE", "size"), col("ROOT", "root"),
		col("PUBLIC", "public"), col("KEYS", "keys.key")}
	ownOrgFlag := func(s *pflag.FlagSet, f *adminFlags) {
		s.StringVar(&f.org, "org", "", "`id` of the organization whose own log it is")
	}
	document := func(f *adminFlags, args []string) (string, error) {
		if f.org != "" {
			return own(f.orgPath("logs", args[0], "document"))
		}
		return own(f.projectPath("logs", args[0], "document"))
	}
	return []verb{
		{"list", "List the logs of a project", nil, flagsOf{projectFlag}, list(ofProject), columns},
		{"describe ID", "Show what proofs of a log rest on: its origin, size, root and keys", one,
			flagsOf{projectFlag, ownOrgFlag}, ask("GET", document), proven},
		{"update ID", "Publish a log's checkpoints, or stop that (--public=false)", one, flagsOf{projectFlag, ownOrgFlag,
			func(s *pflag.FlagSet, f *adminFlags) {
				s.BoolVar(&f.public, "public", false, "let everybody read them, without a credential")
			}}, send("PATCH", document, func(f *adminFlags, _ []string) (any,
			error) {
			return map[string]bool{"public": f.public}, nil
		}), proven},
		{"list-organization", "List the logs of an organization itself: of changes, and of failed authentications", nil,
			flagsOf{orgFlag}, list(ofOrg), columns},
	}
}
