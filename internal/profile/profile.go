// Package profile keeps the servers that a person works with, each under a name and with what signs in there, in one
// file of that person's. From that file, the environment and a flag, it chooses the server that a command asks, and the
// organization, project and workspace that it means.
//
// What signs in and the server it is for always come from one place: a profile's secret is sent to the profile's server
// only, and a secret of the environment to the server of the environment only.
package profile

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"

	"github.com/weirlog/weir/client"
	"github.com/weirlog/weir/internal/durable"
)

// Default is the profile that is used if nothing names one, and the environment names neither a server nor what signs
// in.
const Default = "default"

// Profile is a server, what signs in there, and the organization, project and workspace of a command that names none.
type Profile struct {
	URL          string `json:"url"`
	CAFile       string `json:"caFile,omitempty"` // absolute path
	ClientID     string `json:"clientId,omitempty"`
	ClientSecret string `json:"clientSecret,omitempty"`
	PublicKey    string `json:"publicKey,omitempty"`
	PrivateKey   string `json:"privateKey,omitempty"`
	Organization string `json:"organization,omitempty"` // id
	Project      string `json:"project,omitempty"`      // id
	Workspace    string `json:"workspace,omitempty"`    // name
}

// Identity returns the client id, or the public key, that signs in.
func (p Profile) Identity() string {
	if p.ClientID != "" {
		return p.ClientID
	}
	return p.PublicKey
}

// Config returns the configuration of a client for the profile's server.
func (p Profile) Config() client.Config {
	return client.Config{URL: p.URL, CAFile: p.CAFile, ClientID: p.ClientID, ClientSecret: p.ClientSecret,
		PublicKey: p.PublicKey, PrivateKey: p.PrivateKey}
}

// check returns an error if the profile does not say one server and one credential.
func (p Profile) check() error {
	account, key := p.ClientID != "" && p.ClientSecret != "", p.PublicKey != "" && p.PrivateKey != ""
	switch {
	case p.URL == "":
		return errors.New("url is missing")
	case account == key || p.ClientID != "" && p.PublicKey != "":
		return errors.New("it must have either clientId and clientSecret, or publicKey and privateKey")
	}
	return nil
}

var name = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$`)

// CheckName returns an error if a profile cannot have a name.
func CheckName(s string) error {
	if name.MatchString(s) {
		return nil
	}
	return fmt.Errorf("%.80q is not the name of a profile: want 1 to 64 letters, digits, '.', '_' and '-'", s)
}

// File has the profiles of a person. If others can read it, or put another in its place, it is not read.
type File struct {
	Name string // path
}

// Home returns the file in the user's folder for configuration.
func Home() (File, error) {
	folder, err := os.UserConfigDir()
	if err != nil {
		return File{}, fmt.Errorf("profiles: %w", err)
	}
	return File{filepath.Join(folder, "weir", "profiles.json")}, nil
}

// content is the content of the file.
type content struct {
	Profiles map[string]Profile `json:"profiles"`
}

const maxFile = 1 << 20 // bytes

// Load returns the profiles by name, none if there is no file.
func (f File) Load() (map[string]Profile, error) {
	data, err := f.read()
	if errors.Is(err, fs.ErrNotExist) {
		return map[string]Profile{}, nil
	}
	var c content
	if err == nil {
		d := json.NewDecoder(bytes.NewReader(data))
		d.DisallowUnknownFields()
		err = d.Decode(&c)
	}
	if err != nil {
		return nil, fmt.Errorf("profiles: %s: %w", f.Name, err)
	}
	for _, n := range slices.Sorted(maps.Keys(c.Profiles)) {
		err := CheckName(n)
		if err == nil {
			err = c.Profiles[n].check()
		}
		if err != nil {
			return nil, fmt.Errorf("profiles: %s: profile %.80q: %w", f.Name, n, err)
		}
	}
	if c.Profiles == nil {
		c.Profiles = map[string]Profile{}
	}
	return c.Profiles, nil
}

func (f File) read() ([]byte, error) {
	file, err := os.Open(f.Name)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	if err := isPrivate(file); err != nil {
		return nil, err
	}
	data, err := io.ReadAll(io.LimitReader(file, maxFile+1))
	if err == nil && len(data) > maxFile {
		err = fmt.Errorf("it has more than %d bytes", maxFile)
	}
	return data, err
}

// Put adds a profile, or replaces the one of that name. If two calls run at the same time, the change of one may be
// lost.
func (f File) Put(name string, p Profile) error {
	if err := errors.Join(CheckName(name), p.check()); err != nil {
		return err
	}
	return f.change(func(all map[string]Profile) error {
		all[name] = p
		return nil
	})
}

// ErrNone is returned (wrapped) if there is no profile of a name.
var ErrNone = errors.New("there is no such profile")

// Remove removes a profile.
func (f File) Remove(name string) error {
	return f.change(func(all map[string]Profile) error {
		if _, ok := all[name]; !ok {
			return fmt.Errorf("profile %.80q: %w", name, ErrNone)
		}
		delete(all, name)
		return nil
	})
}

func (f File) change(change func(map[string]Profile) error) error {
	all, err := f.Load()
	if err == nil {
		err = change(all)
	}
	if err != nil {
		return err
	}
	data, err := json.MarshalIndent(content{all}, "", "  ")
	if err == nil && len(data) > maxFile {
		err = fmt.Errorf("profiles: %s would have more than %d bytes", f.Name, maxFile)
	}
	if err != nil {
		return err
	}
	folder := filepath.Dir(f.Name)
	if err := os.MkdirAll(folder, 0o700); err != nil {
		return fmt.Errorf("profiles: %w", err)
	}
	if err := os.Chmod(folder, 0o700); err != nil { // if it was there
		return fmt.Errorf("profiles: %w", err)
	}
	if err := durable.Replace(f.Name, append(data, '\n')); err != nil {
		return fmt.Errorf("profiles: %w", err)
	}
	return nil
}

// Shown returns profiles as JSON, sorted by name, without their secrets.
func Shown(all map[string]Profile) ([]json.RawMessage, error) {
	items := []json.RawMessage{}
	for _, n := range slices.Sorted(maps.Keys(all)) {
		p := all[n]
		data, err := json.Marshal(struct {
			Name         string `json:"name"`
			URL          string `json:"url"`
			CAFile       string `json:"caFile,omitempty"`
			Identity     string `json:"identity"`
			Organization string `json:"organization,omitempty"`
			Project      string `json:"project,omitempty"`
			Workspace    string `json:"workspace,omitempty"`
		}{n, p.URL, p.CAFile, p.Identity(), p.Organization, p.Project, p.Workspace})
		if err != nil {
			return nil, err
		}
		items = append(items, data)
	}
	return items, nil
}
