-- m:translate: a model that was trained on pairs (data.pairs, data.catalogues) writes the target of
-- a text.
--
--   1. The text is put before the model as the inputs were that it was trained on: the tag of its
--      languages, the text without white space at its ends, an end-of-text.  Of nothing there is no
--      translation: it is "".
--   2. Languages are those of the data: one on one side, `sources` on the other.  They go with the
--      model: m._languages = {tag=, targets=, other=, sources={...}, numbers={...}}
--      (engine.languages), set when it begins to be trained (lua/run/run.lua), in config.json where
--      it is saved; without numbers the sources count from 0.

local engine = require "switchyard.engine"
local options = require "switchyard.core.options"
local sequence = require "switchyard.model.sequence"
local translate = {}

local ROWS = {
  {"from", "string", nil, help = "language of the text; not needed where there is one, or where "
    .. "neither tag nor model say which"},
  {"to", "string", nil, help = "language to translate into; likewise"},
  {"tokens", "integer", 200, 1, 1 << 24, help = "tokens to write, at most"},
  {"beam", "integer", 1, 1, 64, help = "width of a beam search, of a model with an encoder; 1: "
    .. "the likeliest token each time"},
  sequence.rows[2],
}
translate.rows = ROWS

local function fail(text, ...) error("translate: " .. text:format(...), 0) end

-- Does it matter which of several languages is meant?  It does where they are not all of one name
-- and the tag says which, or what the model reads.
local function is_open(l, side, reads)
  local same = true
  for _, name in ipairs(l.sources) do same = same and name == l.sources[1] end
  return not same and (reads or l.tag:find("{" .. side .. "}", 1, true) ~= nil)
end

-- Number of the language from 1, on the side that has several.
local function find_language(l, side, name, reads)
  if not name and not is_open(l, side, reads) then return 1 end
  for i, known in ipairs(l.sources) do
    if known == name then return i end
  end
  local all = table.concat(l.sources, ", ")
  if not name then fail("%s names no language: the model knows %s", side, all) end
  fail("%s is '%s': the model was trained on %s %s %s", side, name, all,
    l.targets and "out of" or "into", l.other)
end

-- Languages of a tag, {from=, to=}, and the number of the one among several, from 0.
-- reads: whether the model reads which it is.
local function read_languages(l, o, reads)
  local many, one = l.targets and "to" or "from", l.targets and "from" or "to"
  local i = find_language(l, many, o[many], reads)
  if o[one] and o[one] ~= l.other then
    fail("%s is '%s': the model was trained on %s alone", one, o[one], l.other)
  end
  return {[many] = l.sources[i], [one] = l.other}, l.numbers and l.numbers[i] or i - 1
end

local function check_text(text)
  if type(text) ~= "string" then fail("takes a text or a list of texts, got %s", type(text)) end
end

-- Ids of a text, {} of nothing; as many as the model's option `name` says, with `beside` others.
local function inputs_of(m, text, tag, name, beside)
  check_text(text)
  text = text:match "^[ \t-\r]*(.-)[ \t-\r]*$"
  if text == "" then return {} end
  local ids = m.tokenizer:encode(tag .. text)
  ids[#ids + 1] = m.tokenizer.eot
  if #ids + beside > m.cfg[name] then
    fail("the text is %d tokens, the model reads %d (%s)", #ids, m.cfg[name], name)
  end
  return ids
end

-- A model without an encoder reads the text and goes on.
local function write_on(m, ids, o)
  if #ids == 0 then return "" end
  local text = m:generate(ids, {tokens = math.min(o.tokens, m.cfg.context - #ids), temperature = 0})
  return text:sub(#m.tokenizer:decode(ids) + 1)
end

local function by_decoder(m, texts, tag, o)
  local all, out = {}, {}
  for i, text in ipairs(texts) do all[i] = inputs_of(m, text, tag, "context", 1) end
  for i, ids in ipairs(all) do out[i] = write_on(m, ids, o) end
  return out
end

-- What the decoder's context has cut, not o.tokens.
local function say_cut(m, found, o)
  local cut = 0
  for _, sequences in ipairs(found) do cut = cut + (sequences[1].ended and 0 or 1) end
  if cut == 0 or o.tokens < m.cfg.context then return end
  engine.event("translate", "note", ("%d of %d texts are cut: the decoder writes at most %d tokens "
    .. "(context)"):format(cut, #found, m.cfg.context))
end

-- Several at once, but for those of nothing.
local function by_encoder(m, texts, tag, o, source)
  local all, of, out = {}, {}, {}
  for i, text in ipairs(texts) do
    local ids = inputs_of(m, text, tag, "input_context", 0)
    if #ids > 0 then all[#all + 1], of[#of + 1] = ids, i end
    out[i] = ""
  end
  local found = m:_decode_all(all, {tokens = o.tokens, beam = o.beam, source = source,
    length_penalty = o.length_penalty})
  say_cut(m, found, o)
  for k, sequences in ipairs(found) do out[of[k]] = m.tokenizer:decode(sequences[1].ids) end
  return out
end

local function check(m, o, given)
  if not m._languages then
    fail("the model was not trained on pairs of languages (data.pairs, data.catalogues)")
  end
  if o.beam > 1 and not m:_inputs() then
    fail("a beam goes with a model that has an encoder; model.%s has none", m.family)
  end
  if o.beam == 1 and given and given.length_penalty then
    fail("length_penalty has no effect without a beam")
  end
end

--- m:translate(text or list, {from=, to=, tokens=200, beam=1, length_penalty=0.6}) -> text or list
local function run(m, text, given)
  local o = options.read("translate", given, ROWS)
  check(m, o, given)
  local languages, source = read_languages(m._languages, o, m._reads_sources)
  local tag = m._languages.tag:gsub("{(%a+)}", languages)
  local is_list = type(text) == "table"
  if is_list then engine.length("translate", text) else check_text(text) end
  local out = (m:_inputs() and by_encoder or by_decoder)(m, is_list and text or {text}, tag, o,
    source)
  return is_list and engine.list(out) or out[1]
end

function translate.translate(m, ...)
  return options.call(run, m, ...)
end

local function are_all(list, n, is_one)
  local fine = type(list) == "table" and #list == n
  for i = 1, fine and n or 0 do fine = fine and is_one(list[i]) end
  return fine
end

local function is_text(v) return type(v) == "string" end

local function is_number(v) return math.type(v) == "integer" and v >= 0 and v < 1 << 31 end

--- Languages as config.json has them; nil when they are none.
function translate.check(l)
  if type(l) ~= "table" or type(l.sources) ~= "table" or #l.sources == 0 then return nil end
  local fine = is_text(l.tag) and is_text(l.other) and type(l.targets) == "boolean" and
    are_all(l.sources, #l.sources, is_text) and
    (l.numbers == nil or are_all(l.numbers, #l.sources, is_number))
  return fine and {tag = l.tag, other = l.other, targets = l.targets, sources = l.sources,
                   numbers = l.numbers} or nil
end

return translate
