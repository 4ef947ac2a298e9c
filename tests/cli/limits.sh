#!/bin/sh
# Conditions are evaluated in ok; ulimit -v is in every sh of Debian.
# shellcheck disable=SC2016,SC3045
# What the system does not give: output that cannot be written, threads and memory that are not to
# be had.
# shellcheck source=tests/cli/lib.sh
. "${srcdir:-.}/tests/cli/lib.sh"

cat > "$folder/run.lua" << 'LUA'
d = data.string(("to be or not "):rep(200))
m = model.moe{vocab = 256, context = 64, dim = 64, layers = 2, heads = 2, experts = 4, top_k = 1,
  expert_dim = 16}
r = train(m, d, {steps = 8, batch = 4, name = arg[1]})
r:wait()
print(("loss %.6f"):format(r.loss))
LUA
sy() { "$SWITCHYARD" -E --runs "$SWITCHYARD_RUNS" "$@"; }
sy "$folder/run.lua" whole > "$folder/out" 2>&1
report $? "a run"
whole=$(grep "^loss" "$folder/out")

# full NAME STATUS COMMAND...: the status, and one line of reasons
full()
{
    name=$1 want=$2
    shift 2
    "$@" > /dev/full 2> "$folder/err" < /dev/null
    [ $? -eq "$want" ] && [ "$(grep -c 'cannot be written' "$folder/err")" -eq 1 ]
    report $? "$name says that its output cannot be written"
}

if [ -w /dev/full ]; then
    full "--help" 1 sy --help
    full "--version" 1 sy --version
    full "the reference" 1 sy --dump-help
    full "help of a command" 1 sy log --help
    full "runs" 1 sy runs
    full "runs --json" 1 sy runs --json
    full "runs in an empty folder" 1 sy --runs "$folder/none" runs
    full "log" 1 sy log whole
    full "log --json" 1 sy log whole loss --json
    full "log --csv" 1 sy log whole loss --csv
    full "watch" 1 sy watch whole --plain
    full "watch --json" 1 sy watch whole --json
    full "generate" 1 sy generate whole "to be" --tokens 4
    full "generate of much" 1 sy generate whole "to be" --tokens 6000
    full "replay" 1 sy replay whole
    full "export" 1 sy export whole "$folder/exported"
    full "resume" 1 sy resume whole --steps 10
    full "a script's print" 1 sy -e 'print(1)'
    full "a print in a pcall" 1 sy -e 'pcall(print, 1)'
    full "a script's io.write" 1 sy -e 'io.write("x")'
    full "a script's quit" 1 sy -e 'io.write("x") quit(0)'
    full "another status stays" 7 sy -e 'io.write("x") quit(7)'
    full "progress" 1 sy "$folder/run.lua" progress
    full "progress as objects" 1 sy --json "$folder/run.lua" objects
    full "lines of a pipe" 1 sh -c "echo 'print(1)' | '$SWITCHYARD' -E"
    full "typed lines" 1 sh -c "echo 1 + 1 | '$SWITCHYARD' -E -i"
else
    skip "there is no /dev/full"
fi
sy --version >&- 2> "$folder/err"
ok '[ $? -eq 1 ] && grep -q "cannot be written" "$folder/err"' "a closed output is told, too"
sy -e 'for i = 1, 1e5 do print(i) end' 2> "$folder/err" | head -n 1 > "$folder/out"
ok '[ ! -s "$folder/err" ]' "who reads no more is not complained to"

# Fewer and fewer addresses: it ends, with a status of its own, and what it says it has learned it
# has learned.
if (ulimit -v 400000 && sy -e '' 2> /dev/null); then
    bad=
    for v in 60000 90000 120000 140000 160000 180000 200000 210000 220000 240000 260000; do
        (
            ulimit -v $v
            timeout 60 "$SWITCHYARD" -E --runs "$SWITCHYARD_RUNS" "$folder/run.lua" "v$v" \
                > "$folder/some" 2>&1
        )
        code=$?
        case $code in
        0) grep -qxF "$whole" "$folder/some" || bad="$bad $v: another loss;" ;;
        1 | 2 | 127) ;;
        *) bad="$bad $v: status $code;" ;;
        esac
        ! grep -q "not finite" "$folder/some" || bad="$bad $v: not finite;"
    done
    echo "$bad" > "$folder/out"
    ok '[ -z "$bad" ]' "short of memory nothing crashes, hangs or learns otherwise"
else
    skip "a sanitizer wants more addresses"
fi
finish
