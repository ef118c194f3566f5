package s3

import (
	"bytes"
	"cmp"
	"fmt"
	"slices"
	"time"

	"github.com/parquet-go/parquet-go"
	"github.com/parquet-go/parquet-go/compress/zstd"

	"github.com/weirlog/weir/internal/connect"
	"github.com/weirlog/weir/internal/deliver"
)

// maxFiles bounds how many files a batch becomes, so that a place takes it within the time that a Send has.
const maxFiles = 50

// pageSize bounds the uncompressed values of each column that are in memory, in bytes. There are some hundred columns.
const pageSize = 64 << 10

// lake makes files as Amazon Security Lake wants them: of events of one OCSF class and one day each, sorted by their
// times, with the class's attributes as columns, compressed by zstandard, in folders that name region, account and day.
type lake struct {
	source, region, account string
	schemas                 map[int64]*schema // by class
	codec                   *zstd.Codec       // one, which keeps its encoders
}

func newLake(s *Settings) *lake {
	return &lake{source: s.Source, region: s.Region, account: s.Account, schemas: map[int64]*schema{},
		codec: &zstd.Codec{Level: zstd.SpeedDefault, Concurrency: 1}}
}

// baseClass takes events of classes that are not known here.
const baseClass = 0

// schema returns that of a class; nil if the class is not known.
func (l *lake) schema(class int64) *schema {
	s, ok := l.schemas[class]
	if ok {
		return s
	}
	if s = newSchema(class); s != nil {
		l.schemas[class] = s
	}
	return s
}

// group names the events that become one file.
type group struct {
	class int64
	day   string
}

func (l *lake) files(batch []deliver.Event) ([]file, error) {
	groups := map[group][]*deliver.Event{}
	var order []group // as they come first
	for i := range batch {
		e := &batch[i]
		g := group{classOf(e.Line), time.UnixMilli(e.Time).UTC().Format("20060102")}
		if l.schema(g.class) == nil {
			g.class = baseClass
		}
		if groups[g] == nil {
			order = append(order, g)
		}
		groups[g] = append(groups[g], e)
	}
	if len(order) > maxFiles {
		return nil, fmt.Errorf("%w: it has events of %d days and classes, at most %d are allowed", deliver.ErrTooMuch,
			len(order), maxFiles)
	}
	var files []file
	for _, g := range order {
		events := groups[g]
		slices.SortStableFunc(events, func(a, b *deliver.Event) int { return cmp.Compare(a.Time, b.Time) })
		data, err := l.table(l.schema(g.class), events)
		if err != nil {
			return nil, err
		}
		name := fmt.Sprintf("%s_%d/region=%s/accountId=%s/eventDay=%s/%s-%s.parquet", l.source, g.class, l.region, l.account,
			g.day, batch[0].Log, span(batch))
		files = append(files, file{name, "application/vnd.apache.parquet", data})
	}
	return files, nil
}

// table returns events as the bytes of a Parquet file.
func (l *lake) table(s *schema, events []*deliver.Event) ([]byte, error) {
	var data bytes.Buffer
	options := append(slices.Clone(s.options), parquet.CreatedBy("weir", "1", ""), parquet.PageBufferSize(pageSize),
		parquet.Compression(l.codec))
	w := parquet.NewGenericWriter[any](&data, options...)
	for _, e := range events {
		if _, err := w.WriteRows([]parquet.Row{s.row(e)}); err != nil {
			return nil, fmt.Errorf("event %s: %w", e.ID(), err)
		}
	}
	if err := w.Close(); err != nil {
		return nil, err
	}
	return data.Bytes(), nil
}

// classOf returns the number of an event's class; that of the base class if it has none.
func classOf(line []byte) (class int64) {
	_ = connect.Members(line, func(name string, value []byte) error { // what is no object has no class
		if name == "class_uid" {
			class, _ = connect.Integer(value)
		}
		return nil
	})
	return class
}
