-- m:_decode: what a model of an encoder and a decoder writes for a text that the encoder reads;
-- m:_decode_all: for many.  m:generate, m:fill and m:translate are made of it.
--
--  1. The first program reads the inputs and the start token: what nn.memory makes, and the keys
--     and values of it, are copied into every further program (recall, remember).  So the encoder
--     runs once, and a step costs one token of the decoder.
--  2. Inputs are padded to a multiple of ROUND, so that a few programs serve all lengths: padding
--     is of document -1, which nobody sees, and changes no bit.
--  3. Rows of the further programs are sequences of a beam, or of texts of one padded length.
--     Their keys and values stand in caches (rows, T, G, D), which are put in another order when
--     the beam is.
--  4. Rows know nothing of each other: a text gets the bits that it gets alone.

local beam = require "switchyard.model.beam"
local engine = require "switchyard.engine"
local options = require "switchyard.core.options"
local token_by_token = require "switchyard.model.token_by_token"

local sequence = {}
local ROUND = 16
local KEPT = 12 -- programs
local TOGETHER = 16 -- texts

-- ---- programs ----

--- Attention of tokens to those before, whose keys and values are in c, {k=, v=}; theirs are put
-- there.  bias, scale: nil where it has none.
function sequence.attend(q, k, v, c, len, bias, scale)
  local o = {scale = scale or 0}
  if bias then return engine.raw.attention_cached(q, k, v, c.k, c.v, len, bias, o) end
  return engine.raw.attention_cached(q, k, v, c.k, c.v, len, o)
end

-- Caches of a program of so many rows: d.attend.
local function attending(m, d, rows)
  local caches, count = {}, 0
  function d.attend(q, k, v, bias, scale)
    count = count + 1
    local c, shape = caches[count], k.shape
    if not c then
      local size = {rows, m.cfg.context, shape[3], shape[4]}
      c = {k = tensor.zeros(size), v = tensor.zeros(size)}
      caches[count] = c
    end
    return sequence.attend(q, k, v, c, d.graph:input("len", "i32", {rows}), bias, scale)
  end
  return caches
end

local function compiled(m, d, rows, outputs)
  local logits
  m:_record(d, rows, 1, function() logits = m.logits_of(d.result) end)
  table.insert(outputs, 1, logits)
  return {run = engine.program(d.graph, outputs), d = d, rows = rows, logits = logits,
          outputs = outputs, fields = d.fields, positions = d.positions,
          len = d.graph:input("len", "i32", {rows})}
end

local GIVEN = {inputs = true, input_documents = true, input_sources = true, sources = true}

-- Reads S inputs and one token of each row.  outputs: logits, then what is remembered, in its
-- order.
local function first_program(m, S, rows)
  local d, kept = {mode = "decode", input_context = S, given = GIVEN}, {}
  local caches = attending(m, d, rows)
  function d.keep(memory) kept[#kept + 1] = memory end
  function d.remember(make)
    local k, v = make()
    kept[#kept + 1], kept[#kept + 2] = k, v
    return k, v
  end
  local p = compiled(m, d, rows, kept)
  p.caches = caches
  return p
end

-- One token of each row, with what the first program of S inputs remembered.
local function next_program(m, S, rows, first)
  local d, recalled = {mode = "decode", input_context = S, given = GIVEN}, {}
  local caches = attending(m, d, rows)
  local function again()
    local shape = table.move(first.outputs[#recalled + 2].shape, 1, 4, 1, {})
    shape[1] = rows
    local t = d.graph:input("remembered." .. #recalled + 1, "f32", shape)
    recalled[#recalled + 1] = t
    return t
  end
  d.recall = again
  function d.remember()
    local k = again()
    return k, again()
  end
  local p = compiled(m, d, rows, {})
  p.recalled, p.caches = recalled, caches
  return p
end

local function kept(own, key, make)
  if not own[key] then
    own.count = own.count + 1
    own[key] = make()
  end
  return own[key]
end

-- What one generation uses alone: that of the last, or new while another goes on.
local function take(m)
  local own = m._programs.sequences
  m._programs.sequences = nil
  return own and own.count <= KEPT and own or {count = 0}, m._programs
end

-- ---- rows of inputs ----

-- Row `row` of each program is text `row`, or the only one.
local function put_inputs(p, texts, S, source)
  local f = p.fields
  for row = 1, p.rows do
    local inputs, ids, documents = texts[row] or texts[1], {}, {}
    for i = 1, S do
      ids[i], documents[i] = inputs[i] or 0, inputs[i] and 0 or -1
    end
    if f.inputs then engine.put(f.inputs[row], ids) end
    if f.input_documents then engine.put(f.input_documents[row], documents) end
  end
  for _, name in ipairs {"input_sources", "sources"} do
    if f[name] then f[name]:fill(source) end
  end
end

-- Token i (from 1) of every row.
local function run(m, p, tokens, i, seed)
  local rows, len = p.rows, {}
  for row = 1, rows do len[row] = i end
  engine.put(p.fields.tokens, tokens)
  engine.put(p.positions, {i - 1})
  engine.put(p.len, len)
  p.run:run(seed, i - 1)
  return p.logits
end

local function each_cache(p, f)
  for i, c in ipairs(p.caches) do
    f(c.k, i, "k")
    f(c.v, i, "v")
  end
end

-- All that the first program made, in the rows of p: row by row, or its one row in every one.
local function hand_over(first, p)
  local rows, own = p.rows, first.rows
  for row = 1, rows do
    local from = own == rows and row or 1
    for i, t in ipairs(p.recalled) do engine.copy(t[row], first.outputs[i + 1][from]) end
    each_cache(p, function(t, i, name) engine.copy(t[row], first.caches[i][name][from]) end)
  end
end

-- Row i is what row rows[i] was.
local function reorder(p, rows)
  local same, n, all = true, p.rows, {}
  for i = 1, n do
    all[i] = rows[i] or 1
    same = same and all[i] == i
  end
  if same then return end
  local index = tensor(all, {dtype = "i32"})
  each_cache(p, function(t) engine.copy(t, t:index_select(index)) end)
end

local function padded_length(m, inputs)
  return math.min(math.ceil(#inputs / ROUND) * ROUND, m.cfg.input_context)
end

-- ids[row] of each row; `start` where a row has none, for it is over.
local function tokens_of(ids, rows, start)
  local tokens = {}
  for row = 1, rows do tokens[row] = ids[row] or start end
  return tokens
end

local function begin(m, p, texts, S, o)
  m:_write_inputs(p.d)
  put_inputs(p, texts, S, o.source)
end

-- The program that reads the texts, and its logits of the first token.
local function open_first(m, own, texts, S, o)
  local p = kept(own, ("first.%d.%d"):format(S, #texts), function()
    return first_program(m, S, #texts)
  end)
  begin(m, p, texts, S, o)
  return p, run(m, p, tokens_of({}, #texts, o.start), 1, o.seed)
end

-- The program of all tokens behind that, with what the first one has made.
local function open_next(m, own, texts, S, o, rows, first)
  local p = kept(own, ("%d.%d.%d"):format(S, #texts, rows), function()
    return next_program(m, S, rows, first)
  end)
  begin(m, p, texts, S, o)
  hand_over(first, p)
  return p
end

-- Opens as many texts as there are rows, of one padded length, or one for all rows: their first
-- logits, and step(ids, order) -> logits (rows,V) after sequence order[i] (i where none is given)
-- went on with ids[i].
local function open(m, own, texts, o, rows)
  local S, p, at = padded_length(m, texts[1]), nil, 1
  local first, logits = open_first(m, own, texts, S, o)
  local function step(ids, order)
    if not p then p = open_next(m, own, texts, S, o, rows, first)
    elseif order then reorder(p, order) end
    at = at + 1
    return run(m, p, tokens_of(ids, rows, o.start), at, o.seed)
  end
  return logits, step
end

-- Logits of T tokens of one row, that reads S inputs.
local function whole_program(m, S, T)
  return m:_program(("whole.%d.%d"):format(S, T), function()
    local d = {mode = "eval", as_written = true, input_context = S, given = GIVEN}
    m:_record(d, 1, T, function() d.logits = m.logits_of(d.result) end)
    return {run = engine.program(d.graph, {d.logits}), d = d, rows = 1, logits = d.logits,
            fields = d.fields}
  end, true)
end

local function check_decodes(m, own, o)
  local ids, inputs = token_by_token.probe(m, m.cfg.context), token_by_token.probe(m, m:_inputs())
  local function whole(draw)
    local S = padded_length(m, inputs)
    local p = whole_program(m, S, #ids)
    m:_write_inputs(p.d)
    put_inputs(p, {inputs}, S, o.source)
    engine.put(p.fields.tokens, ids)
    p.run:run(o.seed, draw)
    return engine.clone(p.logits)
  end
  local step
  token_by_token.check("decode", m, own, whole, function(i)
    if step then return step({ids[i]}):view(-1) end
    local logits
    logits, step = open(m, own, {inputs}, {start = ids[1], seed = o.seed, source = o.source}, 1)
    return logits:view(-1)
  end)
end

-- Ids that the tokenizer has; the vocab may be larger.
local function known_of(m, logits)
  local known = m.tokenizer and m.tokenizer.size
  return known and known < logits.shape[2] and logits:narrow(2, 1, known):contiguous() or logits
end

-- Token n of each of those that are not over, {[row] = id}; nil: all are.
local function draw_tokens(found, over, logits, o, n)
  local p, ids = logits:log_softmax(-1), {}
  for row, one in ipairs(found) do
    local id = not over[row] and
      engine.draw(logits, row, o.temperature, o.top_k, o.top_p, o.seed, n)
    if id then one.score = one.score + p[{row, id + 1}]:item() end
    over[row], one.ended = not id or id == o.stop, id and id == o.stop or one.ended
    if not over[row] then one.ids[n], ids[row] = id, id end
  end
  return next(ids) and ids
end

-- A sequence of each of `rows` texts, drawn token by token.
local function draw(m, logits, step, o, rows)
  local found, over = {}, {}
  for row = 1, rows do found[row] = {ids = {}, score = 0} end
  for n = 1, o.tokens do
    local ids = draw_tokens(found, over, known_of(m, logits), o, n)
    if not ids then break end
    if o.show then o.show(found[1].ids) end
    engine.breathe(o.show ~= nil)
    if n < o.tokens then logits = step(ids) end
  end
  return found
end

local function search(m, logits, step, o)
  return beam.search({width = o.beam, tokens = o.tokens, penalty = o.length_penalty,
    stop = o.stop or nil}, known_of(m, logits), function(ids, rows)
    engine.breathe(false)
    return known_of(m, step(ids, rows))
  end)
end

-- What is found for each of the texts: lists, best first.
local function decode_together(m, texts, o)
  if o.tokens == 0 then
    local none = {}
    for i = 1, #texts do none[i] = {{ids = {}, score = 0}} end
    return none
  end
  local own, programs = take(m)
  check_decodes(m, own, o)
  local rows = o.beam > 1 and o.beam or #texts
  local logits, step = open(m, own, texts, o, rows)
  local found = {}
  if o.beam > 1 then found[1] = search(m, logits, step, o)
  else
    for i, one in ipairs(draw(m, logits, step, o, rows)) do found[i] = {one} end
  end
  programs.sequences = own -- lost after an error
  return found
end

-- Numbers of texts that are decoded together: those of one padded length, at most TOGETHER, of a
-- beam one.  For few programs a group has a power of two: the last one is filled up with its last.
local function groups_of(m, texts, o)
  local groups, open_one = {}, {}
  local most = o.beam > 1 and 1 or TOGETHER
  for i, inputs in ipairs(texts) do
    local S = padded_length(m, inputs)
    local group = open_one[S]
    if not group or #group == most then
      group = {}
      groups[#groups + 1], open_one[S] = group, group
    end
    group[#group + 1] = i
  end
  for _, group in ipairs(groups) do
    local rows = 1
    while rows < #group do rows = 2 * rows end
    for k = #group + 1, rows do group[k] = group[k - 1] end
  end
  return groups
end

-- ---- for others ----

sequence.rows = {
  {"beam", "integer", 1, 1, 64, help = "sequences that are searched; 1: one is drawn"},
  {"length_penalty", "number", 0.6, 0, 10, help = "of a beam: scores are divided by ((5 + "
    .. "tokens) / 6)^length_penalty"},
}

local DECODE = {
  {"tokens", "integer", nil, 0}, {"temperature", "number", 0, 0, 100},
  {"top_k", "integer", 0, 0}, {"top_p", "number", 1, 0, 1}, {"seed", "integer", 1, 0},
  {"start", "integer", nil, 0}, {"stop", "any"}, {"source", "integer", 0, 0}, {"show", "any"},
  sequence.rows[1], sequence.rows[2],
}

--- The token that a decoder begins with, as in training.
function sequence.start_of(m) return m.tokenizer and m.tokenizer.start or 0 end

local function check_inputs(m, inputs)
  inputs = m:_ids("decode", inputs)
  if #inputs == 0 then error("decode: no inputs given", 0) end
  if #inputs > m.cfg.input_context then
    error(("decode: the inputs are %d tokens, the model's encoder reads at most %d (input_context)")
      :format(#inputs, m.cfg.input_context), 0)
  end
  return inputs
end

local function read(m, given)
  local o = options.read("decode", given, DECODE)
  if o.beam > 1 and o.temperature > 0 then
    error("decode: temperature has no effect with a beam: its sequences are searched, not drawn", 0)
  end
  o.tokens = math.min(o.tokens or m.cfg.context, m.cfg.context)
  o.start = o.start or sequence.start_of(m)
  if o.stop == nil then o.stop = m.tokenizer and m.tokenizer.eot end
  return o
end

--- m:_decode_all(list of inputs, options of _decode) -> for each what _decode gives: the same bits,
-- several at once.
function sequence.decode_all(m, list, given)
  local o, texts, found = read(m, given), {}, {}
  for i = 1, engine.length("decode", list) do texts[i] = check_inputs(m, list[i]) end
  m:_quietly(function()
    for _, group in ipairs(groups_of(m, texts, o)) do
      local rows = {}
      for k, i in ipairs(group) do rows[k] = texts[i] end
      for k, one in ipairs(decode_together(m, rows, o)) do found[group[k]] = one end
    end
  end)
  return found
end

--- m:_decode(inputs, {beam=1, length_penalty=0.6, tokens=, temperature=0, top_k=0, top_p=1, seed=1,
-- start=, stop=, source=, show=}) -> list of {ids=, score=}, best first: what the decoder writes
-- for token ids that the encoder reads, without `stop` (default: the tokenizer's end-of-text;
-- false: none); ended: it wrote that.  score: log p, of a beam divided by its length penalty.
function sequence.decode(m, inputs, given)
  return sequence.decode_all(m, {inputs or {}}, given)[1]
end

return sequence
