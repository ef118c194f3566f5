package node

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"net/netip"
	"net/url"
	"os"
	"strings"
	"time"

	"github.com/weirlog/weir/internal/account"
	"github.com/weirlog/weir/internal/bucket/location"
	"github.com/weirlog/weir/internal/config"
	"github.com/weirlog/weir/internal/durable"
	"github.com/weirlog/weir/internal/event"
	"github.com/weirlog/weir/internal/record"
)

// Setup describes the content of a new bucket.
type Setup struct {
	Organization, Project string // names
	Workspace             string // if empty, there is none
	EnvFile               string // file for the credentials; if empty, they are printed
	Origin                string // origin of the logs' checkpoints; if empty, a new one
	IfEmpty               bool   // if the bucket is not empty, do nothing, without an error
}

// secretLife is the lifetime of the first service account's secret.
const secretLife = 365 * 24 * time.Hour

// credentials are the values that a client needs. The names are those of its environment variables.
type credentials struct {
	url, org, project, workspace string
	clientID, clientSecret       string
	publicKey, privateKey        string
	verifierKey                  string // verifies the signatures of logs
}

// Init fills an empty bucket with an organization, a project, and two credentials that own the organization. It shows
// their secrets, which are stored nowhere else. If the bucket is not empty, see Setup.IfEmpty.
func Init(ctx context.Context, c config.Config, s Setup, out io.Writer) error {
	if err := errors.Join(c.Check(), c.SecretsNamed()); err != nil {
		return err
	}
	if strings.ContainsAny(s.Origin, "+ \t\n") {
		return c.Invalid("origin", fmt.Sprintf("%.100q must not have spaces or '+'", s.Origin))
	}
	if s.Workspace != "" {
		if _, err := account.NewWorkspace(s.Workspace, time.Now()); err != nil {
			return c.InvalidFor("workspace", err)
		}
	}
	b, err := location.Open(ctx, c.Bucket, StoreOptions(c.S3))
	if err != nil {
		return err
	}
	defer b.Close()
	if _, err := claimedSettings(ctx, b); err == nil && s.IfEmpty {
		fmt.Fprintf(out, "The bucket %s is initialised already; nothing was done.\n", c.Bucket)
		return nil
	} else if err == nil {
		return fmt.Errorf("the bucket %s is initialised already: name another with --bucket", c.Bucket)
	} else if !errors.Is(err, account.ErrNotFound) {
		return err
	}
	made, err := newSecrets(ctx, &c, b)
	if err != nil {
		return err
	}
	accounts := made.accounts(b)
	creds, err := fill(ctx, accounts, s)
	creds.verifierKey = made.keys.Signers[0].PublicText()
	if err == nil {
		err = accounts.Initialise(ctx, account.Settings{Shards: c.BucketShards(), Origin: s.Origin,
			Secret: made.secret.ID()})
	}
	if err != nil {
		return err
	}
	creds.url = "http://" + c.Listen
	fmt.Fprintf(out, "Made organization %s (%s) and project %s (%s) in %s.\n", creds.org, s.Organization, creds.project,
		s.Project, c.Bucket)
	if s.EnvFile != "" {
		fmt.Fprintf(out, "The owner's credentials are in %s; they are stored nowhere else.\n", s.EnvFile)
		return creds.writeFile(s.EnvFile)
	}
	fmt.Fprintf(out, "The owner's credentials, shown this once:\n\n%s", creds.shell())
	return nil
}

// fill creates an organization, a project, and credentials. The last step initialises the bucket. Until then it counts
// as empty, even if a crash has left objects in it.
func fill(ctx context.Context, accounts *account.Directory, s Setup) (credentials, error) {
	now := time.Now()
	org := account.Organization{ID: account.NewID(now), Name: s.Organization, Log: account.NewID(now),
		Created: now.UTC()}
	project := account.Project{ID: account.NewID(now), Org: org.ID, Name: s.Project, Created: now.UTC()}
	if s.Workspace != "" {
		w, err := account.NewWorkspace(s.Workspace, now)
		if err != nil {
			return credentials{}, err
		}
		project.Workspaces = []account.Workspace{w}
	}
	roles := []account.Grant{{Org: org.ID, Role: account.OrgOwner}, {Project: project.ID, Role: account.GroupOwner}}
	sa, secret := account.NewServiceAccount(org.ID, "owner", roles, now, secretLife)
	key, private := account.NewAPIKey(org.ID, "owner", roles, now)
	for _, err := range []error{
		accounts.CreateOrganization(ctx, org), accounts.CreateProject(ctx, project),
		accounts.CreateCredential(ctx, sa), accounts.CreateCredential(ctx, key),
	} {
		if err != nil {
			return credentials{}, err
		}
	}
	return credentials{org: org.ID, project: project.ID, workspace: s.Workspace, clientID: sa.ID, clientSecret: secret,
		publicKey: key.ID, privateKey: private}, nil
}

func (c *credentials) variables() []struct {
	name  string
	value *string
} {
	return []struct {
		name  string
		value *string
	}{
		{"WEIR_URL", &c.url}, {"MONGODB_ATLAS_BASE_URL", &c.url}, {"MONGODB_ATLAS_ORG_ID", &c.org},
		{"MONGODB_ATLAS_PROJECT_ID", &c.project}, {"WEIR_WORKSPACE", &c.workspace},
		{"MONGODB_ATLAS_CLIENT_ID", &c.clientID}, {"MONGODB_ATLAS_CLIENT_SECRET", &c.clientSecret},
		{"MONGODB_ATLAS_PUBLIC_API_KEY", &c.publicKey}, {"MONGODB_ATLAS_PRIVATE_API_KEY", &c.privateKey},
		{"WEIR_VERIFIER_KEY", &c.verifierKey},
	}
}

// shell returns the variables in shell syntax.
func (c *credentials) shell() string {
	var b strings.Builder
	for _, v := range c.variables() {
		if *v.value == "" {
			continue
		}
		fmt.Fprintf(&b, "export %s='%s'\n", v.name, *v.value)
		if v.name == "WEIR_URL" {
			fmt.Fprintf(&b, "export MONGODB_ATLAS_OPS_MANAGER_URL='%s/'\n", *v.value)
		}
	}
	return b.String()
}

// writeFile writes the variables to a file that only its owner may read. A crash leaves the old file or the new one.
func (c *credentials) writeFile(name string) error {
	if err := durable.Replace(name, []byte(c.shell())); err != nil {
		return fmt.Errorf("environment file: %w", err)
	}
	return nil
}

// readFile reads the result of writeFile. If there is none, it returns fs.ErrNotExist (wrapped).
func readFile(name string) (credentials, error) {
	var c credentials
	data, err := os.ReadFile(name)
	if err != nil {
		return c, err
	}
	for line := range strings.Lines(string(data)) {
		variable, value, ok := strings.Cut(strings.TrimPrefix(strings.TrimSpace(line), "export "), "=")
		for _, v := range c.variables() {
			if ok && v.name == variable {
				*v.value = strings.Trim(value, "'\"")
			}
		}
	}
	return c, nil
}

// devSetup is the setup of --dev.
var devSetup = Setup{Organization: "dev", Project: "dev", Workspace: "demo"}

// prepareDev fills an empty bucket for --dev, writes the environment file, and prints how to use everything. On a
// bucket that it has filled before, it keeps the credentials.
func (n *node) prepareDev(ctx context.Context, at string, out io.Writer) error {
	_, err := n.accounts.Settings(ctx)
	if err != nil && !errors.Is(err, account.ErrNotFound) {
		return err
	}
	var c credentials
	if err != nil {
		c, err = fill(ctx, n.accounts, devSetup)
		if err == nil {
			err = n.recordSamples(ctx, c)
		}
		c.url, c.verifierKey = at, n.keys.Signers[0].PublicText()
		if err == nil {
			err = c.writeFile(n.config.EnvFile) // before the bucket is initialised: only this file has the secrets
		}
		if err == nil {
			err = n.accounts.Initialise(ctx, account.Settings{Shards: n.config.BucketShards(), Origin: n.origin,
				Secret: n.secretID})
		}
	} else if c, err = n.devCredentials(ctx); err == nil {
		c.url, c.verifierKey = at, n.keys.Signers[0].PublicText()
		err = c.writeFile(n.config.EnvFile)
	}
	if err != nil {
		return err
	}
	link, err := n.devLink(ctx, c)
	if err != nil {
		return err
	}
	_, err = fmt.Fprintf(out, devText, link, n.config.EnvFile, c.commands())
	return err
}

// devLink returns a text with a link to the page that signs in once, or "" if there is no page. The code is in the
// fragment, which browsers do not send.
func (n *node) devLink(ctx context.Context, c credentials) (string, error) {
	if !n.hasPage() {
		return "", nil
	}
	code, err := n.auth.Code(ctx, c.clientID)
	if err != nil {
		return "", fmt.Errorf("code to sign in with: %w", err)
	}
	u, err := url.Parse(c.url)
	if err != nil {
		return "", err
	}
	if addr, err := netip.ParseAddr(u.Hostname()); err == nil && addr.IsUnspecified() {
		u.Host = net.JoinHostPort("localhost", u.Port())
	}
	return fmt.Sprintf(pageText, u.String()+"/#code="+code), nil
}

// recordSamples records weir's sample events, with times in the last days.
func (n *node) recordSamples(ctx context.Context, c credentials) error {
	project, err := n.accounts.Project(ctx, c.project)
	if err != nil {
		return err
	}
	w, ok := project.Workspace(c.workspace)
	if !ok {
		return fmt.Errorf("workspace %s: %w", c.workspace, account.ErrNotFound)
	}
	now := time.Now()
	in := n.recorder.Intake(record.Source{Log: w.AuditLog,
		Origin: event.Origin{By: event.Sample, Workspace: w.Name, Project: project.ID, Received: now}}, record.Limits{})
	defer in.Close()
	for _, line := range event.Samples(w.Name, project.ID, now) {
		if err := in.Add(line); err != nil {
			return fmt.Errorf("sample event: %w", err)
		}
	}
	_, err = in.Record(ctx)
	return err
}

// devCredentials reads the credentials of an earlier start from the environment file.
func (n *node) devCredentials(ctx context.Context) (credentials, error) {
	c, err := readFile(n.config.EnvFile)
	if errors.Is(err, fs.ErrNotExist) {
		return c, fmt.Errorf("the bucket %s was filled by an earlier start, but the file with its credentials, %s, does not "+
			"exist: put it back, name another with --env-file, or serve without --dev", n.config.Bucket, n.config.EnvFile)
	}
	if err != nil {
		return c, fmt.Errorf("environment file: %w", err)
	}
	for _, id := range []string{c.clientID, c.publicKey} {
		if _, err := n.accounts.Credential(ctx, id); err != nil {
			return c, fmt.Errorf("%s does not have valid credentials of the bucket %s: name the right file with --env-file",
				n.config.EnvFile, n.config.Bucket)
		}
	}
	return c, nil
}

const devText = `
weir is ready.
%s
Addresses and credentials are in %s; paste into another terminal:

%s
`

const pageText = `
See what happened in a browser (the link signs in once, within ten minutes):

%s
`

// commands returns commands for copying into a shell.
func (c *credentials) commands() string {
	resource := fmt.Sprintf("%s/api/atlas/v2/groups/%s/streams/%s/auditLogs", c.url, c.project, c.workspace)
	return fmt.Sprintf(`# The audit log of the last 30 days, with a service account
TOKEN=$(curl -s -u '%s:%s' -d grant_type=client_credentials '%s/api/oauth/token' |
  sed 's/.*"access_token":"\([^"]*\)".*/\1/')
curl -s -H "Authorization: Bearer $TOKEN" -H 'Accept: application/vnd.atlas.2025-03-12+gzip' -o audit.log.gz '%s'
zcat audit.log.gz | head -3

# The same with an API key
curl -s --digest -u '%s:%s' -H 'Accept: application/vnd.atlas.2025-03-12+gzip' -o audit.log.gz '%s'

# Record an event
curl -s --digest -u '%s:%s' -H 'Content-Type: application/x-ndjson' \
  --data-binary "{\"time\":$(date +%%s)000,\"class_uid\":0}" '%s'
`, c.clientID, c.clientSecret, c.url, resource, c.publicKey, c.privateKey, resource, c.publicKey, c.privateKey,
		resource)
}
