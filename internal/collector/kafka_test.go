package collector

import (
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/weirlog/weir/internal/account"
	"github.com/weirlog/weir/internal/brokers"
	"github.com/weirlog/weir/internal/collect/kafka"
	"github.com/weirlog/weir/internal/source"
)

// The messages of a topic go to the workspace of its name, once, with a password that is hidden in the bucket.
func TestTopicIsCollected(t *testing.T) {
	c, err := kfake.NewCluster(kfake.NumBrokers(1), kfake.SeedTopics(2, "shop.audit"), kfake.EnableSASL(),
		kfake.Superuser("PLAIN", "carl", "secret"))
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	access := brokers.Access{BootstrapServers: c.ListenAddrs()[0], Mechanism: brokers.Plain, Username: "carl",
		Password: "secret", Plaintext: true}
	w := newWorld(t, loopback)
	options, err := access.Options(w.runner.Egress, new(brokers.Trouble))
	if err != nil {
		t.Fatal(err)
	}
	producer, err := kgo.NewClient(append(options, kgo.DefaultProduceTopic("shop.audit"))...)
	if err != nil {
		t.Fatal(err)
	}
	defer producer.Close()
	if err := producer.ProduceSync(t.Context(), kgo.StringRecord("one"), kgo.StringRecord("two")).FirstErr(); err != nil {
		t.Fatal(err)
	}
	s := source.Source{ID: account.NewID(time.Now()), Project: projectID, Name: "topics", Type: source.Kafka,
		Every: time.Minute, Changed: time.Now(), Kafka: &kafka.Settings{Access: access, Topics: []string{"shop.audit"},
			Mapping: kafka.Raw}}
	if s.Kafka.Password, err = w.sources.Hide(&s, "secret"); err == nil {
		err = w.sources.Add(t.Context(), s)
	}
	if err != nil {
		t.Fatal(err)
	}
	for range 2 {
		w.pass(t.Context())
		w.due()
	}
	state, err := w.sources.State(t.Context(), s.ID)
	if err != nil || state.Error != "" || state.Recorded != 2 {
		t.Errorf("%+v, %v", state, err)
	}
	text := strings.Join(w.lines("shop-audit"), "")
	if strings.Count(text, `"raw_data":"one"`) != 1 || strings.Count(text, `"raw_data":"two"`) != 1 {
		t.Error(text)
	}
}
