#!/bin/sh
# Whole training steps of an encoder-decoder, ours against PyTorch's best variant, alternating.
#
#     bench/encdec.sh ["D1 D2"] ["fp32 bf16"] [ROUNDS, 3]
#
# Environment: as train.sh: SWITCHYARD, PYTHON, THREADS, PEER_SECONDS (12 a round), STEPS (12).  A
# line is of medians over the rounds; the ratio is that of the times of a step.
# shellcheck source=bench/lib.sh
. "$(dirname "$0")/lib.sh"

median() { field "$1" < "$2" | middle; } # NAME FILE

peer() { # shape precision file variant seconds
    "$python" "$here/peers/encdec_torch.py" --shape "$1" --precision "$2" --variant "$4" \
        --threads "$threads" --seconds "$5" --try-seconds "${TRY_SECONDS:-3}" --json >> "$3"
}

if has_torch encdec.sh; then have_peer=yes; else have_peer=no; fi
echo "training steps, $threads threads, medians; ms, GFLOP/s, share of peak; PyTorch's; ratio"
for shape in ${1:-D1 D2}; do
    for precision in ${2:-fp32 bf16}; do
        ours=$dir/$shape.$precision.ours theirs=$dir/$shape.$precision.peer variant=
        : > "$ours"
        : > "$theirs"
        if [ $have_peer = yes ]; then
            peer "$shape" "$precision" "$dir/try" best 1
            variant=$(field variant < "$dir/try" | tail -n 1)
        fi
        i=0
        while [ "$i" -lt "${3:-3}" ]; do
            i=$((i + 1))
            "$yard" --threads "$threads" "$here/encdec.lua" "$shape" "$precision" "${STEPS:-12}" |
                grep '^{' >> "$ours"
            [ -z "$variant" ] ||
                peer "$shape" "$precision" "$theirs" "$variant" "${PEER_SECONDS:-12}"
            say "$shape $precision $i: ours $(tail -n 1 "$ours" | field step_s) s," \
                "PyTorch $variant $(tail -n 1 "$theirs" | field step_s) s"
        done
        awk -v shape="$shape" -v precision="$precision" -v ours="$(median step_s "$ours")" \
            -v gflops="$(median gflops "$ours")" -v share="$(median share "$ours")" \
            -v variant="${variant:--}" -v theirs="$(median step_s "$theirs")" 'BEGIN {
                printf "%-3s %-4s %8.1f %7.1f %4.0f%%  %-22s %8s %5s\n", shape, precision,
                    1e3 * ours, gflops, 100 * share, variant,
                    (theirs > 0) ? sprintf("%.1f", 1e3 * theirs) : "-",
                    (theirs > 0) ? sprintf("%.2f", theirs / ours) : "-"
            }'
    done
done
