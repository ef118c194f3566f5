package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"

	"github.com/spf13/cobra"

	"github.com/weirlog/weir/client"
	"github.com/weirlog/weir/internal/durable"
	"github.com/weirlog/weir/internal/proof"
	"github.com/weirlog/weir/internal/verify"
	"github.com/weirlog/weir/internal/visible"
)

func proveCommand() *cobra.Command {
	var keys []string
	cmd := &cobra.Command{
		Use:   "prove FILE.gz",
		Short: "Complete the proof of a download with the events that were not sequenced yet",
		Long: `Prove asks the log that a file was downloaded from for proofs of the events that were sequenced since, and
replaces FILE.gz.proof. The file itself stays as it is.
` + exitHelp,
		Example: "  weir prove prod.gz",
		Args:    cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			c, err := dial(cmd)
			if err != nil {
				return err
			}
			return completeProof(cmd, c, args[0], keys)
		},
	}
	addKeyFlag(cmd, &keys)
	addServerFlags(cmd.Flags())
	return cmd
}

// completeProof checks the proof beside a file, completes it, and rewrites it. A proof that does not verify is not
// changed, so that "weir verify" finds the same fault. Without a trusted key it uses those that the server names.
func completeProof(cmd *cobra.Command, c *client.Client, name string, keys []string) error {
	p, err := readProof(name + ".proof")
	if err != nil {
		return err
	}
	f, err := os.Open(name)
	if err != nil {
		return err
	}
	defer f.Close()
	trust, err := trusted(keys)
	if err != nil && len(keys) == 0 {
		trust, err = announced(cmd.Context(), c, p.Claims.Source)
	}
	if err != nil {
		return err
	}
	p, r, err := verify.Check{Keys: trust}.Prove(cmd.Context(), c, p, f)
	if err != nil {
		return err
	}
	if r.Verdict == verify.Differs {
		r.Subject = name
		printReport(cmd.ErrOrStderr(), r)
		return &exit{7, fmt.Errorf("%s does not verify against its log; %s.proof stays as the server sent it",
			name, name)}
	}
	if err := durable.ReplaceFrom(name+".proof", 0o644, p.Write); err != nil {
		return err
	}
	waiting := ""
	if r.Unsequenced > 0 {
		waiting = fmt.Sprintf("; %d are not sequenced yet: run \"weir prove %s\" again later",
			r.Unsequenced, name)
	}
	visible.Printf(cmd.ErrOrStderr(), "%s.proof: %d lines are entries of the log %s%s\n", name, r.Entries,
		r.Log, waiting)
	return nil
}

func readProof(name string) (*proof.File, error) {
	f, err := os.Open(name)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	p, err := proof.ReadFile(f)
	if errors.Is(err, proof.ErrMalformed) {
		err = &exit{7, fmt.Errorf("%s: %w", name, err)}
	}
	return p, err
}

// announced returns the keys in a log's document.
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
