# A person at a terminal that is tmux: sourced by the scripts beside it.
#
#   start COLUMNS ROWS COMMAND     a fresh terminal with a shell that runs COMMAND, then prints its
#                                  status
#   type TEXT, press KEY...        letters as they are; tmux's names of keys
#   sees TEXT WHAT                 a case: until the screen has the text (fixed string), whatever it
#                                  takes
#   lacks TEXT WHAT                until it has it no more
#   cursor X,Y WHAT                until the cursor stands there
#   go                             what waits for $held, a condition of Lua, goes on, once
#
# Nothing is asserted after a sleep: every case waits for a condition, and LIMIT is only there to
# end a hang.  The program's own status and the modes of the terminal are told by the shell:
# "status=N same".
# shellcheck shell=sh disable=SC2034
set -u
LIMIT=${SY_SCREEN_LIMIT:-60}
# shellcheck source=tests/until.sh
. "${srcdir:-.}/tests/until.sh"
for tool in tmux ps pgrep; do
    command -v "$tool" > /dev/null && continue
    echo "1..0 # SKIP $tool is not installed"
    exit 0
done
if ! "${SWITCHYARD:-./switchyard}" --has-workbench; then
    echo "1..0 # SKIP built without the workbench"
    exit 0
fi
dir=$(mktemp -d) || exit 99
socket=sy-test-$$
HOME=$dir XDG_STATE_HOME=$dir/state XDG_CONFIG_HOME=$dir/config INPUTRC=/dev/null
LC_ALL=C.UTF-8
PS1='$ '
export HOME XDG_STATE_HOME XDG_CONFIG_HOME INPUTRC LC_ALL PS1 srcdir
unset TMUX NO_COLOR COLORFGBG SWITCHYARD_SCREEN SWITCHYARD_SYMBOLS LINES COLUMNS ENV
program=${SWITCHYARD:-./switchyard}
case $program in
/*) ;;
*) program=$(pwd)/$program ;;
esac
n=0
failed=0
sessions=0
terminal=
trap 'tm kill-server 2> /dev/null; rm -rf "$dir"' EXIT

tm()
{
    tmux -L "$socket" -f /dev/null "$@"
}

report() # OK WHAT
{
    n=$((n + 1))
    if [ "$1" = 0 ]; then
        echo "ok $n - $2"
        return
    fi
    failed=$((failed + 1))
    echo "not ok $n - $2"
    tm capture-pane -t "$terminal" -p 2>&1 | sed 's/^/#   |/'
    tm display-message -t "$terminal" \
        -p '#   cursor #{cursor_x},#{cursor_y} alternate #{alternate_on}' 2>&1
}

shell_script()
{
    cat <<'END'
stty -g > "$HOME/before.$$"
. "$HOME/command"
status=$?
stty -g > "$HOME/after.$$"
if cmp -s "$HOME/before.$$" "$HOME/after.$$"; then modes=same; else modes=different; fi
echo "status=$status $modes"
exec sh
END
}

start()
{
    before=$terminal
    sessions=$((sessions + 1))
    terminal=t$sessions
    shell_script > "$dir/shell"
    echo "$3" > "$dir/command"
    tm new-session -d -s "$terminal" -x "$1" -y "$2" "${ENVIRONMENT:-env} sh '$dir/shell'"
    # only now: a server whose last session goes ends, and takes the next one with it
    [ -z "$before" ] || tm kill-session -t "$before" 2> /dev/null
    tm set-option -t "$terminal" status off > /dev/null
    tm resize-window -t "$terminal" -x "$1" -y "$2"
}

type() { tm send-keys -t "$terminal" -l "$1"; }
press() { tm send-keys -t "$terminal" "$@"; }
enter() { type "$1" && press Enter; }
screen() { tm capture-pane -t "$terminal" -p 2> /dev/null; }

has() { screen | grep -qF -e "$1"; }
has_not() { ! has "$1"; }
cursor_is() { [ "$(tm display-message -t "$terminal" -p '#{cursor_x},#{cursor_y}' 2> /dev/null)" = \
    "$1" ]; }
sees() { until_true has "$1"; report $? "${2:-$1}"; }
lacks() { until_true has_not "$1"; report $? "${2:-without: $1}"; }
# shellcheck disable=SC2016 # Lua's
held='os.remove(os.getenv "HOME" .. "/go")'
go() { : > "$dir/go"; }
cursor() { until_true cursor_is "$1"; report $? "${2:-cursor at $1}"; }
is() { [ "$1" = "$2" ]; report $? "$3"; }

# A region that scrolls, as curses leaves one behind when the size changes while it scrolls.
# Written again when what the program is still drawing has ended it.
narrow_region()
{
    until_true region_is_narrow
    report $? "a region that scrolls"
}
region_is_narrow()
{
    printf '\0337\033[1;5r\0338' > "$(tm display-message -t "$terminal" -p '#{pane_tty}')"
    region=$(tm display-message -t "$terminal" -p '#{scroll_region_upper},#{scroll_region_lower}')
    [ "$region" = 0,4 ]
}
region_is_whole()
{
    [ "$(tm display-message -t "$terminal" \
        -p '#{scroll_region_upper},#{scroll_region_lower},#{pane_height}' |
        awk -F, '{ print $1, $2 + 1 - $3 }')" = "0 0" ]
}

# The program's process, below the shell.
pid_of() { pgrep -P "$(tm display-message -t "$terminal" -p '#{pane_pid}')" -f "$1" | head -1; }

finish()
{
    echo "1..$n"
    [ "$failed" = 0 ]
}
