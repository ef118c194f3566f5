package main

import (
	"crypto/x509"
	"encoding/pem"
	"net"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/klauspost/compress/gzip"

	"github.com/weirlog/weir/internal/bucket/bucketest"
)

// program is one of others.
type program struct {
	address string // at which it listens; empty if it does not
	command []string

	// asked: it is asked to end, and not killed, since it says that it has taken what it still holds in memory.
	asked   bool
	process *exec.Cmd
	output  *os.File
}

func (p *program) start(t *testing.T) {
	t.Helper()
	p.process = exec.Command(p.command[0], p.command[1:]...)
	p.process.Stdout, p.process.Stderr = p.output, p.output
	if err := p.process.Start(); err != nil {
		t.Fatalf("%s: %v; .ci/run installs what WEIR_PEERS wants", p.command[0], err)
	}
	for deadline := time.Now().Add(30 * time.Second); p.address != ""; time.Sleep(20 * time.Millisecond) {
		c, err := net.Dial("tcp", p.address)
		if err == nil {
			c.Close()
			return
		}
		if time.Now().After(deadline) {
			said, _ := os.ReadFile(p.output.Name())
			t.Fatalf("%s does not answer: %v\n%.2000s", p.command[0], err, said)
		}
	}
}

func (p *program) kill(t *testing.T) {
	t.Helper()
	signal := syscall.SIGKILL
	if p.asked {
		signal = syscall.SIGTERM
	}
	if err := p.process.Process.Signal(signal); err != nil {
		said, _ := os.ReadFile(p.output.Name())
		t.Fatalf("%s: %v\n%s", p.command[0], err, said[max(0, len(said)-2000):])
	}
	p.process.Wait()
}

// add adds a program to those that are killed.
func (f *field) add(t *testing.T, name string, p *program) {
	t.Helper()
	p.output = f.output(t, name)
	f.victims = append(f.victims, p)
}

// output returns a file for what a program says.
func (f *field) output(t *testing.T, name string) *os.File {
	t.Helper()
	output, err := os.OpenFile(filepath.Join(f.dir, name+".log"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { output.Close() })
	return output
}

// victoria adds VictoriaLogs, which takes three protocols. It accepts what it has in memory only.
func (f *field) victoria(t *testing.T) {
	t.Helper()
	address := freeAddress(t)
	f.add(t, "victoria-logs", &program{address: address, asked: true, command: []string{"victoria-logs",
		"-storageDataPath=" + filepath.Join(f.dir, "victoria"), "-httpListenAddr=" + address}})
	via := func(name, path string, more map[string]string) (to string, got func(*testing.T) []string) {
		values := map[string]string{"extra_fields": "via=" + name}
		for k, v := range more {
			values[k] = v
		}
		from := withQuery("http://"+address+"/select/logsql/query", map[string]string{"query": "via:=" + name})
		return withQuery("http://"+address+path, values), func(t *testing.T) []string {
			return linesIn(t, strings.NewReader(string(get(t, from))))
		}
	}
	to, got := via("elastic", "/insert/elasticsearch/_bulk", map[string]string{"_time_field": "@timestamp",
		"_msg_field": "message", "_stream_fields": "weir.name"})
	f.peers = append(f.peers, &peer{name: "VictoriaLogs by _bulk", got: got, settings: map[string]any{
		"type": "ELASTIC_LOG_EXPORT", "elasticUrl": to}})
	to, got = via("splunk", "/insert/splunk/services/collector/event", nil)
	f.peers = append(f.peers, &peer{name: "VictoriaLogs by HEC", got: got, settings: map[string]any{
		"type": "SPLUNK_LOG_EXPORT", "hecUrl": to, "hecToken": "11111111-2222-3333-4444-555555555555"}})
	to, got = via("otlp", "/insert/opentelemetry/v1/logs", nil)
	f.peers = append(f.peers, &peer{name: "VictoriaLogs by OTLP", got: got, settings: map[string]any{
		"type": "OTEL_LOG_EXPORT", "otelEndpoint": to,
		"otelSuppliedHeaders": []map[string]string{{"name": "X-Sender", "value": "weir"}}}})
}

// syslogs adds rsyslog and syslog-ng, both by TLS. rsyslog writes each message before it reads on, syslog-ng has
// messages in memory that it has read.
func (f *field) syslogs(t *testing.T) {
	t.Helper()
	s := httptest.NewTLSServer(nil)
	defer s.Close()
	key, err := x509.MarshalPKCS8PrivateKey(s.TLS.Certificates[0].PrivateKey)
	if err != nil {
		t.Fatal(err)
	}
	trusted := string(bucketest.PEM(s.Certificate()))
	files := map[string]string{"CERT": f.writeText(t, "cert.pem", trusted), "KEY": f.writeText(t, "key.pem",
		string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: key})))}
	for _, one := range []struct {
		name, config string
		asked        bool
		command      func(config string) []string
	}{
		{"rsyslog", rsyslogConfig, false, func(config string) []string {
			return []string{"rsyslogd", "-n", "-f", config, "-i", filepath.Join(f.dir, "rsyslog.pid")}
		}},
		{"syslog-ng", syslogNGConfig, true, func(config string) []string {
			return []string{"syslog-ng", "--foreground", "--no-caps", "--cfgfile=" + config,
				"--persist-file=" + filepath.Join(f.dir, "ng.persist"), "--pidfile=" + filepath.Join(f.dir, "ng.pid"),
				"--control=" + filepath.Join(f.dir, "ng.ctl")}
		}},
	} {
		address, out := freeAddress(t), filepath.Join(f.dir, one.name+".out")
		_, port, _ := net.SplitHostPort(address)
		config := strings.NewReplacer("CERT", files["CERT"], "KEY", files["KEY"], "PORT", port, "OUT", out, "DIR",
			f.dir).Replace(one.config)
		f.add(t, one.name, &program{address: address, asked: one.asked,
			command: one.command(f.writeText(t, one.name+".conf", config))})
		f.peers = append(f.peers, &peer{name: one.name, ordered: true, settings: map[string]any{
			"type": "SYSLOG_LOG_EXPORT", "syslogAddress": address, "caCertificate": trusted},
			got: func(t *testing.T) []string {
				file, err := os.Open(out)
				if err != nil {
					return nil // It has written nothing yet.
				}
				defer file.Close()
				return linesIn(t, file)
			}})
	}
}

const rsyslogConfig = `
global(workDirectory="DIR" defaultNetstreamDriverCAFile="CERT" defaultNetstreamDriverCertFile="CERT"
	defaultNetstreamDriverKeyFile="KEY")
module(load="imtcp" streamDriver.name="ossl" streamDriver.mode="1" streamDriver.authMode="anon")
template(name="whole" type="string" string="%rawmsg%\n")
ruleset(name="in" queue.type="Direct") { action(type="omfile" file="OUT" template="whole") }
input(type="imtcp" address="127.0.0.1" port="PORT" ruleset="in")
`

const syslogNGConfig = `@version: 3.38
source in { syslog(ip(127.0.0.1) port(PORT) transport("tls") flags(no-parse)
	tls(key-file("KEY") cert-file("CERT") peer-verify(optional-untrusted))); };
destination out { file("OUT" template("$MSG\n")); };
log { source(in); destination(out); flags(flow-control); };
`

// stores adds an S3 server, which is given lines and tables.
func (f *field) stores(t *testing.T) {
	t.Helper()
	address, folder := freeAddress(t), filepath.Join(f.dir, "s3")
	if err := os.MkdirAll(filepath.Join(folder, "events"), 0o700); err != nil {
		t.Fatal(err)
	}
	id, secret := os.Getenv("AWS_ACCESS_KEY_ID"), os.Getenv("AWS_SECRET_ACCESS_KEY")
	f.add(t, "versitygw", &program{address: address, command: []string{"env", "ROOT_ACCESS_KEY=" + id,
		"ROOT_SECRET_KEY=" + secret, "versitygw", "--port", address, "posix", folder}})
	settings := func(format, prefix string) map[string]any {
		return map[string]any{"type": "S3_LOG_EXPORT", "bucketName": "events", "prefixPath": prefix, "s3Format": format,
			"s3Endpoint": "http://" + address, "accessKeyId": id, "secretAccessKey": secret}
	}
	f.peers = append(f.peers, &peer{name: "VersityGW with lines", once: true, ordered: true,
		settings: settings("NDJSON", "lines"), got: func(t *testing.T) (uids []string) {
			for _, name := range filesIn(t, filepath.Join(folder, "events", "lines"), ".ndjson.gz") {
				uids = append(uids, linesInGzip(t, name)...)
			}
			return uids
		}})
	f.peers = append(f.peers, &peer{name: "VersityGW with Parquet, by DuckDB", once: true, ordered: true,
		settings: settings("PARQUET", "tables"), got: func(t *testing.T) []string {
			return f.duckdb(t, filesIn(t, filepath.Join(folder, "events", "tables"), ".parquet"))
		}})
}

// filesIn returns the files below a folder, in the order of their names.
func filesIn(t *testing.T, folder, end string) (names []string) {
	t.Helper()
	err := filepath.WalkDir(folder, func(path string, d os.DirEntry, err error) error {
		if err == nil && !d.IsDir() && strings.HasSuffix(path, end) {
			names = append(names, path)
		}
		return nil // A folder that is not there has nothing yet.
	})
	if err != nil {
		t.Fatal(err)
	}
	slices.Sort(names)
	return names
}

func linesInGzip(t *testing.T, name string) []string {
	t.Helper()
	file, err := os.Open(name)
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	z, err := gzip.NewReader(file)
	if err != nil {
		t.Fatalf("%s: %v", name, err)
	}
	return linesIn(t, z)
}

// duckdb returns what DuckDB reads of the column metadata.uid of files, one behind the other.
func (f *field) duckdb(t *testing.T, names []string) []string {
	t.Helper()
	if len(names) == 0 {
		return nil
	}
	script := f.writeText(t, "duckdb.cjs", `
const { DuckDBInstance } = require('@duckdb/node-api');
(async () => {
	const connection = await (await DuckDBInstance.create()).connect();
	for (const name of JSON.parse(require('fs').readFileSync(process.argv[2], 'utf8'))) {
		const text = 'SELECT metadata.uid AS uid FROM read_parquet(\'' + name + '\')';
		(await connection.runAndReadAll(text)).getRowObjectsJson().forEach(row => console.log(row.uid));
	}
})();`)
	cmd := exec.Command("node", script, f.write(t, "names.json", names))
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("DuckDB: %v\n%.2000s", err, out)
	}
	return linesIn(t, strings.NewReader(string(out)))
}

// alertmanager adds Alertmanager, which forgets alerts when it is killed.
func (f *field) alertmanager(t *testing.T) {
	t.Helper()
	address := freeAddress(t)
	f.alerts = "http://" + address
	config := f.writeText(t, "alertmanager.yml", "route: {receiver: none}\nreceivers: [{name: none}]\n")
	f.add(t, "alertmanager", &program{address: address, command: []string{"alertmanager", "--config.file=" + config,
		"--storage.path=" + filepath.Join(f.dir, "alertmanager"), "--web.listen-address=" + address,
		"--cluster.listen-address="}})
}
