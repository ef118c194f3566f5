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

// Kind is the kind of a problem of a log.
type Kind string

const (
	Forked      Kind = "forked"      // two signed checkpoints contradict each other: its past was rewritten
	Shrunk      Kind = "shrunk"      // it has fewer entries than before
	Signature   Kind = "signature"   // no trusted key signed its checkpoint, or the checkpoint is of another log
	Damaged     Kind = "damaged"     // its tiles do not match its checkpoint
	Stalled     Kind = "stalled"     // it has not grown for a long time
	Unreachable Kind = "unreachable" // nothing is known
)

func (k Kind) known() bool {
	return slices.Contains([]Kind{Forked, Shrunk, Signature, Damaged, Stalled, Unreachable}, k)
}

// Problem is a report about a log, sent when a problem begins and when it ends.
type Problem struct {
	Log         string    `json:"log"` // name of the log
	Origin      string    `json:"origin,omitempty"`
	Kind        Kind      `json:"problem"`
	Detail      string    `json:"detail"`
	Checkpoints []string  `json:"checkpoints,omitempty"` // signed: the kept one, then the bad one
	Time        time.Time `json:"time"`
	Ended       bool      `json:"ended,omitempty"` // whether the problem has ended
}

// maxUnsigned bounds how much is reported of a reply without a trusted signature, in bytes.
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

// webhookTries is the number of tries of a webhook. webhookMost bounds the time for all reports of a round.
const (
	webhookTries   = 4
	webhookTimeout = 10 * time.Second
	webhookMost    = time.Minute
)

// webhook is the retry policy. If the webhook asks for a pause beyond webhookMost, there is no further try.
var webhook = retry.Policy{First: time.Second, Tries: webhookTries, Within: webhookMost}

// post sends a problem to the webhook, with retries.
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
	io.Copy(io.Discard, io.LimitReader(resp.Body, 1<<16)) // so that the connection can be reused
	if resp.StatusCode >= 300 {
		return retry.After(fmt.Errorf("it answers %s", resp.Status), retry.Asked(resp.Header))
	}
	return nil
}
