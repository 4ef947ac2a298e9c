-- train's trace_every: a text traced every n steps is a series of each mixture; the run is the same
-- without it.  TAP.
local srcdir = os.getenv "srcdir" or "."
local t = dofile(srcdir .. "/tests/lua/tap.lua")
local small = dofile(srcdir .. "/tests/lua/small.lua")
local text = require "switchyard.lab.trace_text"

local tok = tokenizer.bytes()
local d = small.words(4000, tok)
local RUN = {batch = 2, steps = 12, eval_every = 0, checkpoint_every = 6, keep_every = 6}

local function model_of(more)
  return small.moe(t.with({layers = 2, vocab = tok, router = "softmax"}, more))
end

local plain = small.run(model_of(), d, t.with(RUN, {save = false}))
local r = small.run(model_of(), d, t.with(RUN, {trace_every = 3, trace_text = "the lazy dog"}))
t.is(r:hash(), plain:hash(), "the run is the same without")
local function steps_of(run)
  local list = {}
  for i, row in ipairs(run:history("trace.2"):table()) do list[i] = math.tointeger(row[1]) end
  return table.concat(list, " ")
end
t.is(steps_of(r), "3 6 9 12", "a row every third step")
local last = r:history("trace.2"):table()[4]
local now = text.first(trace(r, "the lazy dog")._parts[2])
t.is(table.concat(last, " ", 2), table.concat(now, ".0 ") .. ".0", "which is what a trace says")

r:rewind(6)
t.is(steps_of(r), "3 6", "a rewind takes rows back")
r:resume():wait()
t.is(steps_of(r), "3 6 9 12", "which come again")
t.is(table.concat(r:history("trace.2"):table()[4], " "), table.concat(last, " "), "as they were")
local name = r.name
r:close()
t.is(table.concat(runs(name).config.traced, "|"), "t|h|e| |l|a|z|y| |d|o|g", "the text is kept")
t.is(steps_of(runs(name)), "3 6 9 12", "the store has them")
t.ok(replay(name).identical, "a replay is identical")
local again = train.resume(name, {steps = 18}):wait()
t.is(steps_of(again), "3 6 9 12 15 18", "a run that is resumed goes on with its text")
again:close()

local own = small.run(model_of(), d, t.with(RUN, {save = false, trace_every = 6}))
t.is(own:history("trace.1").shape[2], 17, "of itself it takes the context of the validation text")
local live = train(model_of(), d, t.with(RUN, {save = false, trace_every = 1, steps = 8,
  paused = true}))
live:steps(2):wait()
live.top_k = 1
live:resume():wait()
t.is(live:history("trace.1").shape[1], 8, "another top_k is traced anew")

local function refused(what, model, more, ...)
  t.refuses(function() train(model, d, t.with(RUN, {save = false}, more)) end, what, ...)
end
refused("no text", model_of(), {trace_text = "a"}, "trace_text has no effect without trace_every")
refused("too long", model_of(), {trace_every = 1, trace_text = ("x"):rep(17)},
  "trace_text is 17 tokens, the context is 16")
refused("no token", model_of(), {trace_every = 1, trace_text = ""}, "no token")
refused("dense", model.dense{layers = 1, dim = 16, heads = 2, context = 16, vocab = tok},
  {trace_every = 1}, "trace_every has no effect: the model has no experts")
t.done()
