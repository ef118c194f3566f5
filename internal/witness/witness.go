// Package witness asks witnesses (https://c2sp.org/tlog-witness) to cosign the checkpoints of logs. A witness signs a
// checkpoint only if the log extends what the witness signed before. So a verifier that trusts a witness need not have
// watched the log.
//
// Nothing waits for a witness. If one fails or hangs, that is logged, and it is asked again later.
package witness

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"sync"
	"time"

	"filippo.io/torchwood"
	"github.com/maypok86/otter/v2"
	"golang.org/x/mod/sumdb/note"
	modtlog "golang.org/x/mod/sumdb/tlog"

	"github.com/weirlog/weir/internal/failures"
	"github.com/weirlog/weir/internal/retry"
	"github.com/weirlog/weir/internal/tlog"
)

// Witness is the key and the address of a witness.
type Witness struct {
	URL      string // base of the path add-checkpoint
	Verifier note.Verifier
}

// Parse parses "<verifier key> <URL>".
func Parse(text string) (Witness, error) {
	key, at, _ := strings.Cut(strings.TrimSpace(text), " ")
	v, err := torchwood.NewCosignatureVerifier(key)
	if err != nil {
		return Witness{}, fmt.Errorf("witness %q: want \"<verifier key> <URL>\", the key as "+
			"https://c2sp.org/tlog-cosignature says: %w", text, err)
	}
	u, err := url.Parse(strings.TrimSpace(at))
	if err != nil || u.Host == "" || u.Scheme != "https" && u.Scheme != "http" {
		return Witness{}, fmt.Errorf("witness %q: %q is not the URL of a server", text, at)
	}
	return Witness{strings.TrimRight(u.String(), "/"), v}, nil
}

// Log is the interface to the logs. *tlog.Logs implements it.
type Log interface {
	Head(ctx context.Context, log string) (tlog.Head, error)
	ProveSince(ctx context.Context, log string, from, to int64) (modtlog.TreeProof, error)
	KeepCosignature(ctx context.Context, log string, size int64, line string) error
}

// Options configures an Asker. The zero value of each field means its default.
type Options struct {
	Timeout time.Duration // of a request (default 10 s)
	// Pause is the pause after a failure, unless the witness asks for another (default 10 s). It doubles with each
	// further failure, up to 64 times that.
	Pause   time.Duration
	Logger  *slog.Logger // default slog.Default()
	Counted func(witness, result string)
}

// Asker asks one witness.
type Asker struct {
	witness Witness
	logs    Log
	options Options
	http    *http.Client
	// the size that the witness signed last, by log; it may be wrong, and then the witness says so
	signed *otter.Cache[string, int64]

	told failures.Once // why it has not cosigned, by log

	mu   sync.Mutex
	due  map[string]bool // logs with new checkpoints
	wake chan struct{}
}

// maxDue bounds the logs in due. Other logs are asked for at their next checkpoint.
const maxDue = 100_000

// New returns an Asker. The caller must call Run.
func New(w Witness, logs Log, o Options) *Asker {
	if o.Timeout == 0 {
		o.Timeout = 10 * time.Second
	}
	if o.Pause == 0 {
		o.Pause = 10 * time.Second
	}
	if o.Logger == nil {
		o.Logger = slog.Default()
	}
	if o.Counted == nil {
		o.Counted = func(string, string) {}
	}
	return &Asker{witness: w, logs: logs, options: o, http: &http.Client{Timeout: o.Timeout},
		signed: otter.Must(&otter.Options[string, int64]{MaximumSize: maxDue}), due: map[string]bool{},
		wake: make(chan struct{}, 1)}
}

// Name returns the name of the witness.
func (a *Asker) Name() string { return a.witness.Verifier.Name() }

// Committed reports that a log has a new checkpoint. It never waits.
func (a *Asker) Committed(log string) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if len(a.due) >= maxDue {
		return
	}
	a.due[log] = true
	select {
	case a.wake <- struct{}{}:
	default:
	}
}

// next returns a log that is due, and removes it from due.
func (a *Asker) next() (string, bool) {
	a.mu.Lock()
	defer a.mu.Unlock()
	for log := range a.due {
		delete(a.due, log)
		return log, true
	}
	return "", false
}

// Run asks for one log after another until ctx ends.
func (a *Asker) Run(ctx context.Context) {
	pauses := retry.Policy{First: a.options.Pause, Longest: 64 * a.options.Pause}.Pauses()
	for {
		log, ok := a.next()
		if !ok {
			select {
			case <-ctx.Done():
				return
			case <-a.wake:
			}
			continue
		}
		err := a.ask(ctx, log)
		if ctx.Err() != nil {
			return
		}
		a.count(err)
		if a.told.Tell(log, err) {
			a.options.Logger.Warn("a witness has not cosigned", "witness", a.witness.Verifier.Name(), "log",
				log, "err", err)
		}
		if err == nil {
			pauses.Reset()
			continue
		}
		if errors.Is(err, errRefused) {
			continue // the next checkpoint may succeed
		}
		a.Committed(log)
		if !retry.Wait(ctx, pauses.Next(err)) {
			return
		}
	}
}

func (a *Asker) count(err error) {
	result := "cosigned"
	switch {
	case errors.Is(err, errRefused):
		result = "refused"
	case err != nil:
		result = "failed"
	}
	a.options.Counted(a.witness.Verifier.Name(), result)
}

// errRefused is returned (wrapped) if asking again for the same checkpoint cannot succeed.
var errRefused = errors.New("the witness refuses")

// ask asks the witness to cosign the newest checkpoint of a log.
func (a *Asker) ask(ctx context.Context, log string) error {
	ctx, cancel := context.WithTimeout(ctx, 3*a.options.Timeout)
	defer cancel()
	h, err := a.logs.Head(ctx, log)
	if errors.Is(err, tlog.ErrBeyond) || err == nil && h.Size == 0 {
		return nil
	}
	if err != nil {
		return err
	}
	checkpoint := h.Signed()
	old, _ := a.signed.GetIfPresent(log)
	for range 2 { // the second time with the size that the witness says
		if old > h.Size {
			return fmt.Errorf("%w: it has signed a tree of %d entries of log %s, which has %d: was the log put back "+
				"to an earlier state?", errRefused, old, log, h.Size)
		}
		if old == h.Size && old > 0 && h.CosignedBy(a.witness.Verifier) {
			return nil
		}
		lines, conflict, err := a.add(ctx, log, old, h.Size, checkpoint)
		if err != nil {
			return err
		}
		if conflict >= 0 {
			old = conflict
			continue
		}
		a.signed.Set(log, h.Size)
		return a.keep(ctx, log, h.Size, checkpoint, lines)
	}
	return errors.New("the witness names another size each time it is asked")
}

// maxReply bounds how much of a reply is read, in bytes.
const maxReply = 16 << 10

// add asks the witness to cosign a checkpoint that extends the tree of size old, which it signed last. It returns the
// lines of the reply. If the witness says that it signed another size last, conflict is that size, and otherwise -1.
func (a *Asker) add(ctx context.Context, log string, old, size int64, checkpoint string) (lines string, conflict int64,
	err error) {
	var body bytes.Buffer
	fmt.Fprintf(&body, "old %d\n", old)
	if old > 0 {
		p, err := a.logs.ProveSince(ctx, log, old, size)
		if err != nil {
			return "", -1, err
		}
		for _, hash := range p {
			fmt.Fprintf(&body, "%s\n", hash)
		}
	}
	fmt.Fprintf(&body, "\n%s", checkpoint)
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, a.witness.URL+"/add-checkpoint", &body)
	if err != nil {
		return "", -1, err
	}
	resp, err := a.http.Do(req)
	if err != nil {
		return "", -1, err
	}
	defer resp.Body.Close()
	reply, err := io.ReadAll(io.LimitReader(resp.Body, maxReply))
	if err != nil {
		return "", -1, err
	}
	switch {
	case resp.StatusCode == http.StatusOK:
		return string(reply), -1, nil
	case resp.StatusCode == http.StatusConflict:
		conflict, err := parseSize(reply)
		return "", conflict, err
	case resp.StatusCode >= 500 || resp.StatusCode == http.StatusTooManyRequests:
		return "", -1, retry.After(fmt.Errorf("it replies %d: %.200q", resp.StatusCode, reply),
			retry.Asked(resp.Header))
	}
	return "", -1, fmt.Errorf("%w: it replies %d: %.200q", errRefused, resp.StatusCode, reply)
}

// parseSize parses the size in a reply with status 409.
func parseSize(reply []byte) (int64, error) {
	size, err := strconv.ParseInt(strings.TrimSpace(string(reply)), 10, 64)
	if err != nil || size < 0 {
		return -1, fmt.Errorf("%w: it replies 409, but %.40q is not a size", errRefused, reply)
	}
	return size, nil
}

// keep stores the line of the reply that is this witness's cosignature.
func (a *Asker) keep(ctx context.Context, log string, size int64, checkpoint, reply string) error {
	for line := range strings.Lines(reply) {
		if tlog.IsCosignature(checkpoint, line, a.witness.Verifier) {
			return a.logs.KeepCosignature(ctx, log, size, line)
		}
	}
	return fmt.Errorf("%w: its reply is not its cosignature: %.200q", errRefused, reply)
}
