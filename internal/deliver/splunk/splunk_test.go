package splunk

import (
	"bytes"
	"cmp"
	"compress/gzip"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/weirlog/weir/internal/deliver"
	"github.com/weirlog/weir/internal/deliver/delivertest"
	"github.com/weirlog/weir/internal/deliver/post"
)

func open(t *testing.T, s *delivertest.Server, change func(*Settings)) *Sink {
	t.Helper()
	settings := Settings{URL: s.URL, Token: "secret"}
	if change != nil {
		change(&settings)
	}
	return delivertest.Open(t, settings, New)
}

// object is what a collector reads.
type object struct {
	Time                      json.Number
	Source, SourceType, Index string
	Fields                    struct {
		ID string `json:"weir_id"`
	}
	Event json.RawMessage
}

func objects(t *testing.T, packed []byte) []object {
	t.Helper()
	z, err := gzip.NewReader(bytes.NewReader(packed))
	if err != nil {
		t.Fatal(err)
	}
	var all []object
	for d := json.NewDecoder(z); ; {
		var o object
		if err := d.Decode(&o); err == io.EOF {
			return all
		} else if err != nil {
			t.Fatal(err)
		}
		all = append(all, o)
	}
}

const accepted = `{"text":"Success","code":0}`

func TestARequestIsOfTheCollector(t *testing.T) {
	s := delivertest.NewServer(t, func(delivertest.Request) delivertest.Answer {
		return delivertest.Answer{Body: accepted}
	})
	sink := open(t, s, func(s *Settings) { s.Index, s.SourceType = "main", "ocsf" })
	batch := delivertest.Batch(7, 200)
	if refused, err := sink.Send(t.Context(), batch); err != nil || len(refused) > 0 {
		t.Fatal(refused, err)
	}
	asked := s.Asked()[0]
	if asked.Path != "/services/collector/event" || asked.Header.Get("Authorization") != "Splunk secret" ||
		asked.Header.Get("Content-Type") != "application/json" {
		t.Errorf("asked for %s with %v", asked.Path, asked.Header)
	}
	all := objects(t, asked.Body)
	if len(all) != len(batch) {
		t.Fatalf("%d objects of %d", len(all), len(batch))
	}
	for i, o := range all {
		e := &batch[i]
		at, err := strconv.ParseFloat(o.Time.String(), 64)
		if err != nil || int64(at*1000+0.5) != e.Time || string(o.Event) != string(e.Line) || o.Fields.ID != e.ID() ||
			o.Source != e.Name || o.Index != "main" || o.SourceType != "ocsf" {
			t.Errorf("object %+v of %s", o, e.ID())
		}
	}
}

// A collector that names the first event that is wrong has the others all the same.
func TestEventsThatACollectorNamesAreRefusedAlone(t *testing.T) {
	var got []string
	s := delivertest.NewServer(t, nil)
	bad := map[string]bool{}
	for _, i := range []int{0, 4, 9} {
		bad[fmt.Sprint(delivertest.Log, "/", i)] = true
	}
	s.Handle(func(r delivertest.Request) delivertest.Answer {
		all := objects(t, r.Body)
		for i, o := range all {
			if bad[o.Fields.ID] {
				return delivertest.Answer{Status: 400, Body: fmt.Sprintf(
					`{"text":"Invalid data format","code":6,"invalid-event-number":%d}`, i)}
			}
		}
		for _, o := range all {
			got = append(got, o.Fields.ID)
		}
		return delivertest.Answer{Body: accepted}
	})
	refused, err := open(t, s, nil).Send(t.Context(), delivertest.Batch(0, 10))
	if err != nil || len(refused) != 3 || refused[0].At != 0 || refused[1].At != 4 || refused[2].At != 9 || len(got) != 7 {
		t.Errorf("refused %v, %v; accepted %s", refused, err, got)
	}
}

func TestRepliesSayIfTheBatchIsAccepted(t *testing.T) {
	type want struct {
		accepted, tooMuch bool
		pause             time.Duration
	}
	for name, c := range map[string]struct {
		answer delivertest.Answer
		want   want
	}{
		"success":              {delivertest.Answer{Body: accepted}, want{accepted: true}},
		"success, and no code": {delivertest.Answer{Body: `{"text":"Success"}`}, want{}},
		"success of something": {delivertest.Answer{Body: "<html>Sign in"}, want{}},
		"an empty reply":       {delivertest.Answer{}, want{}},
		"an error with 200":    {delivertest.Answer{Body: `{"text":"Server is busy","code":9}`}, want{}},
		"wrong, and not which": {delivertest.Answer{Status: 400, Body: `{"text":"x","code":6}`}, want{tooMuch: true}},
		"wrong, of another batch": {delivertest.Answer{Status: 400, Body: `{"code":6,"invalid-event-number":99}`},
			want{tooMuch: true}},
		"wrong, before the batch": {delivertest.Answer{Status: 400, Body: `{"code":6,"invalid-event-number":-1}`},
			want{tooMuch: true}},
		"a wrong index": {delivertest.Answer{Status: 400, Body: `{"code":7,"invalid-event-number":0}`}, want{}},
		"a wrong token": {delivertest.Answer{Status: 403, Body: `{"text":"Invalid token","code":4}`}, want{}},
		"too large":     {delivertest.Answer{Status: 413, Body: "<html>"}, want{tooMuch: true}},
		"busy": {delivertest.Answer{Status: 503, Header: http.Header{"Retry-After": {"9"}},
			Body: `{"code":9}`}, want{pause: 9 * time.Second}},
		"a proxy's error":          {delivertest.Answer{Status: 502, Body: "Bad Gateway"}, want{}},
		"a connection that breaks": {delivertest.Answer{Break: true}, want{}},
	} {
		t.Run(name, func(t *testing.T) {
			s := delivertest.NewServer(t, func(delivertest.Request) delivertest.Answer { return c.answer })
			_, err := open(t, s, nil).Send(t.Context(), delivertest.Batch(0, 3))
			var asks *deliver.RetryAfter
			got := want{err == nil, errors.Is(err, deliver.ErrTooMuch), 0}
			if errors.As(err, &asks) {
				got.pause = asks.Pause
			}
			if got != c.want {
				t.Errorf("%+v, want %+v (%v)", got, c.want, err)
			}
		})
	}
}

// With acknowledgements an event counts as accepted once the collector has indexed it.
func TestAcknowledgementsAreWaitedFor(t *testing.T) {
	asks := 0
	channel := ""
	s := delivertest.NewServer(t, nil)
	s.Handle(func(r delivertest.Request) delivertest.Answer {
		if got := r.Header.Get("X-Splunk-Request-Channel"); channel == "" {
			channel = got
		} else if got != channel || got == "" {
			t.Errorf("channel %q, then %q", channel, got)
		}
		if !strings.HasPrefix(r.Path, "/services/collector/ack?channel=") {
			return delivertest.Answer{Body: `{"text":"Success","code":0,"ackId":12}`}
		}
		asks++
		return delivertest.Answer{Body: fmt.Sprintf(`{"acks":{"12":%v}}`, asks == 2)}
	})
	sink := open(t, s, func(s *Settings) { s.Acknowledge = true })
	if _, err := sink.Send(t.Context(), delivertest.Batch(0, 3)); err != nil {
		t.Fatal(err)
	}
	if err := sink.Acknowledged(t.Context()); err != nil || asks != 2 {
		t.Errorf("asked %d times: %v", asks, err)
	}
	s.Says(delivertest.Answer{Body: accepted})
	if _, err := sink.Send(t.Context(), delivertest.Batch(3, 3)); err == nil {
		t.Error("a reply without an ackId counts")
	}
}

// A collector whose indexer is busy is asked for minutes, seldom, and whatever happens to a question on its way. Only
// one that will never tell ends that.
func TestAcknowledgementsMayTakeMinutes(t *testing.T) {
	for name, c := range map[string]struct {
		early delivertest.Answer // before two minutes have passed
		fails bool
		most  int // questions
	}{
		"not yet":              {delivertest.Answer{Body: `{"acks":{"12":false}}`}, false, 60},
		"a proxy's error":      {delivertest.Answer{Status: 502, Body: "Bad Gateway"}, false, 60},
		"busy":                 {delivertest.Answer{Status: 503, Body: `{"text":"Server is busy","code":9}`}, false, 60},
		"the way breaks":       {delivertest.Answer{Break: true}, false, 60},
		"it hangs":             {delivertest.Answer{Hang: true}, false, 60},
		"acknowledges nothing": {delivertest.Answer{Status: 400, Body: `{"text":"ACK is disabled","code":14}`}, true, 1},
		"is no collector":      {delivertest.Answer{Body: "<html>"}, true, 1},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				asked, began, id := 0, time.Now(), int64(12)
				sink := &Sink{acks: "/ack", taken: &id, ask: func(ctx context.Context, _ []byte) (*post.Reply, error) {
					asked++
					switch a := c.early; {
					case time.Since(began) >= 2*time.Minute:
						return &post.Reply{Status: 200, Body: []byte(`{"acks":{"12":true}}`)}, nil
					case a.Break:
						return nil, io.ErrUnexpectedEOF
					case a.Hang:
						<-ctx.Done()
						return nil, ctx.Err()
					default:
						return &post.Reply{Status: cmp.Or(a.Status, 200), Body: []byte(a.Body)}, nil
					}
				}}
				ctx, cancel := context.WithTimeout(t.Context(), 5*time.Minute)
				defer cancel()
				if err := sink.Acknowledged(ctx); (err != nil) != c.fails || asked > c.most {
					t.Errorf("asked %d times in %v: %v", asked, time.Since(began), err)
				}
			})
		})
	}
}

func FuzzReply(f *testing.F) {
	f.Add(200, []byte(accepted))
	f.Add(400, []byte(`{"text":"x","code":6,"invalid-event-number":3,"ackId":1}`))
	f.Fuzz(func(t *testing.T, status int, body []byte) {
		r := &post.Reply{Status: status, Body: body}
		if a, err := read(r); err == nil && a.Code == nil {
			t.Error("an answer without a code")
		}
		if len(r.Text()) > 1000 {
			t.Error("a text without bound")
		}
	})
}
