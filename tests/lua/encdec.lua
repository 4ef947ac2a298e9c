-- model.encdec and what it is made of: T5's buckets, the whole against plain operations (values and
-- gradients), decoding token by token against the whole text bit for bit, beam search against all
-- sequences, counts of two stacks, refusals.  TAP.

local t = dofile((os.getenv "srcdir" or ".") .. "/tests/lua/tap.lua")
local small = dofile((os.getenv "srcdir" or ".") .. "/tests/lua/small.lua")
local ok, is, near, refuses = t.ok, t.is, t.near, t.refuses
local with, furthest = t.with, t.furthest
local engine = require "switchyard.engine"
local beam = require "switchyard.model.beam"
local json = require "switchyard.core.json"

-- ---- buckets of relative positions: golden values ----

do
  local at = {-200, -128, -127, -64, -63, -32, -16, -15, -9, -8, -7, -1, 0, 1, 7, 8, 9, 15, 16, 32,
              64, 127, 128, 200}
  local both = {15, 15, 15, 14, 13, 12, 10, 9, 8, 8, 7, 1, 0, 17, 23, 24, 24, 25, 26, 28, 30, 31,
                31, 31}
  local before = {31, 31, 31, 26, 26, 21, 16, 15, 9, 8, 7, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0}
  local a, b = {}, {}
  for i, distance in ipairs(at) do
    a[i], b[i] = nn._bucket(distance, 32, 128, true), nn._bucket(distance, 32, 128, false)
  end
  is(table.concat(a, " "), table.concat(both, " "), "buckets of both sides")
  is(table.concat(b, " "), table.concat(before, " "), "buckets of what is before")
end

-- ---- lengths ----

for S, T in t.sorted {[32] = 8, [64] = 14, [128] = 29, [256] = 58, [512] = 114} do
  is(model.encdec({dim = 8, heads = 2, layers = 1, decoder_layers = 1, input_context = S})
    .cfg.context, T, ("spans of %d inputs: %d targets"):format(S, T))
end

-- ---- the page against plain operations ----

-- A model of tokens alone, whose encoder reads the decoder's tokens: so any text trains it.
local B, T, V = 2, 16, 40
local d = data.synthetic {domains = 2, tokens = 4000, seed = 1}
local SMALL = {layers = 2, decoder_layers = 2, dim = 16, heads = 2, kv_heads = 1, head_dim = 6,
               ffn_dim = 24, input_context = T, context = T, vocab = d.vocab, seed = 4}

-- Two documents and padding in each row, of other lengths on both sides.
local function documents(first, second, rows, T)
  local all = {}
  for b = 1, rows do
    for i = 1, T do
      all[#all + 1] = i <= first + b and 0 or i <= second and 1 or -1
    end
  end
  return tensor(all, {dtype = "i32"}):view(rows, T)
end

local page = model._family("encdec")
local function fake(tokens)
  local rows, T = tokens.shape[1], tokens.shape[2]
  local inputs = tokens * 3 % d.vocab
  return {inputs = inputs:cast "i32", documents = documents(5, 13, rows, T),
          input_documents = documents(7, 15, rows, T)}
end
model.define("page", function(cfg)
  local f = page.build(cfg)
  return function(tokens) return f(tokens, fake(tokens)) end
end, page.rows)

-- Scores of all pairs, as nobody computes them: (B,H,T,S).
local function plain_attention(cfg, x, m, bias, seen)
  local Bn, Tn, S, C = x.shape[1], x.shape[2], m.shape[2], cfg.dim
  local H, G, D = cfg.heads, cfg.kv_heads, cfg.head_dim
  local function heads(name, from, n)
    local y = from:linear(nn.param(name .. "_proj.weight", {n * D, C}))
    return y:view(Bn, from.shape[2], n, D):permute({1, 3, 2, 4})
  end
  local q, k, v = heads("q", x, H), heads("k", m, G), heads("v", m, G)
  k, v = k:expand({Bn, H, S, D}), v:expand({Bn, H, S, D})
  local s = q:matmul(k:permute({1, 2, 4, 3}):contiguous())
  if bias then s = s + bias end
  s = seen:view(Bn, 1, Tn, S):expand({Bn, H, Tn, S}):where(s, tensor.full({1}, -1e30))
  local y = s:softmax(-1):matmul(v):permute({1, 3, 2, 4}):contiguous():view(Bn, Tn, H * D)
  return y:linear(nn.param("o_proj.weight", {C, H * D}))
end

-- (1,H,T,S) of the table, element by element.
local function plain_bias(cfg, both, T)
  local w = nn.param("relative_attention_bias.weight", {32, cfg.heads})
  local ids = {}
  for q = 1, T do
    for k = 1, T do ids[#ids + 1] = nn._bucket(k - q, 32, 128, both) end
  end
  return w:embedding(tensor(ids, {dtype = "i32"})):view(T, T, cfg.heads):permute({3, 1, 2})
    :contiguous():view(1, cfg.heads, T, T)
end

local function plain_norm(name, x)
  return x / (x:square():mean(-1, true) + 1e-6):sqrt()
    * nn.param(name .. ".weight", {x.shape[3]}, "ones")
end

local function plain_ffn(cfg, x)
  local up = x:linear(nn.param("up_proj.weight", {cfg.ffn_dim, cfg.dim}))
  local down = nn.param("down_proj.weight", {cfg.dim, cfg.ffn_dim})
  if not cfg.gated then return up:relu():linear(down) end
  return (x:linear(nn.param("gate_proj.weight", {cfg.ffn_dim, cfg.dim})):gelu_tanh() * up)
    :linear(down)
end

local function plain_stack(cfg, name, n, first, x, seen, memory, seen_memory)
  local bias = nn.scope(name, plain_bias, cfg, name == "encoder", x.shape[2])
  for i = 1, n do
    x = nn.layer(first + i, function()
      x = x + nn.scope("self_attn", plain_attention, cfg, plain_norm("input_layernorm", x),
        plain_norm("input_layernorm", x), bias, seen)
      if memory then
        x = x + nn.scope("cross_attn", plain_attention, cfg,
          plain_norm("cross_attention_layernorm", x), memory, nil, seen_memory)
      end
      return x + nn.scope("mlp", plain_ffn, cfg, plain_norm("post_attention_layernorm", x))
    end, {stack = name})
  end
  return nn.scope(name, plain_norm, "norm", x)
end

local function plain_seen(a, b, causal)
  local T = a.shape[2]
  local same = a:view(a.shape[1], T, 1):eq(b:view(a.shape[1], 1, T))
  if not causal then return same end
  local before = {}
  for q = 1, T do
    for k = 1, T do before[#before + 1] = k <= q and 1 or 0 end
  end
  return same:cast("f32"):mul(tensor(before):view(1, T, T)):gt(0)
end

model.define("plain", function(cfg)
  page.build(cfg) -- completes the configuration
  return function(tokens)
    local f = fake(tokens)
    local embed = nn.param("shared.weight", {cfg.vocab, cfg.dim})
    local memory = plain_stack(cfg, "encoder", cfg.layers, 0, embed:embedding(f.inputs),
      plain_seen(f.input_documents, f.input_documents))
    local x = plain_stack(cfg, "decoder", cfg.decoder_layers, cfg.layers, embed:embedding(tokens),
      plain_seen(f.documents, f.documents, true), memory,
      plain_seen(f.documents, f.input_documents))
    local head = cfg.tie and embed or nn.param("lm_head.weight", {cfg.vocab, cfg.dim})
    if cfg.tie then x = x * cfg.dim ^ -0.5 end
    return x:view(-1, cfg.dim):linear(head)
  end
end, page.rows)


local SGD = {steps = 3, batch = B, optimizer = "sgd", momentum = 0, nesterov = false,
             weight_decay = 0, lr = 0.05, warmup = 0, schedule = "constant", clip = 0,
             eval_every = 0, save = false}

local ids = {}
for i = 1, T do ids[i] = i * 7 % d.vocab end

for _, version in ipairs {"1.0", "1.1"} do
  local a = model.page(with(SMALL, {version = version}))
  local b = model.plain(with(SMALL, {version = version}))
  local before = {}
  for i, info in ipairs(a._info) do
    engine.copy(b.params[info.name], a.params[i])
    before[i] = a.params[i]:detach():clone()
  end
  is(#a.params, #b.params, "version " .. version .. ": parameters")
  ok(furthest(a:logits(ids), b:logits(ids)) < 2e-5, "version " .. version .. ": logits",
    furthest(a:logits(ids), b:logits(ids)))
  local ra, rb = train(a, d, SGD):wait(), train(b, d, SGD):wait()
  near(ra.loss, rb.loss, 1e-4, "version " .. version .. ": loss after three steps")
  local worst, unmoved = 0, {}
  for i, info in ipairs(a._info) do
    local moved = furthest(a.params[i], before[i])
    worst = math.max(worst, furthest(a.params[i], b.params[info.name]) / math.max(moved, 1e-6))
    if moved < 1e-6 then unmoved[#unmoved + 1] = info.name end
  end
  ok(worst < 2e-3, "version " .. version .. ": gradients", worst)
  is(table.concat(unmoved, " "), "", "version " .. version .. ": all learn, the tables too")
end

-- ---- the same bits (of threads: encdec_numbers.lua); dropout is a function of the seed ----

do
  local function hash(o, run)
    return train(model.page(with(SMALL, o)), d, with(SGD, {lr = 1e-3}, run)):wait():hash()
  end
  local drop = {dropout = 0.2}
  local one = hash(drop)
  is(hash(drop), one, "dropout: the same each time")
  ok(hash {} ~= one, "dropout: it has an effect")
  ok(hash(drop, {seed = 5}) ~= hash({}, {seed = 5}), "dropout: of another seed")
  is(hash(drop, {recompute = true}), one, "dropout: computed again in the backward pass, the same")
  is(hash({experts = 4, top_k = 2, dropout = 0.1}, {recompute = true}),
    hash {experts = 4, top_k = 2, dropout = 0.1}, "and with mixtures")
  ok(hash({}, {precision = "bf16"}) ~= hash {}, "bf16 computes")
end

-- ---- label smoothing and z ----

do
  local function run(o)
    return train(model.page(SMALL), d, with(SGD, {steps = 60, lr = 0.1}, o)):wait()
  end
  local plain, shaped = run {}, run {label_smoothing = 0.1, z_loss = 1e-3}
  ok(shaped:hash() ~= plain:hash(), "label_smoothing and z_loss change what is learnt")
  local a, b = plain:history "loss", shaped:history "loss"
  near(b[1][2]:item(), a[1][2]:item(), 0, "the loss that is shown is without them")
end

-- ---- token by token: the bits of the whole ----

local inputs = {}
for i = 1, 19 do inputs[i] = i * i * 5 % V end

local CASES = {
  relative = {}, rope = {position = "rope"}, sinusoidal = {position = "sinusoidal"},
  ["version 1.0"] = {version = "1.0"}, ["scaled scores"] = {attention_scale = 0.3},
  mixtures = {experts = 4, top_k = 2, moe_every = 1},
  ["few heads of keys"] = {kv_heads = 1, head_dim = 6},
}

local function make(o)
  return model.encdec(with({layers = 2, decoder_layers = 2, dim = 32, heads = 4,
    input_context = 48, context = 20, vocab = V}, o))
end

-- Logits of the decoder's whole text, for inputs as they are.
local function whole(m, tokens)
  return small.logits(m, {tokens = tokens, inputs = inputs})
end

local function score_of(m, written)
  local tokens = {0, table.unpack(written, 1, #written - 1)}
  local logits, sum = whole(m, tokens), 0
  for i, id in ipairs(written) do sum = sum + logits[i]:log_softmax()[id + 1]:item() end
  return sum
end

for name, o in t.sorted(CASES) do
  local m = make(o)
  local found = m:_decode(inputs, {tokens = 12, temperature = 1, seed = 3})[1]
  is(#found.ids, 12, name .. ": so many tokens")
  is(found.score, score_of(m, found.ids), name .. ": token by token, the bits of the whole")
  local again = m:_decode(inputs, {tokens = 12, temperature = 1, seed = 3})[1]
  is(table.concat(again.ids, " "), table.concat(found.ids, " "), name .. ": and again")
  local best = m:_decode(inputs, {tokens = 12, beam = 3, length_penalty = 0})
  for i, s in ipairs(best) do
    near(s.score, score_of(m, s.ids), 1e-9, ("%s: beam, sequence %d"):format(name, i))
  end
  is(#best, 3, name .. ": beam, so many")
end

-- ---- beam search against all sequences ----

do
  local m = model.encdec {layers = 1, decoder_layers = 1, dim = 16, heads = 2, vocab = 6,
                          input_context = 24, context = 4, init = {"normal", 4}}
  inputs = {1, 2, 3, 4, 5, 0, 3}
  local STOP, LENGTH, all = 5, 3, {}
  local function penalty(n) return ((5 + n) / 6) ^ 0.6 end
  local function walk(written, score)
    local logits = whole(m, {0, table.unpack(written)})[#written + 1]:log_softmax()
    for id = 0, 5 do
      local s = score + logits[id + 1]:item()
      if id == STOP then
        all[#all + 1] = {text = table.concat(written, " "), score = s / penalty(#written + 1)}
      else
        local longer = table.move(written, 1, #written, 1, {})
        longer[#longer + 1] = id
        if #longer == LENGTH then
          all[#all + 1] = {text = table.concat(longer, " "), score = s / penalty(LENGTH)}
        else
          walk(longer, s)
        end
      end
    end
  end
  walk({}, 0)
  table.sort(all, function(a, b) return a.score > b.score end)
  local found = m:_decode(inputs, {tokens = LENGTH, beam = 40, stop = STOP})
  for i = 1, 5 do
    is(table.concat(found[i].ids, " "), all[i].text, ("beam: best sequence %d of %d"):format(i,
      #all))
    near(found[i].score, all[i].score, 1e-9, "beam: its score")
  end
  local greedy = m:_decode(inputs, {tokens = LENGTH, stop = STOP})[1]
  local length = math.min(#greedy.ids + 1, LENGTH)
  ok(found[1].score >= greedy.score / penalty(length) - 1e-9, "no worse than greedy")
end

-- A table as a model: one step ahead the second is better.
do
  local logits = {[""] = {0.5, 0.4, 0.1}, ["0"] = {0.4, 0.3, 0.3}, ["1"] = {0.9, 0.05, 0.05}}
  local function of(texts)
    local rows = {}
    for i, text in ipairs(texts) do
      rows[i] = {}
      for j, p in ipairs(logits[text] or {0.1, 0.1, 0.8}) do rows[i][j] = math.log(p) end
    end
    return tensor(rows)
  end
  local function search(width)
    local texts = {""}
    return beam.search({width = width, tokens = 2, penalty = 0}, of {""}, function(new, rows)
      local longer = {}
      for i, id in ipairs(new) do longer[i] = texts[rows[i]] .. id end
      texts = longer
      return of(texts)
    end)
  end
  is(table.concat(search(1)[1].ids, " "), "0 0", "a width of one is greedy")
  is(table.concat(search(2)[1].ids, " "), "1 0", "of two it looks further")
  -- of a width of 1 the two best are looked at: the second best ends, and is found
  local found = beam.search({width = 1, tokens = 2, penalty = 0, stop = 2},
    tensor {{math.log(0.5), math.log(0.1), math.log(0.4)}}, function()
      return tensor {{math.log(0.4), math.log(0.3), math.log(0.3)}}
    end)
  is(#found[1].ids, 0, "what ends among the best 2 width is finished")
  near(found[1].score, math.log(0.4), 1e-6, "with its score")
end

-- ---- generate ----

do
  local tok = tokenizer.bytes()
  local m = model.encdec {layers = 1, decoder_layers = 1, dim = 16, heads = 2, input_context = 24,
                          context = 12, vocab = tok}
  is(type(m:generate("hello", {tokens = 4})), "string", "generate: a text")
  is(m:generate("hello", {tokens = 4}), m:generate("hello", {tokens = 4}), "the same again")
  is(type(m:generate("hello", {tokens = 4, beam = 3})), "string", "by a beam")
  refuses(function() m:generate("hello", {beam = 2, temperature = 1}) end, "beam, temperature",
    "temperature has no effect with a beam")
  refuses(function() m:generate("hello", {length_penalty = 1}) end, "length_penalty alone",
    "length_penalty has no effect without a beam")
  refuses(function() m:generate(("hello"):rep(9)) end, "too long", "at most 24")
  refuses(function() m:_decode({}, {}) end, "nothing", "no inputs given")
  local dense = model.dense {layers = 1, dim = 16, heads = 2, context = 16, vocab = tok}
  refuses(function() dense:generate("a", {beam = 2}) end, "beam of a decoder",
    "model.dense has none")
  refuses(function() m:logits "abc" end, "logits of a text alone", "inputs")
end

-- A decoder of one's own, with a bias and another scale: from the cache as from the whole text.
do
  model.define("biased", function(cfg)
    return function(ids)
      local embed = nn.param("embed", {cfg.vocab, cfg.dim}, 1)
      local x = nn.embedding(ids, embed)
      x = x + nn.attention(x, {heads = 2, scale = 1, rope = false,
                               bias = nn.relative_bias(x, {heads = 2, buckets = 8, distance = 9})})
      return nn.head(x, embed)
    end
  end)
  local m = model.biased {vocab = 50, dim = 8, context = 40}
  engine.fill(m.params["relative_attention_bias.weight"], 2, 3, 4)
  local written = m:generate({3, 1, 4}, {tokens = 30, temperature = 0})
  local whole, same = m:logits(table.move(written, 1, 32, 1, {})):argmax(-1), true
  for i = 3, 32 do same = same and whole[i]:item() - 1 == written[i + 1] end
  ok(same, "a decoder with a bias writes what the whole text says")
end

-- ---- where a pair stands in its row ----

do
  local row = {inputs = {}, tokens = {}, documents = {}}
  for i = 1, 16 do
    row.inputs[i], row.tokens[i] = (i - 1) % 8 * 3, (i - 1) % 8 * 2 + 1
    row.documents[i] = (i - 1) // 8
  end
  row.input_documents = row.documents
  for _, position in ipairs {"relative", "rope", "sinusoidal"} do
    local l = small.logits(model.encdec {layers = 1, decoder_layers = 1, dim = 16, heads = 2,
      input_context = 16, context = 16, vocab = V, position = position, init = {"normal", 4}}, row)
    near((l:narrow(1, 1, 8) - l:narrow(1, 9, 8)):abs():max():item(), 0,
      1e-5 * l:abs():max():item(), position .. ": a pair is the same as the second of its row")
  end
end

do -- sines as they are defined
  model.define("waves", function(cfg)
    return function(tokens, batch)
      nn.embedding(tokens, nn.param("w", {cfg.vocab, 6}))
      local x = tensor.zeros(1, tokens.shape[2], 6)
      return nn.sinusoids(x, 100, batch.documents):view(-1, 6)
    end
  end)
  local m = model.waves {vocab = V, context = 16, input_context = 16}
  local ids, worst = {}, 0
  for i = 1, 16 do ids[i] = 0 end
  local l = small.logits(m, {tokens = ids, inputs = ids, documents = {3, 3, 3, 7, 7, 7, 7, 2,
    -1, -1, 0, 0, 0, 0, 0, 0}})
  for i, place in ipairs {0, 1, 2, 0, 1, 2, 3, 0, 0, 1, 0, 1, 2, 3, 4, 5} do
    for c = 1, 6 do
      local angle = place / 100 ^ (2 * ((c - 1) % 3) / 6)
      local want = c <= 3 and math.sin(angle) or math.cos(angle)
      worst = math.max(worst, math.abs(l[{i, c}]:item() - want))
    end
  end
  near(worst, 0, 1e-6, "sines and cosines of the places within documents")
end

-- ---- what parameters begin with ----

do -- a router's own form stands: orthogonal rows of 0.1
  local w = model.encdec({layers = 1, dim = 16, heads = 2, input_context = 16, context = 16,
    experts = 4, moe_first = 1, router = "base", top_k = 1, vocab = V})
    .params["encoder.layers.0.mlp.gate.weight"]
  local off = (w:matmul(w:permute({2, 1}):contiguous()) * 100 - tensor.eye(4)):abs():max():item()
  near(off, 0, 1e-4, "base's router begins orthogonal")
end

-- ---- layers and counts ----

do
  local m = make {experts = 4, moe_every = 2, layers = 2, decoder_layers = 4}
  local said = {}
  for l = 1, #m.layers do said[l] = m.layers[l].label .. (m.layers[l].moe and "*" or "") end
  is(table.concat(said, ", "), "enc 1, enc 2*, dec 1, dec 2*, dec 3, dec 4*", "labels of layers")
  local function where(o)
    local list, n = {}, make(with({experts = 4, layers = 4, decoder_layers = 4}, o))
    for l = 1, 8 do if n.layers[l].moe then list[#list + 1] = l end end
    return table.concat(list, " ")
  end
  is(where {moe_first = 1}, "1 3 5 7", "the first of each pair")
  is(where {moe_every = 4}, "4 8", "every fourth")
  is(where {moe_layers = {1, 6}}, "1 6", "as listed")
  -- parameters by hand: two stacks of C = 32, F = 128, gated; weights of what reads inputs and of
  -- what writes
  local n = make {layers = 3, decoder_layers = 2, input_context = 40, context = 20}
  local C, F, L = 32, 128, V
  local attention, ffn = 4 * C * C, 3 * C * F
  local total = 3 * (attention + ffn + 2 * C) + 2 * (2 * attention + ffn + 3 * C) + 2 * C
    + 2 * 32 * 4 + 2 * L * C
  is(n:count().total, total, "parameters")
  local of_input = 3 * (attention + ffn) + 2 * 2 * C * C
  local of_output = 2 * (attention + ffn + 2 * C * C) + L * C
  local scores = 12 * (3 * C * 40 * 40 + 2 * C * 40 * 20) + 6 * 2 * C * 20 * 20
  near(n:count().flops_per_token * (40 + 20),
    6 * (20 * of_output + 40 * of_input) + scores, 1,
    "model FLOPs of a row, by the tokens of both sides")
end

do -- a model of another's cfg, whose options without effect are none of it
  local base = {dim = 16, heads = 2, vocab = 64, layers = 2, input_context = 16}
  for what, o in t.sorted {dense = {}, rope = {position = "rope"}, experts = {experts = 4},
                        listed = {experts = 4, moe_layers = {1, 4}, router = "sigmoid"},
                        two = {experts = 4, encoder_router = "sigmoid", encoder_capacity = 2}} do
    local m = model.encdec(with(base, o))
    local good, n = pcall(model.encdec, m.cfg)
    if ok(good, what .. ": a model of its cfg", n) then
      is(json.text(n.cfg), json.text(m.cfg), what .. ": the same")
    end
  end
  is(model.encdec(base).cfg.router, nil, "a dense one has no router")
end

refuses(function() model.encdec {router = "softmax"} end, "a router without experts",
  "router has no effect without experts")
refuses(function() model.encdec {experts = 4, top_k = 5} end, "K over E", "top_k is 5",
  "experts is 4")
refuses(function() model.encdec {experts = 4, moe_layers = {9}} end, "a layer that is not there",
  "layer 9", "1 to 8")
refuses(function() model.encdec {init = {"zeros", 1}} end, "another init", "init must be")
refuses(function() model.encdec {version = "1.0", activation = "swiglu_oai"} end,
  "a gated form without a gate", "it needs gated = true")
for _, o in ipairs {{router = "gpt_oss", top_k = 2}, {activation = "swiglu_oai"}} do
  o.experts, o.dim, o.heads, o.vocab, o.layers, o.input_context = 4, 16, 2, 64, 2, 16
  is(model.encdec(o).cfg.activation, "swiglu_oai", "a gated form, which version 1.1 has")
end
refuses(function() model.encdec {version = "2"} end, "another version", "unknown version")
refuses(function() model.encdec {distance = 8} end, "a distance of too few", "more than the 8")

t.done()
