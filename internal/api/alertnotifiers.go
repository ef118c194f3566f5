package api

import (
	"slices"
	"time"

	"github.com/weirlog/weir/internal/account"
	"github.com/weirlog/weir/internal/alert"
	"github.com/weirlog/weir/internal/alert/notify"
	"github.com/weirlog/weir/internal/event"
	"github.com/weirlog/weir/internal/seal"
	"github.com/weirlog/weir/internal/webhook"
)

// alertNotifiers are the operations on the notifiers of a project's alerts.
type alertNotifiers struct {
	control
	store *alert.Store
	box   seal.Box
}

// givenNotifier is the body of a creation or a change.
type givenNotifier struct {
	Name     *string          `json:"name"`
	Type     *notify.Type     `json:"type"`
	URL      *string          `json:"url"`
	Address  *string          `json:"address"`
	Security *notify.Security `json:"security"`
	From     *string          `json:"from"`
	To       *[]string        `json:"to"`
	CA       *string          `json:"ca"`
	Username *string          `json:"username"`
	Secret   *string          `json:"secret"`
}

// on applies the given attributes to a notifier. The type never changes, nor an address that comes back as readers see
// it.
func (in *givenNotifier) on(n *notify.Notifier) {
	set(&n.Name, in.Name)
	if in.URL != nil && *in.URL != masked(n.URL) {
		n.URL = *in.URL
	}
	set(&n.Address, in.Address)
	set(&n.Security, in.Security)
	set(&n.From, in.From)
	set(&n.To, in.To)
	set(&n.CA, in.CA)
	set(&n.Username, in.Username)
}

type notifierView struct {
	Address  string          `json:"address,omitempty"`
	CA       string          `json:"ca,omitempty"`
	Created  time.Time       `json:"createdAt"`
	From     string          `json:"from,omitempty"`
	ID       string          `json:"id"`
	Masked   string          `json:"maskedSecret,omitempty"`
	Name     string          `json:"name"`
	Secret   string          `json:"secret,omitempty"` // of a webhook; shown only when it is created
	Security notify.Security `json:"security,omitempty"`
	To       []string        `json:"to,omitempty"`
	Type     notify.Type     `json:"type"`
	URL      string          `json:"url,omitempty"`
	Username string          `json:"username,omitempty"`
}

func showNotifier(c *call, n notify.Notifier) notifierView {
	v := notifierView{Address: n.Address, CA: n.CA, Created: n.Created, From: n.From, ID: n.ID, Name: n.Name,
		Security: n.Security, To: n.To, Type: n.Type, URL: c.shown(n.URL), Username: n.Username}
	if n.Secret != "" {
		v.Masked = "********"
	}
	return v
}

func (h alertNotifiers) set(c *call) (*alert.Set, error) {
	return h.store.GetOrEmpty(c.context(), c.scope.project.ID)
}

func (h alertNotifiers) find(c *call) (*notify.Notifier, error) {
	set, err := h.set(c)
	if err != nil {
		return nil, err
	}
	if n := set.Notifier(c.path("notifierId")); n != nil {
		return n, nil
	}
	return nil, notifierNotFound(c.path("notifierId"))
}

func (h alertNotifiers) list(c *call) (any, error) {
	set, err := h.set(c)
	if err != nil {
		return nil, err
	}
	return paginate(c, set.Notifiers, mapEach(c, showNotifier))
}

func (h alertNotifiers) get(c *call) (any, error) {
	n, err := h.find(c)
	if err != nil {
		return nil, err
	}
	return showNotifier(c, *n), nil
}

// create creates a notifier. A webhook without a secret gets a random one, which is shown only in this reply.
func (h alertNotifiers) create(c *call) (any, error) {
	in, err := decode[givenNotifier](c)
	if err != nil {
		return nil, err
	}
	n := notify.Notifier{ID: account.NewID(c.now), Created: c.now.UTC()}
	set(&n.Type, in.Type)
	in.on(&n)
	secret, made := "", ""
	if set(&secret, in.Secret); n.Type == notify.Webhook && secret == "" {
		secret = webhook.NewSecret()
		made = secret
	}
	if err := problems(n.Check(secret)); err != nil {
		return nil, err
	}
	if err := h.hide(c, &n, secret); err != nil {
		return nil, err
	}
	err = h.change(c, h.changed(c, event.Create, &n), func() (any, any, error) {
		_, err := h.store.UpdateOrCreate(c.detached(), c.scope.project.ID, func(s *alert.Set) error {
			if s.Notifier(n.Name) != nil {
				return notifierNameTaken(n.Name)
			}
			if len(s.Notifiers) >= alert.MaxNotifiers {
				return &account.Full{Of: "A project", What: "notifiers", Most: alert.MaxNotifiers}
			}
			s.Project, s.Notifiers = c.scope.project.ID, append(s.Notifiers, n)
			return nil
		})
		return nil, showNotifier(c, n), err
	})
	if err != nil {
		return nil, err
	}
	v := showNotifier(c, n)
	v.Secret = made
	return v, nil
}

// hide encrypts the secret of a notifier, if there is one.
func (h alertNotifiers) hide(c *call, n *notify.Notifier, secret string) (err error) {
	if n.Secret = ""; secret != "" {
		n.Secret, err = h.box.Hide(notify.SecretPlace(c.scope.project.ID, n.ID), secret)
	}
	return err
}

func (h alertNotifiers) changed(c *call, a event.Activity, n *notify.Notifier) changed {
	return changed{activity: a, kind: "Alert Notifier", id: n.ID, name: n.Name, project: c.scope.project}
}

// update changes the attributes in the body. A secret is never sent to another address than that for which it was
// given.
func (h alertNotifiers) update(c *call) (any, error) {
	in, err := decode[givenNotifier](c)
	if err != nil {
		return nil, err
	}
	was, err := h.find(c)
	if err != nil {
		return nil, err
	}
	if in.Type != nil && *in.Type != was.Type {
		return nil, invalidAttributes(field{"type", "cannot be changed; create another notifier"})
	}
	var now notify.Notifier
	err = h.change(c, h.changed(c, event.Update, was), func() (before, after any, err error) {
		_, err = h.store.Update(c.detached(), c.scope.project.ID, func(s *alert.Set) error {
			n := s.Notifier(was.ID)
			if n == nil {
				return notifierNotFound(was.ID)
			}
			before, now = showNotifier(c, *n), *n
			if in.on(&now); now.Name != n.Name && s.Notifier(now.Name) != nil {
				return notifierNameTaken(now.Name)
			}
			if err := h.renewSecret(c, &in, n, &now); err != nil {
				return err
			}
			renameIn(s, n.Name, now.Name)
			*n = now
			return nil
		})
		return before, showNotifier(c, now), err
	})
	if err != nil {
		return nil, err
	}
	return showNotifier(c, now), nil
}

// renewSecret sets the secret of a changed notifier, to the old one or a new one, and checks the notifier.
func (h alertNotifiers) renewSecret(c *call, in *givenNotifier, was, now *notify.Notifier) error {
	secret := ""
	switch {
	case in.Secret != nil:
		secret = *in.Secret
	case was.Secret == "":
	case !was.SameTarget(now) && was.Type != notify.Webhook:
		return invalidAttributes(field{"secret",
			"must be given again, because the address that it is sent to, or the user name, changes"})
	default:
		var err error
		if secret, err = h.box.Show(notify.SecretPlace(c.scope.project.ID, was.ID), was.Secret); err != nil {
			return err
		}
	}
	if err := problems(now.Check(secret)); err != nil {
		return err
	}
	return h.hide(c, now, secret)
}

// renameIn renames a notifier in the rules that name it.
func renameIn(s *alert.Set, from, to string) {
	for i := range s.Rules {
		r := &s.Rules[i]
		r.Notify = slices.Clone(r.Notify)
		for j, name := range r.Notify {
			if name == from {
				r.Notify[j] = to
			}
		}
	}
}

func (h alertNotifiers) delete(c *call) (any, error) {
	was, err := h.find(c)
	if err != nil {
		return nil, err
	}
	return nil, h.change(c, h.changed(c, event.Delete, was), func() (any, any, error) {
		_, err := h.store.Update(c.detached(), c.scope.project.ID, func(s *alert.Set) error {
			for _, r := range s.Living() {
				if slices.Contains(r.Notify, was.Name) {
					return conflict("NOTIFIER_IN_USE", "The rule %s names the notifier %s.", r.Name, was.Name)
				}
			}
			s.Notifiers = slices.DeleteFunc(s.Notifiers, func(n notify.Notifier) bool { return n.ID == was.ID })
			return nil
		})
		return showNotifier(c, *was), nil, err
	})
}
