package main

import (
	"errors"
	"fmt"
	"io/fs"
	"os"

	"github.com/spf13/cobra"

	"github.com/weirlog/weir/internal/config"
	"github.com/weirlog/weir/internal/proof"
)

func keyCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "key",
		Short: "Make, show and change the keys that sign logs",
		Long: `The keys that sign logs are in a file outside the bucket (--signing-key-file), or in WEIR_SIGNING_KEY, one on
each line. Every private key signs. Public keys are earlier ones, whose signatures still count.

To change the key, run "weir key rotate", restart weir, and give the new public key to everyone who verifies. When
they all have it, run "weir key retire" and restart weir. On several nodes, put the new public key into every node's
file before any node signs with it.`,
	}
	cmd.AddCommand(keyGenerate(), keyShow(), keyRotate(), keyRetire())
	return cmd
}

// keyFile returns the file of a command's keys: its argument, or the file that "weir serve" would use.
func keyFile(cmd *cobra.Command, settings *config.Config, args []string) (string, error) {
	if err := settings.Complete(cmd.Flags(), "", os.LookupEnv); err != nil {
		return "", err
	}
	if len(args) == 1 {
		return args[0], nil
	}
	if settings.SigningKeys != "" {
		return "", nil // loadKeys uses the environment then
	}
	return settings.SigningKeyPath()
}

// onKeys returns a command for a file of keys.
func onKeys(use, short string, run func(cmd *cobra.Command, file string) error) *cobra.Command {
	settings := config.Default()
	cmd := &cobra.Command{Use: use, Short: short, Args: cobra.MaximumNArgs(1), RunE: func(cmd *cobra.Command,
		args []string) error {
		file, err := keyFile(cmd, &settings, args)
		if err != nil {
			return err
		}
		if err = run(cmd, file); errors.Is(err, fs.ErrNotExist) {
			return &exit{2, err} // the name may be mistyped
		}
		return err
	}}
	settings.AddFlags(cmd.Flags(), config.Bucket, config.Store)
	return cmd
}

func keyGenerate() *cobra.Command {
	return onKeys("generate [FILE]", "Make a key in a new file, - for standard output, and print the public key",
		func(cmd *cobra.Command, file string) error {
			key, err := proof.GenerateKey()
			if err != nil {
				return err
			}
			if file == "-" {
				fmt.Fprintln(cmd.OutOrStdout(), key)
				fmt.Fprintln(cmd.ErrOrStderr(), key.PublicText())
				return nil
			}
			if err := proof.CreateKeys(file, key.String()+"\n"); err != nil {
				return err
			}
			fmt.Fprintln(cmd.OutOrStdout(), key.PublicText())
			return nil
		})
}

func keyShow() *cobra.Command {
	origin := ""
	cmd := onKeys("show [FILE]", "Print the public keys, signing keys first",
		func(cmd *cobra.Command, file string) error {
			keys, err := loadKeys(file)
			if err != nil {
				return err
			}
			name := origin
			if name == "" {
				name = "weir"
			}
			for _, public := range keys.Trusted {
				text, err := proof.VerifierKey(name, public)
				if err != nil {
					return &exit{2, fmt.Errorf("--origin: %w", err)}
				}
				fmt.Fprintln(cmd.OutOrStdout(), text)
			}
			return nil
		})
	cmd.Flags().StringVar(&origin, "origin", "",
		"`origin` of a log, the first line of its checkpoint: print the keys in the form for other tools")
	return cmd
}

// loadKeys reads the keys from WEIR_SIGNING_KEY if it is set, like "weir serve", and otherwise from a file.
func loadKeys(file string) (*proof.Keys, error) {
	if text := os.Getenv("WEIR_SIGNING_KEY"); text != "" {
		return proof.ParseKeys(text)
	}
	return proof.LoadKeys(file)
}

func keyRotate() *cobra.Command {
	return onKeys("rotate [FILE]", "Add a key, which signs from the next start on besides the present ones",
		func(cmd *cobra.Command, file string) error {
			if err := inFile(); err != nil {
				return err
			}
			key, err := proof.RotateKeys(file)
			if err != nil {
				return err
			}
			fmt.Fprintln(cmd.OutOrStdout(), key.PublicText())
			return nil
		})
}

func keyRetire() *cobra.Command {
	return onKeys("retire [FILE]", "Keep only the newest private key; earlier signatures still count, by the public "+
		"keys", func(cmd *cobra.Command, file string) error {
		if err := inFile(); err != nil {
			return err
		}
		return proof.RetireKeys(file)
	})
}

// inFile returns an error if the keys are not in a file.
func inFile() error {
	if os.Getenv("WEIR_SIGNING_KEY") != "" {
		return &exit{2, errors.New("the keys are in WEIR_SIGNING_KEY: change them there")}
	}
	return nil
}
