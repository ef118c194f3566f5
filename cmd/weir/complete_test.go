package main

import (
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"
)

// completed are command lines whose last word asks a server.
var completed = [][]string{{"download", ""}, {"search", "w"}, {"search", "w", ""}, {"summary", "--by", ""},
	{"watch", ""}, {"admin", "key", "describe", ""}, {"admin", "log", "describe", ""},
	{"admin", "access-list", "list", "--key", ""}, {"export", "--project", ""}}

// Where no server answers, completion ends by itself, offers nothing but what it knows, and says nothing.
func TestCompletionIsSilentWithoutAServer(t *testing.T) {
	if testing.Short() {
		t.Skip("long work of one goroutine")
	}
	defer func(before time.Duration) { completionTime = before }(completionTime)
	completionTime = 30 * time.Millisecond // of waiting for a server that hangs
	hangs := func(_ http.ResponseWriter, r *http.Request) {
		io.Copy(io.Discard, r.Body) // so that the server notices when the client gives up
		<-r.Context().Done()
	}
	for name, handler := range map[string]http.HandlerFunc{
		"hangs": hangs,
		"hangs behind the token": func(w http.ResponseWriter, r *http.Request) {
			if r.URL.Path == "/api/oauth/token" {
				w.Header().Set("Content-Type", "application/json")
				io.WriteString(w, `{"access_token":"t","expires_in":3600,"token_type":"Bearer"}`)
				return
			}
			hangs(w, r)
		},
		"fails":       func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusInternalServerError) },
		"is no API":   func(w http.ResponseWriter, _ *http.Request) { io.WriteString(w, "<html>") },
		"has nothing": func(w http.ResponseWriter, _ *http.Request) { io.WriteString(w, `{"results":[1,null,{}]}`) },
		"is gone":     nil,
	} {
		for _, credential := range []string{"key", "account"} {
			t.Run(name+" for a "+credential, func(t *testing.T) {
				weir := toServer(t, handler)
				if credential == "account" {
					t.Setenv("MONGODB_ATLAS_CLIENT_ID", "a")
					t.Setenv("MONGODB_ATLAS_CLIENT_SECRET", "b")
				}
				if handler == nil {
					gone := httptest.NewServer(nil)
					gone.Close()
					t.Setenv("WEIR_URL", gone.URL)
				}
				for _, args := range completed {
					code, stdout, stderr := weir(append([]string{"__complete"}, args...)...)
					for line := range strings.Lines(stdout) {
						if !strings.HasSuffix(line, "\talias\n") && !strings.HasPrefix(line, ":") {
							t.Errorf("%q offers %q", args, line)
						}
					}
					if code != 0 || stderr != "" {
						t.Errorf("%q: status %d: %s", args, code, stderr)
					}
				}
			})
		}
	}
}

// Completion needs no credentials to be silent.
func TestCompletionIsSilentWithoutCredentials(t *testing.T) {
	weir := toServer(t, func(http.ResponseWriter, *http.Request) { t.Error("asked") })
	t.Setenv("MONGODB_ATLAS_PUBLIC_API_KEY", "")
	t.Setenv("XDG_CONFIG_HOME", t.TempDir())
	for _, args := range completed {
		if code, _, stderr := weir(append([]string{"__complete"}, args...)...); code != 0 || stderr != "" {
			t.Errorf("%q: status %d: %s", args, code, stderr)
		}
	}
}

// A server cannot have a shell put more than a word into a line, nor have one run.
func TestCompletionOffersPlainWordsOnly(t *testing.T) {
	words := []string{hostileJSON(), `"$(reboot)"`, "\"`reboot`\"", `"a;b"`, `"a b"`, `"a\nb"`, `"a\tb"`, `"--force"`,
		`"-f"`, `"*"`, `"~"`, `"a\\b"`, `"a'b"`, `"a\"b"`, `"!1"`, `""`}
	items := []string{`{"x":1}`}
	for _, word := range append(words, `"good-1"`, `"good-1"`) {
		items = append(items, fmt.Sprintf(`{"id":%[1]s,"name":%[1]s,"logId":%[1]s,"field":%[1]s,"cidrBlock":%[1]s,`+
			`"desc":%[2]s,"kind":%[2]s,"types":[%[2]s]}`, word, hostileJSON()))
	}
	reply := fmt.Sprintf(`{"results":[%[1]s],"fields":[%[1]s]}`, strings.Join(items, ","))
	weir := toServer(t, func(w http.ResponseWriter, _ *http.Request) { io.WriteString(w, reply) })
	for _, args := range completed {
		code, stdout, stderr := weir(append([]string{"__complete"}, args...)...)
		if code != 0 || stderr != "" || !harmless(stdout) {
			t.Errorf("%q: status %d, %q, %s", args, code, stdout, stderr)
		}
		for line := range strings.Lines(stdout) {
			word, _, _ := strings.Cut(strings.TrimSuffix(line, "\n"), "\t")
			if word != "good-1" && word != "good-1:" && !strings.HasSuffix(line, "\talias\n") &&
				!strings.HasPrefix(word, ":") {
				t.Errorf("%q offers %q", args, word)
			}
		}
		if args[len(args)-1] == "" && strings.Count("\n"+stdout, "\ngood-1") != 1 {
			t.Errorf("%q does not offer what is good once: %q", args, stdout)
		}
	}
}

// A command that takes a workspace offers those that there are.
func TestCommandsOfAWorkspaceCompleteIt(t *testing.T) {
	weir := toServer(t, func(w http.ResponseWriter, _ *http.Request) {
		io.WriteString(w, `{"results":[{"name":"prod"}]}`)
	})
	tried := 0
	for _, cmd := range commands(rootCommand()) {
		_, arguments, _ := strings.Cut(cmd.Use, " ")
		if !strings.HasPrefix(strings.TrimPrefix(arguments, "["), "WORKSPACE") {
			continue
		}
		tried++
		_, stdout, _ := weir(append([]string{"__complete"}, append(strings.Fields(cmd.CommandPath())[1:], "")...)...)
		if !strings.HasPrefix(stdout, "prod\n") {
			t.Errorf("%s offers %q", cmd.CommandPath(), stdout)
		}
	}
	if tried < 6 {
		t.Errorf("only %d commands were tried", tried)
	}
}
