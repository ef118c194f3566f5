package main

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"github.com/spf13/pflag"
)

// sourceFlags are the flags of sources.
type sourceFlags struct {
	url, clientID, publicKey, secretFile, caFile, naming string
	collect, projects, workspaces                        []string
	interval                                             time.Duration
	kafka                                                kafkaFlags
}

// kafkaFlags are the flags of sources that are topics of Kafka.
type kafkaFlags struct {
	servers, pattern, group, mapping, timeField, mechanism, username, tokenURL, scope string
	topics                                                                            []string
	plaintext                                                                         bool
}

func addKafkaFlags(s *pflag.FlagSet, f *adminFlags) {
	k := &f.source.kafka
	s.StringVar(&k.servers, "brokers", "", "brokers of a Kafka cluster, in place of --url: `host:port,...`")
	s.StringSliceVar(&k.topics, "topic", nil, "`name` of a topic there; may be repeated")
	s.StringVar(&k.pattern, "topic-pattern", "", "regular `expression` for whole names of topics, in place of --topic")
	s.StringVar(&k.group, "group", "", "`name` of a consumer group in which offsets are committed, for monitoring")
	s.StringVar(&k.mapping, "mapping", "", "format of the messages: OCSF, CONFLUENT, JSON or RAW (default RAW)")
	s.StringVar(&k.timeField, "time-field", "", "field with the time of a JSON message: `names` with dots between them")
	s.StringVar(&k.mechanism, "sasl", "", "SASL mechanism: PLAIN, SCRAM-256, SCRAM-512 or OAUTHBEARER")
	s.StringVar(&k.username, "username", "", "SASL `user`, or id of the OAuth client")
	s.StringVar(&k.tokenURL, "token-url", "", "`URL` where tokens for OAUTHBEARER are issued; without it the secret is a "+
		"token")
	s.StringVar(&k.scope, "scope", "", "`scope` of these tokens")
	s.BoolVar(&k.plaintext, "plaintext", false, "connect to the brokers without TLS; only without --sasl")
}

// kafkaBody returns the attributes of topics whose flags were given.
func (f *adminFlags) kafkaBody() map[string]any {
	k := &f.source.kafka
	return f.given("bootstrapServers", k.servers, "brokers", "topics", k.topics, "topic", "topicPattern", k.pattern,
		"topic-pattern", "group", k.group, "group", "mapping", strings.ToUpper(k.mapping), "mapping", "timeField",
		k.timeField, "time-field", "mechanism", strings.ToUpper(k.mechanism), "sasl", "username", k.username, "username",
		"tokenUrl", k.tokenURL, "token-url", "scope", k.scope, "scope", "plaintext", k.plaintext, "plaintext")
}

func addSourceFlags(s *pflag.FlagSet, f *adminFlags) {
	o := &f.source
	addAtlasFlags(s, o)
	s.StringVar(&o.naming, "naming", "", "how workspaces are `named` here (default {workspace} if there is one "+
		"--from-project, else {project}-{workspace}; of topics {topic})")
	s.DurationVar(&o.interval, "interval", 0, "time between two rounds (default 5m, of topics 1m)")
}

// addAtlasFlags adds the flags that say what is collected from a server, and what signs in there.
func addAtlasFlags(s *pflag.FlagSet, o *sourceFlags) {
	s.StringVar(&o.url, "url", "", "`URL` of the server (default https://cloud.mongodb.com)")
	s.StringVar(&o.clientID, "client-id", "", "client `id` of a service account there")
	s.StringVar(&o.publicKey, "public-key", "", "public `key` of an API key there, in place of a service account")
	s.StringVar(&o.secretFile, "secret-file", "", "`file` with the secret, or the private key; - is standard input "+
		"(default: what WEIR_SOURCE_SECRET has)")
	s.StringVar(&o.caFile, "trust", "", "PEM `file` of certificate authorities to trust for the server, in place of the "+
		"system's")
	s.StringSliceVar(&o.collect, "collect", nil, "what to collect: AUDIT, OPERATIONAL, PROJECT_EVENTS, "+
		"ORGANIZATION_EVENTS, DATABASE_ACCESS, CLUSTER_AUDIT; may be repeated (default AUDIT)")
	s.StringSliceVar(&o.projects, "from-project", nil, "`id` of a project there; may be repeated (default: all)")
	s.StringSliceVar(&o.workspaces, "from-workspace", nil, "`name` of a workspace there; may be repeated (default: all)")
}

const maxSecretFile = 64 << 10 // bytes

// readSmall reads a file, or standard input if the name is "-", without the line break at its end.
func readSmall(name string) (string, error) {
	in := io.Reader(os.Stdin)
	if name != "-" {
		f, err := os.Open(name)
		if err != nil {
			return "", err
		}
		defer f.Close()
		in = f
	}
	data, err := io.ReadAll(io.LimitReader(in, maxSecretFile+1))
	if err == nil && len(data) > maxSecretFile {
		err = fmt.Errorf("%s has more than %d bytes", name, maxSecretFile)
	}
	return string(bytes.TrimRight(data, "\r\n")), err
}

// secret returns the secret in a file or in the environment, or "".
func (o *sourceFlags) secret() (string, error) {
	if o.secretFile == "" {
		return os.Getenv("WEIR_SOURCE_SECRET"), nil
	}
	secret, err := readSmall(o.secretFile)
	if err == nil && secret == "" {
		err = fmt.Errorf("%s is empty", o.secretFile)
	}
	return secret, err
}

// sourceBody returns the attributes of a source whose flags were set.
func (f *adminFlags) sourceBody() (map[string]any, error) {
	o := &f.source
	for i, kind := range o.collect {
		o.collect[i] = strings.ToUpper(kind)
	}
	atlas := f.given("baseUrl", o.url, "url", "clientId", o.clientID, "client-id", "publicKey", o.publicKey, "public-key",
		"collect", o.collect, "collect", "projectIds", o.projects, "from-project", "workspaceNames", o.workspaces,
		"from-workspace", "workspaceNaming", o.naming, "naming")
	kafka := f.kafkaBody()
	secret, err := o.secret()
	if err != nil {
		return nil, err
	}
	switch {
	case secret == "":
	case len(kafka) > 0:
		kafka["password"] = secret
	case o.publicKey != "":
		atlas["privateKey"] = secret
	default:
		atlas["clientSecret"] = secret
	}
	if f.changed("trust") {
		ca, err := readSmall(o.caFile)
		if err != nil {
			return nil, err
		}
		if atlas["caCertificates"] = ca; len(kafka) > 0 {
			delete(atlas, "caCertificates")
			kafka["caCertificate"] = ca
		}
	}
	body := f.given("intervalSeconds", int(o.interval/time.Second), "interval")
	if len(kafka) > 0 {
		body["kafka"] = kafka
		if naming, ok := atlas["workspaceNaming"]; ok {
			kafka["workspaceNaming"] = naming
			delete(atlas, "workspaceNaming")
		}
	}
	if len(atlas) > 0 {
		body["atlas"] = atlas
	}
	return body, nil
}

func createSource(f *adminFlags, args []string) (any, error) {
	body, err := f.sourceBody()
	if err != nil {
		return nil, err
	}
	if kafka, ok := body["kafka"].(map[string]any); ok {
		if body["name"], body["type"] = args[0], "KAFKA"; kafka["mapping"] == nil {
			kafka["mapping"] = "RAW"
		}
		return body, nil
	}
	if (f.source.clientID == "") == (f.source.publicKey == "") {
		return nil, errors.New("give --client-id of a service account or --public-key of an API key, and its secret in " +
			"WEIR_SOURCE_SECRET or --secret-file")
	}
	body["name"], body["type"] = args[0], "ATLAS"
	return body, nil
}

func updateSource(f *adminFlags, _ []string) (any, error) {
	body, err := f.sourceBody()
	if err != nil {
		return nil, err
	}
	if f.changed("name") {
		body["name"] = f.name
	}
	if len(body) == 0 {
		return nil, errors.New("nothing to change: give the flags of what to change; see --help")
	}
	return body, nil
}

func sourceVerbs() []verb {
	columns := []column{col("ID", "id"), col("NAME", "name"), col("TYPE", "type"),
		col("SERVER", "atlas.baseUrl", "kafka.bootstrapServers"),
		col("PAUSED", "paused"), col("EVERY", "intervalSeconds")}
	status := []column{col("BEHIND", "behindSeconds"), col("RECORDED", "recorded"), col("UNREAD", "unread"),
		col("REFUSED", "refused"), col("LAST SUCCESS", "lastSuccessAt"), col("LAST ERROR", "lastError")}
	path := func(f *adminFlags, args []string) (string, error) {
		return own(f.projectPath(append([]string{"sources"}, args...)...))
	}
	here := func(f *adminFlags, _ []string) (string, error) { return path(f, nil) }
	pause := func(paused bool) func(*adminFlags, []string) (any, error) {
		return func(*adminFlags, []string) (any, error) { return map[string]any{"paused": paused}, nil }
	}
	return []verb{
		{"list", "List the sources of a project", nil, flagsOf{projectFlag}, list(here), columns},
		{"create NAME", "Create a source: logs of MongoDB Atlas or another weir, or topics of Kafka", one,
			flagsOf{projectFlag, addSourceFlags, addKafkaFlags}, send("POST", here, createSource), columns},
		{"describe ID", "Show a source", one, flagsOf{projectFlag}, ask("GET", path), columns},
		{"update ID", "Change a source; a change of the server or the credential needs the secret again", one,
			flagsOf{projectFlag, nameFlag, addSourceFlags, addKafkaFlags}, send("PATCH", path, updateSource), columns},
		{"pause ID", "Collect nothing from a source until it is resumed", one, flagsOf{projectFlag},
			send("PATCH", path, pause(true)), columns},
		{"resume ID", "Continue to collect where a source was paused", one, flagsOf{projectFlag},
			send("PATCH", path, pause(false)), columns},
		{"status ID", "Show how far a source has come, and what failed; -o json shows each log", one,
			flagsOf{projectFlag}, ask("GET", func(f *adminFlags, args []string) (string, error) {
				return path(f, append(args, "status"))
			}), status},
		{"delete ID", "Delete a source; what was collected stays", one, flagsOf{projectFlag}, ask("DELETE", path), nil},
	}
}
