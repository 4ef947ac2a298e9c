-- The same text, traced every n steps of a run: series trace.L of the expert that weighs most in
-- each token (0: none), which the panel shows as coloured text.  train's trace_every and
-- trace_text.
--
--  1. It is an evaluation between two steps: the run, its hash and its replay are the same without.
--  2. The text is fixed for the run: it comes of its options and its data alone, so that a resumed
--     run goes on with it.

local engine = require "switchyard.engine"
local hooks = require "switchyard.run.hooks"
local probe = require "switchyard.lab.probe"
local text = require "switchyard.lab.trace_text"
local trace = require "switchyard.lab.trace"

local traced = {}
local TOKENS = 96 -- of a text that nobody chose
local EXPERTS = 2048 -- so far f16 counts, in which rows lie

local function fail(...) error("train: " .. string.format(...), 0) end

-- ---- the text ----

local function of_validation(r)
  local T = math.min(TOKENS, r._o.context)
  local function field() return tensor.zeros({1, T}, {dtype = "i32"}) end
  local fields, by = {tokens = field(), targets = field()}, r._by or nil
  if engine.eval_windows(r._d, T, 1, nil, by) < 1 then
    fail("trace_every: the data have no validation part to take a text of; trace_text = \"...\"")
  end
  engine.eval_batch(r._d, 0, 1, fields, by, engine.eval_tally(r._d, T, 1, nil, by))
  return fields.tokens:view(-1):table()
end

local function of_option(r)
  local tok = r._d.tokenizer or r._m.tokenizer
  if not tok then fail("trace_text: the data have no tokenizer") end
  local ids = tok:encode(r._o.trace_text)
  if #ids == 0 then fail("trace_text has no token") end
  if #ids > r._o.context then
    fail("trace_text is %d tokens, the context is %d", #ids, r._o.context)
  end
  return ids
end

local function check(r)
  local m = r._m
  if m:_inputs() then fail("trace_every: a model with an encoder has no text of its own") end
  if not next(m._moe) then fail("trace_every has no effect: the model has no experts") end
  for _, list in pairs(m._moe) do
    for _, moe in ipairs(list) do
      if moe.experts > EXPERTS then
        fail("trace_every: %d experts are more than %d, which a series can tell apart",
          moe.experts, EXPERTS)
      end
    end
  end
end

-- As the panel shows it, on one line.
local function shown(s)
  return engine.clean((s:gsub("[\n\t]", {["\n"] = "\\n", ["\t"] = "\\t"})))
end

--- The text of a run that is made: {ids=, texts=}; raises where there can be none.
function traced.text(r)
  check(r)
  local ids = r._o.trace_text and of_option(r) or of_validation(r)
  local texts = trace.texts({tokenizer = r._d.tokenizer or r._m.tokenizer}, ids)
  for i, s in ipairs(texts) do texts[i] = s == "" and "‹›" or shown(s) end
  return {ids = ids, texts = texts}
end

-- ---- rows ----

local function take(r, ids)
  local m = r._m
  local p = m:_program("trace_series", function()
    return probe.new(m, {length = #ids, losses = false})
  end)
  p:put{ids}:run()
  for _, x in ipairs(p.mixtures) do
    if x.layer then
      r._h:put_row("trace." .. x.place, "trace", x.layer, x.mixture or "", r.step, text.first(x))
    end
  end
end

--- From now on.
function traced.begin(r)
  hooks.add(r, r._o.trace_every, function() take(r, r._o.traced.ids) end, true)
end

return traced
