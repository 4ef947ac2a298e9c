# What the scripts beside it share, which source it.
#
#   $here $python $threads $yard    this folder; PYTHON, THREADS and SWITCHYARD of the environment,
#                                   or what is found
#   $dir                            a folder that goes at the end
#   say TEXT...                     to standard error
#   has_torch SCRIPT                whether there is PyTorch; says so if not
#   field NAME < JSON               one value of an object a line
#   middle < NUMBERS                their median
# shellcheck shell=sh disable=SC2034
set -eu
here=$(cd "$(dirname "$0")" && pwd)
python=${PYTHON:-python3}
threads=${THREADS:-$(getconf _NPROCESSORS_ONLN)}
yard=${SWITCHYARD:-}
[ -n "$yard" ] || { [ -x ./switchyard ] && yard=./switchyard; } || yard=switchyard
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
trap 'exit 130' INT TERM

say() { printf '%s\n' "$*" >&2; }
field() { sed -n 's/.*"'"$1"'": *"\{0,1\}\([^",}]*\).*/\1/p'; }
middle()
{
    sort -g | awk '{ v[NR] = $1 }
        END { if (NR) print NR % 2 ? v[(NR + 1) / 2] : (v[NR / 2] + v[NR / 2 + 1]) / 2 }'
}
has_torch()
{
    "$python" -c 'import torch' 2> /dev/null && return
    say "$1: $python has no torch (set PYTHON): our figures alone"
    return 1
}
