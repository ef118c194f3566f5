package auth

import (
	"context"
	"encoding/base64"
	"errors"
	"net/netip"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/weirlog/weir/internal/account"
)

// signIn returns the text of a new session.
func (w *world) signIn(t *testing.T, id, secret string) string {
	t.Helper()
	_, text, err := w.SignIn(t.Context(), id, secret, here)
	accepted(t, err)
	return text
}

// ended fails unless a session is refused, as what was right once.
func (w *world) ended(t *testing.T, text string) {
	t.Helper()
	refused(t, w.try("Session "+text), true)
}

func TestBothKindsOfCredentialsSignIn(t *testing.T) {
	w := newWorld(t, Options{})
	for id, secret := range map[string]string{w.clientID: w.secret, w.public: w.private} {
		p, text, err := w.SignIn(t.Context(), id, secret, here)
		accepted(t, err)
		if p.Credential.ID != id || p.Session == nil || p.Session.ID == "" {
			t.Errorf("%s: got %+v", id, p)
		}
		accepted(t, w.try("Session "+text))
	}
	for id, secret := range map[string]string{w.clientID: w.private, w.public: w.secret, "abcdefgh": w.private,
		"mdb_sa_id_6a7941c22c88faeba59c580d": w.secret, "": ""} {
		_, text, err := w.SignIn(t.Context(), id, secret, here)
		refused(t, err, false)
		if text != "" {
			t.Errorf("%s: a session although the secret is wrong", id)
		}
	}
}

// A session's text is worth nothing if anything of it is changed, and as another kind of reference.
func TestForgedSessionsAreRefused(t *testing.T) {
	w := newWorld(t, Options{})
	text := w.signIn(t, w.clientID, w.secret)
	data, err := base64.RawURLEncoding.DecodeString(text)
	accepted(t, err)
	for i := range data {
		data[i] ^= 1
		refused(t, w.try("Session "+base64.RawURLEncoding.EncodeToString(data)), false)
		data[i] ^= 1
	}
	content := data[referenceTag:]
	refused(t, w.try("Session "+w.Refer("read", content)), false)
	refused(t, w.try("Session "), false)
	refused(t, w.try("Session "+strings.Repeat("A", maxReference)), false)
	other := New(w.bucket, w.accounts, Secret{2}, Options{})
	refused(t, on(other, "GET", "/", "Session "+text), false)
	refused(t, w.try("Bearer "+text), false)
}

func TestSessionsEndInTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, Options{SessionLife: 3 * time.Hour, SessionIdle: time.Hour})
		unused := w.signIn(t, w.clientID, w.secret)
		used := unused
		for i := range 180 {
			time.Sleep(time.Minute - time.Nanosecond)
			p, err := w.session(t.Context(), used, here)
			accepted(t, err)
			if i == 0 && p.Session.Renewed != "" {
				t.Error("renewed within a minute")
			}
			if minutes := time.Duration(i+1) * time.Minute; p.Session.Changes != (minutes <= ChangesFor) {
				t.Errorf("after %v it changes things: %t", minutes, p.Session.Changes)
			}
			time.Sleep(time.Nanosecond)
			if p.Session.Renewed != "" {
				used = p.Session.Renewed
			}
			if i == 60 {
				w.ended(t, unused)
			}
		}
		w.ended(t, used)
		later, err := w.session(t.Context(), w.signIn(t, w.clientID, w.secret), here)
		accepted(t, err)
		if d := later.Session.Expires.Sub(later.Session.Began); d > 3*time.Hour {
			t.Errorf("lives %v", d)
		}
	})
}

// A kept text of a session is not accepted after the sign-out, at any node, also if it was renewed.
func TestSignedOutSessionsStayOut(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, Options{})
		old, other := w.signIn(t, w.public, w.private), w.signIn(t, w.public, w.private)
		time.Sleep(2 * time.Minute)
		p, err := w.session(t.Context(), old, here)
		accepted(t, err)
		accepted(t, w.SignOut(t.Context(), w.public, p.Session))
		w.ended(t, old)
		w.ended(t, p.Session.Renewed)
		accepted(t, w.try("Session "+other))
		node := New(w.bucket, account.NewDirectory(w.bucket), Secret{1}, Options{})
		refused(t, on(node, "GET", "/", "Session "+old), true)
	})
}

// A node whose clock is ahead has begun sessions that expire later than those of this one.
func TestSignOutEverywhereEndsAllSessionsAndOnlyThose(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, Options{})
		node := New(w.bucket, account.NewDirectory(w.bucket), Secret{1}, Options{})
		one := w.signIn(t, w.clientID, w.secret)
		time.Sleep(30 * time.Second)
		ahead := w.signIn(t, w.clientID, w.secret)
		key := w.signIn(t, w.public, w.private)
		token, _, err := w.Issue(t.Context(), w.clientID, w.secret, here)
		accepted(t, err)
		accepted(t, node.SignOutEverywhere(t.Context(), w.clientID))
		time.Sleep(revocationsAge)
		w.ended(t, one)
		w.ended(t, ahead)
		accepted(t, w.try("Session "+key))
		accepted(t, w.try("Bearer "+token))
		again := w.signIn(t, w.clientID, w.secret)
		accepted(t, w.try("Session "+again))
		accepted(t, w.SignOutEverywhere(t.Context(), w.clientID))
		w.ended(t, again)
		accepted(t, w.try("Session "+w.signIn(t, w.clientID, w.secret)))
		fresh, life, err := w.Issue(t.Context(), w.clientID, w.secret, here)
		accepted(t, err)
		said, _ := w.tokens.parse(fresh)
		if life > MaxTokenLife || time.Until(said.ExpiresAt.Time) > MaxTokenLife+time.Second {
			t.Errorf("a token lives %v, until %v", life, said.ExpiresAt)
		}
	})
}

func TestSessionsEndWithTheirCredential(t *testing.T) {
	w := newWorld(t, Options{})
	ctx := t.Context()
	account1, key := w.signIn(t, w.clientID, w.secret), w.signIn(t, w.public, w.private)
	_, err := w.accounts.UpdateCredential(ctx, w.clientID, func(c *account.Credential) error {
		secret, _ := account.NewSecret(time.Now(), time.Hour)
		c.Secrets = []account.Secret{secret}
		return nil
	})
	accepted(t, err)
	w.ended(t, account1)
	accepted(t, w.accounts.DeleteCredential(ctx, w.public))
	w.ended(t, key)
}

func TestAccessListHoldsForSessions(t *testing.T) {
	w := newWorld(t, Options{})
	text := w.signIn(t, w.public, w.private)
	_, err := w.accounts.UpdateCredential(t.Context(), w.public, func(c *account.Credential) error {
		c.AccessList = []account.AccessEntry{{Block: netip.MustParsePrefix("203.0.113.0/24")}}
		return nil
	})
	accepted(t, err)
	if err := w.try("Session " + text); !errors.As(err, new(*NotOnAccessList)) {
		t.Errorf("a session from elsewhere: %v", err)
	}
	if _, _, err := w.SignIn(t.Context(), w.public, w.private, here); !errors.As(err, new(*NotOnAccessList)) {
		t.Errorf("sign-in from elsewhere: %v", err)
	}
}

func TestACodeSignsInOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, ctx := newWorld(t, Options{}), t.Context()
		code := func() string {
			text, err := w.Code(ctx, w.clientID)
			accepted(t, err)
			return text
		}
		by := func(text string) error {
			_, _, err := w.SignInByCode(ctx, text, here)
			return err
		}
		first, late := code(), code()
		accepted(t, by(first))
		refused(t, by(first), false)
		refused(t, by(""), false)
		time.Sleep(codeLife)
		refused(t, by(late), false)
		if _, err := w.Code(context.Background(), w.public); !errors.Is(err, errNoSecret) {
			t.Errorf("a code for an API key: %v", err)
		}
	})
}

// Wrong secrets, codes and forged sessions are limited as other wrong credentials are; sessions that have ended are
// not.
func TestWrongSignInsAreLimited(t *testing.T) {
	w := newWorld(t, Options{FailuresPerMinute: 2})
	text := w.signIn(t, w.public, w.private)
	tries := map[string]func() error{
		"key":     func() error { _, _, err := w.SignIn(t.Context(), w.public, "x", here); return err },
		"account": func() error { _, _, err := w.SignIn(t.Context(), w.clientID, "x", here); return err },
		"code":    func() error { _, _, err := w.SignInByCode(t.Context(), "x", here); return err },
		"forged":  func() error { return w.try("Session x") },
	}
	for name, try := range tries {
		w.Forget(here)
		var err error
		for range 3 {
			err = try()
		}
		if !errors.As(err, new(*TooManyFailures)) {
			t.Errorf("%s: %v after three", name, err)
		}
	}
	accepted(t, w.accounts.DeleteCredential(t.Context(), w.public))
	w.Forget(here)
	for range 5 {
		w.ended(t, text)
	}
}
