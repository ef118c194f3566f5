// Package location opens a bucket by its location. It is the only package that links all kinds of storage, so a program
// that only reads folders needs no S3 library.
package location

import (
	"context"
	"strings"

	"github.com/weirlog/weir/internal/bucket"
	"github.com/weirlog/weir/internal/bucket/folder"
	"github.com/weirlog/weir/internal/bucket/s3"
)

// IsS3 tells whether a location is on S3: s3://name or s3://name/prefix.
func IsS3(location string) bool { return strings.HasPrefix(location, "s3://") }

// Open opens the bucket at a location. Any location that is not on S3 is a folder, which is made if it does not exist.
func Open(ctx context.Context, location string, o s3.Options) (bucket.Store, error) {
	if IsS3(location) {
		return opened(s3.Open(ctx, location, o))
	}
	return opened(folder.Open(location))
}

// OpenReadOnly opens the bucket at a location for reading. It changes nothing, and other processes may be writing.
func OpenReadOnly(location string, o s3.Options) (bucket.Store, error) {
	if IsS3(location) {
		return opened(s3.OpenReadOnly(location, o))
	}
	return opened(folder.OpenReader(location, ""))
}

// opened returns a nil interface, instead of an interface that holds a nil pointer, if there is an error.
func opened[S bucket.Store](s S, err error) (bucket.Store, error) {
	if err != nil {
		return nil, err
	}
	return s, nil
}
