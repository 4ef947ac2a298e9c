#!/bin/sh
# Comments that are true, as far as a script can see it:
#
#   include/switchyard/*.h   every function has a comment: before it, behind it, or one that heads a
#                            group of lines without an empty one between them and names what the
#                            function's name ends in
#   src include lua HACKING.md   every file that a comment names is there
#   *.h                every function that is declared or named is defined
#
# One TAP case a header, one for the files, and one for the functions.
# shellcheck disable=SC2016 # the $s in quotes are awk's
set -u
cd "${srcdir:-.}" || exit 99
AWK=${AWK:-awk}
# shellcheck source=tests/say.sh
. tests/say.sh

# ---- functions ----

bare() { # declarations of FILE without a comment
    "$AWK" '
        function reset() { comment = ""; head = "" }
        in_comment { comment = comment " " $0; if (/\*\//) { in_comment = 0; head = comment } next }
        /^[ \t]*\/\*/ { comment = $0; if (/\*\//) head = comment; else in_comment = 1; next }
        /^[ \t]*$/ || /^#/ { reset(); next }
        {
            decl = decl == "" ? $0 : decl " " $0
            if (decl ~ /{/ && decl !~ /^(static inline|enum|struct|typedef)/) reset()
            open = gsub(/{/, "{", decl) - gsub(/}/, "}", decl)
            if (open > 0 || decl !~ /[;}]/) next
            code = decl
            sub(/\/\*.*/, "", code)
            if (code ~ /^[a-z].*[a-z0-9_]\(/ && code !~ /^(typedef|struct [a-z_]* *{|enum)/) {
                name = code
                sub(/\(.*/, "", name)
                sub(/.*[ *]/, "", name)
                last = name
                sub(/.*_/, "", last)
                if (comment == "" && decl !~ /\/\*/ && index(head, last) == 0)
                    print "#   " FILENAME ":" FNR ": " name " has no comment"
            }
            if (decl ~ /\/\*/ && decl !~ /\*\//) in_comment = 1
            decl = ""
            comment = ""
        }' "$1"
}
for header in include/switchyard/*.h; do
    say "$header: each function has a comment" "$(bare "$header")"
done

# ---- files ----

# Files of others, files that are made, and names that stand for any (NAME.c as well).
others=' llm.c term.h config.h r.h lua/a/b.lua x.lua '
named() { # FILE:NAME of each file that a comment names
    find src include lua -name '*.[ch]' -o -name '*.lua' -o -name '*.def' | sort |
        while read -r file; do
        "$AWK" -v lua="${file##*.}" '
            { text = "" }
            lua == "lua" { if (match($0, /--.*/)) text = substr($0, RSTART) }
            lua != "lua" && in_comment { text = $0; if (/\*\//) in_comment = 0 }
            lua != "lua" && !in_comment && match($0, /\/\*.*/) {
                text = text " " substr($0, RSTART); in_comment = $0 !~ /\*\/[^*]*$/ }
            {
                while (match(text, /[A-Za-z0-9_][A-Za-z0-9_\/-]*\.(c|h|lua|def|sh|mk)/)) {
                    after = substr(text, RSTART + RLENGTH, 1)
                    if (after !~ /[A-Za-z0-9_(]/)
                        print FILENAME ":" substr(text, RSTART, RLENGTH)
                    text = substr(text, RSTART + RLENGTH)
                }
            }' "$file"
    done
    grep -oE '[A-Za-z0-9_][A-Za-z0-9_/-]*\.(c|h|lua|def|sh|mk)\b' HACKING.md |
        sed 's/^/HACKING.md:/'
}
find src include lua tests bench examples man build-aux -type f > "${TMPDIR:-/tmp}/there.$$"
missing=$(named | sort -u | "$AWK" -F: -v others="$others" -v list="${TMPDIR:-/tmp}/there.$$" '
    BEGIN {
        while ((getline path < list) > 0) {
            count = split(path, part, "/")
            tail = ""
            for (i = count; i > 0; i--) {
                tail = part[i] (tail == "" ? "" : "/" tail)
                there[tail] = 1
            }
        }
    }
    !($2 in there) && $2 !~ /NAME/ && index(others, " " $2 " ") == 0 {
        print "#   " $1 " names " $2
    }')
rm -f "${TMPDIR:-/tmp}/there.$$"
say "the files that comments name are there" "$missing"

# ---- functions that are nowhere ----

calls() { grep -ohE '\bl?sy_[a-z0-9_]+\(' "$@" | sort -u; }
list="${TMPDIR:-/tmp}/defined.$$"
{
    find src -name '*.c' -exec cat {} + | calls -
    find src include -name '*.h' -exec grep -hE '\binline\b|#define' {} + | calls -
} | sort -u > "$list"
say "the functions that headers name are there" "$(find src include -name '*.h' -exec cat {} + |
    calls - | LC_ALL=C grep -vxFf "$list" | sed 's/^/#   /')"
rm -f "$list"
echo "1..$n"
exit $status
