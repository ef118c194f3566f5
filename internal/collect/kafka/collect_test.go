package kafka

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/weirlog/weir/internal/brokers"
	"github.com/weirlog/weir/internal/bucket/bucketest"
	"github.com/weirlog/weir/internal/collect"
	"github.com/weirlog/weir/internal/egress"
	"github.com/weirlog/weir/internal/event"
	"github.com/weirlog/weir/internal/node/nodetest"
	"github.com/weirlog/weir/internal/record"
	"github.com/weirlog/weir/internal/simulation/seeds"
	"github.com/weirlog/weir/internal/tlog"
)

const (
	topic = "audit"
	logID = "6a793f48c0eb9e7a17712f00"
	most  = 64 << 10 // bytes of a message
)

var loopback = egress.New([]netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")})

// world is a cluster, and processes that collect from it into one log.
type world struct {
	t        *testing.T
	cluster  *kfake.Cluster
	producer *kgo.Client
	settings Settings
	node     *nodetest.Node
	saved    []byte // the state, as it is durable

	killIn int // steps until the process dies; if 0, it lives
	dead   bool

	hold *counted // in the place of the node's account of memory, if not nil
}

func newWorld(t *testing.T, partitions int32, options ...kfake.Opt) *world {
	t.Helper()
	c, err := kfake.NewCluster(append(options, kfake.NumBrokers(2), kfake.SeedTopics(partitions, topic))...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	w := &world{t: t, cluster: c, saved: []byte("{}")}
	w.settings = Settings{Access: brokers.Access{BootstrapServers: strings.Join(c.ListenAddrs(), ","), Plaintext: true},
		Topics: []string{topic}, Mapping: JSON}
	w.producer, err = kgo.NewClient(kgo.SeedBrokers(c.ListenAddrs()...), kgo.RecordPartitioner(kgo.ManualPartitioner()),
		kgo.DefaultProduceTopic(topic), kgo.ProducerBatchCompression(kgo.NoCompression()),
		kgo.MetadataMinAge(10*time.Millisecond))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(w.producer.Close)
	w.node = nodetest.New(t, bucketest.NewMemory(), nodetest.Options{})
	return w
}

func (w *world) produce(records ...*kgo.Record) {
	w.t.Helper()
	for _, r := range records {
		if r.Timestamp.IsZero() {
			r.Timestamp = time.Now()
		}
	}
	if err := w.producer.ProduceSync(w.t.Context(), records...).FirstErr(); err != nil {
		w.t.Fatal(err)
	}
}

var errKilled = errors.New("the process is killed")

// step is a moment at which the process may die.
func (w *world) step() error {
	if w.killIn > 0 {
		w.killIn--
		w.dead = w.killIn == 0
	}
	if w.dead {
		return errKilled
	}
	return nil
}

// Open implements collect.Sink.
func (w *world) Open(t collect.Target) collect.Batch {
	return &batch{w, w.node.Recorder.Intake(record.Source{Log: t.Log, Partial: true,
		Origin: event.Origin{By: "source", Received: time.Now()}}, record.Limits{EventBytes: 8 << 20})}
}

func (w *world) Reserve() collect.Hold {
	if w.hold != nil {
		return w.hold
	}
	return w.node.Recorder.Reserve("source", "", "")
}

// batch is an intake of a process that may die before or after it has recorded.
type batch struct {
	w *world
	*record.Intake
}

func (b *batch) Record(ctx context.Context) (record.Result, error) {
	if err := b.w.step(); err != nil {
		return record.Result{}, err
	}
	result, err := b.Intake.Record(ctx)
	return result, errors.Join(err, b.w.step())
}

// round plays one round of a process that begins with the state that is durable, and returns the state as it is then.
func (w *world) round(ctx context.Context) (collect.State, error) {
	w.t.Helper()
	var state collect.State
	if err := json.Unmarshal(w.saved, &state); err != nil {
		w.t.Fatal(err)
	}
	from, err := New(w.settings, loopback, most)
	if err != nil {
		w.t.Fatal(err)
	}
	defer from.Close()
	w.dead = false
	r := collect.Round{State: &state, Sink: w, By: "source", Source: from, Most: most,
		Target: func(context.Context, collect.Unit, string) (collect.Target, error) {
			return collect.Target{WorkspaceID: logID, Workspace: "audit", Log: logID}, nil
		},
		Save: func(context.Context) (err error) {
			if err := w.step(); err != nil {
				return err
			}
			w.saved, err = json.Marshal(state)
			return err
		}}
	err = r.Run(ctx)
	return state, err
}

// collect plays a round that must succeed.
func (w *world) collect() collect.State {
	w.t.Helper()
	state, err := w.round(w.t.Context())
	if err != nil {
		w.t.Fatal(err)
	}
	return state
}

// entry is what tests look at in an event.
type entry struct {
	Time     int64
	Activity string `json:"activity_name"`
	Message  string
	Raw      string `json:"raw_data"`
	Metadata struct{ UID string }
	Unmapped struct {
		JSON    map[string]any
		Kafka   map[string]any
		Unread  struct{ Reason string }
		Missing *struct {
			From        string
			FirstOffset int64
			LastOffset  int64
			Reason      string
		}
	}
}

// entries returns the events of the log.
func (w *world) entries() (all []entry) {
	w.t.Helper()
	for more := true; more; {
		var err error
		if more, err = w.node.Sequencers[0].Round(w.t.Context(), true); err != nil {
			w.t.Fatal(err)
		}
	}
	r, err := w.node.Logs.Read(w.t.Context(), logID, tlog.All)
	if err != nil {
		w.t.Fatal(err)
	}
	for e, err := range r.Entries(w.t.Context(), r.First()) {
		var one entry
		if err == nil {
			err = json.Unmarshal(e.Line, &one)
		}
		if err != nil {
			w.t.Fatal(err)
		}
		all = append(all, one)
	}
	return all
}

// deleteBefore has the cluster delete the messages of a partition before an offset.
func (w *world) deleteBefore(partition int32, offset int64) {
	w.t.Helper()
	if err := w.cluster.DeleteRecords(topic, partition, offset); err != nil {
		w.t.Fatal(err)
	}
}

// said is a message of the model.
type said struct {
	partition int32
	offset    int64
	deleted   bool
}

// Whenever a process is killed, each message is in the log once, but for those that the cluster deleted before: of them
// the log says so.
func TestEachMessageIsCollectedOnce(t *testing.T) {
	for seed := seeds.First(); seed <= seeds.Last(); seed++ {
		t.Run(fmt.Sprint(seed), func(t *testing.T) { play(t, rand.New(rand.NewPCG(seed, 1))) })
	}
}

func play(t *testing.T, rnd *rand.Rand) {
	w := newWorld(t, 2)
	model := map[string]*said{}
	w.collect() // Messages that are deleted before the source exists are not lost.
	for range 25 {
		for range rnd.IntN(8) {
			text := fmt.Sprintf("m%d", len(model))
			r := &kgo.Record{Partition: rnd.Int32N(2), Value: []byte(`{"text":"` + text + `"}`)}
			switch rnd.IntN(6) {
			case 0:
				r.Value = []byte(text) // no JSON
			case 1:
				r.Value, r.Timestamp = []byte(text), time.UnixMilli(1) // and no time that an event can have
			}
			model[text] = &said{partition: r.Partition}
			w.produce(r)
			model[text].offset = r.Offset
		}
		switch rnd.IntN(6) {
		case 0:
			partition := rnd.Int32N(2)
			if p := w.cluster.PartitionInfo(topic, partition); p.HighWatermark > p.LogStartOffset {
				before := p.LogStartOffset + rnd.Int64N(p.HighWatermark-p.LogStartOffset)
				w.deleteBefore(partition, before)
				for _, s := range model {
					s.deleted = s.deleted || s.partition == partition && s.offset < before
				}
			}
		case 1:
			w.cluster.MoveTopicPartition(topic, rnd.Int32N(2), rnd.Int32N(2))
		}
		if rnd.IntN(2) == 0 {
			w.killIn = 1 + rnd.IntN(6)
		}
		w.round(t.Context())
		w.killIn = 0
	}
	w.collect()
	compare(t, w.entries(), model)
}

func compare(t *testing.T, entries []entry, model map[string]*said) {
	t.Helper()
	found, lost := map[string]int{}, map[string]bool{}
	for _, e := range entries {
		switch {
		case e.Unmapped.Missing != nil:
			for o := e.Unmapped.Missing.FirstOffset; o <= e.Unmapped.Missing.LastOffset; o++ {
				lost[fmt.Sprintf("%s %d", e.Unmapped.Missing.From, o)] = true
			}
		case e.Activity == "Unread":
			found[e.Raw]++
		default:
			found[fmt.Sprint(e.Unmapped.JSON["text"])]++
		}
	}
	for text, s := range model {
		told := lost[fmt.Sprintf("%s, partition %d %d", topic, s.partition, s.offset)]
		if n := found[text]; n != 1 && (n != 0 || !told || !s.deleted) {
			t.Errorf("%s, %+v: %d times; told: %t", text, *s, n, told)
		}
		delete(found, text)
	}
	if len(found) > 0 {
		t.Errorf("nobody has said %v", found)
	}
}
