#!/bin/sh
# Lines have at most 100 characters, in code, comments, tests and documents: the width at which two
# files stand side by side.  Free of it are lists of files (*.mk), tables and samples in Markdown,
# tables of words and lines that are typed or printed as they stand (files in `wide`), and fixtures.
# One TAP case a folder.
# shellcheck disable=SC2016 # the $s in quotes are awk's
set -u
cd "${srcdir:-.}" || exit 99
# shellcheck source=tests/say.sh
. tests/say.sh

wide='lua/help/foreign.lua tests/cli/escapes.sh tests/cli/resume.sh tests/cli/short.sh'
wide="$wide tests/cli/typed.sh tests/screens/keys.sh tests/screens/live.sh"

# FILE:LINE of each line that is too long; a byte that goes on in a character counts as none.
long() {
    find "$@" -type f \( -name '*.[ch]' -o -name '*.lua' -o -name '*.sh' -o -name '*.def' \
        -o -name '*.awk' -o -name '*.md' -o -name '*.1' \) ! -path '*/fixtures/*' | sort |
        LC_ALL=C xargs awk -v wide=" $wide " '
            FNR == 1 { skip = index(wide, " " FILENAME " ") > 0 }
            skip || (FILENAME ~ /\.md$/ && /^(    |\|)/) { next }
            length > 100 { gsub(/[\200-\277]/, "") }
            length > 100 { print "#   " FILENAME ":" FNR " has " length " characters" }
            END { if (!NR) print "#   no line was read" }'
}
for part in src include lua tests bench examples man README.md HACKING.md; do
    say "$part: lines to 100 characters" "$(long "$part")"
done
echo "1..$n"
exit $status
