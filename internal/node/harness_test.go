package node

import (
	"context"

	"github.com/weirlog/weir/internal/account"
	"github.com/weirlog/weir/internal/bucket"
	"github.com/weirlog/weir/internal/config"
)

// documents returns those of a bucket that is to be filled, and makes the secrets that a configuration names.
func documents(ctx context.Context, b bucket.Bucket, c *config.Config) (*account.Directory, error) {
	made, err := newSecrets(ctx, c, b)
	return made.accounts(b), err
}

// initialise makes the secrets that a configuration names, and the settings of an empty bucket.
func initialise(ctx context.Context, b bucket.Bucket, c *config.Config, shards int) error {
	made, err := newSecrets(ctx, c, b)
	if err != nil {
		return err
	}
	return made.accounts(b).Initialise(ctx, account.Settings{Shards: shards, Origin: "example.org",
		Secret: made.secret.ID()})
}
