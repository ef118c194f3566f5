package query

import "slices"

// Aliases returns the names of the aliases:
//
//	who      the actor
//	from     the address of the source, or else its name
//	what     the name of the operation
//	target   the object of the operation; an event may have several
//	outcome  success, failure or unknown
//	class    the name of the event's OCSF class; its number matches too
//
// The caller may change the list.
func Aliases() []string { return slices.Clone(aliasNames[:]) }

// The aliases, as places in aliasNames.
const (
	who = iota
	from
	what
	target
	outcome
	class
	aliases // their number
)

var aliasNames = [aliases]string{"who", "from", "what", "target", "outcome", "class"}

func isAlias(name string) bool { return slices.Contains(aliasNames[:], name) }

// source is a field from which an alias may take its value.
type source struct {
	path []string
	// afterActor says that the field counts only if the event has an actor. A user beside an actor is the target;
	// without an actor, this user is the actor.
	afterActor bool
}

func sources(fields ...string) (all []source) {
	for _, f := range fields {
		all = append(all, source{path: Field(f).Names()})
	}
	return all
}

// aliasSources lists the fields of each alias. The values of the first field that has any are the values of the alias.
// Values are strings that are not empty, numbers and booleans. For outcome and class see aliasValues.
var aliasSources = [aliases][]source{
	who: sources("actor.user.name", "actor.user.uid", "actor.user.email_addr", "actor.app_name", "actor.app_uid",
		"actor.invoked_by", "actor.process.name", "user.name", "user.uid", "user.email_addr"),
	from: sources("src_endpoint.ip", "src_endpoint.hostname", "src_endpoint.name", "src_endpoint.domain",
		"src_endpoint.uid", "src_endpoint.interface_name", "direct_endpoint.ip"),
	what: sources("api.operation", "unmapped.atype", "activity_name", "type_name"),
	target: slices.Concat(sources("entity.name", "entity.uid", "resources.name", "resources.uid", "resource.name",
		"resource.uid", "unmapped.param.name", "unmapped.param.ns"),
		[]source{{[]string{"user", "name"}, true}, {[]string{"user", "uid"}, true}},
		sources("group.name", "group.uid", "policy.name", "dst_endpoint.hostname", "dst_endpoint.name",
			"dst_endpoint.ip")),
	outcome: sources("status_id", "status", "api.response.error", "api.response.code"),
	class:   sources("class_name", "class_uid"),
}

// Kind is the kind of a Scalar.
type Kind uint8

// The kinds.
const (
	String Kind = iota
	Number
	Bool
)

// Scalar is a string, a number or a boolean of an event.
type Scalar struct {
	Kind Kind
	Text string // a string without escapes, or a number as it is written in the event
}

// classes maps the numbers of OCSF's classes of audit events to their names and numbers.
var classes = func() map[string][]Scalar {
	classes := map[string][]Scalar{}
	for number, name := range map[string]string{
		"0": "Base Event", "1001": "File System Activity", "1007": "Process Activity", "3001": "Account Change",
		"3002": "Authentication", "3003": "Authorize Session", "3004": "Entity Management",
		"3005": "User Access Management", "3006": "Group Management", "4001": "Network Activity",
		"4002": "HTTP Activity", "5001": "Device Inventory Info", "5002": "Device Config State",
		"6001": "Web Resources Activity", "6002": "Application Lifecycle", "6003": "API Activity",
		"6005": "Datastore Activity",
	} {
		classes[number] = []Scalar{{String, name}, {Number, number}}
	}
	return classes
}()

// aliasValues returns the values of an alias, or nil if alias is -1. get returns the values of source n of the alias
// (see aliasSources), and hasActor tells whether a source of who that begins with "actor" has a value.
func aliasValues(alias int, get func(n int) []Scalar, hasActor func() bool) []Scalar {
	switch alias {
	case -1:
		return nil
	case outcome:
		return outcomeOf(get)
	case class:
		return classOf(get)
	}
	for n, s := range aliasSources[alias] {
		if s.afterActor && !hasActor() {
			continue
		}
		if values := get(n); len(values) > 0 {
			return values
		}
	}
	return nil
}

// The outcomes, so that events need no allocation.
var (
	success = []Scalar{{String, "success"}}
	failure = []Scalar{{String, "failure"}}
	unknown = []Scalar{{String, "unknown"}}
)

// outcomeOf returns the outcome of an event. MongoDB's own events have no status, but a code or an error in
// api.response.
func outcomeOf(get func(n int) []Scalar) []Scalar {
	const statusID, status, responseError, responseCode = 0, 1, 2, 3
	if v := get(statusID); len(v) > 0 {
		switch {
		case equalNumber(v[0].Text, "1"):
			return success
		case equalNumber(v[0].Text, "2"):
			return failure
		}
		return unknown
	}
	if v := get(status); len(v) > 0 {
		switch Fold(v[0].Text) {
		case "success":
			return success
		case "failure":
			return failure
		}
		return unknown
	}
	if len(get(responseError)) > 0 {
		return failure
	}
	if v := get(responseCode); len(v) > 0 {
		code, ok := parseDecimal(v[0].Text)
		switch {
		case !ok:
			return unknown
		case code.sign() == 0, code.compare(ok200) >= 0 && code.compare(ok300) < 0:
			return success
		}
		return failure
	}
	return unknown
}

// HTTP status codes from ok200 up to, but not including, ok300 mean success.
var (
	ok200, _ = parseDecimal("200")
	ok300, _ = parseDecimal("300")
)

// classOf returns the name of an event's class, from the event or from OCSF, and its number.
func classOf(get func(n int) []Scalar) []Scalar {
	names, numbers := get(0), get(1)
	switch {
	case len(names) > 0:
		return append(names[:len(names):len(names)], numbers...)
	case len(numbers) == 1 && numbers[0].Kind == Number:
		if known, ok := classes[numbers[0].Text]; ok {
			return known
		}
	}
	return numbers
}

func equalNumber(text, number string) bool {
	if text == number {
		return true
	}
	a, ok := parseDecimal(text)
	b, _ := parseDecimal(number)
	return ok && a.compare(b) == 0
}
