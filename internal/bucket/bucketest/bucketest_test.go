package bucketest_test

import (
	"testing"

	"github.com/weirlog/weir/internal/bucket"
	"github.com/weirlog/weir/internal/bucket/bucketest"
)

func TestMemory(t *testing.T) {
	bucketest.Run(t, func(*testing.T) bucket.Bucket { return bucketest.NewAnyKeys() })
}

func TestFaultyWithoutFaults(t *testing.T) {
	bucketest.Run(t, func(*testing.T) bucket.Bucket { return &bucketest.Faulty{Bucket: bucketest.NewAnyKeys()} })
}
