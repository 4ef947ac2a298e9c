#!/bin/sh
# The manual page of the keys, made from their list: every row of it, in signs that a terminal of
# ASCII alone has.  One TAP case each.
set -u
cd "${srcdir:-.}" || exit 99
# shellcheck source=tests/say.sh
. tests/say.sh

page=$("${AWK:-awk}" -f man/keys.awk src/tui/panel_keys.def 2>&1) || page="awk failed: $page"
rows=$(grep -c '^SY_KEY(' src/tui/panel_keys.def)
items=$(printf '%s\n' "$page" | grep -c '^\.It ')
say "every key is in it" "$([ "$rows" -gt 30 ] && [ "$rows" = "$items" ] ||
    echo "#   $rows rows, $items keys")"
say "in signs of ASCII" "$(printf '%s\n' "$page" | LC_ALL=C grep -n '[^ -~]' | sed 's/^/#   /')"
say "and no names of others" "$(printf '%s\n' "$page" | grep -n '\\(' | sed 's/^/#   /')"
say "arrows are words" "$(for key in 'Left h' 'Right l' 'Up k' 'Down j'; do
    printf '%s\n' "$page" | grep -qx "\.It $key" || echo "#   no '$key'"
done)"
echo "1..$n"
exit $status
