package node

import (
	"cmp"
	"context"
	"fmt"
	"log/slog"
	"slices"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/weirlog/weir/internal/account"
)

const (
	expiryAhead   = 30 * 24 * time.Hour // how long before the last secret of a service account expires warnings begin
	expiryEvery   = 24 * time.Hour      // how often warnings are repeated
	maxExpiryLogs = 100                 // lines at a time
)

// expiry warns of secrets that expire soon, in the log and as metrics.
type expiry struct {
	accounts *account.Directory
	log      *slog.Logger
	expiring prometheus.Gauge
	owners   prometheus.Gauge
}

func newExpiry(accounts *account.Directory, log *slog.Logger, r prometheus.Registerer) *expiry {
	e := &expiry{accounts: accounts, log: log,
		expiring: prometheus.NewGauge(prometheus.GaugeOpts{Name: "weir_service_accounts_expiring",
			Help: "Service accounts whose last secret expires within 30 days, as the node of the first " +
				"shard sees it."}),
		owners: prometheus.NewGauge(prometheus.GaugeOpts{Name: "weir_last_owners_expiring",
			Help: "Organizations that nobody can sign in to as an owner once secrets that end within 30 days " +
				"have expired."})}
	r.MustRegister(e.expiring, e.owners)
	return e
}

// look warns if this node holds the work.
func (e *expiry) look(ctx context.Context, mine bool) error {
	if !mine {
		e.expiring.Set(0)
		e.owners.Set(0)
		return nil
	}
	if err := e.warn(ctx, time.Now()); err != nil {
		return fmt.Errorf("look for secrets that expire: %w", err)
	}
	return nil
}

func (e *expiry) warn(ctx context.Context, now time.Time) error {
	found, err := e.accounts.Expiring(ctx, now, now.Add(expiryAhead))
	if err != nil {
		return err
	}
	slices.SortFunc(found, func(a, b account.Expiring) int { // the most important first
		return cmp.Or(cmp.Compare(len(b.Owner), len(a.Owner)), a.Expires.Compare(b.Expires))
	})
	owners := 0
	for i, x := range found {
		owners += len(x.Owner)
		if i >= maxExpiryLogs {
			continue
		}
		attributes := []any{"account", x.Credential.ID, "name", x.Credential.Name, "organization", x.Credential.Org,
			"expires", x.Expires.UTC().Format(time.RFC3339)}
		if len(x.Owner) > 0 {
			e.log.Warn("the last owner of an organization will not be able to sign in: make another secret",
				append(attributes, "owns", x.Owner)...)
		} else {
			e.log.Warn("the last secret of a service account expires soon: make another secret", attributes...)
		}
	}
	if more := len(found) - maxExpiryLogs; more > 0 {
		e.log.Warn("more service accounts have a last secret that expires soon", "accounts", more)
	}
	e.expiring.Set(float64(len(found)))
	e.owners.Set(float64(owners))
	return nil
}
