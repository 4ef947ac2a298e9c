#!/bin/sh
# shellcheck disable=SC2016  # conditions are evaluated in ok
# What a terminal would obey does not come out, whatever brought it in: arguments, names, files,
# data, models, journals. One hostile text at every exit; what a script prints by itself is its own
# business.
# shellcheck source=tests/cli/lib.sh
. "${srcdir:-.}/tests/cli/lib.sh"

# A title, CSI as C1, DEL, a bidi override, a byte that is no UTF-8.
H=$(printf '\033]0;x\007\302\2331m\177\342\200\256\377')
lua='H = "\27]0;x\7\xC2\x9B1m\127\u{202E}\xFF"; V = "\27]0;x\7\xC2\x9B1m\127\u{202E}"'
FORKS=$folder/forks
export H FORKS

# None of its bytes in a file.
obeyed='/\033|\007|\177|\302[\200-\237]|\342\200\256|\377/'
clean() { LC_ALL=C awk "$obeyed"' { bad = 1 } END { exit bad }' "$1"; }

# exit NAME COMMAND...: both outputs are clean, and the text was there
out()
{
    name=$1
    shift
    "$@" > "$folder/out" 2> "$folder/err" < /dev/null
    clean "$folder/out" && clean "$folder/err" && grep -q '0;x' "$folder/out" "$folder/err"
    report $? "$name"
}

# typed NAME LINE...: the same of what lines of a pipe answer
typed()
{
    name=$1
    shift
    printf '%s\n' "$lua" "$@" | "$SWITCHYARD" -E --runs "$SWITCHYARD_RUNS" -i > "$folder/out" \
        2> "$folder/err"
    clean "$folder/out" && clean "$folder/err" && grep -q '0;x' "$folder/out" "$folder/err"
    report $? "typed: $name"
}

sy() { "$SWITCHYARD" "$@"; }
# shellcheck disable=SC2120
script() { printf '%s\n' "$lua" "$@" > "$folder/s.lua";
    sy -E --runs "$SWITCHYARD_RUNS" "$folder/s.lua"; }

# A run whose journal, events, samples, series and vocabulary hold it.
cat > "$folder/make.lua" << 'LUA'
H = "\27]0;x\7\xC2\x9B1m\127\u{202E}\xFF"
local d = data.string((H .. "abc "):rep(200))
model.define("odd", function(cfg)
  return function(ids)
    local w = nn.param("w", {256, 8})
    local x = nn.embedding(ids, w)
    nn.observe("s" .. H:sub(1, -2), x:mean())
    return nn.head(x, w)
  end
end, {{"vocab", "integer", 256, help = "x"}, {"context", "integer", 8, help = "x"},
  {"seed", "integer", 1, help = "x"}})
local m = model.odd{}
local r = train(m, d, {steps = 4, batch = 2, name = "odd", sample_every = 2, checkpoint_every = 2})
r:wait()
r:note(H)
local s = assert(require "switchyard.engine".store_create{name = "fork", dir = os.getenv "FORKS",
  parent = H:sub(1, -2), parent_step = 2})
assert(s:add("journal", 3, "set", H, ""))
require "switchyard.core.acting".as(H, function() assert(s:add("journal", 4, "set", "lr", "")) end)
assert(s:close())
print(H:sub(1, 0) .. "made")
LUA
sy -E --runs "$SWITCHYARD_RUNS" "$folder/make.lua" > "$folder/out" 2> "$folder/err"
report $? "a run with hostile text is made"
ok 'clean "$folder/out" && clean "$folder/err"' "its samples and progress are clean"
mkdir "$SWITCHYARD_RUNS/broken" && printf '%s' "$H$H$H$H$H$H$H$H$H$H$H$H" \
    > "$SWITCHYARD_RUNS/broken/run.sqlite"

out "a word" sy "$H"
out "an option" sy "--$H"
out "a number of threads" sy --threads "$H" -e ""
out "threads in the environment" env SWITCHYARD_THREADS="$H" "$SWITCHYARD" -e ""
out "kernels in the environment" env SWITCHYARD_CPU="$H" "$SWITCHYARD" -e ""
out "a module" sy -E -l "$H"
out "code that does not parse" sy -E -e "x = 1 '$H'"
out "code that fails" sy -E -e "error(os.getenv 'H')"
out "an error that is a table" sy -E \
    -e "error(setmetatable({}, {__tostring = function() return os.getenv 'H' end}))"
out "a script that is not there" sy -E -i "$H"
for command in log sql watch resume replay generate; do
    out "$command of a run" sy --runs "$SWITCHYARD_RUNS" $command "$H"
    out "an option of $command" sy --runs "$SWITCHYARD_RUNS" $command "--$H"
done
out "a word for runs" sy runs "$H"
out "an option of runs" sy runs "--$H"
out "the tree of runs" sy --runs "$folder/forks" runs --tree
ok '[ "$(grep -c "0;x" "$folder/out")" -eq 3 ]' "of a parent's name, an entry, and who made it"
out "the folder of runs" sy --runs "$folder/$H" runs
out "the folder of runs, of log" sy --runs "$folder/$H" log
out "the folder of runs, of watch" sy --runs "$folder/$H" watch
out "a series of log" sy --runs "$SWITCHYARD_RUNS" log odd "$H"
out "the series that log knows" sy --runs "$SWITCHYARD_RUNS" log odd nothing
out "log" sy --runs "$SWITCHYARD_RUNS" log odd
out "log --csv" sy --runs "$SWITCHYARD_RUNS" log odd --csv
out "log --json" sy --runs "$SWITCHYARD_RUNS" log odd --json
out "a query of sql" sy --runs "$SWITCHYARD_RUNS" sql odd "select * from \"$H\""
out "a name in sql" sy --runs "$SWITCHYARD_RUNS" sql odd "select 1 as \"$H\""
for view in journal series; do
    out "$view of sql" sy --runs "$SWITCHYARD_RUNS" sql odd "select * from $view"
    out "$view of sql, CSV" sy --runs "$SWITCHYARD_RUNS" sql odd "select * from $view" --csv
    out "$view of sql, JSON" sy --runs "$SWITCHYARD_RUNS" sql odd "select * from $view" --json
done
out "a script that serve lacks" sy serve "$H.lua" --socket "$folder/s"
out "a socket that cannot be" sy serve "$H" --socket "$folder/no/$H"
out "generate" sy --runs "$SWITCHYARD_RUNS" generate odd --code "$H" --tokens 20
out "export" sy --runs "$SWITCHYARD_RUNS" export odd --code "$folder/no/such/$H"

for line in 'H' '{H, [H] = H}' '{{a = H}, {a = H}}' 'H:rep(3)' 'error(H)' "?$H" "??$H" ":$H" \
    ":help $H" \
    'data.text(H)' 'tokenizer.load(H)' 'model.load(H)' 'tensor.load(H)' 'data.shards(H)' \
    'runs "odd":journal()' 'runs "odd":series()' 'runs(H)' \
    'setmetatable({}, {__tostring = function() return H end})' 'nil, H, "IO"' \
    'coroutine.wrap(function() error(H) end)()' \
    'local t = tokenizer.bytes and tokenizer.bytes(); return t and t:decode(t:encode(H)) or H' \
    'train.resume(H)' 'replay(H)'; do
    typed "$line" "$line"
done
typed ":who" '_G[H] = H' ':who'

out "an error of a hook" script 'd = data.string(("abc "):rep(200))' \
    'm = model.moe{layers = 1, dim = 16, heads = 2, context = 8, vocab = 256, experts = 2, top_k = 1, expert_dim = 16}' \
    'r = train(m, d, {steps = 3, batch = 1, save = false, paused = true})' \
    'every(r, 1, function() error(H) end)' 'r:resume() r:wait()' 'print(r:journal())'
out "an error in a model's function" script 'd = data.string(("abc "):rep(200))' \
    'model.define("bad", function() return function() error(H) end end, {{"vocab", "integer", 256, help = ""},' \
    '{"context", "integer", 8, help = ""}, {"seed", "integer", 1, help = ""}})' 'model.bad{}'
out "names of options" script 'model.moe{[H] = 1}'
out "names of fields" script 'local x = tensor.ones(1)[H]'
finish
