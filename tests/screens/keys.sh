#!/bin/sh
# The workbench under a user's hands: what is typed, and what stands on the screen.
# shellcheck source=tests/screens/lib.sh
. "${srcdir:-.}/tests/screens/lib.sh"
painted() { tm capture-pane -t "$terminal" -p -e | grep 'yard>' | tail -1 | grep -qF "$1"; }

start 80 24 "$program -E"
sees "yard>" "the prompt"
sees "F1 help" "the status line"
sees "scrollback" "the scrollback"
cursor 6,22 "the cursor stands behind the prompt"
enter '1 + 1'
sees "yard> 1 + 1" "what was entered is above"
lacks "> 1 + 2"
enter 'x = 6 * 7; print("answer", x)'
sees "answer  42" "a tab goes to a column"

# wrapping, a long line and back
type 'y = "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"'
cursor 31,22 "a long line wraps, and the cursor with it"
press C-a
cursor 6,21 "its beginning is a row above"
press C-e C-u
cursor 6,22 "one row again"

# history
type 'x ='
press Up
sees 'yard> x = 6 * 7; print("answer", x)' "Up looks for what begins so"
press C-c
press Up Up
sees 'yard> 1 + 1' "Up on an empty line goes back"
press Down Down
cursor 6,22 "and Down to what was typed"
type '1 +'
press Up
cursor 9,22 "the cursor stays where the beginning ends"
press C-k
type ' 41'
press Down
sees 'yard> 1 +' "Down: what was typed"
press Up Enter
sees 'yard> 1 + 1' "what was changed in a line of before is not kept"
type "repeat until $held print('sl'..'ept')"
press Enter C-r
type 'answer'
sees "(reverse-i-search)" "a line is looked for while a chunk runs"
go
sees "slept" "which ends meanwhile"
sees "(reverse-i-search)" "and the search still shows its prompt"
press C-g
press C-r
type 'answer'
sees "(reverse-i-search)" "a search shows its prompt"
sees "\`answer': x = 6 * 7; print(" "and the line that it finds"
press C-r
sees "(failed reverse-i-search)" "there is no other"
press C-g
lacks "i-search)" "Ctrl-G gives up"
press C-r
type '1 '
sees "\`1 ': 1 + 1"
press Right
lacks "i-search)" "another key takes the line, and acts on it"
cursor 7,22 "there"
press C-u C-r
type 'answer'
press C-c
lacks "(reverse-i-search)" "Ctrl-C ends it"

# completion
type 'tensor.ran'
press Tab
sees "randint" "candidates above the line"
type 'd'
lacks "randint" "and gone with the next key"
press C-u
type 'tensor.gradch'
press Tab
sees "tensor.gradcheck" "the only one is taken"
press C-u

# files of any folder, in strings, shell commands and those of the prompt
mkdir -p "$dir/deep/inner" "$dir/beside"
touch "$dir/deep/inner/only.lua" "$dir/beside/text.txt"
completes() # TYPED BECOMES
{
    press C-c
    type "$1"
    press Tab
    sees "yard> $2" "Tab: $1"
}
start 80 24 "cd $dir/deep && $program -E"
sees "F1 help"
completes 'dofile "inn' 'dofile "inner/'
completes 'dofile "./inn' 'dofile "./inner/'
completes 'dofile "inner/on' 'dofile "inner/only.lua'
completes "d = data.text '../bes" "d = data.text '../beside/"
completes "d = data.text('$dir/bes" "d = data.text('$dir/beside/"
completes 'd = data.text "~/bes' "d = data.text \"$dir/beside/"
completes "d = data.text{'x', '~/beside/te" "d = data.text{'x', '$dir/beside/text.txt"
completes '!cat ../beside/te' '!cat ../beside/text.txt'
completes ":dump $dir/bes" ":dump $dir/beside/"
start 80 24 "$program -E"
sees "F1 help"

# a key of the terminal that nobody knows leaves nothing at the prompt
type "$(printf '\033[25;2~\033[201~x')"
sees "yard> x" "the rest of an unknown key goes with it"
cursor 7,22
press C-u

# several lines
enter 'for i = 1, 2 do'
sees "  ..>" "an unfinished chunk goes on"
enter 'print("line " .. i) end'
sees "line 2" "and runs when it is complete"
tm set-buffer -b paste 'a = 40
b = 2
print("sum", a + b)'
tm paste-buffer -p -b paste -t "$terminal"
sees 'print("sum", a + b)' "a paste of several lines is one line of several rows"
lacks "sum     42" "that waits for Enter"
press Enter
sees "sum     42"
tm set-buffer -b paste 'yard> c = 3
3
yard> print("pasted " .. c * c)'
tm paste-buffer -p -b paste -t "$terminal"
press Enter
sees "pasted 9" "a pasted session: its prompted lines"
tm set-buffer -b paste 'local p = 6
local q = 7
print("echo", p * q)'
tm paste-buffer -p -b paste -t "$terminal"
press Enter
sees "echo    42"
sees "yard> local p = 6" "what was entered is told with a prompt before each row"
sees '  ..> local q = 7'
press C-l
echoed=$(printf 'yard> local p = 6\n  ..> local q = 8\n  ..> print("echo", p * q)\necho    42\nyard> print("and", 1)')
tm set-buffer -b paste "$echoed"
tm paste-buffer -p -b paste -t "$terminal"
press Enter
sees "echo    48" "and may be pasted back, as one"
sees "and     1" "and what comes after it"

# wide characters and marks
type '"漢字e'"$(printf '\314\201')"'x"'
cursor 14,22 "wide characters take two columns, marks none"
press BSpace BSpace
cursor 12,22
press C-u
type '"👩‍💻👍🏽🇩🇪❤️x'
sees '"👩💻👍DE❤x' "what would join is drawn apart"
cursor 17,22 "so that columns hold"
press C-u
type 'clean'
sees "yard> clean"
lacks "💻"
press C-u

# an editor outside
cat > "$dir/edit" <<'END'
#!/bin/sh
echo 'print("from " .. "outside")' > "$1"
END
chmod +x "$dir/edit"
start 80 24 "EDITOR=$dir/edit $program -E"
sees "yard>"
type 'nothing'
press C-x C-e
sees 'print("from " .. "outside")' "C-x C-e: the line comes from the editor"
press Enter
sees "from outside"

# panes
press F6
sees "PANES" "F6: keys act on panes"
type 'q'
lacks "PANES" "q goes back to the prompt, and no further"
press C-u
press C-x s
sees "PANES" "C-x s, too"
press Escape
lacks "PANES" "a lone Esc as well"
press F6
type 'w'
sees "no key 'w' here; ? lists them, Esc leaves them" "what is no key there is told, all of it"
sees "PANES" "and stays there"
lacks "yard> w" "and is not typed"
press M-w
lacks "PANES"
press C-u F6
tm set-buffer -b paste 'p pasted'
tm paste-buffer -p -b paste -t "$terminal"
sees "yard> p pasted" "a paste is text, there as well"
lacks "PANES"
press C-u
press F1
sees "keys act on the panels" "F1 shows the keys"
press Space
lacks "keys act on the panels" "until the next one"
for key in z Up F6; do
    press F1
    sees "keys act on the panels"
    press $key
    lacks "keys act on the panels" "$key takes them away"
done
press F1
sees "keys act on the panels"
press C-x a
lacks "keys act on the panels" "C-x a is one key"
sees "F1 help" "and does nothing else"
cursor 6,22 "nor any of them"
press F6
sees "PANES"
press '?'
sees "keys act on the panels"
press q
lacks "keys act on the panels" "q takes the list away"
sees "PANES" "and does not leave"
press q
lacks "PANES"
press C-l
press F1
sees "keys act on the panels"
press Enter
lacks "keys act on the panels" "Enter takes it away, too"
type 'z'
sees "yard> z"
is "$(screen | grep -c 'yard>')" 1 "and enters no empty line"
press C-u
press C-x a
sees "yard>" "C-x a: the plain screen"
lacks "F1 help"
enter ':split wide'
sees "split: takes the panel's share" "what is wrong anywhere is said first"
enter ':mouse sideways'
sees "mouse: on or off" "for every command"
enter ':split 0.5'
sees "split: not on the plain screen" "then that there is no panel"
type '"kept'
press C-x a
sees "F1 help" "and back"
sees 'yard> "kept' "with what was typed"
press C-c
sees "yard>"

# what follows an Esc may come later: as late as keyseq-timeout says
echo 'set keyseq-timeout 60000' > "$dir/inputrc"
start 80 24 "INPUTRC=$dir/inputrc $program -E"
sees "F1 help"
enter 'split = 6 * 7'
type "$(printf '\033')"
sleep 0.5
type '[A'
split_twice() { [ "$(screen | grep -cF 'yard> split = 6 * 7')" = 2 ]; }
until_true split_twice
report $? "an Esc half a second before the rest of its key"
start 80 24 "$program -E"
sees "F1 help"

# scrolling
enter 'for i = 1, 300 do print("row " .. i) end'
sees "row 300"
press PageUp
sees "below" "PgUp: the rule says how much is below"
enter 'print("new", 1)'
sees "new     1" "a line that is entered is followed"
press C-l
lacks "row 300" "Ctrl-L: an empty view"

# the mouse, when it is asked for
enter ':mouse on'
enter 'for i = 1, 300 do print("row " .. i) end'
sees "row 300"
type "$(printf '\033[<64;10;18M')"
sees "row 297" "the wheel scrolls"
lacks "row 300" "up"
type "$(printf '\033[<65;10;18M')"
sees "row 300" "and down"
enter ':mouse off'

# Ctrl-C
# only there does it give the hint; elsewhere it ends what runs
idle() { press C-c && has "leaves"; }
until_true idle
report $? "Ctrl-C on an empty line gives a hint"
type 'rubbish'
sees "rubbish"
press C-c
lacks "rubbish" "Ctrl-C clears what is typed"
enter 'while true do end'
sees "s, C-c interrupts" "what runs is seen, and how it ends"
press C-c
sees "interrupted" "it ends a loop"
lacks "C-c interrupts" "and the sign with it"
enter "repeat until $held"
sees "C-c interrupts"
press C-x a
lacks "F1 help" "the plain screen, asked for while something runs"
go
sees "yard>"
press C-x a
sees "F1 help" "and back, when it is over"
press F6
sees "PANES"
press C-c
lacks "PANES" "nothing is taken to run still"
enter 'coroutine.wrap(function() while true do end end)()'
sees "coroutine.wrap"
press C-l
press C-c
sees "interrupted" "also in a coroutine"
enter 'for i = 1, 1e5 do print(i) end print("flood over")'
type 'typed meanwhile'
sees "flood over" "a print flood ends"
sees "yard> typed meanwhile" "and no key was lost"
press C-u

# nothing that is printed moves the cursor
enter 'print("\27[2J\27[H\27]0;title\7\27[?1049l\14ha" .. "lf") io.stderr:write("err", "or\n")'
sees "half" "escape sequences are dropped, standard error is seen"
enter 'print("\u{202e}bidi\0\1\xff")'
sees "error"
sees '\u{202E}bidi\x00\x01\xFF' "what could deceive is made visible"
sees "F1 help" "and the panel stands"
enter '!echo from the shell; echo and stderr >&2'
sees "and stderr"
enter 'print(io.read() == nil)'
sees "true" "reading finds an end, and takes no keys"
enter ':dump'
sees "dump: takes the name of a file" "what a command does not take is not tried"
enter ":dump $dir/screen.txt"
until_true test -s "$dir/screen.txt"
report $? ":dump writes"
enter ":dump $dir/screen.svg"
until_true grep -q '</svg>' "$dir/screen.svg"
report $? ":dump as a picture"
grep -q "F1 help" "$dir/screen.txt"
report $? "what stands there"
press C-d
sees "status=0 same" "Ctrl-D leaves, the terminal as it was"
sees "and stderr" "with the last lines"

# a stored run: full screen and back leaves nothing of the chart in the scrollback
cat > "$dir/run.lua" <<'END'
d = data.synthetic{tokens = 1e4}
m = model.moe{layers = 1, dim = 16, heads = 2, experts = 2, expert_dim = 16, context = 16,
  vocab = 256}
train(m, d, {steps = 20, batch = 1, name = "first", eval_every = 0}):wait()
END
"$program" --runs "$dir/runs" "$dir/run.lua" > "$dir/out" 2>&1
chart_below() { screen | sed -n '/scrollback/,$p' | grep -q '[│└┤]'; }
no_chart_below() { has scrollback && ! chart_below; }
start 80 24 "$program -E --runs $dir/runs"
enter ':watch first'
sees "DONE"
press F6 Enter
lacks "scrollback" "full screen"
press Enter
until_true no_chart_below
report $? "and back: no rows of the chart below the rule"
press Enter
lacks "scrollback"
type '/'
sees "filter:"
until_true no_chart_below
report $? "nor when a filter is asked for"
type 'loss'
press Enter
sees "0: all" "a filter: the rule says how to drop it"
type '2'
lacks "0: all" "a panel's key does"
press C-c

# colours
start 80 24 "TERM=xterm-256color $program -E"
sees "yard>"
enter ':theme light'
until_true painted '38;5;24m'
report $? ":theme light: the prompt is dark"
enter ':theme dark'
until_true painted '38;5;80m'
report $? ":theme dark"
start 80 24 "COLORFGBG='0;15' TERM=xterm-256color $program -E"
sees "yard>"
until_true painted '38;5;24m'
report $? "a light terminal that says so"
enter ':theme dark'
until_true painted '38;5;80m'
report $? "dark all the same"
enter ':theme auto'
until_true painted '38;5;24m'
report $? ":theme auto: light again"

# a chunk of the command line that goes on when the screen is left, and quits
start 80 24 "$program -E -i -e 'repeat until $held quit(3)'"
sees "running for"
press C-x a
lacks "F1 help"
go
sees "status=3 same" "a script quits on the plain screen as well"
finish
