#!/usr/bin/env bash
# A newcomer's path: a Go program of one's own, outside of this clone, that runs the
# README's lines by the README's steps. It is to take less than five minutes.
set -euo pipefail
clone="$(cd "$(dirname "$0")/.." && pwd)"
dir="$(mktemp -d)"
trap 'rm -rf "$dir"' EXIT
began=$SECONDS

cd "$dir"
# The README's steps, behind "In a program of your own", word for word.
awk '/^In a program of your own/ {on=1; next} on && /^```sh/ {inside=1; next} inside && /^```/ {exit} inside' "$clone/README.md" >steps.sh
# The README's program, from its block behind "## Use it".
awk '/^## Use it/ {on=1} on && /^```go/ {inside=1; next} inside && /^```/ {exit} inside' "$clone/README.md" >lines.txt
[ -s steps.sh ] && [ -s lines.txt ] || { echo "newcomer: the README has not got what it had" >&2; exit 1; }

mkdir first && cd first
{
	cat <<'GO'
package main

import (
	"context"
	"fmt"
	"log"

	"github.com/enactlog/enact"
	"github.com/enactlog/enact/jetstore/embedded"
)

func main() {
	ctx, dir := context.Background(), "./data"

GO
	sed 's/^\(.\)/\t\1/' ../lines.txt
	echo "}"
} >main.go
cd ..
ENACT_CLONE="$clone" bash -euo pipefail steps.sh | tee output.txt

for line in "stored 1 to 3" "1 execution_started" "3 42"; do
	grep -qx "$line" output.txt || { echo "newcomer: the program did not print \"$line\"" >&2; exit 1; }
done
took=$((SECONDS - began))
# Stated and no failure: a machine that is busy says nothing of the path.
echo "newcomer: the first append of a program of one's own took $took s, of 300"
