// Package node runs a weir node: it connects the parts, listens, and stops in order.
package node

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"net"
	"net/http"
	"os"
	"slices"
	"strings"
	"sync"
	"syscall"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"golang.org/x/mod/sumdb/note"
	"golang.org/x/time/rate"

	"github.com/weirlog/weir/internal/account"
	"github.com/weirlog/weir/internal/alert"
	"github.com/weirlog/weir/internal/api"
	"github.com/weirlog/weir/internal/auth"
	"github.com/weirlog/weir/internal/backup"
	"github.com/weirlog/weir/internal/bucket"
	"github.com/weirlog/weir/internal/bucket/folder"
	"github.com/weirlog/weir/internal/bucket/location"
	"github.com/weirlog/weir/internal/config"
	"github.com/weirlog/weir/internal/deliver"
	"github.com/weirlog/weir/internal/deliver/places"
	"github.com/weirlog/weir/internal/deliver/setup"
	"github.com/weirlog/weir/internal/egress"
	"github.com/weirlog/weir/internal/index"
	"github.com/weirlog/weir/internal/lease"
	"github.com/weirlog/weir/internal/proof"
	"github.com/weirlog/weir/internal/record"
	"github.com/weirlog/weir/internal/seal"
	"github.com/weirlog/weir/internal/sequence"
	"github.com/weirlog/weir/internal/source"
	"github.com/weirlog/weir/internal/tlog"
	"github.com/weirlog/weir/internal/wal"
	"github.com/weirlog/weir/internal/web"
	"github.com/weirlog/weir/internal/witness"
)

// Memory for cached parts of objects, in bytes. It does not grow with the number of logs or events.
const (
	walCache = 32 << 20
	logCache = 48 << 20
)

// tuning has parameters that are not settings. Only simulations and benchmarks set more than the version.
type tuning struct {
	logs       tlog.Options
	sequencing sequence.Options
	leases     lease.Options
	deliveries deliver.Options
	alerts     alert.Options
	version    string

	leastIndexed int64 // bytes of lines of the smallest segment that gets an index; if 0, the default of package index

	panics bool // whether a panic of a task ends the process, instead of restarting the task
}

// node has the parts of a running node.
type node struct {
	config     config.Config
	tuning     tuning
	log        *slog.Logger
	bucket     bucket.Store
	sealed     *seal.Bucket // the same bucket, for objects that are sealed: documents, intents, cursors
	box        seal.Box     // encrypts the secrets that projects give to the nodes
	egress     *egress.Policy
	rules      *alert.Store // of alerts
	alerts     *alert.Engine
	accounts   *account.Directory
	deliveries *setup.Deliveries
	deliverer  *deliver.Engine
	sources    *source.Directory
	auth       *auth.Authenticator
	logs       *tlog.Logs
	writers    []*wal.Writer
	sequencers *sequence.Group
	member     *lease.Member // of those that do background work; nil if the node is alone, or lacks that role
	recorder   *record.Recorder
	registry   *prometheus.Registry
	origin     string // of the logs' checkpoints
	keys       *proof.Keys
	secretID   string // name of the nodes' secret
	witnesses  []witness.Witness
	askers     []*witness.Asker // one for each witness
	most       int              // limit of connections
}

// open opens the bucket and everything that uses it.
func open(ctx context.Context, c config.Config, t tuning, log *slog.Logger) (*node, error) {
	if err := errors.Join(c.Check(), c.SecretsNamed(), certified(&c)); err != nil {
		return nil, err
	}
	registry := prometheus.NewRegistry()
	options := StoreOptions(c.S3)
	if c.OnS3() {
		options.Observe = countRequests(registry)
	}
	if err := mustExist(&c); err != nil {
		return nil, err
	}
	b, err := location.Open(ctx, c.Bucket, options)
	if err != nil {
		return nil, err
	}
	if mode, open := folder.OpenToOthers(c.Bucket); open && !c.OnS3() {
		log.Warn("the bucket's folder is open to others: run chmod 700", "folder", c.Bucket,
			"mode", fmt.Sprintf("%04o", mode))
	}
	if c.OnS3() {
		if b, err = cacheFor(b, c, log, registry); err != nil {
			return nil, err
		}
	}
	return openOn(ctx, b, c, t, log, registry)
}

// mustExist refuses a folder that does not exist, since its name may be mistyped, unless --dev will create it.
func mustExist(c *config.Config) error {
	if c.Dev || c.OnS3() {
		return nil
	}
	if _, err := os.Stat(c.Bucket); errors.Is(err, fs.ErrNotExist) {
		return c.Invalid("bucket", fmt.Sprintf("the folder %s does not exist: run \"weir init --bucket %s\" first "+
			"(or \"weir serve --dev\" for a first try)", c.Bucket, c.Bucket))
	}
	return nil
}

// openOn opens a node on a bucket. close closes the bucket.
func openOn(ctx context.Context, b bucket.Store, c config.Config, t tuning, log *slog.Logger,
	registry *prometheus.Registry) (*node, error) {
	n := &node{config: c, tuning: t, log: log, bucket: b, registry: registry}
	if err := n.start(ctx); err != nil {
		b.Close()
		return nil, err
	}
	return n, nil
}

func (n *node) start(ctx context.Context) (err error) {
	if n.most, err = connectionsFor(&n.config, openFiles()); err != nil {
		return err
	}
	if err := backup.Check(ctx, n.bucket); err != nil {
		return err
	}
	settings, err := n.settings(ctx)
	if err != nil {
		return err
	}
	n.origin = settings.Origin
	found, err := n.secrets(ctx, settings)
	if err != nil {
		return err
	}
	if found.made != "" {
		n.log.Info("made a key that signs the logs; back it up, apart from the bucket", "file", found.made)
	}
	n.keys, n.secretID = found.keys, found.secret.ID()
	n.sealed, n.box = seal.NewBucket(n.bucket, found.seals()), seal.NewBox(found.secret[:])
	n.egress = egress.New(n.config.Egress())
	n.accounts, n.rules = account.NewDirectory(n.sealed), alert.NewStore(n.sealed)
	n.sources = source.NewDirectory(n.sealed, n.box)
	if err := n.confirm(ctx, settings); err != nil {
		return err
	}
	people, err := peopleOf(&n.config)
	if err != nil {
		return err
	}
	n.auth = auth.New(n.bucket, n.accounts, found.secret, auth.Options{FailuresPerMinute: n.config.AuthFailures,
		TokenLife: n.config.TokenLifetime, People: people})
	if err := n.parseWitnesses(); err != nil {
		return err
	}
	reader := wal.NewReader(n.bucket, found.seals(), walCache)
	n.nameForged(reader)
	logs := n.tuning.logs
	logs.Shards, logs.CacheBytes, logs.Keys, logs.Origin = settings.Shards, logCache, n.keys, n.origin
	logs.Witnesses = n.verifiers()
	logs.Beside = append(slices.Clip(logs.Beside), index.Kind{Least: n.tuning.leastIndexed})
	n.logs = tlog.NewLogs(n.bucket, reader, logs)
	n.makeAskers()
	pace := n.pace()
	n.sequencers = sequence.NewGroup(n.bucket, reader, n.logs, settings.Shards, n.join(settings.Shards))
	for shard := range settings.Shards {
		n.writers = append(n.writers, wal.NewPacedWriter(n.bucket, reader, shard, pace,
			n.sequencers.Shard(shard).Notify))
	}
	n.recorder = record.New(n.sealed, n.logs, n.writers, record.Options{
		MemoryBytes: n.config.MaxMemoryBytes, WaitingBytes: n.config.MaxWaitingBytes, Waiting: n.sequencers.Waiting})
	n.makeDeliverer()
	n.registry.MustRegister(collectors.NewGoCollector(),
		collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}),
		prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: "weir_wal_waiting_bytes",
			Help: "Bytes of write-ahead log that wait to be sequenced."},
			func() float64 { return float64(n.sequencers.Waiting()) }))
	return n.newAlerts()
}

// nameForged logs and counts the parts of the write-ahead log that do not verify.
func (n *node) nameForged(reader *wal.Reader) {
	found := prometheus.NewCounter(prometheus.CounterOpts{Name: "weir_wal_forged_total",
		Help: "Parts of the write-ahead log that were found damaged, or that no node has written."})
	n.registry.MustRegister(found)
	reader.OnForged(func(object string, err error) {
		found.Inc()
		n.log.Error("a part of the write-ahead log does not verify and is not used", "object", object, "err", err)
	})
}

func (n *node) parseWitnesses() error {
	for _, text := range n.config.Witnesses {
		w, err := witness.Parse(text)
		if err != nil {
			return n.config.Invalid("witness", err.Error())
		}
		n.witnesses = append(n.witnesses, w)
	}
	return nil
}

func (n *node) verifiers() []note.Verifier {
	var all []note.Verifier
	for _, w := range n.witnesses {
		all = append(all, w.Verifier)
	}
	return all
}

// committed tells the witnesses, the deliveries and the rules of alerts that a log has a new checkpoint, and so new
// entries.
func (n *node) committed(log string) {
	for _, a := range n.askers {
		a.Committed(log)
	}
	n.deliverer.Committed(log)
	n.alerts.Committed(log)
}

// makeDeliverer creates the sender of deliveries.
func (n *node) makeDeliverer() {
	n.deliveries = setup.New(setup.Parts{Bucket: n.sealed, Accounts: n.accounts, Logs: n.logs, Recorder: n.recorder,
		Box: n.box, Egress: n.egress})
	o := n.tuning.deliveries
	o.Bucket, o.Logs, o.Logger, o.Registerer, o.Types = n.sealed, n.logs, n.log, n.registry, places.Types()
	o.Mine = func(log string) bool { return n.holds(wal.ShardOf(log, len(n.writers))) }
	if o.Source == nil {
		o.Source = n.deliveries
	}
	n.deliverer = deliver.New(o)
}

// makeAskers creates one asker for each witness.
func (n *node) makeAskers() {
	if len(n.witnesses) == 0 {
		return
	}
	asked := prometheus.NewCounterVec(prometheus.CounterOpts{Name: "weir_witness_requests_total",
		Help: "Checkpoints that witnesses were asked to cosign."}, []string{"witness", "result"})
	n.registry.MustRegister(asked)
	for _, w := range n.witnesses {
		n.askers = append(n.askers, witness.New(w, n.logs, witness.Options{Logger: n.log,
			Counted: func(name, result string) { asked.WithLabelValues(name, result).Inc() }}))
	}
}

// settings returns the bucket's settings. If --dev will fill the bucket, they are the future ones, without a creation
// time.
func (n *node) settings(ctx context.Context) (account.Settings, error) {
	settings, err := claimedSettings(ctx, n.bucket)
	switch {
	case errors.Is(err, account.ErrNotFound) && n.config.Dev:
		return account.Settings{Shards: n.config.BucketShards(), Origin: account.NewOrigin()}, nil // see prepareDev
	case errors.Is(err, account.ErrNotFound):
		return settings, n.config.Invalid("bucket", fmt.Sprintf("the bucket %s is empty: run \"weir init --bucket %s\" "+
			"first (or \"weir serve --dev\" for a first try)", n.config.Bucket, n.config.Bucket))
	case err == nil && n.config.Shards != 0 && n.config.Shards != settings.Shards:
		return settings, n.config.Invalid("shards",
			fmt.Sprintf("is %d, but the bucket was filled with %d, which cannot change: leave it out",
				n.config.Shards, settings.Shards))
	}
	return settings, err
}

// confirm returns an error unless nodes with the secret wrote these settings. Before that, they are only a claim of
// anybody who can write the bucket.
func (n *node) confirm(ctx context.Context, claimed account.Settings) error {
	if claimed.Created.IsZero() {
		return nil // see prepareDev
	}
	written, err := n.accounts.Settings(ctx)
	if err == nil && written != claimed {
		err = errors.New("the bucket's settings changed while they were read: start again")
	}
	return err
}

// secrets returns the secrets of the node. It creates new ones only for an empty bucket.
func (n *node) secrets(ctx context.Context, settings account.Settings) (secrets, error) {
	if settings.Created.IsZero() {
		return newSecrets(ctx, &n.config, n.bucket)
	}
	return knownSecrets(ctx, &n.config, n.bucket, settings.Origin, settings.Secret)
}

// pace returns the limiter with which the writers of all shards bound the number of their objects.
func (n *node) pace() *rate.Limiter {
	if n.config.OnS3() {
		return rate.NewLimiter(rate.Every(n.config.WALInterval), 1)
	}
	return rate.NewLimiter(rate.Inf, 1)
}

// close stops writing and closes the bucket.
func (n *node) close() error {
	for _, w := range n.writers {
		w.Close()
	}
	return n.bucket.Close()
}

// Serve runs a node until ctx ends, and then waits for requests in progress, as long as the configuration says. It
// writes the instructions of --dev to out. version is the version of the program, for logs and other nodes.
func Serve(ctx context.Context, c config.Config, version string, out io.Writer) error {
	log, err := newLogger(c)
	if err != nil {
		return err
	}
	log.Info("starting", "version", version, "bucket", c.Bucket, "roles", c.Roles.String())
	n, err := open(ctx, c, tuning{version: version}, log)
	if err != nil {
		return err
	}
	return errors.Join(n.serve(ctx, out), n.close())
}

func (n *node) serve(ctx context.Context, out io.Writer) error {
	var l, admin net.Listener
	var err error
	if n.config.Roles.API() {
		l, err = new(net.ListenConfig).Listen(ctx, "tcp", n.config.Listen)
		if err != nil {
			return fmt.Errorf("listen (--listen): %w", err)
		}
		defer l.Close()
	}
	if n.config.AdminListen != "" {
		admin, err = new(net.ListenConfig).Listen(ctx, "tcp", n.config.AdminListen)
		if errors.Is(err, syscall.EADDRINUSE) && n.config.AdminListen == config.Default().AdminListen {
			n.log.Warn("the address of --admin-listen is in use; a free port is used instead", "address",
				n.config.AdminListen)
			// A second node must not need a flag to start.
			admin, err = new(net.ListenConfig).Listen(ctx, "tcp", "127.0.0.1:0")
		}
		if err != nil {
			return fmt.Errorf("listen (--admin-listen): %w", err)
		}
		defer admin.Close()
	}
	defer n.background(ctx)()
	if n.config.Dev {
		if err := n.prepareDev(ctx, n.url(l), out); err != nil {
			return err
		}
	}
	return n.answer(ctx, l, admin)
}

// root returns the handler of everything that the node serves to clients.
func (n *node) root(s *api.Server) http.Handler {
	mux := http.NewServeMux()
	mux.Handle(api.Prefix, s)
	mux.Handle("/", s.NotFound())
	if n.hasPage() {
		page := s.WithinBodyTime(web.New(s, providerName(n.config.OIDC.Issuer)))
		mux.Handle("/{$}", page)
		mux.Handle("/web/", page)
	}
	return s.CleanPaths(mux)
}

// hasPage tells whether the node serves the web page.
func (n *node) hasPage() bool { return n.config.Roles.Read && !n.config.NoWeb }

// answer serves HTTP until ctx ends or a server fails, then stops in order.
func (n *node) answer(ctx context.Context, l, admin net.Listener) error {
	handler := api.New(n.accounts, n.auth, n.logs, n.recorder, api.Options{
		MaxEventBytes: int(n.config.MaxEventBytes), MaxRequestBytes: n.config.MaxRequestBytes,
		MaxRequestEvents: n.config.MaxRequestEvents,
		DownloadRate:     n.config.DownloadRate, BodyTimeout: n.config.BodyTimeout,
		TrustedProxies: n.config.TrustedProxies,
		PublicURL:      strings.TrimSuffix(n.config.PublicURL, "/"), Logger: n.log, Registry: n.registry,
		Roles: n.config.Roles, Alerts: n.rules, Box: n.box,
		Sources:    n.sources,
		Deliveries: n.deliveries,
	})
	server := n.server(n.root(handler))
	server.RegisterOnShutdown(handler.Stop)
	wrapped, err := n.wrap(l, server)
	if err != nil {
		return err
	}
	failed := make(chan error, 2)
	var serving sync.WaitGroup
	run := func(s *http.Server, l net.Listener) {
		if err := s.Serve(l); !errors.Is(err, http.ErrServerClosed) {
			failed <- err
		}
	}
	if wrapped != nil {
		serving.Go(func() { run(server, wrapped) })
		n.log.Info("serving", "url", n.url(l), "bucket", n.config.Bucket, "roles", n.config.Roles.String())
	}
	adminServer := n.adminServer()
	if admin != nil {
		bounded := n.bound(admin, adminServer, adminConnections, "admin")
		serving.Go(func() { run(adminServer, bounded) })
		n.log.Info("metrics and health", "address", admin.Addr().String())
	}
	select {
	case err = <-failed:
	case <-ctx.Done():
		n.log.Info("stopping; running requests may finish", "for", n.config.Drain)
	}
	drain, cancel := context.WithTimeout(context.WithoutCancel(ctx), n.config.Drain)
	defer cancel()
	if server.Shutdown(drain) != nil {
		err = errors.Join(err, errors.New("requests were still running after --drain and were cut short"),
			server.Close())
	}
	err = errors.Join(err, adminServer.Close())
	serving.Wait()
	handler.Wait()
	return err
}
