package main

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/enactlog/enact"
)

// usageError is a command line that makes no sense.
type usageError struct{ reason string }

func (e *usageError) Error() string { return e.reason }

func usagef(format string, args ...any) error {
	return &usageError{fmt.Sprintf(format, args...)}
}

func isUsage(err error) bool {
	_, ok := errors.AsType[*usageError](err)
	return ok
}

// flagOf names the flags that give the options of the library that errors are about.
var flagOf = map[string]string{
	"EachReplica":         "each-replica",
	"Limit":               "limit",
	"Status":              "status",
	"Until":               "until",
	"UpdatedUntil":        "updated-until",
	"WithAPIPrefix":       "js-api-prefix",
	"WithDomain":          "js-domain",
	"WithReplicas":        "replicas",
	"WithStream":          "stream",
	"WithStreamPerTenant": "per-tenant",
	"limit":               "limit",
	"offset":              "offset",
	"prefix":              "prefix",
	"tenant":              "tenant",
}

// asUsage makes an error about an option of the library one about the flag that gave it.
func asUsage(err error) error {
	if option, ok := errors.AsType[*enact.OptionError](err); ok && flagOf[option.Option] != "" {
		return usagef("--%s: %s", flagOf[option.Option], option.Reason)
	}
	return usagef("%v", err)
}

// takes makes a command take from least to most arguments, as its Use names them; with a
// most below 0 as many as there are. cobra's own checks count, and do not say what is missing.
func takes(least, most int) cobra.PositionalArgs {
	return func(cmd *cobra.Command, args []string) error {
		switch {
		case len(args) < least:
			return usagef("%s is missing", strings.Fields(cmd.Use)[1+len(args)])
		case most >= 0 && len(args) > most:
			return usagef("argument %q is one too many", args[most])
		}
		return nil
	}
}

// exclusive makes flags of a command exclude each other.
func exclusive(cmd *cobra.Command, flags ...string) {
	cmd.MarkFlagsMutuallyExclusive(flags...) // so that completion knows
	checkGiven(cmd, func(given []string) error {
		given = slices.DeleteFunc(given, func(name string) bool { return !slices.Contains(flags, name) })
		if len(given) > 1 {
			return usagef("--%s and --%s exclude each other", given[0], given[1])
		}
		return nil
	})
}

// oneOf makes a command need one of two flags, and take no more than that.
func oneOf(cmd *cobra.Command, a, b string) {
	exclusive(cmd, a, b)
	checkGiven(cmd, func(given []string) error {
		if !slices.Contains(given, a) && !slices.Contains(given, b) {
			return usagef("give --%s or --%s", a, b)
		}
		return nil
	})
}

// checkGiven adds a check of which flags are given, ahead of cobra's own, whose errors speak
// of groups.
func checkGiven(cmd *cobra.Command, check func(given []string) error) {
	before := cmd.PreRunE
	cmd.PreRunE = func(cmd *cobra.Command, args []string) error {
		if before != nil {
			if err := before(cmd, args); err != nil {
				return err
			}
		}
		var given []string
		cmd.Flags().Visit(func(f *pflag.Flag) { given = append(given, f.Name) })
		return check(given)
	}
}
