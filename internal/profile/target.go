package profile

import (
	"cmp"
	"fmt"
	"slices"

	"github.com/weirlog/weir/client"
)

// Variable names a profile in the environment.
const Variable = "WEIR_PROFILE"

// connecting are the variables that name a server, or what signs in there.
var connecting = append(slices.Clone(client.ServerVariables), "MONGODB_ATLAS_CLIENT_ID",
	"MONGODB_ATLAS_CLIENT_SECRET", "MONGODB_ATLAS_PUBLIC_API_KEY", "MONGODB_ATLAS_PRIVATE_API_KEY")

// Target is a server, what signs in there, and the organization, project and workspace of a command that names none.
type Target struct {
	client.Config
	Profile      string // that it is of; empty if the environment says it
	Organization string // id, or empty
	Project      string // id, or empty
	Workspace    string // name of a workspace of Project, or empty
	incomplete   error
}

// Complete returns an error if the target lacks a server or what signs in there.
func (t Target) Complete() error { return t.incomplete }

// Choose returns the target. It comes from the profile that a flag names; else from the profile that the environment
// names; else from the environment, if that has one of the variables in connecting; else from the profile Default, if
// there is one. If the environment names a profile and has such a variable, and there is no flag, Choose fails.
// Organization, project, workspace and authorities to trust come from the environment if it has them, else from the
// profile.
func Choose(flag string, getenv func(string) string, load func() (map[string]Profile, error)) (Target, error) {
	said := ""
	for _, variable := range connecting {
		if getenv(variable) != "" {
			said = cmp.Or(said, variable)
		}
	}
	inEnvironment := getenv(Variable)
	if flag == "" && inEnvironment != "" && said != "" {
		return Target{}, fmt.Errorf("%s names a profile, and %s is set too: unset one of them, or name the profile with "+
			"--profile", Variable, said)
	}
	t, err := Target{}, error(nil)
	if named := cmp.Or(flag, inEnvironment); named != "" || said == "" {
		t, err = ofProfile(named, load)
	}
	if err != nil {
		return Target{}, err
	}
	if t.Profile == "" {
		t.Config, t.incomplete = client.FromEnvironment(getenv)
		if t.incomplete != nil {
			t.incomplete = fmt.Errorf("%w; or sign in with \"weir login\"", t.incomplete)
		}
	}
	t.CAFile = cmp.Or(getenv("WEIR_CA_FILE"), t.CAFile)
	t.Organization = cmp.Or(getenv("MONGODB_ATLAS_ORG_ID"), t.Organization)
	t.Workspace = cmp.Or(getenv("WEIR_WORKSPACE"), t.InProject(getenv("MONGODB_ATLAS_PROJECT_ID")))
	t.Project = cmp.Or(getenv("MONGODB_ATLAS_PROJECT_ID"), t.Project)
	return t, nil
}

// InProject returns the workspace if it is one of a project; empty if not. An empty project is the target's own.
func (t Target) InProject(project string) string {
	if project != "" && project != t.Project {
		return ""
	}
	return t.Workspace
}

// ofProfile returns the target of a profile; of Default if none is named, and an empty one if that is not there.
func ofProfile(named string, load func() (map[string]Profile, error)) (Target, error) {
	if named != "" {
		if err := CheckName(named); err != nil {
			return Target{}, err
		}
	}
	all, err := load()
	if err != nil {
		return Target{}, err
	}
	p, ok := all[cmp.Or(named, Default)]
	switch {
	case ok:
		return Target{Config: p.Config(), Profile: cmp.Or(named, Default), Organization: p.Organization,
			Project: p.Project, Workspace: p.Workspace}, nil
	case named != "":
		return Target{}, fmt.Errorf("profile %q: %w; \"weir login --profile %s\" makes it", named, ErrNone, named)
	}
	return Target{}, nil
}
