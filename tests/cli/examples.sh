#!/bin/sh
# Every example runs, with few steps.  A new example needs a line below.  TAP.
set -u
folder=$(mktemp -d) || exit 99
trap 'rm -rf "$folder"' EXIT
cd "$folder" || exit 99
SWITCHYARD_RUNS=$folder/runs
export SWITCHYARD_RUNS

# A text of some size that does not depend on the machine.
i=0
while [ $i -lt 400 ]; do
    echo "Line $i: the trains are routed onto tracks, and a router does that with tokens."
    i=$((i + 1))
done > text.txt

count=0 failed=0
# shellcheck disable=SC2154  # whoever runs the tests sets srcdir
for path in "$srcdir"/examples/*.lua; do
    name=$(basename "$path" .lua)
    count=$((count + 1))
    case $name in
    demo) set -- text.txt 1 ;;
    shakespeare) set -- text.txt both 4 ;;
    synthetic | router) set -- 8 ;;
    own_model) set -- text.txt 4 ;;
    *)
        echo "not ok $count - $name: no line in tests/cli/examples.sh says how to run it"
        failed=$((failed + 1))
        continue
        ;;
    esac
    if "$SWITCHYARD" -E "$path" "$@" > out 2>&1 < /dev/null && [ -s out ]; then
        echo "ok $count - $name"
    else
        echo "not ok $count - $name: status $?"
        sed 's/^/# /' out | tail -n 30
        failed=$((failed + 1))
    fi
done
echo "1..$count"
[ "$failed" -eq 0 ]
