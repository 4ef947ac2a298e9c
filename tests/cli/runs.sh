#!/bin/sh
# switchyard runs and switchyard log, over stores made through the bindings.
# shellcheck source=tests/cli/lib.sh
. "${srcdir:-.}/tests/cli/lib.sh"
unset SWITCHYARD_RUNS

run() { # run STATUS ARGS...
    want=$1
    shift
    "$SWITCHYARD" "$@" > "$folder/out" 2> "$folder/err"
    got=$?
    [ $got -eq "$want" ]
    report $? "$* => $got"
}
has() { grep -q -e "$1" "$folder/out"; report $? "prints $1"; }
says() { grep -q -e "$1" "$folder/err" && [ "$(wc -l < "$folder/err")" -eq 1 ];
    report $? "says $1"; }

cat > "$folder/make.lua" <<'LUA'
local engine = require "switchyard.engine"
local d = data.synthetic{domains = 2, tokens = 5000, seed = 1}
local m = model.moe{layers = 1, dim = 8, heads = 1, context = 8, vocab = d.vocab, experts = 4,
  top_k = 2, expert_dim = 8}
local s = assert(engine.store_create{name = "first", steps = 30, config = '{"steps":30}'})
assert(engine.store_create{name = "empty"}:close())
local r = train(m, d, {steps = 30, batch = 2, eval_every = 10, name = "memory"})
s:attach(r._h)
r:wait()
assert(s:add("journal", 7, "set", "lr = 0.001", "\0\1") == 1)
s:sample(9, "once")
assert(s:flush())
local h = assert(s:history "loss")
assert(h.shape[1] == 30 and h[30][2]:item() == r:history("loss")[30][2]:item())
assert(s:series()["load.1"].width == 4 and s:series()["load.1"].rows == 30)
local e = s:entries "journal"
assert(#e == 1 and e[1].data == "\0\1" and e[1].step == 7 and
  s:entries("samples")[1].text == "once")
local info = s:info()
assert(info.live and info.state == "done" and info.step == 30 and #info.spark == 30)
local no, why, code = engine.store_open("first", {write = true})
assert(not no and why:find "is being written by process" and code == "STATE")
assert(select(3, s:history "nothing") == "NAME" and
  select(3, engine.store_open "nothing") == "NOTFOUND")
assert(not pcall(engine.store_create, {name = "a/b"}) and not engine.store_name_ok "a/b" and
  engine.store_name_ok "ab")
assert(s:truncate(20) and s:info().sparks == nil and #s:info().spark == 20)
assert(#engine.store_runs() == 3) -- memory has one, too
r:close() -- while the store is attached
assert(s:close() and not pcall(s.flush, s))
LUA
run 0 --runs "$folder/runs" runs
has "no runs: there is no folder $folder/runs"
mkdir "$folder/runs"
run 0 --runs "$folder/runs" runs
has "no runs in $folder/runs"
run 0 --runs "$folder/runs" --json runs
run 0 --runs "$folder/runs" "$folder/make.lua"
run 0 --runs "$folder/runs" runs
has '^run  *state'
has '^first .*done .*30/30 .*kB  '
has '^empty .*new .*0/0 '
"$SWITCHYARD" -e 'for line in io.lines "'"$folder/out"'" do
  if line:find "^run " or line:find "^first " then assert(utf8.len(line) <= 80, line) end
end' 2> "$folder/err"
report $? "80 columns hold a run and what its options do not add"
printf '< size  loss…\nexit 0\n' > "$folder/scenario" # 72 of the head's 80 columns
export COLUMNS=72
"${builddir:-.}/tests/cli/pty" "$folder/scenario" "$SWITCHYARD" --runs "$folder/runs" runs \
    > "$folder/out" 2> "$folder/err"
report $? "on a terminal lines are cut to its width"
run 0 --runs "$folder/runs" runs
has 'loss, options$'
unset COLUMNS
run 0 --runs "$folder/runs" generate memory "5 7 9" --tokens 2
has '^5 7 9 [0-9]* [0-9]* $'
run 0 --runs "$folder/runs" generate memory --tokens 2
has '^[0-9]* [0-9]* $'
run 1 --runs "$folder/runs" generate memory "to be"
says 'generate: the model has no tokenizer'
run 0 runs --runs "$folder/runs" --json
has '^{"name":"first","state":"done","step":30,"steps":30,.*"spark":\[[0-9.,]*\]}$'
has '^{"name":"memory",.*"options":"[^"]*","spark"'
"$SWITCHYARD" -e 'for line in io.lines "'"$folder/out"'" do assert(line:match "^{.*}$") end' \
    > "$folder/out2" 2> "$folder/err"
report $? "one object a line"
run 0 --json --runs "$folder/runs" runs
has '^{"name":"first"'
run 0 --runs "$folder/runs" log first loss val_loss --csv
[ "$(head -1 "$folder/out")" = "step,loss,val_loss" ] && [ "$(wc -l < "$folder/out")" -eq 21 ];
    report $? "csv: a head and 20 rows"
has '^1,[0-9.]*,$'
has '^10,[0-9.]*,[0-9.]*$'
run 0 --runs "$folder/runs" log first load.1 --json
has '^{"step":20,"load.1":\[[0-9.]*,[0-9.]*,[0-9.]*,[0-9.]*\]}$'
run 0 --runs "$folder/runs" log first load.1.2 loss
has '^step	load.1.2	loss$'
run 0 --runs "$folder/runs" log first
has '^step	.*	loss	'
run 0 --runs "$folder/runs" watch first
has '^step 30/30  loss [0-9.]*  val [0-9.]*  .*  done$'
run 0 --runs "$folder/runs" watch first --json
has '^{"step":30,"steps":30,"loss":[0-9.]*,"val":[0-9.]*,.*"state":"done","run":"first"}$'
run 0 --json --runs "$folder/runs" watch first
has '^{"step":30,'
run 1 --runs "$folder/runs" log first los
says "no series 'los' (did you mean 'loss'?)"
run 1 --runs "$folder/runs" log first loss nothing
says "no series 'nothing'; there are .* and [0-9]* more$"
run 1 --runs "$folder/runs" log first load.1.9
says 'has 4 columns, not 9'
run 1 --runs "$folder/runs" log third
says "run 'third': there is no [^ ]*/run.sqlite$"
run 1 --runs "$folder/runs" log frist
says "there is no [^ ]*/frist/run.sqlite (did you mean 'first'?)"
run 0 log "$folder/runs/first" loss
has "^20"
run 0 --runs "$folder/none" log "$folder/runs/first/" loss --csv
has "^20,"
run 0 watch "$folder/runs/first" --plain
has "step 20/30\\|step 30/30"
run 1 --runs "$folder/runs" log ../first
says "there is no"
run 1 --runs "$folder/runs" log ..
says "must not"
run 2 --runs "$folder/runs" log
says 'which run'
run 2 log first --xml
says "unknown option '--xml'"
for command in runs log watch; do
    run 2 $command --runs
    says "option '--runs' needs an argument"
    run 2 $command --threads x
    says "from 1 to 256: it is 'x'"
done
run 2 runs first
says 'takes no argument'
run 2 rums
says "neither a file nor a command (did you mean 'runs'?)"
mkdir "$folder/runs/foul"
LC_ALL=C sed "s/grad_norm/grad$(printf '\033')norm/g" "$folder/runs/first/run.sqlite" \
    > "$folder/runs/foul/run.sqlite"
for format in "" --csv --json; do # shellcheck disable=SC2086
    run 0 --runs "$folder/runs" log foul $format
    has 'grad.*norm'
    ! LC_ALL=C grep -q "$(printf '\033')" "$folder/out";
        report $? "log $format: names of series pass the sanitizer"
done
LC_ALL=C sed 's/grad_norm/grad"norm/g' "$folder/runs/first/run.sqlite" \
    > "$folder/runs/foul/run.sqlite"
run 0 --runs "$folder/runs" log foul --csv
has ',"grad""norm",'
rm -r "$folder/runs/foul"
printf garbage > "$folder/runs/empty/run.sqlite"
rm -f "$folder"/runs/empty/run.sqlite-*
run 0 --runs "$folder/runs" runs
has '^empty  *damaged '
has '^first '
run 1 --runs "$folder/runs" log empty
says 'is damaged'
finish
