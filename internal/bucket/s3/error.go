package s3

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"time"

	"github.com/minio/minio-go/v7"

	"github.com/weirlog/weir/internal/bucket"
	"github.com/weirlog/weir/internal/retry"
)

// repeated is the policy for requests that may be repeated.
var repeated = retry.Policy{First: 100 * time.Millisecond, Tries: 4, Passing: passing}

// repeat calls f, and again after errors that may pass. f must be safe to repeat.
func repeat(ctx context.Context, f func() error) error {
	err := repeated.Do(ctx, f)
	if ended := ctx.Err(); err != nil && ended != nil && !errors.Is(err, ended) {
		return errors.Join(ended, err)
	}
	return err
}

// passing tells whether an error may pass: there was no reply, or the reply asks to retry.
func passing(err error) bool {
	var r minio.ErrorResponse
	if !errors.As(err, &r) {
		return !errors.Is(err, errDisorder)
	}
	return r.StatusCode >= 500 && r.StatusCode != http.StatusNotImplemented ||
		r.StatusCode == http.StatusTooManyRequests || r.Code == "RequestTimeout"
}

// explain translates an error of the library into one of the contract, or adds advice.
func (b *Bucket) explain(err error) error {
	if r := (minio.ErrorResponse{}); errors.As(err, &r) && r.Code == minio.NoSuchKey {
		return bucket.ErrNotExist
	}
	return b.explainPut(err)
}

// explainPut is explain for PutNew. An unknown outcome must never look like a known one.
func (b *Bucket) explainPut(err error) error {
	var r minio.ErrorResponse
	if !errors.As(err, &r) {
		return err
	}
	switch r.Code {
	case minio.NoSuchBucket:
		return fmt.Errorf("the S3 bucket %s does not exist; make it first: %w", b.name, err)
	case minio.AccessDenied, "InvalidAccessKeyId", "SignatureDoesNotMatch":
		return fmt.Errorf("the store refuses the credentials (%s): %w", r.Code, err)
	case "NotImplemented":
		return fmt.Errorf("the store does not know a request that weir needs (If-None-Match: * on PutObject?): %w", err)
	}
	return err
}
