// Package location opens a bucket by where it is. It is the only package that links all kinds of storage, so that a
// program that reads folders only needs no S3 library.
package location

import (
	"context"
	"strings"

	"github.com/weirlog/weir/internal/bucket"
	"github.com/weirlog/weir/internal/bucket/folder"
	"github.com/weirlog/weir/internal/bucket/s3"
)

// IsS3 tells whether a location is that of a bucket on S3: s3://name or s3://name/prefix.
func IsS3(location string) bool { return strings.HasPrefix(location, "s3://") }

// Open opens the bucket at a location. A location that is not on S3 is a folder, which is made if it does not exist.
func Open(ctx context.Context, location string, o s3.Options) (bucket.Store, error) {
	if IsS3(location) {
		return opened(s3.Open(ctx, location, o))
	}
	return opened(folder.Open(location))
}

// OpenReadOnly opens the bucket at a location without changing anything there, while others may be writing it.
func OpenReadOnly(location string, o s3.Options) (bucket.Store, error) {
	if IsS3(location) {
		return opened(s3.OpenReadOnly(location, o))
	}
	return opened(folder.OpenReader(location, ""))
}

// opened makes sure that what could not be opened is nil as an interface, too.
func opened[S bucket.Store](s S, err error) (bucket.Store, error) {
	if err != nil {
		return nil, err
	}
	return s, nil
}
