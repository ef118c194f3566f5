package elastic

import (
	"net/url"
	"strings"

	"github.com/weirlog/weir/internal/deliver"
	"github.com/weirlog/weir/internal/deliver/post"
)

// Settings say where events go and what signs in there.
type Settings struct {
	// URL is that of the server, or a path there. If it does not end in /_bulk, this is appended. Its query is kept.
	URL      string `json:"elasticUrl"`
	Index    string `json:"index,omitempty"` // or data stream; if empty, the one that the URL names
	APIKey   string `json:"apiKey,omitempty"`
	Username string `json:"username,omitempty"`
	Password string `json:"password,omitempty"`
	CA       string `json:"caCertificate,omitempty"` // PEM; trusted instead of the system's
}

// Bounds on settings, in bytes.
const (
	maxIndex  = 255 // Elasticsearch's
	maxSecret = 1000
)

// Check implements deliver.Settings.
func (s *Settings) Check(w *deliver.Wrong) {
	post.CheckURL(w, "elasticUrl", s.URL)
	post.CheckCA(w, "caCertificate", s.CA)
	w.Unless(len(s.Index) <= maxIndex && !strings.ContainsAny(s.Index, "\\/*?\"<>| ,#:\n") &&
		strings.ToLower(s.Index) == s.Index && !strings.HasPrefix(s.Index, "-") && !strings.HasPrefix(s.Index, "+") &&
		s.Index != "." && s.Index != "..", "index", "must be the name of an index or a data stream: in lower case, "+
		`at most %d bytes, without \ / * ? " < > | , # : and spaces`, maxIndex)
	w.Unless(s.APIKey == "" || s.Username == "", "apiKey", "must not be given together with username")
	w.Unless((s.Username == "") == (s.Password == ""), "password", "must be given if and only if username is")
	w.Unless(!strings.Contains(s.Username, ":"), "username", "must not contain a colon")
	w.Unless(len(s.APIKey) <= maxSecret && post.IsHeaderValue(s.APIKey), "apiKey",
		"must have at most %d printable ASCII characters", maxSecret)
	w.Unless(len(s.Username) <= maxSecret && len(s.Password) <= maxSecret, "username",
		"and password must have at most %d bytes each", maxSecret)
}

// Secrets implements deliver.Settings.
func (s *Settings) Secrets() map[string]*string {
	return map[string]*string{"apiKey": &s.APIKey, "password": &s.Password}
}

// Receiver implements deliver.Settings.
func (s *Settings) Receiver() []string { return []string{s.URL, s.CA, s.Username} }

// bulk returns the URL that batches are posted to. The reply is asked for in its shortest form.
func (s *Settings) bulk() (string, error) {
	u, err := url.Parse(s.URL)
	if err != nil {
		return "", err
	}
	if path := strings.TrimSuffix(u.Path, "/"); strings.HasSuffix(path, "/_bulk") {
		u.Path = path
	} else {
		u.Path = path + "/_bulk"
	}
	query := u.Query()
	query.Set("filter_path", filter)
	u.RawQuery = query.Encode()
	return u.String(), nil
}
