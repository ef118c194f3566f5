//go:build browser

package node

import (
	"cmp"
	"encoding/json"
	"fmt"
	"net/url"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/chromedp/kb"

	"github.com/weirlog/weir/client"
	"github.com/weirlog/weir/internal/query"
)

// handed opens the page for a question, and returns what "Export" gives there, by its heading.
func (b *tab) handed(question url.Values) map[string]string {
	b.t.Helper()
	b.open("/?" + question.Encode())
	b.settled()
	b.click(`.bar button:last-child`)
	b.until(`document.querySelectorAll('dialog[open] .command pre').length === 3`)
	said := make(map[string]string)
	got := b.value(`JSON.stringify(Object.fromEntries([...document.querySelectorAll('dialog .command')].map((e) => {
		let h = e.previousElementSibling;
		while (h.tagName !== 'H3') h = h.previousElementSibling;
		return [h.textContent, e.querySelector('pre').textContent]; })))`)
	if err := json.Unmarshal([]byte(got), &said); err != nil {
		b.t.Fatal(err)
	}
	return said
}

// shell runs a command line as a shell does, and returns what it prints.
func shell(t *testing.T, line string, environment ...string) string {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), "sh", "-c", line)
	cmd.Env = append(cmd.Environ(), environment...)
	var failed strings.Builder
	cmd.Stderr = &failed
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("%s: %v: %s", line, err, failed.String())
	}
	return string(out)
}

// moment returns when a time begins and ends that the page takes.
func moment(t *testing.T, text string, now time.Time) (from, to time.Time) {
	t.Helper()
	if n, err := strconv.ParseInt(text, 10, 64); err == nil {
		return time.Unix(n, 0), time.Unix(n+1, 0)
	}
	from, to, ok := query.ParseTime(text, now)
	if !ok {
		t.Fatalf("%s is no time", text)
	}
	return from, to
}

// Whatever the page takes as a range, the command that it hands over is about the same instants.
func TestBrowserHandsOverTheSameInstants(t *testing.T) {
	b := openTab(t)
	b.arrive()
	for _, of := range [][2]string{{"now-15m", ""}, {"now-2w", ""}, {"now-90d", "now-1h"}, {"now/d", ""},
		{"now-1w/w", "now-1w/w"}, {"2026-11", "2026-11"}, {"2026-W48", "2026-W48"}, {"2026-11-01", "2026-11-01"},
		{"2026-11-01T10", "2026-11-01T10"},
		{"2026-11-01T10:30", "2026-11-01T10:30"}, {"2026-11-01T10:30+02:00", ""}, {"1786331570", "1786331571"},
		{"2026-11-01T10:30:05.123Z", "2026-11-01T10:30:07.456Z"}} {
		now := time.Now()
		question := url.Values{"from": {of[0]}, "q": {`who:a or -what:"b 'c'"`}}
		if of[1] != "" {
			question.Set("to", of[1])
		}
		said := b.handed(question)
		args := strings.Split(shell(t, `printf '%s\n' `+said["weir search"]), "\n")
		flag := func(name string) string {
			for i, arg := range args {
				if arg == name {
					return args[i+1]
				}
			}
			t.Fatalf("%v: no %s in %q", of, name, args)
			return ""
		}
		start, err := client.ParseTime(flag("--start"), now)
		if err != nil {
			t.Errorf("%v: %v", of, err)
			continue
		}
		end, err := client.ParseEnd(flag("--end"), now)
		if err != nil {
			t.Errorf("%v: %v", of, err)
			continue
		}
		// The query narrows the range of whole seconds to the millisecond.
		from, to := time.Unix(start, 0), time.Unix(end+1, 0)
		asked, err := query.Parse(flag("--"))
		if err != nil {
			t.Fatal(err)
		}
		for term := range asked.Terms() {
			if c, ok := term.Match.(query.Comparison); ok && term.Field == "time" {
				first, behind := c.Time.Interval()
				switch c.Op {
				case query.GreaterOrEqual:
					from = first
				case query.LessOrEqual:
					to = behind
				}
			}
		}
		link, err := url.Parse(said["Link"])
		if err != nil {
			t.Fatal(err)
		}
		for i, name := range []string{"from", "to"} {
			want, err := time.Parse(time.RFC3339, link.Query().Get(name))
			got := []time.Time{from, to.Add(-time.Millisecond)}[i]
			if err != nil || !got.Equal(want) {
				t.Errorf("%v: the command has %s %v, and the page %v, %v", of, name, got, want, err)
			}
			first, behind := moment(t, cmp.Or(of[i], "now"), now)
			meant := []time.Time{first, behind.Add(-time.Millisecond)}[i]
			if got.Sub(meant).Abs() > patience { // since now
				t.Errorf("%v: the command has %s %v, not %v", of, name, got, meant)
			}
		}
	}
}

// What "Export" gives to copy prints, run as it is, the events that the page counts, the oldest first.
func TestBrowserHandsOverWhatItShows(t *testing.T) {
	b := openTab(t)
	const n, first, last = 250, 7, 230
	base := time.Now().Add(-time.Hour).Truncate(time.Second)
	at := func(i int) time.Time { return base.Add(time.Duration(10*i) * time.Millisecond) }
	text := func(i int) []string { return []string{at(i).UTC().Format("2006-01-02T15:04:05.000Z")} }
	var lines strings.Builder
	for i := range n {
		fmt.Fprintf(&lines, `{"time":%d,"actor":{"user":{"name":"hand o'neil %03d"}}}`+"\n",
			at(i).UnixMilli(), i)
	}
	b.record(lines.String())
	b.arrive()
	said := b.handed(url.Values{"q": {`who:"hand o'neil" or -who:*`}, "from": text(first), "to": text(last)})
	b.shot("hand-commands")
	want := fmt.Sprintf("All %d events", last-first+1)
	if got := b.value(`document.querySelector('dialog p').textContent`); !strings.HasPrefix(got, want) {
		t.Errorf("the page says %q, want %s", got, want)
	}
	creds := b.node.creds
	note := b.value(`[...document.querySelectorAll('dialog p')].map((e) => e.textContent).find((s) =>
		s.includes('$TOKEN'))`)
	command := regexp.MustCompile(`curl .*`).FindString(note)
	reply := shell(t, strings.Replace(command, "CLIENT_ID:CLIENT_SECRET", creds.clientID+":"+creds.clientSecret, 1))
	var token struct {
		Text string `json:"access_token"`
	}
	if err := json.Unmarshal([]byte(reply), &token); err != nil {
		t.Fatalf("%s: %v", reply, err)
	}
	weir := filepath.Join(t.TempDir(), "weir")
	if out, err := exec.Command("go", "build", "-o", weir, "../../cmd/weir").CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	table := shell(t, strings.Replace(said["weir search"], "weir", weir, 1), "WEIR_URL="+creds.url,
		"MONGODB_ATLAS_PUBLIC_API_KEY="+creds.publicKey, "MONGODB_ATLAS_PRIVATE_API_KEY="+creds.privateKey)
	_, table, _ = strings.Cut(table, "\n") // without its head
	for name, out := range map[string]string{"curl": shell(t, said["curl"], "TOKEN="+token.Text), "weir search": table} {
		found := strings.Split(strings.TrimSpace(out), "\n")
		if len(found) != last-first+1 {
			t.Errorf("%s prints %d events, want %d", name, len(found), last-first+1)
		}
		for i, line := range found {
			if !strings.Contains(line, fmt.Sprintf("o'neil %03d", first+i)) {
				t.Fatalf("%s: line %d is %s", name, i, line)
			}
		}
	}
	b.press(kb.Escape)
}
