-- One row is one row: five hyper-parameters of which there is nothing in the program but their rows
-- (rows.h) are options, fields, help, completion and manual, and are in journals and checkpoints;
-- and so is an option of a model that a live run may change (lua/model/live.lua).  Runs in a
-- program that has them; $SWITCHYARD is one that has not.  TAP.

local engine = require "switchyard.engine"
local live = require "switchyard.model.live"
local complete = require("switchyard.prompt.complete").lines
local t = dofile(os.getenv "srcdir" .. "/tests/lua/tap.lua")
local folder = engine.runs_dir()

live.add{"span", "integer", nil, 1, 8, help = "a row of a test"}

local traced = 0 -- how often the function of the model was run
model.define("glowing", function(cfg)
  return function(ids)
    traced = traced + 1
    local x = nn.embedding(ids, nn.param("e", {cfg.vocab, 8})) * (cfg.span / 4)
    return nn.head(x + nn.moe(x, {experts = 4, top_k = cfg.top_k, expert_dim = 8}),
      nn.param("h", {cfg.vocab, 8}))
  end
end, {{"vocab", "vocab", 256}, {"context", "integer", 8}, {"layers", "integer", 1},
      {"seed", "integer", 1},
      {"experts", "integer", 4}, live.row("top_k", 2), live.row("span", 4)})

d = data.synthetic{domains = 2, tokens = 4000, seed = 1}
local function make()
  return model.moe{layers = 1, dim = 8, heads = 1, context = 8, vocab = d.vocab, experts = 4,
                   expert_dim = 8}
end
local function options(more)
  local o = {steps = 8, batch = 2, eval_every = 0, warmup = 0, paused = true}
  for k, v in pairs(more) do o[k] = v end
  return o
end
local function last(run) return run:journal()[#run:journal()] end

-- ---- options and fields ----

m = model.glowing{vocab = d.vocab}
r = train(m, d, options{name = "more", glow = 1.5, shape_glow = 6, dim_glow = true})
t.ok(r.glow == 1.5 and r.quiet_glow == 1 and r.shape_glow == 6 and r.fixed_glow == 7 and
  r.dim_glow == true, "options of train, presets, fields")
t.ok(math.type(r.shape_glow) == "integer" and math.type(r.quiet_glow) == "float", "of their types")
t.refuses(function() train(make(), d, {glow = 11}) end, "out of range",
  "train: glow must be from 0 to 10: it is 11")
t.refuses(function() train(make(), d, {shape_glow = 1.5}) end, "of another type",
  "shape_glow must be a whole number: it is 1.5")
t.refuses(function() train(make(), d, {dim_glow = 1}) end, "no flag", "dim_glow must be a boolean")
t.refuses(function() train(make(), d, {glaw = 1}) end, "misspelt", "'glaw' (did you mean 'glow'?)")

-- ---- live: set, trace again, refuse ----

r:steps(2):wait()
local before = traced
r.glow = 3
r.quiet_glow = 2
r.dim_glow = false
r:steps(1):wait()
t.ok(r.glow == 3 and r.quiet_glow == 2 and r.dim_glow == false and traced == before,
  "set, from the next step on")
r.shape_glow = 9
r:steps(1):wait()
t.ok(r.shape_glow == 9 and traced > before, "set, and traced again")
t.ok(last(r).kind == "set" and last(r).key == "shape_glow" and last(r).value == 9 and
  last(r).step == 3, "the journal has it")
before = traced
r.span = 6
r.top_k = 1
r:steps(1):wait()
t.ok(r.span == 6 and r.top_k == 1 and traced > before, "an option of the model: traced again")
t.ok(last(r).kind == "config" and last(r).key == "top_k" and last(r).value == 1,
  "the journal has it")
for _, case in ipairs {{"glow", -1, "train: glow is -1, must be from 0 to 10"},
  {"shape_glow", 65, "must be from 1 to 64"},
  {"shape_glow", 2.5, "must be a whole number"}, {"dim_glow", 3, "dim_glow must be true or false"},
  {"fixed_glow", 8, "fixed"},
  {"span", 9, "train: span must be from 1 to 8: it is 9"}, {"span", "x", "must be a number"},
  {"top_k", 5, "from 1 to 4"}} do
  local name, value, text = table.unpack(case)
  local was = r[name]
  t.refuses(function() r[name] = value end, ("r.%s = %s is refused"):format(name, value), text)
  t.ok(r[name] == was, "and changes nothing")
end
local set = {}
for _, e in ipairs(r:journal()) do set[#set + 1] = e.key end
t.is(table.concat(set, " "), "glow quiet_glow dim_glow shape_glow span top_k",
  "all of the changes, and nothing else, are in the journal")

-- ---- replay, resume, rewind ----

r:resume():wait()
local hash = r:hash()
t.is(r:rewind(4).glow, 3, "rewound behind a change")
t.is(r:rewind(1).shape_glow, 6, "rewound before it")
t.is(r.span, 4, "... an option of the model, too")
r:close()
r = train.resume("more", {paused = true})
t.ok(r.glow == 1.5 and r.shape_glow == 6 and r.span == 4, "resumed as it was there")
r:close()
local whole = train(model.glowing{vocab = d.vocab}, d, options{name = "whole"})
every(whole, 1, function(self)
  if self.step == 2 then self.glow, self.shape_glow, self.span = 3, 9, 6 end -- in any order
end)
whole:resume():wait()
hash = whole:hash()
whole:close()
local ok, why = pcall(replay, "whole")
t.ok(ok and tostring(why):find "identical", "a run with changes is replayed to the bit", why)
whole = train.resume("whole", {paused = true})
t.ok(whole:hash() == hash and whole.glow == 3 and whole.shape_glow == 9 and whole.span == 6,
  "and resumed with them")
whole:close()

-- ---- programs without the rows ----

local function plain(code)
  return (t.child("-e '" .. code .. "'"))
end
local MAKE = [[d = data.synthetic{domains = 2, tokens = 4000, seed = 1}
  r = train(model.moe{layers = 1, dim = 8, heads = 1, context = 8, vocab = d.vocab, experts = 4,
    expert_dim = 8}, d,
    {steps = 4, batch = 2, eval_every = 0, warmup = 0, name = "%s"%s}):wait()]]
t.ok(plain(MAKE:format("older", "") .. " print(r:hash())"):find "%x%x%x%x\n",
  "an older program makes a run")
r = train.resume("older", {paused = true})
t.ok(r.step == 4 and r.glow == 2.5 and r.shape_glow == 4 and r.fixed_glow == 7 and
  r.dim_glow == false, "its checkpoint has none of the rows: their presets hold")
r.steps = 6
hash = r:resume():wait():hash()
t.is(r:rewind(5):resume():wait():hash(), hash, "it goes on, back, and on again")
r:close()
train(make(), d, options{name = "newer", steps = 4}):resume():wait():close()
local text = plain 'print(pcall(train.resume, "newer"))'
t.ok(text:find "^false\tstep 4: .*unknown hyper%-parameter '[%a_]*glow': a newer",
  "an older program refuses a run that has them, by name", text)

-- ---- help, manual, completion ----

r = train(m, d, options{name = "shown", save = false})
local function offers(line, word)
  local block = complete(line)
  t.ok(type(block) == "string" and ("\n" .. block .. "\n"):find("\n" .. word .. "\n", 1, true),
    ("%s -> %s"):format(line, word), block)
end
offers("train(m, d, {glo", "glow = ")
offers("r.glo", "glow")
offers("r.shape", "shape_glow")
offers("r.spa", "span")
offers("model.glowing{sp", "span = ")
local text_of = require("switchyard.help.help").text
local function says(of, ...)
  local said = tostring(text_of(of))
  for _, word in ipairs {...} do
    t.ok(said:gsub("%s+", " "):find(word, 1, true), ("?%s: %s"):format(of, word), said)
  end
end
says("train", "glow=2.5", "a row of a test that shapes", "dim_glow=false")
says("glow", "an option of train", "a row of a test that holds at once; from 0 to 10.",
  "r.glow = x holds from the next step on.")
says("shape_glow", "from 1 to 64. r.shape_glow = x traces and plans again.")
says("fixed_glow", "It is fixed for the run.")
says("top_k", "r.top_k = x traces and plans again.")
local manual = t.output(("'%s/tests/rows/switchyard' -E --dump-help")
  :format(os.getenv "builddir" or "."))
t.ok(manual:find("glow=2.5\n", 1, true) and manual:find("a row of a test that shapes", 1, true),
  "the manual has them")

t.done()
