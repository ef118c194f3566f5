package notify

import (
	"bufio"
	"bytes"
	"cmp"
	"context"
	"crypto/tls"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"mime"
	"mime/quotedprintable"
	"net"
	"net/http"
	"net/http/httptest"
	"net/mail"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	standardwebhooks "github.com/standard-webhooks/standard-webhooks/libraries/go"

	"github.com/weirlog/weir/internal/alert/rule"
	"github.com/weirlog/weir/internal/egress"
	"github.com/weirlog/weir/internal/retry"
	"github.com/weirlog/weir/internal/seal"
	"github.com/weirlog/weir/internal/webhook"
)

const project = "6a793f48c0eb9e7a17712c9c"

var (
	box      = seal.NewBox(make([]byte, 32))
	loopback = egress.New([]netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")})
)

// hidden gives a notifier its secret.
func hidden(t *testing.T, n *Notifier, secret string) *Notifier {
	t.Helper()
	n.ID = "n1"
	var err error
	if n.Secret, err = box.Hide(SecretPlace(project, n.ID), secret); err != nil {
		t.Fatal(err)
	}
	return n
}

func send(t *testing.T, n *Notifier, messages ...Message) (int, error) {
	t.Helper()
	return NewSender(loopback, box).Send(t.Context(), n, messages)
}

// message is of an alert, with whatever an attacker has written into an event.
func message(who string, resolved bool) Message {
	m := Message{Project: project, Resolved: resolved, URL: "https://weir.example/?q=x", Rule: rule.Rule{ID: "r1",
		Definition: rule.Definition{Name: "many", Description: "Somebody guesses.", Severity: "high",
			Kind: rule.Threshold, Count: 3, Within: rule.Duration(time.Hour), By: []string{"actor.user.name"}}},
		Alert: rule.Alert{ID: "a1", Cause: rule.Fired, Group: []string{who}, From: 1_790_000_000_000,
			To: 1_790_000_060_000, Fired: 1_790_000_001_000, Log: "l1", Entry: 7}}
	if resolved {
		m.Alert.Resolved = 1_790_000_600_000
	}
	return m
}

// received is what a server was sent.
type received struct {
	mu     sync.Mutex
	status int
	header http.Header
	bodies []string
	paths  []string
}

func (r *received) ServeHTTP(w http.ResponseWriter, in *http.Request) {
	body, _ := io.ReadAll(in.Body)
	r.mu.Lock()
	defer r.mu.Unlock()
	r.header, r.bodies, r.paths = in.Header.Clone(), append(r.bodies, string(body)), append(r.paths, in.URL.Path)
	if r.status != 0 {
		w.Header().Set("Retry-After", "7")
		w.Header().Set("Location", "/elsewhere")
		w.WriteHeader(r.status)
	}
}

func serve(t *testing.T, h http.Handler) string {
	s := httptest.NewServer(h)
	t.Cleanup(s.Close)
	return s.URL
}

func TestWebhooksAreSigned(t *testing.T) {
	var got received
	secret := webhook.NewSecret()
	n := hidden(t, &Notifier{Type: Webhook, URL: serve(t, &got) + "/hook"}, secret)
	if accepted, err := send(t, n, message("anna", false), message("anna", true)); accepted != 2 || err != nil {
		t.Fatal(accepted, err)
	}
	receiver, err := standardwebhooks.NewWebhook(secret)
	if err != nil {
		t.Fatal(err)
	}
	if err := receiver.Verify([]byte(got.bodies[1]), got.header); err != nil {
		t.Error(err)
	}
	if id := got.header.Get("webhook-id"); id != "a1-resolved" {
		t.Errorf("the message is %s", id)
	}
	var body struct {
		Type string
		Data struct {
			Rule, Text, URL string
			Group           map[string]string
			Entry           int64
		}
	}
	if err := json.Unmarshal([]byte(got.bodies[0]), &body); err != nil || body.Type != "alert.fired" ||
		body.Data.Group["actor.user.name"] != "anna" || body.Data.Entry != 7 || body.Data.URL == "" {
		t.Errorf("%s: %v", got.bodies[0], err)
	}
}

func TestAlertmanagerIsTold(t *testing.T) {
	var got received
	url := serve(t, &got)
	accepted, err := send(t, &Notifier{Type: Alertmanager, URL: url + "/am/"}, message("anna", false),
		message("anna", true))
	if accepted != 2 || err != nil {
		t.Fatal(accepted, err)
	}
	if len(got.paths) != 1 || got.paths[0] != "/am/api/v2/alerts" {
		t.Errorf("paths %q", got.paths)
	}
	var alerts []struct {
		Labels, Annotations map[string]string
		StartsAt, EndsAt    time.Time
		GeneratorURL        string
	}
	if err := json.Unmarshal([]byte(got.bodies[0]), &alerts); err != nil {
		t.Fatal(err)
	}
	now := time.Now()
	if len(alerts) != 2 || !alerts[0].EndsAt.After(now.Add(time.Minute)) || alerts[1].EndsAt.After(now) ||
		fmt.Sprint(alerts[0].Labels) != fmt.Sprint(alerts[1].Labels) || alerts[0].Labels["alertname"] != "many" ||
		alerts[0].Annotations["field_actor_user_name"] != "anna" || alerts[0].GeneratorURL == "" {
		t.Errorf("%s", got.bodies[0])
	}
}

func TestPasswordsOfAlertmanager(t *testing.T) {
	for user, want := range map[string]string{"": "Bearer sesame", "weir": "Basic d2VpcjpzZXNhbWU="} {
		var got received
		n := hidden(t, &Notifier{Type: Alertmanager, URL: serve(t, &got), Username: user}, "sesame")
		if _, err := send(t, n, message("anna", false)); err != nil || got.header.Get("Authorization") != want {
			t.Errorf("%q: %q, %v", user, got.header.Get("Authorization"), err)
		}
	}
}

// Whatever a server answers but success is no acceptance. What it says does not reach the error, and a redirect is
// not followed.
func TestOnlySuccessIsAnAcceptance(t *testing.T) {
	for _, status := range []int{301, 307, 400, 401, 404, 429, 500, 503} {
		got := received{status: status}
		n := hidden(t, &Notifier{Type: Webhook, URL: serve(t, &got)}, webhook.NewSecret())
		accepted, err := send(t, n, message("anna", false), message("anna", true))
		if accepted != 0 || err == nil || err.Error() != fmt.Sprint("status ", status) || len(got.bodies) != 1 {
			t.Errorf("%d: %d, %v, %d requests", status, accepted, err, len(got.bodies))
		}
		policy := retry.Policy{First: time.Second}
		if pause := policy.Pauses().Next(err); pause != 7*time.Second {
			t.Errorf("%d: a pause of %v", status, pause)
		}
	}
}

func TestClosedAddressesAreNotReached(t *testing.T) {
	var got received
	url := serve(t, &got)
	for _, n := range []*Notifier{{Type: Alertmanager, URL: url + "/sesame"},
		hidden(t, &Notifier{Type: Webhook, URL: url + "/sesame"}, webhook.NewSecret()),
		{Type: SMTP, Address: strings.TrimPrefix(url, "http://")}} {
		_, err := NewSender(egress.New(nil), box).Send(t.Context(), n, []Message{message("anna", false)})
		if !errors.Is(err, egress.ErrRefused) || len(got.bodies) > 0 {
			t.Errorf("%s: %v", n.Type, err)
		}
		// Errors are shown to readers, and the path of a URL is often what lets somebody call it.
		if err == nil || strings.Contains(err.Error(), "sesame") {
			t.Errorf("%s: the error has the URL: %v", n.Type, err)
		}
	}
}

// A secret that was hidden for another notifier, or another project, is sent nowhere.
func TestForeignSecretIsNotSent(t *testing.T) {
	var got received
	n := hidden(t, &Notifier{Type: Alertmanager, URL: serve(t, &got)}, "sesame")
	n.ID = "n2"
	if _, err := send(t, n, message("anna", false)); err == nil || len(got.bodies) > 0 {
		t.Error(err)
	}
}

// mailServer speaks just enough SMTP.
type mailServer struct {
	net.Listener
	ca        string
	config    *tls.Config
	hides     bool   // It does not offer STARTTLS.
	refuses   string // what a command that it refuses begins with
	answers   string // what it then says
	ways      string // to sign in
	talks     bool   // without end
	mu        sync.Mutex
	mails     []string
	passwords []string
	clear     []string // commands that came before TLS
	serving   sync.WaitGroup
}

func newMailServer(t *testing.T, tlsFirst bool) *mailServer {
	s := httptest.NewUnstartedServer(nil)
	s.StartTLS()
	t.Cleanup(s.Close)
	var ca bytes.Buffer
	if err := pem.Encode(&ca, &pem.Block{Type: "CERTIFICATE", Bytes: s.Certificate().Raw}); err != nil {
		t.Fatal(err)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	m := &mailServer{Listener: l, ca: ca.String(), config: s.TLS.Clone()}
	m.config.NextProtos = nil
	if tlsFirst {
		m.Listener = tls.NewListener(l, m.config)
	}
	m.serving.Go(func() {
		for {
			c, err := m.Accept()
			if err != nil {
				return
			}
			m.serving.Go(func() { m.serve(c, tlsFirst) })
		}
	})
	t.Cleanup(func() { l.Close(); m.serving.Wait() })
	return m
}

func (m *mailServer) serve(c net.Conn, secure bool) {
	defer c.Close()
	in := bufio.NewReader(c)
	say := func(text string) { fmt.Fprintf(c, "%s\r\n", text) }
	say("220 mail")
	for {
		line, err := in.ReadString('\n')
		if err != nil {
			return
		}
		line = strings.TrimSpace(line)
		verb, _, _ := strings.Cut(strings.ToUpper(line), " ")
		m.mu.Lock()
		refuses, answers, ways, talks := m.refuses, cmp.Or(m.answers, "554 no"), cmp.Or(m.ways, "PLAIN"), m.talks
		if !secure {
			m.clear = append(m.clear, verb)
		}
		m.mu.Unlock()
		if talks {
			for {
				if _, err := fmt.Fprintf(c, "250-%s\r\n", strings.Repeat("x", 500)); err != nil {
					return
				}
			}
		}
		switch {
		case refuses != "" && strings.HasPrefix(line, refuses):
			say(answers)
		case verb == "EHLO" && !strings.Contains(line, "."):
			say("550 who is that?")
		case verb == "EHLO" && !secure && !m.hides:
			say("250-mail\r\n250-STARTTLS\r\n250 AUTH " + ways)
		case verb == "EHLO":
			say("250-mail\r\n250 AUTH " + ways)
		case line == "AUTH LOGIN":
			for _, asks := range []string{"User Name", "Password"} {
				say("334 " + base64.StdEncoding.EncodeToString([]byte(asks)))
				answer, _ := in.ReadString('\n')
				text, _ := base64.StdEncoding.DecodeString(strings.TrimSpace(answer))
				line += " " + string(text)
			}
			m.mu.Lock()
			m.passwords = append(m.passwords, line)
			m.mu.Unlock()
			say("235 ok")
		case verb == "STARTTLS":
			say("220 go")
			t := tls.Server(c, m.config)
			c, in, secure = t, bufio.NewReader(t), true
		case verb == "AUTH":
			m.mu.Lock()
			m.passwords = append(m.passwords, line)
			m.mu.Unlock()
			say("235 ok")
		case verb == "DATA":
			say("354 go")
			m.readMail(in)
			say("250 ok")
		default:
			say("250 ok")
		}
	}
}

func (m *mailServer) readMail(in *bufio.Reader) {
	var mail strings.Builder
	for {
		line, err := in.ReadString('\n')
		if err != nil || line == ".\r\n" {
			break
		}
		mail.WriteString(line)
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	m.mails = append(m.mails, mail.String())
}

func (m *mailServer) notifier(t *testing.T, security Security) *Notifier {
	return hidden(t, &Notifier{Type: SMTP, Address: m.Addr().String(), Security: security, CA: m.ca,
		From: "Weir <weir@example.org>", To: []string{"Ops Ä <ops@example.org>", "b@example.org"}, Username: "weir"},
		"sesame")
}

func TestMailIsSentByTLSOnly(t *testing.T) {
	for security, first := range map[Security]bool{StartTLS: false, "": false, TLS: true} {
		m := newMailServer(t, first)
		accepted, err := send(t, m.notifier(t, security), message("anna", false), message("anna", true))
		m.mu.Lock()
		if accepted != 2 || err != nil || len(m.mails) != 2 || len(m.passwords) != 1 ||
			len(m.clear) > 0 && m.clear[len(m.clear)-1] != "STARTTLS" {
			t.Errorf("%s: %d, %v, in clear %q", security, accepted, err, m.clear)
		}
		m.mu.Unlock()
	}
}

func TestMailIsNotSentInClear(t *testing.T) {
	for name, spoil := range map[string]func(*mailServer, *Notifier){
		"no STARTTLS":          func(m *mailServer, _ *Notifier) { m.hides = true },
		"unknown certificate":  func(_ *mailServer, n *Notifier) { n.CA = "" },
		"STARTTLS is refused":  func(m *mailServer, _ *Notifier) { m.refuses = "STARTTLS" },
		"password is refused":  func(m *mailServer, _ *Notifier) { m.refuses = "AUTH" },
		"sender is refused":    func(m *mailServer, _ *Notifier) { m.refuses = "MAIL" },
		"receiver is refused":  func(m *mailServer, _ *Notifier) { m.refuses = "RCPT" },
		"it talks without end": func(m *mailServer, _ *Notifier) { m.talks = true },
	} {
		m := newMailServer(t, false)
		n := m.notifier(t, StartTLS)
		m.mu.Lock()
		spoil(m, n)
		m.mu.Unlock()
		accepted, err := send(t, n, message("anna", false))
		m.mu.Lock()
		if accepted != 0 || err == nil || len(m.mails) > 0 {
			t.Errorf("%s: %d, %v", name, accepted, err)
		}
		for _, verb := range m.clear {
			if verb == "AUTH" || verb == "MAIL" {
				t.Errorf("%s: %s in clear", name, verb)
			}
		}
		m.mu.Unlock()
	}
}

func TestMailSignsInAsTheServerOffers(t *testing.T) {
	plain := "AUTH PLAIN " + base64.StdEncoding.EncodeToString([]byte("\x00weir\x00sesame"))
	for ways, want := range map[string]string{"PLAIN": plain, "LOGIN PLAIN": plain, "plain": plain,
		"LOGIN": "AUTH LOGIN weir sesame", "XOAUTH2 LOGIN": "AUTH LOGIN weir sesame"} {
		m := newMailServer(t, false)
		m.ways = ways
		accepted, err := send(t, m.notifier(t, StartTLS), message("anna", false))
		m.mu.Lock()
		if accepted != 1 || err != nil || !slices.Equal(m.passwords, []string{want}) {
			t.Errorf("%s: %d, %v: %q", ways, accepted, err, m.passwords)
		}
		m.mu.Unlock()
	}
}

// The permanent refusal of one receiver does not keep the mail from the others, and they are told of it. What is
// refused for now is sent again to all.
func TestMailGoesToThoseWhoAreTaken(t *testing.T) {
	for _, tt := range []struct {
		refuses, answers string
		sent             bool
	}{
		{"RCPT TO:<ops@example.org>", "550 5.1.1 no such user", true},
		{"RCPT TO:<b@example.org>", "554 no relay", true},
		{"RCPT TO:<b@example.org>", "450 greylisted", false},
		{"RCPT", "550 5.1.1 no such user", false},
	} {
		m := newMailServer(t, false)
		m.refuses, m.answers = tt.refuses, tt.answers
		accepted, err := send(t, m.notifier(t, StartTLS), message("anna", false))
		m.mu.Lock()
		if (accepted == 1) != tt.sent || (err == nil) != tt.sent || (len(m.mails) == 1) != tt.sent {
			t.Errorf("%s, %s: %d, %v, %d mails", tt.refuses, tt.answers, accepted, err, len(m.mails))
		}
		if said := "refused to give this mail to:"; tt.sent && !strings.Contains(m.mails[0], said) {
			t.Errorf("the mail does not say who is refused: %s", m.mails[0])
		}
		m.mu.Unlock()
	}
}

// A server that hangs is left when the context ends.
func TestMailEndsWithItsContext(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	ctx, cancel := context.WithCancel(t.Context())
	var accepting sync.WaitGroup
	accepting.Go(func() {
		c, err := l.Accept()
		if err == nil {
			cancel()
			_, _ = io.Copy(io.Discard, c)
			c.Close()
		}
	})
	_, err = NewSender(loopback, box).Send(ctx, &Notifier{Type: SMTP, Address: l.Addr().String()},
		[]Message{message("anna", false)})
	if err == nil {
		t.Error("it hangs no more, and accepted")
	}
	accepting.Wait()
}

// Nothing that an event or a rule says becomes a header, an end of the mail or a line of its own.
func TestMailsCannotBeForged(t *testing.T) {
	n := &Notifier{Type: SMTP, From: "Weir <weir@example.org>", To: []string{"ops@example.org"}}
	for _, evil := range []string{"x\r\nBcc: evil@example.org", "x\r\n.\r\nMAIL FROM:<evil@example.org>", "x\n\nbody",
		"\u2028Bcc: x", "=0D=0ABcc: x", strings.Repeat("x", 10_000), "\x00\x1b[31m", "ä\u202e"} {
		m := message(evil, false)
		m.Rule.Name, m.Rule.Description, m.Rule.Query = evil, evil, evil
		data := mailOf(n, &m)
		read, err := mail.ReadMessage(bytes.NewReader(data))
		if err != nil {
			t.Fatalf("%q: %v", evil, err)
		}
		for name := range read.Header {
			switch name {
			case "From", "To", "Subject", "Date", "Message-Id", "Auto-Submitted", "Mime-Version", "Content-Type",
				"Content-Transfer-Encoding":
			default:
				t.Errorf("%q makes a header %s", evil, name)
			}
		}
		subject, err := new(mime.WordDecoder).DecodeHeader(read.Header.Get("Subject"))
		if err != nil || strings.ContainsAny(subject, "\r\n") {
			t.Errorf("%q: subject %q, %v", evil, subject, err)
		}
		body, err := io.ReadAll(quotedprintable.NewReader(read.Body))
		if lines := strings.Count(string(body), "\n"); err != nil || lines != len(bodyLines(&m)) {
			t.Errorf("%q: %d lines, %v: %q", evil, lines, err, body)
		}
		for line := range strings.SplitSeq(string(data), "\r\n") {
			if len(line) > 998 || strings.ContainsAny(line, "\r\n") || line == "." {
				t.Errorf("%q: a line %.100q", evil, line)
			}
		}
	}
}

func TestErrorsAreCutAndVisible(t *testing.T) {
	if got := Shown(errors.New(strings.Repeat("ä", 10_000) + "\x1b")); len(got) > maxShown+10 {
		t.Errorf("%d bytes", len(got))
	}
	if got := Shown(errors.New("a\x1b[31m\nb")); strings.ContainsAny(got, "\x1b\n") {
		t.Errorf("%q", got)
	}
}
