package deployment_test

import (
	"fmt"
	"maps"
	"net"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/stretchr/testify/require"
	"go.yaml.in/yaml/v3"

	"github.com/enactlog/enact"
	"github.com/enactlog/enact/internal/deployment"
	"github.com/enactlog/enact/jetstore"
)

// root is the directory that docker-compose.yml is in.
const root = "../.."

// compose is what the tests look at of a compose file.
type compose struct {
	Services map[string]*service
	Volumes  map[string]any
}

type service struct {
	Image       string
	Command     []string
	Environment map[string]string
	Ports       []string
	Volumes     []string
	Profiles    []string
	HealthCheck struct{ Test []string }
	DependsOn   map[string]struct{ Condition string } `yaml:"depends_on"`
	Build       struct{ Context, Dockerfile string }
}

// readCompose reads docker-compose.yml, and what is laid over it for TLS, as docker compose
// does: mappings are merged, commands replaced, volumes added.
func readCompose(t *testing.T, tls bool) *compose {
	t.Helper()
	c := readOne(t, "docker-compose.yml")
	if !tls {
		return c
	}
	for name, over := range readOne(t, "deploy/docker-compose.tls.yml").Services {
		s := c.Services[name]
		require.NotNil(t, s, "the file for TLS lays something over a service that is not there")
		s.Command = over.Command
		s.Volumes = append(s.Volumes, over.Volumes...)
		maps.Copy(s.Environment, over.Environment)
	}
	return c
}

func readOne(t *testing.T, name string) *compose {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(root, name))
	require.NoError(t, err)
	c := new(compose)
	require.NoError(t, yaml.Unmarshal(text, c))
	for _, s := range c.Services {
		if s.Environment == nil {
			s.Environment = make(map[string]string)
		}
	}
	return c
}

var reference = regexp.MustCompile(`\$\{(\w+)(:\?[^}]*)?\}`)

// fill returns a service's environment with what ".env" has put in.
func fill(t *testing.T, s *service, dotEnv map[string]string) map[string]string {
	t.Helper()
	filled := make(map[string]string)
	for variable, value := range s.Environment {
		filled[variable] = reference.ReplaceAllStringFunc(value, func(r string) string {
			name := reference.FindStringSubmatch(r)[1]
			require.Contains(t, dotEnv, name)
			return dotEnv[name]
		})
	}
	return filled
}

func environment(secrets deployment.Secrets) map[string]string {
	env := make(map[string]string)
	for _, line := range secrets.Environment() {
		name, value, _ := strings.Cut(line, "=")
		env[name] = value
	}
	return env
}

// hostPath returns where in this repository a path of a container is.
func hostPath(t *testing.T, s *service, path string) string {
	t.Helper()
	for _, v := range s.Volumes {
		parts := strings.Split(v, ":")
		if rest, ok := strings.CutPrefix(path, parts[1]+"/"); ok && strings.HasPrefix(parts[0], "./") {
			return filepath.Join(root, parts[0], rest)
		}
	}
	require.FailNow(t, path+" is in no volume")
	return ""
}

// The servers of docker compose are configured as those that the other tests run: by the
// same files, which the server itself reads here, with the environment of docker-compose.yml.
func TestComposeConfiguresTheSame(t *testing.T) {
	for name, tls := range map[string]bool{"plain": false, "TLS": true} {
		t.Run(name, func(t *testing.T) {
			c := readCompose(t, tls)
			secrets := deployment.NewSecrets()
			file := map[bool]string{false: "nats.conf", true: "nats-tls.conf"}[tls]
			for i, node := range deployment.Names {
				s := c.Services[node]
				require.NotNil(t, s, node)
				env := fill(t, s, environment(secrets))
				require.Equal(t, []string{"-c"}, s.Command[:1])
				path := hostPath(t, s, s.Command[1])
				require.Equal(t, filepath.Join(config, file), path, "tests run what is mounted here")
				require.ElementsMatch(t, variables(t, path), slices.Collect(maps.Keys(env)), "what the configuration reads, and is given")
				opts := process(t, path, env, tls)
				checkOptions(t, opts, node, secrets, tls)
				checkContainer(t, c, s, i, opts)
			}
		})
	}
}

var (
	variable  = regexp.MustCompile(`\$(ENACT_\w+)`)
	inclusion = regexp.MustCompile(`(?m)^\s*include "(.+)"`)
	comment   = regexp.MustCompile(`(?m)^\s*#.*$`)
)

// variables returns what a configuration file, and what it includes, reads of the environment.
func variables(t *testing.T, path string) []string {
	t.Helper()
	text, err := os.ReadFile(path)
	require.NoError(t, err)
	code := comment.ReplaceAllString(string(text), "")
	var found []string
	for _, m := range variable.FindAllStringSubmatch(code, -1) {
		found = append(found, m[1])
	}
	for _, m := range inclusion.FindAllStringSubmatch(code, -1) {
		found = append(found, variables(t, filepath.Join(filepath.Dir(path), m[1]))...)
	}
	slices.Sort(found)
	return slices.Compact(found)
}

// process lets the server read a configuration.
func process(t *testing.T, path string, env map[string]string, tls bool) *server.Options {
	t.Helper()
	for name, value := range env {
		t.Setenv(name, value)
	}
	if tls {
		made, err := deployment.MakeCertificates(t.TempDir())
		require.NoError(t, err)
		for name, file := range map[string]string{"ENACT_TLS_CERT": made.Cert, "ENACT_TLS_KEY": made.Key, "ENACT_TLS_CA": made.CA} {
			require.Equal(t, filepath.Base(file), filepath.Base(env[name]), "the file that make up has made")
			t.Setenv(name, file)
		}
	}
	opts, err := server.ProcessConfigFile(path)
	require.NoError(t, err)
	return opts
}

// checkOptions checks what the configuration is for.
func checkOptions(t *testing.T, o *server.Options, node string, secrets deployment.Secrets, tls bool) {
	t.Helper()
	require.Equal(t, node, o.ServerName)
	require.True(t, o.JetStream)
	require.True(t, o.SyncAlways, "an acknowledged event survives the loss of power")
	require.Equal(t, int64(64<<30), o.JetStreamMaxStore)
	require.Equal(t, int32(8<<20), o.MaxPayload)
	require.Empty(t, o.NoAuthUser)
	require.Equal(t, "SYS", o.SystemAccount)
	require.Equal(t, tls, o.TLSConfig != nil)
	require.Equal(t, tls, o.Cluster.TLSConfig != nil)
	if tls {
		require.Equal(t, "RequireAndVerifyClientCert", o.Cluster.TLSConfig.ClientAuth.String(), "servers show each other certificates")
	}

	require.Equal(t, "enact", o.Cluster.Name)
	require.True(t, o.Cluster.NoAdvertise)
	require.Equal(t, "route", o.Cluster.Username)
	var hosts []string
	for _, r := range o.Routes {
		password, _ := r.User.Password()
		require.Equal(t, o.Cluster.Password, password)
		hosts = append(hosts, r.Host)
	}
	routes := func(host string) string { return net.JoinHostPort(host, strconv.Itoa(o.Cluster.Port)) }
	require.Equal(t, []string{routes("n1"), routes("n2"), routes("n3")}, hosts)

	checkUsers(t, o, secrets)
}

// checkUsers checks who may connect, and do what.
func checkUsers(t *testing.T, o *server.Options, secrets deployment.Secrets) {
	t.Helper()
	want := map[string]struct {
		account string
		role    jetstore.Role // "": everything
		tenant  enact.TenantID
	}{
		deployment.System:         {"SYS", "", ""},
		deployment.Operator:       {"ENACT", "", ""},
		deployment.Platform:       {"ENACT", jetstore.RoleWriter, ""},
		deployment.Reader:         {"ENACT", jetstore.RoleReader, ""},
		deployment.Acme:           {"ENACT", jetstore.RoleWriter, "acme"},
		deployment.GlobexOperator: {"GLOBEX", "", ""},
		deployment.Globex:         {"GLOBEX", jetstore.RoleWriter, ""},
	}
	require.Len(t, o.Users, len(want))
	for _, u := range o.Users {
		w := want[u.Username]
		require.Equal(t, w.account, u.Account.Name, u.Username)
		require.Equal(t, secrets[u.Username], u.Password, u.Username)
		if w.role == "" {
			require.Nil(t, u.Permissions, u.Username)
			continue
		}
		p, err := jetstore.PermissionsFor(w.role, w.tenant)
		require.NoError(t, err)
		require.Equal(t, &server.SubjectPermission{Allow: p.Publish}, u.Permissions.Publish, u.Username)
		require.Equal(t, &server.SubjectPermission{Allow: p.Subscribe}, u.Permissions.Subscribe, u.Username)
	}
}

// checkContainer checks that the container fits what runs in it, and that the ports are those
// of a cluster without Docker.
func checkContainer(t *testing.T, c *compose, s *service, i int, o *server.Options) {
	t.Helper()
	require.Equal(t, "nats:"+server.VERSION+"-alpine", s.Image, "the version that tests run")
	require.Equal(t, []string{
		fmt.Sprintf("127.0.0.1:%d:%d", 4222+i, o.Port), fmt.Sprintf("127.0.0.1:%d:%d", 8222+i, o.HTTPPort),
	}, s.Ports)
	volume := deployment.Names[i] + ":" + o.StoreDir
	require.Contains(t, s.Volumes, volume, "what is stored outlives the container")
	require.Contains(t, c.Volumes, deployment.Names[i])
	require.Equal(t, fmt.Sprintf("http://127.0.0.1:%d/healthz", o.HTTPPort), s.HealthCheck.Test[len(s.HealthCheck.Test)-1])
}

// There is no password in the files, and each that is missing is named.
func TestComposeHasNoPasswords(t *testing.T) {
	text, err := os.ReadFile(filepath.Join(root, "docker-compose.yml"))
	require.NoError(t, err)
	required := make(map[string]bool)
	for _, m := range reference.FindAllStringSubmatch(string(text), -1) {
		required[m[1]] = required[m[1]] || m[2] != ""
	}
	secrets := environment(deployment.NewSecrets())
	require.ElementsMatch(t, slices.Collect(maps.Keys(secrets)), slices.Collect(maps.Keys(required)), "the variables that make up sets")
	for name, is := range required {
		require.True(t, is, "%s may be missing", name)
	}
	for _, tls := range []bool{false, true} {
		for name, s := range readCompose(t, tls).Services {
			for variable, value := range s.Environment {
				if strings.HasSuffix(variable, "_PASSWORD") {
					require.Regexp(t, `^\$\{`+variable+`:\?.+\}$`, value, name)
				}
			}
		}
	}
}

// The streams are made once all servers are healthy, by the operator.
func TestComposeMakesTheStreams(t *testing.T) {
	for scheme, tls := range map[string]bool{"nats": false, "tls": true} {
		c := readCompose(t, tls)
		s := c.Services["streams"]
		secrets := deployment.NewSecrets()
		var urls []string
		for _, node := range deployment.Names {
			require.Equal(t, "service_healthy", s.DependsOn[node].Condition)
			urls = append(urls, fmt.Sprintf("%s://operator:%s@%s:4222", scheme, secrets[deployment.Operator], node))
		}
		require.Equal(t, map[string]string{"NATS_URL": strings.Join(urls, ",")}, fill(t, s, environment(secrets)))
		require.Equal(t, []string{"stream", "create"}, s.Command[:2])
		require.FileExists(t, filepath.Join(root, s.Build.Context, s.Build.Dockerfile))
		if tls {
			require.Equal(t, "--tlsca", s.Command[2])
			certificates := filepath.Dir(hostPath(t, s, s.Command[3]))
			require.Equal(t, certificates, filepath.Dir(hostPath(t, c.Services["n1"], c.Services["n1"].Environment["ENACT_TLS_CA"])))
		}
	}
}

// Prometheus asks an exporter for each server, and nobody who did not ask for them gets them.
func TestComposeMonitors(t *testing.T) {
	text, err := os.ReadFile(filepath.Join(root, "deploy/prometheus.yml"))
	require.NoError(t, err)
	var prometheus struct {
		Jobs []struct {
			Static []struct {
				Targets []string
				Labels  map[string]string
			} `yaml:"static_configs"`
		} `yaml:"scrape_configs"`
	}
	require.NoError(t, yaml.Unmarshal(text, &prometheus))
	services := readCompose(t, false).Services
	asked := 0
	for _, target := range prometheus.Jobs[0].Static {
		host, _, err := net.SplitHostPort(target.Targets[0])
		require.NoError(t, err)
		exporter := services[host]
		require.NotNil(t, exporter, host)
		require.Equal(t, "http://"+target.Labels["server"]+":8222", exporter.Command[len(exporter.Command)-1])
		asked++
	}
	require.Equal(t, len(deployment.Names), asked)
	for name, s := range services {
		core := name == "streams" || slices.Contains(deployment.Names[:], name)
		require.Equal(t, core, len(s.Profiles) == 0, name)
		require.Regexp(t, `^enact/jetstore-admin$|:v?\d+\.\d+\.\d+`, s.Image, "a version, not whatever is newest")
		for _, port := range s.Ports {
			require.True(t, strings.HasPrefix(port, "127.0.0.1:"), "%s is open to the network: %s", name, port)
		}
	}
}
