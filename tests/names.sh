#!/bin/sh
# A function's name carries what it acts on: not `fail`, but `fail_order`.  Fails on each function
# of src/ that is named by one of these words alone.  Free of it are members of a table under the
# table's own words: kernels (src/cpu), and an optimizer's `step` and `work`.
# shellcheck disable=SC2016 # the $s in quotes are awk's
set -u
cd "${srcdir:-.}" || exit 99
# shellcheck source=tests/say.sh
. tests/say.sh

bare='accept|add|again|append|apply|ask|at|attempt|bad|before|begin|between|call|check|choose'
bare="$bare|clear|close|collect|commit|compare|complete|connect|copy|cut|declare|deliver|derive"
bare="$bare|detach|do|done|drop|due|each|empty|end|enter|eval|exchange|exec|fail|failed"
bare="$bare|fetch|fill|find|finish|first|follow|follows|forget|form|format|free|get|give|go|grow"
bare="$bare|handle|has|init|insert|join|judge|keep|keeps|last|leave|load|lookup|make|mark|match"
bare="$bare|measure|merge|missing|move|needed|new|next|note|nothing|obey|open|parse|peek|place"
bare="$bare|pop|prepare|push|put|read|record|refuse|remember|remove|replace|report|request"
bare="$bare|reserve|reset|resume|retire|run|same|save|say|scan|search|send|set|settle|show|start"
bare="$bare|starts|step|stop|store|suspend|take|taken|task|tell|terminate|touch|trim|turn|unlock"
bare="$bare|update|use|visit|wait|wake|walk|work|worse|wrap|write|wrong"

functions() { # FILE:NAME of each definition
    find src -name '*.[ch]' ! -path 'src/cpu/*/*' | sort | xargs awk '
        /^[a-z_].*[ *][a-z0-9_]+\(/ && !/;[ \t]*$/ {
            name = $0
            sub(/\(.*/, "", name)
            sub(/.*[ *]/, "", name)
            print FILENAME ":" name
        }'
}
all=$(functions)
count=$(printf '%s\n' "$all" | grep -c .)
say "there are functions" "$([ "$count" -ge 1000 ] || echo "#   $count")"
say "a function is named for what it acts on" "$(printf '%s\n' "$all" | grep -E ":($bare)\$" |
    grep -vE '^src/train/optimizers/[a-z]*\.c:(step|work)$' | sed 's/^/#   /')"
echo "1..$n"
exit $status
