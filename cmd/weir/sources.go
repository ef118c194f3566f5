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
}

func addSourceFlags(s *pflag.FlagSet, f *adminFlags) {
	o := &f.source
	s.StringVar(&o.url, "url", "", "`URL` of the server (default https://cloud.mongodb.com)")
	s.StringVar(&o.clientID, "client-id", "", "client `id` of a service account there")
	s.StringVar(&o.publicKey, "public-key", "", "public `key` of an API key there, in place of a service account")
	s.StringVar(&o.secretFile, "secret-file", "", "`file` with the secret, or the private key; - is standard input "+
		"(default: what WEIR_SOURCE_SECRET has)")
	s.StringVar(&o.caFile, "trust", "", "PEM `file` of certificate authorities that the server is checked by, in place "+
		"of the system's")
	s.StringSliceVar(&o.collect, "collect", nil, "what to collect: AUDIT, OPERATIONAL; may be repeated (default AUDIT)")
	s.StringSliceVar(&o.projects, "from-project", nil, "`id` of a project there; may be repeated (default: all)")
	s.StringSliceVar(&o.workspaces, "from-workspace", nil, "`name` of a workspace there; may be repeated (default: all)")
	s.StringVar(&o.naming, "naming", "", "how workspaces are `named` here (default {workspace} if there is one "+
		"--from-project, else {project}-{workspace})")
	s.DurationVar(&o.interval, "interval", 0, "time between two rounds (default 5m)")
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
	secret, err := o.secret()
	if err != nil {
		return nil, err
	}
	switch {
	case secret == "":
	case o.publicKey != "":
		atlas["privateKey"] = secret
	default:
		atlas["clientSecret"] = secret
	}
	if f.changed("trust") {
		if atlas["caCertificates"], err = readSmall(o.caFile); err != nil {
			return nil, err
		}
	}
	body := f.given("intervalSeconds", int(o.interval/time.Second), "interval")
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
		return nil, errors.New("nothing to change; see --help")
	}
	return body, nil
}

func sourceVerbs() []verb {
	columns := []column{col("ID", "id"), col("NAME", "name"), col("TYPE", "type"), col("SERVER", "atlas.baseUrl"),
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
		{"list", "List what a project has collected from elsewhere", nil, flagsOf{projectFlag}, list(here), columns},
		{"create NAME", "Have the logs of MongoDB Atlas, or of another weir, collected", one,
			flagsOf{projectFlag, addSourceFlags}, send("POST", here, createSource), columns},
		{"describe ID", "Show a source", one, flagsOf{projectFlag}, ask("GET", path), columns},
		{"update ID", "Change a source; with another server or credential its secret is needed again", one,
			flagsOf{projectFlag, nameFlag, addSourceFlags}, send("PATCH", path, updateSource), columns},
		{"pause ID", "Collect no more from a source, until it is resumed", one, flagsOf{projectFlag},
			send("PATCH", path, pause(true)), columns},
		{"resume ID", "Go on to collect from a source where it was paused", one, flagsOf{projectFlag},
			send("PATCH", path, pause(false)), columns},
		{"status ID", "Show how far a source has come, and what failed; -o json shows each log", one,
			flagsOf{projectFlag}, ask("GET", func(f *adminFlags, args []string) (string, error) {
				return path(f, append(args, "status"))
			}), status},
		{"delete ID", "End a source; what was collected stays", one, flagsOf{projectFlag}, ask("DELETE", path), nil},
	}
}
