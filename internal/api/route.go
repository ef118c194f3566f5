package api

import (
	"net/http"
	"path"
	"regexp"
	"slices"
	"sort"
	"strings"
)

// routes are the operations of one path, by verb ("" if it has none) and method.
type routes map[string]map[string][]*operation

// route makes the muxes, with the handlers of all operations.
func (s *Server) route() {
	s.mux, s.named = http.NewServeMux(), http.NewServeMux()
	paths := map[string]routes{}
	for i := range s.table {
		op := &s.table[i]
		path, verb := cutVerb(op.path)
		if paths[path] == nil {
			paths[path] = routes{}
		}
		if paths[path][verb] == nil {
			paths[path][verb] = map[string][]*operation{}
		}
		paths[path][verb][op.method] = append(paths[path][verb][op.method], op)
	}
	for path, r := range paths {
		mux := s.muxOf(path)
		mux.Handle(path, s.handle(r.dispatch))
		for verb := range r {
			if verb != "" && !strings.HasSuffix(path, "}") { // otherwise the variable includes the verb
				mux.Handle(path+":"+verb, s.handle(r.dispatch))
			}
		}
	}
	s.mux.Handle(tenant+"/{rest...}", s.handle(noEngine))
	s.mux.Handle("/", s.NotFound())
	s.named.Handle("/", s.NotFound())
}

// muxOf returns the mux for a path. Paths with the name of a project have their own mux, since a mux refuses
// groups/byName/{groupName} beside groups/{groupId}/streams: both match groups/byName/streams.
func (s *Server) muxOf(path string) *http.ServeMux {
	if strings.HasPrefix(path, byName) {
		return s.named
	}
	return s.mux
}

// isClean tells whether a path is clean. A mux would redirect other paths ("//", "/../") in HTML.
func isClean(p string) bool {
	return p == "/" || strings.HasPrefix(p, "/") && !strings.Contains(p, "//") &&
		path.Clean(p) == strings.TrimSuffix(p, "/")
}

// cutVerb splits off the verb at the end of a path, since patterns of a mux cannot have one.
func cutVerb(path string) (rest, verb string) {
	i := strings.LastIndexByte(path, ':')
	if i <= strings.LastIndexByte(path, '/') {
		return path, ""
	}
	return path[:i], path[i+1:]
}

// dispatch runs the operation of a request. GET includes HEAD.
func (r routes) dispatch(x *exchange) (result, error) {
	_, verb := cutVerb(x.r.URL.Path)
	methods, ok := r[verb]
	if verb != "" && ok {
		cutVerbs(x.r)
	} else if methods, ok = r[""]; !ok {
		return notFound(x)
	}
	method := x.r.Method
	if method == http.MethodHead {
		method = http.MethodGet
	}
	rows := methods[method]
	if len(rows) == 0 {
		return nil, allowOnly(methods, x.r.Method)
	}
	x.r.Pattern = method + " " + x.r.Pattern // for metrics
	i := slices.IndexFunc(rows, func(op *operation) bool { return op.with == "" || x.call.query.Has(op.with) })
	if i < 0 {
		i = len(rows) - 1 // the query lacks a required parameter
	}
	x.call.operation = rows[i]
	return x.server.serve(&x.call, x.w.Header())
}

func allowOnly(methods map[string][]*operation, method string) error {
	var allow []string
	for method := range methods {
		if allow = append(allow, method); method == http.MethodGet {
			allow = append(allow, http.MethodHead)
		}
	}
	sort.Strings(allow)
	p := methodNotAllowed(method)
	p.headers = http.Header{"Allow": {strings.Join(allow, ", ")}}
	return p
}

// cutVerbs removes the verb from the last variable of the path.
func cutVerbs(r *http.Request) {
	for _, name := range []string{"tenantName", "clientId", "integrationId"} {
		if value := r.PathValue(name); value != "" {
			value, _ = cutVerb(value)
			r.SetPathValue(name, value)
		}
	}
}

func notFound(x *exchange) (result, error) { return nil, resourceNotFound(x.r.URL.Path) }

// noEngine answers requests for operations of a stream engine, which weir does not have.
func noEngine(x *exchange) (result, error) {
	p := resourceNotFound(x.r.URL.Path)
	switch kind, _, _ := strings.Cut(x.r.PathValue("rest"), "/"); kind {
	case "connections", "processor", "processors":
		if err := x.server.authenticate(&x.call); err != nil {
			return nil, err
		}
		p.detail = "weir keeps the logs of stream workspaces; connections and stream processors belong to a stream " +
			"engine, which weir is not: " + p.detail
	}
	return nil, p
}

var variablePattern = regexp.MustCompile(`\{(\w+)(?:\.\.\.)?\}`)

// variablesOf returns the variables of a path.
func variablesOf(path string) map[string]bool {
	names := map[string]bool{}
	for _, m := range variablePattern.FindAllStringSubmatch(path, -1) {
		names[m[1]] = true
	}
	return names
}
