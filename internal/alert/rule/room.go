package rule

// The rules of a project have room together, so that a project costs a node some 100 MB at most, not each of its rules.
// Each rule has its own share, however much the others remember, and the room that these leave.
const (
	groupsTogether = 50_000
	stepsTogether  = 200_000
)

// MaxRules is the maximum number of rules of a project.
const MaxRules = 100

// Use is how much some rules remember.
type Use struct{ Rules, Groups, Steps int }

// Use returns how much the rule remembers.
func (e *Evaluator) Use() Use { return Use{1, len(e.State.Groups), e.size} }

// Add adds the use of other rules.
func (u Use) Add(other Use) Use {
	return Use{u.Rules + other.Rules, u.Groups + other.Groups, u.Steps + other.Steps}
}

// most returns how many groups and steps the rule may have now.
func (e *Evaluator) most() (groups, steps int) {
	own := e.Use()
	if e.Together == nil || own.Groups < groupsTogether/MaxRules && own.Steps < stepsTogether/MaxRules {
		return maxGroups, maxSteps
	}
	all := e.Together()
	return min(maxGroups, max(groupsTogether/max(1, all.Rules), own.Groups+groupsTogether-all.Groups)),
		min(maxSteps, max(stepsTogether/max(1, all.Rules), own.Steps+stepsTogether-all.Steps))
}
