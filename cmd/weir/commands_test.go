package main

import (
	"bytes"
	"compress/gzip"
	"encoding/json"
	"fmt"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"unicode"

	"github.com/spf13/cobra"

	"github.com/weirlog/weir/internal/bucket/bucketest"
	"github.com/weirlog/weir/internal/proof"
)

// commands yields all commands that can be run or have others below them, but for cobra's own.
func commands(root *cobra.Command) (all []*cobra.Command) {
	for _, cmd := range root.Commands() {
		if name := cmd.Name(); name != "help" && name != "completion" {
			all = append(append(all, cmd), commands(cmd)...)
		}
	}
	return all
}

// words splits an example as a shell does, up to the first pipe, redirection or next command.
func words(line string) (all []string) {
	word, quote, begun := "", rune(0), false
	for _, r := range line {
		switch {
		case r == quote:
			quote = 0
		case quote == 0 && (r == '"' || r == '\''):
			quote, begun = r, true
		case quote != 0:
			word += string(r)
		case strings.ContainsRune("|>&", r):
			return all
		case r == ' ':
			if begun {
				all = append(all, word)
			}
			word, begun = "", false
		default:
			word, begun = word+string(r), true
		}
	}
	return append(all, word)
}

func TestEveryCommandHasExamplesThatParse(t *testing.T) {
	for _, cmd := range append(commands(rootCommand()), rootCommand()) {
		if cmd.Example == "" {
			t.Errorf("%s has no example", cmd.CommandPath())
		}
		own := false
		for line := range strings.Lines(cmd.Example) {
			_, line, ok := strings.Cut(strings.TrimRight(line, "\n"), "weir ")
			if !ok {
				t.Errorf("%s: the example %q is of no command", cmd.CommandPath(), line)
				continue
			}
			found, rest, err := rootCommand().Find(words(line))
			if err == nil {
				own = own || strings.HasPrefix(found.CommandPath(), cmd.CommandPath())
				err = found.ParseFlags(rest)
			}
			if err == nil {
				err = found.ValidateArgs(found.Flags().Args())
			}
			if err != nil {
				t.Errorf("%s: the example %q: %v", cmd.CommandPath(), line, err)
			}
		}
		if !own && cmd.Example != "" {
			t.Errorf("%s: no example is of it", cmd.CommandPath())
		}
	}
}

const hostile = "\x1b]0;x\x07\x9b31m\u202e\u2066\u0085\r\x7f\u200f"

// hostileJSON is hostile text as JSON, which a client decodes to the text.
func hostileJSON() string {
	data, err := json.Marshal(strings.ToValidUTF8(hostile, "\u009b"))
	if err != nil {
		panic(err)
	}
	return string(data)
}

// harmless tells whether output cannot act on a terminal.
func harmless(output string) bool {
	return !strings.ContainsFunc(output, func(r rune) bool {
		return r != '\n' && r != '\t' && unicode.IsControl(r) || unicode.Is(unicode.Bidi_Control, r)
	})
}

// toServer makes a server what commands ask, and returns what runs a command.
func toServer(t *testing.T, handler http.HandlerFunc) func(args ...string) (code int, stdout, stderr string) {
	s := httptest.NewServer(handler)
	t.Cleanup(s.Close)
	for name, value := range map[string]string{"WEIR_URL": s.URL, "MONGODB_ATLAS_PROJECT_ID": "p",
		"MONGODB_ATLAS_ORG_ID": "o", "MONGODB_ATLAS_CLIENT_ID": "",
		"MONGODB_ATLAS_PUBLIC_API_KEY": "a", "MONGODB_ATLAS_PRIVATE_API_KEY": "b", "WEIR_VERIFIER_KEY": ""} {
		t.Setenv(name, value)
	}
	return func(args ...string) (int, string, string) {
		var stdout, stderr bytes.Buffer
		code := run(t.Context(), args, &stdout, &stderr)
		return code, stdout.String(), stderr.String()
	}
}

// Whatever a server replies, with success or an error, no command prints what acts on a terminal.
func TestNothingFromAServerActsOnATerminal(t *testing.T) {
	if testing.Short() {
		t.Skip("long work of one goroutine")
	}
	text := hostileJSON()
	object := fmt.Sprintf(`"id":%[1]s,"_id":%[1]s,"name":%[1]s,"desc":%[1]s,"roles":[%[1]s],"logId":%[1]s,`+
		`"kind":%[1]s,"clientId":%[1]s,"cidrBlock":%[1]s,"detail":%[1]s,"errorCode":%[1]s,%[1]s:%[1]s`, text)
	for _, status := range []int{200, 400, 500} {
		weir := toServer(t, func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("X-Request-Id", "r\u009b31m")
			w.Header().Set("Content-Disposition", `attachment; filename="`+"\u009b.gz"+`"`)
			w.Header().Set("Weir-Removed", "\u009b31m")
			w.WriteHeader(status)
			fmt.Fprintf(w, `{%s,"results":[{%s,"event":{"time":%s,"status":%s}}],"total":1,"startDate":%s,"endDate":%s,`+
				`"histogram":[{"start":%s,"count":1}],"facets":[{"field":%s,"values":[{"value":%s,"count":1}]}],`+
				`"badRequestDetail":{"fields":[{"field":"line 1","description":%s}]}}`,
				object, object, text, text, text, text, text, text, text, text)
		})
		file := filepath.Join(t.TempDir(), "events")
		if err := os.WriteFile(file, []byte("{}\n"), 0o600); err != nil {
			t.Fatal(err)
		}
		all := [][]string{{"record", "w", file, "--max-retry-time", "0s"}, {"record", "w", file, "--partial", "-o",
			"json", "--max-retry-time", "0s"},
			{"download", "w", "-o", filepath.Join(t.TempDir(), "x.gz"), "--max-retry-time", "0s"},
			{"download", hostile, "--max-retry-time", "0s"},
			{"search", "x", "--max-retry-time", "0s"}, {"search", "w", "x", "--max-retry-time", "0s"}, {"search", hostile},
			{"summary", "x", "--by", "who", "--max-retry-time", "0s"},
			{hostile}, {"admin", hostile}, {"verify", hostile, "--key", hostile}, {"download", "w", "--start", hostile}}
		for _, cmd := range commands(rootCommand()) {
			if cmd.HasSubCommands() || !strings.HasPrefix(cmd.CommandPath(), "weir admin ") {
				continue
			}
			args := words(strings.TrimPrefix(strings.TrimSpace(strings.Split(cmd.Example, "\n")[0]), "weir "))
			all = append(all, args, append(args[:len(args):len(args)], "-o", "json"))
		}
		for _, args := range all {
			code, stdout, stderr := weir(args...)
			if !harmless(stdout) || !harmless(stderr) {
				t.Errorf("status %d: %q prints %q, %q", status, args, stdout, stderr)
			}
			if status != 200 && code == 0 {
				t.Errorf("status %d: %q succeeds", status, args)
			}
		}
	}
}

// typed is a terminal with what somebody types.
type typed struct{ io.Reader }

func (typed) IsTerminal() bool { return true }

// Every command that deletes asks on a terminal, and only there.
func TestDeletionAsksOnATerminal(t *testing.T) {
	deleted := 0
	toServer(t, func(w http.ResponseWriter, r *http.Request) {
		if r.Method == http.MethodDelete {
			deleted++
		}
		io.WriteString(w, "{}")
	})
	tried := 0
	for _, cmd := range commands(rootCommand()) {
		if !strings.HasPrefix(cmd.Name(), "delete") {
			continue
		}
		tried++
		args := words(strings.TrimPrefix(strings.TrimSpace(strings.Split(cmd.Example, "\n")[0]), "weir "))
		for _, tt := range []struct {
			in   io.Reader
			more []string
			want int
		}{
			{typed{strings.NewReader("yes\n")}, nil, 1}, {typed{strings.NewReader("y\n")}, nil, 0},
			{typed{strings.NewReader("")}, nil, 0},
			{strings.NewReader(""), nil, 1}, {typed{strings.NewReader("")}, []string{"--force"}, 1},
		} {
			deleted = 0
			root := rootCommand()
			root.SetArgs(append(args[:len(args):len(args)], tt.more...))
			root.SetIn(tt.in)
			root.SetOut(io.Discard)
			root.SetErr(io.Discard)
			if err := root.ExecuteContext(t.Context()); deleted != tt.want || (err == nil) != (tt.want == 1) {
				t.Errorf("%q: %d deleted, want %d, %v", args, deleted, tt.want, err)
			}
		}
	}
	if tried < 6 {
		t.Errorf("only %d commands delete", tried)
	}
}

// Each command that asks the API trusts the authority that the flag or the environment names, and no unknown one. It
// says so at once, and what to do.
func TestCommandsTrustAPrivateAuthority(t *testing.T) {
	asked := false
	toServer(t, func(http.ResponseWriter, *http.Request) {})
	s := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		asked = true
		w.WriteHeader(http.StatusNotFound)
	}))
	s.Config.ErrorLog = log.New(io.Discard, "", 0) // of the handshakes that fail
	s.StartTLS()
	defer s.Close()
	t.Setenv("WEIR_URL", s.URL)
	dir := t.TempDir()
	file := func(name string, content []byte) string {
		name = filepath.Join(dir, name)
		if err := os.WriteFile(name, content, 0o600); err != nil {
			t.Fatal(err)
		}
		return name
	}
	ca := file("ca.pem", bucketest.PEM(s.Certificate()))
	key, err := proof.GenerateKey()
	if err != nil {
		t.Fatal(err)
	}
	public, id := file("log.pub", []byte(key.PublicText()+"\n")), "6a793f48c0eb9e7a17712f00"
	for _, args := range [][]string{
		{"admin", "workspace", "list"}, {"download", "w", "-o", filepath.Join(dir, "x.gz")},
		{"record", "w", file("events", []byte("{}\n"))}, {"verify", id, "--key", public},
		{"watch", id, "--once", "--key", public, "--state", filepath.Join(dir, "watch.json")},
		{"watch", "--url", s.URL + "/log", "--once", "--key", public, "--state", filepath.Join(dir, "public.json")},
	} {
		for _, tt := range []struct {
			flags []string
			env   string
			want  bool
		}{{nil, "", false}, {[]string{"--ca-file", ca}, "", true}, {nil, ca, true},
			{[]string{"--ca-file", ca}, "none", true}} {
			t.Setenv("WEIR_CA_FILE", tt.env)
			asked = false
			var stderr bytes.Buffer
			code := run(t.Context(), append(args[:len(args):len(args)], tt.flags...), io.Discard, &stderr)
			if asked != tt.want || code == 0 {
				t.Errorf("%q, %q in the environment: asked %t, status %d: %s", append(args, tt.flags...), tt.env, asked,
					code, &stderr)
			}
			if args[0] != "watch" && !tt.want && !strings.Contains(stderr.String(), "--ca-file") {
				t.Errorf("%q does not say what to do: %s", args, &stderr)
			}
		}
		t.Setenv("WEIR_CA_FILE", "")
		if code := run(t.Context(), append(args[:len(args):len(args)], "--ca-file", "none"), io.Discard,
			io.Discard); code != 2 {
			t.Errorf("%q with a file that is not there: status %d, want 2", args, code)
		}
	}
	for _, cmd := range commands(rootCommand()) {
		if cmd.Flags().Lookup("project") != nil && cmd.Name() != "init" && (cmd.Flag("ca-file") == nil ||
			cmd.Flag("profile") == nil) {
			t.Errorf("%s asks the API and has no --ca-file or no --profile", cmd.CommandPath())
		}
	}
}

// A file that is not whole gzip is named with what is wrong with it, and the lines before that are recorded.
func TestRecordSaysWhatIsWrongWithAGzipFile(t *testing.T) {
	weir := toServer(t, func(w http.ResponseWriter, r *http.Request) { io.WriteString(w, `{"recorded":1}`) })
	var packed bytes.Buffer
	z := gzip.NewWriter(&packed)
	io.WriteString(z, "{}\n")
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	whole := packed.String()
	for content, want := range map[string]string{
		whole: "", whole + whole: "", whole + "hello\n": "data after the end of the gzip data",
		whole + "\x1f": "data after the end of the gzip data", whole + whole[:12]: "cut short",
		whole[:len(whole)-3]: "cut short", whole[:5]: "cut short",
	} {
		file := filepath.Join(t.TempDir(), "events.gz")
		if err := os.WriteFile(file, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
		code, _, stderr := weir("record", "w", file)
		if (code == 0) != (want == "") || !strings.Contains(stderr, want) {
			t.Errorf("%d bytes: status %d, %s; want %q", len(content), code, stderr, want)
		}
	}
}
