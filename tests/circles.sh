#!/bin/sh
# No two object files need each other: the archives' members as a graph of undefined symbols and
# their definitions, taken apart from its leaves on.  What is left, and the symbols that tie it,
# fails. One TAP case a library that is in a circle, or one for all.
#
# The op table names what it registers (src/ops/ops.def), so its own needs do not count.
# shellcheck disable=SC2016 # the $s in quotes are awk's
set -u
cd "${builddir:-.}" || exit 99
NM=${NM:-nm}
libs=${SY_ALL_LIBS:?}
case $(cat -- config.status 2> /dev/null | grep -c -- '-flto') in
0) ;;
*) echo "1..0 # SKIP members of archives are not objects under LTO"; exit 0 ;;
esac

# shellcheck disable=SC2086 # a list
"$NM" -A -P $libs 2> /dev/null |
    "${AWK:-awk}" -v exempt="${SY_CIRCLES_EXEMPT-libops.a[op_table.o]}" '
# libbase.a[mem.o]: NAME TYPE ...
{ object = $1; sub(/:$/, "", object); sub(/\[lib[a-z0-9_]*_a-/, "[", object)
  if (object != last) {
      last = object
      if (!(object in number)) { number[object] = ++n; name[n] = object }
  }
  if ($3 == "U") { if (object != exempt) needs[++k] = object SUBSEP $2 }
  else if ($3 ~ /^[TDRBVWC]$/) home[$2] = object }
END {
    for (i = 1; i <= k; i++) {
        split(needs[i], part, SUBSEP)
        to = (part[2] in home) ? home[part[2]] : ""
        if (to == "" || to == part[1]) continue
        edge = part[1] SUBSEP to
        if (!(edge in ties)) { edges[++m] = edge; out[part[1]]++; into[to]++ }
        ties[edge] = ties[edge] " " part[2]
    }
    do { # who needs nothing that is left, or is needed by nobody that is left, is in no circle
        changed = 0
        for (i = 1; i <= m; i++) {
            if (dead[i]) continue
            split(edges[i], part, SUBSEP)
            if (out[part[2]] && into[part[1]]) continue
            dead[i] = 1; out[part[1]]--; into[part[2]]--; changed = 1
        }
    } while (changed)
    for (i = 1; i <= m; i++)
        if (!dead[i]) {
            split(edges[i], part, SUBSEP)
            left = left "#   " part[1] " needs " part[2] ":" ties[edges[i]] "\n"
        }
    if (n < 20) { print "not ok 1 - nm has read only " n + 0 " objects"; print "1..1"; exit 1 }
    print (left == "" ? "ok" : "not ok") " 1 - no circle among " n " object files"
    printf "%s", left
    print "1..1"
    exit left != ""
}'
