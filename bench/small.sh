#!/bin/sh
# Small costs: start of the program, one eager operation, byte-pair encoding: one table.
#
#     bench/small.sh [TEXT for the tokenizer]
#
# Environment: SWITCHYARD as in bench/train.sh; BPE (the program bench/bpe, of `make bench`; else
# beside the binary or under ./bench).  "*": the target beside it is met.
# shellcheck source=bench/lib.sh
. "$(dirname "$0")/lib.sh"
bpe=${BPE:-}
[ -n "$bpe" ] || { [ -x ./bench/bpe ] && bpe=./bench/bpe; } || bpe=$(dirname "$yard")/bench/bpe

# line NAME VALUE UNIT AIM most|least
line() {
    awk -v name="$1" -v v="$2" -v unit="$3" -v aim="$4" -v kind="$5" 'BEGIN {
        ok = kind == "most" ? v <= aim : v >= aim
        printf "%-34s %8.2f %-5s (at %s %g)%s\n", name, v, unit, kind, aim, ok ? " *" : ""
    }'
}

# Milliseconds of a start and an end, one a line, of 41.
starts() {
    i=0
    while [ "$i" -lt 41 ]; do
        i=$((i + 1))
        begin=$(date +%s%N)
        "$yard" -E -e 'print(1)' > /dev/null
        echo $(($(date +%s%N) - begin))
    done
}
starts | middle | awk '{ print $1 / 1e6 }' > "$dir/start"
line "start and end, -e 'print(1)'" "$(cat "$dir/start")" ms 20 most

# Processor time of this thread's million sums, best of five: operations of this size use no pool.
"$yard" -E -e '
local a, b = tensor.randn(4, 4), tensor.randn(4, 4)
local best = math.huge
for _ = 1, 5 do
  local n, t = 200000, os.clock()
  for _ = 1, n do local _ = a + b end
  best = math.min(best, (os.clock() - t) / n)
end
print(best * 1e6)' > "$dir/eager"
line "eager a + b, (4, 4)" "$(cat "$dir/eager")" us 2 most

if [ -x "$bpe" ]; then
    "$bpe" "$@" > "$dir/bpe"
    # "train vocab N threads N S s M MB/s ..."; the figures of one thread are a core's
    for what in train encode; do
        aim=15
        [ $what = train ] || aim=30
        speed=$(sed -n "s/^$what .* threads 1 .* \([0-9.]*\) MB\/s.*/\1/p" "$dir/bpe")
        line "BPE $what, one thread" "$speed" MB/s "$aim" least
    done
    head -n 1 "$dir/bpe"
else
    echo "small.sh: no $bpe (make bench): tokenizer not measured" >&2
fi
