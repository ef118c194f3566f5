package bucket

import (
	"context"
	"io"
)

// Store is a bucket that is open, until it is closed.
type Store interface {
	Bucket
	io.Closer
}

// Open opens the bucket at a location: s3://name/prefix, else a folder, which is made if it does not exist.
func Open(ctx context.Context, location string, o S3Options) (Store, error) {
	if IsS3(location) {
		s, err := OpenS3(ctx, location, o)
		if err != nil {
			return nil, err
		}
		return s, nil
	}
	l, err := OpenLocal(location)
	if err != nil {
		return nil, err
	}
	return l, nil
}
