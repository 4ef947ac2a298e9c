-- Small data, runs and rows that tests of several files are made of:
--     local small = dofile(os.getenv "srcdir" .. "/tests/lua/small.lua")

local engine = require "switchyard.engine"
local t = dofile((os.getenv "srcdir" or ".") .. "/tests/lua/tap.lua")
local small = {}

-- ---- data ----

local WORDS = {"the", "quick", "brown", "fox", "jumps", "over", "a", "lazy", "dog", "and"}

--- A text of n words, which no short piece of it repeats; a tenth of it validates.
function small.words(n, tok)
  local list = {}
  for i = 1, n do list[i] = WORDS[i * i % 7 + i % 4 + 1] end
  return data.string(table.concat(list, " "), {tokenizer = tok, val = 0.1})
end

--- A file NAME of pairs: `line` ("de\tdie %w\tthe %w\n", or several such) for n words of two
-- letters, which stand in the places of %w.  Returns its path.
function small.pair_file(name, n, line)
  local lines = {}
  for i = 1, n do
    lines[i] = line:gsub("%%w", string.char(97 + i % 26, 97 + i // 26))
  end
  return t.write(t.scratch(name), table.concat(lines))
end

small.german = {"null", "eins", "zwei", "drei", "vier", "fünf", "sechs", "sieben", "acht", "neun"}
small.french = {"zéro", "un", "deux", "trois", "quatre", "cinq", "six", "sept", "huit", "neuf"}
small.english = {"zero", "one", "two", "three", "four", "five", "six!", "seven", "eight", "nine"}

--- The numbers from 0 to 9, from German and from French into English: 20 lines of pairs.
function small.numbers()
  local lines = {}
  for i = 1, 10 do
    lines[#lines + 1] = ("de\t%s\t%s"):format(small.german[i], small.english[i])
    lines[#lines + 1] = ("fr\t%s\t%s"):format(small.french[i], small.english[i])
  end
  return table.concat(lines, "\n")
end

-- ---- models and runs ----

--- A mixture of four experts, in one layer.
function small.moe(more)
  return model.moe(t.with({layers = 1, dim = 16, heads = 2, context = 16, experts = 4, top_k = 2,
                           expert_dim = 16}, more))
end

--- A run to its end; with o.paused it is only begun.  f(r, step) is called after every step.
function small.run(m, d, o, f)
  local r = train(m, d, t.with(o, {paused = true})) -- the hook is there before the first step
  if f then every(r, 1, function(self) f(self, self.step) end) end
  if not o.paused then r:resume():wait() end
  return r
end

-- ---- rows ----

--- Empty fields of a batch of B rows of T tokens (and S inputs), for engine.batch to fill: those of
-- these names, or all.
function small.fields(names, B, T, S)
  local all, some = {}, {}
  for name, spec in pairs(engine.fields()) do
    local shape = spec.length == "row" and {B} or {B, spec.length == "input" and S or T}
    if S or spec.length ~= "input" then all[name] = tensor.zeros(shape, {dtype = spec.dtype}) end
  end
  for _, name in ipairs(names or {}) do some[name] = all[name] end
  return names and some or all
end

--- Logits of one row of a model with an encoder: tokens, inputs and what else is put into fields of
-- a batch, by their names; it is one document where nothing else is said.
function small.logits(m, fields)
  local o = {mode = "eval", input_context = #fields.inputs, given = {input_documents = true}}
  for name in pairs(fields) do o.given[name] = true end
  m:_record(o, 1, #fields.tokens, function(r) r.logits = m.logits_of(r.result) end)
  local p = engine.program(o.graph, {o.logits})
  if o.fields.input_documents then o.fields.input_documents:fill(0) end
  for name, values in pairs(fields) do
    if o.fields[name] then engine.put(o.fields[name], values) end
  end
  m:_write_inputs(o)
  p:run()
  return engine.clone(o.logits)
end

return small
