package web

import (
	"bytes"
	"crypto/sha256"
	"embed"
	"encoding/base64"
	"io/fs"
	"net/http"
	"path"
	"strconv"
	"strings"

	"github.com/klauspost/compress/gzip"
)

// page has the files of the page, as a browser loads them. They need no build step.
//
//go:embed page
var page embed.FS

// file is a file of the page.
type file struct {
	mediaType    string
	tag          string // quoted, as ETag has it
	data, packed []byte
}

var mediaTypes = map[string]string{".html": "text/html; charset=utf-8", ".js": "text/javascript; charset=utf-8",
	".css": "text/css; charset=utf-8", ".svg": "image/svg+xml"}

// loadFiles returns the files by the paths under which they are served. A file without a media type is not served.
func loadFiles() map[string]file {
	files := map[string]file{}
	err := fs.WalkDir(page, "page", func(name string, entry fs.DirEntry, err error) error {
		mediaType := mediaTypes[path.Ext(name)]
		if err != nil || entry.IsDir() || mediaType == "" {
			return err
		}
		data, err := page.ReadFile(name)
		if err != nil {
			return err
		}
		sum := sha256.Sum256(data)
		f := file{mediaType, `"` + base64.RawURLEncoding.EncodeToString(sum[:12]) + `"`, data, pack(data)}
		files[filesPath+strings.TrimPrefix(name, "page/")] = f
		return nil
	})
	if err != nil {
		panic(err) // The files are part of the program.
	}
	files["/"] = files[filesPath+"index.html"]
	delete(files, filesPath+"index.html")
	return files
}

func pack(data []byte) []byte {
	var b bytes.Buffer
	w, err := gzip.NewWriterLevel(&b, gzip.BestCompression)
	if err == nil {
		_, err = w.Write(data)
	}
	if err == nil {
		err = w.Close()
	}
	if err != nil {
		panic(err) // Memory takes everything.
	}
	return b.Bytes()
}

// file serves a file of the page. A browser asks each time whether it has changed, so that a new version of weir is
// seen at once.
func (s *server) file(w http.ResponseWriter, r *http.Request) {
	f, ok := s.files[r.URL.Path]
	if !ok {
		refuse(w, http.StatusNotFound, "RESOURCE_NOT_FOUND", "The page has no such file.")
		return
	}
	h := w.Header()
	h.Set("Cache-Control", "no-cache")
	h.Set("ETag", f.tag)
	h.Set("Vary", "Accept-Encoding")
	if strings.Contains(r.Header.Get("If-None-Match"), f.tag) {
		w.WriteHeader(http.StatusNotModified)
		return
	}
	data := f.data
	if acceptsGzip(r) {
		data = f.packed
		h.Set("Content-Encoding", "gzip")
	}
	h.Set("Content-Type", f.mediaType)
	h.Set("Content-Length", strconv.Itoa(len(data)))
	if r.Method != http.MethodHead {
		w.Write(data) // An error means that the client has gone.
	}
}

func acceptsGzip(r *http.Request) bool {
	for part := range strings.SplitSeq(r.Header.Get("Accept-Encoding"), ",") {
		name, q, _ := strings.Cut(strings.TrimSpace(part), ";")
		if name == "gzip" {
			return strings.ReplaceAll(q, " ", "") != "q=0"
		}
	}
	return false
}
