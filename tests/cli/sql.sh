#!/bin/sh
# switchyard sql: every view, in every format, of a run that is done, one that is being trained and
# one of an old version; nothing is written, and what is no query is refused.  TAP.
# shellcheck disable=SC2016,SC2034 # conditions are evaluated in ok
# shellcheck source=tests/cli/lib.sh
. "${srcdir:-.}/tests/cli/lib.sh"
source=$(cd "${srcdir:-.}" && pwd)
case $SWITCHYARD in /*) ;; *) SWITCHYARD=$PWD/$SWITCHYARD ;; esac
cd "$folder" || exit 99

cat > t.lua << 'LUA'
local d = data.synthetic{domains = 4, tokens = 20000, seed = 1}
local m = model.moe{layers = 2, dim = 16, heads = 2, context = 16, experts = 4, top_k = 2,
  expert_dim = 16, vocab = d.vocab}
local r = train(m, d, {steps = tonumber(arg[1]), batch = 2, name = arg[2], checkpoint_every = 10,
  eval_every = 10, eval_batches = 1, paused = true})
local acting = require "switchyard.core.acting"
acting.as("an\ragent", function() r.lr = 5e-4 end)
r._store:add("events", 0, "alarm", "it is dead", "dead")
r._store:add("events", 0, "alarms", "1 alarm acts", "{}")
r:resume()
r:wait()
LUA
"$SWITCHYARD" t.lua 30 q > out 2> err || exit 99

sql() { "$SWITCHYARD" sql "$@" > out 2> err; }
# is WANT QUERY [OPTION]: what is printed, lines joined by /
is()
{
    want=$1 query=$2
    shift 2
    sql q "$query" "$@"
    got=$(tr '\t\n' ' /' < out)
    [ "$got" = "$want" ]
    report $? "$query${1:+ $1}"
    [ "$got" = "$want" ] || printf '# got %s\n' "$got"
}
refused() { # STATUS TEXT WORDS...
    status=$1 text=$2
    shift 2
    sql "$@"
    [ $? -eq "$status" ] && grep -q -F -e "$text" err
    report $? "refused: $text"
}

# ---- views ----

is 'name state step steps live parent/q done 30 30 0 -/' \
    'select name, state, step, steps, live, parent from run'
is 'value/2/' "select value from config where name = 'model.config.layers'"
is 'step kind text who/0 set lr = 0.0005 an\x0Dagent/' 'select step, kind, text, who from journal'
is 'kind text alarm/alarm it is dead dead/alarms 1 alarm acts -/done  -/' \
    "select kind, text, alarm from events where kind <> 'checkpoint'"
is 'step/30/' 'select max(step) step from checkpoints where bytes > 1000'
is 'n/0/' 'select count(*) n from samples'
is 'name kind unit layer width rows/load.1 load of a fair share 1 4 30/loss loss nats - 1 30/' \
    "select name, kind, unit, layer, width, rows from series where name in ('loss', 'load.1')"
is 'step/29/30/' "select step from metrics where series = 'loss' and step > 28"
is 'step/29/30/' "select step from metrics where series = 'loss' and step >= 28.5"
is 'step/1/2/' "select step from metrics where series = 'loss' and 3 > step"
is 'n/30/' "select count(*) n from metrics where series = 'LOSS' collate nocase"
is 'n/0/' "select count(*) n from metrics where series = 'los'"
is 'n/0/' 'select count(*) n from metrics where step = null'
is 'n/8/' 'select count(*) n from loads where step = 7'
is 'layer expert/2 3/' 'select layer, expert from loads where layer = 2 and step = 7 and expert = 3'
is 's/8/' 'select round(sum(value), 2) s from loads where step = 7'
is 'same/1/' "select sum(rows * width) = (select count(*) from metrics) same from series"
is '{"a":10,"b":null,"c":"x\"y"}/' "select 10 a, null b, 'x\"y' c" --json
is 'a,b,c/10,,"x""y"/' "select 10 a, null b, 'x\"y' c" --csv
is 'a/x\x00y/' "select 'x' || char(0) || 'y' a" --csv
is 'a/1/' 'select 1 a; -- and no more'
is 'a/1/' 'select 1 a;; /* and no more */ ;'
"$SWITCHYARD" log q loss --json > want
sql q "select step, value loss from metrics where series = 'loss'" --json
cmp -s out want
report $? 'values are those of log'
sql q
ok 'grep -q "^metrics: all values" out && grep -q "^  val_loss     REAL     newest, nats" out' \
    'without a query: the views'

# ---- what is no query ----

before=$(cksum < runs/q/run.sqlite)
refused 2 'sql: which run?'
refused 2 "what is 'b'?" q a b
refused 2 "sql: unknown option '--x'" q --x
refused 1 "run 'none': there is no" none 'select 1'
refused 1 "no such table: metric (did you mean 'metrics'?)" q 'select * from metric'
refused 1 'no such table: chunk' q 'select * from chunk'
refused 1 'no such column: x' q 'select x from run'
refused 1 'near "selec": syntax error' q 'selec 1'
refused 1 'the query is empty' q ' ; '
refused 1 "one query at a time; behind it stands 'select 2'" q 'select 1; select 2'
refused 1 'one query at a time; behind it stands' q 'select 1; -- and
    select 2'
refused 1 'one query at a time; behind it stands' q 'select 1; selec'
for text in 'drop table run' "attach 'x' as y" 'pragma user_version' 'create table x(a)' \
    'begin' 'vacuum' 'create temp view v as select 1'; do
    refused 1 'only queries are taken (select ...)' q "$text"
done
for text in "insert into run(name) values('x')" 'delete from journal' 'update run set step = 1'; do
    refused 1 'sql: ' q "$text"
done
refused 1 'load_extension' q "select load_extension('x')"
ok '[ "$(cksum < runs/q/run.sqlite)" = "$before" ] && [ ! -e x ]' 'nothing was written'

# ---- others' stores ----

mkdir -p runs/old && cp "$source/tests/fuzz/corpus/store/version1" runs/old/run.sqlite
sql old "select count(*) n, max(step) from metrics where series = 'loss'"
report $? 'a store of version 1'
sql old 'select who from journal'
report $? 'which says of nobody that he did it'
head -c 20000 runs/q/run.sqlite > short
mkdir runs/cut && cp short runs/cut/run.sqlite
sql cut 'select * from metrics'
ok '[ $? -eq 1 ] && [ "$(wc -l < err)" -eq 1 ]' 'one that was cut: one line'

"$SWITCHYARD" t.lua 10000000 live > log 2>&1 &
trainer=$!
until_true sh -c '"$1" sql live "select step from metrics limit 1" 2> /dev/null | grep -q "^1$"' - \
    "$SWITCHYARD"
report $? 'one that is being trained'
sql live 'select live, state from run'
ok 'grep -q "^1.running" out' 'says so'
kill -TERM $trainer
wait $trainer

if can_front; then
    in_front "$SWITCHYARD" sql q 'with recursive c(x) as (select 1 union all select x + 1 from c)
        select max(x) from c' > out 2> err &
    asked=$!
    until_true sh -c 'grep -q "^State:.*R" "/proc/$1/status"' - $asked
    until_true sh -c 'kill -INT "$1" 2> /dev/null; sleep 0.05; ! kill -0 "$1" 2> /dev/null' - $asked
    wait $asked
    ok '[ $? -eq 130 ]' 'Ctrl-C ends a query'
else
    skip 'no perl: Ctrl-C'
fi
finish
