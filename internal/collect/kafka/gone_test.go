package kafka

import (
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/weirlog/weir/internal/collect"
)

// earlier has everything that the state says of times be so much earlier.
func (w *world) earlier(d time.Duration) {
	w.t.Helper()
	var state collect.State
	if err := json.Unmarshal(w.saved, &state); err != nil {
		w.t.Fatal(err)
	}
	for _, p := range state.Units {
		for _, at := range []*int64{&p.Gone, &p.Asked, &p.Left} {
			if *at > 0 {
				*at -= int64(d / time.Second)
			}
		}
	}
	var err error
	if w.saved, err = json.Marshal(state); err != nil {
		w.t.Fatal(err)
	}
}

// unreadable has fetches fail, so that messages are known of and not collected.
func (w *world) unreadable() (again func()) {
	over := false
	w.cluster.ControlKey(int16(kmsg.Fetch), func(r kmsg.Request) (kmsg.Response, error, bool) {
		if over {
			return nil, nil, false
		}
		w.cluster.KeepControl()
		return r.ResponseKind(), nil, true
	})
	return func() { over = true }
}

// The loss of a topic that is gone, however it is chosen, is reported once, and no partition of it stays behind for
// ever.
func TestTopicThatIsGoneIsTold(t *testing.T) {
	for name, choose := range map[string]func(*Settings){
		"by name":      func(s *Settings) { s.Topics = []string{topic, "other"} },
		"by a pattern": func(s *Settings) { s.Topics, s.Pattern = nil, topic+"|other" },
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, 1)
			choose(&w.settings)
			if err := w.cluster.CreateTopic("other", 1, nil); err != nil {
				t.Fatal(err)
			}
			w.produce(numbered(0, 2)...)
			w.collect()
			w.produce(numbered(2, 3)...)
			again := w.unreadable()
			w.round(t.Context())
			again()
			if err := w.cluster.DeleteTopic(topic); err != nil {
				t.Fatal(err)
			}
			state, _ := w.round(t.Context())
			p := state.Units["kafka/audit/0"]
			if p.Gone == 0 || p.Failed != "" || strings.Contains(w.texts(), "lost") {
				t.Errorf("at first: %+v %s", p, w.texts())
			}
			for range 3 {
				w.earlier(time.Hour)
				state, _ = w.round(t.Context())
			}
			if p = state.Units["kafka/audit/0"]; p.Offsets.Lost != 3 || p.Idle() == 0 ||
				!strings.Contains(p.Reason, "offsets 2 to 4 are lost") {
				t.Errorf("%+v %+v", p, p.Offsets)
			}
			if got := w.texts(); got != "m0 m1 lost 2-4" {
				t.Error(got)
			}
			if err := w.cluster.CreateTopic(topic, 1, nil); err != nil {
				t.Fatal(err)
			}
			produceAnew(t, w, numbered(5, 1)...)
			state = w.collect()
			if p = state.Units["kafka/audit/0"]; p.Idle() != 0 {
				t.Errorf("made again: %+v", p)
			}
			if got := w.texts(); got != "m0 m1 lost 2-4 m5" {
				t.Error(got)
			}
		})
	}
}

// A topic that is not chosen any more is neither behind nor lost, and goes on where it was when it is chosen again.
func TestTopicIsChosenAgain(t *testing.T) {
	w := newWorld(t, 1)
	w.settings.Topics, w.settings.Pattern = nil, "aud.*"
	w.produce(numbered(0, 2)...)
	w.collect()
	w.settings.Pattern = "other"
	w.produce(numbered(2, 2)...)
	for range 2 {
		p := w.collect().Units["kafka/audit/0"]
		if p.Left == 0 || p.Gone != 0 || p.Offsets.Next != 2 {
			t.Errorf("%+v %+v", p, p.Offsets)
		}
		w.earlier(100 * 24 * time.Hour)
	}
	w.settings.Pattern = "audit"
	if p := w.collect().Units["kafka/audit/0"]; p.Idle() != 0 {
		t.Errorf("%+v", p)
	}
	if got := w.texts(); got != "m0 m1 m2 m3" {
		t.Error(got)
	}
}

// A topic that weir may not describe any more is not gone: it is an error that is said, and goes on later.
func TestTopicThatMayNotBeDescribed(t *testing.T) {
	w := newWorld(t, 1)
	w.settings.Topics, w.settings.Pattern = nil, "aud.*"
	w.produce(numbered(0, 1)...)
	w.collect()
	hidden := true
	w.cluster.ControlKey(int16(kmsg.Metadata), func(kreq kmsg.Request) (kmsg.Response, error, bool) {
		r := kreq.(*kmsg.MetadataRequest)
		if !hidden {
			return nil, nil, false
		}
		w.cluster.KeepControl()
		reply := r.ResponseKind().(*kmsg.MetadataResponse)
		for _, asked := range r.Topics { // A list of all leaves it out.
			one := kmsg.NewMetadataResponseTopic()
			one.Topic, one.ErrorCode = asked.Topic, kerr.TopicAuthorizationFailed.Code
			reply.Topics = append(reply.Topics, one)
		}
		return reply, nil, true
	})
	state, err := w.round(t.Context())
	if p := state.Units["kafka/audit/0"]; err == nil || p.Idle() != 0 ||
		!strings.Contains(p.Failed, "TOPIC_AUTHORIZATION_FAILED") {
		t.Errorf("%v, %+v", err, p)
	}
	hidden = false
	w.produce(&kgo.Record{Value: numbered(1, 1)[0].Value})
	w.collect()
	if got := w.texts(); got != "m0 m1" {
		t.Error(got)
	}
}
