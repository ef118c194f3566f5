package source

import (
	"crypto/sha256"
	"encoding/hex"
	"regexp"
	"strings"

	"github.com/weirlog/weir/internal/collect"
)

// Placeholders in the names of workspaces. The first two stand for the name and the id of a project at the source, or
// of the organization if there is no project; the third for the name of a workspace there, or of another place.
const (
	projectName = "{project}"
	projectID   = "{projectId}"
	placeName   = "{workspace}"
)

// Pattern returns how the workspaces are named that take what a source has: as its owner says, or by workspace if one
// project is collected, or by project and workspace.
func (a *AtlasSettings) Pattern() string {
	switch {
	case a.Naming != "":
		return a.Naming
	case len(a.Projects) == 1:
		return placeName
	}
	return projectName + "-" + placeName
}

// CheckNaming tells whether a pattern names different workspaces for different places in a project.
func CheckNaming(pattern string) bool {
	rest := strings.NewReplacer(projectName, "", projectID, "", placeName, "").Replace(pattern)
	return strings.Contains(pattern, placeName) && len(pattern) <= maxPattern && !unnamable.MatchString(rest)
}

const (
	maxPattern = 128
	maxName    = 64 // of a workspace
)

var unnamable = regexp.MustCompile(`[^A-Za-z0-9_-]+`)

// WorkspaceName returns the name of the workspace for a place. What no name may have becomes '-'.
func WorkspaceName(pattern string, at collect.Place) string {
	clean := func(name string) string { return strings.Trim(unnamable.ReplaceAllString(name, "-"), "-") }
	text := strings.NewReplacer(projectName, clean(at.Project), projectID, clean(at.ProjectID), placeName,
		clean(at.Name)).Replace(pattern)
	if text == "" || len(text) > maxName {
		return DistinctName(text, at)
	}
	return text
}

// DistinctName returns a name that only one place has.
func DistinctName(name string, at collect.Place) string {
	id := at.ProjectID + "\n" + at.Name
	if at.Kind != "" {
		id += "\n" + at.Kind
	}
	sum := sha256.Sum256([]byte(id))
	end := "-" + hex.EncodeToString(sum[:4])
	return strings.TrimLeft(name[:min(len(name), maxName-len(end))]+end, "-")
}
