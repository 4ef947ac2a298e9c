# What the scripts beside it share, which source it.  TAP.
#
#   $SWITCHYARD             the program
#   $folder                 a folder of the test's own, removed at its end; runs go to $folder/runs
#   $folder/out, err        where a script keeps what the program prints: a case that fails shows
#                           their ends
#   report STATUS WHAT      a case: good when the status is 0
#   ok CONDITION WHAT       a case: the condition is shell
#   comes FILE PATTERN      until the file has such a line: true when it has come
#   until_true COMMAND...   until that is true: when it has become true
#   skip WHY                a case that cannot be tried here
#   in_front COMMAND...     the command, in place of the shell and open to SIGINT: what a shell
#                           starts in the background ignores it.  For use with &, when can_front
#   finish                  the last line of a script: the plan and the status
# shellcheck shell=sh
set -u
: "${SWITCHYARD:=./switchyard}"
folder=$(mktemp -d) || exit 99
trap 'rm -rf "$folder"' EXIT
SWITCHYARD_RUNS=$folder/runs
export SWITCHYARD_RUNS
n=0
failed=0

# shellcheck source=tests/until.sh
. "${srcdir:-.}/tests/until.sh"
comes() { until_true grep -q -e "$2" "$1" 2> /dev/null; }

report()
{
    n=$((n + 1))
    if [ "$1" -eq 0 ]; then
        echo "ok $n - $2"
        return
    fi
    failed=$((failed + 1))
    echo "not ok $n - $2"
    for file in out err; do
        [ ! -f "$folder/$file" ] || tail -n 10 "$folder/$file" | cut -c 1-300 | sed "s/^/# $file: /"
    done
}

ok() { eval "$1"; report $? "$2"; }
skip() { n=$((n + 1)); echo "ok $n # SKIP $1"; }

can_front() { perl -e 1 2> /dev/null; }
in_front() { exec perl -e '$SIG{INT} = "DEFAULT"; exec @ARGV or exit 99' "$@"; }

finish()
{
    echo "1..$n"
    [ "$failed" -eq 0 ]
}
