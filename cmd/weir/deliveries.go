package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/spf13/pflag"
)

// deliveryFlags are the flags of the commands for deliveries.
type deliveryFlags struct {
	file string // contains the body of a creation or a change
	from string // where to continue
}

// maxDeliveryFile bounds a file that describes a delivery, in bytes.
const maxDeliveryFile = 1 << 20

// read reads the body in a file, or in standard input if the file is "-".
func (o *deliveryFlags) read() (any, error) {
	if o.file == "" {
		return nil, errors.New("give --file with the JSON of the delivery; docs/send-out.md has examples")
	}
	in := io.Reader(os.Stdin)
	if o.file != "-" {
		f, err := os.Open(o.file)
		if err != nil {
			return nil, err
		}
		defer f.Close()
		in = f
	}
	data, err := io.ReadAll(io.LimitReader(in, maxDeliveryFile+1))
	switch {
	case err != nil:
		return nil, err
	case len(data) > maxDeliveryFile:
		return nil, fmt.Errorf("%s has more than %d bytes", o.file, maxDeliveryFile)
	case !json.Valid(data):
		return nil, fmt.Errorf("%s is not JSON", o.file)
	}
	return json.RawMessage(data), nil
}

func deliveryVerbs() []verb {
	columns := []column{col("ID", "id"), col("TYPE", "type"), col("LOGS", "logTypes"),
		col("WORKSPACES", "weir.workspaces"), col("FILTER", "weir.filter")}
	status := []column{col("STATE", "state"), col("LAG", "lagEvents"), col("SECONDS", "lagSeconds"),
		col("EVENTS/S", "eventsPerSecond"), col("LAST", "lastDeliveredAt"), col("LAST ERROR", "failure.error")}
	all := func(f *adminFlags, args []string) (string, error) {
		return f.projectPath(append([]string{"logIntegrations"}, args...)...)
	}
	here := func(f *adminFlags, _ []string) (string, error) { return all(f, nil) }
	does := func(verb string) func(*adminFlags, []string) (string, error) {
		return func(f *adminFlags, args []string) (string, error) { return own(all(f, []string{args[0] + ":" + verb})) }
	}
	describes := func(f *adminFlags, args []string) (string, error) { return own(all(f, []string{args[0], "status"})) }
	body := func(f *adminFlags, _ []string) (any, error) { return f.delivery.read() }
	from := func(f *adminFlags, _ []string) (any, error) {
		if f.delivery.from == "" {
			return nil, errors.New("give --from: now, beginning, a time such as 2026-11-20T07:01:02Z, or <log>/<index>")
		}
		return map[string]string{"from": f.delivery.from}, nil
	}
	file := func(s *pflag.FlagSet, f *adminFlags) {
		s.StringVarP(&f.delivery.file, "file", "f", "", "`file` with the JSON of the delivery; - is standard input")
	}
	start := func(s *pflag.FlagSet, f *adminFlags) {
		s.StringVar(&f.delivery.from, "from", "", "now, beginning, a time, or an entry as <log>/<index>")
	}
	mine := flagsOf{projectFlag}
	return []verb{
		{"list", "List the deliveries of a project", nil, mine, list(here), columns},
		{"create", "Create a delivery, which sends events to another system", nil, flagsOf{projectFlag, file},
			send("POST", here, body), columns},
		{"update ID", "Replace the settings of a delivery; secrets that are sent back masked stay", one,
			flagsOf{projectFlag, file}, send("PUT", all, body), columns},
		{"describe ID", "Show how far a delivery has come, and what failed; -o json shows each log, and what is parked", one,
			mine, ask("GET", describes), status},
		{"pause ID", "Send nothing until the delivery is resumed", one, mine, ask("POST", does("pause")), columns},
		{"resume ID", "Continue to send where a delivery was paused", one, mine, ask("POST", does("resume")), columns},
		{"replay ID", "Continue at another entry: send events again, or skip some", one, flagsOf{projectFlag, start},
			send("POST", does("replay"), from), columns},
		{"retry-parked ID", "Send the parked events, which the place refused, once more", one, mine,
			ask("POST", does("retryParked")), columns},
		{"discard-parked ID", "Discard the parked events, which the place refused; their log keeps them", one, mine,
			ask("POST", does("discardParked")), columns},
		{"delete ID", "Delete a delivery", one, mine, ask("DELETE", all), nil},
	}
}
