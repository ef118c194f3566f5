package source

import (
	"io"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/weirlog/weir/internal/collect/atlas"
)

// counting answers as a server that challenges, and gives out tokens and pages. It notes when it was asked.
type counting struct{ asked []time.Time }

func (s *counting) RoundTrip(r *http.Request) (*http.Response, error) {
	s.asked = append(s.asked, time.Now())
	resp := &http.Response{StatusCode: http.StatusOK, Request: r,
		Header: http.Header{"Content-Type": {"application/json"}}}
	body := `{"results":[{"id":"6a793f48c0eb9e7a17712c9a","name":"shop"}],"totalCount":1}`
	switch {
	case strings.HasSuffix(r.URL.Path, "/token"):
		body = `{"access_token":"t","token_type":"Bearer","expires_in":3600}`
	case r.Header.Get("Authorization") == "":
		resp.StatusCode = http.StatusUnauthorized
		resp.Header.Set("WWW-Authenticate", `Digest realm="r", nonce="n", algorithm=MD5, qop="auth"`)
	}
	resp.Body = io.NopCloser(strings.NewReader(body))
	return resp, nil
}

// However a credential is shown, and however many requests a call is, a server gets at most so many in any minute.
func TestRequestsOfACredentialInAMinute(t *testing.T) {
	for name, settings := range map[string]AtlasSettings{
		"API key":         {URL: "http://atlas.example", PublicKey: "a", Kinds: []atlas.Kind{atlas.ProjectEvents}},
		"service account": {URL: "http://atlas.example", ClientID: "a", Kinds: []atlas.Kind{atlas.ProjectEvents}},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := &counting{}
				pace := atlas.NewPace(atlas.PerMinute)
				for range 500 {
					from, err := settings.Open("secret", s, "", atlas.Options{Pace: pace})
					if err != nil {
						t.Fatal(err)
					}
					if units, err := from.Units(t.Context()); err != nil || len(units) != 1 {
						t.Fatal(units, err)
					}
				}
				most, first := 0, 0
				for last, at := range s.asked {
					for at.Sub(s.asked[first]) >= time.Minute {
						first++
					}
					most = max(most, last-first+1)
				}
				if most > atlas.PerMinute || most < atlas.PerMinute*9/10 {
					t.Errorf("%d of %d requests are in one minute", most, len(s.asked))
				}
			})
		})
	}
}

// Sources that write the URL of one server differently share what the server allows for a credential.
func TestCredentialsOfOneServer(t *testing.T) {
	key := func(url string) string {
		return (&Source{Atlas: &AtlasSettings{URL: url, PublicKey: "a"}}).Credential()
	}
	one := key("https://audit.example.com")
	for _, url := range []string{"https://audit.example.com/", "https://Audit.Example.com",
		"https://audit.example.com:443/"} {
		if key(url) != one {
			t.Errorf("%s is another server: %s, %s", url, key(url), one)
		}
	}
	for _, url := range []string{"http://audit.example.com", "https://audit.example.com:8443",
		"https://audit.example.com/x",
		"https://audit.example.org"} {
		if key(url) == one {
			t.Errorf("%s is the same server", url)
		}
	}
}
