package api

import (
	"cmp"
	"encoding/json"
	"flag"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"

	"github.com/getkin/kin-openapi/openapi3"

	"github.com/weirlog/weir/internal/account"
)

// contract is the part of the OpenAPI document about the operations that weir serves. Every reply in the tests is
// validated against it. It also counts the operations that were called.
type contract struct {
	operations []documented

	mu     sync.Mutex
	called map[string]bool
}

type documented struct {
	*openapi3.Operation
	method   string
	template string
	path     *regexp.Regexp
}

var published = sync.OnceValue(func() *contract {
	doc, err := openapi3.NewLoader().LoadFromFile("testdata/openapi.yaml")
	if err != nil {
		panic(err)
	}
	// Here the document contradicts itself or the real service. It says that the parameters of errors are objects, but
	// they are strings and numbers; and that a region is an object, but it is one of several strings.
	doc.Components.Schemas["BaseStreamsRegion"].Value.Type = nil
	doc.Components.Schemas["ApiError"].Value.Properties["parameters"].Value.Items = openapi3.NewSchema().NewRef()
	addIntegrations(doc.Components.Schemas)
	c := &contract{called: map[string]bool{}}
	variable := regexp.MustCompile(`\\\{[a-zA-Z]+\\\}`)
	for path, item := range doc.Paths.Map() {
		pattern := regexp.MustCompile("^" + variable.ReplaceAllString(regexp.QuoteMeta(path),
			"[^/:]+(?:(?::|%3A)[^/]*(?:[0-9]|::))?") + "$")
		for method, o := range item.Operations() {
			if !slices.ContainsFunc(new(Server).operations(), func(op operation) bool {
				return op.method == method &&
					sameTemplate(op.path, path)
			}) {
				continue
			}
			c.operations = append(c.operations, documented{o, method, path, pattern})
		}
	}
	return c
})

// addIntegrations adds weir's extensions of log integrations: other destinations, and other kinds of logs.
func addIntegrations(schemas openapi3.Schemas) {
	response := schemas["LogIntegrationResponse"].Value
	own := []any{"KAFKA_LOG_EXPORT", "SYSLOG_LOG_EXPORT", "WEBHOOK_LOG_EXPORT", "ELASTIC_LOG_EXPORT"}
	for _, name := range own {
		schema := openapi3.NewObjectSchema().WithProperty("id", openapi3.NewStringSchema()).
			WithProperty("type", openapi3.NewStringSchema().WithEnum(name)).WithRequired([]string{"id", "type", "logTypes"})
		schemas[name.(string)] = schema.NewRef()
		response.OneOf = append(response.OneOf, &openapi3.SchemaRef{Ref: "#/components/schemas/" + name.(string),
			Value: schema})
		response.Discriminator.Mapping[name.(string)] = openapi3.MappingRef{Ref: "#/components/schemas/" + name.(string)}
	}
	kind, types := response.Properties["type"].Value, response.Properties["logTypes"].Value.Items.Value
	kind.Enum = append(kind.Enum, own...)
	types.Enum = append(types.Enum, "STREAMS_AUDIT", "STREAMS_OPERATIONAL", "EVENTS")
}

// sameTemplate tells whether two templates of paths differ only in the names of variables.
func sameTemplate(a, b string) bool {
	return variablePattern.ReplaceAllString(a, "{}") == variablePattern.ReplaceAllString(b, "{}")
}

func (c *contract) find(method, path string) (documented, bool) {
	parts := strings.Count(path, "/") // a variable contains no slash; matching all patterns takes long
	i := slices.IndexFunc(c.operations, func(o documented) bool {
		return o.method == method && strings.Count(o.template, "/") == parts &&
			strings.HasPrefix(o.template, byName) == strings.HasPrefix(path, byName) && o.path.MatchString(path)
	})
	if i < 0 {
		return documented{}, false
	}
	return c.operations[i], true
}

// compilePattern compiles the patterns of the document. Those for addresses match few notations of IPv6. weir shows an
// entry as the caller wrote it, so any address or CIDR block is accepted here.
func compilePattern(pattern string) (openapi3.RegexMatcher, error) {
	if strings.Contains(pattern, "[0-9a-f]{1,4}") {
		return anyNetwork{}, nil
	}
	return regexp.Compile(pattern)
}

type anyNetwork struct{}

// MatchString tells whether a text is an address or a CIDR block.
func (anyNetwork) MatchString(text string) bool {
	_, err := account.ParseBlock(text)
	return err == nil
}

// check validates a reply.
func (c *contract) check(r *http.Request, rec *httptest.ResponseRecorder) error {
	o, ok := c.find(r.Method, r.URL.EscapedPath())
	if !ok {
		return nil
	}
	if rec.Code < 300 {
		c.mu.Lock()
		c.called[o.OperationID] = true
		c.mu.Unlock()
	}
	if r.URL.Query().Get("envelope") == "true" || rec.Code == http.StatusOK &&
		strings.HasSuffix(rec.Header().Get("Content-Type"), "gzip") {
		return nil
	}
	switch rec.Code {
	case 405, 406, 413, 415, 503: // the document has none of these; their bodies are like those of other errors
		return c.validate(rec, o.Responses.Value("401").Value.Content["application/json"])
	case 409:
		if o.Responses.Value("409") == nil {
			return c.validate(rec, o.Responses.Value("401").Value.Content["application/json"])
		}
	case 400:
		if o.Responses.Value("400") == nil {
			return c.validate(rec, o.Responses.Value("401").Value.Content["application/json"])
		}
	}
	response := o.Responses.Value(strconv.Itoa(rec.Code))
	if response == nil {
		return fmt.Errorf("%s may not answer %d", o.OperationID, rec.Code)
	}
	if rec.Code == http.StatusNoContent || rec.Code == http.StatusAccepted {
		return nil
	}
	kind, _, _ := strings.Cut(rec.Header().Get("Content-Type"), ";")
	content := response.Value.Content[kind]
	if content == nil {
		return fmt.Errorf("%s may not answer %d with %s", o.OperationID, rec.Code, kind)
	}
	return c.validate(rec, content)
}

func (c *contract) validate(rec *httptest.ResponseRecorder, content *openapi3.MediaType) error {
	var v any
	if err := json.Unmarshal(rec.Body.Bytes(), &v); err != nil {
		return err
	}
	return content.Schema.Value.VisitJSON(v, openapi3.VisitAsResponse(), openapi3.MultiErrors(),
		openapi3.EnableFormatValidation(),
		openapi3.SetSchemaRegexCompiler(compilePattern))
}

// releases lists the versions of an operation's replies.
func (o documented) releases() []string {
	var releases []string
	for status, response := range o.Responses.Map() {
		for kind := range response.Value.Content {
			release, ok := strings.CutPrefix(kind, mediaPrefix)
			if ok && status[0] == '2' && !strings.HasPrefix(release, "preview") {
				releases = append(releases, release[:len("2006-01-02")])
			}
		}
	}
	slices.Sort(releases)
	return slices.Compact(releases)
}

// TestCompatibilityTable checks that docs/compatibility.md lists every operation of the document, with its path and its
// versions, and no other operation.
func TestCompatibilityTable(t *testing.T) {
	data, err := os.ReadFile("../../docs/compatibility.md")
	if err != nil {
		t.Fatal(err)
	}
	rows := map[string]bool{}
	for _, row := range regexp.MustCompile("(?m)^(\\| `[a-zA-Z]+` \\| .*? "+
		"\\| .*? \\|) ").FindAllStringSubmatch(string(data), -1) {
		rows[row[1]] = true
	}
	for _, o := range published().operations {
		path := cmp.Or(strings.TrimPrefix(o.template, base), "/")
		row := fmt.Sprintf("| `%s` | %s `%s` | %s |", o.OperationID, o.method, path, strings.Join(o.releases(), ", "))
		if !rows[row] {
			t.Errorf("no row begins with %s", row)
		}
		delete(rows, row)
	}
	for row := range rows {
		t.Errorf("the document has no %s", row)
	}
}

func flagValue(name string) string { return flag.Lookup(name).Value.String() }

// TestMain fails if an operation of the document was not called successfully by any test.
func TestMain(m *testing.M) {
	code := m.Run()
	filters := flagValue("test.run") + flagValue("test.skip") + flagValue("test.list") + flagValue("test.fuzz")
	if code == 0 && filters+flagValue("test.bench") == "" {
		for _, o := range published().operations {
			if !published().called[o.OperationID] {
				fmt.Println("no test has called", o.OperationID)
				code = 1
			}
		}
	}
	os.Exit(code)
}
