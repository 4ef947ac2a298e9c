#!/bin/sh
# shellcheck disable=SC2016,SC2034  # conditions are evaluated in ok
# Runs and their forks as a tree: `switchyard runs --tree`, and tree() at the prompt.
# shellcheck source=tests/cli/lib.sh
. "${srcdir:-.}/tests/cli/lib.sh"
SWITCHYARD_SYMBOLS=blocks
export SWITCHYARD_SYMBOLS

tree() { "$SWITCHYARD" --runs "$SWITCHYARD_RUNS" runs --tree > "$folder/out" 2> "$folder/err"; }
lines() { for line; do ok 'grep -qxF -e "$line" "$folder/out"' "prints '$line'"; done; }
lacks() { ok '! grep -qF -e "$1" "$folder/out"' "$1 is not there"; }
refuses() { # refuses STATUS TEXT COMMAND...
    want=$1 text=$2
    shift 2
    "$@" > "$folder/out" 2> "$folder/err" < /dev/null
    got=$?
    ok '[ $got -eq $want ] && grep -qF -e "$text" "$folder/err" &&
        [ "$(wc -l < "$folder/err")" -eq 1 ]' "$text => $got"
}

tree
ok 'grep -q "^no runs: there is no folder" "$folder/out"' "there is no run yet"

cat > "$folder/make.lua" << 'LUA'
local acting = require "switchyard.core.acting"
local d = data.synthetic{domains = 2, tokens = 5000, seed = 1}
local m = model.moe{layers = 1, dim = 8, heads = 1, context = 8, vocab = d.vocab, experts = 4,
  top_k = 2, expert_dim = 8}
local r = train(m, d, {steps = 8, batch = 2, warmup = 1, name = "base", checkpoint_every = 2})
r:wait()
local a = r:fork{name = "a", step = 4, paused = true}
acting.as("socket: x", function() a.lr = 5e-3 end)
a:steps(2):wait()
local b = a:fork{name = "b", step = 6, paused = true}
b.lr = 1e-3 -- at the step of the fork itself
b:steps(1):wait()
b:note "a word changes nothing"
local c = a:fork{name = "now", paused = true}
local e = r:fork{name = "c", step = 2, paused = true}
for _, x in ipairs{a, b, c, e} do assert(x._store:flush()) end -- they may lag by a second
os.execute('"$SWITCHYARD" runs --tree > "$LIVE"')
print(tree())
for _, x in ipairs{a, b, c, e} do x:stop() x:close() end
LUA
LIVE=$folder/live
export LIVE SWITCHYARD
"$SWITCHYARD" "$folder/make.lua" > "$folder/told" 2> "$folder/err"
report $? "runs are made"
cp "$folder/live" "$folder/out"
ok 'grep -q "^base  done  step 8  val [0-9]*\.[0-9]*$" "$folder/out"' "a run that ended"
lines '├─ a  paused  step 6  forked at 4' '│  │  4 lr = 0.005 (socket: x)' \
    '│  ├─ b  paused  step 7  forked at 6' '│  │     6 lr = 0.001' \
    '│  └─ now  paused  step 6  forked at 6' '└─ c  paused  step 2  forked at 2'
ok '[ "$(wc -l < "$folder/out")" -eq 7 ]' "what a fork has of its parent is not its own"
ok '[ "$(grep -cxF -f "$folder/live" "$folder/told")" -eq 7 ]' "tree() is the same"

cat > "$folder/forge.lua" << 'LUA'
local engine = require "switchyard.engine"
local s = assert(engine.store_create{name = "many", parent = "lost", parent_step = 1200})
for i = 1, 6 do assert(s:add("journal", 1000 * i, "set", "lr = 0." .. i, "")) end
assert(s:close())
assert(engine.store_create{name = "orphan", parent = "younger"}:close())
assert(engine.store_create{name = "younger"}:close())
s = assert(engine.store_create{name = "four"})
for i = 1, 4 do assert(s:add("journal", i, "set", "clip = " .. i, "")) end
assert(s:close())
LUA
"$SWITCHYARD" "$folder/forge.lua" > "$folder/out" 2> "$folder/err"
report $? "stores are made"
tree
lines '└─ c  stopped  step 2  forked at 2' \
    'many  new  step 0  forked at 1,200 of lost, which is gone' \
    '   1,000 lr = 0.1' '   2,000 lr = 0.2' '   … 3 more' '   6,000 lr = 0.6' \
    'orphan  new  step 0  forked at 0 of younger, which another run is called now' \
    'younger  new  step 0' \
    '   3 clip = 3' '   4 clip = 4'
lacks 'lr = 0.3'
ok '[ "$(grep -c more "$folder/out")" -eq 1 ]' "four entries are not folded"

SWITCHYARD_SYMBOLS=ascii
tree
lines '|- a  stopped  step 6  forked at 4' '|  |- b  stopped  step 7  forked at 6' \
    '`- c  stopped  step 2  forked at 2' '   ... 3 more'
ok '! LC_ALL=C grep -q "[^ -~]" "$folder/out"' "ASCII alone"
printf '%s\n' ':tree' ':tree x' 'tree(1)' |
    "$SWITCHYARD" --runs "$SWITCHYARD_RUNS" -i > "$folder/out" 2> "$folder/err"
ok 'grep -qF -e "|- a  stopped" "$folder/out"' ":tree at the prompt, in ASCII as well"
ok '[ "$(grep -c "tree: takes no argument" "$folder/err")" -eq 2 ]' "it takes no argument"
SWITCHYARD_SYMBOLS=
LC_ALL=C TERM=xterm tree
ok '! LC_ALL=C grep -q "[^ -~]" "$folder/out"' "a locale that has no more"
for symbols in blocks ascii; do
    SWITCHYARD_SYMBOLS=$symbols
    [ $symbols = blocks ] && mark='…' || mark='>'
    printf '< of younger, %s\nexit 0\n' "$mark" > "$folder/scenario"
    COLUMNS=46 "${builddir:-.}/tests/cli/pty" "$folder/scenario" "$SWITCHYARD" runs --tree \
        > "$folder/out" 2> "$folder/err"
    report $? "46 columns, $symbols: cut"
done

rm -r "$SWITCHYARD_RUNS/base"
printf garbage > "$SWITCHYARD_RUNS/a/run.sqlite"
rm -f "$SWITCHYARD_RUNS"/a/run.sqlite-*
SWITCHYARD_SYMBOLS=blocks
tree
report $? "a damaged store does not end it"
lines 'c  stopped  step 2  forked at 2 of base, which is gone' '├─ b  stopped  step 7  forked at 6'
ok 'grep -q "^a  damaged  .*is damaged" "$folder/out"' "it says what is wrong"

refuses 2 'runs: --tree draws, --json lists: only one of them' "$SWITCHYARD" runs --tree --json
refuses 2 "runs: unknown option '--trees'; there are --tree, --json, --runs DIR" \
    "$SWITCHYARD" runs --trees
refuses 2 "runs: takes no argument: 'a'" "$SWITCHYARD" runs --tree a
finish
