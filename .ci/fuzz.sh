#!/usr/bin/env bash
# One fuzz test for some time: .ci/fuzz.sh PACKAGE FUNCTION TIME.
#
# Where the machine is busy, go test fails at times because the time is up, with "context
# deadline exceeded" and no input (go.dev/issue/75804, in releases before 1.27). That is no
# failure where it is all there is, and where every input passes that was kept: one that
# fails is written to testdata/fuzz before the end.
set -euo pipefail
go="${GO:-go}" package="$1" function="$2" time="$3"
output="$(mktemp)"
trap 'rm -f "$output"' EXIT

if "$go" test -run '^$' -fuzz "^$function\$" -fuzztime "$time" "$package" 2>&1 | tee "$output"; then
	exit 0
fi
ended="^--- FAIL: $function \([0-9.]+s\)\$
^    context deadline exceeded\$
^FAIL\$
^exit status 1\$
^FAIL	"
if ! grep -qx '    context deadline exceeded' "$output" || grep -v '^fuzz: elapsed: ' "$output" | grep -qvE "$ended"; then
	exit 1
fi
echo "the time was up, and no input has failed: the kept ones once more"
exec "$go" test -count=1 -run "^$function\$" "$package"
