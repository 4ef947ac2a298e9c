#!/bin/sh
# The command line: options, exit codes, streams.
# shellcheck source=tests/cli/lib.sh
. "${srcdir:-.}/tests/cli/lib.sh"
XDG_CONFIG_HOME=$folder/config XDG_STATE_HOME=$folder/state
export XDG_CONFIG_HOME XDG_STATE_HOME
unset SWITCHYARD_THREADS SWITCHYARD_CPU

complains() { # complains PATTERN: in the first line of the errors; none when it is empty
    if [ -z "$1" ]; then [ ! -s "$folder/err" ]; else head -1 "$folder/err" | grep -q -e "$1"; fi
}
# run STATUS OUT PATTERN ARGS...: within a minute, exact output, and what it complains of
run() {
    status=$1 out=$2 err=$3
    shift 3
    timeout 60 "$SWITCHYARD" "$@" < "${input:-/dev/null}" > "$folder/out" 2> "$folder/err"
    got=$?
    [ $got -eq "$status" ] && [ "$(cat "$folder/out")" = "$out" ] && complains "$err"
    report $? "$* => $got"
}
one_line() { [ "$(wc -l < "$folder/err")" -eq 1 ]; report $? "... in one line"; }

cat > "$folder/args.lua" <<'EOF'
print(arg[0]:match "[^/]+$", #arg, arg[1], arg[-1] ~= nil, ...)
EOF
echo 'local x = nil; x.y = 1' > "$folder/error.lua"
echo 'local t = tensor.zeros(2, 3)
local function f() return t:matmul(t) end
f()' > "$folder/shapes.lua"
echo 'print((' > "$folder/syntax.lua"
echo 'print("from standard input", ...)' > "$folder/in.lua"
mkdir -p "$folder/config/switchyard"
echo 'INIT = "init ran"' > "$folder/config/switchyard/init.lua"
echo 'return {value = 7}' > "$folder/mymodule.lua"

run 0 "1" "" -e 'print(1)'
run 0 "1
2" "" -e 'x = 1' -e 'print(x)' -e 'print(x + 1)'
run 0 "3" "" '-eprint(3)'
run 0 "args.lua	2	a	true	a	b" "" "$folder/args.lua" a b
run 0 "args.lua	1	-e	true	-e" "" "$folder/args.lua" -e
run 0 "7" "" -e "package.path = '$folder/?.lua'" -l mymodule -e 'print(mymodule.value)'
run 0 "true" "" -E -e 'print(require("switchyard").tensor == tensor)'
run 0 "2" "" --threads 2 -e 'print(tensor.threads())'
run 0 "3" "" --threads=3 -e 'print(tensor.threads())'
input=$folder/in.lua run 0 "from standard input" ""
input=$folder/in.lua run 0 "from standard input	a" "" - a
input=$folder/in.lua run 0 "from standard input" "" --plain

# a line goes out at once, when all its values are texts
run 0 "inner
x	y

z" "" -e 'print("x", setmetatable({}, {__tostring = function() print "inner" return "y" end}))
    print() print "z"'
run 2 "" "unknown option '--thread' (did you mean '--threads'?)" --thread 2; one_line
run 2 "" "unknown option '-x'" -x; one_line
run 2 "" "unknown option '--plain=1'" --plain=1; one_line
run 2 "" "option '-e' needs an argument" -e; one_line
run 2 "" "neither a file nor a command" nosuchfile; one_line
run 1 "" "unknown run 'a'; there are none" --runs "$folder/none" -e 'runs "a"'
run 2 "" "from 1 to 256: it is '0'" --threads 0 -e 1; one_line
run 2 "" "from 1 to 256: it is 'x'" --threads x -e 1; one_line
SWITCHYARD_THREADS=many run 2 "" "SWITCHYARD_THREADS" -e 'print(1)'; one_line
SWITCHYARD_THREADS=many run 0 "1" "" -E -e 'print(1)'
SWITCHYARD_CPU=z80 run 2 "" "z80" -e 'print(1)'; one_line
SWITCHYARD_CPU=ref run 0 "ref" "" -e 'print((tensor.cpu()))'

run 1 "" "error.lua:1: attempt to index a nil value (local 'x')" "$folder/error.lua"
grep -q "stack traceback" "$folder/err"; report $? "... with a traceback"
run 1 "" "shapes.lua:2: matmul: inner dimensions differ: a is (2, 3), b is (2, 3)" \
    "$folder/shapes.lua"
run 1 "" "syntax.lua:" "$folder/syntax.lua"; one_line
run 1 "" "switchyard: (command line):1:" -e 'error "x"'
run 1 "" "switchyard: (the error is a table value)" -e 'error({})'
run 1 "" "near <eof>" -e 'print('; one_line
run 3 "" "" -e 'os.exit(3)'
run 0 "" "" -e 'pcall(os.exit) print "not reached"'
run 1 "" "" -e 'os.exit(false)'
run 1 "first" "module 'nothing' not found" -e 'print "first"' -l nothing -e 'print "never"'

"$SWITCHYARD" --version > "$folder/out" 2> "$folder/err"
grep -Eq '^switchyard [0-9]+\.[0-9]+' "$folder/out"; report $? "--version"
"$SWITCHYARD" --help > "$folder/out" 2> "$folder/err"
report $? "--help"
for option in -e -l -i -E --plain --json --threads --runs --version --help; do
    grep -q -e " $option " "$folder/out" || { echo "# --help lacks $option"; false; } || break
done
report $? "--help lists every option"
for command in "" runs watch log sql resume serve replay \
    generate trace export; do # shellcheck disable=SC2086
    "$SWITCHYARD" $command --help > "$folder/out"
    awk 'length > 80 { print "# " $0; wide = 1 } END { exit wide }' "$folder/out"
    report $? "$command --help fits into 80 columns"
done

# the prompt without a terminal: lines from standard input, init file unless -E
echo '_G.INIT' > "$folder/lines"
input=$folder/lines run 0 "init ran" "" -i
input=$folder/lines run 0 "" "" -E -i
printf '1 + 1\nx.y\n"after"\n_ \n5;\nfor i = 1, 2 do\nprint(i)\nend\nyard> 6 * 7\n' \
    > "$folder/lines"
timeout 60 "$SWITCHYARD" -E -i < "$folder/lines" > "$folder/out" 2> "$folder/err"
[ $? -eq 1 ] && [ "$(cat "$folder/out")" = "2
after
after
1
2
42" ] && [ "$(cat "$folder/err")" = "undefined name 'x'" ]
report $? "-i reads lines; 1 when one failed"
printf 'x\n' > "$folder/lines"
input=$folder/lines run 0 "5" "" -E -i -e 'x = 5'
printf 'quit(4)\n1\n' > "$folder/lines"
input=$folder/lines run 4 "" "" -E -i
printf 'os.exit(4)\n1\n' > "$folder/lines"
input=$folder/lines run 4 "" "" -E -i
printf 'print(io.read())\na line for the chunk\n' > "$folder/lines"
input=$folder/lines run 0 "a line for the chunk" "" -E -i

# a closed pipe ends a script without noise
timeout 60 "$SWITCHYARD" -e 'for i = 1, 1e9 do print(i) end' 2> "$folder/err" |
    head -1 > "$folder/out"
[ "$(cat "$folder/out")" = 1 ] && [ ! -s "$folder/err" ]; report $? "| head"

# SIGINT.  interrupt PATTERN ARGS...: when a line of the output matches, it is sent; $got is the
# status. The files are new each time: the program in the background may open them only after we
# have looked.
interrupt() {
    pattern=$1
    shift
    rm -f "$folder/out" "$folder/err"
    # A shell without job control starts it with SIGINT ignored; the program catches it
    # nevertheless.
    "$SWITCHYARD" "$@" > "$folder/out" 2> "$folder/err" &
    pid=$!
    for word in begin end; do
        tries=0
        while kill -0 $pid 2> /dev/null; do
            [ $word = begin ] && grep -q "$pattern" "$folder/out" 2> /dev/null && break
            tries=$((tries + 1))
            if [ $tries -gt 1200 ]; then
                echo "# after 60 s it did not $word; its signals and threads:"
                grep -H -E 'State|SigPnd|ShdPnd|SigBlk|SigCgt' /proc/$pid/task/*/status |
                    sed 's/^/# /'
                kill -KILL $pid
            fi
            sleep 0.05
        done
        [ $word = begin ] && kill -INT $pid 2> /dev/null
    done
    wait $pid
    got=$?
}
told() { [ $got -eq 130 ] && [ "$(cat "$folder/err")" = "switchyard: interrupted" ]; }

# It ends with 130, also inside coroutines and around pcall.
for code in 'while true do end' \
    'coroutine.wrap(function() while true do end end)()' \
    'while true do pcall(function() while true do end end) end' \
    'while true do coroutine.resume(coroutine.create(function() while true do end end)) end'; do
    interrupt begun -e "print 'begun' $code"
    told; report $? "SIGINT: $code => $got"
done

# ... in os.execute and while a stream of io.popen is read or closed, by a signal to the program
# alone; the command ends as well
cat > "$folder/execute.lua" << 'EOF'
print "begun"
io.stdout:flush()
local command = "echo $$ > '" .. arg[1] .. "/child'; exec sleep 1000"
if arg[2] == "execute" then print(os.execute(command)) end
local f = io.popen(command)
if arg[2] == "read" then print(f:read "a") else print(f:close()) end
EOF
for signal in INT TERM; do
for how in execute read close; do
    rm -f "$folder/child"
    "$SWITCHYARD" -E "$folder/execute.lua" "$folder" $how > "$folder/out" 2> "$folder/err" &
    pid=$!
    while [ ! -s "$folder/child" ] && kill -0 $pid 2> /dev/null; do sleep 0.05; done
    kill -$signal $pid
    wait $pid
    got=$?
    [ "$got" -eq "$([ $signal = INT ] && echo 130 || echo 143)" ] &&
        ! kill -0 "$(cat "$folder/child")" 2> /dev/null
    report $? "SIG$signal while a command runs ($how), once => $got"
done
done
cat > "$folder/execute.lua" << 'EOF'
assert(os.execute() == true)
print(os.execute "exit 3")
print(os.execute "kill -9 $$")
print(os.execute "true")
print(io.popen "exit 5":close())
print(io.popen "kill -9 $$":close())
print(io.popen "echo read":read "a")
print(pcall(io.popen, "true", "rw"))
local f = io.popen("cat; sleep 0.2; echo ended", "w")
f:write "written "
f:close()
io.write "first "
os.execute "echo second"
EOF
timeout 60 "$SWITCHYARD" -E "$folder/execute.lua" > "$folder/out" 2> "$folder/err"
want='nil\texit\t3\nnil\tsignal\t9\ntrue\texit\t0\nnil\texit\t5\nnil\tsignal\t9\nread\n\n'
want="${want}false\tbad argument #2 to 'io.popen' (invalid mode)\nwritten ended\nfirst second"
# shellcheck disable=SC2059 # it is a format
[ "$(cat "$folder/out")" = "$(printf "$want")" ]
report $? "what os.execute and io.popen give"

# ... in C, while a splitting pattern is slow: minutes of it
cat > "$folder/slow.lua" << 'EOF'
local folder = arg[1]
local function put(name, text) local f <close> = io.open(folder .. name, "wb"); f:write(text) end
local function get(name) local f <close> = io.open(folder .. name, "rb"); return f:read "a" end
put("/words.txt", ("to be or not to be\n"):rep(30))
assert(tokenizer.train_bpe(folder .. "/words.txt", {vocab = 260}):save(folder .. "/slow.json"))
local json = get "/slow.json"
local from, to = json:find('"Regex": ', 1, true)
local after = json:find('}, "behavior"', to, true)
put("/slow.json", json:sub(1, to) .. '"a*a*b|a"' .. json:sub(after, -1))
local slow = assert(tokenizer.load(folder .. "/slow.json"))
local text = (("a"):rep(1300) .. "\n"):rep(400)
put("/slow.txt", text)
print "begun"
io.stdout:flush()
if arg[2] == "encode" then slow:encode(text)
else data.text(folder .. "/slow.txt", {tokenizer = slow}) end
EOF
for how in encode text; do
    interrupt '^begun' "$folder/slow.lua" "$folder" $how
    told; report $? "SIGINT in a slow splitting pattern ($how) => $got"
done

# ... while the program waits for the runs of a script, and in r:wait()
cat > "$folder/train.lua" << 'EOF'
local m = model.moe{layers = 1, dim = 16, heads = 2, context = 16, experts = 2, top_k = 1,
  expert_dim = 16}
local r = train(m, data.string(string.rep("to be or not ", 200)), {steps = 1e9, batch = 1,
  eval_every = 0})
if arg[1] == "wait" then r:wait() end
if arg[1] == "last" then interrupt() end
EOF
for wait in "" wait; do
    interrupt '^step 1/' "$folder/train.lua" $wait
    told; report $? "SIGINT with a live run $wait => $got"
done

# ... and at the last instruction of a script or a chunk, when nothing of it is left to be ended
cat > "$folder/self.lua" << 'EOF'
local f <close> = io.open "/proc/self/stat"
local pid = f and f:read "n"
function interrupt() io.popen("kill -INT " .. pid):close() end
return {}
EOF
bounded() { timeout 60 "$SWITCHYARD" -e "package.path = '$folder/?.lua'" -l self "$@" \
    > "$folder/out" 2> "$folder/err"; got=$?; }
bounded "$folder/train.lua" last
told && grep -q 'stopped at step' "$folder/out";
    report $? "SIGINT at the end of a script that trains => $got"
cat > "$folder/never.lua" << 'EOF'
train(model.dense{layers = 1, dim = 8, heads = 2, context = 8, ffn_dim = 8},
  data.string(("to be "):rep(99)), {steps = 3, batch = 1, name = "never", save = false,
  paused = true})
EOF
bounded "$folder/never.lua"
[ $got -eq 0 ] && grep -q '^\[never\] stopped at step 0 of 3$' "$folder/out";
    report $? "a run that made no step has no loss"
bounded -e 'interrupt()' -e 'print "never"'
told && [ ! -s "$folder/out" ]; report $? "SIGINT between two chunks => $got"
bounded -e 'print(pcall(interrupt))' -e 'print "never"'
told && ! grep -q never "$folder/out"; report $? "SIGINT in a pcall at the end of a chunk => $got"

finish
