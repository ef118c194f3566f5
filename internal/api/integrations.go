package api

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/weirlog/weir/internal/account"
	"github.com/weirlog/weir/internal/deliver"
	"github.com/weirlog/weir/internal/deliver/places"
	"github.com/weirlog/weir/internal/deliver/setup"
	"github.com/weirlog/weir/internal/doc"
	"github.com/weirlog/weir/internal/event"
	"github.com/weirlog/weir/internal/query"
)

// integrations are the operations on deliveries of a project's events, which Atlas calls log integrations.
type integrations struct {
	control
	deliveries *setup.Deliveries
}

// newIntegration is the part of a body besides the settings of the destination.
type newIntegration struct {
	Type     *string          `json:"type"`
	LogTypes *[]string        `json:"logTypes"`
	Weir     *integrationWeir `json:"weir"`
}

// integrationWeir is the part of a body that Atlas does not have.
type integrationWeir struct {
	Workspaces []string          `json:"workspaces,omitempty"` // names; if empty, all
	Filter     string            `json:"filter,omitempty"`
	From       string            `json:"from,omitempty"`
	Format     string            `json:"format,omitempty"` // if empty, as the settings of the destination say
	Batch      *integrationBatch `json:"batch,omitempty"`
}

// integrationBatch bounds a batch. 0 means weir's default.
type integrationBatch struct {
	Events  int `json:"events,omitempty"`
	Bytes   int `json:"bytes,omitempty"`
	Seconds int `json:"intervalSeconds,omitempty"`
}

const (
	maxLogTypes   = 10
	maxNamed      = 100 // workspaces
	integrationIs = "Log Integration"
)

// atlasLogTypes are the log types of clusters, which weir does not have.
var atlasLogTypes = []string{"MONGOD", "MONGOS", "MONGOD_AUDIT", "MONGOS_AUDIT"}

// wanted is a checked integration from a body.
type wanted struct {
	delivery deliver.Delivery // without the settings
	settings deliver.Settings
	start    setup.Start
}

// read parses and checks the body of a creation, or of an update of have if that is not nil.
func (h integrations) read(c *call, have *deliver.Delivery) (*wanted, error) {
	data, err := decode[json.RawMessage](c)
	if err != nil {
		return nil, err
	}
	in, err := unmarshal[newIntegration](data)
	if err != nil {
		return nil, err
	}
	var k checks
	kind := require(&k, "type", in.Type)
	logTypes := require(&k, "logTypes", in.LogTypes)
	if err := k.err(); err != nil {
		return nil, err
	}
	w := &wanted{settings: places.Empty(kind)}
	if have != nil {
		w.delivery = *have
		k.check(kind == have.Type, "type", "is %s, and cannot be changed", have.Type)
	}
	if w.settings == nil {
		return nil, invalidAttributes(field{"type", wrongType(kind)})
	}
	if err := unmarshalTo(data, w.settings); err != nil {
		return nil, err
	}
	w.delivery.Type, w.delivery.LogTypes = kind, logTypes
	checkLogTypes(&k, logTypes)
	if in.Weir != nil || have == nil {
		w.readWeir(c, &k, in.Weir)
	}
	if err := h.checkSettings(&k, w, have); err != nil {
		return nil, err
	}
	return w, k.err()
}

func wrongType(kind string) string {
	if why := places.Absent(kind); why != "" {
		return why
	}
	return fmt.Sprintf("%s is not one of %v", quoted(kind), places.Types())
}

func checkLogTypes(k *checks, logTypes []string) {
	k.check(len(logTypes) > 0 && len(logTypes) <= maxLogTypes, "logTypes", "must have from 1 to %d elements", maxLogTypes)
	seen := map[string]bool{}
	for _, t := range logTypes[:min(len(logTypes), maxLogTypes)] {
		k.check(!slices.Contains(atlasLogTypes, t), "logTypes", "weir has no logs of clusters such as %.40q; it has %v", t,
			setup.LogTypes())
		k.check(slices.Contains(setup.LogTypes(), t) || slices.Contains(atlasLogTypes, t), "logTypes", "%s is not one of %v",
			quoted(t), setup.LogTypes())
		k.check(!seen[t], "logTypes", "%s is given twice", quoted(t))
		seen[t] = true
	}
}

// readWeir checks the part of the body that Atlas does not have. in may be nil.
func (w *wanted) readWeir(c *call, k *checks, in *integrationWeir) {
	if in == nil {
		in = &integrationWeir{}
	}
	d := &w.delivery
	d.Workspaces, d.Filter, d.From = in.Workspaces, in.Filter, in.From
	k.check(len(in.Workspaces) <= maxNamed, "weir.workspaces", "may have at most %d elements", maxNamed)
	for _, name := range in.Workspaces[:min(len(in.Workspaces), maxNamed)] {
		_, ok := c.scope.project.Workspace(name)
		k.check(ok, "weir.workspaces", "no workspace of the project has the name %s", quoted(name))
	}
	if q, err := query.Parse(in.Filter); err != nil {
		k.check(false, "weir.filter", "%s", cut(err.Error(), maxDetail))
	} else if _, err := query.Compile(q); err != nil {
		k.check(false, "weir.filter", "must not have times that are relative to now")
	}
	var err error
	if in.Format != "" {
		refused := places.SetFormat(d.Type, w.settings, in.Format)
		k.check(refused == "", "weir.format", "%s", refused)
	}
	w.start, err = setup.ParseStart(in.From)
	k.check(err == nil, "weir.from", "%v", err)
	d.Batch = deliver.Batch{}
	if b := in.Batch; b != nil {
		d.Batch = deliver.Batch{Events: b.Events, Bytes: b.Bytes, Interval: time.Duration(b.Seconds) * time.Second}
		within(k, "weir.batch.events", b.Events, deliver.MaxBatchEvents)
		within(k, "weir.batch.bytes", b.Bytes, deliver.MaxBatchBytes)
		within(k, "weir.batch.intervalSeconds", b.Seconds, int(deliver.MaxBatchInterval/time.Second))
	}
}

func within(k *checks, name string, value, most int) {
	k.check(value >= 0 && value <= most, name, "must be from 0 to %d; 0 means weir's default", most)
}

// checkSettings checks the settings of the destination. Masked secrets are replaced by the secrets of have.
func (h integrations) checkSettings(k *checks, w *wanted, have *deliver.Delivery) error {
	var old deliver.Settings
	if have != nil && have.Type == w.delivery.Type {
		var err error
		if old, err = places.Show(h.deliveries.Box, have); err != nil {
			return err
		}
	}
	for _, name := range places.Unmask(w.settings, old) {
		k.check(false, name, "must not be masked here, because no value is kept for this destination: send the value")
	}
	var wrong deliver.Wrong
	w.settings.Check(&wrong)
	for _, a := range wrong.Attributes {
		k.check(false, a.Name, "%s", a.Reason)
	}
	return nil
}

// tryIfAsked sends a test to the destination if the caller asks for it. If the destination refuses it, the error
// contains its reply.
func (h integrations) tryIfAsked(c *call, w *wanted) error {
	if !c.flag("validate") {
		return nil
	}
	if err := h.deliveries.Try(c.context(), &w.delivery, w.settings, c.now); err != nil {
		p := invalid("The destination did not accept a test event: " + cut(err.Error(), maxDetail/2))
		p.code = "LOG_INTEGRATION_NOT_VALID"
		return p
	}
	return nil
}

func (h integrations) list(c *call) (any, error) {
	all, err := h.deliveries.Of(c.context(), c.scope.project.ID)
	if err != nil {
		return nil, err
	}
	if kind := c.query.Get("integrationType"); kind != "" {
		all = slices.DeleteFunc(all, func(d deliver.Delivery) bool { return d.Type != kind })
	}
	return paginate(c, all, func(some []deliver.Delivery) ([]integrationView, error) {
		views := make([]integrationView, len(some))
		for i := range some {
			if views[i], err = showIntegration(&some[i]); err != nil {
				return nil, err
			}
		}
		return views, nil
	})
}

// find returns the delivery in the path.
func (h integrations) find(c *call) (*deliver.Delivery, error) {
	d, err := h.deliveries.Get(c.context(), c.scope.project.ID, c.path("integrationId"))
	if errors.Is(err, doc.ErrNotFound) {
		return nil, integrationNotFound(c.path("integrationId"))
	}
	return d, err
}

func (h integrations) get(c *call) (any, error) {
	d, err := h.find(c)
	if err != nil {
		return nil, err
	}
	return showIntegration(d)
}

func (h integrations) create(c *call) (any, error) {
	w, err := h.read(c, nil)
	if err != nil {
		return nil, err
	}
	d := &w.delivery
	d.ID, d.Project, d.Created = account.NewID(c.now), c.scope.project.ID, c.now.UTC()
	if err := h.prepare(c, w); err != nil {
		return nil, err
	}
	view, err := showIntegration(d)
	if err != nil {
		return nil, err
	}
	return view, h.change(c, h.changed(event.Create, d, c), func() (any, any, error) {
		return view, nil, h.deliveries.Create(c.detached(), *d, w.start)
	})
}

func (h integrations) update(c *call) (any, error) {
	have, err := h.find(c)
	if err != nil {
		return nil, err
	}
	w, err := h.read(c, have)
	if err != nil {
		return nil, err
	}
	if err := h.prepare(c, w); err != nil {
		return nil, err
	}
	return h.changeTo(c, have, func() (*deliver.Delivery, error) {
		return h.deliveries.Change(c.detached(), w.delivery, w.start)
	})
}

// prepare completes a checked delivery with its settings as they are stored. If the caller asks for a test that fails,
// it returns an error.
func (h integrations) prepare(c *call, w *wanted) (err error) {
	if err := h.checkStart(c, w); err != nil {
		return err
	}
	w.delivery.Settings, err = places.Hide(h.deliveries.Box, &w.delivery, w.settings)
	if large := new(places.TooLarge); errors.As(err, &large) {
		return invalid("The attributes are too large: " + large.Error() + ".")
	}
	if err != nil {
		return err
	}
	return h.tryIfAsked(c, w)
}

// checkStart refuses a start position in a log that the delivery does not have.
func (h integrations) checkStart(c *call, w *wanted) error {
	log := w.start.OneLog()
	if log == "" {
		return nil
	}
	subjects, err := h.deliveries.Subjects(c.context(), &w.delivery)
	if err != nil {
		return err
	}
	if !slices.ContainsFunc(subjects, func(s deliver.Subject) bool { return s.Log == log }) {
		return invalidAttributes(field{"from", "names a log that this log integration does not send"})
	}
	return nil
}

// changed describes what a request is about to change.
func (h integrations) changed(a event.Activity, d *deliver.Delivery, c *call) changed {
	return changed{activity: a, kind: integrationIs, id: d.ID, name: d.Type, project: c.scope.project}
}

// changeTo changes a delivery and returns its new view.
func (h integrations) changeTo(c *call, have *deliver.Delivery, do func() (*deliver.Delivery, error)) (any, error) {
	var after integrationView
	return &after, h.change(c, h.changed(event.Update, have, c), func() (any, any, error) {
		before, err := showIntegration(have)
		if err != nil {
			return nil, nil, err
		}
		d, err := do()
		if errors.Is(err, doc.ErrNotFound) {
			err = integrationNotFound(have.ID)
		}
		if err == nil {
			after, err = showIntegration(d)
		}
		return before, after, err
	})
}

func (h integrations) delete(c *call) (any, error) {
	d, err := h.find(c)
	if err != nil {
		return nil, err
	}
	return nil, h.change(c, h.changed(event.Delete, d, c), func() (any, any, error) {
		before, err := showIntegration(d)
		if err != nil {
			return nil, nil, err
		}
		err = h.deliveries.Delete(c.detached(), d.Project, d.ID)
		if errors.Is(err, doc.ErrNotFound) {
			err = integrationNotFound(d.ID)
		}
		return before, nil, err
	})
}

// integrationView is an integration in a reply: the settings of its destination, with masked secrets, and the
// attributes of all integrations.
type integrationView map[string]any

func showIntegration(d *deliver.Delivery) (integrationView, error) {
	settings, err := places.Masked(d)
	if err != nil {
		return nil, err
	}
	data, err := json.Marshal(settings)
	if err != nil {
		return nil, err
	}
	v := integrationView{}
	if err := json.Unmarshal(data, (*map[string]any)(&v)); err != nil {
		return nil, err
	}
	shown := struct {
		integrationWeir
		Paused  bool      `json:"paused"`
		Created time.Time `json:"createdAt"`
	}{integrationWeir{Workspaces: d.Workspaces, Filter: d.Filter, From: d.From,
		Format: places.FormatOf(d.Type, settings)}, d.Paused, d.Created.Truncate(time.Second)}
	if b := d.Batch; b != (deliver.Batch{}) {
		shown.Batch = &integrationBatch{b.Events, b.Bytes, int(b.Interval / time.Second)}
	}
	maps.Copy(v, integrationView{"id": d.ID, "type": d.Type, "logTypes": d.LogTypes, "weir": shown})
	return v, nil
}

// setPaused returns the handler that pauses or resumes a delivery.
func (h integrations) setPaused(paused bool) func(*call) (any, error) {
	return func(c *call) (any, error) {
		d, err := h.find(c)
		if err != nil {
			return nil, err
		}
		return h.changeTo(c, d, func() (*deliver.Delivery, error) {
			return h.deliveries.Update(c.detached(), d.Project, d.ID, func(d *deliver.Delivery) error {
				d.Paused = paused
				return nil
			})
		})
	}
}

// replay makes a delivery continue from another position.
func (h integrations) replay(c *call) (any, error) {
	d, err := h.find(c)
	if err != nil {
		return nil, err
	}
	in, err := decode[struct {
		From *string `json:"from"`
	}](c)
	if err != nil {
		return nil, err
	}
	var k checks
	from := require(&k, "from", in.From)
	start, err := setup.ParseStart(from)
	k.check(err == nil && from != "" || in.From == nil, "from", "must say where to continue: %v", err)
	if err := k.err(); err != nil {
		return nil, err
	}
	if err := h.checkStart(c, &wanted{delivery: *d, start: start}); err != nil {
		return nil, err
	}
	return h.changeTo(c, d, func() (*deliver.Delivery, error) {
		if err := h.deliveries.Replay(c.detached(), d, start); err != nil {
			return nil, err
		}
		return h.deliveries.Get(c.detached(), d.Project, d.ID)
	})
}

// sendParked sends the parked events of a delivery again.
func (h integrations) sendParked(c *call) (any, error) {
	return h.withParked(c, h.deliveries.SendParked)
}

// discardParked drops the parked events of a delivery.
func (h integrations) discardParked(c *call) (any, error) {
	return h.withParked(c, h.deliveries.DiscardParked)
}

func (h integrations) withParked(c *call, do func(context.Context, *deliver.Delivery) error) (any, error) {
	d, err := h.find(c)
	if err != nil {
		return nil, err
	}
	return h.changeTo(c, d, func() (*deliver.Delivery, error) {
		if err := do(c.detached(), d); err != nil {
			return nil, err
		}
		return h.deliveries.Get(c.detached(), d.Project, d.ID)
	})
}

func integrationNotFound(id string) *problem {
	return notFoundAs("LOG_INTEGRATION_NOT_FOUND", "No log integration with ID %s exists.", id)
}
