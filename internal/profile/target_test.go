package profile

import (
	"errors"
	"maps"
	"strings"
	"testing"

	"github.com/weirlog/weir/client"
)

var environment = map[string]string{"WEIR_URL": "https://env", "MONGODB_ATLAS_CLIENT_ID": "mdb_sa_id_env",
	"MONGODB_ATLAS_CLIENT_SECRET": "secret of https://env", "MONGODB_ATLAS_PROJECT_ID": "env"}

// with returns the environment that a test describes: the one above, or none, with other variables.
func with(base map[string]string, more ...string) map[string]string {
	all := maps.Clone(base)
	if all == nil {
		all = map[string]string{}
	}
	for _, text := range more {
		name, value, _ := strings.Cut(text, "=")
		all[name] = value
	}
	return all
}

func choose(flag string, environ map[string]string, profiles map[string]Profile) (Target, error) {
	return Choose(flag, func(name string) string { return environ[name] },
		func() (map[string]Profile, error) { return profiles, nil })
}

func TestFlagWinsOverTheEnvironmentAndThatOverTheDefaultProfile(t *testing.T) {
	one := map[string]Profile{"a": account("https://a")}
	two := map[string]Profile{"a": account("https://a"), Default: account("https://default")}
	for _, tt := range []struct {
		about, flag string
		environ     map[string]string
		profiles    map[string]Profile
		want        string // URL
		wantProject string
	}{
		{"a flag", "a", nil, two, "https://a", "p"},
		{"a flag, and an environment with a server", "a", environment, two, "https://a", "env"},
		{"a flag, and an environment with another profile", "a", with(nil, "WEIR_PROFILE=default"), two, "https://a", "p"},
		{"an environment with a profile", "", with(nil, "WEIR_PROFILE=a"), two, "https://a", "p"},
		{"an environment with a profile and a project", "", with(nil, "WEIR_PROFILE=a", "MONGODB_ATLAS_PROJECT_ID=x"), two,
			"https://a", "x"},
		{"an environment with a server", "", environment, two, "https://env", "env"},
		{"an environment with a server, as Terraform names it", "", with(environment, "WEIR_URL=",
			"MONGODB_ATLAS_BASE_URL=https://terraform"), two, "https://terraform", "env"},
		{"an environment with nothing but such a server", "", with(nil, "MONGODB_ATLAS_BASE_URL=https://terraform"), two,
			"", ""},
		{"nothing", "", nil, two, "https://default", "p"},
		{"nothing, and no default profile", "", nil, one, "", ""},
		{"a profile that is not there", "b", nil, one, "", ""},
		{"a name that is none", "a/b", nil, one, "", ""},
	} {
		got, err := choose(tt.flag, tt.environ, tt.profiles)
		if err == nil {
			err = got.Complete()
		}
		if (err == nil) != (tt.want != "") || err == nil && (got.URL != tt.want || got.Project != tt.wantProject) {
			t.Errorf("%s: %+v, %v; want %s, project %s", tt.about, got, err, tt.want, tt.wantProject)
		}
	}
	if _, err := choose("b", nil, one); !errors.Is(err, ErrNone) {
		t.Errorf("a profile that is not there: %v", err)
	}
	got, err := choose("", nil, one)
	if err != nil || !strings.Contains(got.Complete().Error(), "weir login") {
		t.Errorf("nothing says whom to ask: %v, %v", err, got.Complete())
	}
}

// Whatever of an environment is set beside profiles, a secret goes to its own server only, with its own identity.
func TestSecretsStayWithTheirServer(t *testing.T) {
	profiles := map[string]Profile{"a": account("https://a"), Default: account("https://default"),
		"key": {URL: "https://key", PublicKey: "key", PrivateKey: "secret of https://key"}}
	environ := with(environment, "MONGODB_ATLAS_BASE_URL=https://env",
		"MONGODB_ATLAS_OPS_MANAGER_URL=https://env", "MONGODB_ATLAS_PUBLIC_API_KEY=env",
		"MONGODB_ATLAS_PRIVATE_API_KEY=secret of https://env", "WEIR_CA_FILE=ca.pem")
	tried := 0
	for subset := range 1 << len(connecting) {
		some := map[string]string{}
		for i, variable := range connecting {
			if subset>>i&1 == 1 {
				some[variable] = environ[variable]
			}
		}
		for _, flag := range []string{"", "a", "key"} {
			for _, inEnvironment := range []string{"", "a", "key", Default} {
				some[Variable] = inEnvironment
				got, err := choose(flag, some, profiles)
				if flag == "" && inEnvironment != "" && subset != 0 {
					if err == nil {
						t.Errorf("%v is taken", some)
					}
					continue
				}
				if err != nil {
					t.Errorf("--profile %q, %v: %v", flag, some, err)
					continue
				}
				if got.Complete() == nil {
					tried++
					checkOneSource(t, got.Config)
				}
			}
		}
	}
	if tried < 100 {
		t.Errorf("only %d were tried", tried)
	}
}

// checkOneSource reports a secret of another server than the one that is asked. Where the environment names no server,
// Atlas is asked.
func checkOneSource(t *testing.T, c client.Config) {
	t.Helper()
	server := c.URL
	if server == "https://cloud.mongodb.com" {
		server = "https://env"
	}
	for _, secret := range []string{c.ClientSecret, c.PrivateKey} {
		if secret != "" && secret != "secret of "+server {
			t.Errorf("%s is to be asked with %s", c.URL, secret)
		}
	}
}

func TestWorkspaceOfAProfileIsOneOfItsProject(t *testing.T) {
	profiles := map[string]Profile{"a": account("https://a")}
	for _, tt := range []struct {
		environ       map[string]string
		project, want string
	}{{nil, "", "w"}, {nil, "p", "w"}, {nil, "q", ""}, {with(nil, "MONGODB_ATLAS_PROJECT_ID=q"), "", ""},
		{with(nil, "MONGODB_ATLAS_PROJECT_ID=p"), "", "w"},
		{with(nil, "MONGODB_ATLAS_PROJECT_ID=q", "WEIR_WORKSPACE=v"), "", "v"},
		{with(nil, "WEIR_WORKSPACE=v"), "q", ""}} {
		got, err := choose("a", tt.environ, profiles)
		if err != nil || got.InProject(tt.project) != tt.want {
			t.Errorf("%v, --project %q: %q, %v; want %q", tt.environ, tt.project, got.InProject(tt.project), err, tt.want)
		}
	}
}
