-- m:generate: texts of a model, token by token against a cache of keys and values.
--
--   1. Tokens are read and written by the same function of the model as any other pass, in mode
--      "decode": nn.attention sees the tokens before through the cache, everything else sees the
--      tokens at hand alone (token_by_token.lua).
--   2. Experts drop no token here, as in evaluation (nn.moe).

local engine = require "switchyard.engine"
local options = require "switchyard.core.options"
local sequence = require "switchyard.model.sequence"
local token_by_token = require "switchyard.model.token_by_token"
local PREFILL = 32 -- tokens of a program that reads a prompt

-- Keys and values of one layer's tokens, (1,S,G,D) each.
local function cache(own, number, k, S)
  local shape = k.shape
  local c = own.caches[number]
  if not c then
    c = {k = tensor.zeros(1, S, shape[3], shape[4]), v = tensor.zeros(1, S, shape[3], shape[4])}
    own.caches[number] = c
  end
  return c
end

--- A program that reads T tokens at positions len-T..len-1 into the key-value cache and gives the
-- logits after each.  All decode programs of one generation share the caches of `own`.
local function decoder(m, own, T)
  if own[T] then return own[T] end
  local d, count, logits = {mode = "decode"}, 0, nil
  function d.attend(q, k, v, bias, scale)
    count = count + 1
    local c = cache(own, count, k, m.cfg.context)
    return sequence.attend(q, k, v, c, d.graph:input("len", "i32", {1}), bias, scale)
  end
  m:_record(d, 1, T, function() logits = m.logits_of(d.result) end)
  own[T] = {run = engine.program(d.graph, {logits}), d = d, logits = logits,
            tokens = d.fields.tokens, len = d.graph:input("len", "i32", {1}),
            positions = d.positions}
  m:_write_inputs(d)
  return own[T]
end

-- What a generation needs for itself: that of the last one, or new while another goes on (a job, a
-- hook).
local function take_decoders(m)
  local own = m._programs.decoders or {caches = {}}
  m._programs.decoders = nil
  for T, p in pairs(own) do
    if math.type(T) then m:_write_inputs(p.d) end
  end
  return own, m._programs
end

-- Read ids first .. last (default: all from there) into the cache from position `at` (0-based);
-- returns the program that holds the last logits, its row, the next position.  What the model draws
-- is keyed by seed and position.
local function feed(m, own, ids, first, at, seed, last)
  local i, p, T = first, nil, nil
  last = last or #ids
  while i <= last do
    T = last - i + 1 >= PREFILL and PREFILL or 1
    p = decoder(m, own, T)
    local chunk, places = {}, {}
    for j = 1, T do
      chunk[j] = ids[i + j - 1]
      places[j] = at + j - 1
    end
    engine.put(p.tokens, chunk)
    engine.put(p.positions, places)
    engine.put(p.len, {at + T})
    p.run:run(seed, at)
    i, at = i + T, at + T
  end
  return p, T, at
end

-- ---- is it the same model? ----

local function logits_of_whole(m, ids, seed, draw)
  local p = m:_logits_program(#ids, true)
  engine.put(p.tokens, ids)
  m:_write_inputs(p.d)
  p.run:run(seed, draw)
  return engine.clone(p.d.logits)
end

local function check_decodes(m, own, seed)
  local ids = token_by_token.probe(m, m.cfg.context)
  token_by_token.check("generate", m, own, function(draw)
    return logits_of_whole(m, ids, seed, draw)
  end, function(i) return feed(m, own, ids, i, i - 1, seed, i).logits:view(-1) end)
end

-- Longest prefix of s that ends with a whole UTF-8 character (or all, if it is not UTF-8).
local function whole(s)
  for back = 1, math.min(3, #s) do
    local b = s:byte(#s - back + 1)
    if b >= 0xC0 then
      local need = b >= 0xF0 and 4 or b >= 0xE0 and 3 or 2
      return need > back and #s - back or #s
    elseif b < 0x80 then
      return #s
    end
  end
  return #s
end

local rows = {
  {"tokens", "integer", 200, 0, 1 << 30, help = "tokens to write, at most"},
  {"temperature", "number", 0.8, 0, 100, help = "0: the likeliest token"},
  {"top_k", "integer", 40, 0, 1 << 24, help = "of the likeliest so many; 0: of all"},
  {"top_p", "number", 1, 0, 1, help = "of the likeliest that have this mass"},
  {"seed", "integer", 1, 0, 1 << 53, help = "equal seeds write equal texts"},
  {"stream", "boolean", false, help = "print as it goes"},
  {"stop", "boolean", true,
   help = "end where the model writes the tokenizer's end-of-text, which is not shown"},
  sequence.rows[1], sequence.rows[2],
}

-- What ids stand for; without a tokenizer their numbers, with a space behind each.
local function text_of(m, ids, o)
  if m.tokenizer then return m.tokenizer:decode(ids, o) end
  local numbers = {}
  for i = 1, #ids do numbers[i] = ("%d "):format(ids[i]) end
  return table.concat(numbers)
end

-- A function that writes what ids stand for, from where it was, as far as its characters are whole.
local function shower(m)
  local done = 0
  return function(ids)
    local text = text_of(m, ids, {continued = true})
    local upto = whole(text)
    if upto > done then engine.write(text:sub(done + 1, upto)) end
    done = math.max(done, upto)
  end
end

-- The latter half of ids, where they are to be read anew.
local function latter_half(ids, S)
  return table.move(ids, #ids - math.max(1, S // 2) + 1, #ids, 1, {})
end

-- The n-th id.  One that the tokenizer does not have (the vocab may be larger) is drawn again,
-- among those it has; what meets none is as it is without this.
local function draw(m, p, row, o, n)
  local known = m.tokenizer and m.tokenizer.size
  local id = engine.draw(p.logits, row, o.temperature, o.top_k, o.top_p, o.seed, n)
  if not known or id < known then return id end
  return engine.draw(p.logits, row, o.temperature, o.top_k, o.top_p, o.seed, -n, known)
end

-- ---- a prompt that is seen whole ----

-- A program that reads the first T tokens, each of which sees all of them (nn.attention's mask
-- "prefix"); its keys and values are copied into the caches afterwards.
local function whole_decoder(m, own, T)
  local d, kept, logits = {mode = "decode"}, {}, nil
  function d.attend(q, k, v, bias, scale)
    local keys, values = tensor.zeros(k.shape), tensor.zeros(v.shape)
    kept[#kept + 1] = {k = keys, v = values}
    d.graph:carry(keys, k)
    d.graph:carry(values, v)
    return (q:attention(k, v, {mask = 0, bias = bias, scale = scale}))
  end
  m:_record(d, 1, T, function() logits = m.logits_of(d.result) end)
  own.whole = {T = T, run = engine.program(d.graph, {logits}), d = d, logits = logits,
               tokens = d.fields.tokens, kept = kept}
  return own.whole
end

local function feed_whole(m, own, ids, seed)
  local T = #ids
  local p = own.whole and own.whole.T == T and own.whole or whole_decoder(m, own, T)
  m:_write_inputs(p.d)
  engine.put(p.tokens, ids)
  p.run:run(seed, 0)
  for i, t in ipairs(p.kept) do
    local c = cache(own, i, t.k, m.cfg.context)
    engine.copy(c.k:narrow(2, 1, T), t.k)
    engine.copy(c.v:narrow(2, 1, T), t.v)
  end
  return p, T, T
end

-- All that is given, which the model may want to see whole.
local function feed_prompt(m, own, ids, seed)
  local whole = #ids > 1 and decoder(m, own, 1).d.prefix
  if whole then return feed_whole(m, own, ids, seed) end
  return feed(m, own, ids, 1, 0, seed)
end

-- Draw up to o.tokens after `ids`, which are ours; show(fresh) after each.  Returns those drawn.
local function write_on(m, own, ids, o, show)
  local S, fresh = m.cfg.context, {}
  local stop = o.stop and m.tokenizer and m.tokenizer.eot
  local p, row, at = feed_prompt(m, own, ids, o.seed)
  for n = 1, o.tokens do
    local id = draw(m, p, row, o, n)
    if id == stop then break end
    ids[#ids + 1], fresh[n] = id, id
    show(fresh)
    engine.breathe(o.stream)
    if n < o.tokens then
      if at == S then -- the cache is full
        ids, at = latter_half(ids, S), 0
        p, row, at = feed_prompt(m, own, ids, o.seed)
      else
        p, row, at = feed(m, own, ids, #ids, at, o.seed)
      end
    end
  end
  return fresh
end

-- What a generation returns: the prompt, as it was given, and what was drawn after it.
local function whole_text(m, prompt, ids, fresh)
  if not m.tokenizer then
    return engine.list(table.move(fresh, 1, #fresh, #ids + 1, table.move(ids, 1, #ids, 1, {})))
  end
  return (type(prompt) == "string" and prompt or m.tokenizer:decode(ids))
    .. m.tokenizer:decode(fresh, {continued = true})
end

-- Of a model with an encoder: what it writes for the prompt, which the encoder reads as it reads
-- texts, with the end-of-text behind it.
local function answer(m, prompt, o)
  local inputs = table.move(m:_ids("generate", prompt), 1, #m:_ids("generate", prompt), 1, {})
  local eot = m.tokenizer and m.tokenizer.eot
  if eot and inputs[#inputs] ~= eot then inputs[#inputs + 1] = eot end
  local stop = nil
  if not o.stop then stop = false end
  local show = o.stream and o.beam == 1 and shower(m)
  local found = m:_decode(inputs, {
    tokens = o.tokens, temperature = o.temperature, top_k = o.top_k, top_p = o.top_p, stop = stop,
    seed = o.seed, beam = o.beam, length_penalty = o.length_penalty,
    show = show or nil})[1]
  local text = m.tokenizer and m.tokenizer:decode(found.ids) or engine.list(found.ids)
  if o.stream then engine.write((show and "" or text_of(m, found.ids)) .. "\n") end
  return text
end

local function read(m, given)
  local o = options.read("generate", given, rows)
  if o.beam > 1 and not m:_inputs() then
    error(("generate: a beam goes with a model that has an encoder; model.%s has none")
      :format(m.family), 0)
  end
  if o.beam == 1 and given and given.length_penalty then
    error("generate: length_penalty has no effect without a beam", 0)
  end
  if o.beam > 1 and not given.temperature then o.temperature = 0 end
  return o
end

--- m:generate(prompt, {tokens=200, temperature=0.8, top_k=40, top_p=1, seed=1, stream=false,
-- stop=true, beam=1, length_penalty=0.6}) -> text with the prompt, of a model with an encoder
-- without; ids, where the model has no tokenizer
local function generate(self, prompt, given)
  local o = read(self, given)
  if self:_inputs() then return answer(self, prompt, o) end
  local given_ids = self:_ids("generate", prompt)
  local ids = given_ids
  if #ids == 0 then ids = {10 % self.cfg.vocab} end
  return self:_quietly(function()
    local S = self.cfg.context
    ids = #ids > math.max(1, S - 1) and latter_half(ids, S) or table.move(ids, 1, #ids, 1, {})
    local line <close> = setmetatable({}, {__close = function()
      if o.stream then engine.write("\n") end -- what ended it stands on a line of its own
    end})
    if o.stream then
      engine.write(type(prompt) == "string" and prompt or text_of(self, given_ids))
    end
    local own, programs = take_decoders(self)
    check_decodes(self, own, o.seed)
    local fresh = write_on(self, own, ids, o, o.stream and shower(self) or function() end)
    programs.decoders = own -- lost after an error, and when programs were made anew meanwhile
    return whole_text(self, prompt, given_ids, fresh)
  end)
end

--- Logits (T,V) of ids that are read one by one, as a generation reads what it writes.
local function one_by_one(self, ids)
  local own, programs = take_decoders(self)
  local all = tensor.zeros(#ids, self.cfg.vocab)
  for i = 1, #ids do
    local p = feed(self, own, ids, i, i - 1, 1, i)
    engine.copy(all[i], p.logits:view(-1))
  end
  programs.decoders = own
  return all
end

--- f(writer) after ids, which leave room: writer.draw() -> the next token's id, which
-- writer.read(id), or another, puts behind.
local function session(m, ids, o, f)
  return m:_quietly(function()
    local own, programs = take_decoders(m)
    check_decodes(m, own, o.seed)
    local p, row, at = feed_prompt(m, own, ids, o.seed)
    local n, writer = 0, {}
    function writer.draw()
      n = n + 1
      return draw(m, p, row, o, n)
    end
    function writer.read(id) p, row, at = feed(m, own, {id}, 1, at, o.seed) end
    f(writer)
    programs.decoders = own -- lost after an error
  end)
end

--- What a generation begins with when nothing is given.
local function opening(m) return m.tokenizer and "\n" or {} end

return {generate = generate, session = session, one_by_one = one_by_one, opening = opening,
        text_of = text_of, rows = rows}
