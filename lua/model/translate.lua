-- m:translate: a model that was trained on pairs (data.pairs, data.catalogues) writes the target of
-- a text.
--
--   1. The text is put before the model as the inputs were that it was trained on: the tag of its
--      languages, the text, an end-of-text.
--   2. Languages are those of the data: one on one side, `sources` on the other.  They go with the
--      model: m._languages = {tag=, targets=, other=, sources={...}} (engine.languages), set when
--      it begins to be trained (lua/run/run.lua), in config.json where it is saved.

local engine = require "switchyard.engine"
local options = require "switchyard.core.options"
local translate = {}

local ROWS = {
  {"from", "string", nil, help = "language of the text; not needed where there is one"},
  {"to", "string", nil, help = "language to translate into; likewise"},
  {"tokens", "integer", 200, 1, 1 << 24, help = "tokens to write, at most"},
  {"beam", "integer", 1, 1, 64, help = "width of a beam search, of a model with an encoder; 1: "
    .. "the likeliest token each time"},
}
translate.rows = ROWS

local function fail(text, ...) error("translate: " .. text:format(...), 0) end

-- Number of the language from 1, on the side that has several.
local function find_language(l, side, name)
  if not name and #l.sources == 1 then return 1 end
  for i, known in ipairs(l.sources) do
    if known == name then return i end
  end
  local all = table.concat(l.sources, ", ")
  if not name then fail("%s names no language: the model knows %s", side, all) end
  fail("%s is '%s': the model was trained on %s %s %s", side, name, all,
    l.targets and "out of" or "into", l.other)
end

-- Language pair and the number of its source among the languages: {from=, to=, source=}.
local function read_languages(l, o)
  local many, one = l.targets and "to" or "from", l.targets and "from" or "to"
  local i = find_language(l, many, o[many])
  if o[one] and o[one] ~= l.other then
    fail("%s is '%s': the model was trained on %s alone", one, o[one], l.other)
  end
  return {[many] = l.sources[i], [one] = l.other, source = i - 1}
end

local function inputs_of(m, text, pair)
  local tag = m._languages.tag:gsub("{(%a+)}", pair)
  local ids = m.tokenizer:encode(tag .. text)
  ids[#ids + 1] = m.tokenizer.eot
  return ids
end

-- A model without an encoder reads the text and goes on.
local function write_on(m, ids, o)
  local room = m.cfg.context - #ids
  if room < 1 then
    fail("the text is %d tokens, the model reads %d (context)", #ids, m.cfg.context)
  end
  local text = m:generate(ids, {tokens = math.min(o.tokens, room), temperature = 0})
  return text:sub(#m.tokenizer:decode(ids) + 1)
end

local function one(m, text, pair, o)
  if type(text) ~= "string" then fail("takes a text or a list of texts, got %s", type(text)) end
  local ids = inputs_of(m, text, pair)
  if not m:_inputs() then return write_on(m, ids, o) end
  if #ids > m:_inputs() then
    fail("the text is %d tokens, the model reads %d (input_context)", #ids, m:_inputs())
  end
  if not m._decode then
    fail("model.%s has an encoder, and this program writes no text with one", m.family)
  end
  local found = m:_decode(ids, {tokens = math.min(o.tokens, m.cfg.context), beam = o.beam,
    source = pair.source, start = m.tokenizer:special "<pad>" or m.tokenizer.eot})
  return m.tokenizer:decode(found[1].ids)
end

--- m:translate(text or list, {from=, to=, tokens=200, beam=1}) -> text or list
local function run(m, text, given)
  local o = options.read("translate", given, ROWS)
  local l = m._languages
  if not l then
    fail("the model was not trained on pairs of languages (data.pairs, data.catalogues)")
  end
  if o.beam > 1 and not m:_inputs() then
    fail("a beam goes with a model that has an encoder; model.%s has none", m.family)
  end
  local pair = read_languages(l, o)
  if type(text) ~= "table" then return one(m, text, pair, o) end
  local out = {}
  for i, t in ipairs(text) do out[i] = one(m, t, pair, o) end
  return engine.list(out)
end

function translate.translate(m, ...)
  return options.call(run, m, ...)
end

--- Languages as config.json has them: nil, message when they are none.
function translate.check(l)
  local fine = type(l) == "table" and type(l.tag) == "string" and type(l.other) == "string" and
    type(l.targets) == "boolean" and type(l.sources) == "table" and #l.sources > 0
  for _, name in ipairs(fine and l.sources or {}) do fine = fine and type(name) == "string" end
  if fine then return {tag = l.tag, other = l.other, targets = l.targets, sources = l.sources} end
end

return translate
