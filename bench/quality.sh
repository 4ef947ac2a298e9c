#!/bin/sh
# Quality and time: nanoGPT's CPU recipe (4 layers, 128 wide, context 64, 12 sequences a step, 2,000
# steps on a text's characters) in PyTorch against examples/shakespeare.lua, dense and mixture of
# experts of equal active size, at equal tokens: one table.
#
#     bench/quality.sh TEXT [STEPS, 2000] [ROUNDS, 1]
#
# Environment: SWITCHYARD, PYTHON, THREADS as in bench/train.sh.  A round is one run of each; losses
# are the final parameters' on 200 random batches of the last tenth of the text, seconds are
# medians. nanoGPT's seconds are its steps and its evaluations of 20 batches every 250 steps; ours
# are the whole process: start, steps, the same evaluations, those 200 batches, and a sample of 300
# characters.
# shellcheck source=bench/lib.sh
. "$(dirname "$0")/lib.sh"

text=${1:?usage: bench/quality.sh TEXT [STEPS] [ROUNDS]}
steps=${2:-2000}
rounds=${3:-1}

median() { awk -v c="$1" '{ print $c }' "$2" | middle; } # COLUMN FILE

# Lines of "final loss, last loss of the curve, seconds, parameters in millions" for one program.
nanogpt() {
    "$python" "$here/peers/nanogpt.py" "$text" --steps "$steps" --threads "$threads" \
        --json > "$dir/out"
    echo "$(field final_val_loss < "$dir/out") $(field val_loss < "$dir/out")" \
        "$(field seconds < "$dir/out") $(field params < "$dir/out" | awk '{ print $1 / 1e6 }')" \
        >> "$dir/nanogpt"
}

ours() { # dense or moe
    begin=$(date +%s%N)
    "$yard" --runs "$dir/runs" --threads "$threads" "$here/../examples/shakespeare.lua" "$text" \
        "$1" "$steps" > "$dir/out"
    end=$(date +%s%N)
    loss=$(sed -n 's/.*: validation loss \([0-9.]*\).*/\1/p' "$dir/out")
    last=$(sed -n 's/^step .* val \([0-9.]*\).*/\1/p' "$dir/out" | tail -n 1)
    size=$(sed -n 's/.*: \([0-9.]*\) M parameters.*/\1/p' "$dir/out" | head -n 1)
    echo "$loss $last $(((end - begin) / 1000000)) $size" | awk '{ $3 /= 1000; print }' >> "$dir/$1"
}

row() { # label file
    printf '%-28s %9.4f %9.4f %9.1f %9.2f\n' "$1" "$(median 1 "$2")" "$(median 2 "$2")" \
        "$(median 3 "$2")" "$(median 4 "$2")"
}

names='dense moe'
if has_torch quality.sh; then names="nanogpt $names"; fi
i=0
while [ "$i" -lt "$rounds" ]; do
    i=$((i + 1))
    for name in $names; do
        case $name in
        nanogpt) nanogpt ;;
        *) ours "$name" ;;
        esac
        figures=$(tail -n 1 "$dir/$name" | cut -d ' ' -f 1,3)
        say "round $i/$rounds: $name: loss and seconds $figures"
    done
done

echo "$steps steps of 768 tokens, $threads threads, $rounds rounds"
echo "                              val loss at the end   seconds  M params"
[ ! -f "$dir/nanogpt" ] || row "nanoGPT's recipe, PyTorch" "$dir/nanogpt"
row "switchyard, model.dense" "$dir/dense"
row "switchyard, model.moe" "$dir/moe"
[ -f "$dir/nanogpt" ] || exit 0
awk -v nl="$(median 1 "$dir/nanogpt")" -v ns="$(median 3 "$dir/nanogpt")" \
    -v dl="$(median 1 "$dir/dense")" -v ds="$(median 3 "$dir/dense")" \
    -v ml="$(median 1 "$dir/moe")" '
    function said(yes) { return yes ? "met" : "not met" }
    BEGIN {
        printf "dense at or below nanoGPT: %s;  in at most 2/3 of its time (%.2f): %s;  " \
            "MoE below dense: %s\n",
            said(dl <= nl), ds / ns, said(ds <= ns * 2 / 3), said(ml < dl)
    }'
