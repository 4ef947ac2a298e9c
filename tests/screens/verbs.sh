#!/bin/sh
# The heatmap is a place to act: the menu of an expert's verbs, the line that it puts to the prompt,
# and what the run's journal has of it.
# shellcheck source=tests/screens/lib.sh
. "${srcdir:-.}/tests/screens/lib.sh"

cat > "$dir/run.lua" <<'END_OF_SCRIPT'
d = data.synthetic{tokens = 1e5}
m = model.moe{layers = 2, dim = 16, heads = 2, experts = 4, expert_dim = 16, context = 16,
  vocab = 256}
r = train(m, d, {steps = 100, batch = 1, name = "acted", eval_every = 0, paused = true})
r:steps(5):wait()
END_OF_SCRIPT
start 80 24 "$program -E --runs $dir/runs -i $dir/run.lua"
sees "PAUSED" "a run that stands"
press F6
type 'v'
sees "L1 expert 1 · of 4" "the menu of an expert"
sees "no token is sent to it from the next step on" "says what a verb does"
press Right Right
sees "L1 expert 3 · of 4" "another expert"
press Escape
lacks "expert 3 · of 4" "Esc closes it"
sees "PANES" "and no more"
type 'jv'
press Enter
sees 'yard> runs "acted".layers[2].experts[3]:disable()' "the line stands at the prompt"
press Enter
enter 'print(r.disabled .. " of them is out")'
sees "1 of them is out" "and is done when it is entered"
enter 'print(#r:journal(), r:journal()[1].text)'
sees "layer 2 expert 3 disabled" "the journal has it"
type 'half a line'
press F6
type 'v'
press Down Enter
sees "the prompt holds a line" "what is half typed is not lost"
press Escape
press C-u
press F6
type 'v'
press Down Down Down Down Down Enter
sees 'yard> runs "acted".layers[2].experts[3]:clone(' "what is to be typed behind a verb"
type '1, {noise = 1e-3})'
press Enter
enter 'print(r:journal()[2].text)'
sees "clone L2 3->1, noise 0.001" "a clone"
press C-d
sees "status=0 same" "leaving"
finish
