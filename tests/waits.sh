#!/bin/sh
# Clocks and waits are base's alone (base/clock.h, base/wait.h): nobody else reads a clock of the
# system, sleeps, or waits with a limit, so no limit goes by the wall clock, which may be set.  One
# TAP case an archive, and one for what is no symbol.
# shellcheck disable=SC2016 # the $s in quotes are awk's
set -u
src=${srcdir:-.}
cd "${builddir:-.}" || exit 99
NM=${NM:-nm}

forbidden='^(clock_gettime|gettimeofday|time|clock|nanosleep|clock_nanosleep|usleep|sleep'
forbidden="$forbidden"'|pthread_cond_(timedwait|clockwait|init)|pthread_condattr_.*'
forbidden="$forbidden"'|pthread_mutex_(timedlock|clocklock)|sem_(timedwait|clockwait))$'

n=0
status=0
for lib in $(printf "%s\n" ${SY_ALL_LIBS:?} | sort -u); do
    n=$((n + 1))
    found=$("$NM" -A -u "$lib" 2>/dev/null | "${AWK:-awk}" -v forbidden="$forbidden" '
        { symbol = $NF; sub(/@.*/, "", symbol); sub(/^__/, "", symbol)
          where = $1; sub(/:$/, "", where); k = split(where, part, ":"); object = part[k]
          sub(/^lib[a-z0-9_]*_a-/, "", object)
          if (symbol ~ forbidden && object !~ /^(clock|wait)\.o$/)
              print "#   " object " calls " symbol }')
    if [ -z "$found" ]; then
        echo "ok $n - $lib"
    else
        echo "not ok $n - $lib"
        echo "$found"
        status=1
    fi
done
n=$((n + 1))
found=$(cd "$src" && grep -rnE 'PTHREAD_COND_INITIALIZER|CLOCK_REALTIME' src |
    grep -v '^src/base/clock\.c:' | sed 's/^/#   /')
if [ -z "$found" ]; then
    echo "ok $n - no condition of the wall clock"
else
    echo "not ok $n - no condition of the wall clock"
    echo "$found"
    status=1
fi
echo "1..$n"
exit $status
