#!/bin/sh
# Run a test with a folder of its own for runs, which is removed afterwards:  scratch.sh COMMAND
# [ARGS...] The environment has it as SWITCHYARD_RUNS (not there until a run is made; its parent is
# there, for the test's other files); for programs run with -E there is --runs "$SWITCHYARD_RUNS".
scratch=$(mktemp -d) || exit 99
trap 'rm -rf "$scratch"' EXIT
trap 'exit 143' TERM HUP
trap 'exit 130' INT
SWITCHYARD_RUNS=$scratch/runs
export SWITCHYARD_RUNS
"$@"
