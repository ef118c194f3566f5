package web

import (
	"crypto/sha256"
	"encoding/hex"
	"io/fs"
	"net/http"
	"net/http/httptest"
	"os"
	"path"
	"regexp"
	"strings"
	"testing"
)

// vendored is what of the page is not weir's own, by the name of its file: the digest of what its authors published.
var vendored = map[string]string{
	// htm 3.1.1, preact/standalone.module.js: htm (Apache-2.0) with Preact (MIT), from the npm registry
	"htm-preact-3.1.1.js": "72284e8e9079c87817145df1110f74e8a2aa040b2fc384922e18dfcb46fc1fd7",
	"LICENSE.htm":         "740725f7252e750af735d0028cc534970772f513331e9f68150fede8fb3ce00f",
	"LICENSE.preact":      "1fe6958409c8c257a70c587a18b6f7f412b179b456630790d30b2ec9a8e4b7d4",
}

func TestVendoredFilesAreAsPublished(t *testing.T) {
	entries, err := fs.ReadDir(page, "page/vendor")
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		data, err := page.ReadFile("page/vendor/" + e.Name())
		if err != nil {
			t.Fatal(err)
		}
		sum := sha256.Sum256(data)
		if got := hex.EncodeToString(sum[:]); got != vendored[e.Name()] {
			t.Errorf("%s has digest %s, want %s", e.Name(), got, vendored[e.Name()])
		}
	}
	if len(entries) != len(vendored) {
		t.Errorf("there are %d vendored files, want %d", len(entries), len(vendored))
	}
}

const mostBytes = 150 << 10 // of all files of the page, compressed

func TestThePageIsSmall(t *testing.T) {
	total := 0
	for _, f := range loadFiles() {
		total += len(f.packed)
	}
	if total > mostBytes {
		t.Errorf("the page has %d bytes, compressed, want at most %d", total, mostBytes)
	}
	t.Logf("%d bytes, compressed", total)
}

// Text is text: no file of the page's own makes markup or code of a string, has a script or a style within markup, or
// loads anything from elsewhere.
func TestThePageMakesNothingOfText(t *testing.T) {
	bad := regexp.MustCompile(`innerHTML|outerHTML|insertAdjacentHTML|document\.write|DOMParser|\beval\(|new Function|` +
		`srcdoc|style="|\son[a-z]+="|<script>|<style|https?://[^\s]*\.(js|css|woff2?)\b|import\(`)
	for name, f := range loadFiles() {
		if strings.Contains(name, "/vendor/") {
			continue
		}
		if found := bad.Find(f.data); found != nil {
			t.Errorf("%s has %q", name, found)
		}
	}
}

// Each module that a file of the page imports is there, so that nothing is missing in a browser only.
func TestImportsOfThePageExist(t *testing.T) {
	files := loadFiles()
	imports := regexp.MustCompile(`(?:from|import|src=|href=) ?["']([./][^"']*)["']`)
	n := 0
	for name, f := range files {
		for _, m := range imports.FindAllSubmatch(f.data, -1) {
			target := string(m[1])
			if !strings.HasPrefix(target, "/") {
				target = path.Join(path.Dir(name), target)
			}
			if _, ok := files[target]; !ok {
				t.Errorf("%s wants %s, which is not there", name, target)
			}
			n++
		}
	}
	if n == 0 {
		t.Error("nothing is imported, so this test finds nothing")
	}
}

// Files that are no part of the page, such as licences, are served to nobody.
func TestOnlyThePageIsServed(t *testing.T) {
	s := New(nil, "")
	for target, want := range map[string]int{"/": 200, "/web/style.css": 200, "/web/index.html": 404,
		"/web/vendor/LICENSE.htm": 404, "/web/": 404, "/web/nothing.js": 404, "/web/vendor": 404} {
		rec := httptest.NewRecorder()
		s.ServeHTTP(rec, httptest.NewRequest("GET", target, nil))
		if rec.Code != want {
			t.Errorf("%s: %d, want %d", target, rec.Code, want)
		}
		for name, part := range map[string]string{"Content-Security-Policy": "frame-ancestors 'none'",
			"X-Content-Type-Options": "nosniff", "Referrer-Policy": "no-referrer", "X-Frame-Options": "DENY"} {
			if !strings.Contains(rec.Header().Get(name), part) {
				t.Errorf("%s: %s is %q", target, name, rec.Header().Get(name))
			}
		}
	}
}

func TestFilesAreRevalidated(t *testing.T) {
	s := New(nil, "")
	ask := func(headers ...string) *httptest.ResponseRecorder {
		r := httptest.NewRequest("GET", "/web/style.css", nil)
		for i := 0; i < len(headers); i += 2 {
			r.Header.Set(headers[i], headers[i+1])
		}
		rec := httptest.NewRecorder()
		s.ServeHTTP(rec, r)
		return rec
	}
	plain := ask()
	if again := ask("If-None-Match", plain.Header().Get("ETag")); again.Code != http.StatusNotModified ||
		again.Body.Len() > 0 {
		t.Errorf("%d with %d bytes", again.Code, again.Body.Len())
	}
	if packed := ask("Accept-Encoding", "br, gzip;q=0.8"); packed.Header().Get("Content-Encoding") != "gzip" ||
		packed.Body.Len() >= plain.Body.Len() {
		t.Errorf("%d bytes, packed as %q", packed.Body.Len(), packed.Header().Get("Content-Encoding"))
	}
	if none := ask("Accept-Encoding", "gzip; q=0"); none.Header().Get("Content-Encoding") != "" {
		t.Error("packed although it is not wanted")
	}
}

// All words that people read stand in text.js.
func TestWordsStandInOnePlace(t *testing.T) {
	words := regexp.MustCompile(`(?:title|placeholder|aria-label)="[A-Za-z]|>\s*[A-Z][a-z]+ [a-z]+`)
	for name, f := range loadFiles() {
		if !strings.HasSuffix(name, ".js") || strings.HasSuffix(name, "/text.js") || strings.Contains(name, "/vendor/") {
			continue
		}
		if found := words.Find(f.data); found != nil {
			t.Errorf("%s has words: %q", name, found)
		}
	}
	if _, err := os.Stat("page/text.js"); err != nil {
		t.Error(err)
	}
}
