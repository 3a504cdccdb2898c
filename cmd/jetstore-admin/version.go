package main

import (
	"context"
	"fmt"
	"runtime"
	"runtime/debug"

	"github.com/spf13/cobra"
)

// versionInfo says what program this is.
type versionInfo struct {
	Version  string `json:"version"`
	Revision string `json:"revision,omitempty"`
	Go       string `json:"go"`
	Platform string `json:"platform"`
	Server   string `json:"nats_server"` // of the embedded server
}

// version reads what the linker wrote into the program.
func version() versionInfo {
	v := versionInfo{Version: "(devel)", Go: runtime.Version(), Platform: runtime.GOOS + "/" + runtime.GOARCH, Server: "unknown"}
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return v
	}
	if info.Main.Version != "" {
		v.Version = info.Main.Version
	}
	for _, s := range info.Settings {
		if s.Key == "vcs.revision" {
			v.Revision = s.Value
		}
	}
	for _, dep := range info.Deps {
		if dep.Path == "github.com/nats-io/nats-server/v2" {
			v.Server = dep.Version
		}
	}
	return v
}

func (a *app) versionCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "version",
		Short: "Print the version of this program",
		Long: `Print the version of this program, of the Go that built it, and of the NATS server
that it opens a directory with.`,
		Example: `  jetstore-admin version
  jetstore-admin version -o json`,
		Args: takes(0, 0),
		RunE: a.do(func(context.Context, *cobra.Command, []string) error {
			v := version()
			if a.format != formatTable {
				return writeJSON(a.stdout, a.format, v)
			}
			_, err := fmt.Fprintf(a.stdout, "%s %s (%s, %s, nats-server %s)\n", programName, v.Version, v.Go, v.Platform, v.Server)
			return err
		}),
	}
}
