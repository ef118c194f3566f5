package watch

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/weirlog/weir/internal/retry"
)

// Kind is what is wrong with a log.
type Kind string

const (
	Forked      Kind = "forked"      // two signed checkpoints of it exclude each other: its past was rewritten
	Shrunk      Kind = "shrunk"      // it has fewer entries than it had
	Signature   Kind = "signature"   // no trusted key signed its checkpoint, or that is of another log
	Damaged     Kind = "damaged"     // its tiles are not those of its checkpoint
	Stalled     Kind = "stalled"     // it has not grown for long
	Unreachable Kind = "unreachable" // nothing can be told
)

func (k Kind) known() bool {
	return slices.Contains([]Kind{Forked, Shrunk, Signature, Damaged, Stalled, Unreachable}, k)
}

// Problem is what is reported of a log, when it begins and when it ends.
type Problem struct {
	Log         string    `json:"log"` // its name
	Origin      string    `json:"origin,omitempty"`
	Kind        Kind      `json:"problem"`
	Detail      string    `json:"detail"`
	Checkpoints []string  `json:"checkpoints,omitempty"` // signed: the one that was kept, then the one that is wrong
	Time        time.Time `json:"time"`
	Ended       bool      `json:"ended,omitempty"` // it is over
}

// What a server says without a trusted signature is reported only as far, in bytes.
const maxUnsigned = 4096

func newProblem(name string, l *Log, f finding, now time.Time) *Problem {
	if f.kind == Signature {
		f.signed = f.signed[:min(len(f.signed), maxUnsigned)]
	}
	p := &Problem{Log: name, Origin: l.Origin, Kind: f.kind, Time: now,
		Detail: strings.ToValidUTF8(f.detail[:min(len(f.detail), maxUnsigned)], "?")}
	for _, signed := range []string{l.Checkpoint, strings.ToValidUTF8(f.signed, "?")} {
		if signed != "" {
			p.Checkpoints = append(p.Checkpoints, signed)
		}
	}
	return p
}

// A webhook is tried so often, each time so long. All that a round has to report takes no longer than webhookMost.
const (
	webhookTries   = 4
	webhookTimeout = 10 * time.Second
	webhookMost    = time.Minute
)

// webhook is how a problem is sent again. A webhook that asks for more time than there is gets nothing more.
var webhook = retry.Policy{First: time.Second, Tries: webhookTries, Within: webhookMost}

// post sends a problem to the webhook.
func (w *Watcher) post(ctx context.Context, p *Problem) error {
	body, err := json.Marshal(p)
	if err != nil {
		return err
	}
	return webhook.Do(ctx, func() error { return w.postOnce(ctx, body) })
}

func (w *Watcher) postOnce(ctx context.Context, body []byte) error {
	ctx, cancel := context.WithTimeout(ctx, webhookTimeout)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, w.options.Webhook, bytes.NewReader(body))
	if err != nil {
		return err
	}
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("User-Agent", w.options.UserAgent)
	resp, err := w.options.HTTP.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	io.Copy(io.Discard, io.LimitReader(resp.Body, 1<<16)) // so that the connection can be used again
	if resp.StatusCode >= 300 {
		return retry.After(fmt.Errorf("it answers %s", resp.Status), retry.Asked(resp.Header))
	}
	return nil
}
