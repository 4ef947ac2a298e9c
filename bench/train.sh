#!/bin/sh
# Whole training steps, ours against PyTorch's best variant, alternating in one run: one table.
#
#     bench/train.sh ["R1 R2 R3 R4 R5"] ["fp32 bf16"] [ROUNDS, 3]
#
# Environment: SWITCHYARD (the binary; else ./switchyard, else the one in PATH), PYTHON (with torch;
# without one only our figures), THREADS (default: all processors), PEER_SECONDS (12 a round), STEPS
# (a round of ours; default by shape), TEXT (a file that both train on; "random": a megabyte of
# random bytes, which loads the freshly drawn routers more evenly; default: the common licences).
#
# A round is one process of ours and one of PyTorch's, of the variant that a quick run of all of
# them found fastest at the start.  Columns are medians over the rounds, the ratio is that of tokens
# a second, RSS the most of a process.  "*": the target beside it is met.  Progress: standard error.
# shellcheck source=bench/lib.sh
. "$(dirname "$0")/lib.sh"

shapes=${1:-R1 R2 R3 R4 R5}
precisions=${2:-fp32 bf16}
rounds=${3:-3}
text=${TEXT:-}
if [ "$text" = random ]; then
    text=$dir/random
    head -c 1000000 /dev/urandom > "$text"
fi

median() { field "$1" < "$2" | middle; } # NAME FILE: of that field over its lines

steps_of() {
    case $1 in
    R1 | R3) echo 8 ;;
    R2 | R4) echo 14 ;;
    *) echo 200 ;;
    esac
}

ours() { # shape precision file
    "$yard" --threads "$threads" "$here/train.lua" "$1" "$2" "${STEPS:-$(steps_of "$1")}" \
        ${text:+"$text"} | grep '^{' >> "$3"
}

peer() { # shape precision file variant seconds [more options]
    shape=$1 precision=$2 out=$3 variant=$4 seconds=$5
    shift 5
    "$python" "$here/peers/moe_torch.py" --shape "$shape" --precision "$precision" --variant \
        "$variant" --threads "$threads" --seconds "$seconds" --json ${text:+--text "$text"} "$@" \
        >> "$out"
}

# Targets: share of peak, times PyTorch, RSS in GB (0: none).
targets() {
    case $1.$2 in
    R1.fp32) echo 75 1.4 1.8 ;; R1.bf16) echo 55 1.5 1.8 ;;
    R2.fp32) echo 65 1.9 0 ;;   R2.bf16) echo 40 2.0 0 ;;
    R3.fp32) echo 40 1.25 5.4 ;; R3.bf16) echo 20 1.5 5.4 ;;
    R4.fp32) echo 80 1.5 0 ;;   R4.bf16) echo 60 1.15 0 ;;
    R5.fp32) echo 50 1.35 0 ;;  *) echo 25 1.4 0 ;;
    esac
}

row() { # shape precision files
    # shellcheck disable=SC2046
    set -- "$1" "$2" "$3" "$4" $(targets "$1" "$2")
    variant=$(field variant < "$4" | tail -n 1)
    awk -v shape="$1" -v precision="$2" -v share_aim="$5" -v ratio_aim="$6" -v rss_aim="$7" \
        -v ours="$(median gflops "$3")" -v peak="$(median peak_gflops "$3")" \
        -v share="$(median share "$3")" -v step="$(median step_s "$3")" \
        -v tok="$(median tok_s "$3")" -v load="$(median load_max_mean "$3")" \
        -v rss="$(field rss_gb < "$3" | sort -g | tail -n 1)" -v variant="${variant:--}" \
        -v theirs="$(median gflops "$4")" -v their_tok="$(median tok_s "$4")" \
        -v their_rss="$(field rss_gb < "$4" | sort -g | tail -n 1)" '
        function met(yes) { return yes ? "*" : " " }
        BEGIN {
            have = their_tok > 0
            ratio = have ? tok / their_tok : 0
            printf "%-3s %-4s %8.1f %7.1f %8.1f %4.0f%% (%2d)%s  %-16s %7s %5s (%4.2f)%s " \
                "%6.2f / %-5s%s %5.2f\n",
                shape, precision, 1e3 * step, ours, peak, 100 * share, share_aim,
                met(100 * share >= share_aim), variant, have ? sprintf("%.1f", theirs) : "-",
                have ? sprintf("%.2f", ratio) : "-", ratio_aim, met(have && ratio >= ratio_aim),
                rss,
                have ? sprintf("%.2f", their_rss) : "-", met(rss_aim && rss <= rss_aim), load
        }'
}

if has_torch train.sh; then have_peer=yes; else have_peer=no; fi

for shape in $shapes; do
    for precision in $precisions; do
        our_file=$dir/$shape.$precision.ours peer_file=$dir/$shape.$precision.peer
        : > "$our_file"
        : > "$peer_file"
        variant=
        if [ $have_peer = yes ]; then
            say "$shape $precision: the fastest variant of PyTorch"
            peer "$shape" "$precision" "$dir/try" best 1 --try-seconds "${TRY_SECONDS:-3}"
            variant=$(field variant < "$dir/try" | tail -n 1)
        fi
        i=0
        while [ "$i" -lt "$rounds" ]; do
            i=$((i + 1))
            ours "$shape" "$precision" "$our_file"
            say "$shape $precision $i/$rounds: ours $(tail -n 1 "$our_file" | field gflops)" \
                "of $(tail -n 1 "$our_file" | field peak_gflops) GFLOP/s"
            [ -n "$variant" ] || continue
            peer "$shape" "$precision" "$peer_file" "$variant" "${PEER_SECONDS:-12}"
            say "$shape $precision $i/$rounds: PyTorch $variant" \
                "$(tail -n 1 "$peer_file" | field gflops) GFLOP/s"
        done
        row "$shape" "$precision" "$our_file" "$peer_file" >> "$dir/table"
    done
done

echo "training steps, $threads threads, medians of $rounds rounds; GFLOP/s; (target), * met"
printf '          step ms    ours     peak  share        '
echo "PyTorch's best   GFLOP/s ratio          RSS GB ours/theirs  load"
cat "$dir/table"
