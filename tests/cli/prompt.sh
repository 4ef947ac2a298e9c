#!/bin/sh
# The prompt at a terminal: plays prompt.pty with tests/cli/pty.
set -u
dir=$(mktemp -d) || exit 99
trap 'rm -rf "$dir"' EXIT
HOME=$dir XDG_STATE_HOME=$dir/state INPUTRC=/dev/null
export HOME XDG_STATE_HOME INPUTRC
"${builddir:-.}/tests/cli/pty" "${srcdir:-.}/tests/cli/prompt.pty" \
    "${SWITCHYARD:-./switchyard}" -E > "$dir/log"
status=$?
cases=$(grep -c '^\(not \)\?ok' "$dir/log")
grep -v '^1\.\.' "$dir/log"
n=$((cases + 1))
if [ "$(head -1 "$dir/state/switchyard/history" 2> /dev/null)" = "1 + 1" ]; then
    echo "ok $n - the history is kept"
else
    echo "not ok $n - the history is kept (built without Readline: expected)"
    status=1
fi
echo "1..$n"
exit $status
