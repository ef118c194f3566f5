package main

import (
	"cmp"
	"errors"
	"fmt"
	"os"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/weirlog/weir/client"
	"github.com/weirlog/weir/internal/profile"
)

const caFlag, profileFlag = "ca-file", "profile"

// addServerFlags adds the flags for the server and the certificate authorities of a command that uses the API.
func addServerFlags(flags *pflag.FlagSet) {
	flags.String(profileFlag, "", "`name` of a profile that \"weir login\" made: the server and the credential to use "+
		"(default WEIR_PROFILE)")
	flags.String(caFlag, "", "PEM `file` of certificate authorities to trust besides the system's (default WEIR_CA_FILE)")
}

// caFile returns the file of certificate authorities in the flag or in the environment, or "".
func caFile(cmd *cobra.Command) string {
	return cmp.Or(cmd.Flag(caFlag).Value.String(), os.Getenv("WEIR_CA_FILE"))
}

// targetOf returns the server, organization and project of a command, from the flags, the environment and the profiles.
func targetOf(cmd *cobra.Command) (profile.Target, error) {
	named := cmd.Flag(profileFlag)
	if named.Changed && named.Value.String() == "" {
		return profile.Target{}, &exit{2, errors.New("--profile must not be empty")}
	}
	t, err := profile.Choose(named.Value.String(), os.Getenv, loadProfiles)
	if err != nil {
		return t, &exit{2, err}
	}
	t.CAFile = cmp.Or(cmd.Flag(caFlag).Value.String(), t.CAFile)
	return t, nil
}

// loadProfiles returns the user's profiles by name. It returns none if the user has no folder for configuration.
func loadProfiles() (map[string]profile.Profile, error) {
	file, err := profile.Home()
	if err != nil {
		return nil, nil
	}
	return file.Load()
}

// newClient returns a client for a configuration.
func newClient(config client.Config) (*client.Client, error) {
	config.UserAgent = "weir/" + versionText()
	c, err := client.New(config)
	if err != nil {
		return nil, &exit{2, err}
	}
	return c, nil
}

// dial returns a client for a command's target.
func dial(cmd *cobra.Command) (*client.Client, error) {
	c, _, err := dialTarget(cmd)
	return c, err
}

func dialTarget(cmd *cobra.Command) (*client.Client, profile.Target, error) {
	t, err := targetOf(cmd)
	if err != nil {
		return nil, t, err
	}
	if err := t.Complete(); err != nil {
		return nil, t, &exit{2, err}
	}
	c, err := newClient(t.Config)
	return c, t, err
}

// dialToRecord is dialTarget for a command that only records. It also accepts an ingest token.
func dialToRecord(cmd *cobra.Command) (*client.Client, profile.Target, error) {
	token := os.Getenv("WEIR_INGEST_TOKEN")
	t, err := targetOf(cmd)
	if err != nil {
		return nil, t, err
	}
	if err := t.Complete(); err != nil && token == "" {
		return nil, t, &exit{2, fmt.Errorf("%w, or WEIR_INGEST_TOKEN", err)}
	}
	if token != "" && t.Profile != "" {
		return nil, t, &exit{2, fmt.Errorf("WEIR_INGEST_TOKEN cannot be used with the profile %s: leave one of them out; "+
			"without a profile, name the server in MONGODB_ATLAS_BASE_URL", t.Profile)}
	}
	t.IngestToken = token
	c, err := newClient(t.Config)
	return c, t, err
}

// connect returns a client and the project of a command. The project may come from a flag.
func connect(cmd *cobra.Command, project string) (*client.Client, string, error) {
	return connectBy(cmd, project, dialTarget)
}

func connectBy(cmd *cobra.Command, project string, dial func(*cobra.Command) (*client.Client, profile.Target,
	error)) (*client.Client, string, error) {
	c, t, err := dial(cmd)
	project = cmp.Or(project, t.Project)
	if err == nil && project == "" {
		err = &exit{2, errors.New("no project: set MONGODB_ATLAS_PROJECT_ID or --project")}
	}
	return c, project, err
}

// theWorkspace returns the workspace in an argument. Without one, and without a log id, it returns that of the
// environment or the profile.
func theWorkspace(cmd *cobra.Command, args []string, source client.Source) (string, error) {
	wrong := &exit{2, errors.New("name a workspace, or a log by its id with --log")}
	switch {
	case len(args) == 1 && source.Log != "", source.Organization != "" && source.Log == "":
		return "", wrong
	case len(args) == 1:
		return args[0], nil
	case source.Log != "":
		return "", nil
	}
	t, err := targetOf(cmd)
	if err != nil {
		return "", err
	}
	workspace := t.InProject(source.Project)
	if workspace == "" {
		return "", wrong
	}
	return workspace, nil
}
