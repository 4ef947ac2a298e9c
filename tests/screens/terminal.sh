#!/bin/sh
# Terminals of every kind and size, and every way to end.
# shellcheck source=tests/screens/lib.sh
. "${srcdir:-.}/tests/screens/lib.sh"

# sizes
start 80 24 "$program -E"
sees "F1 help"
for size in "120 40" "20 5" "200 60" "80 24"; do
    w=${size% *} h=${size#* }
    tm resize-window -t "$terminal" -x "$w" -y "$h"
    enter "print('size', $w)"
    sees "size    $w" "$w x $h"
done
sees "F1 help" "all is back"
tm resize-window -t "$terminal" -x 1 -y 1
tm resize-window -t "$terminal" -x 80 -y 24
sees "F1 help" "after 1 x 1, too"
narrow_region
tm resize-window -t "$terminal" -x 80 -y 23
tm resize-window -t "$terminal" -x 80 -y 24
until_true region_is_whole
report $? "a new size: the whole screen scrolls"
narrow_region
press C-l
until_true region_is_whole
report $? "Ctrl-L: too"

# stop and go on
press C-z
lacks "F1 help" "Ctrl-Z: the shell's screen"
tm send-keys -t "$terminal" ''
until_true has_not "yard> "
pid=$(pid_of "$program")
state() { ps -o stat= -p "$pid" | grep -q T; }
goes_on() { ps -o stat= -p "$pid" | grep -q '^[^TZ]'; }
until_true state
report $? "and stopped"
kill -CONT "$pid"
sees "F1 help" "goes on"
enter 'print("after", 1)'
sees "after   1"
press C-d
sees "status=0 same"

# what stood there stays, and what comes next comes below it
above() # ROWS WHAT: the lines of before are as they were
{
    [ "$1" = 0 ] || is "$(screen | sed -n "1,$1p")" "$(seq "$1")" \
        "$2, begun in row $1: the lines above stay"
}
row_of() { screen | grep -nF -e "$1" | head -1 | cut -d: -f1; }
below() { [ "$(row_of "$1")" -gt "$2" ]; } # TEXT ROWS
for rows in 0 1 7 15; do
    start 80 24 "seq $rows; $program -E"
    sees "F1 help"
    press C-d
    sees "status=0 same"
    above $rows "Ctrl-D"
    below "status=0" $rows
    report $? "status=0 is below row $rows"
    start 80 24 "seq $rows; $program -E"
    sees "F1 help"
    press C-x a
    lacks "F1 help"
    type 'plain'
    sees "yard> plain"
    above $rows "C-x a"
    below "yard> plain" $rows
    report $? "the prompt is below row $rows"
    start 80 24 "seq $rows; $program -E"
    sees "F1 help"
    kill -SEGV "$(pid_of "$program")"
    sees " same"
    above $rows "SIGSEGV"
    below " same" $rows
    report $? "the status is below row $rows"
done
start 80 24 "seq 40; $program -E"
sees "F1 help"
press C-d
sees "status=0 same"
is "$(screen | head -1)" "$(seq 40 | sed -n "$((41 - $(row_of switchyard) + 1))p")" \
    "begun in the last row: they moved up"
if command -v bash > /dev/null; then
    for rows in 1 7 15; do
        start 80 24 "seq $rows; bash --norc --noprofile -i"
        until_true has "bash-"
        enter "$program -E"
        sees "F1 help"
        press C-z
        sees "Stopped"
        above $rows "Ctrl-Z"
        below "Stopped" "$(row_of "$program -E")"
        report $? "Stopped is below the command"
        enter "fg"
        sees "F1 help"
        press C-d
        lacks "F1 help"
        sees "leaves."
        above $rows "fg and Ctrl-D"
    done
fi

# bg and fg, under a shell that has jobs
if command -v bash > /dev/null; then
    start 80 24 "$program -E"
    sees "F1 help"
    press C-d
    sees "status=0 same"
    enter "exec bash --norc --noprofile -i"
    enter "$program -E"
    sees "F1 help" "the workbench under bash"
    press C-z
    sees "Stopped" "stopped"
    enter "bg"
    enter "jobs"
    sees "Running" "bg: it goes on, without the terminal"
    enter "fg"
    sees "F1 help" "fg: and has it again"
    enter 'print("again", 1)'
    sees "again   1"
    # by another's hand: the shell has the terminal, and what is typed
    pid=$(pid_of "$program")
    kill -STOP "$pid"
    sees "Stopped" "stopped from outside"
    kill -CONT "$pid"
    press C-u
    enter "echo to the sh''ell"
    sees "to the shell" "going on behind the shell: what is typed is the shell's"
    enter "jobs"
    until_true goes_on
    report $? "and it does not stop over a key"
    enter "fg"
    sees "F1 help" "fg: it has the terminal again"
    enter 'print("once more", 1)'
    sees "once more       1"
    press C-d
fi

# ends that nobody wants
for signal in SEGV ABRT TERM HUP QUIT ALRM USR1 XCPU; do
    start 80 24 "$program -E"
    sees "F1 help" "a screen for SIG$signal"
    narrow_region
    kill -"$signal" "$(pid_of "$program")"
    sees "same" "SIG$signal: the modes as they were"
    is "$(tm display-message -t "$terminal" -p '#{alternate_on}')" 0 "the normal screen"
    region_is_whole
    report $? "all of which scrolls"
    type 'echo ec''ho'
    sees "echo echo" "that echoes"
done
start 80 24 "(ulimit -s 256; exec $program -E)"
sees "F1 help" "a screen with little stack"
enter 'function f() return (("x"):gsub("x", f)) end f()'
sees "same" "a stack that is full: the modes as they were"
is "$(tm display-message -t "$terminal" -p '#{alternate_on}')" 0 "the normal screen"
cat > "$dir/run.lua" <<'END'
d = data.synthetic{tokens = 1e5}
m = model.moe{layers = 1, dim = 16, heads = 2, experts = 2, expert_dim = 16, context = 16,
  vocab = 256}
r = train(m, d, {steps = 1000000000, batch = 1, name = arg[1], eval_every = 0,
  checkpoint_every = 0})
END
start 80 24 "$program -E --runs $dir/runs -i $dir/run.lua ended"
sees "ended" "a run in the panel"
sees "loss" "with its loss"
until_true has "RUN"
report $? "it trains"
kill -TERM "$(pid_of "$program")"
sees "status=143 same" "SIGTERM ends in order"
found=$(find "$dir/runs/ended" -name "step-*" 2> /dev/null | wc -l)
[ "$found" -ge 1 ]
report $? "and the run is saved"

# a fault of the prompt's: the run is saved by threads that have nothing to do with it
for signal in SEGV ABRT QUIT; do
    start 80 24 "$program -E --runs $dir/runs -i $dir/run.lua fault-$signal"
    until_true has "RUN"
    kill -"$signal" "$(pid_of "$program")"
    sees "saving the runs first" "SIG$signal with a live run: it says so"
    sees "[fault-$signal] saved at step" "and where it was saved"
    sees " same" "and ends, the terminal as it was"
    [ "$(find "$dir/runs/fault-$signal" -name "step-*" 2> /dev/null | wc -l)" -ge 1 ]
    report $? "a checkpoint"
    "$program" -E --runs "$dir/runs" \
        -e "for _, e in ipairs(runs('fault-$signal'):events()) do print(e.text) end" \
        > "$dir/events" 2>&1
    grep -q "saved while signal" "$dir/events"
    report $? "and the run knows why"
done
start 80 24 "SWITCHYARD_SCREEN=plain $program -E --runs $dir/runs -i $dir/run.lua fault-plain"
sees "yard>"
sees "fault-plain" "a run on the plain screen"
kill -SEGV "$(pid_of "$program")"
sees "[fault-plain] saved at step" "SIGSEGV on the plain screen: saved"
sees " same"

# an editor has the terminal
printf '#!/bin/sh\ntrap "" TERM\necho EDITING\nexec sleep 1000\n' > "$dir/edit"
chmod +x "$dir/edit"
start 80 24 "EDITOR=$dir/edit $program -E --runs $dir/runs -i $dir/run.lua edited"
until_true has "RUN"
press C-x C-e
sees "EDITING" "an editor"
kill -TERM "$(pid_of "$program")"
sees "status=143 same" "SIGTERM does not wait for it"
[ "$(find "$dir/runs/edited" -name "step-*" 2> /dev/null | wc -l)" -ge 1 ]
report $? "and the run is saved"

# leaving asks
start 80 24 "$program -E --runs $dir/runs -i $dir/run.lua asked"
until_true has "RUN"
report $? "a run"
press C-d
sees "stop it and leave? [y/N]" "Ctrl-D asks"
type 'n'
press Enter
sees "yard>" "no"
press F6
type 'p'
sees "PAUSED" "p pauses the run"
type 'p'
sees "RUN" "p again goes on"
type 'm'
sees ":note" "m marks"
press Escape
press C-d
type 'y'
press Enter
sees "status=0 same" "yes"
start 80 24 "$program watch asked --runs $dir/runs"
sees "asked" "watch: a run that has ended"
sees "STOPPED" "its state"
lacks "Esc prompt" "there is no prompt to go to"
type 'm'
sees "count from step" "m tells what it has changed"
type 'k'
sees "read only" "the next key: what this is"
type 'p'
sees "do it at the run's prompt" "what it does not do is said, to the end of the sentence"
type ':nonsense'
press Enter
sees "there are :q" "its commands, from the first on"
type 'q'
type ':q'
press Enter
sees "status=0 same" ":q leaves, q does not"

# other terminals
ENVIRONMENT='env NO_COLOR=1'
start 80 24 "$program -E"
sees "F1 help" "NO_COLOR"
colours=$(tm capture-pane -t "$terminal" -p -e | grep -cE '\[([0-9]+;)*(3[0-8]|4[0-8]|9[0-7])[;m]')
is "$colours" 0 "no colours"
for term in vt100 xterm; do
    ENVIRONMENT="env TERM=$term"
    start 80 24 "$program -E"
    sees "F1 help" "TERM=$term"
    enter 'print("works", 1)'
    sees "works   1"
    press C-d
    sees "status=0 same"
done
for term in dumb nosuch; do
    ENVIRONMENT="env TERM=$term"
    start 80 24 "$program -E"
    sees "yard>" "TERM=$term: a plain prompt"
    enter 'print("works", 1)'
    sees "works   1"
    lacks "F1 help" "no panel"
    press C-d
    sees "status=0 same"
done
ENVIRONMENT='env LC_ALL=C'
start 80 24 "$program -E"
sees "F1 help" "a locale without UTF-8"
enter 'print("[\u{2581}\u{2584}\u{2588}\u{e9}]")'
sees "[.+@?]" "a sparkline keeps its heights there"
ENVIRONMENT='env'

# vi
echo 'set editing-mode vi' > "$dir/inputrc"
ENVIRONMENT="env INPUTRC=$dir/inputrc"
start 80 24 "$program -E"
sees "yard>"
type 'abcd'
press Escape
type 'x'
sees "yard> abc" "vi: a lone Esc, then x"
press F6
sees "PANES" "panes from vi's keymap"
press Escape
lacks "PANES"
press C-c
lacks "yard> abc"
type 'for i = 1, 2 do'
press Enter
sees "..>"
press C-c
lacks "..>" "vi: Ctrl-C on an empty line gives up a chunk that is not finished"
cat > "$dir/inputrc" <<'END'
$if switchyard
"\C-t": switchyard-panes
set keymap switchyard-panes
"Z": switchyard-prompt
$endif
END
start 80 24 "$program -E"
sees "yard>"
press C-t
sees "PANES" "an inputrc binds a key"
type 'Z'
lacks "PANES" "also in panes"
ENVIRONMENT='env'

# no terminal at all
is "$(echo 'print(1 + 1)' | "$program" -E 2>&1)" 2 "a script from a pipe"
start 80 24 "$program -E -e \"print(6 * 7)\" | cat"
sees "42" "into a pipe"
sees "status=0 same"
finish
