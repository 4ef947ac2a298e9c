#!/bin/sh
# Stored runs on the panel: laid over a live one, brought to the front, and shown once when they are
# live again.
# shellcheck source=tests/screens/lib.sh
. "${srcdir:-.}/tests/screens/lib.sh"

cat > "$dir/lib.lua" <<'END'
d = data.synthetic{tokens = 1e5}
function go(name, more)
  more = more or {}
  more.name, more.batch, more.steps, more.eval_every = name, 1, more.steps or 40, 0
  return train(model.moe{layers = 1, dim = 16, heads = 2, experts = 4, expert_dim = 16,
    context = 16, vocab = 256}, d, more)
end
END
"$program" -E --runs "$dir/runs" -e "dofile '$dir/lib.lua' go('first'):wait() go('second'):wait()" \
    > /dev/null
start 120 40 "$program -E --runs $dir/runs -i $dir/lib.lua"
sees "yard>" "the prompt"
enter ':overlay nosuch'
sees "nosuch" "a run that is not there is named"
enter ':overlay first'
sees "first DONE" "without a run of this session a stored one is in front"
enter 'r = go("third")'
sees "third DONE" "one that trains here comes before it"
enter ':overlay first second'
sees "3 runs" "stored runs are drawn over it"
sees "third DONE" "which stays in front"
enter ':overlay'
lacks "3 runs" "and it alone again"
enter 'overlay(r, runs "first")'
sees "2 runs" "the function takes runs, stored ones too"
enter ':watch second'
sees "second DONE" "a stored run in front"
enter 's = train.resume("second", {steps = 60}):wait() print("at " .. s.step)'
sees "at 60" "it is live again"
sees "second DONE 3 of 3" "and shown once"
press C-d
sees "status=0 same" "leaving"

# watch takes others as well
start 120 40 "$program watch first --runs $dir/runs"
sees "first DONE" "watch"
type ':overlay third'
press Enter
sees "2 runs" "another run over it"
type ':watch third'
press Enter
sees "third DONE" "or in front"
press C-c
sees "status=0 same" "leaving watch"
finish
