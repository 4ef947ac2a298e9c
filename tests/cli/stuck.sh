#!/bin/sh
# What Lua cannot interrupt, a pattern that takes for ever: the third signal has the runs saved by
# other threads.  TAP.
# shellcheck disable=SC2016  # conditions are evaluated in ok
# shellcheck source=tests/cli/lib.sh
. "${srcdir:-.}/tests/cli/lib.sh"

case ${SY_SANITIZERS:-} in
*thread*) # it holds back signals until the next call of the system
    skip "signals under ThreadSanitizer"
    finish
    exit
    ;;
esac

cat > "$folder/stuck.lua" <<'END'
local d = data.string(("to be or not to be, that is the question. "):rep(40))
local m = model.dense{layers = 1, dim = 16, heads = 2, vocab = d.vocab, context = 16}
local r = train(m, d, {steps = 1000000000, batch = 2, eval_every = 0, checkpoint_every = 0,
  name = "stuck"})
every(r, 1, function() end) -- which waits for the thread that is in the pattern
r:wait(5)
print "now"
io.stdout:flush()
string.find(("a"):rep(60), ("a*"):rep(40) .. "b")
print "it was found"
END

# Half a second of the processor's time since $begun: by then it is in the pattern, for the run
# waits for its hook.
ticks() { awk '{ print $14 }' "/proc/$pid/stat" 2> /dev/null; }
is_busy() { [ "$(ticks)" -ge $((begun + 50)) ]; }

: > "$folder/out"
"$SWITCHYARD" "$folder/stuck.lua" > "$folder/out" 2> "$folder/err" &
pid=$!
comes "$folder/out" now
report $? "it is about to look for the pattern"
begun=$(ticks) # a signal before it does ends the script as ever
if [ -n "$begun" ]; then until_true is_busy; else sleep 2; fi
report $? "it is in the pattern"
# Of each kind one: two of a kind may come as one.
for signal in TERM HUP INT; do
    kill -s $signal $pid
    sleep 0.1
done
comes "$folder/err" "saving the runs first" || kill -s TERM $pid # where SIGHUP is ignored
wait $pid
code=$?
ok '[ $code -gt 128 ] && ! grep -q found "$folder/out"' "signals end it: status $code"
saved=$(sed -n 's/.*\[stuck\] saved at step \([0-9]*\);.*/\1/p' "$folder/err")
ok '[ "${saved:-0}" -ge 5 ]' "its run is saved, at step ${saved:-none}"
last=$("$SWITCHYARD" log stuck loss | tail -n 1 | cut -f 1)
ok '[ "$last" = "$saved" ]' "and so is every row of it ($last)"
"$SWITCHYARD" -e 'local r = train.resume("stuck", {paused = true}) print(r:wait().step)
    r:stop():wait()' > "$folder/out" 2> "$folder/err"
ok 'grep -q "^$saved\$" "$folder/out"' "it goes on from there"

# What interrupts the init file is over with it: the limit of a minute is not one of the prompt
# behind it.
if [ -z "${SY_TEST_FAST:-}" ] && can_front; then
    mkdir -p "$folder/config/switchyard" && mkfifo "$folder/typed"
    echo 'os.execute "kill -INT $PPID" while true do end' > "$folder/config/switchyard/init.lua"
    (XDG_CONFIG_HOME=$folder/config in_front "$SWITCHYARD" -i < "$folder/typed" > "$folder/out" \
        2> "$folder/err") &
    pid=$!
    exec 3> "$folder/typed"
    sleep 65
    (trap '' PIPE; echo 'print "the prompt is there"' >&3) 2> /dev/null
    exec 3>&-
    wait $pid
    code=$?
    ok '[ $code -eq 0 ] && grep -q "interrupted" "$folder/err" &&
        grep -q "prompt is there" "$folder/out"' \
        "an interrupted init file, and the prompt 65 s later: status $code"
fi
finish
