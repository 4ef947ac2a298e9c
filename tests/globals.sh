#!/bin/sh
# Globals of the Lua side: a name that is read is one that the program has, so none is a slip of the
# pen or what a change has left behind; and only lua/prelude.lua makes any.  One TAP case a room.
# Reads what luac5.4 says of each file (Debian: lua5.4); without it there is nothing to look at.
# shellcheck disable=SC2016 # the $s in quotes are awk's
set -u
src=${srcdir:-.}
LUAC=${LUAC:-luac5.4}
# shellcheck source=tests/say.sh
. "$src/tests/say.sh"

if ! command -v "$LUAC" > /dev/null; then
    echo "1..0 # SKIP no $LUAC"
    exit 0
fi
known=$(${SWITCHYARD:?} -E -e 'for name in pairs(_G) do print(name) end') || exit 99
# what the program puts there of a script: its arguments
known="$known
arg"
looked=0
for room in "$src"/lua "$src"/lua/*/; do
    found=
    for file in "$room"/*.lua; do
        [ -f "$file" ] || continue
        looked=$((looked + 1))
        found=$found$("$LUAC" -p -l -l "$file" | "${AWK:-awk}" -v known="$known" -v file="$file" '
            BEGIN { n = split(known, name, "\n"); for (i = 1; i <= n; i++) is[name[i]] = 1 }
            /[GS]ETTABUP.*; _ENV "/ {
                line = $2; split($0, part, "\""); what = part[2]
                if (/GETTABUP/ && !(what in is)) print "#   " file ":" line " reads " what
                if (/SETTABUP/ && file !~ /prelude\.lua$/) print "#   " file ":" line " sets " what
            }')
    done
    say "globals of ${room#"$src"/}" "$found"
done
say "luac has read the files" "$([ "$looked" -ge 90 ] || echo "#   $looked files")"
echo "1..$n"
exit $status
