#!/bin/sh
# What the tree has once.  One TAP case an archive, and one for what is no symbol:
#
#   clocks and waits   are base's (base/clock.h, base/wait.h): nobody else reads a clock of the
#                      system, sleeps, or waits with a limit, so no limit goes by the wall clock,
#                      which may be set
#   growing arrays     are SY_GROW's (base/grow.h).  A corpus's ids grow by half, for they may be
#                      most of the memory, and are cut to what they are; a series' chunk of rows
#                      grows to its size
#   cases of tests     come in one order: tables of them are walked through by t.sorted
#   files of tests     lie in the test's own folder (t.scratch, tests/scratch.sh)
#   states of runs     are compared by the enum (switchyard/run_state.h, lua/core/enum.lua), never
#                      by the text that is for people
# shellcheck disable=SC2016 # the $s in quotes are awk's
set -u
src=${srcdir:-.}
cd "${builddir:-.}" || exit 99
NM=${NM:-nm}

waits='^(clock_gettime|gettimeofday|time|clock|nanosleep|clock_nanosleep|usleep|sleep'
waits="$waits"'|pthread_cond_(timedwait|clockwait|init)|pthread_condattr_.*'
waits="$waits"'|pthread_mutex_(timedlock|clocklock)|sem_(timedwait|clockwait))$'

# shellcheck source=tests/say.sh
. "${srcdir:-.}/tests/say.sh"

# shellcheck disable=SC2086 # a list
libs=$(printf '%s\n' ${SY_ALL_LIBS:?} | sort -u) || exit 99
symbols=0
for lib in $libs; do
    undefined=$("$NM" -A -u "$lib" 2>/dev/null)
    symbols=$((symbols + $(printf '%s\n' "$undefined" | grep -c .)))
    say "$lib" "$(printf '%s\n' "$undefined" | "${AWK:-awk}" -v waits="$waits" '
        { symbol = $NF; sub(/@.*/, "", symbol); sub(/^__/, "", symbol)
          where = $1; sub(/:$/, "", where); k = split(where, part, ":"); object = part[k]
          sub(/^lib[a-z0-9_]*_a-/, "", object)
          if (symbol ~ waits && object !~ /^(clock|wait)\.o$/ ||
              symbol == "sy_realloc" && object !~ /^(grow|corpus|metrics)\.o$/ ||
              symbol == "realloc" && object != "open.o") # Lua has its own
              print "#   " object " calls " symbol }')"
done
say "nm has read the archives" "$([ "$symbols" -ge 1000 ] || echo "#   $symbols undefined symbols")"
say "no condition of the wall clock" "$(cd "$src" &&
    grep -rnE 'PTHREAD_COND_INITIALIZER|CLOCK_REALTIME' src | grep -v '^src/base/clock\.c:' |
    sed 's/^/#   /')"
states=$(sed -n 's/^ *X([A-Z]*, "\([a-z]*\)".*/\1/p' "$src/include/switchyard/run_state.h" |
    paste -s -d '|' -)
say "states of runs are no texts: ${states:?}" "$(cd "$src" &&
    grep -rnE 'strn?cmp\(.*"('"$states"')"|[~=]= *"('"$states"')"' src lua |
    grep -v -e "strcmp(term, " -e "k ~= .paused" | sed 's/^/#   /')"
say "cases of tests come in one order" "$(cd "$src" &&
    grep -rnE 'in pairs ?(\{|\((CASES|cases)\))' tests --include='*.lua' |
    sed 's/^/#   /')"
say "files of tests lie in their own folder" "$(cd "$src" &&
    grep -rn 'os\.tmpname()' tests --include='*.lua' | grep -v '"os.tmpname"' | sed 's/^/#   /')"
echo "1..$n"
exit $status
