package config

import (
	"cmp"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"net/url"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode"
)

// Group names the settings that commands share.
type Group int

// The groups of settings.
const (
	Bucket Group = iota // where the state and the secrets are
	Store               // how to reach a bucket on S3
	Serve               // everything else
)

// setting is one setting, bound to its field of a Config. It is the pflag.Value of its flag.
type setting struct {
	name   string // of its flag, and its key in the file
	group  Group
	help   string
	unset  string // what help texts and docs say in place of an empty default
	secret bool   // It comes from the environment only.
	value         // the field
}

// value is how a setting's field is read and written.
type value interface {
	Set(text string) error
	String() string
	Type() string // what the value is, in one word
	reset()       // to the default
	check() error // what is wrong with the value now, nil if nothing is
	bounds() string
}

// field is a value of one type.
type field[T any] struct {
	at       *T
	kind     string
	standard T // default
	parse    func(string) (T, error)
	format   func(T) string
	valid    func(T) error // nil if all values are valid
	limits   string        // that valid checks, for people
}

func (f *field[T]) Set(text string) error {
	v, err := f.parse(text)
	if err == nil && f.valid != nil {
		err = f.valid(v)
	}
	if err == nil {
		*f.at = v
	}
	return err
}

func (f *field[T]) String() string { return f.format(*f.at) }
func (f *field[T]) Type() string   { return f.kind }
func (f *field[T]) reset()         { *f.at = f.standard }
func (f *field[T]) bounds() string { return f.limits }

func (f *field[T]) check() error {
	if f.valid == nil {
		return nil
	}
	return f.valid(*f.at)
}

// shown cuts a value that is repeated in an error.
func shown(text string) string { return fmt.Sprintf("%.80q", text) }

// text is a setting that is any text without control characters.
func text(at *string, kind, standard string, valid func(string) error) *field[string] {
	checked := func(s string) error {
		if strings.ContainsFunc(s, unicode.IsControl) {
			return fmt.Errorf("%s must not have control characters", shown(s))
		}
		if valid == nil {
			return nil
		}
		return valid(s)
	}
	return &field[string]{at: at, kind: kind, standard: standard, valid: checked,
		parse: func(s string) (string, error) { return s, nil }, format: func(s string) string { return s }}
}

// hidden is a secret. It is checked where it is used, so that no error shows a part of it.
func hidden(at *string, kind string) *field[string] {
	same := func(s string) string { return s }
	return &field[string]{at: at, kind: kind, parse: func(s string) (string, error) { return s, nil }, format: same}
}

// notEmpty refuses an empty text.
func notEmpty(s string) error {
	if strings.TrimSpace(s) == "" {
		return errors.New("must not be empty")
	}
	return nil
}

// word refuses a text with spaces.
func word(s string) error {
	if strings.ContainsFunc(s, unicode.IsSpace) {
		return fmt.Errorf("%s must not have spaces", shown(s))
	}
	return nil
}

// existing refuses the name of a file that cannot be read.
func existing(s string) error {
	if s == "" {
		return nil
	}
	f, err := os.Open(s)
	if err != nil {
		return err
	}
	defer f.Close()
	if info, err := f.Stat(); err != nil || info.IsDir() {
		return cmp.Or(err, fmt.Errorf("%s is a folder, not a file", shown(s)))
	}
	return nil
}

// noFile refuses the name of something that is there and is no folder.
func noFile(name string) error {
	if info, err := os.Stat(name); name != "" && err == nil && !info.IsDir() {
		return fmt.Errorf("%s is not a folder", shown(name))
	}
	return nil
}

// authorities refuses a file without a certificate in PEM.
func authorities(name string) error {
	if name == "" {
		return nil
	}
	if err := existing(name); err != nil {
		return err
	}
	data, err := os.ReadFile(name)
	if err == nil && !x509.NewCertPool().AppendCertsFromPEM(data) {
		err = fmt.Errorf("%s has no certificate in PEM", shown(name))
	}
	return err
}

// address is a setting to listen on. It may be empty only if optional is set.
func address(at *string, standard string, optional bool) *field[string] {
	return text(at, "address", standard, func(s string) error {
		if s == "" && optional {
			return nil
		}
		_, port, err := net.SplitHostPort(s)
		if err != nil {
			return fmt.Errorf("%s is not an address such as 127.0.0.1:8080", shown(s))
		}
		if _, err := strconv.ParseUint(port, 10, 16); err != nil {
			return fmt.Errorf("%s: the port is not a number from 0 to 65535", shown(s))
		}
		return nil
	})
}

// webURL is a setting with the URL of a server, or empty.
func webURL(at *string) *field[string] {
	return text(at, "URL", "", func(s string) error {
		if s == "" {
			return nil
		}
		u, err := url.Parse(s)
		if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Hostname() == "" {
			return fmt.Errorf("%s is not a URL such as https://audit.example.com", shown(s))
		}
		if u.User != nil || u.RawQuery != "" || u.Fragment != "" {
			return fmt.Errorf("%s must not have a user, a query or a fragment", shown(s))
		}
		return nil
	})
}

// storeURL is the URL of an S3 store, which has no path.
func storeURL(at *string) *field[string] {
	f := webURL(at)
	valid := f.valid
	f.valid = func(s string) error {
		if err := valid(s); err != nil {
			return err
		}
		if u, err := url.Parse(s); err != nil || strings.Trim(u.Path, "/") != "" {
			return fmt.Errorf("%s must not have a path: the name of the bucket stands in --bucket", shown(s))
		}
		return nil
	}
	return f
}

// choice is a setting with one of a few values.
func choice(at *string, standard string, choices ...string) *field[string] {
	f := text(at, "word", standard, func(s string) error {
		if !slices.Contains(choices, s) {
			return fmt.Errorf("%s is not one of %s", shown(s), strings.Join(choices, ", "))
		}
		return nil
	})
	f.limits = strings.Join(choices, ", ")
	return f
}

// within adds bounds to a setting, and to its help text.
func within[T cmp.Ordered](f *field[T], least, most T) *field[T] {
	f.limits = f.format(least) + " to " + f.format(most)
	f.valid = func(v T) error {
		if v < least || v > most {
			return fmt.Errorf("%s is out of range: want %s", f.format(v), f.limits)
		}
		return nil
	}
	return f
}

// whole is a setting with a number.
func whole(at *int, standard, least, most int) *field[int] {
	return within(&field[int]{at: at, kind: "number", standard: standard, format: strconv.Itoa,
		parse: func(s string) (int, error) {
			n, err := strconv.Atoi(s)
			if err != nil {
				err = fmt.Errorf("%s is not a whole number", shown(s))
			}
			return n, err
		}}, least, most)
}

// duration is a setting with a length of time.
func duration(at *time.Duration, standard, least, most time.Duration) *field[time.Duration] {
	return within(&field[time.Duration]{at: at, kind: "duration", standard: standard, format: formatDuration,
		parse: func(s string) (time.Duration, error) {
			d, err := time.ParseDuration(s)
			if err != nil {
				err = fmt.Errorf("%s is not a duration such as 20s, 100ms or 1h", shown(s))
			}
			return d, err
		}}, least, most)
}

// formatDuration leaves out the zeros at the end: 1h, not 1h0m0s.
func formatDuration(d time.Duration) string {
	s := d.String()
	if strings.HasSuffix(s, "m0s") {
		s = strings.TrimSuffix(s, "0s")
	}
	if strings.HasSuffix(s, "h0m") {
		s = strings.TrimSuffix(s, "0m")
	}
	return s
}

// bytes is a setting with a number of bytes.
func bytes(at *int64, standard, least, most int64) *field[int64] {
	return within(&field[int64]{at: at, kind: "size", standard: standard, format: formatSize, parse: parseSize},
		least, most)
}

// onOff is a setting that is on or off.
func onOff(at *bool) *field[bool] {
	return &field[bool]{at: at, kind: "bool", format: strconv.FormatBool, parse: func(s string) (bool, error) {
		b, err := strconv.ParseBool(s)
		if err != nil {
			err = fmt.Errorf("%s is neither true nor false", shown(s))
		}
		return b, err
	}}
}

// parts splits a list at its commas.
func parts(s string) (all []string) {
	for part := range strings.SplitSeq(s, ",") {
		if part = strings.TrimSpace(part); part != "" {
			all = append(all, part)
		}
	}
	return all
}

// list is a setting with texts. Its flag may be repeated.
func list(at *[]string, kind string, valid func(string) error) *field[[]string] {
	return &field[[]string]{at: at, kind: kind, format: func(l []string) string { return strings.Join(l, ",") },
		parse: func(s string) ([]string, error) { return append(slices.Clone(*at), parts(s)...), nil },
		valid: each(valid)}
}

// each checks all texts of a list.
func each(valid func(string) error) func([]string) error {
	return func(l []string) error {
		for _, s := range l {
			if err := valid(s); err != nil {
				return err
			}
		}
		return nil
	}
}

// words is a setting with words between commas or spaces.
func words(at *[]string, standard ...string) *field[[]string] {
	return &field[[]string]{at: at, kind: "words", standard: standard,
		parse: func(s string) ([]string, error) {
			return strings.FieldsFunc(s, func(r rune) bool { return r == ',' || unicode.IsSpace(r) }), nil
		},
		format: func(l []string) string { return strings.Join(l, ",") },
		valid: each(func(s string) error {
			if strings.ContainsFunc(s, func(r rune) bool { return r <= ' ' || r >= 0x7f || r == '"' || r == '\\' }) {
				return fmt.Errorf("%s has a character other than printable ASCII, or a quote or a backslash", shown(s))
			}
			return nil
		})}
}

// lines is a setting with texts that may have commas, one on each line. Its flag may be repeated.
func lines(at *[]string, kind string, valid func(string) error) *field[[]string] {
	return &field[[]string]{at: at, kind: kind, valid: each(valid),
		format: func(l []string) string { return strings.Join(l, "\n") },
		parse: func(s string) ([]string, error) {
			all := slices.Clone(*at)
			for line := range strings.Lines(s) {
				if line = strings.TrimSpace(line); line != "" {
					all = append(all, line)
				}
			}
			return all, nil
		}}
}

// networks is a setting with networks or single addresses.
func networks(at *[]netip.Prefix) *field[[]netip.Prefix] {
	return &field[[]netip.Prefix]{at: at, kind: "networks", parse: parseNetworks,
		format: func(l []netip.Prefix) string {
			var all []string
			for _, p := range l {
				all = append(all, p.String())
			}
			return strings.Join(all, ",")
		}}
}

func parseNetworks(s string) (all []netip.Prefix, err error) {
	for _, part := range parts(s) {
		prefix, err := netip.ParsePrefix(part)
		if addr, addrErr := netip.ParseAddr(part); addrErr == nil {
			prefix, err = netip.PrefixFrom(addr, addr.BitLen()), nil
		}
		if err != nil {
			return nil, fmt.Errorf("%s is neither an address nor a network such as 10.0.0.0/8", shown(part))
		}
		all = append(all, prefix.Masked())
	}
	return all, nil
}

// roles is the setting of a node's roles.
func roles(at *Roles) *field[Roles] {
	return &field[Roles]{at: at, kind: "roles", standard: AllRoles, parse: ParseRoles, format: Roles.String,
		limits: "ingest, read, background, all", valid: func(r Roles) error {
			if r == (Roles{}) {
				return errors.New("must not be empty: name some of ingest, read and background, or all")
			}
			return nil
		}}
}
