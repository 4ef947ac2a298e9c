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

# shellcheck source=tests/cli/catalogues.sh disable=SC2154  # whoever runs the tests sets srcdir
. "$srcdir/tests/cli/catalogues.sh"

# Two languages of one text.
languages()
{
    mkdir -p languages && cp text.txt languages/one.txt &&
        sed 's/the /der /g; s/and/und/g' text.txt > languages/two.txt
}

report() # report STATUS WHAT
{
    count=$((count + 1))
    [ "$1" -eq 0 ] && echo "ok $count - $2" && return
    echo "not ok $count - $2"
    sed 's/^/# /' out | tail -n 30
    failed=$((failed + 1))
}

count=0 failed=0
for path in "$srcdir"/examples/*.lua; do
    name=$(basename "$path" .lua)
    wrong=
    case $name in
    demo) set -- text.txt 1 && wrong="text.txt x" ;;
    shakespeare) set -- text.txt both 4 && wrong="text.txt moe x" ;;
    balance) set -- 8 && wrong=x ;;
    synthetic | router) set -- 8 && wrong=x ;;
    switch) set -- text.txt 4 && wrong="text.txt x" ;;
    own_model) set -- text.txt 4 && wrong="text.txt x" ;;
    bakeoff) set -- 0.02 text.txt && wrong=x ;;
    specialise) languages && set -- 0.02 languages && wrong=x ;;
    gshard) catalogues && set -- 3 de,fr locale && wrong=x ;;
    *)
        : > out
        report 1 "$name: no line in tests/cli/examples.sh says how to run it"
        continue
        ;;
    esac
    "$SWITCHYARD" -E "$path" "$@" > out 2>&1 < /dev/null && [ -s out ]
    report $? "$name"
    # shellcheck disable=SC2086 # words
    ! "$SWITCHYARD" -E "$path" $wrong > out 2>&1 < /dev/null &&
        grep -q 'must be a\|^usage: ' out && ! grep -q 'a checkpoint in' out
    report $? "$name: x is no number, which is said before anything is trained"
done

"$SWITCHYARD" -E "$srcdir/examples/gshard.lua" 3 de,fr nowhere > out 2>&1 < /dev/null
[ $? -eq 1 ] && grep -q 'apt-get install' out
report $? "gshard: without catalogues it says what to install, and ends with 1"
echo "1..$count"
[ "$failed" -eq 0 ]
