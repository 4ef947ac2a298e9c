#!/bin/sh
# Every #include of src/ and include/ against tests/layers.txt.  One TAP case a file, so that the
# log names the file; a case fails with the include and the rule.  Two more: what is permitted is
# used, and goes one way.
# shellcheck disable=SC2016 # the $s in quotes are awk's
set -u
srcdir=${srcdir:-.}
cd "$srcdir" || exit 99

includes='s/^[[:space:]]*#[[:space:]]*include[[:space:]]*\([<"]\)\([^>"]*\)[>"].*/include \1 \2/p'
{
    cat tests/layers.txt
    for file in src/*/*.c; do
        stem=${file##*/}
        folder=${file#src/}
        echo "source ${stem%.c} ${folder%%/*}"
    done
    find src include -name '*.[ch]' -o -name '*.def' | sort | while read -r file; do
        echo "file $file"
        sed -n "$includes" "$file"
    done
} | "${AWK:-awk}" '
function layer_of(file, part) {
    split(file, part, "/")
    if (part[1] == "include") return public_layer(part[3])
    if (part[3] == "") return "main"
    return room(part[2], part[3])
}
function room(folder, next_part) { # bind/run, where layers.txt tells rooms of a folder apart
    return (folder "/" next_part) in allowed ? folder "/" next_part : folder
}
function public_layer(name, stem) {
    if (name in header) return header[name]
    stem = name
    sub(/\.h$/, "", stem)
    if (stem in allowed) return stem
    return stem in home ? home[stem] : "?" name
}
function permitted(from, to) {
    return from == to || index(" " allowed[from] " ", " " to " ") > 0
}
function complain(text) { problems = problems "#   " text "\n" }
function finish() {
    if (file == "") return
    n++
    printf "%s %d - %s\n%s", problems == "" ? "ok" : "not ok", n, file, problems
    if (problems != "") bad = 1
}
function check_local(name, part, to) {
    if (name == "config.h") return
    split(name, part, "/")
    if (part[2] == "") { complain("\"" name "\": include as \"folder/file.h\""); return }
    to = part[1] == "switchyard" ? public_layer(part[2]) : room(part[1], part[2])
    used[from, to] = 1
    if (!(to in allowed)) complain("\"" name "\": no layer " to " in tests/layers.txt")
    else if (!permitted(from, to)) complain("\"" name "\": " from " may not include " to)
    else if (file ~ /^include\// && part[1] != "switchyard")
        complain("\"" name "\": a public header may include public headers only")
}
function check_system(name, places, i, k) {
    if (!(name in only)) return
    k = split(only[name], places, " ")
    for (i = 1; i <= k; i++)
        if (file == places[i] || index(file, places[i] "/") == 1) return
    complain("<" name ">: only " only[name] " may include it")
}
/^#/ || /^$/ { next }
$1 == "layer" { name = $2; sub(/:$/, "", name); sub(/^[^:]*:[ ]*/, ""); allowed[name] = $0; next }
$1 == "header" { name = $2; sub(/:$/, "", name); header[name] = $3; next }
$1 == "source" { home[$2] = $3; next }
$1 == "only" {
    split($0, half, ":")
    sub(/^[ ]*/, "", half[2])
    k = split(half[1], names, " ")
    for (i = 2; i <= k; i++) only[names[i]] = half[2]
    next
}
$1 == "file" {
    finish()
    file = $2; problems = ""; from = layer_of(file)
    if (!(from in allowed)) complain("no layer " from " in tests/layers.txt")
    next
}
$1 == "include" { if ($2 == "<") check_system($3); else check_local($3) }
function check_used(from, list, k, i) {
    for (from in allowed) {
        k = split(allowed[from], list, " ")
        for (i = 1; i <= k; i++)
            if (!((from, list[i]) in used))
                complain("layer " from " need not be permitted " list[i])
    }
    file = "what is permitted is used"
}
# Take away who needs nobody that is left.
function check_one_way(from, list, k, i, left, changed, free) {
    for (from in allowed) left[from] = 1
    do {
        changed = 0
        for (from in left) {
            free = 1
            k = split(allowed[from], list, " ")
            for (i = 1; i <= k; i++) if (list[i] in left && list[i] != from) free = 0
            if (free) { delete left[from]; changed = 1; break }
        }
    } while (changed)
    for (from in left) complain("layer " from " is in, or above, a circle: " allowed[from])
    file = "layers go one way"
}
END {
    finish()
    problems = ""; check_used(); finish()
    problems = ""; check_one_way(); finish()
    printf "1..%d\n", n
    exit bad
}'
