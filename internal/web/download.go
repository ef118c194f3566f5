package web

import (
	"archive/zip"
	"cmp"
	"io"
	"mime"
	"net/http"
	"net/url"
	"time"
)

const (
	downloadPath = "/web/download/" // and then the id of a project, and that of a log of it
	apiGroups    = "/api/weir/v1/groups/"
)

// download replies with a ZIP file of two: a log in a range of time, as the API sends it, and its proof. The server
// keeps neither: they pass through. If the second cannot be had, the reply is broken off, as one of the API is.
func (s *server) download(w http.ResponseWriter, r *http.Request) {
	session := s.ofPage(w, r)
	if session == "" {
		return
	}
	log := apiGroups + url.PathEscape(r.PathValue("project")) + "/logs/" + url.PathEscape(r.PathValue("log"))
	first := &packed{reply: reply{ResponseWriter: w, server: s, r: r}}
	s.api.ServeHTTP(first, asking(r, log, r.URL.RawQuery, session))
	if first.zip == nil {
		return // The API has refused, and has said why.
	}
	query := r.URL.Query()
	query.Set("size", first.header.Get("Weir-Checkpoint-Size"))
	second := &packed{reply: first.reply, zip: first.zip, name: first.name + ".proof"}
	s.api.ServeHTTP(second, asking(r, log+"/proof", query.Encode(), session))
	if second.failed() || first.zip.Close() != nil {
		panic(http.ErrAbortHandler) // The server closes the connection.
	}
}

// asking returns a request for the API, made in a session.
func asking(r *http.Request, path, query, session string) *http.Request {
	asked := inSession(r, path, session)
	asked.URL.RawQuery, asked.URL.RawPath = query, ""
	asked.RequestURI = asked.URL.RequestURI()
	asked.Header.Set("Accept", "*/*")
	return asked
}

// packed is a reply of the API that becomes a file in a ZIP file. The first begins the ZIP file, unless it is an error:
// that is passed as it is.
type packed struct {
	reply
	zip    *zip.Writer
	name   string // of the file; that of the first is the API's
	header http.Header
	file   io.Writer
	status int
	err    error
}

func (p *packed) Header() http.Header {
	if p.header == nil {
		p.header = http.Header{}
	}
	return p.header
}

func (p *packed) WriteHeader(status int) {
	if p.status != 0 || status < http.StatusOK {
		return
	}
	p.status = status
	switch {
	case status == http.StatusOK:
		p.begin()
	case p.zip == nil:
		for name, values := range p.header {
			p.reply.Header()[name] = values
		}
		p.reply.WriteHeader(status)
	}
}

// begin begins the file, and the ZIP file if there is none yet.
func (p *packed) begin() {
	if p.zip == nil {
		_, about, _ := mime.ParseMediaType(p.header.Get("Content-Disposition")) // Without a name it gets another.
		p.name = cmp.Or(about["filename"], "log.gz")
		h := p.reply.Header()
		h.Set("Content-Type", "application/zip")
		h.Set("Content-Disposition", mime.FormatMediaType("attachment", map[string]string{"filename": p.name + ".zip"}))
		if text := p.header.Get(sessionHeader); text != "" {
			h.Set(sessionHeader, text)
		}
		p.reply.WriteHeader(http.StatusOK)
		p.zip = zip.NewWriter(p.reply.ResponseWriter)
	}
	p.file, p.err = p.zip.CreateHeader(&zip.FileHeader{Name: p.name, Method: zip.Store, Modified: time.Now()})
}

func (p *packed) Write(b []byte) (int, error) {
	p.WriteHeader(http.StatusOK)
	switch {
	case p.err != nil:
		return 0, p.err
	case p.file == nil && p.zip == nil:
		return p.reply.Write(b) // why it was refused
	case p.file == nil:
		return len(b), nil // The reply is broken off whatever it says.
	}
	n, err := p.file.Write(b)
	p.err = err
	return n, err
}

// failed tells whether the file is not there, or not whole.
func (p *packed) failed() bool { return p.status != http.StatusOK || p.err != nil }
