#!/bin/sh
# A run that trains while its panel is looked at, handled and left: also for ThreadSanitizer, whose
# reports go to files here, for standard error is captured.
# shellcheck source=tests/screens/lib.sh
. "${srcdir:-.}/tests/screens/lib.sh"

TSAN_OPTIONS="${TSAN_OPTIONS:-} log_path=$dir/race"
export TSAN_OPTIONS
cat > "$dir/run.lua" <<'END'
d = data.synthetic{tokens = 1e5}
m = model.moe{layers = 2, dim = 16, heads = 2, experts = 4, expert_dim = 16, context = 16,
  vocab = 256}
r = train(m, d, {steps = 1000000000, batch = 1, name = "live", eval_every = 50, eval_batches = 1,
  checkpoint_every = 100, paused = true})
every(r, 10, function(r) if r.step % 20000 == 200 then print("hook at " .. r.step) end end)
r:resume()
END
start 120 40 "$program -E --runs $dir/runs -i $dir/run.lua"
sees "RUN" "it trains"
sees "hook at" "a hook prints into the scrollback"
enter 'r.lr = 1e-4; print("set", r.lr)'
sees "0.0001" "a hyper-parameter is changed"
type 'r.stat'
press Tab
sees "yard> r.state" "completion while it trains"
press C-u F6 Left Left Left + + Tab e e y x s f 0 o
sees "PANES" "keys of panes while it trains"
type '/'
sees "filter:" "a filter is asked for"
type 'loss'
press Enter
type '/'
press Enter
press Escape
enter 'r:sample{1, 2}'
sees "yard>" "a sample"
enter 'for i = 1, 3000 do print("line " .. i) end print("flo" .. "od")'
sees "flood" "a flood of lines beside it"
tm resize-window -t "$terminal" -x 60 -y 15
tm resize-window -t "$terminal" -x 120 -y 40
enter 'r2 = train(model.moe{layers = 1, dim = 16, heads = 2, experts = 2, expert_dim = 16, context = 16, vocab = 256}, d, {steps = 1000000000, batch = 1, name = "second", eval_every = 0})'
sees "second" "another run"
enter 'r2:stop() r2 = nil collectgarbage()'
enter ':overlay live second'
enter ':pause live'
sees "[live] paused" "a pause"
enter ':resume live'
press C-x a
enter 'print("plain", 1)'
sees "plain" "the plain screen"
press C-x a
sees "F1 help" "and back"
press C-d
type 'y'
press Enter
sees "status=0 same" "leaving saves and ends"
sees "resume live goes on" "and says how the run goes on"
cat "$dir"/race* 2> /dev/null | sed 's/^/# /' | head -100
[ -z "$(ls "$dir"/race* 2> /dev/null)" ]
report $? "and no race was found"
finish
