#!/bin/sh
# Conditions are evaluated in ok; words are split on purpose.
# shellcheck disable=SC2016,SC2015,SC2086
# What is no regular file in the place of one: nothing waits for it, and what cannot be read is
# named.
# shellcheck source=tests/cli/lib.sh
. "${srcdir:-.}/tests/cli/lib.sh"

command -v mkfifo > /dev/null && command -v timeout > /dev/null ||
    { echo "1..0 # SKIP no mkfifo or no timeout"; exit 0; }
runs=$SWITCHYARD_RUNS
cat > "$folder/make.lua" << 'LUA'
d = data.string(("to be or not "):rep(200))
m = model.moe{vocab = 256, context = 16, dim = 16, layers = 1, heads = 2, experts = 2, top_k = 1,
  expert_dim = 16}
r = train(m, d, {steps = 6, batch = 2, name = "a", checkpoint_every = 3})
r:wait()
assert(m:save "exported")
d.tokenizer:save "tokenizer.json"
tensor.save("x.npy", tensor.ones(2))
LUA
here=$PWD
case $SWITCHYARD in /*) ;; *) SWITCHYARD=$here/$SWITCHYARD ;; esac
cd "$folder" || exit 99
"$SWITCHYARD" -E --runs "$runs" make.lua > out 2> err
report $? "a run, a model, a tokenizer"
mkfifo pipe

# A command that must not hang: it ends, not by a signal.
ends()
{
    case_=$1
    shift
    timeout -s KILL "$LIMIT" "$@" > out 2> err < /dev/null
    code=$?
    [ $code -lt 124 ] || echo "$case_: status $code" >> bad
}

others="pipe device folder"
[ -z "${SY_TEST_FAST:-}" ] || others=pipe

# Each file of a folder in turn is a named pipe, a device, a folder.
each()
{
    of=$1 what=$2
    shift 2
    : > bad
    tried=0
    for file in $(cd "$of" && find . -type f | sort); do
        for other in $others; do
            [ -f "$of/$file" ] || continue # the store's, which come and go
            mv "$of/$file" kept
            case $other in
            pipe) mkfifo "$of/$file" ;;
            device) ln -s /dev/zero "$of/$file" ;;
            folder) mkdir "$of/$file" ;;
            esac
            ends "$what with a $other as $file" "$@"
            tried=$((tried + 1))
            rm -rf "${of:?}/$file"
            mv kept "$of/$file"
        done
    done
    cp bad out
    ok '[ $tried -gt 0 ] && [ ! -s bad ]' "$what waits for no pipe, no device, no folder ($tried)"
}

sy() { "$SWITCHYARD" -E --runs "$runs" "$@"; }
all="$SWITCHYARD -E --runs $runs"
cp -R "$runs/a" spare
for command in "runs" "log a loss" "generate a x --tokens 2" "replay a" "watch a --plain"; do
    # shellcheck disable=SC2086 # words
    each "$runs/a" "$command" $all $command
done
restore() { rm -rf "$runs/a"; cp -R spare "$runs/a"; }
each "$runs/a" "resume" sh -c "$all resume a; rm -rf '$runs/b'"
restore
each exported "model.load" $all -e 'print(model.load "exported")'
each exported "the files of a model, by name" $all \
    -e 'print(tensor.load "exported/model.safetensors")'

for code in 'tokenizer.load "pipe"' 'model.load "pipe"' 'tensor.load "pipe"' 'data.text "pipe"' \
    'data.shards{"pipe"}' \
    'data.shards "pipe"' 'dofile "pipe"' 'loadfile "pipe"' \
    'tokenizer.train("pipe", {vocab = 300})' 'data.jsonl "pipe"' \
    'tensor.load "/dev/zero"' 'data.text "/dev/zero"' 'data.text "/dev/full"' \
    'tokenizer.load "/dev/zero"' 'model.load "/dev"'; do
    case $code in
    dofile* | loadfile*) continue ;; # Lua's own: who names a pipe there means to wait
    esac
    : > bad
    line=$code
    ends "$line" $all -e "print($line)"
    cp bad out
    ok '[ ! -s bad ]' "$line ends"
done
finish
