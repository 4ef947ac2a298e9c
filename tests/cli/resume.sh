#!/bin/sh
# switchyard resume, replay, generate, export: help, statuses, one-line errors; a quota; a rewind
# that is interrupted; a live run's owner.  TAP.
# shellcheck disable=SC2016,SC2034  # conditions are evaluated in ok
# shellcheck source=tests/cli/lib.sh
. "${srcdir:-.}/tests/cli/lib.sh"

run()
{
    "$SWITCHYARD" "$@" > "$folder/out" 2> "$folder/err"
    code=$?
}
# wrong STATUS TEXT ARGS...: one line on standard error that has the text
wrong()
{
    want=$1 text=$2
    shift 2
    run "$@"
    ok '[ $code -eq $want ] && [ "$(wc -l < "$folder/err")" -eq 1 ] &&
        grep -q -e "$text" "$folder/err"' "$*: $text"
}

cat > "$folder/train.lua" <<'END'
local d = data.string(("the quick brown fox jumps over the lazy dog. "):rep(200))
local m = model.moe{layers = 1, dim = 16, heads = 2, context = 16, experts = 4, top_k = 2,
  expert_dim = 16}
r = train(m, d, {steps = tonumber(arg[2]), batch = 4, eval_every = 0, checkpoint_every = 20,
  name = arg[1]})
END

# ---- words and options ----

for command in runs log resume replay generate trace export; do
    run $command --help
    ok '[ $code -eq 0 ] && grep -q "^usage: switchyard $command " "$folder/out"' "$command --help"
    run --help
    ok 'grep -q "^  $command " "$folder/out"' "--help lists $command"
done
wrong 2 "which run?" resume
wrong 2 "unknown option '--stpes' (did you mean '--steps'?)" resume a --stpes 3
wrong 2 "'--steps' needs an argument" resume a --steps
wrong 2 "whole number: it is 'x'" resume a --steps x
wrong 2 "what is 'b'?" resume a b
wrong 2 "a run and a folder" export a
wrong 2 "takes a run and a text" trace a
wrong 2 "whole number: it is 'x'" trace a text --layer x
wrong 1 "unknown run 'a'" trace a text
wrong 2 "one budget each" bakeoff a.lua --flops 1e9 --tokens 1000
wrong 1 "run 'a': there is no" resume a
wrong 1 "run 'a': there is no" replay a
wrong 1 "run 'a': there is no" generate a x
wrong 1 "run 'a': there is no" export a "$folder/x"
wrong 1 "must not" resume "a\\b"

# ---- what they do ----

run "$folder/train.lua" a 60
ok '[ $code -eq 0 ]' 'a run'
run --threads 1 resume a
ok '[ $code -eq 0 ] && grep -q "done at step 60; --steps N" "$folder/out"' \
    'resume: nothing is left to do, and how there would be'
run trace a "the quick" --step 60 --layer 1 --save "$folder/t.safetensors"
ok '[ $code -eq 0 ] && grep -q "trace of a at step 60: 9 tokens" "$folder/out" &&
    grep -q "^the quick$" "$folder/out" && grep -qE "^[1-4]{9}$" "$folder/out" &&
    [ -s "$folder/t.safetensors" ]' 'trace: the text, and the experts under it'
run trace a "the" --json
ok '[ $code -eq 0 ] && [ "$(wc -l < "$folder/out")" -eq 1 ] &&
    grep -q "\"event\": \"trace\".*\"tokens\": .\"t\", \"h\", \"e\"" "$folder/out"' 'trace --json'
wrong 1 "no checkpoint of step 41; there are: " trace a the --step 41
run resume a --steps 90 --json
ok '[ $code -eq 0 ] && grep -q "{\"step\":90,\"steps\":90," "$folder/out"' 'resume --steps --json'
ok 'grep -q "{\"event\":\"resume\",\"run\":\"a\"" "$folder/out"' 'an event says so'
wrong 1 "switchyard: resume: steps is 5, the run is at step 90 already" resume a --steps 5
run replay a --threads 2
ok '[ $code -eq 0 ] && [ "$(tail -n 1 "$folder/out")" = "identical through step 90" ]' 'replay'
run replay --step 30 a
ok '[ "$(tail -n 1 "$folder/out")" = "identical through step 30" ]' 'replay --step'
wrong 1 "replay: step is 91, the run is stored through step 90" replay --step 91 a
run generate a "the " --tokens 12 --temperature 0
ok '[ $code -eq 0 ] && grep -q "^the " "$folder/out"' 'generate'
run export a "$folder/model"
ok '[ $code -eq 0 ] && [ -f "$folder/model/config.json" ] &&
    [ -f "$folder/model/model.safetensors" ]' 'export'
ok 'grep -q "^$folder/model: the model at step [0-9]*; transformers cannot load it: qk_norm = false, where" "$folder/out"' \
    'export says why transformers cannot load it'
wrong 1 "family 'qwen3_moe' cannot say this model: qk_norm = false" export a \
    "$folder/model3" --family qwen3_moe
run -e "print(#model.load('$folder/model').params)"
ok '[ $code -eq 0 ]' 'which loads'
run "$folder/train.lua" a 60
ok '[ $code -eq 1 ] &&
    grep -q "runs/a exists already; resume it with train.resume \"a\"" \
    "$folder/err"' 'its name is taken'
run resume "$SWITCHYARD_RUNS/a"
ok '[ $code -eq 0 ]' 'by the path of its directory'
for step in "$SWITCHYARD_RUNS"/a/step-*; do printf x |
    dd of="$step/state.json" bs=1 seek=5 conv=notrunc 2> /dev/null; done
run replay a
ok '[ $code -eq 0 ] && grep -q "identical through step 90" "$folder/out"' \
    'damaged checkpoints: replay begins at the start'
wrong 1 "no checkpoint" export a "$folder/model2"

# ---- what a script's run tells of: samples and rewinds, with the run's name ----

cat > "$folder/told.lua" <<'END'
local d = data.string(("the quick brown fox jumps over the lazy dog. "):rep(200))
local m = model.dense{layers = 1, dim = 16, heads = 2, context = 16}
r = train(m, d, {steps = 8, batch = 2, eval_every = 0, sample_every = 4, name = "told"}):wait()
r:rewind(5)
END
run "$folder/told.lua"
ok '[ $code -eq 0 ] && grep -q "^\[told\] sample at step 4: " "$folder/out" &&
    grep -q "^\[told\] rewound from step 8 to step 5$" "$folder/out"' 'samples and a rewind are told'
rm -rf "$SWITCHYARD_RUNS/told"
run --json "$folder/told.lua"
ok 'grep -q "^{\"event\":\"sample\",\"run\":\"told\",\"text\":\"sample at step 4: " "$folder/out" &&
    grep -q "^{\"event\":\"rewind\",\"run\":\"told\",\"text\":\"rewound from step 8 to" "$folder/out"' \
    '... as events with --json'

# ---- a live run belongs to its process ----

"$SWITCHYARD" "$folder/train.lua" live 1000000000 > "$folder/live" 2>&1 &
pid=$!
comes "$folder/live" '^step'
wrong 1 "run 'live' is being written by process $pid" resume live
kill -s TERM $pid
wait $pid
code=$?
ok '[ $code -eq 143 ]' 'SIGTERM: status 143'
run -e 'local s, engine = runs "live", require "switchyard.engine"
    local newest = engine.read_checkpoint((engine.find_checkpoint(s.dir)))
    print(s.state, s.step > 0, s.step == newest.step)'
ok '[ "$(cat "$folder/out")" = "stopped	true	true" ]' 'and its last step is saved'

# ---- a quota that run.sqlite does not fit in ----

cat > "$folder/record.lua" <<'END'
local d = data.string(("the quick brown fox jumps over the lazy dog. "):rep(200))
local m = model.moe{layers = 1, dim = 16, heads = 2, context = 16, experts = 4, top_k = 2,
  expert_dim = 16}
r = train(m, d, {steps = 3, batch = 2, eval_every = 0, checkpoint_every = 0,
  name = "record"}):wait()
local function record()
  for _, a in ipairs(r:alarms()) do
    if a.name == "record" then return ("%s %s %s"):format(a.on, a.step, a.text) end
  end
end
print("before", record())
for i = 1, 600 do -- each flush makes the log longer; one knows of the one before
  r:note("note " .. i)
  r._store:flush()
  if record():find "^true" then break end
  sleep(0.01)
end
print("after", record())
END
(
    ulimit -f 600 2> /dev/null
    exec "$SWITCHYARD" "$folder/record.lua"
) > "$folder/out" 2> "$folder/err"
ok 'grep -q "^before	false nil nil" "$folder/out"' 'run.sqlite is written: no alarm'
ok 'grep -q "^after	true 3 [^:]*: .*; the run goes on, what is to be written waits" "$folder/out"' \
    'run.sqlite cannot be written: r:alarms() has it'
ok 'grep -q "^\[record\] .*record: " "$folder/out"' 'and it is told'

# ---- a quota: the run goes on, the older checkpoint stays ----

cat > "$folder/quota.lua" <<'END'
local d = data.string(("the quick brown fox jumps over the lazy dog. "):rep(200))
local m = model.moe{layers = 2, dim = 32, heads = 2, context = 32, experts = 4, top_k = 2,
  expert_dim = 32}
r = train(m, d, {steps = 60, batch = 2, eval_every = 0, checkpoint_every = 20,
  name = "quota"}):wait()
print(r.state, r.step)
END
(
    ulimit -f 200 2> /dev/null
    exec "$SWITCHYARD" "$folder/quota.lua"
) > "$folder/out" 2> "$folder/err"
code=$?
ok '[ $code -eq 1 ] && grep -q "^done	60" "$folder/out"' \
    'a quota: the run goes on; the status says that it was not saved'
ok '[ "$(grep -c "^\[quota\] not saved: .*File too large" "$folder/out")" -eq 1 ]' \
    'and one line does'
ok 'grep -q "^\[quota\].*File too large; the run goes on, older checkpoints stay" "$folder/out"' \
    'an alarm says so'
ok '! ls -d "$SWITCHYARD_RUNS"/quota/step-* > /dev/null 2>&1' 'nothing half is left'
run resume quota --steps 70
ok '[ $code -eq 0 ] && grep -q "^step 70/70" "$folder/out"' 'and it can be resumed'
run -e 'local e, t = require "switchyard.engine", 0; e.now = function() t = t + 3 return t end
    require("switchyard.cli.subcommands").run("replay", "quota")'
ok '[ "$(cat "$folder/out")" = "identical through step 70" ]' \
    'to the same bits; standard output has the one line'
ok 'grep -q "^\[quota\] replaying: step [0-9]*/70$" "$folder/err"' \
    'and progress goes to standard error'

# limited BLOCKS COMMAND...: files may not become larger
limited()
{
    (
        ulimit -f "$1" 2> /dev/null
        shift
        exec "$@"
    ) > "$folder/out" 2> "$folder/err"
    code=$?
}
sed 's/:wait()/; r:steps(60):wait(); quit(0)/; s/name = "quota"/name = "quit", paused = true/' \
    "$folder/quota.lua" > "$folder/quit.lua"
limited 200 "$SWITCHYARD" "$folder/quit.lua"
ok '[ $code -eq 1 ] && grep -q "^\[quit\] not saved: " "$folder/out"' \
    'quit(0) with a run that cannot be saved: a line and status 1'
sed 's/quit", pa/prompt", pa/' "$folder/quit.lua" | tr '\n' ' ' > "$folder/lines"
echo >> "$folder/lines"
limited 200 "$SWITCHYARD" -i < "$folder/lines"
ok '[ $code -eq 1 ] && grep -q "^\[prompt\] not saved: " "$folder/out"' 'at the prompt, too'
sed 's/"quota"}/"nowhere"}/' "$folder/quota.lua" > "$folder/nowhere.lua"
cat >> "$folder/nowhere.lua" <<'END'
print(r)
for _, a in ipairs(r:alarms()) do if a.on then print("on", a.name, a.step) end end
END
limited 4 "$SWITCHYARD" "$folder/nowhere.lua"
ok '[ $code -eq 1 ] && grep -q "^done	60" "$folder/out" &&
    grep -q "^\[nowhere\] not saved: nothing of it: " "$folder/out"' \
    'a run that has no directory for want of room'
ok 'grep -q "^  health  record$" "$folder/out" &&
    grep -q "^  alarm  step 0: record: nothing is written: .*; the run goes on$" "$folder/out"' \
    'its card says that nothing is written, and why'
ok 'grep -q "^on	record	0$" "$folder/out"' 'so do its alarms'
: > "$folder/in-the-way"
sed 's/"nowhere"}/"somewhere"}/' "$folder/nowhere.lua" > "$folder/somewhere.lua"
cat >> "$folder/somewhere.lua" <<'END'
os.remove(arg[1])
print("saved", (r:checkpoint()))
print(r)
END
run --runs "$folder/in-the-way/runs" "$folder/somewhere.lua" "$folder/in-the-way"
ok '[ $code -eq 0 ] && grep -q "^on	record	0$" "$folder/out" && grep -q "^saved	.*step-000060" "$folder/out" &&
    grep -q "^  health  no alarm is on$" "$folder/out"' 'until it can be made'
sed 's/"quota"}/"closed"}/; s/:wait()/:wait():close()/; /^print/d' "$folder/quota.lua" \
    > "$folder/closed.lua"
limited 200 "$SWITCHYARD" "$folder/closed.lua"
ok '[ $code -eq 1 ] && [ "$(grep -c "^\[closed\] not saved: " "$folder/out")" -eq 1 ]' \
    'a run that was closed before the end'
echo 'for i = 1, 600 do r:note(("a note of many words "):rep(20)) end' |
    cat "$folder/quota.lua" - |
    sed 's/"quota"}/"notes"}/; s/layers = 2/layers = 1/; s/dim = 32/dim = 8/g' > "$folder/notes.lua"
limited 320 "$SWITCHYARD" "$folder/notes.lua"
ok '[ $code -eq 1 ] && grep -q "^\[notes\] not saved: run .notes.: run.sqlite: " "$folder/out"' \
    'a journal that could not be written'

# Who leaves while a resume repeats steps hears how the run goes on.
cat > "$folder/killed.lua" <<'END'
local d = data.string(("the quick brown fox jumps over the lazy dog. "):rep(200))
local m = model.moe{layers = 1, dim = 16, heads = 2, context = 16, experts = 4, top_k = 2,
  expert_dim = 16}
r = train(m, d, {steps = 30, batch = 4, eval_every = 0, checkpoint_every = 0, name = "left",
  paused = true})
r:steps(5) r:wait()
r.batch = 2
r:steps(5) r:wait()
r._store:flush() -- its last moment may be lost
os.execute "kill -9 $PPID"
END
cat > "$folder/left.lua" <<'END'
require("switchyard.run.run").Run._replan = function() os.exit(0) end
train.resume "left"
END
"$SWITCHYARD" "$folder/killed.lua" > "$folder/out" 2>&1
run "$folder/left.lua"
ok '[ $code -eq 0 ] && grep -q "was repeating steps, and is at step 5; .*resume left goes on" \
    "$folder/out"' 'leaving while steps are repeated says how the run goes on'
run resume left
ok '[ $code -eq 0 ] && grep -q "step 30/30" "$folder/out"' 'and so it does'

# ---- Ctrl-C during a rewind: the run is where it was ----

cat > "$folder/rewind.lua" <<'END'
local Run = require("switchyard.run.run").Run
local d = data.string(("the quick brown fox jumps over the lazy dog. "):rep(200))
local m = model.moe{layers = 1, dim = 16, heads = 2, context = 16, experts = 4, top_k = 2,
  expert_dim = 16}
r = train(m, d, {steps = 30, batch = 4, eval_every = 0, checkpoint_every = 0, name = "back",
  paused = true})
every(r, 1, function(self) if self.step == 5 then self.batch = 2 end end)
r:resume():wait()
hash = r:hash()
local replan, calls = Run._replan, 0
-- The second call repeats the change at step 5: long enough to be interrupted.
Run._replan = function(...)
  calls = calls + 1
  if calls ~= 2 then return replan(...) end
  print "begun"
  while true do end
end
END
cat > "$folder/lines" <<'END'
r:rewind(8)
print("after", r:hash() == hash, r.step, r.state, r.batch, #r:journal(), r:history("loss").shape[1])
r.steps = 33
print("on", r:resume():wait().step)
END
if can_front; then
    in_front "$SWITCHYARD" -i "$folder/rewind.lua" < "$folder/lines" > "$folder/out" \
        2> "$folder/err" &
    pid=$!
    comes "$folder/out" '^begun'
    kill -s INT $pid
    wait $pid
    ok 'grep -q "^after	true	30	done	2	1	30" "$folder/out"' \
        'Ctrl-C during a rewind: the run is where it was'
    ok 'grep -q "^on	33" "$folder/out"' 'and goes on'
    run replay back
    ok 'grep -q "identical through step 33" "$folder/out"' 'with its journal'
else
    skip "no perl to undo an ignored SIGINT"
fi


# ---- bf16: its bits depend on how the CPU multiplies ----

cat > "$folder/bf16.lua" <<'END'
local d = data.string(("the quick brown fox jumps over the lazy dog. "):rep(200))
local m = model.moe{layers = 1, dim = 16, heads = 2, context = 16, experts = 4, top_k = 2,
  expert_dim = 16}
train(m, d, {steps = 12, batch = 2, eval_every = 0, checkpoint_every = 5, name = arg[1],
  precision = arg[1]})
END
kinds() { for set in avx512 avx2 ref;
    do SWITCHYARD_CPU=$set "$SWITCHYARD" -e 'print(require("switchyard.engine").bf16, "'$set'")' \
    2> /dev/null; done; }
one=$(kinds | awk '$1 == "vdpbf16ps" { print $2; exit }')
other=$(kinds | awk '$1 == "fp32" { print $2; exit }')
if [ -n "$one" ] && [ -n "$other" ]; then
    for kind in bf16 fp32; do
        SWITCHYARD_CPU=$one "$SWITCHYARD" "$folder/bf16.lua" $kind > "$folder/out" 2>&1
        SWITCHYARD_CPU=$other "$SWITCHYARD" resume $kind --steps 14 > "$folder/out" 2>&1
        code=$?
        [ $kind = bf16 ] && ok '[ $code -eq 1 ] && grep -q "the kernels changed: bf16 products are by fp32, were by vdpbf16ps.*--force" "$folder/out"' \
            'bf16 on other kernels is named'
        [ $kind = fp32 ] && ok '[ $code -eq 0 ]' 'fp32 goes on with any'
    done
    SWITCHYARD_CPU=$one "$SWITCHYARD" resume bf16 --steps 13 > "$folder/out" 2>&1
    ok '[ $? -eq 0 ]' 'on those of before it goes on'
    SWITCHYARD_CPU=$other "$SWITCHYARD" resume bf16 --steps 14 --force > "$folder/out" 2>&1
    ok '[ $? -eq 0 ] &&
        run -e "for _, e in ipairs(runs \"bf16\":journal()) do print(e.text) end" &&
        grep -q "bf16 products are by fp32" "$folder/out"' \
        '--force goes on and the journal says so'
else
    skip 'one way of bf16 products on this machine'
fi

finish
