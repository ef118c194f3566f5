package client

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// A user who waits is told so after some seconds and then seldom, whether requests fail or hang.
func TestRetryTellsThatItTakesLong(t *testing.T) {
	for name, hang := range map[string]time.Duration{"fails": 0, "hangs": 2 * time.Minute} {
		synctest.Test(t, func(t *testing.T) {
			var told []string
			o := RetryOptions{Most: 5 * time.Minute, Waiting: func(elapsed time.Duration, last error) {
				told = append(told, fmt.Sprint(elapsed, " ", last != nil))
			}}
			start := time.Now()
			err := Retry(t.Context(), o, func() error { time.Sleep(hang); return &Error{Status: 503} })
			if err == nil || time.Since(start) > 7*time.Minute {
				t.Errorf("%s: %v after %s", name, err, time.Since(start))
			}
			failed := fmt.Sprint(hang == 0)
			want := []string{"5s " + failed, "30s " + failed, "1m0s " + failed}
			if len(told) < 4 || len(told) > 8 || !slices.Equal(told[:3], want) {
				t.Errorf("%s: told %q", name, told)
			}
		})
	}
	synctest.Test(t, func(t *testing.T) {
		o := RetryOptions{Most: time.Minute, Waiting: func(time.Duration,
			error) {
			t.Error("told of what took a second")
		}}
		if err := Retry(t.Context(), o, func() error { time.Sleep(time.Second); return nil }); err != nil {
			t.Error(err)
		}
	})
}

// Retry pauses for as long as the server asks. Cancelling the context ends the pause.
func TestRetryWaitsAsLongAsTheServerSays(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		start, tries := time.Now(), 0
		err := Retry(t.Context(), RetryOptions{Most: time.Hour}, func() error {
			if tries++; tries < 3 {
				return &Error{Status: 429, RetryAfter: 40 * time.Second}
			}
			return nil
		})
		if err != nil || time.Since(start) != 80*time.Second {
			t.Errorf("%v after %s", err, time.Since(start))
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		start = time.Now()
		if err := Retry(ctx, RetryOptions{Most: time.Hour},
			func() error { return &Error{Status: 503, RetryAfter: time.Minute} }); err == nil ||
			time.Since(start) != time.Second {
			t.Errorf("%v after %s", err, time.Since(start))
		}
	})
}

// At an address that is not the API's, the error says what may be wrong, with either kind of credentials.
func TestErrorsAtAnotherAddress(t *testing.T) {
	admin := httptest.NewServer(http.NotFoundHandler())
	defer admin.Close()
	for _, config := range []Config{{URL: admin.URL, ClientID: "a", ClientSecret: "b"}, {URL: admin.URL, PublicKey: "a",
		PrivateKey: "b"}} {
		c, err := New(config)
		if err != nil {
			t.Fatal(err)
		}
		_, err = c.Call(t.Context(), "GET", "/api/atlas/v2/groups", nil, nil)
		if err == nil || !strings.Contains(err.Error(), "admin address") || !strings.Contains(err.Error(), admin.URL) {
			t.Errorf("got %v", err)
		}
	}
}

// An error of a connection names the address, without the query.
func TestErrorsLeaveOutWhatWasAskedFor(t *testing.T) {
	s := httptest.NewServer(http.NotFoundHandler())
	s.Close()
	c, err := New(Config{URL: s.URL, PublicKey: "p", PrivateKey: "q"})
	if err != nil {
		t.Fatal(err)
	}
	_, err = c.Call(t.Context(), "GET", "/api/x", url.Values{"read": {"long"}}, nil)
	if err == nil || strings.Contains(err.Error(), "long") || !strings.Contains(err.Error(), s.URL+"/api/x") {
		t.Errorf("%v", err)
	}
}
