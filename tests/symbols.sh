#!/bin/sh
# What the engine's archives (base to train) must not call: they never end the program, never print,
# and know neither Lua nor a terminal.  One TAP case an archive.
# shellcheck disable=SC2016 # the $s in quotes are awk's
set -u
cd "${builddir:-.}" || exit 99
NM=${NM:-nm}

forbidden='^(_?exit|_Exit|quick_exit|abort|__assert_fail|(__)?v?printf(_chk)?|puts|putchar|_IO_putc'
forbidden="$forbidden"'|putc|stdout|stderr|perror|lua_.*|luaL_.*|initscr|readline|setlocale)$'
# object:symbol pairs that are meant
allowed='assert.o:abort'

n=0
status=0
for lib in ${SY_ENGINE_LIBS:?}; do
    n=$((n + 1))
    found=$("$NM" -A -u "$lib" 2>/dev/null |
        "${AWK:-awk}" -v forbidden="$forbidden" -v allowed="$allowed" '
        { symbol = $NF; sub(/@.*/, "", symbol)
          where = $1; sub(/:$/, "", where); k = split(where, part, ":"); object = part[k]
          sub(/^lib[a-z0-9_]*_a-/, "", object)
          if (symbol ~ forbidden && index(" " allowed " ", " " object ":" symbol " ") == 0)
              print "#   " object " calls " symbol }')
    if [ -z "$found" ]; then
        echo "ok $n - $lib"
    else
        echo "not ok $n - $lib"
        echo "$found"
        status=1
    fi
done
echo "1..$n"
exit $status
