package web

import (
	"encoding/json"
	"io"
	"net/http"
	"net/url"
	"strings"
	"time"
)

const (
	flowLife  = 10 * time.Minute // of the cookie of a sign-in that has begun
	maxAnswer = 8 << 10          // bytes of a provider's answer
)

// ways says how a person can sign in, beside with a credential.
func (s *server) ways(w http.ResponseWriter, _ *http.Request) {
	data, _ := json.Marshal(map[string]string{"provider": s.provider}) // cannot fail
	w.Header().Set("Content-Type", "application/json")
	w.Write(data) // An error means that the client has gone.
}

// flowCookie returns the cookie of a sign-in that has begun. It binds the provider's answer to this browser. The answer
// comes with a navigation from the provider's site, so the cookie is one that such a navigation sends.
func (s *server) flowCookie(r *http.Request, flow string, life time.Duration) *http.Cookie {
	return &http.Cookie{Name: s.cookieName(r) + "-flow", Value: flow, Path: "/", MaxAge: int(life.Seconds()),
		HttpOnly: true, Secure: s.isSecure(r), SameSite: http.SameSiteLaxMode}
}

// start begins the sign-in of a person, and replies where the provider is. The flow, against which its end is checked,
// goes into a cookie that no script can read.
func (s *server) start(w http.ResponseWriter, r *http.Request) {
	if !s.maySignIn(w, r) {
		return
	}
	got := s.post(r, apiSession+":authorize", url.Values{"redirect_uri": {s.api.BaseURL(r) + answerPath}})
	body := got.body.Bytes()
	if got.status == http.StatusOK {
		var flow string
		var err error
		if body, flow, err = without("flow", body); err != nil || flow == "" {
			refuse(w, http.StatusInternalServerError, "UNEXPECTED_ERROR", "The sign-in could not be begun.")
			return
		}
		http.SetCookie(w, s.flowCookie(r, flow, flowLife))
	}
	got.reply(w, body)
}

// answer ends the sign-in of a person by the provider's answer, with which it has sent the browser here. The browser
// goes on to the page, wherever the answer came from: nothing in it says where to.
func (s *server) answer(w http.ResponseWriter, r *http.Request) {
	flow, err := r.Cookie(s.flowCookie(r, "", 0).Name)
	http.SetCookie(w, s.flowCookie(r, "", -time.Second))
	if err != nil || flow.Value == "" || len(r.URL.RawQuery) > maxAnswer {
		arrive(w, r, "begin")
		return
	}
	got := s.post(r, apiSession, url.Values{"flow": {flow.Value}, "answer": {r.URL.RawQuery}})
	_, text, err := without("session", got.body.Bytes())
	if got.status == http.StatusCreated && err == nil && text != "" {
		http.SetCookie(w, s.cookie(r, text, 0))
		arrive(w, r, "")
		return
	}
	switch got.status {
	case http.StatusUnauthorized:
		arrive(w, r, "refused")
	case http.StatusTooManyRequests:
		arrive(w, r, "often")
	default:
		arrive(w, r, "unavailable")
	}
}

// arrive sends the browser to the page, with a word for the error; empty if there is none. The word is in the part of
// the address that no server sees, and the page has a sentence for each.
func arrive(w http.ResponseWriter, r *http.Request, problem string) {
	target := "/"
	if problem != "" {
		target += "#signin=" + problem
	}
	http.Redirect(w, r, target, http.StatusSeeOther)
}

// post has the API answer a form that stands in no request of the browser's.
func (s *server) post(r *http.Request, path string, form url.Values) *captured {
	asked := inSession(r, path, "")
	body := form.Encode()
	asked.Method, asked.URL.RawQuery, asked.RequestURI = http.MethodPost, "", path
	asked.Body, asked.ContentLength = io.NopCloser(strings.NewReader(body)), int64(len(body))
	asked.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	got := new(captured)
	s.api.ServeHTTP(got, asked)
	return got
}
