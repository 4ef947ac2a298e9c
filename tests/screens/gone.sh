#!/bin/sh
# The terminal goes, or the system wants an end, while a run trains: the run is saved and the
# program ends; nothing spins on a terminal that is at its end.
# shellcheck source=tests/screens/lib.sh
. "${srcdir:-.}/tests/screens/lib.sh"

cat > "$dir/run.lua" <<'END'
d = data.synthetic{tokens = 1e5}
m = model.moe{layers = 1, dim = 16, heads = 2, experts = 2, expert_dim = 16, context = 16,
  vocab = 256}
r = train(m, d, {steps = 1000000000, batch = 1, name = arg[1], eval_every = 0,
  checkpoint_every = 0})
function begun() io.open(os.getenv "HOME" .. "/begun", "w"):close() end
END
run_in() # NAME [BEFORE]: a run in the workbench; pid
{
    start 80 24 "$2$program -E --runs $dir/runs -i $dir/run.lua $1"
    until_true has "RUN"
    report $? "$1: it trains"
    pid=$(pid_of "$program")
}
ended() { ! ps -o stat= -p "$pid" | grep -q '^[^Z]'; }
is_saved() # NAME
{
    ls -d "$dir/runs/$1"/step-* > /dev/null 2>&1
    report $? "$1: and the run is saved"
}
faults_blocked() # by any of the program's threads: SIGILL, SIGABRT, SIGBUS, SIGFPE, SIGSEGV
{
    for f in "/proc/$pid/task"/*/status; do
        mask=$(sed -n 's/^SigBlk:.*\(........\)$/\1/p' "$f")
        [ $((0x${mask:-0} & 0x4e8)) = 0 ] || echo "$f"
    done
}

run_in closed ""
if [ -r "/proc/$pid/status" ]; then
    is "$(faults_blocked)" "" "a crash on any thread finds the handler that gives the terminal back"
fi
start 80 24 true
until_true ended
report $? "closed: with its terminal the program ends"
is_saved closed

# a session without a controlling terminal hears of no end: it has to see it
if command -v setsid > /dev/null; then
    run_in unheard "setsid -w "
    start 80 24 true
    until_true ended
    report $? "unheard: the end of what is read ends the program"
    is_saved unheard
    start 80 24 "setsid -w $program watch unheard --runs $dir/runs"
    sees "STOPPED" "watch"
    pid=$(pid_of "$program")
    start 80 24 true
    until_true ended
    report $? "watch ends, too"
    start 80 24 "setsid -w $program -E --plain"
    sees "yard>" "a plain prompt"
    pid=$(pid_of "$program")
    start 80 24 true
    until_true ended
    report $? "the plain prompt ends, too"
fi

# the kernel and the shell both tell of it
run_in twice ""
enter "os.execute 'until rm $dir/go; do sleep 0.05; done 2> /dev/null' -- saving has to wait"
sees "has to wait"
kill -HUP "$pid"
until_true has "saving runs"
kill -HUP "$pid"
go
sees "status=129 same" "twice: a second SIGHUP is no hurry"
rm -f "$dir/go"
is_saved twice

# what runs is ended, whatever it is, and the run saved; a job needs a moment to become one
it_runs() # NAME [WHAT]; what was typed tells by a file, for alarms scroll
{
    until_true test -e "$dir/begun"
    report $? "$1: ${2:-it} runs"
    rm -f "$dir/begun"
}
ends_in() # NAME SIGNAL STATUS LINES
{
    run_in "$1" ""
    echo "$4" > "$dir/lines"
    while read -r line; do enter "$line"; done < "$dir/lines"
    it_runs "$1"
    kill -"$2" "$pid"
    sees "status=$3 same" "$1: SIG$2 ends what runs"
    is_saved "$1"
}
hog='while true do local x = ("x"):rep(99) end' # the call: for ThreadSanitizer's signals
stubborn='while true do pcall(function() while true do local x = ("x"):rep(99) end end) end'
ends_in chunk TERM 143 "begun() $hog"
ends_in waiter HUP 129 "begun() table.sort({2, 1}, function() r:wait() end)"
ends_in tokens TERM 143 \
    "s = ('the quick brown fox '):rep(3e6) begun() tokenizer.train(s, {vocab = 30000})"
ends_in job TERM 143 "sleep(0.5) begun() $stubborn"
ends_in jobs TERM 143 "while not go do sleep(0.05) end $hog
while not go do sleep(0.05) end $hog
go = true begun()"
ends_in hook TERM 143 "every(r, 1, function() begun() $hog end)"
ends_in_plain() # NAME SIGNAL STATUS LINE
{
    start 80 24 "SWITCHYARD_SCREEN=plain $program -E --runs $dir/runs -i"
    until_true has "yard>"
    pid=$(pid_of "$program")
    enter "arg = {'$1'} dofile '$dir/run.lua' $4"
    it_runs "$1"
    kill -"$2" "$pid"
    sees "status=$3 same" "$1: SIG$2 ends what runs"
    is_saved "$1"
}
ends_in_plain plain-chunk TERM 143 "begun() $hog"
ends_in_plain plain-job HUP 129 "sleep(0.5) begun() $stubborn"
ends_in_plain plain-idle TERM 143 "begun()"

# a hook holds up who leaves
leaves_with() # NAME KIND; a person, at a hook that does not end; it begins when the prompt is back
{
    echo "every(r, 1, function() if $held then begun() $hog end end) begun()" > "$dir/hook.lua"
    if [ "$2" = plain ]; then
        start 80 24 "SWITCHYARD_SCREEN=plain $program -E --runs $dir/runs -i"
        until_true has "yard>"
        pid=$(pid_of "$program")
        enter "arg = {'$1'} dofile '$dir/run.lua' dofile '$dir/hook.lua'"
    else
        run_in "$1" ""
        enter "dofile '$dir/hook.lua'"
    fi
    it_runs "$1" "what sets it"
    # an end of input that comes before Readline has the terminal again is nobody's
    [ "$2" = plain ] && until_true at_column 6
    go
    it_runs "$1"
    press C-d
    sees "[y/N]" "$1: leaving asks"
    type 'y'
    press Enter
    if [ "$2" = plain ]; then until_true answered; else until_true has "saving runs"; fi
    report $? "$1: and is under way"
}
answered() # on the plain screen
{
    has "[y/N] y" && at_column 0
}
at_column()
{
    [ "$(tm display-message -t "$terminal" -p '#{cursor_x}')" = "$1" ]
}
interrupted() # the first one may come just before the program waits
{
    has "status=0 same" || ! kill -INT "$pid"
}
for screen in workbench plain; do
    leaves_with "$screen-told" $screen
    kill -TERM "$pid"
    sees "status=143 same" "$screen-told: SIGTERM ends the hook"
    is_saved "$screen-told"
done
leaves_with asked workbench
press C-c
sees "status=0 same" "asked: Ctrl-C ends the hook"
is_saved asked
leaves_with plain-asked plain
until_true interrupted
report $? "plain-asked: SIGINT ends the hook"
sees "status=0 same" "plain-asked: that was all"
is_saved plain-asked

# no step is trained without its hooks, but for the one that the signal came to
run_in hooked ""
cat > "$dir/hook.lua" <<'END'
every(r, 1, function()
    local f = io.open(os.getenv "HOME" .. "/step", "a")
    f:write(r.step, "\n")
    f:close()
end)
END
enter "dofile '$dir/hook.lua'"
until_true test -s "$dir/step"
report $? "hooked: its hook is called"
kill -TERM "$pid"
sees "status=143 same" "hooked: SIGTERM ends it"
is_saved hooked
called=$(tail -n 1 "$dir/step")
saved=$(find "$dir/runs/hooked" -name 'step-*' | sort | tail -n 1 | sed 's/.*step-0*//')
[ $((${saved:-99} - called)) -le 1 ]
report $? "hooked: the hook was called at $called, the end is $saved"

# who asks twice has no time
run_in hurried ""
enter 'os.execute("sleep 1000") -- saving has to wait'
sees "has to wait"
kill -TERM "$pid"
until_true has "saving runs"
kill -TERM "$pid"
sees "status=143 same" "hurried: a second SIGTERM ends at once, the terminal as it was"
finish
