package config

import (
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"slices"
	"strings"

	"github.com/spf13/pflag"
	"go.yaml.in/yaml/v3"
)

// AddFlags adds the settings of some groups to a set of flags, all settings if no group is named.
func (c *Config) AddFlags(f *pflag.FlagSet, groups ...Group) {
	for _, s := range c.settings() {
		if s.secret || len(groups) > 0 && !slices.Contains(groups, s.group) {
			continue
		}
		c.addFlag(f, s)
	}
}

// AddFlag adds one setting.
func (c *Config) AddFlag(f *pflag.FlagSet, name string) {
	for _, s := range c.settings() {
		if s.name == name {
			c.addFlag(f, s)
		}
	}
}

// AddPrefixedFlags is AddFlags for a second Config on the same flags, whose settings all have a prefix.
func (c *Config) AddPrefixedFlags(f *pflag.FlagSet, prefix string, groups ...Group) {
	c.prefix = prefix
	c.AddFlags(f, groups...)
}

func (c *Config) addFlag(f *pflag.FlagSet, s *setting) {
	usage := s.help
	if s.unset != "" {
		usage += " (default: " + s.unset + ")"
	}
	flag := f.VarPF(s.value, s.name, "", usage)
	if s.Type() == "bool" {
		flag.NoOptDefVal = "true"
	}
}

// Complete sets what the command line left out, from the environment (--admin-listen is WEIR_ADMIN_LISTEN) and from a
// YAML file (admin-listen: …), which is skipped if it is empty. Only settings that are flags of f count, and secrets.
// It then checks everything. An error is an *Error, or several joined, unless the file cannot be read.
func (c *Config) Complete(f *pflag.FlagSet, file string, environ func(string) (string, bool)) error {
	written, err := readFile(file)
	if err != nil {
		return &Error{"config", "", err}
	}
	var errs []error
	for _, name := range slices.Sorted(maps.Keys(written)) {
		if f.Lookup(name) == nil {
			errs = append(errs, &Error{name, file, errors.New("there is no such setting")})
		}
	}
	c.sources = map[string]string{}
	for _, s := range c.settings() {
		flag := f.Lookup(s.name)
		if flag == nil && !s.secret || flag != nil && flag.Changed {
			continue
		}
		set := s.Set
		if flag != nil {
			set = flag.Value.Set
		}
		variable := Variable(s.name)
		value, ok := environ(variable)
		if source := variable; ok && (value != "" || !s.secret) {
			c.sources[s.name] = source
			err = set(value)
		} else if value, ok := written[s.name]; ok && !s.secret {
			c.sources[s.name] = file
			err = setYAML(s, set, value)
		} else {
			continue
		}
		if err != nil {
			errs = append(errs, c.invalid(s.name, err))
		} else if flag != nil {
			flag.Changed = true
		}
	}
	if len(errs) > 0 {
		return errors.Join(errs...)
	}
	if flag := f.Lookup("sequence-delay"); c.Dev && flag != nil && !flag.Changed {
		c.SequenceDelay = devSequenceDelay
	}
	return c.Check()
}

// Variable returns the environment variable of a setting.
func Variable(name string) string {
	return "WEIR_" + strings.ToUpper(strings.ReplaceAll(name, "-", "_"))
}

// Check returns an *Error about the first setting that cannot be right, by itself or beside the others.
func (c *Config) Check() error {
	for _, s := range c.settings() {
		if err := s.check(); err != nil {
			return c.invalid(s.name, err)
		}
	}
	return c.contradictions()
}

// maxFile bounds the YAML file, in bytes.
const maxFile = 1 << 20

// readFile reads a YAML file. It returns nothing if the name is empty.
func readFile(name string) (map[string]any, error) {
	if name == "" {
		return nil, nil
	}
	f, err := os.Open(name)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	var written map[string]any
	if err := yaml.NewDecoder(io.LimitReader(f, maxFile)).Decode(&written); err != nil && !errors.Is(err, io.EOF) {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	return written, nil
}

// separators are the texts between the elements of a setting that is a list, by its type.
var separators = map[string]string{"networks": ",", "witness": ",", "roles": ",", "words": ",", "rule": "\n"}

// setYAML sets a setting to a value of the file: a plain one, or a list of such for a setting that is a list.
func setYAML(s *setting, set func(string) error, value any) error {
	switch v := value.(type) {
	case []any:
		separator, ok := separators[s.Type()]
		if !ok {
			return errors.New("must be one value, not a list")
		}
		var all []string
		for _, part := range v {
			all = append(all, fmt.Sprint(part))
		}
		return set(strings.Join(all, separator))
	case nil:
		return errors.New("must have a value")
	case map[string]any:
		return errors.New("must be a value, not a group of settings")
	}
	return set(fmt.Sprint(value))
}
