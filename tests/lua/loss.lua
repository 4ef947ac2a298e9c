-- Evaluation and generation against what m:logits says of the same tokens: every target once,
-- documents apart, windows that depend on nothing but the text, no token dropped.  TAP.
local t = dofile((os.getenv "srcdir" or ".") .. "/tests/lua/tap.lua")
local ok, is, near, refuses = t.ok, t.is, t.near, t.refuses
local engine = require "switchyard.engine"

local T = 16
local words = {}
for i = 1, 3000 do
  words[i] = ({"the ", "quick ", "brown ", "fox ", "jumps ", "over\n", "lazy ",
               "dog "})[i * i * 7 % 61 % 8 + 1]
end
local text = table.concat(words)
local d = data.string(text, {val = 0.2})

local function make(more, kind)
  local o = {layers = 2, dim = 16, heads = 2, context = T, vocab = 256, seed = 2}
  if not kind then o.experts, o.top_k, o.expert_dim = 4, 2, 16 end
  return model[kind or "moe"](t.with(o, more))
end

-- A run of a few steps, paused at its end.
local function run(m, given, of)
  return train(m, of or d, t.with({steps = 30, batch = 4, lr = 3e-3, eval_every = 0,
                                   save = false}, given)):wait()
end

-- Sum of -log softmax of the targets that follow the last `count` of ids[first..last], which stand
-- alone.
local function surprise(m, ids, first, last, count)
  local rows = m:logits(table.move(ids, first, last, 1, {})):table()
  local sum = 0
  for i = #rows - count + 1, #rows do
    local top, total = -math.huge, 0
    for _, v in ipairs(rows[i]) do top = math.max(top, v) end
    for _, v in ipairs(rows[i]) do total = total + math.exp(v - top) end
    sum = sum + top + math.log(total) - rows[i][ids[first + i] + 1]
  end
  return sum
end

-- As ?m:loss tells it: the first window all, further ones their latter half, the last one ends with
-- the text.
local function by_hand(m, ids)
  local n, C = #ids - 1, m.cfg.context
  local done = math.min(n, C)
  local sum = surprise(m, ids, 1, done, done)
  while done < n do
    local more = math.min(math.max(1, C // 2), n - done)
    done = done + more
    sum = sum + surprise(m, ids, done - C + 1, done, more)
  end
  return sum / n
end

-- ---- of a text ----

local m = make()
local r = run(m)
for _, n in ipairs{2, 3, 16, 17, 18, 24, 25, 26, 33, 65, 300, 1200} do
  local ids = tokenizer.bytes():encode(text:sub(7, 6 + n))
  near(m:loss(text:sub(7, 6 + n)), by_hand(m, ids), 2e-5, n .. " bytes: each target once")
  if n == 65 then near(m:loss(ids), m:loss(text:sub(7, 71)), 0, "and of ids the same") end
end
do
  local head = ("x"):rep(33)
  ok(m:loss(head .. "the quick brown ") ~= m:loss(head .. "zq!%@#zq!%@#zq!%"),
    "another tail, another loss")
  ok(m:loss(head .. "a") ~= m:loss(head .. "b"), "of one byte")
  local odd = make({context = 3}, "dense")
  near(odd:loss(text:sub(1, 20)), by_hand(odd, {text:byte(1, 20)}), 2e-5, "a context of 3")
  local least = make({context = 1}, "dense")
  near(least:loss "abc", by_hand(least, {97, 98, 99}), 2e-5, "and of 1")
  refuses(function() m:loss "a" end, "one byte predicts nothing", "at least 2 tokens", "got 1")
  refuses(function() m:loss{1, 256} end, "an id outside", "token 2 is 256")
  refuses(function() m:loss{1, 2.5} end, "no id", "token 2 is 2.5")
end

-- ---- of a data set ----

-- Mean over the windows of an evaluation of so many batches, by hand; documents: each alone.
local function windows_by_hand(m, d, C, batches, documents)
  local n, sum = engine.eval_windows(d, C, batches), 0
  local x, y, doc = tensor.zeros(1, C, {dtype = "i32"}), tensor.zeros(1, C, {dtype = "i32"}),
    tensor.zeros(1, C, {dtype = "i32"})
  local whole = engine.eval_tally(d, C, n)
  for i = 0, n - 1 do
    engine.eval_batch(d, i, i + 1, {tokens = x, targets = y, documents = doc}, nil, whole)
    local ids, of = x:view(-1):table(), doc:view(-1):table()
    ids[C + 1] = y[1][C]:item()
    local first = 1
    for at = 1, C do
      if at == C or documents and of[at + 1] ~= of[at] then
        sum = sum + surprise(m, ids, first, at, at - first + 1)
        first = at + 1
      end
    end
  end
  return sum / (n * C), n
end

local want, n = windows_by_hand(m, d, T, 2)
is(n, 32, "two batches are 32 windows")
near(r:eval(2), want, 2e-5, "r:eval: the mean over these")
near(m:loss(d, {batches = 2}), want, 2e-5, "m:loss: the same")
near(m:loss(d, {batches = 2, batch = 5}), want, 2e-5, "however many at once")
for _, batch in ipairs{1, 3, 40} do
  r.batch = batch
  near(r:eval(2), want, 2e-5, "with a batch of " .. batch)
end
do
  local other = run(m, {sampling = "sequential", seed = 9, batch = 7, accumulate = 2, steps = 1,
                        lr = 0, weight_decay = 0})
  near(other:eval(2), want, 2e-5, "another seed, sampling and batch: the same windows")
  other:close()
end
local whole, all = windows_by_hand(m, d, T, 1000000)
is(all, (d.val.tokens - 1) // T, "of the whole part all windows")
near(r:eval(1000000), whole, 2e-5, "once each")
r.context = 9
near(r:eval(3), windows_by_hand(m, d, 9, 3), 2e-5, "another context, other windows")
near(m:loss(d, {batches = 3, context = 9}), r:eval(3), 2e-5, "m:loss can have them")
r:close()

-- ---- documents ----

do
  local many = {}
  for i = 1, 300 do
    many[i] = ('{"text": "%s"}\n'):format(text:sub(i * 13, i * 13 + i % 17 + 3):gsub("\n", " "))
  end
  local docs = data.text(t.write(t.scratch "many.jsonl", table.concat(many)), {val = 0.3})
  local apart = make({documents = true}, "dense")
  local r = run(apart, {steps = 150, lr = 1e-2}, docs)
  local want = windows_by_hand(apart, docs, T, 1000, true)
  ok(math.abs(want - windows_by_hand(apart, docs, T, 1000, false)) > 1e-3,
    "documents: what is before one matters")
  near(r:eval(1000), want, 5e-5, "r:eval keeps within them")
  near(apart:loss(docs, {batches = 1000}), want, 5e-5, "and so does m:loss")
  near(apart:loss(docs, {batches = 1, batch = 1}), r:eval(1), 5e-5, "one by one")
  near(apart:loss(text:sub(1, 17)), by_hand(apart, {text:byte(1, 17)}), 2e-5,
    "a text is one document")
  r:close()
end

-- ---- capacity holds in training alone ----

do
  local m = make{capacity = 0.3}
  local r = run(m)
  ok(r:history("drop.1")[-1][2]:item() > 0.3, "tokens are dropped in training")
  local dropless = r:eval(2)
  near(dropless, windows_by_hand(m, d, T, 2), 2e-5, "not in r:eval")
  near(m:loss(d, {batches = 2}), dropless, 2e-5, "nor in m:loss")
  local ids, likeliest = {text:byte(1, 8)}, {}
  local out = m:generate(ids, {tokens = 8, temperature = 0})
  for i = 1, 8 do
    local row, best = m:logits(ids)[-1]:table(), 1
    for v = 2, #row do if row[v] > row[best] then best = v end end
    likeliest[i] = string.char(best - 1)
    ids[#ids + 1] = best - 1
  end
  is(out, text:sub(1, 8) .. table.concat(likeliest),
    "generation writes what m:logits has as the likeliest")
  r.capacity = nil
  is(r:eval(2), dropless, "without a capacity the same")
  r:close()
end

-- ---- generation ----

do
  local ids = {116, 104, 101}
  local a, b = m:generate(ids, {tokens = 4}), m:generate(ids, {tokens = 4})
  is(table.concat(ids, " "), "116 104 101", "the caller's ids are left alone")
  is(a, b, "so that the next text is the same")
  local long = {text:byte(1, 40)}
  ok(m:generate(long, {tokens = 1}):sub(1, 40) == text:sub(1, 40) and #long == 40,
    "also where they are many")
  is(#make({context = 1}, "dense"):generate("abc", {tokens = 4, temperature = 0}) >= 7, true,
    "a context of one token")
end

-- Token i is followed by the next of a chain.
model.define("chain", function(cfg)
  return function(ids) return nn.embedding(ids, nn.param("w", {cfg.vocab, cfg.vocab}, "zeros")) end
end)
do
  local tok = tokenizer.train_bpe(t.write(t.scratch "text", text), {vocab = 300})
  ok(tok.eot, "a tokenizer with an end-of-text")
  local m = model.chain{vocab = tok, context = T}
  for _, pair in ipairs{{97, 98}, {98, 99}, {99, tok.eot}, {tok.eot, 100}, {100, 97}} do
    m.params[1][pair[1] + 1]:narrow(1, pair[2] + 1, 1):fill(5)
  end
  is(m:generate({97}, {tokens = 50, temperature = 0}), "abc", "it ends at the end-of-text")
  local past = m:generate({97}, {tokens = 5, temperature = 0, stop = false})
  ok(past:find "^abc" and past:find "da$", "stop = false: or goes on", past)
  is(m:generate({tok.eot}, {tokens = 3, temperature = 0}):sub(-3), "dab",
    "a prompt may begin with one")
end

-- Models that look at other tokens by themselves.
local function page(name, look)
  model.define(name, function(cfg)
    return function(ids)
      local C = cfg.dim
      local x = nn.embedding(ids, nn.param("embed", {cfg.vocab, C}))
      local y = nn.linear(look(x, C), nn.param("out", {C, C}, cfg.zeros and "zeros" or nil))
      return nn.head(x + y, nn.param("head", {cfg.vocab, C}))
    end
  end)
  return function(more)
    return model[name](t.with({vocab = 256, dim = 16, context = T}, more))
  end
end
local function heads(x, name, C)
  return nn.linear(x, nn.param(name, {C, C})):view(x.shape[1], x.shape[2], 2, C // 2)
end

do
  local raw = page("raw", function(x, C)
    return heads(x, "q", C):attention(heads(x, "k", C), heads(x, "v", C),
      {mask = 1}):view(x.shape[1], x.shape[2], C)
  end)
  refuses(function() raw():generate "ab" end, "attention of one's own is refused",
    "model.raw looks at other tokens", "nn.attention")
  local m = raw{zeros = true}
  ok(#m:generate("ab", {tokens = 2}) >= 4,
    "as long as nothing comes of it there is nothing to refuse")
  run(m, {steps = 5}):close()
  refuses(function() m:generate "ab" end, "when it has learned there is", "looks at other tokens")
  ok(m:loss "abcdef" > 0 and m:logits("abc").shape[1] == 3, "what needs no cache is had")
  refuses(function() page("means",
    function(x) return x:mean(2, true):expand(x.shape) end)():generate "ab" end,
    "so is a mean over tokens", "looks at other tokens")
  ok(#page("each", function(x) return x:tanh() end)():generate("ab", {tokens = 2}) >= 4,
    "what sees one token may write")
  ok(#page("drawn", function(x) return x + tensor.rand(x.shape) end)():generate("ab",
    {tokens = 2}) >= 4,
    "and what draws at random")
end

t.done()
