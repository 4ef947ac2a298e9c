-- m:fill(text): the blanks of a text, written by a model that was trained to fill some in.
--
--     "The ___ fox jumps over the ___ dog"
--
--     span   all blanks at once: the encoder, or the beginning of the row, is the text with a
--            sentinel in place of each, and what is written has each sentinel with its filling
--     fim    one blank after the other: what stands before it (with the blanks that are filled)
--            and what comes behind it, up to the next blank; then its middle
--
-- A filling ends where the model writes a special token, or after o.tokens.  A model with an
-- encoder writes through m:_decode.

local engine = require "switchyard.engine"
local generate = require "switchyard.model.generate"
local objective = require "switchyard.model.objective"
local options = require "switchyard.core.options"

local rows = {
  {"blank", "string", nil, help = "what marks a blank; default: three underscores or more"},
  {"by", "string", nil, choices = {"span", "fim"}, help = "which objective's form; default: what "
    .. "the model was trained by"},
  {"tokens", "integer", 40, 1, 1 << 20, help = "of a filling, at most"},
  {"temperature", "number", 0, 0, 100, help = "0: the likeliest token"},
  {"top_k", "integer", 40, 0, 1 << 24, help = "of the likeliest so many; 0: of all"},
  {"top_p", "number", 1, 0, 1, help = "of the likeliest that have this mass"},
  {"seed", "integer", 1, 0, 1 << 53, help = "equal seeds write equal fillings"},
}

-- ---- the text ----

-- What stands between the blanks: one piece more than there are of these.
local function pieces_of(text, blank)
  if type(text) ~= "string" then error("fill: takes a text, got " .. type(text), 0) end
  if blank == "" then error("fill: blank is an empty text", 0) end
  local list, at = {}, 1
  while true do
    local first, last = text:find(blank or "___+", at, blank ~= nil)
    if not first then break end
    list[#list + 1] = text:sub(at, first - 1)
    at = last + 1
  end
  list[#list + 1] = text:sub(at)
  if #list == 1 then
    error(("fill: the text has no blank: %s marks one"):format(blank or "___"), 0)
  end
  return list
end

local function encoded(m, pieces)
  local list = {}
  for i, piece in ipairs(pieces) do
    list[i] = piece == "" and {} or m:_encode("fill", piece)
  end
  return list
end

-- Ids and lists of ids, one after the other.
local function joined(...)
  local ids = {}
  for _, x in ipairs {...} do
    if type(x) == "number" then ids[#ids + 1] = x
    else table.move(x, 1, #x, #ids + 1, ids) end
  end
  return ids
end

-- ---- special tokens ----

local FIM = {prefix = "<|fim_prefix|>", middle = "<|fim_middle|>", suffix = "<|fim_suffix|>"}

local function specials_of(m)
  local tok, s = m.tokenizer, {sentinel = {}, ends = {}}
  if not tok then return s end
  s.eot = tok.eot
  for name, token in pairs(FIM) do s[name] = tok:special(token) end
  local id = tok:special "<extra_id_0>"
  while id do
    s.sentinel[#s.sentinel + 1] = id
    id = tok:special(("<extra_id_%d>"):format(#s.sentinel))
  end
  for _, one in ipairs(joined(s.sentinel, s.eot or {}, tok:special "<pad>" or {}, s.prefix or {},
    s.middle or {}, s.suffix or {})) do s.ends[one] = true end
  return s
end

local function can_span(s) return #s.sentinel > 0 and s.eot ~= nil end
local function can_fim(s) return s.prefix and s.middle and s.suffix and s.eot ~= nil end

local NONE = "fill: the tokenizer has neither sentinels nor the tokens of fim: a model can fill "
  .. "blanks that was trained with objective = \"span\" or \"fim\" on text of "
  .. "tokenizer.bytes{sentinels = 100, fim = true}"

-- "span" or "fim".
local function form_of(m, s, by)
  local learned = m._objective or "next"
  local span, fim = objective.has(learned, "span"), objective.has(learned, "fim")
  if not can_span(s) and not can_fim(s) then error(NONE, 0) end
  by = by or m:_inputs() and "span" or fim and "fim" or span and "span"
  if not by and can_span(s) and can_fim(s) then
    error("fill: the model was not trained to fill blanks, as far as is known: by = \"span\" or "
      .. "by = \"fim\" says how it is to be asked", 0)
  end
  by = by or can_fim(s) and "fim" or "span"
  if by == "fim" and m:_inputs() then
    error("fill: by = \"fim\" is for models without an encoder", 0)
  end
  if not (by == "span" and can_span or can_fim)(s) then
    error(("fill: by = \"%s\": the tokenizer lacks its special tokens"):format(by), 0)
  end
  return by
end

-- ---- models of one stack ----

-- Tokens of each of n fillings behind ids, each with `more` beside it.
local function room_of(m, ids, n, more, o)
  local room = (m.cfg.context - #ids) // n - more
  if room < 1 then
    error(("fill: the text is %d tokens with what marks its blanks: the model's context of %d has "
      .. "no room for fillings"):format(#ids, m.cfg.context), 0)
  end
  return math.min(room, o.tokens)
end

-- What the model writes in an open text, up to a special token, of `most` tokens.
local function filling(writer, s, most)
  local ids = {}
  while #ids < most do
    local id = writer.draw()
    if s.ends[id] then break end
    ids[#ids + 1] = id
    writer.read(id)
    engine.breathe(false)
  end
  return ids
end

-- The text with a sentinel in place of each blank, and its end.
local function with_sentinels(pieces, s)
  local ids = {}
  for i, piece in ipairs(pieces) do
    ids = joined(ids, piece, i < #pieces and s.sentinel[i] or s.eot)
  end
  return ids
end

local function fill_spans(m, pieces, s, o)
  local found, ids = {}, with_sentinels(pieces, s)
  local most = room_of(m, ids, #pieces - 1, 1, o)
  generate.session(m, ids, o, function(writer)
    for i = 1, #pieces - 1 do
      writer.read(s.sentinel[i])
      found[i] = filling(writer, s, most)
    end
  end)
  return found
end

-- Does the model know SPM alone?
local function is_spm(m)
  for _, part in ipairs(type(m._objective) == "table" and m._objective or {}) do
    if part.name == "fim" then return part.spm == 1 end
  end
  return false
end

local function fill_middles(m, pieces, s, o)
  local found, before = {}, pieces[1]
  for i = 1, #pieces - 1 do
    local after = pieces[i + 1]
    local ids = is_spm(m) and joined(s.prefix, s.suffix, after, s.middle, before)
      or joined(s.prefix, before, s.suffix, after, s.middle)
    local most = room_of(m, ids, 1, 0, o)
    generate.session(m, ids, o, function(writer) found[i] = filling(writer, s, most) end)
    before = joined(before, found[i], after)
  end
  return found
end

-- ---- models with an encoder ----

-- The sentinels, a token behind each, and the end.
local function check_decoder(m, blanks)
  if 2 * blanks + 1 <= m.cfg.context then return end
  error(("fill: %d blanks are %d tokens at least: the decoder's context of %d has no room for them")
    :format(blanks, 2 * blanks + 1, m.cfg.context), 0)
end

local function say_open(blanks, told)
  if told == blanks then return end
  engine.event("fill", "note", ("the model ended after %d of %d blanks; the others are empty")
    :format(told, blanks))
end

local function fill_by_encoder(m, pieces, s, o)
  check_decoder(m, #pieces - 1)
  local inputs = with_sentinels(pieces, s)
  local found, at, place, told = {}, nil, {}, 0
  for i = 1, #pieces - 1 do found[i], place[s.sentinel[i]] = {}, i end
  local ids = m:_decode(inputs, {temperature = o.temperature, top_k = o.top_k, top_p = o.top_p,
    seed = o.seed, tokens = math.min(m.cfg.context, #pieces * (o.tokens + 1))})[1].ids
  for _, id in ipairs(ids) do
    if s.ends[id] then
      at = place[id]
      told = at and math.max(told, at) or told
    elseif at and #found[at] < o.tokens then found[at][#found[at] + 1] = id end
  end
  say_open(#pieces - 1, told)
  return found
end

-- ---- both ----

local function check_blanks(pieces, s)
  if #pieces - 1 <= #s.sentinel then return end
  error(("fill: %d blanks, the tokenizer has %d sentinels"):format(#pieces - 1, #s.sentinel), 0)
end

-- A model of words has spaces at the beginning of tokens, and learns of texts that are cut between
-- tokens: a space before a blank is the filling's.  Pieces without it.
local function without_spaces(m, words)
  if not m.tokenizer or m.tokenizer.kind == "bytes" then return words end
  local list = {}
  for i, text in ipairs(words) do list[i] = i < #words and text:gsub(" $", "") or text end
  return list
end

-- What the text has in place of a blank; space: of the two the text's stays.
local function text_of(m, ids, space)
  local text = m.tokenizer:decode(ids, {continued = true})
  return space and text:gsub("^ ", "") or text
end

--- m:fill(text, {blank=, by=, tokens=40, temperature=0, top_k=40, top_p=1, seed=1}) -> the text
-- with its blanks filled, and the list of what fills them
local function fill(m, text, given)
  local o = options.read("fill", given, rows)
  local words, s = pieces_of(text, o.blank), specials_of(m)
  local by = form_of(m, s, o.by)
  local cut = without_spaces(m, words)
  local pieces = encoded(m, cut)
  if by == "span" then check_blanks(pieces, s) end
  local way = by == "fim" and fill_middles or m:_inputs() and fill_by_encoder or fill_spans
  local found, out = way(m, pieces, s, o), {words[1]}
  for i, ids in ipairs(found) do
    found[i] = text_of(m, ids, cut[i] ~= words[i])
    out[#out + 1] = found[i] .. words[i + 1]
  end
  return table.concat(out), engine.list(found)
end

return {fill = fill, rows = rows}
