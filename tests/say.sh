# One TAP case of a test that looks for what must not be there: fails with what was found.
# shellcheck shell=sh disable=SC2034 # who includes this ends with $n and $status
n=0
status=0
say() { # say NAME FOUND
    n=$((n + 1))
    if [ -z "$2" ]; then
        echo "ok $n - $1"
    else
        echo "not ok $n - $1"
        echo "$2"
        status=1
    fi
}
