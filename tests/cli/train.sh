#!/bin/sh
# Training from scripts: what ends it, with which status, and what it prints.  TAP.
# shellcheck disable=SC2016,SC2317,SC2034  # conditions are evaluated in ok
# shellcheck source=tests/cli/lib.sh
. "${srcdir:-.}/tests/cli/lib.sh"
SWITCHYARD_RUNS=$folder/kept

cat > "$folder/train.lua" <<'END'
local steps, lr = tonumber(arg[1]), tonumber(arg[2] or "1e-3")
local d = data.string(("the quick brown fox jumps over the lazy dog. "):rep(200))
local m = model.moe{layers = 2, dim = 32, heads = 2, context = 32, experts = 4, top_k = 2,
  expert_dim = 32}
r = train(m, d, {steps = steps, batch = 8, lr = lr, eval_every = 10, eval_batches = 1,
  name = "a-run", clip = 0, warmup = 0})
if arg[3] == "wait" then r:wait() end
if arg[3] == "hook" then
  every(r, 1, function()
    print "in the hook"
    io.stdout:flush()
    while true do end
  end)
end
END

run()
{
    rm -rf "$SWITCHYARD_RUNS"
    "$SWITCHYARD" "$@" > "$folder/out" 2> "$folder/err"
    code=$?
}

# whole FILE: it ends with a newline
whole()
{
    [ ! -s "$1" ] || [ "$(tail -c 1 "$1" | od -An -c | tr -d ' ')" = '\n' ]
}

# ---- statuses ----

run "$folder/train.lua" 20
ok '[ $code -eq 0 ]' 'a run that is done: status 0'
ok 'grep -q "^step 20/20  loss [0-9.]*  val [0-9.]*  lr [^ ]*  tok/s [0-9]*" "$folder/out"' \
    'its last line'
ok 'whole "$folder/out"' 'whole lines'
run "$folder/train.lua" 50 1e6
ok '[ $code -eq 1 ]' 'a run that failed: status 1'
ok '[ "$(grep -c "failed: step [0-9]*: .*not finite" "$folder/out")" -eq 1 ]' 'one line says so'
run -e 'error "oops"' "$folder/train.lua" 100000
ok '[ $code -eq 1 ]' 'an error in a script: status 1'
run "$folder/train.lua" 100000 -1 wait
ok '[ $code -eq 1 ]' 'a wrong option: status 1'

# ---- signals ----

# interrupted SIGNAL LINE ARGS...: start, wait for the line, send, wait; sets code and taken (ms)
interrupted()
{
    signal=$1 line=$2
    shift 2
    front=
    [ "$signal" != INT ] || front=in_front
    : > "$folder/out"
    rm -rf "$SWITCHYARD_RUNS"
    $front "$SWITCHYARD" "$@" > "$folder/out" 2> "$folder/err" &
    pid=$!
    comes "$folder/out" "$line"
    before=$(date +%s%N)
    kill -s "$signal" "$pid"
    wait "$pid"
    code=$?
    taken=$((($(date +%s%N) - before) / 1000000))
}

if can_front; then
    for how in exit wait hook; do
        line='^step '
        [ $how != hook ] || line='^in the hook$'
        interrupted INT "$line" "$folder/train.lua" 1000000000 1e-3 $how
        ok '[ $code -eq 130 ]' "SIGINT ($how): status 130"
        echo "# status $code after $taken ms"
        ok 'whole "$folder/out" && whole "$folder/err"' "SIGINT ($how): whole lines"
    done
else
    skip "no perl to undo an ignored SIGINT"
fi
interrupted TERM '^step ' "$folder/train.lua" 1000000000
ok '[ $code -eq 143 ]' 'SIGTERM: status 143'
echo "# status $code after $taken ms"
ok 'whole "$folder/out"' 'SIGTERM: whole lines'

# ---- a closed pipe ----

rm -rf "$SWITCHYARD_RUNS"
{
    "$SWITCHYARD" "$folder/train.lua" 60 2> "$folder/err"
    echo $? > "$folder/code"
} | head -n 1 > "$folder/out"
ok '[ "$(cat "$folder/code")" -lt 126 ]' 'a closed pipe does not kill it'
ok '[ "$(wc -l < "$folder/out")" -eq 1 ]' 'and the reader had its line'

# ---- --json ----

run --json "$folder/train.lua" 30
cat > "$folder/check.lua" <<'END'
-- A strict reader of JSON: returns the value's end or raises
local function skip(s, i) return s:match("^%s*()", i) end
local value
local function text(s, i)
  assert(s:sub(i, i) == '"', "a string at " .. i)
  i = i + 1
  while true do
    local c = s:sub(i, i)
    assert(c ~= "" and c:byte() >= 32, "an open string")
    if c == '"' then return i + 1 end
    local escape = c == "\\"
      and (s:match('^u%x%x%x%x', i + 1) or assert(s:match('^["\\/bfnrt]', i + 1)))
    i = i + (escape and #escape + 1 or 1)
  end
end
local function list(s, i, close, item)
  i = skip(s, i + 1)
  if s:sub(i, i) == close then return i + 1 end
  while true do
    i = skip(s, item(s, i))
    if s:sub(i, i) == close then return i + 1 end
    assert(s:sub(i, i) == ",", "a comma at " .. i)
    i = skip(s, i + 1)
  end
end
function value(s, i)
  i = skip(s, i)
  local c = s:sub(i, i)
  if c == "{" then
    return list(s, i, "}", function(t, j)
      j = skip(t, text(t, j))
      assert(t:sub(j, j) == ":", "a colon at " .. j)
      return value(t, j + 1)
    end)
  end
  if c == "[" then return list(s, i, "]", value) end
  if c == '"' then return text(s, i) end
  return s:match("^true()", i) or s:match("^false()", i) or s:match("^null()", i)
      or s:match("^%-?%d+%.?%d*[eE]?[-+]?%d*()", i) or error("a value at " .. i)
end
local lines, steps, vals, events = 0, 0, 0, 0
for line in io.lines(arg[1]) do
  assert(skip(line, value(line, 1)) == #line + 1, line)
  lines = lines + 1
  if line:match '^{"step":' then
    steps = steps + 1
    assert(line:match('"step":' .. steps .. ","), "step " .. steps)
  end
  if line:match '"val":' then vals = vals + 1 end
  if line:match '^{"event":' then events = events + 1 end
end
print(("%d steps %d vals %d events %d other"):format(steps, vals, events, lines - steps - events))
END
"$SWITCHYARD" -E "$folder/check.lua" "$folder/out" > "$folder/checked" 2>&1
found=$(cat "$folder/checked")
ok '[ $code -eq 0 ]' '--json: status 0'
ok 'grep -q "^30 steps 3 vals [1-9][0-9]* events 0 other" "$folder/checked"' \
    "--json: an object a line ($found)"
ok 'grep -q "{\"event\":\"done\",\"run\":\"a-run\"}" "$folder/out"' '--json: the end is an event'
run --json "$folder/train.lua" 50 1e6
"$SWITCHYARD" -E "$folder/check.lua" "$folder/out" > "$folder/checked" 2>&1
ok '[ $code -eq 1 ] && grep -q "0 other" "$folder/checked"' '--json: a failed run parses as well'
ok 'grep -q "{\"event\":\"failed\",\"run\":\"a-run\",\"text\":\"step" "$folder/out"' \
    '--json: and says why'

# ---- paused at the end: saved and stopped; events name their kind and run ----

cat > "$folder/paused.lua" <<'END'
local d = data.synthetic{domains = 2, tokens = 20000, seed = 1}
local m = model.moe{layers = 1, dim = 16, heads = 2, context = 16, vocab = d.vocab, experts = 2,
  expert_dim = 16}
local r = train(m, d, {steps = 50, batch = 2, name = "a-pause", eval_every = 0, paused = true})
r:checkpoint()
every(r, 1, function() error "oops" end)
r:steps(3):wait()
END
run --runs "$folder/runs" --json "$folder/paused.lua"
ok '[ $code -eq 1 ] && [ -d "$folder/runs/a-pause/step-000001" ]' \
    'a run that a failed hook paused is saved, status 1'
ok 'grep -q "{\"event\":\"stopped\",\"run\":\"a-pause\"}" "$folder/out"' 'and stopped'
ok 'grep -q "{\"event\":\"checkpoint\",\"run\":\"a-pause\",\"text\":" "$folder/out"' \
    '--json: a checkpoint is an event'
ok 'grep -q "{\"event\":\"hook\",\"run\":\"a-pause\",\"text\":\"hook at step 1" "$folder/out"' \
    '--json: a failed hook as well'

# ---- r.steps of a run that does not train: what it needs is said; of one that does, nothing ----

cat > "$folder/more.lua" <<'END'
local d = data.synthetic{domains = 2, tokens = 20000, seed = 1}
local m = model.moe{layers = 1, dim = 16, heads = 2, context = 16, vocab = d.vocab, experts = 2,
  expert_dim = 16}
local r = train(m, d, {steps = 2, batch = 2, name = "more", eval_every = 0}):wait()
r.steps = 4
r:resume():wait():close()
train.resume("more", {steps = 6}):wait():close()
train.resume("more", {steps = 7, paused = true})
END
run "$folder/more.lua"
ok '[ $code -eq 0 ] && grep -q "steps = 4: .*; it is done: r:resume() goes on$" "$folder/out"' \
    "r.steps of a run that is done says what it needs"
ok 'grep -q "steps = 6: " "$folder/out" && ! grep -q "steps = 6: .*r:resume" "$folder/out" &&
    grep -q "steps = 7: .*; it is paused: r:resume() goes on$" "$folder/out"' \
    "one that is resumed at once does not"

# ---- a hook that fails while the script's end waits, or before, or in a run that was closed or
# went on: always 1 ----

cat > "$folder/hooked.lua" <<'END'
local d = data.synthetic{domains = 2, tokens = 20000, seed = 1}
local m = model.moe{layers = 1, dim = 16, heads = 2, context = 16, vocab = d.vocab, experts = 2,
  expert_dim = 16}
local r = train(m, d, {steps = 5, batch = 2, save = false, eval_every = 0, paused = true})
local hook = every(r, 1, function() error "oops" end)
r:resume()
if arg[1] == "wait" then r:wait() end
if arg[1] == "close" then r:wait() r:close() end
if arg[1] == "go on" then r:wait() hook:remove() r:resume():wait() end
END
for how in end wait close "go on"; do
    run "$folder/hooked.lua" "$how"
    ok '[ $code -eq 1 ] && grep -q "hook at step 1: .*oops" "$folder/out"' \
        "a failed hook, $how: status 1"
done

sed 's/error "oops"/return tensor.concatenate{1}/' "$folder/hooked.lua" > "$folder/hinted.lua"
run "$folder/hinted.lua" end
ok '[ $code -eq 1 ] && grep -q "hook at step 1: .*concatenate.*; it is tensor.cat" "$folder/out"' \
    "an error of a hook has its hint"

# ---- stopped in a step and continued (Ctrl-Z, fg): the pause is no part of the speed ----

cat > "$folder/stopped.lua" <<'END'
local d = data.synthetic{domains = 2, tokens = 20000, seed = 1}
local m = model.moe{layers = 2, dim = 64, heads = 2, context = 64, vocab = d.vocab, experts = 4,
  expert_dim = 64}
train(m, d, {steps = 1000000000, batch = 4, save = false, eval_every = 0})
END
has_steps() { [ "$(grep -c '"loss"' "$folder/out")" -ge "$1" ]; }
: > "$folder/out"
"$SWITCHYARD" --json "$folder/stopped.lua" > "$folder/out" 2> "$folder/err" &
pid=$!
until_true has_steps 30
kill -STOP $pid
sleep 4
before=$(grep -c '"loss"' "$folder/out")
kill -CONT $pid
until_true has_steps $((before + 20))
kill -TERM $pid
wait $pid
sed -n 's/.*"tok_s":\([0-9]*\).*/\1/p' "$folder/out" | sed -n "11,$((before + 20))p" |
    sort -n > "$folder/speeds"
# a step of 4 s among ten is at most 640 tokens a second; a machine with much else to do has slow
# ones, too
ok 'awk "{ v[NR] = \$1 } END { exit !(NR > 20 && (v[1] > 700 ||
    v[1] > v[int(NR / 2)] / 10)) }" "$folder/speeds"' \
    "tok/s after a stop is that of the steps: $(head -n 1 "$folder/speeds") at least"

# ---- what was read as what is said, where everything else is said ----

mkdir "$folder/texts"
printf '{"text": "one"}\n{"text": "two"}\n' > "$folder/texts/a.ndjson"
printf 'three\n' > "$folder/texts/b.txt"
printf '\211PNG\r\n' > "$folder/texts/c.png"
echo 'assert(data.text(arg[1]))' > "$folder/read.lua"
said="data.text: 1 file as JSON lines, field 'text'; 1 as text; 1 file left out"
said="$said ($folder/texts/c.png is a PNG image)"
run "$folder/read.lua" "$folder/texts"
ok '[ "$(cat "$folder/out")" = "$said" ]' 'a script says what was read as what'
run --json "$folder/read.lua" "$folder/texts"
ok '[ "$(cat "$folder/out")" = "{\"event\":\"note\",\"text\":\"$said\"}" ]' '--json: as a note'
run "$folder/read.lua" "$folder/texts/b.txt"
ok '[ $code -eq 0 ] && [ ! -s "$folder/out" ]' 'one plain text is not worth saying'

finish
