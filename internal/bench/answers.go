package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"time"
)

// answer is an answer of weir or VictoriaLogs in one form, so that two can be compared.
type answer struct {
	uids  []string         // of lines, sorted
	count map[string]int64 // of bars, by their days; of facets by field and place: values of one count have no order
}

// readAnswer reads what weir says.
func readAnswer(s shape, body []byte) (a answer, err error) {
	switch s {
	case newest100:
		var page struct{ Results []struct{ Event line } }
		err = json.Unmarshal(body, &page)
		for _, r := range page.Results {
			a.uids = append(a.uids, r.Event.Metadata.UID)
		}
	case allLines:
		err = eachLine(body, func(data []byte) error {
			var row struct{ Event line }
			err := json.Unmarshal(data, &row)
			a.uids = append(a.uids, row.Event.Metadata.UID)
			return err
		})
	default:
		a.count, err = readSummary(s, body)
	}
	slices.Sort(a.uids)
	return a, err
}

type line struct{ Metadata struct{ UID string } }

// readSummary reads what is asked for of a summary, which always has a total and may have a histogram.
func readSummary(s shape, body []byte) (map[string]int64, error) {
	var summary struct {
		Total     int64
		Histogram []struct {
			Start time.Time
			Count int64
		}
		Facets []struct {
			Field  string
			Values []struct{ Count int64 }
		}
	}
	if err := json.Unmarshal(body, &summary); err != nil {
		return nil, err
	}
	count := map[string]int64{}
	if s == byDay {
		count["total"] = summary.Total
		for _, bar := range summary.Histogram {
			if bar.Count > 0 {
				count[bar.Start.UTC().Format(time.DateOnly)] += bar.Count
			}
		}
	}
	for _, f := range summary.Facets {
		for i, v := range f.Values {
			count[place(f.Field, i)] = v.Count
		}
	}
	return count, nil
}

func place(field string, i int) string { return fmt.Sprintf("%s %02d", field, i) }

// readVictoria reads what VictoriaLogs says.
func readVictoria(s shape, body []byte) (a answer, err error) {
	switch s {
	case byDay:
		a.count, err = readHits(body)
	case facets:
		a.count, err = readFacets(body)
	default:
		err = eachLine(body, func(data []byte) error {
			var l struct {
				UID string `json:"metadata.uid"`
			}
			err := json.Unmarshal(data, &l)
			a.uids = append(a.uids, l.UID)
			return err
		})
	}
	slices.Sort(a.uids)
	return a, err
}

func readHits(body []byte) (map[string]int64, error) {
	var reply struct {
		Hits []struct {
			Timestamps []time.Time
			Values     []int64
			Total      int64
		}
	}
	if err := json.Unmarshal(body, &reply); err != nil {
		return nil, err
	}
	count := map[string]int64{"total": 0}
	for _, h := range reply.Hits {
		count["total"] += h.Total
		for i, t := range h.Timestamps {
			if h.Values[i] > 0 {
				count[t.UTC().Format(time.DateOnly)] += h.Values[i]
			}
		}
	}
	return count, nil
}

func readFacets(body []byte) (map[string]int64, error) {
	counts := map[string][]int64{}
	err := eachLine(body, func(data []byte) error {
		var row struct {
			Field string `json:"field_name"`
			Hits  string
		}
		if err := json.Unmarshal(data, &row); err != nil {
			return err
		}
		n, err := strconv.ParseInt(row.Hits, 10, 64)
		counts[row.Field] = append(counts[row.Field], n)
		return err
	})
	count := map[string]int64{}
	for field, all := range counts {
		slices.SortFunc(all, func(a, b int64) int { return int(b - a) })
		for i, n := range all {
			count[place(field, i)] = n
		}
	}
	return count, err
}

func eachLine(body []byte, do func([]byte) error) error {
	for data := range bytes.Lines(body) {
		if err := do(data); err != nil {
			return fmt.Errorf("%.200s: %w", data, err)
		}
	}
	return nil
}

// differs says how two answers differ; "" if they do not.
func (a answer) differs(b answer) string {
	if !slices.Equal(a.uids, b.uids) {
		return fmt.Sprintf("%d lines and %d lines, or others", len(a.uids), len(b.uids))
	}
	names := slices.Sorted(maps.Keys(a.count))
	for name := range b.count {
		if _, ok := a.count[name]; !ok {
			names = append(names, name)
		}
	}
	for _, name := range names {
		if a.count[name] != b.count[name] {
			return fmt.Sprintf("%s: %d and %d", name, a.count[name], b.count[name])
		}
	}
	return ""
}

// size returns how many lines there are, or how many events were counted; of facets how many values.
func (a answer) size() int64 {
	if total, ok := a.count["total"]; ok {
		return total
	}
	return int64(max(len(a.uids), len(a.count)))
}
