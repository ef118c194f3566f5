package node

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"strings"

	"github.com/weirlog/weir/internal/account"
	"github.com/weirlog/weir/internal/audit"
	"github.com/weirlog/weir/internal/auth"
	"github.com/weirlog/weir/internal/bucket"
	"github.com/weirlog/weir/internal/config"
	"github.com/weirlog/weir/internal/proof"
	"github.com/weirlog/weir/internal/seal"
)

// secrets are the secrets of a node, which are not in its bucket.
type secrets struct {
	keys   *proof.Keys // sign the logs
	secret auth.Secret // shared by the nodes
	made   string      // file in which a new signing key was created; empty if none was
}

// seals returns the key of the seals on objects that no signature covers.
func (s *secrets) seals() seal.Key { return seal.NewKey(s.secret[:]) }

// accounts returns the documents that nodes with the secret wrote.
func (s *secrets) accounts(b bucket.Bucket) *account.Directory {
	return account.NewDirectory(seal.NewBucket(b, s.seals()))
}

// claimedSettings returns the settings of a bucket without verifying them: they name the secret that is needed to
// verify them.
func claimedSettings(ctx context.Context, b bucket.Bucket) (account.Settings, error) {
	return account.NewDirectory(seal.NewBucket(b, seal.Key{})).Settings(ctx)
}

// newSecrets returns the secrets of a bucket that will be filled. It creates missing ones, but never for a bucket that
// has logs: such a bucket has lost its settings, and needs the key that signed the logs.
func newSecrets(ctx context.Context, c *config.Config, b bucket.Bucket) (s secrets, err error) {
	found, err := audit.FindSigners(ctx, b, &proof.Keys{}, "")
	if err != nil {
		return s, err
	}
	if s.keys, err = keysFromEnvironment(c); err != nil {
		return s, err
	}
	if s.keys == nil {
		if s.keys, s.made, err = keysFromFile(c, found); err != nil {
			return s, invalid(c, "signing-key-file", err)
		}
	}
	if c.Secret != "" {
		s.secret, err = secretFromEnvironment(c)
		return s, err
	}
	file, err := c.SecretPath()
	if err != nil {
		return s, err
	}
	if found.Logs > 0 {
		s.secret, err = auth.LoadSecret(file)
	} else {
		s.secret, err = auth.LoadOrCreateSecret(file)
	}
	return s, invalid(c, "key-file", err)
}

// invalid returns the error of a file as an error of the setting that names the file.
func invalid(c *config.Config, setting string, err error) error {
	if err == nil || errors.As(err, new(*config.Error)) {
		return err
	}
	return c.InvalidFor(setting, err)
}

// Seals returns the key of the seals in a bucket, for a check of the whole bucket. If neither WEIR_SECRET nor the file
// of the setting exists, it returns the zero key. If the secret is not that of the bucket's nodes, it returns a
// *config.Error.
func Seals(ctx context.Context, c *config.Config, b bucket.Bucket) (seal.Key, error) {
	var s secrets
	var err error
	if c.Secret != "" {
		s.secret, err = secretFromEnvironment(c)
	} else if file, ferr := c.SecretPath(); ferr != nil {
		return seal.Key{}, nil // on S3, where no file is beside the bucket
	} else if s.secret, err = auth.LoadSecret(file); errors.Is(err, fs.ErrNotExist) && c.SecretFile == "" {
		return seal.Key{}, nil
	}
	if err != nil {
		return seal.Key{}, invalid(c, "key-file", err)
	}
	claimed, err := claimedSettings(ctx, b)
	if err == nil && claimed.Secret != s.secret.ID() { // if the settings cannot be read, the check will report that
		return seal.Key{}, foreignSecret(c, s.secret, claimed.Secret)
	}
	return s.seals(), nil
}

// keysFromFile returns the keys in the file of the setting. It creates the file if the bucket has no logs.
func keysFromFile(c *config.Config, found audit.Signers) (keys *proof.Keys, made string, err error) {
	file, err := c.SigningKeyPath()
	if err != nil {
		return nil, "", err
	}
	if found.Logs > 0 {
		keys, err = proof.LoadKeys(file)
		return keys, "", err
	}
	keys, created, err := proof.LoadOrCreateKeys(file)
	if created {
		made = file
	}
	return keys, made, err
}

// knownSecrets returns the secrets of a bucket in use. It refuses others, since with another signing key no log could
// be read, and with another secret no sealed object.
func knownSecrets(ctx context.Context, c *config.Config, b bucket.Bucket, origin, secretID string) (s secrets,
	err error) {
	if s.keys, err = knownKeys(ctx, c, b, origin); err != nil {
		return s, err
	}
	if c.Secret != "" {
		s.secret, err = secretFromEnvironment(c)
	} else {
		var file string
		if file, err = c.SecretPath(); err != nil {
			return s, err
		}
		s.secret, err = auth.LoadSecret(file)
		if errors.Is(err, fs.ErrNotExist) {
			return s, c.Invalid("key-file",
				fmt.Sprintf("there is no secret in %s (nor in WEIR_SECRET), and the bucket needs "+
					"the one named %s: put it back", file, secretID))
		}
	}
	if err == nil && s.secret.ID() != secretID {
		err = foreignSecret(c, s.secret, secretID)
	}
	return s, invalid(c, "key-file", err)
}

// foreignSecret is the error for a secret that is not that of the bucket's nodes. wanted is the name of theirs.
func foreignSecret(c *config.Config, given auth.Secret, wanted string) error {
	return c.Invalid("key-file", fmt.Sprintf("the bucket needs the nodes' secret named %s, but the one in the file or in "+
		"WEIR_SECRET is %s: put the right one back", wanted, given.ID()))
}

// knownKeys returns the keys that sign the logs of a bucket in use.
func knownKeys(ctx context.Context, c *config.Config, b bucket.Bucket, origin string) (*proof.Keys, error) {
	keys, err := keysFromEnvironment(c)
	if err != nil {
		return nil, err
	}
	given := "in WEIR_SIGNING_KEY"
	if keys == nil {
		file, err := c.SigningKeyPath()
		if err != nil {
			return nil, err
		}
		given = "in " + file
		if keys, err = proof.LoadKeys(file); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return nil, invalid(c, "signing-key-file", err)
		}
	}
	if keys == nil {
		found, err := audit.FindSigners(ctx, b, &proof.Keys{}, origin)
		if err != nil {
			return nil, err
		}
		return nil, c.Invalid("signing-key-file",
			fmt.Sprintf("there is no key %s (nor in WEIR_SIGNING_KEY), and the bucket is in "+
				"use: put the key back%s", given, wanted(found)))
	}
	found, err := audit.FindSigners(ctx, b, keys, origin)
	if err == nil && found.Logs > 0 && !found.Known {
		err = c.Invalid("signing-key-file",
			fmt.Sprintf("the bucket's logs are signed by another key%s; the keys %s are %s: put the right key back",
				wanted(found), given, strings.Join(found.Given, ", ")))
	}
	return keys, err
}

// wanted names the keys that have signed a log.
func wanted(s audit.Signers) string {
	if len(s.Wanted) == 0 {
		return ""
	}
	return ": " + strings.Join(s.Wanted, ", ")
}

// keysFromEnvironment returns the keys in the environment, or nil.
func keysFromEnvironment(c *config.Config) (*proof.Keys, error) {
	if c.SigningKeys == "" {
		return nil, nil
	}
	keys, err := proof.ParseKeys(c.SigningKeys)
	if err == nil && len(keys.Signers) == 0 {
		err = errors.New("it has no private key")
	}
	if err != nil {
		return nil, c.Invalid("signing-key", err.Error())
	}
	return keys, nil
}

func secretFromEnvironment(c *config.Config) (auth.Secret, error) {
	secret, err := auth.ParseSecret(c.Secret)
	if err != nil {
		return secret, c.Invalid("secret", err.Error())
	}
	return secret, nil
}
