#!/bin/sh
# Losses of sources and of objectives, stacks' names and sources by experts on the panel: of runs of
# this session, and of the same ones on disk.
# shellcheck source=tests/screens/lib.sh
. "${srcdir:-.}/tests/screens/lib.sh"

cat > "$dir/lib.lua" <<'END'
tok = tokenizer.bytes{sentinels = 20}
function text(s) return data.string(s:rep(300), {tokenizer = tok}) end
mixed = data.mix{{text "abcd", 1, name = "letters"}, {text "1234", 1, name = "digits"}}
o = {steps = 30, batch = 4, eval_every = 10, eval_batches = 1, seed = 3, lr = 1e-2}
function run(name, m, by)
  o.name, o.objective = name, by
  r = train(m, mixed, o):wait()
end
function two()
  run("mixture", model.moe{layers = 2, dim = 16, heads = 2, experts = 4, expert_dim = 16,
    context = 16, vocab = tok})
  run("stacks", model.encdec{layers = 2, decoder_layers = 2, dim = 16, heads = 2,
    input_context = 40, vocab = tok, experts = 4, top_k = 1, moe_first = 1, router = "switch",
    capacity = 1}, {span = 0.5, prefix = 0.5})
end
END
start 120 40 "$program -E --runs $dir/runs -i $dir/lib.lua"
sees "yard>" "the prompt"
enter 'two()'
sees "stacks DONE" "two runs"
sees "loss by objective" "objectives have curves of their own"
sees "b prefix" "with names, in their order"
sees "enc 1" "layers are called as their stack has them"
sees "dropped" "drops are there"
press F6 a
sees "loss by source" "a: sources"
sees "letters" "with theirs"
press a
lacks "loss by" "a: the whole alone"
press Tab e e e e
sees "experts · sources of enc 1" "e: sources by experts"
sees "digits" "called by their names"
press Down
sees "sources of dec 1" "of the layer that is chosen"
press q
enter ':losses objectives'
sees "loss by objective" ":losses"
enter ':losses languages'
sees "losses: there are all, objectives, sources, teacher" "others are not known"
enter 'heat "load"'
sees "enc 1–dec 1 × 1–4" "the function"
enter 'print(r)'
sees "sources  loss letters" "the card has them"
enter ':watch mixture'
sees "mixture DONE" "another run"
enter ':losses objectives'
sees "losses: 'mixture' has no objectives apart" "what it has not is said"
press C-d
sees "status=0 same" "leaving"

start 120 40 "$program watch stacks --runs $dir/runs"
sees "stacks DONE" "watch, from the disk"
sees "b prefix" "objectives, in the same order"
sees "enc 1" "layers"
press a
sees "letters" "sources"
press Tab e e e e
sees "experts · sources of enc 1" "sources by experts"
type ':heat gate'
press Enter
sees "experts · probability" "commands, too"
press C-c
sees "status=0 same" "leaving watch"
finish
