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

# shellcheck source=tests/say.sh
. "${srcdir:-.}/tests/say.sh"

symbols=0
for lib in ${SY_ENGINE_LIBS:?}; do
    undefined=$("$NM" -A -u "$lib" 2>/dev/null)
    symbols=$((symbols + $(printf '%s\n' "$undefined" | grep -c .)))
    say "$lib" "$(printf '%s\n' "$undefined" |
        "${AWK:-awk}" -v forbidden="$forbidden" -v allowed="$allowed" '
        { symbol = $NF; sub(/@.*/, "", symbol)
          where = $1; sub(/:$/, "", where); k = split(where, part, ":"); object = part[k]
          sub(/^lib[a-z0-9_]*_a-/, "", object)
          if (symbol ~ forbidden && index(" " allowed " ", " " object ":" symbol " ") == 0)
              print "#   " object " calls " symbol }')"
done
say "nm has read the archives" "$([ "$symbols" -ge 1000 ] || echo "#   $symbols undefined symbols")"
echo "1..$n"
exit $status
