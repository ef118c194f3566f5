// Package s3 hands events over as files in a bucket of S3: lines of JSON as they were recorded, or Parquet by the rules
// of Amazon Security Lake.
//
// The names of a batch's files follow from its log and its first and last index, and their bytes from the events. So a
// batch that is sent again writes the same files again. A batch is cut the same each time: the sink is Steady.
package s3

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"time"

	"github.com/klauspost/compress/gzip"
	"github.com/minio/minio-go/v7"
	"github.com/minio/minio-go/v7/pkg/credentials"
	"github.com/minio/minio-go/v7/pkg/encrypt"

	"github.com/weirlog/weir/internal/deliver"
	"github.com/weirlog/weir/internal/egress"
)

const maxReply = 64 << 10 // bytes that are read of a reply

// file is one that a batch becomes.
type file struct {
	name string // without the prefix
	kind string // media type
	data []byte
}

// Sink writes files to one bucket.
type Sink struct {
	settings Settings
	client   *minio.Core
	http     *http.Client
	files    func([]deliver.Event) ([]file, error)
}

// New returns a sink that connects as the policy says.
func New(s Settings, p *egress.Policy) (*Sink, error) {
	s = s.withDefaults()
	host, secure, err := s.endpoint()
	if err != nil {
		return nil, fmt.Errorf("s3Endpoint: %w", err)
	}
	web, err := p.Client(egress.Options{CA: []byte(s.CA)})
	if err != nil {
		return nil, fmt.Errorf("caCertificate: %w", err)
	}
	lookup := minio.BucketLookupPath
	if strings.HasSuffix(host, ".amazonaws.com") {
		lookup = minio.BucketLookupDNS
	}
	client, err := minio.NewCore(host, &minio.Options{Creds: credentials.NewStaticV4(s.AccessKey, s.SecretKey, ""),
		Secure: secure, Transport: bounded{web.Transport}, Region: s.Region, BucketLookup: lookup, MaxRetries: 1})
	if err != nil {
		return nil, fmt.Errorf("s3: %w", err)
	}
	sink := &Sink{settings: s, client: client, http: web, files: lines}
	if s.Format == Parquet {
		l := newLake(&s)
		sink.files = l.files
	}
	return sink, nil
}

// bounded cuts the bodies of replies.
type bounded struct{ next http.RoundTripper }

func (b bounded) RoundTrip(r *http.Request) (*http.Response, error) {
	answer, err := b.next.RoundTrip(r)
	if err == nil {
		answer.Body = &boundedBody{io.LimitReader(answer.Body, maxReply), answer.Body}
	}
	return answer, err
}

type boundedBody struct {
	io.Reader
	io.Closer
}

// Steady says that a batch must be cut the same when it is sent again after a crash.
func (s *Sink) Steady() {}

// Send writes the files of a batch, one behind the other.
func (s *Sink) Send(ctx context.Context, batch []deliver.Event) ([]deliver.Refusal, error) {
	files, err := s.files(batch)
	if err != nil {
		return nil, fmt.Errorf("s3: %w", err)
	}
	for _, f := range files {
		if err := s.put(ctx, f, &batch[0]); err != nil {
			return nil, fmt.Errorf("s3: write %s%s: %w", s.settings.Prefix, f.name, err)
		}
	}
	return nil, nil
}

// put writes a file in one request, signed together with its SHA-256, so that the store takes all of it or nothing.
func (s *Sink) put(ctx context.Context, f file, first *deliver.Event) error {
	sum := sha256.Sum256(f.data)
	options := minio.PutObjectOptions{ContentType: f.kind, DisableContentSha256: true, // of chunks
		UserMetadata: map[string]string{"weir-log": first.Log}}
	if s.settings.KMSKey != "" {
		var err error
		if options.ServerSideEncryption, err = encrypt.NewSSEKMS(s.settings.KMSKey, nil); err != nil {
			return err
		}
	}
	info, err := s.client.PutObject(ctx, s.settings.Bucket, s.settings.Prefix+f.name, bytes.NewReader(f.data),
		int64(len(f.data)), "", hex.EncodeToString(sum[:]), options)
	if err != nil {
		return explain(err)
	}
	if info.ETag == "" { // which every store names
		return errors.New("the place answers 200, but not as an S3 store does")
	}
	return nil
}

// explain adds the code of a store's error. If the error is about the batch, it becomes deliver.ErrTooMuch (wrapped).
func explain(err error) error {
	var of minio.ErrorResponse
	if !errors.As(err, &of) {
		return err
	}
	err = fmt.Errorf("the store answers %d %s: %w", of.StatusCode, of.Code, err)
	if of.StatusCode == http.StatusRequestEntityTooLarge || of.Code == "EntityTooLarge" {
		return fmt.Errorf("%w: %w", deliver.ErrTooMuch, err)
	}
	return err
}

// Close lets go of idle connections.
func (s *Sink) Close() error {
	s.http.CloseIdleConnections()
	return nil
}

// span names the entries of a batch. As texts, spans of a log have the order of their entries.
func span(batch []deliver.Event) string {
	return fmt.Sprintf("%019d-%019d", batch[0].Index, batch[len(batch)-1].Index)
}

// lines returns a batch as one file: a line for each event, compressed by gzip, in a folder for the day of the first.
func lines(batch []deliver.Event) ([]file, error) {
	var data bytes.Buffer
	z := gzip.NewWriter(&data)
	for i := range batch {
		if _, err := z.Write(batch[i].Line); err != nil {
			return nil, err
		}
		if _, err := z.Write([]byte{'\n'}); err != nil {
			return nil, err
		}
	}
	if err := z.Close(); err != nil {
		return nil, err
	}
	day := time.UnixMilli(batch[0].Time).UTC().Format("2006/01/02")
	name := batch[0].Log + "/" + day + "/" + span(batch) + ".ndjson.gz"
	return []file{{name, "application/gzip", data.Bytes()}}, nil
}
