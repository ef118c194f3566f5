package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"

	"github.com/spf13/cobra"

	"github.com/weirlog/weir/client"
	"github.com/weirlog/weir/internal/proof"
	"github.com/weirlog/weir/internal/verify"
)

func proveCommand() *cobra.Command {
	var keys []string
	cmd := &cobra.Command{
		Use:   "prove FILE.gz",
		Short: "Complete the proof of a download with what was not sequenced when it was made",
		Long: `Prove asks the log that a file was downloaded from for what it has sequenced since, and writes FILE.gz.proof anew. The file
itself stays as it is.
` + exitHelp,
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			text, err := os.ReadFile(args[0] + ".proof")
			if err != nil {
				return err
			}
			p, err := proof.ParseFile(text)
			if err != nil {
				return &exit{7, fmt.Errorf("%s.proof: %w", args[0], err)}
			}
			c, err := dial()
			if err != nil {
				return err
			}
			return writeProof(cmd, c, p, args[0], keys)
		},
	}
	addKeyFlag(cmd, &keys)
	return cmd
}

// writeProof checks a proof against its file, completes it, and writes it beside the file. Without a key to trust it takes
// those that the server names: what is wrong then shows when somebody verifies with the right one.
func writeProof(cmd *cobra.Command, c *client.Client, p *proof.File, name string, keys []string) error {
	f, err := os.Open(name)
	if err != nil {
		return err
	}
	defer f.Close()
	leaves, err := verify.Leaves(cmd.Context(), f, nil)
	if err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	trust, err := trusted(keys)
	if err != nil && len(keys) == 0 {
		trust, err = announced(cmd.Context(), c, p.Source)
	}
	if err != nil {
		return err
	}
	p, r, err := verify.Prove(cmd.Context(), c, p, leaves, trust)
	if err != nil {
		return err
	}
	if r.Verdict == verify.Differs {
		printReport(cmd.ErrOrStderr(), r)
		return &exit{7, fmt.Errorf("%s does not verify against its log; no proof was written", name)}
	}
	text, err := p.Encode()
	if err != nil {
		return err
	}
	if err := replaceFile(name+".proof", text); err != nil {
		return err
	}
	fmt.Fprintf(cmd.ErrOrStderr(), "%s.proof: %d lines are entries of the log %s", name, r.Entries, r.Log)
	if r.Unsequenced > 0 {
		fmt.Fprintf(cmd.ErrOrStderr(), "; %d are not sequenced yet: run \"weir prove %s\" after the next round", r.Unsequenced, name)
	}
	fmt.Fprintln(cmd.ErrOrStderr())
	return nil
}

// announced returns the keys that a log's document names.
func announced(ctx context.Context, c *client.Client, path string) (*proof.Keys, error) {
	data, err := c.Fetch(ctx, path+"/document", nil)
	if err != nil {
		return nil, err
	}
	var d struct{ Keys []struct{ Key string } }
	if err := json.Unmarshal(data, &d); err != nil {
		return nil, fmt.Errorf("the server's reply: %w", err)
	}
	k := &proof.Keys{}
	for _, key := range d.Keys {
		public, err := proof.ParsePublic(key.Key)
		if err != nil {
			return nil, fmt.Errorf("the server's reply: %w", err)
		}
		k.Trusted = append(k.Trusted, public)
	}
	return k, nil
}

// replaceFile writes a file. A crash leaves the old one or the new one.
func replaceFile(name string, data []byte) error {
	tmp := name + ".tmp"
	f, err := os.Create(tmp)
	if err != nil {
		return err
	}
	_, err = f.Write(data)
	if err = errors.Join(err, f.Sync(), f.Close()); err == nil {
		err = os.Rename(tmp, name)
	}
	if err != nil {
		return errors.Join(err, os.Remove(tmp))
	}
	return nil
}
