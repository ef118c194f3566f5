package kafka

import (
	"context"
	"crypto/tls"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/weirlog/weir/internal/brokers"
	"github.com/weirlog/weir/internal/collect"
	"github.com/weirlog/weir/internal/egress"
)

func numbered(first, n int) (all []*kgo.Record) {
	for i := range n {
		all = append(all, &kgo.Record{Value: fmt.Appendf(nil, `{"text":"m%d","at":{"s":%d}}`, first+i, 1795158062+i)})
	}
	return all
}

// texts returns the texts of the events of messages in JSON, in the order of the log.
func (w *world) texts() string {
	w.t.Helper()
	var all []string
	for _, e := range w.entries() {
		switch {
		case e.Unmapped.Missing != nil:
			all = append(all, fmt.Sprintf("lost %d-%d", e.Unmapped.Missing.FirstOffset, e.Unmapped.Missing.LastOffset))
		default:
			all = append(all, fmt.Sprint(e.Unmapped.JSON["text"]))
		}
	}
	return strings.Join(all, " ")
}

// The group's commit is how far events are durable, and a source without a state begins there.
func TestGroupIsToldHowFarItIs(t *testing.T) {
	w := newWorld(t, 1)
	w.settings.Group = "weir"
	w.produce(numbered(0, 3)...)
	w.killIn = 2 // recorded, not saved
	if _, err := w.round(t.Context()); err == nil {
		t.Fatal("the process lives")
	}
	if g := w.cluster.GroupInfo("weir"); g != nil && g.Commits[topic][0].Offset > 0 {
		t.Errorf("committed before it was known to be durable: %+v", g.Commits)
	}
	w.killIn = 0
	w.collect()
	w.saved = []byte("{}") // as if it was made anew
	w.produce(numbered(3, 1)...)
	if state := w.collect(); state.Recorded != 1 || state.Repeated != 0 {
		t.Errorf("%+v", state.Counts)
	}
	if got := w.texts(); got != "m0 m1 m2 m3" {
		t.Error(got)
	}
}

// Where the group does not take offsets, events are recorded all the same, and the state says so.
func TestGroupThatTakesNoOffsets(t *testing.T) {
	w := newWorld(t, 1)
	w.settings.Group = "weir"
	w.produce(numbered(0, 1)...)
	w.cluster.Fault(kfake.Fault{Keys: []kmsg.Key{kmsg.OffsetCommit}, Err: kerr.GroupAuthorizationFailed, Count: -1})
	state, err := w.round(t.Context())
	if !errors.Is(err, kerr.GroupAuthorizationFailed) || !strings.Contains(state.Error, "cannot commit offsets") ||
		state.Recorded != 1 {
		t.Errorf("%+v, %v", state, err)
	}
}

// A topic that is deleted and made again is collected from its beginning, though its offsets are those that there were.
func TestTopicIsMadeAnew(t *testing.T) {
	w := newWorld(t, 1)
	w.produce(numbered(0, 3)...)
	w.collect()
	if err := w.cluster.DeleteTopic(topic); err != nil {
		t.Fatal(err)
	}
	if _, err := w.round(t.Context()); !errors.Is(err, kerr.UnknownTopicOrPartition) {
		t.Errorf("without the topic: %v", err)
	}
	if err := w.cluster.CreateTopic(topic, 1, nil); err != nil {
		t.Fatal(err)
	}
	produceAnew(t, w, numbered(3, 5)...)
	w.collect()
	if got := w.texts(); got != "m0 m1 m2 m3 m4 m5 m6 m7" {
		t.Error(got)
	}
}

// produceAnew produces by a client that has not seen the topic before.
func produceAnew(t *testing.T, w *world, records ...*kgo.Record) {
	t.Helper()
	producer, err := kgo.NewClient(kgo.SeedBrokers(w.cluster.ListenAddrs()...), kgo.DefaultProduceTopic(topic))
	if err != nil {
		t.Fatal(err)
	}
	defer producer.Close()
	if err := producer.ProduceSync(t.Context(), records...).FirstErr(); err != nil {
		t.Fatal(err)
	}
}

// Messages that the cluster deleted before they were collected are told of in the log and in the state.
func TestDeletedMessagesAreTold(t *testing.T) {
	w := newWorld(t, 1)
	w.produce(numbered(0, 2)...)
	w.collect()
	w.produce(numbered(2, 5)...)
	w.deleteBefore(0, 5)
	state := w.collect()
	p := state.Units["kafka/audit/0"]
	if p.Offsets.Lost != 3 || p.Offsets.Next != 7 || !strings.Contains(p.Reason, "offsets 2 to 4 are lost") {
		t.Errorf("%+v %+v", p, p.Offsets)
	}
	if got := w.texts(); !strings.Contains(got, "lost 2-4") || !strings.Contains(got, "m5 m6") ||
		strings.Contains(got, "m4") {
		t.Error(got)
	}
}

// A cursor behind the end, or in messages that a new leader does not have, goes back to where they differ.
func TestOffsetsGoOnWhereTheLogIs(t *testing.T) {
	now := time.Unix(1795158062, 0)
	for _, test := range []struct {
		name     string
		o        collect.Offsets
		bounds   collect.Bounds
		diverged int64
		next     int64
		gap      string
	}{
		{"nothing new", collect.Offsets{ID: "a", Next: 5, End: 5}, collect.Bounds{ID: "a", End: 5}, -1, 5, ""},
		{"deleted", collect.Offsets{ID: "a", Next: 5, End: 5}, collect.Bounds{ID: "a", Start: 7, End: 9}, -1, 7, "5-6"},
		{"diverged", collect.Offsets{ID: "a", Next: 5, End: 5}, collect.Bounds{ID: "a", End: 9}, 3, 3, ""},
		{"diverged later", collect.Offsets{ID: "a", Next: 5, End: 5}, collect.Bounds{ID: "a", End: 9}, 8, 5, ""},
		{"diverged in what is deleted", collect.Offsets{ID: "a", Next: 5, End: 5},
			collect.Bounds{ID: "a", Start: 4, End: 9}, 3, 4, ""},
		{"shorter", collect.Offsets{ID: "a", Next: 5, End: 5}, collect.Bounds{ID: "a", Start: 1, End: 4}, -1, 1, ""},
		{"another", collect.Offsets{ID: "a", Next: 5, End: 8}, collect.Bounds{ID: "b", End: 9}, -1, 0, "5-7"},
		{"another, all had", collect.Offsets{ID: "a", Next: 5, End: 5}, collect.Bounds{ID: "b", End: 9}, -1, 0, ""},
		{"ids unknown", collect.Offsets{Next: 5, End: 5}, collect.Bounds{ID: "b", End: 9}, -1, 5, ""},
	} {
		o := test.o
		o.Resume(test.bounds, test.diverged, now)
		gap := ""
		if o.Gap != nil {
			gap = fmt.Sprintf("%d-%d", o.Gap.From, o.Gap.To-1)
		}
		if o.Next != test.next || gap != test.gap || o.End != test.bounds.End {
			t.Errorf("%s: %+v, gap %s", test.name, o, gap)
		}
	}
}

// A leader that lost messages and has others under their offsets is noticed by its epoch.
func TestLeaderThatLostMessages(t *testing.T) {
	w := newWorld(t, 1)
	w.produce(numbered(0, 4)...)
	w.collect()
	leader := w.cluster.LeaderFor(topic, 0)
	if err := w.cluster.MoveTopicPartition(topic, 0, 1-leader); err != nil {
		t.Fatal(err)
	}
	asked := 0
	w.cluster.ControlKey(int16(kmsg.OffsetForLeaderEpoch), func(r kmsg.Request) (kmsg.Response, error, bool) {
		w.cluster.KeepControl()
		asked++
		reply := r.ResponseKind().(*kmsg.OffsetForLeaderEpochResponse)
		p := kmsg.NewOffsetForLeaderEpochResponseTopicPartition()
		p.EndOffset = 2
		reply.Topics = []kmsg.OffsetForLeaderEpochResponseTopic{{Topic: topic,
			Partitions: []kmsg.OffsetForLeaderEpochResponseTopicPartition{p}}}
		return reply, nil, true
	})
	if state := w.collect(); asked != 1 || state.Repeated != 2 || state.Recorded != 4 {
		t.Errorf("asked %d times: %+v", asked, state.Counts)
	}
}

// Messages of transactions are collected when these are committed, and not if they are aborted; a topic that ends in
// marks of transactions is read to its end.
func TestTransactions(t *testing.T) {
	w := newWorld(t, 1)
	producer, err := kgo.NewClient(kgo.SeedBrokers(w.cluster.ListenAddrs()...), kgo.DefaultProduceTopic(topic),
		kgo.TransactionalID("tx"))
	if err != nil {
		t.Fatal(err)
	}
	defer producer.Close()
	for i, end := range []kgo.TransactionEndTry{kgo.TryAbort, kgo.TryCommit, kgo.TryAbort} {
		if err := producer.BeginTransaction(); err != nil {
			t.Fatal(err)
		}
		if err := producer.ProduceSync(t.Context(), numbered(i, 1)...).FirstErr(); err != nil {
			t.Fatal(err)
		}
		if err := producer.EndTransaction(t.Context(), end); err != nil {
			t.Fatal(err)
		}
	}
	state := w.collect()
	if o := state.Units["kafka/audit/0"].Offsets; o.Next != 6 || o.End != 6 {
		t.Errorf("%+v", o)
	}
	if got := w.texts(); got != "m1" {
		t.Error(got)
	}
}

// A reply whose only batch is cut off is no end of the partition.
func TestBatchThatIsCutOff(t *testing.T) {
	w := newWorld(t, 1)
	w.produce(numbered(0, 1)...)
	batch := packed(0, 0, 1, message(0, nil, []byte("{}"), 0, nil))
	w.cluster.ControlKey(int16(kmsg.Fetch), func(r kmsg.Request) (kmsg.Response, error, bool) {
		reply := r.ResponseKind().(*kmsg.FetchResponse)
		p := kmsg.NewFetchResponseTopicPartition()
		p.RecordBatches = batch[:len(batch)-1]
		reply.Topics = []kmsg.FetchResponseTopic{{Topic: topic, Partitions: []kmsg.FetchResponseTopicPartition{p}}}
		return reply, nil, true
	})
	if state, err := w.round(t.Context()); !errors.Is(err, collect.ErrIncomplete) ||
		!strings.Contains(state.Units["kafka/audit/0"].Failed, "no whole batch") {
		t.Errorf("%v", err)
	}
	if state := w.collect(); state.Recorded != 1 {
		t.Errorf("%+v", state.Counts)
	}
}

func TestCompactedTopic(t *testing.T) {
	w := newWorld(t, 1)
	if err := w.cluster.DeleteTopic(topic); err != nil {
		t.Fatal(err)
	}
	if err := w.cluster.CreateTopic(topic, 1, map[string]string{"cleanup.policy": "compact",
		"min.cleanable.dirty.ratio": "0", "segment.ms": "1", "min.compaction.lag.ms": "0"}); err != nil {
		t.Fatal(err)
	}
	records := numbered(0, 6)
	for _, r := range records {
		r.Key = []byte("one")
		produceAnew(t, w, r)
	}
	w.cluster.Compact()
	state := w.collect()
	if o := state.Units["kafka/audit/0"].Offsets; o.Next != 6 || o.Lost != 0 {
		t.Errorf("%+v", o)
	}
	if got := w.texts(); !strings.HasSuffix(got, "m5") || strings.Contains(got, "lost") {
		t.Error(got)
	}
}

// Only topics that the pattern matches as a whole are collected, and new ones are found.
func TestPatternOfTopics(t *testing.T) {
	w := newWorld(t, 1)
	w.settings.Topics, w.settings.Pattern = nil, "aud.*"
	for _, name := range []string{"my-audit", "audio"} {
		if err := w.cluster.CreateTopic(name, 1, nil); err != nil {
			t.Fatal(err)
		}
	}
	if state := w.collect(); len(state.Units) != 2 || state.Units["kafka/audio/0"] == nil ||
		state.Units["kafka/audit/0"] == nil {
		t.Errorf("%+v", state.Units)
	}
}

func TestEventsKeepWhatTheyAre(t *testing.T) {
	w := newWorld(t, 1)
	w.settings.Mapping = OCSF
	w.produce(&kgo.Record{Value: []byte(`{"class_uid":3002,"time":1795158062000,"metadata":{"uid":"own"}}`)},
		&kgo.Record{Value: []byte(`{"class_uid":3002,"time":1795158062000,"message":"out"}`)},
		&kgo.Record{Value: []byte(`{"class_uid":3002,"time":1795158062000,"message":"out"}`)}, // a twin
		&kgo.Record{Value: []byte(`{"message":"no event"}`)}, &kgo.Record{})
	if state := w.collect(); state.Recorded != 5 || state.Unread != 2 {
		t.Errorf("%+v", state.Counts)
	}
	uids := map[string]bool{}
	for _, e := range w.entries() {
		uids[e.Metadata.UID] = true
	}
	if !uids["own"] || len(uids) != 5 {
		t.Errorf("%v", uids)
	}
	w.settings.Mapping, w.settings.TimeField, w.saved = JSON, "at.s", []byte("{}")
	w.produce(numbered(0, 1)...)
	w.collect()
	for _, e := range w.entries() {
		if e.Unmapped.JSON != nil && e.Time == 1795158062000 && e.Unmapped.JSON["text"] == "m0" {
			return
		}
	}
	t.Error("the field with the time is not read")
}

// An audit event of Confluent has the identity that Confluent gives it: one that its producer sent again is no other.
func TestConfluentEventsHaveTheirOwnIdentity(t *testing.T) {
	w := newWorld(t, 1)
	w.settings.Mapping = Confluent
	event := func(id string) *kgo.Record {
		return &kgo.Record{Value: fmt.Appendf(nil, `{"specversion":"1.0","id":%q,"source":"crn://confluent.cloud/","type":`+
			`"io.confluent.kafka.server/authorization","time":"2026-11-20T07:01:02Z","data":{"methodName":`+
			`"kafka.CreateTopics"}}`, id)}
	}
	w.produce(event("a"), event("b"), event("a"))
	w.collect()
	uids := ""
	for _, e := range w.entries() {
		uids += " " + e.Metadata.UID
	}
	if uids != " a b" {
		t.Errorf("the events are%s", uids)
	}
}

// A source is let in by each mechanism, by TLS, and by nobody who is not trusted.
func TestAccess(t *testing.T) {
	server := httptest.NewUnstartedServer(nil) // for its certificate
	server.StartTLS()
	defer server.Close()
	ca := string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: server.Certificate().Raw}))
	w := newWorld(t, 1)
	secured, err := kfake.NewCluster(kfake.NumBrokers(1), kfake.SeedTopics(1, topic), kfake.EnableSASL(),
		kfake.TLS(&tls.Config{Certificates: server.TLS.Certificates}), kfake.Superuser("SCRAM-SHA-512", "anna", "secret"),
		kfake.Superuser("SCRAM-SHA-256", "bert", "secret"), kfake.Superuser("PLAIN", "carl", "secret"))
	if err != nil {
		t.Fatal(err)
	}
	defer secured.Close()
	base := brokers.Access{BootstrapServers: secured.ListenAddrs()[0], CA: ca, Password: "secret"}
	for user, mechanism := range map[string]string{"anna": brokers.ScramSHA512, "bert": brokers.ScramSHA256,
		"carl": brokers.Plain} {
		w.settings.Access = base
		w.settings.Username, w.settings.Mechanism = user, mechanism
		w.collect()
	}
	w.settings.CA = ""
	if _, err := w.round(t.Context()); err == nil {
		t.Error("a cluster that nobody vouches for is trusted")
	}
	from, err := New(w.settings, egress.New(nil), most)
	if err != nil {
		t.Fatal(err)
	}
	defer from.Close()
	if _, err := from.Units(t.Context()); !errors.Is(err, collect.ErrAway) ||
		!strings.Contains(err.Error(), "may not connect") {
		t.Errorf("an address that is closed: %v", err)
	}
}

// Brokers are shown a token that was given, or one that was issued for a client, once for many connections.
func TestTokens(t *testing.T) {
	issued := 0
	issuer := httptest.NewServer(http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		issued++
		id, secret, _ := r.BasicAuth()
		if id != "client" || secret != "secret" || r.FormValue("scope") != "kafka" {
			rw.WriteHeader(http.StatusUnauthorized)
			return
		}
		rw.Header().Set("Content-Type", "application/json")
		json.NewEncoder(rw).Encode(map[string]any{"access_token": "issued", "token_type": "Bearer", "expires_in": 3600})
	}))
	defer issuer.Close()
	w := newWorld(t, 1)
	var shown []string
	w.cluster.ControlKey(int16(kmsg.SASLHandshake), func(r kmsg.Request) (kmsg.Response, error, bool) {
		w.cluster.KeepControl()
		return r.ResponseKind(), nil, true
	})
	w.cluster.ControlKey(int16(kmsg.SASLAuthenticate), func(r kmsg.Request) (kmsg.Response, error, bool) {
		w.cluster.KeepControl()
		shown = append(shown, string(r.(*kmsg.SASLAuthenticateRequest).SASLAuthBytes))
		return r.ResponseKind(), nil, true
	})
	w.settings.Plaintext, w.settings.Mechanism, w.settings.Password = true, brokers.OAuthBearer, "given"
	w.collect()
	w.settings.TokenURL, w.settings.Scope = issuer.URL, "kafka"
	w.settings.Username, w.settings.Password = "client", "secret"
	w.collect()
	all := strings.Join(shown, "")
	if !strings.Contains(all, "Bearer given\x01") || !strings.Contains(all, "Bearer issued\x01") || issued != 1 {
		t.Errorf("%q, %d issued", shown, issued)
	}
	w.settings.Password = "wrong"
	if _, err := w.round(t.Context()); err == nil || !strings.Contains(err.Error(), "no token from") {
		t.Errorf("%v", err)
	}
}

// A cluster that is away fails the round, which a context ends.
func TestClusterThatIsAway(t *testing.T) {
	w := newWorld(t, 1)
	w.cluster.ControlKey(int16(kmsg.Metadata), func(kmsg.Request) (kmsg.Response, error, bool) {
		w.cluster.KeepControl()
		return nil, io.EOF, true
	})
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	w.cluster.ControlKey(int16(kmsg.ApiVersions), func(kmsg.Request) (kmsg.Response, error, bool) {
		cancel()
		return nil, nil, false
	})
	if _, err := w.round(ctx); err == nil {
		t.Error("the round succeeds")
	}
}

func TestSettingsAreChecked(t *testing.T) {
	ok := Settings{Access: brokers.Access{BootstrapServers: "a.example.com:9092"}, Topics: []string{"a"}, Mapping: Raw}
	for _, test := range []struct {
		wrong  string
		change func(s *Settings)
	}{
		{"", func(*Settings) {}},
		{"", func(s *Settings) { s.Topics, s.Pattern = nil, "a.*" }},
		{"", func(s *Settings) { s.Mechanism, s.Password = brokers.OAuthBearer, strings.Repeat("t", 4000) }},
		{"topics", func(s *Settings) { s.Topics = nil }},
		{"topics", func(s *Settings) { s.Pattern = "a" }},
		{"topics", func(s *Settings) { s.Topics = []string{"a/b"} }},
		{"topicPattern", func(s *Settings) { s.Topics, s.Pattern = nil, "(" }},
		{"group", func(s *Settings) { s.Group = "a\n" }},
		{"mapping", func(s *Settings) { s.Mapping = "AVRO" }},
		{"timeField", func(s *Settings) { s.TimeField = "at" }},
		{"workspaceNaming", func(s *Settings) { s.Naming = "{topic}/x" }},
		{"tokenUrl", func(s *Settings) { s.TokenURL = "https://a.example" }},
		{"tokenUrl", func(s *Settings) {
			s.Mechanism, s.Username, s.Password, s.TokenURL = brokers.OAuthBearer, "u", "p", "http://a.example"
		}},
		{"bootstrapServers", func(s *Settings) { s.BootstrapServers = "a" }},
	} {
		s, wrong := ok, ""
		test.change(&s)
		s.Check(func(ok bool, name, _ string, _ ...any) {
			if !ok && wrong == "" {
				wrong = name
			}
		})
		if wrong != test.wrong {
			t.Errorf("%+v: %q, want %q", s, wrong, test.wrong)
		}
	}
}
