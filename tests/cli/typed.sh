#!/bin/sh
# Lines that are typed, from a pipe (-i): what each answers.  Lines of a pipe depend on each other:
# a wait is waited for.
# shellcheck source=tests/cli/lib.sh disable=SC2016
. "${srcdir:-.}/tests/cli/lib.sh"

# expect NAME TEXT LINE...: the answers to the lines hold the text
expect() {
    name=$1 want=$2
    shift 2
    rm -rf "$SWITCHYARD_RUNS"
    printf '%s\n' "$@" | "$SWITCHYARD" -E --runs "$SWITCHYARD_RUNS" -i > "$folder/out" 2>&1
    grep -qF -e "$want" "$folder/out"
    report $? "$name"
}

model='m = model.moe{layers = 1, dim = 16, heads = 2, context = 16, vocab = 256, experts = 4, expert_dim = 16}'
text="d = data.text '${srcdir:-.}/LICENSE'"
train='r = train(m, d, {steps = 40, batch = 1, eval_every = 0, checkpoint_every = 0, lint = false,
    name = "typed"})'

expect "a wait is waited for" "step 40 done" "$model" "$text" "$train" 'r:wait();' \
    'print("step", r.step, r.state)' \
    'print(("step %d %s"):format(r.step, r.state))'
expect "a loop that waits" "at 30" "$model" "$text" "${train%\}*}, paused = true})" \
    'for i = 1, 3 do r:steps(10) r:wait() end' 'print("at " .. r.step)'
expect "sleep" "slept" 'sleep(0.3)' 'print("slept")'
expect "its time, when over a second" " s)" 'sleep(1.1)'
expect "yield outside of a coroutine" "outside a coroutine" 'coroutine.yield(1)'
expect "coroutines yield to who resumes them" "1 2 3" \
    'for i = 1, 1 do co = coroutine.wrap(function(a) local b = coroutine.yield(a) return b end) print(co(1) .. " " .. co(2) .. " 3") end'
expect "a value is kept" "43" '42' '_ + 1'
expect "a hidden one too" "43" '42;' '_ + 1'

expect ":help lists the commands" ":rewind STEP [RUN]" ':help'
expect ":help NAME" ":kill N    kill(n)" ':help kill'
expect "the beginning of a name" "no jobs" ':jo'
expect "an unknown command" "unknown command ':jbos' (did you mean ':jobs'?)" ':jbos'
expect "a command without its argument" ":kill: takes a number (:kill N)" ':kill x'
expect "no run" "pause: there is no run yet" ':pause'
expect "no screen" "dump: needs the workbench" ':dump x'
expect "variables" "answer       42" 'answer = 42' ':who'
expect ":pause and :resume" "paused running" "$model" "$text" "$train" \
    'r.steps = 1000000000; r:resume();' ':pause' 'r:wait(); s = r.state' ':resume typed' \
    'print(s .. " " .. r.state)'
expect ":mark" "a mark of mine" "$model" "$text" "$train" ':mark a mark of mine' 'r:wait();' \
    'for _, e in ipairs(r:journal()) do print(e.text) end'
expect ":alert" "alarm loss > 0 and step > 20 at step" "$model" "$text" "$train" \
    'r:pause():wait(); r.steps = r.step + 40' \
    ':alert loss > 0 and step > 20' 'r:resume():wait();'
expect ":alert off" "hooks	0" "$model" "$text" "$train" \
    'for i = 1, 100 do alert("loss > 9", r) alert("off", r) end print("hooks", #r._hooks)'
expect ":alert of an unknown field" "did you mean 'loss'" "$model" "$text" "$train" ':alert los > 4'
expect ":alert that does not parse" "alert: unexpected symbol" "$model" "$text" "$train" \
    ':alert > > 4'
expect ":alert while it comes and goes" "done at step" "$model" "$text" "$train" \
    'r:pause():wait(); r.steps = r.step + 40' \
    'alert("loss > 0 and step % 2 == 0", r) r:resume():wait();'
ok '[ "$(grep -c "alarm .* at step" "$folder/out")" = 1 ]' "rings once"
expect ":alert that raises at a step" "oops; alarms(" "$model" "$text" "$train" \
    'r:pause():wait(); r.steps = r.step + 9' \
    'n = r.step + 2; alert(function(r) if r.step > n then error("oops", 0) end end, r)' \
    'r:resume():wait(); print(r.state, #alarms(r))'
ok '[ "$(grep -c "oops" "$folder/out")" = 1 ] && grep -q "done	1" "$folder/out"' "is told once"
printf ':help\n' | "$SWITCHYARD" -E -i > "$folder/out" 2> /dev/null
missing=$(sed -n '/commands\[\] = {/,/};/p' "${srcdir:-.}/src/workbench/screen_commands.c" |
    grep -o '{"[a-z]*"' | tr -d '{"' |
    while read -r name; do grep -q "^  :$name " "$folder/out" || echo "$name"; done)
ok '[ -z "$missing" ]' ":help lists what the screen knows; missing: ${missing:-nothing}"
expect ":q leaves" "before" 'print("before")' ':q' 'print("after")'

expect "a shell's output" "from the shell" '!echo from the shell'
expect "and status" "!: exit status 3" '!exit 3'
expect "a method's name" "unknown field 'genrate' (did you mean 'generate'?)" "$model" 'm:genrate()'
expect "a global's name" "undefined name 'tensr'; did you mean 'tensor'?" 'tensr.ones(2)'
expect "a field's name" "(field 'flor'); did you mean 'floor'?" 'math.flor(3)'
expect "not equal of Python" "near '!'; not equal is ~= in Lua" 'x = 1 != 2'
expect "adding of Python" "it is x = x + 1" 'x += 1'
expect "import of Python" "nothing needs to be imported" 'import torch as t'
expect "a length of Python" "undefined name 'len'; the number of elements is #x" 'len({1})'
expect "a loop of Python waits for no more lines" "a loop is for i = 1, n do" 'for i in range(3):' \
    'print(i)'
expect "a block of Python in an unfinished one" "it is elseif x then" 'if x then' 'elif y:'
expect "a part of Python's" "a part of a tensor is a[{{first, last}}]" 'x = tensor.ones(3)' 'x[1:2]'
expect "a formatted text of Python" 'a text with values in it is ("%d"):format(x)' 'print(f"a{x}")'
expect "a comment of Python" "comments begin with --" '# a comment'
expect "one of a word" "undefined name 'hi'; comments begin with --" '# hi'
expect "a text formatted" 'formatting is ("%d"):format(x)' '"%d" % 3'
expect "a method of a model of PyTorch's" "unknown field 'to'; all is on the CPU" "$model" \
    'm:to("cuda")'
expect "texts added" "texts are joined by .." '"a" + "b"'
expect "a method of PyTorch's" "no field or method 'clip'; it is a:clamp(lo, hi)" \
    'tensor.ones(3):clip(0, 1)'
expect "a function of NumPy's" "unknown function 'concatenate'; it is tensor.cat" \
    'tensor.concatenate()'
expect "a module of PyTorch's" "undefined name 'torch'; tensors are in tensor" 'torch.zeros(3)'
expect "a field that is called" "size is a field, not a method: .size" 'tensor.ones(3):size()'
expect "an option of NumPy's" "unknown option 'axis' (did you mean 'dim'?)" \
    'tensor.ones(3):sum{axis = 1}'
expect "an option of transformers'" "unknown option 'num_experts_per_tok' (did you mean 'top_k'?)" \
    'model.moe{num_experts_per_tok = 2}'
printf 'local x = 1\nif x != 2 then print(x) end\n' > "$folder/python.lua"
"$SWITCHYARD" -E "$folder/python.lua" > "$folder/out" 2>&1
grep -qF "python.lua:2: 'then' expected near '!'; not equal is ~= in Lua" "$folder/out"
report $? "the same in a script"
expect "?name of PyTorch's" "nothing is called 'numel' here; the number of elements is a.size" \
    '?numel'
expect "?name" "r:wait(step) -> r" '?run:wait'
expect "??name of what is embedded" "lua/run/run.lua:" '??run:wait'
expect "??name has its text" "function methods:wait" '??run:wait'
expect "??name of C's" "is written in C" '??tensor.ones'
printf 'local function f()\n  return 1\nend\nmine = f\n' > "$folder/mine.lua"
expect "??name of a file's" "mine.lua:1" "dofile '$folder/mine.lua'" '??mine'

# The session is a script to who makes its run again, whatever was looked at before.
expect "a session with a router of its own" "done at step 40" '1 + 1' 'x = 5' '(print or error)(x)' \
    'return x' 'if x then return end' 'x = 6; return ...' 'nn.router("own", {route = nn.routers.softmax.route, rows = nn.routers.softmax.rows})' 'routers()' "$text" \
    'd.tokens' "$(echo "$model" | sed 's/}$/, router = "own"}/')" "$train" 'r:wait();'
"$SWITCHYARD" replay typed --code > "$folder/out" 2>&1
grep -qF "identical through step 40" "$folder/out"
report $? "is made again by its own lines"

finish
