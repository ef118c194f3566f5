package node

import (
	"cmp"

	"github.com/weirlog/weir/internal/alert"
	"github.com/weirlog/weir/internal/alert/notify"
	"github.com/weirlog/weir/internal/wal"
)

// newAlerts creates the evaluator of alert rules. A project's rules are evaluated by the node that does the background
// work of the project's own log.
func (n *node) newAlerts() (err error) {
	o := n.tuning.alerts
	o.Bucket, o.Sets, o.Accounts, o.Logs, o.Recorder = n.sealed, n.rules.Sets, n.accounts, n.logs, n.recorder
	o.Notifier = cmp.Or(o.Notifier, alert.Notifier(notify.NewSender(n.egress, n.box)))
	o.Mine = func(project string) bool { return n.holds(wal.ShardOf(project, len(n.writers))) }
	o.Hears = func(log string) bool { return n.holds(wal.ShardOf(log, len(n.writers))) }
	o.Logger, o.Registry = n.log, n.registry
	if n.hasPage() {
		o.PublicURL = n.config.PublicURL
	}
	n.alerts, err = alert.New(o)
	return err
}
