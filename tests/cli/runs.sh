#!/bin/sh
# switchyard runs and switchyard log, over stores made through the bindings.
set -u
program=${SWITCHYARD:-./switchyard}
dir=$(mktemp -d) || exit 99
trap 'rm -rf "$dir"' EXIT
unset SWITCHYARD_RUNS
n=0
bad=0
ok() { # ok STATUS TEXT
    n=$((n + 1))
    if [ "$1" -eq 0 ]; then echo "ok $n - $2"; else
        echo "not ok $n - $2"
        sed 's/^/# out: /' "$dir/out" | head -5
        sed 's/^/# err: /' "$dir/err" | head -5
        bad=1
    fi
}
run() { # run STATUS ARGS...
    want=$1
    shift
    "$program" "$@" > "$dir/out" 2> "$dir/err"
    got=$?
    [ $got -eq "$want" ]
    ok $? "$* => $got"
}
has() { grep -q -e "$1" "$dir/out"; ok $? "prints $1"; }
says() { grep -q -e "$1" "$dir/err" && [ "$(wc -l < "$dir/err")" -eq 1 ]; ok $? "says $1"; }

cat > "$dir/make.lua" <<'LUA'
local engine = require "switchyard.engine"
local d = data.synthetic{domains = 2, tokens = 5000, seed = 1}
local m = model.moe{layers = 1, dim = 8, heads = 1, context = 8, vocab = d.vocab, experts = 4, top_k = 2, expert_dim = 8}
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
assert(#e == 1 and e[1].data == "\0\1" and e[1].step == 7 and s:entries("samples")[1].text == "once")
local info = s:info()
assert(info.live and info.state == "done" and info.step == 30 and #info.spark == 30)
local no, why, code = engine.store_open("first", {write = true})
assert(not no and why:find "is being written by process" and code == "STATE")
assert(select(3, s:history "nothing") == "NAME" and select(3, engine.store_open "nothing") == "NOTFOUND")
assert(not pcall(engine.store_create, {name = "a/b"}) and not engine.store_name_ok "a/b" and engine.store_name_ok "ab")
assert(s:truncate(20) and s:info().sparks == nil and #s:info().spark == 20)
assert(#engine.store_runs() == 3) -- memory has one, too
r:close() -- while the store is attached
assert(s:close() and not pcall(s.flush, s))
LUA
run 0 --runs "$dir/runs" runs
has "no runs in $dir/runs"
run 0 --runs "$dir/runs" "$dir/make.lua"
run 0 --runs "$dir/runs" runs
has '^run  *state'
has '^first .*done .*30/30 .*kB  '
has '^empty .*new .*0/0 '
run 0 runs --runs "$dir/runs" --json
has '^{"name":"first","state":"done","step":30,"steps":30,.*"spark":\[[0-9.,]*\]}$'
"$program" -e 'for line in io.lines "'"$dir/out"'" do assert(line:match "^{.*}$") end' > "$dir/out2" 2> "$dir/err"
ok $? "one object a line"
run 0 --json --runs "$dir/runs" runs
has '^{"name":"first"'
run 0 --runs "$dir/runs" log first loss val_loss --csv
[ "$(head -1 "$dir/out")" = "step,loss,val_loss" ] && [ "$(wc -l < "$dir/out")" -eq 21 ]; ok $? "csv: a head and 20 rows"
has '^1,[0-9.]*,$'
has '^10,[0-9.]*,[0-9.]*$'
run 0 --runs "$dir/runs" log first load.1 --json
has '^{"step":20,"load.1":\[[0-9.]*,[0-9.]*,[0-9.]*,[0-9.]*\]}$'
run 0 --runs "$dir/runs" log first load.1.2 loss
has '^step	load.1.2	loss$'
run 0 --runs "$dir/runs" log first
has '^step	.*	loss	'
run 0 --runs "$dir/runs" watch first
has '^step 30/30  loss [0-9.]*  val [0-9.]*  .*  done$'
run 0 --runs "$dir/runs" watch first --json
has '^{"step":30,"steps":30,"loss":[0-9.]*,"val":[0-9.]*,.*"state":"done","run":"first"}$'
run 0 --json --runs "$dir/runs" watch first
has '^{"step":30,'
run 1 --runs "$dir/runs" log first los
says "no series 'los'; there are .*loss"
run 1 --runs "$dir/runs" log first load.1.9
says 'has 4 columns, not 9'
run 1 --runs "$dir/runs" log third
says "run 'third': there is no "
run 1 --runs "$dir/runs" log ../first
says "must not"
run 2 --runs "$dir/runs" log
says 'which run'
run 2 log first --xml
says "unknown option '--xml'"
run 2 runs first
says 'takes no argument'
run 2 rums
says "neither a file nor a command (did you mean 'runs'?)"
mkdir "$dir/runs/foul"
LC_ALL=C sed "s/grad_norm/grad$(printf '\033')norm/g" "$dir/runs/first/run.sqlite" > "$dir/runs/foul/run.sqlite"
for format in "" --csv --json; do # shellcheck disable=SC2086
    run 0 --runs "$dir/runs" log foul $format
    has 'grad.*norm'
    ! LC_ALL=C grep -q "$(printf '\033')" "$dir/out"; ok $? "log $format: names of series pass the sanitizer"
done
rm -r "$dir/runs/foul"
printf garbage > "$dir/runs/empty/run.sqlite"
rm -f "$dir"/runs/empty/run.sqlite-*
run 0 --runs "$dir/runs" runs
has '^empty  *damaged '
has '^first '
run 1 --runs "$dir/runs" log empty
says 'is damaged'
echo "1..$n"
exit $bad
