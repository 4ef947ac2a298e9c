#!/bin/sh
# shellcheck disable=SC2016  # conditions are evaluated in ok
# What goes to standard output, and as what: objects alone with --json, a command's result alone.
# shellcheck source=tests/cli/lib.sh
. "${srcdir:-.}/tests/cli/lib.sh"

cat > "$folder/run.lua" << 'LUA'
print("from the script", 1, nil)
io.write("written by the script\n")
local d = data.string(("to be or not "):rep(200))
model.define("own", function(cfg)
  return function(ids)
    local w = nn.param("w", {256, 8})
    return nn.head(nn.embedding(ids, w), w)
  end
end, {{"vocab", "integer", 256, help = "x"}, {"context", "integer", 8, help = "x"},
  {"seed", "integer", 1, help = "x"}})
local r = train(model.own{}, d, {steps = 4, batch = 2, name = "first", checkpoint_every = 2,
  keep = 4, paused = true})
every(r, 2, function() print("from a hook") end)
r:resume():wait()
print('"quoted"\27[31m')
LUA
sy() { "$SWITCHYARD" -E --runs "$SWITCHYARD_RUNS" "$@" > "$folder/out" 2> "$folder/err"; }

# every way to standard output that is not an object of ours
cat "$folder/run.lua" - > "$folder/json.lua" << 'LUA'
io.stdout:write("by its stream\n")
os.execute "echo a command"
local f = io.popen("cat", "w")
f:write("a pipe\n")
f:close()
io.write("the last, unfinished")
LUA
sy --json "$folder/json.lua"
report $? "a script with --json"
ok '! grep -qv "^{.*}$" "$folder/out"' "every line is an object"
for text in "written by the script" "by its stream" "a command" "a pipe" "the last, unfinished"; do
    ok 'grep -qx "$text" "$folder/err"' "on standard error: $text"
done
ok 'grep -qF "{\"event\":\"print\",\"text\":\"from the script\\t1\\tnil\"}" "$folder/out"' \
    "what it prints is one"
ok 'grep -qF "{\"event\":\"print\",\"text\":\"from a hook\"}" "$folder/out"' "in a hook as well"
ok 'grep -qF "\\\"quoted\\\"\\u001b[31m" "$folder/out"' "quoted"
printf '%s\n' '1 + 1' 'io.write("a line\n")' '!echo a child' | sy --json -i
ok '! grep -qv "^{.*}$" "$folder/out" &&
    grep -qF "{\"event\":\"print\",\"text\":\"2\"}" "$folder/out"' \
    "lines of a pipe with -i as well"
"$SWITCHYARD" -E --json -e 'for i = 1, 1e5 do print(i) end' 2> "$folder/err" |
    head -n 1 > "$folder/out"
ok '[ ! -s "$folder/err" ] && [ "$(cat "$folder/out")" = "{\"event\":\"print\",\"text\":\"1\"}" ]' \
    "who reads no more is not complained to"
"$SWITCHYARD" -E --json -e 'io.write("x") print(1)' > "$folder/out" 2>&-
ok '[ $? -eq 0 ] && [ "$(cat "$folder/out")" = "{\"event\":\"print\",\"text\":\"1\"}" ]' \
    "without a standard error, too"
rm -rf "$SWITCHYARD_RUNS"

sy "$folder/run.lua"
ok 'grep -q "^from the script	1	nil$" "$folder/out" && grep -q "^from a hook$" "$folder/out"' \
    "without it they are lines"
sy generate first "to be" --code --tokens 3
report $? "generate with the run's script"
ok '! grep -q "script" "$folder/out"' "prints the text alone"
ok 'grep -q "^from the script	1	nil$" "$folder/err" &&
    grep -q "^written by the script$" "$folder/err"' \
    "what the script prints goes to standard error"
sy generate first "to be" --code --tokens 3 --json
ok '[ "$(grep -c "" "$folder/out")" -eq 1 ] &&
    grep -q "^{\"event\":\"text\",\"text\":\"to be" \
    "$folder/out"' "with --json the text is an object"
sy replay first --code
ok '[ "$(cat "$folder/out")" = "identical through step 4" ]' "replay prints its line alone"

cat > "$folder/fork.lua" << 'LUA'
local r = train.resume("first", {code = true, steps = 8, paused = true})
r:wait()
local child = r:fork{name = "second", step = 2}
child:wait()
print("child", child.step)
LUA
sy "$folder/fork.lua"
report $? "a fork"
ok 'grep -q "^child" "$folder/out" && ! grep -q "\[second\] paused" "$folder/out"' \
    "is not told to be paused as it begins"
finish
