package notify

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"mime"
	"mime/quotedprintable"
	"net"
	"net/mail"
	"net/netip"
	"net/smtp"
	"net/textproto"
	"os"
	"regexp"
	"slices"
	"strings"
	"sync"
	"time"
	"unicode"

	"github.com/weirlog/weir/internal/egress"
)

// maxFromServer bounds the replies of a mail server in one connection, in bytes.
const maxFromServer = 1 << 20

// mail sends each message in a mail of its own, over one connection. A server that does not speak TLS, or whose
// certificate does not verify, is given neither a password nor a mail.
func (s *Sender) mail(ctx context.Context, n *Notifier, secret string, messages []Message) (accepted int, err error) {
	ctx, cancel := context.WithTimeout(ctx, time.Duration(len(messages)+1)*requestTime)
	defer cancel()
	c, err := s.dialMail(ctx, n)
	if err != nil {
		return 0, err
	}
	defer c.Close()
	if n.Username != "" {
		if err := signIn(c, n, secret); err != nil {
			return 0, fmt.Errorf("sign in: %w", err)
		}
	}
	for i := range messages {
		if err := sendMail(c, n, &messages[i]); err != nil {
			return i, err
		}
	}
	_ = c.Quit() // All mails were accepted.
	return len(messages), nil
}

// signIn signs in by PLAIN, or by LOGIN where the server offers only that.
func signIn(c *smtp.Client, n *Notifier, secret string) error {
	host, _, err := net.SplitHostPort(n.Address)
	if err != nil {
		return err
	}
	_, offers := c.Extension("AUTH")
	ways := strings.Fields(strings.ToUpper(offers))
	if !slices.Contains(ways, "PLAIN") && slices.Contains(ways, "LOGIN") {
		return c.Auth(&login{username: n.Username, password: secret})
	}
	return c.Auth(smtp.PlainAuth("", n.Username, secret, host))
}

// login is the mechanism LOGIN (draft-murchison-sasl-login). It is used over TLS only, as dialMail knows no other way.
type login struct{ username, password string }

func (l *login) Start(server *smtp.ServerInfo) (mechanism string, first []byte, err error) {
	if !server.TLS {
		return "", nil, errors.New("the connection has no TLS")
	}
	return "LOGIN", nil, nil
}

// Next answers the two challenges, whose texts differ between servers: the name is asked for first.
func (l *login) Next(_ []byte, more bool) (reply []byte, err error) {
	if !more {
		return nil, nil
	}
	if l.username != "" {
		reply, l.username = []byte(l.username), ""
		return reply, nil
	}
	reply, l.password = []byte(l.password), ""
	return reply, nil
}

// dialMail connects to a server of mail by TLS. The connection ends with ctx.
func (s *Sender) dialMail(ctx context.Context, n *Notifier) (*smtp.Client, error) {
	host, _, err := net.SplitHostPort(n.Address)
	if err != nil {
		return nil, err
	}
	verified, err := egress.TLS([]byte(n.CA))
	if err != nil {
		return nil, err
	}
	verified.ServerName = host
	raw, err := s.egress.Dial(ctx, "tcp", n.Address)
	if err != nil {
		return nil, err
	}
	conn := net.Conn(&boundedConn{Conn: raw, left: maxFromServer})
	stop := context.AfterFunc(ctx, func() { raw.Close() })
	fail := func(err error) (*smtp.Client, error) {
		stop()
		raw.Close()
		return nil, err
	}
	if n.Security == TLS {
		conn = tls.Client(conn, verified)
	}
	c, err := smtp.NewClient(conn, host)
	if err != nil {
		return fail(err)
	}
	if err := c.Hello(ownName(raw)); err != nil {
		return fail(err)
	}
	if n.Security == TLS {
		return c, nil
	}
	if ok, _ := c.Extension("STARTTLS"); !ok {
		return fail(errors.New("the server does not offer STARTTLS"))
	}
	if err := c.StartTLS(verified); err != nil {
		return fail(err)
	}
	return c, nil
}

// ownName returns the name by which a client introduces itself: its host name, if that is whole, or its address (RFC
// 5321 section 4.1.3). Servers that relay mail refuse others.
func ownName(c net.Conn) string {
	if name, err := os.Hostname(); err == nil && strings.Contains(name, ".") && hostName().MatchString(name) {
		return name
	}
	at, err := netip.ParseAddrPort(c.LocalAddr().String())
	switch {
	case err != nil:
		return "localhost"
	case at.Addr().Unmap().Is4():
		return "[" + at.Addr().Unmap().String() + "]"
	}
	return "[IPv6:" + at.Addr().WithZone("").String() + "]"
}

var hostName = sync.OnceValue(func() *regexp.Regexp {
	return regexp.MustCompile(`^[A-Za-z0-9]([A-Za-z0-9.-]{0,251}[A-Za-z0-9])$`)
})

// boundedConn ends when the other side has sent too much.
type boundedConn struct {
	net.Conn
	left int
}

func (c *boundedConn) Read(p []byte) (int, error) {
	if c.left <= 0 {
		return 0, errors.New("the mail server sends too much")
	}
	n, err := c.Conn.Read(p[:min(len(p), c.left)])
	c.left -= n
	return n, err
}

// sendMail sends a mail to the receivers that the server accepts. The mail names the others, which the server refuses
// for good, with its reasons.
func sendMail(c *smtp.Client, n *Notifier, m *Message) error {
	if err := c.Mail(bare(n.From)); err != nil {
		return err
	}
	var refused []error
	for _, to := range n.To {
		err := c.Rcpt(bare(to))
		if err == nil {
			continue
		}
		refused = append(refused, fmt.Errorf("%s: %w", to, err))
		var said *textproto.Error
		if forGood := errors.As(err, &said) && said.Code >= 500; !forGood || len(refused) == len(n.To) {
			return errors.Join(errors.Join(refused...), c.Reset())
		}
	}
	w, err := c.Data()
	if err != nil {
		return err
	}
	if _, err := w.Write(mailOf(n, m, refused...)); err != nil {
		return err
	}
	return w.Close()
}

// bare returns an address without a name; "" if it is none, which the server refuses.
func bare(address string) string {
	a, err := mail.ParseAddress(address)
	if err != nil {
		return ""
	}
	return a.Address
}

// mailOf returns a mail. Whatever an event or a rule says stands in one encoded word of the subject, or in the
// body, which is quoted-printable: it can make no header, and no line that ends the mail.
func mailOf(n *Notifier, m *Message, refused ...error) []byte {
	var b bytes.Buffer
	state, at := "FIRING", m.Alert.Fired
	if m.Resolved {
		state, at = "RESOLVED", m.Alert.Resolved
	}
	header := func(name, value string) { fmt.Fprintf(&b, "%s: %s\r\n", name, value) }
	header("From", encoded(n.From))
	var to []string
	for _, address := range n.To {
		to = append(to, encoded(address))
	}
	header("To", strings.Join(to, ",\r\n\t"))
	header("Subject", mime.QEncoding.Encode("utf-8", fmt.Sprintf("[%s] %.100s (%s)", state, oneLine(m.Rule.Name),
		m.Rule.Severity.Text())))
	header("Date", time.UnixMilli(at).UTC().Format(time.RFC1123Z))
	header("Message-ID", "<"+m.ID()+"@weir.invalid>") // the same each time, so that a repetition is known
	header("Auto-Submitted", "auto-generated")
	header("MIME-Version", "1.0")
	header("Content-Type", "text/plain; charset=utf-8")
	header("Content-Transfer-Encoding", "quoted-printable")
	b.WriteString("\r\n")
	w := quotedprintable.NewWriter(&b)
	for _, line := range bodyLines(m, refused...) {
		_, _ = io.WriteString(w, oneLine(line)+"\r\n") // a buffer takes everything
	}
	_ = w.Close()
	return b.Bytes()
}

func bodyLines(m *Message, refused ...error) []string {
	a := &m.Alert
	moment := func(ms int64) string { return time.UnixMilli(ms).UTC().Format(time.RFC3339) }
	lines := []string{m.Rule.Text(a), m.Rule.Description, "",
		"From:    " + moment(a.From), "To:      " + moment(max(a.From, a.To)), "Noticed: " + moment(a.Fired)}
	if m.Resolved {
		lines = append(lines, "Over:    "+moment(a.Resolved))
	}
	if a.Log != "" {
		lines = append(lines, fmt.Sprintf("Entry:   %d of log %s", a.Entry, a.Log))
	}
	lines = append(lines, "Query:   "+m.Rule.Query, "Project: "+m.Project, "Alert:   "+a.ID)
	if m.URL != "" {
		lines = append(lines, "", m.URL)
	}
	if len(refused) > 0 {
		lines = append(lines, "", "The mail server refused to give this mail to:")
	}
	for _, err := range refused {
		lines = append(lines, "  "+Shown(err))
	}
	return lines
}

// encoded returns an address as a header has it.
func encoded(address string) string {
	a, err := mail.ParseAddress(address)
	if err != nil {
		return "<>"
	}
	return a.String()
}

// oneLine replaces what is no printable character, ends of lines among them.
func oneLine(text string) string {
	return strings.Map(func(r rune) rune {
		if unicode.IsPrint(r) {
			return r
		}
		return '�'
	}, text)
}
