#!/bin/sh
# The terminal goes, or the system wants an end, while a run trains: the run is saved and the program
# ends; nothing spins on a terminal that is at its end.
# shellcheck source=tests/screens/lib.sh
. "${srcdir:-.}/tests/screens/lib.sh"

cat > "$dir/run.lua" <<'END'
d = data.synthetic{tokens = 1e5}
m = model.moe{layers = 1, dim = 16, heads = 2, experts = 2, expert_dim = 16, context = 16, vocab = 256}
r = train(m, d, {steps = 1000000000, batch = 1, name = arg[1], eval_every = 0, checkpoint_every = 0})
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
enter 'os.execute("sleep 2") -- saving has to wait'
sees "has to wait"
kill -HUP "$pid"
until_true has "saving runs"
kill -HUP "$pid"
sees "status=129 same" "twice: a second SIGHUP is no hurry"
is_saved twice

# who asks twice has no time
run_in hurried ""
enter 'os.execute("sleep 30") -- saving has to wait'
sees "has to wait"
kill -TERM "$pid"
until_true has "saving runs"
kill -TERM "$pid"
sees "status=143 same" "hurried: a second SIGTERM ends at once, the terminal as it was"
finish
