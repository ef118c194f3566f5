package main

import (
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/weirlog/weir/client"
)

// TestSyslogDaemonsBringIn has rsyslog and syslog-ng, configured as docs/bring-in.md says, take messages of both forms
// of syslog, and looks what weir has of them. It runs where TestDeliveriesIntoRealPeers does.
func TestSyslogDaemonsBringIn(t *testing.T) {
	if os.Getenv("WEIR_PEERS") == "" {
		t.Log("WEIR_PEERS is not set: rsyslog and syslog-ng are left out")
		return
	}
	for _, d := range []struct {
		name   string
		broken string // what becomes of a byte that is not UTF-8
		start  func(*testing.T, *field, map[string]string, [2]string)
	}{
		{"rsyslog", "?", startRsyslog},
		{"syslog-ng", `\xfc`, startSyslogNG},
	} {
		t.Run(d.name, func(t *testing.T) {
			f := &field{dir: t.TempDir(), weir: newFixed(t)}
			f.weir.start(t)
			t.Cleanup(func() { f.weir.kill(t) })
			f.run(t, "admin", "workspace", "create", "prod")
			var token struct{ Token string }
			made := f.run(t, "admin", "ingest-token", "create", d.name, "--workspace", "prod", "-o", "json")
			if err := json.Unmarshal(made, &token); err != nil {
				t.Fatal(err)
			}
			old, recent := freeAddress(t), freeAddress(t)
			d.start(t, f, map[string]string{"WEIR": f.weir.config.URL, "GROUP": f.weir.project, "TOKEN": token.Token},
				[2]string{old, recent})
			want := map[string]int{}
			for form, address := range [2]string{old, recent} {
				all := ""
				for i, text := range []string{"without a space", "  indented", `Jürgen said "hi" \ & left`, "J\xfcrgen", "again",
					"again"} {
					want[fmt.Sprintf("app %d user info: %s", form, strings.ReplaceAll(text, "\xfc", d.broken))]++
					all += syslogMessage(form, i, text) + "\n"
				}
				sendTo(t, address, all)
			}
			f.awaitSyslog(t, want)
		})
	}
}

// syslogMessage returns a message in the form of RFC 3164 (0) or of RFC 5424 (1), the latter with data or without.
func syslogMessage(form, n int, text string) string {
	now := time.Now().UTC()
	if form == 0 {
		return "<14>" + now.Format(time.Stamp) + " web1 app0[7]: " + text
	}
	data := []string{"-", `[origin@1 a="b\"c" ip="192.0.2.1"]`}[n%2]
	return "<14>1 " + now.Format("2006-01-02T15:04:05.000Z07:00") + " web1 app1 7 ID7 " + data + " " + text
}

func sendTo(t *testing.T, address, text string) {
	t.Helper()
	c, err := net.Dial("tcp", address)
	if err == nil {
		_, err = io.WriteString(c, text)
		c.Close()
	}
	if err != nil {
		t.Fatal(err)
	}
}

func port(t *testing.T, address string) string {
	t.Helper()
	_, port, err := net.SplitHostPort(address)
	if err != nil {
		t.Fatal(err)
	}
	return port
}

// startRsyslog starts rsyslog, which writes a file, and what sends that. It takes both forms at any address.
func startRsyslog(t *testing.T, f *field, env map[string]string, addresses [2]string) {
	const page = "../../docs/bring-in.md"
	file := filepath.Join(f.dir, "syslog.ndjson")
	config := fmt.Sprintf("global(workDirectory=%q)\nmodule(load=\"imtcp\")\n", f.dir)
	for _, a := range addresses {
		config += fmt.Sprintf("input(type=\"imtcp\" address=\"127.0.0.1\" port=%q)\n", port(t, a))
	}
	config += strings.ReplaceAll(codeOf(t, page, `module(load="mmutf8fix")`), "/var/log/weir/syslog.ndjson", file)
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	f.runUntilTheEnd(t, "rsyslog", addresses[1], nil, "rsyslogd", "-n", "-f", f.writeText(t, "rsyslog.conf", config), "-i",
		filepath.Join(f.dir, "rsyslog.pid"))
	command := strings.Fields(strings.NewReplacer("/var/log/weir/syslog.ndjson", file, "/var/lib/weir", f.dir).Replace(
		codeOf(t, page, "weir record prod --follow /var/log/weir/syslog.ndjson --state /var/lib/weir/syslog.state")))
	f.runUntilTheEnd(t, "record", "", []string{"WEIR_TEST_BE_WEIR=1", "WEIR_URL=" + env["WEIR"],
		"MONGODB_ATLAS_PROJECT_ID=" + env["GROUP"], "WEIR_INGEST_TOKEN=" + env["TOKEN"]},
		append([]string{os.Args[0]}, command[1:]...)...)
}

func startSyslogNG(t *testing.T, f *field, env map[string]string, addresses [2]string) {
	sources := fmt.Sprintf("network(ip(127.0.0.1) port(%s)); network(ip(127.0.0.1) port(%s) flags(syslog-protocol));",
		port(t, addresses[0]), port(t, addresses[1]))
	config := "@version: 3.38\n" + strings.NewReplacer("system(); internal();", sources, "/var/lib/syslog-ng", f.dir).
		Replace(codeOf(t, "../../docs/bring-in.md", "options { use-uniqid(yes); };"))
	var variables []string
	for _, name := range slices.Sorted(maps.Keys(env)) {
		variables = append(variables, name+"="+env[name])
	}
	f.runUntilTheEnd(t, "syslog-ng", addresses[1], variables, "syslog-ng", "--foreground", "--no-caps",
		"--cfgfile="+f.writeText(t, "ng.conf", config), "--persist-file="+filepath.Join(f.dir, "ng.persist"),
		"--pidfile="+filepath.Join(f.dir, "ng.pid"), "--control="+filepath.Join(f.dir, "ng.ctl"))
}

// runUntilTheEnd starts a program that ends with the test, with more variables in its environment.
func (f *field) runUntilTheEnd(t *testing.T, name, address string, variables []string, command ...string) {
	t.Helper()
	p := &program{address: address, output: f.output(t, name), command: append(append([]string{"env"}, variables...),
		command...)}
	p.start(t)
	t.Cleanup(func() { p.kill(t) })
}

// awaitSyslog waits until the log has what is wanted, and nothing else that a daemon sent.
func (f *field) awaitSyslog(t *testing.T, want map[string]int) {
	t.Helper()
	from, err := client.New(f.weir.config)
	if err != nil {
		t.Fatal(err)
	}
	var got map[string]int
	for deadline := time.Now().Add(time.Minute); time.Now().Before(deadline); time.Sleep(100 * time.Millisecond) {
		got = map[string]int{}
		eachDownloaded(t, from, client.Source{Project: f.weir.project, Workspace: "prod"}, func(line []byte) {
			if text := f.syslogged(t, line); text != "" {
				got[text]++
			}
		})
		if maps.Equal(got, want) {
			return
		}
	}
	t.Errorf("the log has %v, not %v", got, want)
	for _, name := range []string{"rsyslog", "record", "syslog-ng"} {
		said, _ := os.ReadFile(filepath.Join(f.dir, name+".log"))
		t.Logf("%s", said)
	}
}

// syslogged returns what an event says of a message; empty if it is of none.
func (f *field) syslogged(t *testing.T, line []byte) string {
	t.Helper()
	var e struct {
		Time     int64
		Message  string
		Metadata struct{ Product struct{ Name string } }
		Unmapped struct {
			Facility, Severity string // of rsyslog
			HEC                struct {
				Source, Event string
				Fields        struct{ Facility, Level string }
			}
		}
	}
	if err := json.Unmarshal(line, &e); err != nil {
		t.Fatalf("%s: %v", line, err)
	}
	program, facility, level := e.Metadata.Product.Name, e.Unmapped.Facility, e.Unmapped.Severity
	if h := e.Unmapped.HEC; h.Source != "" {
		program, facility, level = h.Source, h.Fields.Facility, h.Fields.Level
	}
	form, ok := strings.CutPrefix(program, "app")
	if !ok {
		return ""
	}
	if age := time.Since(time.UnixMilli(e.Time)).Abs(); age > 5*time.Minute {
		t.Errorf("%s is of another time", line)
	}
	return fmt.Sprintf("app %s %s %s: %s", form, facility, level, e.Message)
}
