-- Models with an encoder that are trained on pairs: m:translate, one by one and several at once,
-- m:accuracy by language; models of one stack keep the pairs of a row apart.  TAP.

local t = dofile((os.getenv "srcdir" or ".") .. "/tests/lua/tap.lua")
local small = dofile((os.getenv "srcdir" or ".") .. "/tests/lua/small.lua")
local ok, is, near, refuses, with = t.ok, t.is, t.near, t.refuses, t.with
local engine = require "switchyard.engine"

local path = t.write(t.scratch "numbers.tsv", small.numbers())

local function make(d, more)
  return model.encdec(with({layers = 2, dim = 32, heads = 2, input_context = 32, context = 16,
    vocab = d.tokenizer, seed = 2}, more))
end

local function learn(m, d, more)
  return train(m, d, with({steps = 400, batch = 8, lr = 5e-3, schedule = "constant", warmup = 5,
    eval_every = 0, save = false}, more)):wait()
end

-- ---- a model that has learnt ----

local d = assert(data.pairs(path, {to = "en", val = 0.1, tag = "<{from}> "}))
local m = make(d)
is(m.cfg.decoder_layers, 2, "as many layers in the decoder as in the encoder")
local r = learn(m, d)
ok(r.loss < 0.3, "it learns", r.loss)
is(m:translate("zwei", {from = "de", to = "en"}), "two", "a text")
is(m:translate(" zwei\n", {from = "de"}), "two", "white space at its ends is no text")
is(m:translate("", {from = "de"}), "", "nothing is nothing")
is(table.concat(m:translate({"drei", "acht", "", "vier", "neun"}, {from = "de"}), " "),
  "three eight  four nine", "a list")
is(m:translate("quatre", {from = "fr", beam = 3, length_penalty = 1}), "four", "by a beam")
is(table.concat(m:translate({"quatre", "huit"}, {from = "fr", beam = 2}), " "), "four eight",
  "and a list")
is(m:translate("zwei", {from = "de", tokens = 1}), "t", "of so many tokens")
is(#m:translate({}, {from = "de"}), 0, "an empty list")

refuses(function() m:translate(("lang "):rep(20), {from = "de"}) end, "a text that is too long",
  "32 (input_context)")
refuses(function() m:translate({"drei", 3}, {from = "de"}) end, "a number in a list", "number")
refuses(function() m:translate({"drei", nil, "vier"}, {from = "de"}) end, "a hole", "translate")
refuses(function() m:translate(nil, {from = "de"}) end, "nothing at all", "got nil")
refuses(function() m:translate("drei", {from = "de", length_penalty = 1}) end,
  "a penalty without a beam", "length_penalty has no effect")

-- ---- several at once, with the bits of each alone ----

local function same_as_alone(name, m, texts, o)
  local all, different = m:_decode_all(texts, o), 0
  for i, text in ipairs(texts) do
    local alone = m:_decode(text, o)
    for k, s in ipairs(alone) do
      if s.score ~= all[i][k].score or
        table.concat(s.ids, " ") ~= table.concat(all[i][k].ids, " ") then
        different = different + 1
      end
    end
  end
  is(different, 0, name .. ": together as alone")
end

local texts = {}
for i = 1, 40 do texts[i] = ("x"):rep(i * 7 % 30 + 1) .. i % 10 end
local CASES = {
  dense = {}, rope = {position = "rope"}, sinusoidal = {position = "sinusoidal"},
  softmax = {experts = 4, top_k = 2, moe_first = 1},
  gshard = {experts = 4, top_k = 2, moe_first = 1, router = "gshard"},
  ["expert choice in the encoder"] = {experts = 4, top_k = 2, moe_layers = {1, 2},
    router = {"expert_choice", scope = "micro"}},
}
for name, o in t.sorted(CASES) do
  local n = make(d, o)
  same_as_alone(name, n, texts, {tokens = 8})
  same_as_alone(name .. ", drawn", n, texts, {tokens = 8, temperature = 1, seed = 5})
end
same_as_alone("beams", make(d), table.move(texts, 1, 5, 1, {}), {tokens = 6, beam = 3})
is(#m:_decode_all({}, {}), 0, "of nothing")

-- ---- what is cut ----

do
  local said = t.child(("--plain -e '%s'"):format(([[
    local d = assert(data.pairs("%s", {to = "en", val = 0}))
    local m = model.encdec {layers = 1, dim = 16, heads = 2, vocab = d.tokenizer, context = 20,
      input_context = 20}
    train(m, d, {steps = 1, batch = 1, eval_every = 0, save = false}):wait()
    m.cfg.context = 2
    print(#m:translate({"eins", "zwei"}, {from = "de"}))
    print(#m:translate("eins", {from = "de", tokens = 1}))
    print(#m:translate("eins", {from = "de", beam = 2}))]]):format(path)))
  ok(said:find "of 2 texts are cut: the decoder writes at most 2 tokens", "it says so", said)
  ok(said:find "1 of 1 texts are cut", "of a beam, too", said)
  is(select(2, said:gsub("are cut", "")), 2, "not where o.tokens cuts")
end

-- ---- what a decoder begins with ----

do
  local text = t.write(t.scratch "numbers.txt", small.numbers():rep(3))
  local bare = assert(tokenizer.train_bpe(text, {vocab = 270}))
  is(bare:special "<pad>", nil, "a tokenizer without padding")
  local b = assert(data.pairs(path, {to = "en", val = 0, tokenizer = bare, tag = "<{from}> "}))
  local n = make(b)
  learn(n, b)
  is(n:translate("zwei", {from = "de"}), "two", "then a decoder begins with the end-of-text")
  is(n:generate("<de> zwei", {temperature = 0}), "two", "in m:generate, too")
  -- and where it learns of text
  local page = model._family "encdec"
  model.define("starting", function(cfg)
    local forward = page.build(cfg)
    return function(tokens, batch)
      nn.observe("first", tokens:narrow(2, 1, 1):cast("f32"):mean())
      return forward(tokens, batch)
    end
  end, page.rows)
  local c = data.string(small.numbers():rep(20), {tokenizer = bare, val = 0})
  local m = model.starting {layers = 1, dim = 16, heads = 2, vocab = bare, context = 16,
    input_context = 16}
  local r = train(m, c, {objective = "prefix", steps = 1, batch = 4, eval_every = 0, save = false})
  is(r:wait():history("first")[1][2]:item(), bare.eot + 0.0, "and in rows of an objective")
  is(bare.start, bare.eot, "tok.start says so")
  is(tokenizer.bytes {pad = true}.start, tokenizer.bytes {pad = true}:special "<pad>",
    "with padding it is that")
  is(tokenizer.bytes().start, 0, "else 0")
end

-- ---- what reads the language ----

do
  model.define("told", function(cfg)
    return function(tokens, batch)
      local x = nn.embedding(tokens, nn.param("tokens", {cfg.vocab, cfg.dim}))
      local memory = nn.memory(function()
        return nn.embedding(batch.inputs, nn.param("inputs", {cfg.vocab, cfg.dim}))
      end)
      x = x + nn.attention(x, {heads = 2, memory = memory, documents = batch.documents,
                               memory_documents = batch.input_documents})
      x = x + nn.embedding(batch.sources, nn.param("source", {2, cfg.dim}))
      return nn.head(x, nn.param("head", {cfg.vocab, cfg.dim}))
    end
  end)
  local told = t.write(t.scratch "told.tsv", "de\tab\tx\nde\tcd\tx\nfr\tab\ty\nfr\tcd\ty")
  local p = assert(data.pairs(told, {to = "en", val = 0}))
  local n = model.told {dim = 16, heads = 2, vocab = p.tokenizer, context = 8, input_context = 16}
  learn(n, p)
  is(n:translate("ab", {from = "de"}) .. n:translate("ab", {from = "fr"}), "xy",
    "the decoder is told the language")
end

-- ---- what looks at other tokens by itself ----

do
  local function define(name, mix)
    model.define(name, function(cfg)
      return function(tokens, batch)
        local x = nn.embedding(tokens, nn.param("tokens", {cfg.vocab, cfg.dim}))
        local memory = nn.memory(function()
          return nn.embedding(batch.inputs, nn.param("inputs", {cfg.vocab, cfg.dim}))
        end)
        x = mix(x) + nn.attention(x, {heads = 2, memory = memory, documents = batch.documents,
                                      memory_documents = batch.input_documents})
        return nn.head(x, nn.param("head", {cfg.vocab, cfg.dim}))
      end
    end)
    return model[name] {dim = 16, heads = 2, vocab = d.tokenizer, context = 8, input_context = 20}
  end
  local looks = define("looks", function(x) return x + x:mean(2, true) end)
  refuses(function() looks:_decode({1, 2, 3}) end, "a model that looks at others by itself",
    "model.looks looks at other tokens by itself")
  refuses(function() looks:generate("ab") end, "in m:generate", "by itself")
  local draws = define("draws", function(x) return x + 0.1 * tensor.randn(x.shape) end)
  ok(#draws:_decode({1, 2, 3}, {tokens = 4})[1].ids <= 4, "one that draws at random")
  local none = model.encdec {layers = 1, dim = 16, heads = 2, vocab = 40, context = 2,
                             input_context = 2}
  ok(#none:_decode({1, 2}, {})[1].ids <= 2, "little context, little to compare")
end

-- ---- routers by token ids ----

do
  local seen
  nn.router("by_ids", {rule = "ids", doc = "by token ids", route = function(ctx)
    local p = ctx:logits():softmax(-1)
    seen = ctx:ids()
    local gates, experts = p:topk(ctx.K, -1)
    return {gates = gates, experts = experts, scores = p}
  end})
  local n = make(d, {input_context = 16, experts = 4, moe_layers = {1}, router = "by_ids"})
  local o = {mode = "eval", given = {inputs = true, input_documents = true}}
  local ids
  n:_record(o, 1, 16, function() ids = seen + 0 end)
  local p = engine.program(o.graph, {ids})
  o.fields.tokens:fill(7)
  o.fields.inputs:fill(5)
  o.fields.input_documents:fill(0)
  p:run()
  is(ids[1]:item(), 5, "in an encoder they are those of the inputs")
end

-- ---- accuracy ----

-- Likeliest ids after each of the tokens.
local function likeliest(m, inputs, tokens)
  return (small.logits(m, {tokens = tokens, inputs = inputs}):argmax(-1) - 1):table()
end

do
  local half = assert(data.pairs(path, {to = "en", val = 0.5, tag = "<{from}> "}))
  local tok = half.tokenizer
  local right, all = {de = 0, fr = 0}, {de = 0, fr = 0}
  for i = 1, half.val.pairs do
    local p = half.val:pair(i)
    local target = tok:encode(p.target .. "<|endoftext|>")
    local tokens = table.move(target, 1, #target - 1, 2, {tok:special "<pad>"})
    for k, id in ipairs(likeliest(m, tok:encode(p.input .. "<|endoftext|>"), tokens)) do
      right[p.source] = right[p.source] + (id == target[k] and 1 or 0)
      all[p.source] = all[p.source] + 1
    end
  end
  local share, of = m:accuracy(half, {batches = 100, batch = 3})
  near(share, (right.de + right.fr) / (all.de + all.fr), 1e-9, "accuracy, by hand")
  near(of.de, right.de / all.de, 1e-9, "of one language")
  near(of.fr, right.fr / all.fr, 1e-9, "and the other")
  ok(share > 0.5, "it has learnt", share)
  refuses(function() m:accuracy "text" end, "a text", "takes a data set, got string")
end

-- ---- a model of one stack keeps pairs apart ----

do
  local p = assert(data.pairs(path, {to = "en", val = 0.5, tag = "<{from}> "}))
  local function dense(documents)
    return model.dense {layers = 1, dim = 16, heads = 2, context = 64, ffn_dim = 32,
                        vocab = p.tokenizer, documents = documents}
  end
  local n = dense()
  learn(n, p, {steps = 5})
  is(n.cfg.documents, true, "training on pairs chooses it")
  local sum, count = 0, 0
  for i = 1, p.val.pairs do
    local pair = p.val:pair(i)
    local input = p.tokenizer:encode(pair.input .. "<|endoftext|>")
    local target = p.tokenizer:encode(pair.target .. "<|endoftext|>")
    local ids = table.move(target, 1, #target, #input + 1, table.move(input, 1, #input, 1, {}))
    local logits = n:logits(ids)
    for k = 1, #target do
      sum = sum - logits[#input + k - 1]:log_softmax()[target[k] + 1]:item()
      count = count + 1
    end
  end
  near(n:loss(p, {batches = 100}), sum / count, 1e-4, "a pair's loss is what it is alone")
  local padding
  nn.router("sees_padding", {rule = "softmax", doc = "softmax", route = function(ctx)
    local p = ctx:logits():softmax(-1)
    padding = padding or ctx.mode == "train" and ctx:padding() ~= nil
    local gates, experts = p:topk(ctx.K, -1)
    return {gates = gates, experts = experts, scores = p}
  end})
  learn(model.moe {layers = 1, dim = 16, heads = 2, context = 64, experts = 4, expert_dim = 16,
                   router = "sees_padding", vocab = p.tokenizer}, p, {steps = 2})
  ok(padding, "what fills a row has no expert")
  local open = dense(false)
  learn(open, p, {steps = 2})
  is(open.cfg.documents, false, "what is said stays")
  local text = dense()
  learn(text, data.string(("abcd "):rep(200), {tokenizer = p.tokenizer}), {steps = 2})
  is(text.cfg.documents, nil, "of a text it is open")
end

-- ---- refused ----

refuses(function() make(d, {layers = 1, decoder_layers = 1, experts = 4}) end,
  "experts that no layer has", "experts is 4, and no layer has a mixture", "moe_every is 2")
refuses(function() make(d, {experts = 4, moe_layers = {1}, moe_first = 1}) end,
  "two ways to say where", "moe_first has no effect beside moe_layers")
refuses(function() make(d, {theta = 500}) end, "RoPE's base without RoPE",
  "theta has no effect with position = 'relative'")
refuses(function() make(d, {position = "rope", buckets = 8}) end, "buckets with RoPE",
  "buckets has no effect with position = 'rope'")

t.done()
