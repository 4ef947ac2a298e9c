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
cat > "$folder/hash.lua" <<'END'
local engine = require "switchyard.engine"
local path = assert(engine.find_checkpoint(engine.runs_dir() .. "/" .. arg[1]))
local image = assert(engine.read_checkpoint(path))
print(image.step, image.hash)
END

"$SWITCHYARD" --runs "$folder/runs" "$folder/train.lua" whole > "$folder/out" 2>&1
ok "[ $? -eq 0 ]" 'a run that is never killed'
want=$("$SWITCHYARD" --runs "$folder/runs" "$folder/hash.lua" whole)
ok '[ "${want%	*}" = 1500 ]' "its last checkpoint: $want"

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
random() # a fraction of a second in $delay: 0.03 to 0.33
{
    seed=$(((seed * 1103515245 + 12345) % 2147483648))
    delay=$(printf '0.%02d' $((3 + seed / 65536 % 30)))
}

round=0
kills=0
while [ $round -lt $rounds ]; do
    round=$((round + 1))
    rm -rf "$folder/runs/once"
    random
    killed "0.$((3 + round % 3))" "$folder/train.lua" once && kills=$((kills + 1))
    if ! "$SWITCHYARD" --runs "$folder/runs" -e 'runs "once"' 2> /dev/null; then
        echo "# round $round: killed before the run was there" # where its name is free
        "$SWITCHYARD" --runs "$folder/runs" "$folder/train.lua" once > "$folder/out" 2>&1
    elif ! "$SWITCHYARD" --runs "$folder/runs" -e 'quit(#runs("once"):journal() > 0)'; then
        echo "# round $round: killed before the learning rate was set" # another run than ours
        rm -rf "$folder/runs/once"
        "$SWITCHYARD" --runs "$folder/runs" "$folder/train.lua" once > "$folder/out" 2>&1
    fi
    for again in 1 2 3; do
        random
        killed "$delay" resume once && kills=$((kills + 1))
    done
    "$SWITCHYARD" --runs "$folder/runs" resume once > "$folder/out" 2>&1
    code=$?
    got=$("$SWITCHYARD" --runs "$folder/runs" "$folder/hash.lua" once)
    ok '[ $code -eq 0 ] && [ "$got" = "$want" ]' "round $round: $got"
done
ok '[ $kills -gt 0 ]' "$kills kills"
"$SWITCHYARD" --runs "$folder/runs" replay once > "$folder/out" 2>&1
ok '[ "$(tail -n 1 "$folder/out")" = "identical through step 1500" ]' \
    "replay of the one that was killed: $(tail -n 1 "$folder/out")"

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
    random
    killed "1.${delay#0.}" "$folder/wild.lua" "wild$round" $seed
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
