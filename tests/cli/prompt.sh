#!/bin/sh
# The prompt at a terminal, on the plain screen (tests/screens/ has the workbench): plays the
# scenarios *.pty with tests/cli/pty.
set -u
dir=$(mktemp -d) || exit 99
trap 'rm -rf "$dir"' EXIT
HOME=$dir XDG_STATE_HOME=$dir/state INPUTRC=/dev/null
SWITCHYARD_SCREEN=plain
GO=$dir/go
export HOME XDG_STATE_HOME INPUTRC SWITCHYARD_SCREEN GO
srcdir=${srcdir:-.}
export srcdir
status=0
for scenario in prompt live jobs; do
    set -- -E --runs "$dir/runs"
    [ "$scenario" = jobs ] && set -- "$@" -i "$srcdir/tests/cli/jobs.lua" word
    rm -rf "$dir/state" "$dir/runs"
    # ThreadSanitizer delivers a signal at the next call of the library only: an endless loop gets
    # one.
    idle=' '
    case ${SY_SANITIZERS:-} in *thread*) idle=' ("x"):rep(99) ' ;; esac
    sed "s/ do end/ do${idle}end/g" "$srcdir/tests/cli/$scenario.pty" > "$dir/scenario"
    "${builddir:-.}/tests/cli/pty" "$dir/scenario" "${SWITCHYARD:-./switchyard}" "$@" \
        >> "$dir/log" || status=1
    [ "$scenario" = prompt ] && head -1 "$dir/state/switchyard/history" > "$dir/remembered" \
        2> /dev/null
done
if [ "$(cat "$dir/remembered")" = "1 + 1" ]; then
    echo "ok 0 - the history is kept" >> "$dir/log"
else
    echo "not ok 0 - the history is kept (built without Readline: expected)" >> "$dir/log"
    status=1
fi
# One numbering for all.
"${AWK:-awk}" '/^1\.\./ { next } /^(not )?ok / { n++; sub(/ok [0-9]+/, "ok " n) } { print }
    END { print "1.." n }' "$dir/log"
exit $status
