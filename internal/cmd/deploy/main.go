// Deploy is behind the Makefile's targets that start a cluster: it runs three servers with
// the configuration in deploy/nats, and makes the passwords and certificates that docker
// compose needs to do the same.
package main

import (
	"context"
	"fmt"
	"os"
	"os/signal"
	"syscall"

	"github.com/spf13/cobra"

	"github.com/enactlog/enact/internal/deployment"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	context.AfterFunc(ctx, stop) // a second signal is not caught
	if err := command().ExecuteContext(ctx); err != nil {
		fmt.Fprintln(os.Stderr, "deploy:", err)
		os.Exit(1)
	}
}

func command() *cobra.Command {
	root := &cobra.Command{
		Use: "deploy", Short: "Start a cluster, or make what one needs",
		SilenceErrors: true, SilenceUsage: true,
	}
	root.AddCommand(clusterCommand(), secretsCommand(), certificatesCommand())
	return root
}

func secretsCommand() *cobra.Command {
	return &cobra.Command{
		Use: "secrets FILE", Short: "Add a random password to FILE for each user who has none there", Args: cobra.ExactArgs(1),
		RunE: func(_ *cobra.Command, args []string) error {
			_, err := deployment.LoadSecrets(args[0])
			return err
		},
	}
}

func certificatesCommand() *cobra.Command {
	return &cobra.Command{
		Use: "certificates DIR", Short: "Make certificates for trying TLS out, unless DIR has them", Args: cobra.ExactArgs(1),
		RunE: func(_ *cobra.Command, args []string) error {
			_, err := deployment.MakeCertificates(args[0])
			return err
		},
	}
}
