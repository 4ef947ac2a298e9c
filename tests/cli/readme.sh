#!/bin/sh
# shellcheck disable=SC2034  # a count
# The README's first lines do what it says of them, as a script and typed line by line: smaller, for
# the time.
# shellcheck source=tests/cli/lib.sh
. "${srcdir:-.}/tests/cli/lib.sh"
# shellcheck source=tests/cli/catalogues.sh
. "${srcdir:-.}/tests/cli/catalogues.sh"

for i in 1 2 3 4 5 6 7 8; do cat "$srcdir/README.md"; done > "$folder/input.txt"
awk '/^Eight lines/ { on = 1; next } on && /^A session/ { exit }
    on && /^    / { print substr($0, 5) }' "$srcdir/README.md" |
    sed -e 's/dim = 128/dim = 16/; s/steps = 2000/steps = 60/' \
        -e 's/every(r, 500/every(r, 20/; s/tokens = 200/tokens = 7/' \
        > "$folder/lines.lua"
[ "$(wc -l < "$folder/lines.lua")" -eq 8 ]
report $? "eight lines"

# told FILE: the hook at its steps, then the card of a run that is done, then a text
told()
{
    awk '/^20\t/ { a = 1 } a && /^40\t/ { b = 1 } b && /^60\t/ { c = 1 }
        c && /run .*: done, step 60\/60/ { d = 1 }
         d && /ROMEO:/ { e = 1 } END { exit !e }' "$1" || { sed 's/^/# /' "$1"; return 1; }
}

# experts FILE: the blocks of the section on experts and objectives, smaller, as one script
experts()
{
    awk '/^## Which experts/ { on = 1; next }
        on && /^## / { exit }
        on && /^    / { print substr($0, 5) }' "$srcdir/README.md" |
        sed -e 's/dim = 128/dim = 16, heads = 2/; s/layers = 4/layers = 2/' \
            -e 's/steps = 3000/steps = 3/' \
            -e 's/vocab = 4096/vocab = 400/; s/to = "en", tok/to = "en", path = "locale", tok/' \
            -e 's/model.moe{/&layers = 1, dim = 16, heads = 2, /' > "$1"
}

cd "$folder" || exit 99
timeout 120 "$SWITCHYARD" -E --runs "$folder/script" lines.lua > script.out 2>&1
told script.out
report $? "as a script"
timeout 120 "$SWITCHYARD" -E --runs "$folder/typed" -i < lines.lua > typed.out 2>&1
told typed.out
report $? "typed"

experts experts.lua
[ "$(grep -c 'm:fill\|m:translate\|switch\|deepseek' experts.lua)" -eq 5 ]
report $? "lines of the section on experts"
catalogues
timeout 120 "$SWITCHYARD" -E experts.lua > out 2>&1 && grep -q '^To .* or not to ' out
report $? "they run, and blanks are filled"
finish
