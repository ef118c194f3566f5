package datadog

import (
	"maps"
	"slices"
	"strings"

	"github.com/weirlog/weir/internal/deliver"
	"github.com/weirlog/weir/internal/deliver/post"
)

// Settings say where events go and what signs in there.
type Settings struct {
	Region  string `json:"region"` // such as US1
	APIKey  string `json:"apiKey"`
	Service string `json:"service,omitempty"` // what the events' service is called (default weir)
	Tags    string `json:"tags,omitempty"`    // of each event, such as env:prod,team:data
}

// sites are the hosts that take logs, by region as Atlas names it.
var sites = map[string]string{
	"US1": "datadoghq.com", "US3": "us3.datadoghq.com", "US5": "us5.datadoghq.com", "EU": "datadoghq.eu",
	"AP1": "ap1.datadoghq.com", "AP2": "ap2.datadoghq.com", "US1_FED": "ddog-gov.com",
}

// Bounds on settings, in bytes.
const (
	maxService = 100
	maxTags    = 1000
	maxKey     = 200
)

// Check implements deliver.Settings.
func (s *Settings) Check(w *deliver.Wrong) {
	w.Unless(sites[s.Region] != "", "region", "must be one of %s", strings.Join(slices.Sorted(maps.Keys(sites)), ", "))
	w.Unless(s.APIKey != "" && len(s.APIKey) <= maxKey && post.IsHeaderValue(s.APIKey), "apiKey",
		"must be a key, of at most %d printable ASCII characters", maxKey)
	w.Unless(len(s.Service) <= maxService, "service", "must have at most %d bytes", maxService)
	w.Unless(len(s.Tags) <= maxTags, "tags", "must have at most %d bytes", maxTags)
}

// Secrets implements deliver.Settings.
func (s *Settings) Secrets() map[string]*string { return map[string]*string{"apiKey": &s.APIKey} }

// Receiver implements deliver.Settings.
func (s *Settings) Receiver() []string { return []string{s.Region} }
