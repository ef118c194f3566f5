package client

import (
	"context"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
)

// No other origin gets a request, a credential or an event, however a server redirects. Redirects within the origin
// work.
func TestRedirectsStayWithTheServer(t *testing.T) {
	asked := ""
	other := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		asked = r.Method + " " +
			r.URL.Path
	}))
	defer other.Close()
	requests := map[string]func(c *Client) error{
		"download": func(c *Client) error {
			_, err := c.Download(t.Context(), Source{Project: "p", Workspace: "w"}, Query{})
			return err
		},
		"record": func(c *Client) error {
			_, err := c.Record(t.Context(), "p", "w",
				[]byte("{}\n"), false)
			return err
		},
		"call": func(c *Client) error {
			_, err := c.Call(t.Context(), "PATCH", "/x", nil, map[string]string{"a": "b"})
			return err
		},
		"delete": func(c *Client) error { _, err := c.Call(t.Context(), "DELETE", "/x", nil, nil); return err },
		"list":   func(c *Client) error { _, err := c.List(t.Context(), "/x", nil); return err },
		"fetch":  func(c *Client) error { _, err := c.Fetch(t.Context(), "/x", nil); return err },
		"http": func(c *Client) error {
			resp, err := c.HTTP().Get(c.URL() + "/x")
			if err == nil {
				resp.Body.Close()
			}
			return err
		},
		"another server": func(c *Client) error {
			resp, err := c.HTTP().Get(other.URL + "/x")
			if err == nil {
				resp.Body.Close()
			}
			return err
		},
	}
	for _, status := range []int{301, 302, 303, 307, 308} {
		for _, where := range []string{"at once", "after a challenge", "for a token", "in the end"} {
			here := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				switch {
				case r.URL.Path == "/api/oauth/token" && where != "for a token":
					w.Header().Set("Content-Type", "application/json")
					io.WriteString(w, `{"access_token":"t","expires_in":3600,"token_type":"Bearer"}`)
				case where == "after a challenge" && !strings.HasPrefix(r.Header.Get("Authorization"), "Digest "):
					w.Header().Set("WWW-Authenticate", `Digest realm="r", nonce="n", algorithm=MD5, qop="auth"`)
					w.WriteHeader(401)
				case where == "in the end" && r.URL.Path != "/again":
					http.Redirect(w, r, "/again", status)
				default:
					http.Redirect(w, r, other.URL+"/stolen", status)
				}
			}))
			config := Config{URL: here.URL, ClientID: "id", ClientSecret: "secret"}
			if where == "after a challenge" {
				config = Config{URL: here.URL, PublicKey: "a", PrivateKey: "b"}
			}
			for name, request := range requests {
				c, err := New(config)
				if err != nil {
					t.Fatal(err)
				}
				err = Retry(t.Context(), RetryOptions{Most: 1 << 40}, func() error { return request(c) })
				var redirect *RedirectError
				if !errors.As(err, &redirect) || asked != "" {
					t.Errorf("%d %s, %s: %v, the other server was asked %q", status, where, name, err, asked)
				}
			}
			here.Close()
		}
	}
}

func TestPathsAreNotHosts(t *testing.T) {
	c, err := New(Config{URL: "http://127.0.0.1:1", ClientID: "a", ClientSecret: "b"})
	if err != nil {
		t.Fatal(err)
	}
	for _, path := range []string{"@example.org/", ".example.org/", ":80@example.org/", "0/x", ""} {
		if _, err := c.Fetch(context.Background(), path, nil); err == nil ||
			!strings.Contains(err.Error(), "not a path") {
			t.Errorf("%q: %v", path, err)
		}
	}
}

func TestOriginsAreSchemeHostAndPort(t *testing.T) {
	for _, tt := range []struct {
		from, to string
		same     bool
	}{
		{"http://a/x", "http://A:80/y", true}, {"https://a/x", "https://a:443/", true},
		{"https://a/", "http://a/", false},
		{"http://a/", "http://a:8080/", false}, {"http://a/", "http://b.a/", false},
		{"http://[::1]:80/", "http://[::1]/", true},
	} {
		first, err := http.NewRequest("GET", tt.from, nil)
		if err != nil {
			t.Fatal(err)
		}
		next, err := http.NewRequest("GET", tt.to, nil)
		if err != nil {
			t.Fatal(err)
		}
		if err := stayAtOrigin(next, []*http.Request{first}); (err == nil) != tt.same {
			t.Errorf("%s to %s: %v", tt.from, tt.to, err)
		}
	}
}
