#!/bin/sh
# kill -9 at random moments: `switchyard resume` leads to the very bits of a run that was never
# killed.  TAP.
# shellcheck disable=SC2016,SC2034  # conditions are evaluated in ok
# shellcheck source=tests/cli/lib.sh
. "${srcdir:-.}/tests/cli/lib.sh"
rounds=6
[ -n "${SY_TEST_FAST:-}" ] && rounds=3

cat > "$folder/train.lua" <<'END'
local d = data.string(("the quick brown fox jumps over the lazy dog. "):rep(200))
local m = model.moe{layers = 2, dim = 16, heads = 2, context = 16, experts = 4, top_k = 2,
  expert_dim = 16}
local r = train(m, d, {steps = 1500, batch = 4, eval_every = 300, eval_batches = 1,
  checkpoint_every = 40, name = arg[1],
                       paused = true})
r.lr = 2e-3 -- before the first step, so that a run that is killed early has it, too
r:resume()
END
# Two texts and pairs by shares that change, half of the rows as spans: a part keeps its own place.
cat > "$folder/mix.lua" <<'END'
local tok = tokenizer.bytes{sentinels = 20, pad = true}
local path = arg[0]:gsub("mix.lua$", "pairs.tsv")
local function text(words) return data.string(words:rep(200), {tokenizer = tok}) end
local f = io.open(path, "w")
for i = 1, 60 do
  local w = string.char(97 + i % 26, 97 + i // 26)
  f:write(("de\tdie %s datei\tthe %s file\n"):format(w, w))
end
f:close()
local d = data.mix{{text "the quick brown fox ", 2, name = "fox"},
  {text "jumps over the lazy dog ", 1, name = "dog"},
  {assert(data.pairs(path, {to = "en", tokenizer = tok})), 1, name = "pairs"}}
local m = model.moe{layers = 1, dim = 16, heads = 2, context = 64, experts = 4, top_k = 2,
  expert_dim = 16, vocab = tok}
local r = train(m, d, {steps = 300, batch = 4, objective = {span = 1, next = 1}, eval_every = 60,
  eval_batches = 1, checkpoint_every = 10, name = arg[1], sampling = "epoch", paused = true})
r.mix = {1, 1, 2} -- before the first step, so that a run that is killed early has it, too
r:resume()
END
cat > "$folder/hash.lua" <<'END'
local engine = require "switchyard.engine"
local path = assert(engine.find_checkpoint(engine.runs_dir() .. "/" .. arg[1]))
local image = assert(engine.read_checkpoint(path))
print(image.step, image.hash)
END

# killed SECONDS COMMAND...: kill -9 after some time; 0 when it was still running
killed()
{
    seconds=$1
    shift
    "$SWITCHYARD" --runs "$folder/runs" "$@" > "$folder/out" 2>&1 &
    pid=$!
    sleep "$seconds"
    kill -s KILL "$pid" 2> /dev/null
    wait "$pid" 2> /dev/null
    [ $? -eq 137 ]
}

seed=$$
now() { echo $(($(date +%s%N) / 1000000)); } # in milliseconds
# random FROM TO: so many percent of $took, the milliseconds of a whole run, as seconds in $delay:
# a fast machine is killed in the middle, too
random()
{
    seed=$(((seed * 1103515245 + 12345) % 2147483648))
    delay=$((took * ($1 + seed / 65536 % ($2 - $1)) / 100))
    delay=$(printf '%d.%03d' $((delay / 1000)) $((delay % 1000)))
}

# survives SCRIPT STEPS ROUNDS: killed and resumed it comes to the bits of one that never was
survives()
{
    script=$folder/$1.lua
    took=$(now)
    "$SWITCHYARD" --runs "$folder/runs" "$script" "whole-$1" > "$folder/out" 2>&1
    ok "[ $? -eq 0 ]" "$1: a run that is never killed"
    took=$(($(now) - took))
    want=$("$SWITCHYARD" --runs "$folder/runs" "$folder/hash.lua" "whole-$1")
    ok "[ '${want%	*}' = $2 ]" "$1: its last checkpoint: $want"
    round=0
    kills=0
    while [ $round -lt "$3" ]; do
        round=$((round + 1))
        rm -rf "$folder/runs/once"
        random 20 60
        killed "$delay" "$script" once && kills=$((kills + 1))
        if ! "$SWITCHYARD" --runs "$folder/runs" -e 'runs "once"' 2> /dev/null; then
            echo "# round $round: killed before the run was there" # where its name is free
            "$SWITCHYARD" --runs "$folder/runs" "$script" once > "$folder/out" 2>&1
        elif ! "$SWITCHYARD" --runs "$folder/runs" -e 'quit(#runs("once"):journal() > 0)'; then
            echo "# round $round: killed before the first change" # another run than ours
            rm -rf "$folder/runs/once"
            "$SWITCHYARD" --runs "$folder/runs" "$script" once > "$folder/out" 2>&1
        fi
        for again in 1 2 3; do
            random 5 35
            killed "$delay" resume once && kills=$((kills + 1))
        done
        "$SWITCHYARD" --runs "$folder/runs" resume once > "$folder/out" 2>&1
        code=$?
        got=$("$SWITCHYARD" --runs "$folder/runs" "$folder/hash.lua" once)
        ok '[ $code -eq 0 ] && [ "$got" = "$want" ]' "$1: round $round: $got"
    done
    ok '[ $kills -gt 0 ]' "$1: $kills kills"
    "$SWITCHYARD" --runs "$folder/runs" replay once > "$folder/out" 2>&1
    ok '[ "$(tail -n 1 "$folder/out")" = "identical through step '"$2"'" ]' \
        "$1: replay of the one that was killed: $(tail -n 1 "$folder/out")"
}
survives train 1500 $rounds
survives mix 300 $((rounds / 3 + 1))

# ---- killed among changes, rewinds and forks: whatever is left replays ----

cat > "$folder/wild.lua" <<'END'
local d = data.synthetic{domains = 4, tokens = 20000, seed = 1}
local m = model.moe{layers = 1, dim = 16, heads = 2, context = 16, vocab = d.vocab, experts = 4,
  top_k = 2, expert_dim = 16}
r = train(m, d, {steps = 100000, batch = 2, checkpoint_every = 20, eval_every = 0, name = arg[1],
  keep = 3})
local x = tonumber(arg[2])
local function random(n) x = (x * 1103515245 + 12345) % 2147483648 return x // 65536 % n + 1 end
for i = 1, 1000 do
  r:wait(r.step + random(60))
  r.lr = random(10) * 1e-4
  if random(3) == 1 then r.batch = random(3) end
  r:wait(r.step + random(30))
  r:rewind(math.max(0, r.step - random(80)))
  if random(4) == 1 then
    local step = math.max(0, r.step - random(20))
    r:fork{name = arg[1] .. "-" .. i, step = step, paused = true}:close()
  end
  r:resume()
end
END
round=0
while [ $round -lt $((rounds / 2)) ]; do
    round=$((round + 1))
    took=1000
    random 100 133
    killed "$delay" "$folder/wild.lua" "wild$round" $seed
    # before it was there
    "$SWITCHYARD" --runs "$folder/runs" -e "runs 'wild$round'" 2> /dev/null || continue
    "$SWITCHYARD" --runs "$folder/runs" -e "
        local r = train.resume('wild$round', {paused = true})
        r.steps = r.step + 30
        r:resume():wait()" > "$folder/out" 2>&1
    ok "[ $? -eq 0 ]" "wild $round: resumed"
done
for run in "$folder"/runs/wild*; do
    [ -e "$run/run.sqlite" ] || continue # killed while it was made, as what the next line says
    ! "$SWITCHYARD" --runs "$folder/runs" -e "runs '${run##*/}'" 2>&1 |
        grep -q 'creation was not finished' || continue
    "$SWITCHYARD" --runs "$folder/runs" replay "${run##*/}" > "$folder/out" 2>&1
    ok 'grep -q "^identical through step" "$folder/out"' "${run##*/}: $(tail -n 1 "$folder/out")"
done

finish
