package bucketest

import (
	"bytes"
	"cmp"
	"crypto/md5"
	"crypto/sha256"
	"encoding/hex"
	"encoding/xml"
	"fmt"
	"io"
	"maps"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"
)

// S3Server is a storage in memory that implements the part of S3 that weir uses, strictly: with paths of the form
// /bucket/key, for one bucket. It requires a signature but does not verify it. It verifies the signed digest of bodies.
type S3Server struct {
	Name    string // name of the bucket
	Page    int    // maximum number of keys in a page of a listing (default 1,000)
	Replace bool   // ignore If-None-Match, as some stores do

	mu      sync.Mutex
	objects map[string][]byte
	uploads map[string]map[int][]byte
}

func (s *S3Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	name, key, _ := strings.Cut(strings.TrimPrefix(r.URL.Path, "/"), "/")
	sum := sha256.Sum256(body)
	signed := r.Header.Get("X-Amz-Content-Sha256")
	switch {
	case err != nil:
		return
	case !strings.HasPrefix(r.Header.Get("Authorization"), "AWS4-HMAC-SHA256 "):
		refuse(w, http.StatusForbidden, "AccessDenied")
		return
	case name != s.Name:
		refuse(w, http.StatusNotFound, "NoSuchBucket")
		return
	case len(signed) == 2*len(sum) && signed != hex.EncodeToString(sum[:]):
		refuse(w, http.StatusBadRequest, "XAmzContentSHA256Mismatch")
		return
	case strings.HasPrefix(signed, "STREAMING-"):
		body = unchunk(body)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.objects == nil {
		s.objects, s.uploads = map[string][]byte{}, map[string]map[int][]byte{}
	}
	if key == "" {
		s.bucket(w, r, body)
		return
	}
	s.object(w, r, key, body)
}

// unchunk returns the bytes of a body in chunks: "<hex size>;chunk-signature=…\r\n<bytes>\r\n".
func unchunk(body []byte) []byte {
	var all []byte
	for {
		head, rest, _ := bytes.Cut(body, []byte("\r\n"))
		text, _, _ := strings.Cut(string(head), ";")
		size, err := strconv.ParseInt(text, 16, 64)
		if err != nil || size <= 0 || int64(len(rest)) < size {
			return all
		}
		all = append(all, rest[:size]...)
		body = bytes.TrimPrefix(rest[size:], []byte("\r\n"))
	}
}

func refuse(w http.ResponseWriter, status int, code string) {
	w.Header().Set("Content-Type", "application/xml")
	w.WriteHeader(status)
	fmt.Fprintf(w, "<Error><Code>%s</Code><Message>%s</Message></Error>", code, code)
}

func (s *S3Server) object(w http.ResponseWriter, r *http.Request, key string, body []byte) {
	query := r.URL.Query()
	data, exists := s.objects[key]
	upload := query.Get("uploadId")
	switch {
	case r.Method == http.MethodPost && query.Has("uploads"):
		upload = fmt.Sprint("upload-", len(s.uploads))
		s.uploads[upload] = map[int][]byte{}
		fmt.Fprintf(w, "<InitiateMultipartUploadResult><UploadId>%s</UploadId></InitiateMultipartUploadResult>", upload)
	case r.Method == http.MethodPut && upload != "":
		n, _ := strconv.Atoi(query.Get("partNumber"))
		s.uploads[upload][n] = body
		w.Header().Set("ETag", etag(body))
	case r.Method == http.MethodPost && upload != "":
		parts := s.uploads[upload]
		var all []byte
		for _, n := range slices.Sorted(maps.Keys(parts)) {
			all = append(all, parts[n]...)
		}
		s.objects[key] = all
		delete(s.uploads, upload)
		fmt.Fprintf(w,
			"<CompleteMultipartUploadResult><Bucket>%s</Bucket><Key>%s</Key><ETag>%s</ETag></CompleteMultipartUploadResult>",
			s.Name, key, etag(all))
	case r.Method == http.MethodPut && exists && r.Header.Get("If-None-Match") == "*" && !s.Replace:
		refuse(w, http.StatusPreconditionFailed, "PreconditionFailed")
	case r.Method == http.MethodPut:
		s.objects[key] = body
		w.Header().Set("ETag", etag(body))
	case r.Method == http.MethodDelete:
		delete(s.objects, key)
		w.WriteHeader(http.StatusNoContent)
	case !exists:
		refuse(w, http.StatusNotFound, "NoSuchKey")
	default:
		s.get(w, r, data)
	}
}

func etag(data []byte) string { return fmt.Sprintf("%q", fmt.Sprintf("%x", md5.Sum(data))) }

func (s *S3Server) get(w http.ResponseWriter, r *http.Request, data []byte) {
	w.Header().Set("Content-Type", "application/octet-stream")
	w.Header().Set("ETag", etag(data))
	if len(data) == 0 && r.Header.Get("Range") != "" { // net/http would send an empty reply, S3 refuses
		refuse(w, http.StatusRequestedRangeNotSatisfiable, "InvalidRange")
		return
	}
	http.ServeContent(w, r, "", time.Unix(1700000000, 0), bytes.NewReader(data))
}

type listed struct {
	XMLName               xml.Name `xml:"ListBucketResult"`
	Contents              []listedObject
	IsTruncated           bool
	NextContinuationToken string `xml:",omitempty"`
}

type listedObject struct {
	Key  string
	Size int
}

func (s *S3Server) bucket(w http.ResponseWriter, r *http.Request, body []byte) {
	query := r.URL.Query()
	switch {
	case r.Method == http.MethodPost && query.Has("delete"):
		var request struct{ Object []struct{ Key string } }
		if xml.Unmarshal(body, &request) != nil || len(request.Object) > 1000 {
			refuse(w, http.StatusBadRequest, "MalformedXML")
			return
		}
		for _, o := range request.Object {
			delete(s.objects, o.Key)
		}
		io.WriteString(w, "<DeleteResult></DeleteResult>")
	case r.Method == http.MethodGet && query.Get("list-type") == "2":
		s.list(w, query.Get("prefix"), cmp.Or(query.Get("continuation-token"), query.Get("start-after")))
	default:
		refuse(w, http.StatusNotImplemented, "NotImplemented")
	}
}

// list replies with one page. Its continuation token is the last key of the page.
func (s *S3Server) list(w http.ResponseWriter, prefix, after string) {
	var result listed
	for _, key := range slices.Sorted(maps.Keys(s.objects)) {
		if !strings.HasPrefix(key, prefix) || key <= after {
			continue
		}
		if len(result.Contents) == cmp.Or(s.Page, 1000) {
			result.IsTruncated, result.NextContinuationToken = true, result.Contents[len(result.Contents)-1].Key
			break
		}
		result.Contents = append(result.Contents, listedObject{key, len(s.objects[key])})
	}
	if err := xml.NewEncoder(w).Encode(result); err != nil {
		panic(http.ErrAbortHandler)
	}
}
