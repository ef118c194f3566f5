package node

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/netip"
	"slices"
	"strings"
	"time"

	"github.com/weirlog/weir/internal/account"
	"github.com/weirlog/weir/internal/config"
	"github.com/weirlog/weir/internal/event"
)

// Recovery describes a new owner.
type Recovery struct {
	Organization string // id; may be empty if there is only one
	EnvFile      string // file for the credentials; if empty, they are printed
}

// RecoverOwner creates a service account and an API key that own an organization, and records that in the
// organization's log. It is for an operator who has the bucket and both secrets, if no owner can sign in any more.
func RecoverOwner(ctx context.Context, c config.Config, s Recovery, version string, out io.Writer) error {
	n, err := open(ctx, c, tuning{version: version}, slog.New(slog.DiscardHandler))
	if err != nil {
		return err
	}
	creds, err := n.recoverOwner(ctx, s)
	if err = errors.Join(err, n.close()); err != nil {
		return err
	}
	creds.url = "http://" + c.Listen
	fmt.Fprintf(out, "Made new owners of organization %s: service account %s and API key %s. The organization's "+
		"log has events of it.\n",
		creds.org, creds.clientID, creds.publicKey)
	if s.EnvFile != "" {
		fmt.Fprintf(out, "Their credentials are in %s; they are stored nowhere else.\n", s.EnvFile)
		return creds.writeFile(s.EnvFile)
	}
	fmt.Fprintf(out, "Their credentials, shown this once:\n\n%s", creds.shell())
	return nil
}

func (n *node) recoverOwner(ctx context.Context, s Recovery) (credentials, error) {
	org, err := n.organization(ctx, s.Organization)
	if err != nil {
		return credentials{}, err
	}
	now := time.Now()
	roles := []account.Grant{{Org: org.ID, Role: account.OrgOwner}}
	sa, secret := account.NewServiceAccount(org.ID, "recovered owner", roles, now, secretLife)
	key, private := account.NewAPIKey(org.ID, "recovered owner", roles, now)
	for _, made := range []account.Credential{sa, key} {
		if err := n.recover(ctx, org, made, now); err != nil {
			return credentials{}, err
		}
	}
	return credentials{org: org.ID, clientID: sa.ID, clientSecret: secret, publicKey: key.ID, privateKey: private,
		verifierKey: n.keys.Signers[0].PublicText()}, nil
}

// recover stores a credential and records that. The event is durable before the credential can be used.
func (n *node) recover(ctx context.Context, org *account.Organization, made account.Credential, now time.Time) error {
	kind := "Service Account"
	if made.Kind == account.APIKey {
		kind = "API Key"
	}
	e := event.Change{Act: event.Act{UID: account.NewID(now) + made.ID, Time: now,
		CallerID: "weir init --recover-owner", CallerKind: "System", Address: netip.AddrPort{}},
		Operation: "recoverOwner", Activity: event.Create, EntityType: kind, EntityID: made.ID,
		EntityName: "recovered owner"}
	unknown := e
	unknown.Unknown = true
	intent, err := n.recorder.Intend(ctx, []string{org.Log}, event.Changed(unknown))
	if err != nil {
		return err
	}
	if err := n.accounts.CreateCredential(ctx, made); err != nil {
		return err
	}
	return intent.Done(ctx, event.Changed(e))
}

// organization returns the organization with an id, or the only one if the id is empty.
func (n *node) organization(ctx context.Context, id string) (*account.Organization, error) {
	if id != "" {
		return n.accounts.Organization(ctx, id)
	}
	var all []*account.Organization
	for o, err := range n.accounts.AllOrganizations(ctx) {
		if err != nil {
			return nil, err
		}
		all = append(all, o)
	}
	all = slices.DeleteFunc(all, func(o *account.Organization) bool { return !o.Deleted.IsZero() })
	if len(all) == 1 {
		return all[0], nil
	}
	var names []string
	for _, o := range all[:min(len(all), 20)] {
		names = append(names, fmt.Sprintf("%s (%s)", o.ID, o.Name))
	}
	return nil, fmt.Errorf("--recover-owner: name one of the %d organizations, such as %s", len(all),
		strings.Join(names, ", "))
}
