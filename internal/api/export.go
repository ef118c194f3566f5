package api

import (
	"cmp"
	"context"
	"errors"
	"io"
	"strconv"
	"time"

	"github.com/weirlog/weir/internal/export"
	"github.com/weirlog/weir/internal/limit"
	"github.com/weirlog/weir/internal/query"
	"github.com/weirlog/weir/internal/search"
)

// exportTypes are the media types of tables.
var exportTypes = map[export.Format]string{export.CSV: "text/csv; charset=utf-8; header=present", export.NDJSON: ndjson,
	export.Parquet: "application/vnd.apache.parquet"}

const (
	exportPage  = 5000        // events that are searched for at a time
	countWithin = time.Second // time limit for counting the events
)

// export sends all matching events, the oldest first, as a table.
func (h events) export(c *call) (*file, error) {
	q, err := h.ask(c)
	if err != nil {
		return nil, err
	}
	format := export.Format(cmp.Or(c.query.Get("format"), string(export.CSV)))
	o, err := exportOptions(c, format)
	if err != nil {
		return nil, err
	}
	headers := map[string]string{"Weir-Read": h.refer(c, q, readReference, nil), "Cache-Control": "no-store"}
	if total, ok := h.total(c, q); ok {
		headers["Weir-Total"] = strconv.FormatInt(total, 10)
	}
	const layout = "20060102T150405Z"
	name := "events_" + time.UnixMilli(q.Start).UTC().Format(layout) + "_" + time.UnixMilli(q.End-1).UTC().Format(layout)
	return &file{name: name + "." + string(format), size: -1, media: exportTypes[format], headers: headers,
		write: func(ctx context.Context, w io.Writer) error { return h.writeAll(ctx, c, q, format, o, w) }}, nil
}

func exportOptions(c *call, format export.Format) (export.Options, error) {
	o := export.Options{Raw: c.flag("raw"), BOM: c.flag("bom")}
	if text := c.query.Get("columns"); text != "" {
		columns, err := query.ParseFields(text)
		if wrong, ok := errors.AsType[*query.Error](err); ok {
			return o, invalidQuery(field{"columns", wrong.Error()})
		}
		for _, name := range columns {
			o.Columns = append(o.Columns, string(name))
		}
	}
	if _, err := export.New(format, io.Discard, o); err != nil {
		return o, invalidQuery(field{"columns", err.Error()})
	}
	return o, nil
}

// total counts the events, unless that takes too long.
func (h events) total(c *call, q *question) (int64, bool) {
	ctx, cancel := context.WithTimeout(c.context(), countWithin)
	defer cancel()
	release, err := h.shares.Take(ctx, 1, c.holders()...)
	if err != nil {
		return 0, false
	}
	defer release()
	s, err := h.search.Summary(ctx, q.Question, search.Outline{})
	if err != nil {
		return 0, false
	}
	return s.Total, true
}

// writeAll writes all events page by page. It takes a share for each page, so that others can continue.
func (h events) writeAll(ctx context.Context, c *call, q *question, format export.Format, o export.Options,
	w io.Writer) error {
	out, err := export.New(format, w, o)
	if err != nil {
		return err
	}
	for after, more := (*search.Position)(nil), true; more; more = after != nil {
		page, err := h.page(ctx, c, q, after)
		if err != nil {
			return tooSlow(err)
		}
		for _, hit := range page.Hits {
			if err := out.Write(export.Row{Log: hit.Log, Entry: hit.Index, Line: hit.Line}); err != nil {
				return err
			}
		}
		after = page.Next
	}
	return out.Close()
}

// page finds a page of an export with a share of the caller. It waits for the share as long as the client does: an
// export that has begun is not broken off because others search.
func (h events) page(ctx context.Context, c *call, q *question, after *search.Position) (*search.Page, error) {
	for {
		release, err := h.shares.Take(ctx, 1, c.holders()...)
		if err == nil {
			defer release()
			return h.search.Page(ctx, q.Question, search.Oldest, after, exportPage)
		}
		if !errors.Is(err, limit.ErrBusy) {
			return nil, err
		}
		select {
		case <-ctx.Done():
			return nil, context.Cause(ctx)
		case <-time.After(time.Second):
		}
	}
}
