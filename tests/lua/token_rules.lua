-- force and forbid: tokens that always or never go to an expert of a live run, by every router that
-- chooses K experts; the timeline repeats it; what is refused changes nothing; models on disk.
-- TAP.

local t = dofile((os.getenv "srcdir" or ".") .. "/tests/lua/tap.lua")
local small = dofile((os.getenv "srcdir" or ".") .. "/tests/lua/small.lua")
local probe = require "switchyard.lab.probe"

local d = data.synthetic{domains = 4, tokens = 20000, seed = 1}
local BEGIN = {steps = 20, batch = 2, lr = 3e-3, warmup = 2, eval_every = 10, eval_batches = 1,
               checkpoint_every = 7}

local function make(more) return small.moe(t.with({layers = 2, vocab = d.vocab}, more)) end

local function paused(m, more)
  return small.run(m, d, t.with(BEGIN, {save = false, paused = true}, more)):steps(2):wait()
end

local IDS, TOKENS, N = {}, {}, 16
for id = 0, 40 do IDS[id + 1] = id end
for i = 1, N do TOKENS[i] = i <= 8 and i * 5 - 1 or 40 + i end

-- Whether each of the first 8 tokens of TOKENS, whose ids are among IDS, has expert e of the i-th
-- mixture; and of the others.
local function has(m, i, e)
  local p = probe.new(m, {rows = 1, length = N})
  p:put({TOKENS}, {table.move(TOKENS, 2, N, 1, {0})})
  p:run()
  local out, list = {0, 0}, p.mixtures[i].experts:table()
  for k, row in ipairs(list) do
    for _, one in ipairs(row) do
      if one == e then out[k <= 8 and 1 or 2] = out[k <= 8 and 1 or 2] + 1 end
    end
  end
  return out[1], out[2]
end

-- ---- every router that chooses K ----

for _, case in ipairs {
  {"softmax"}, {"deepseek_v3"}, {"hash"}, {"gshard"}, {"deepseek_v4"}, {"uniform"}, {"noisy_topk"},
  {"zero_experts"}, {"mixtral"}, {"base", 1}, {"sinkhorn", 1}, {"quantile"}, {"llama4", 1},
} do
  local name, K = case[1], case[2] or 2
  local m = make{router = name, top_k = K}
  local before = m:logits(TOKENS)
  local r = paused(m)
  r.layers[1].experts[3]:force(IDS)
  r.layers[2].experts[1]:forbid(IDS)
  local always, rest = has(m, 1, 3)
  t.is(always, 8, name .. ": forced")
  t.ok(rest < 8, name .. ": ... and no other token: " .. rest)
  t.is(has(m, 2, 1), 0, name .. ": forbidden")
  r:steps(1):wait()
  t.ok(r.loss < 20, name .. ": it trains on")
  r.layers[1].experts[3]:force{}
  r.layers[2].experts[1]:forbid{}
  t.is(m._rules, nil, name .. ": and undone")
  t.ok(before.shape[1] == N, name .. ": logits")
  r:close()
end

-- ---- a model without rules is what it was, and gates are the router's ----

do
  local m = make{router = "deepseek_v3", top_k = 1}
  local r = paused(m)
  local before, hash = m:logits(TOKENS), r:hash()
  r.layers[1].experts[2]:force{100}
  t.is(m:logits(TOKENS):hash(), before:hash(), "rules of other tokens: the same bits")
  r.layers[1].experts[2]:force(IDS)
  t.ok(m:logits(TOKENS):hash() ~= before:hash(), "a rule has an effect")
  t.ok(r:eval(1) > 0, "in evaluation")
  local ids = m:generate({1, 2, 3}, {tokens = 4})
  t.ok(ids ~= nil, "and generation")
  r.layers[1].experts[2]:force{}
  t.is(m:logits(TOKENS):hash(), before:hash(), "undone: the same bits")
  t.is(r:hash(), hash, "no parameter has changed")
  local p = probe.new(m, {rows = 1, length = N})
  p:put({TOKENS}, {table.move(TOKENS, 2, N, 1, {0})}):run()
  local scores = p.mixtures[1].scores:clone()
  r.layers[1].experts[2]:force(IDS)
  p = probe.new(m, {rows = 1, length = N})
  p:put({TOKENS}, {table.move(TOKENS, 2, N, 1, {0})}):run()
  t.is(p.mixtures[1].scores:hash(), scores:hash(), "scores are the router's own")
  local s = (p.mixtures[1].logits:narrow(2, 2, 1) * 1):sigmoid()[1]:item() * 2.5
  t.near(p.mixtures[1].gates[1]:item(), s, 1e-5, "and the gate: the score times scale")
  r:close()
end

-- ---- the timeline, swap, and a new run ----

do
  local hashes = {}
  local r = small.run(make(), d, t.with(BEGIN, {name = "ruled"}), function(r, step)
    local l = r.layers
    hashes[step] = r:hash()
    if step == 3 then l[1].experts[2]:force{1, 2, 3, 50} end
    if step == 5 then l[2].experts[1]:forbid(IDS) end
    if step == 8 then l[1].experts[2]:swap(4) end
    if step == 12 then l[2].experts[1]:forbid{} end
  end)
  t.is(r.journal and #r:journal(), 4, "its entries")
  t.is(r:journal()[1].text, "force L1 2: tokens 1, 2, 3, 50", "of which a mark has the text")
  t.is(table.concat(r._m._rules["model.layers.0.mlp"]["4"].force, " "), "1 2 3 50",
    "swap takes them along")
  local wrong = {}
  for _, step in ipairs {19, 13, 12, 10, 8, 7, 6, 5, 4, 3, 2} do
    r:rewind(step)
    if r:hash() ~= hashes[step] then wrong[#wrong + 1] = step end
  end
  t.is(table.concat(wrong, " "), "", "rewind")
  t.is(r._m._rules, nil, "to before there were any")
  r:resume():wait()
  t.is(r:hash(), hashes[20], "and on again")
  t.ok(replay("ruled").identical, "replay: " .. tostring(replay "ruled"))
  local f = r:fork{step = 10, name = "ruled.fork"}
  f:wait()
  t.ok(f:hash() ~= hashes[20] and f._m._rules["model.layers.1.mlp"] ~= nil, "a fork keeps them")
  t.ok(replay("ruled.fork").identical, "and is replayed: " .. tostring(replay "ruled.fork"))
  f:close()
  local path = t.scratch "model"
  local ok, why = r._m:save(path)
  t.ok(ok and why:find("tokens are forced to experts", 1, true), "transformers cannot load it: "
    .. tostring(why))
  local logits = r._m:logits(TOKENS):hash()
  local other = assert(model.load(path))
  t.is(other:logits(TOKENS):hash(), logits, "saved and loaded")
  r:close()
  t.is(runs "ruled".model:logits(TOKENS):hash(), logits, "of a stored run")
  local again = train.resume("ruled", {steps = 21})
  t.is(table.concat(again._m._rules["model.layers.0.mlp"]["4"].force, " "), "1 2 3 50", "resume")
  again:wait():close()
  local s = small.run(other, d, t.with(BEGIN, {name = "second", steps = 4}))
  t.ok(replay("second").identical, "a run of a model that has some: " .. tostring(replay "second"))
  s:close()
end

-- ---- encoder and decoder: each by the ids that it reads ----

do
  local path = small.pair_file("pairs.tsv", 40, "de\tdie %w\tthe %w\n")
  local tok = tokenizer.bytes{pad = true}
  local p = data.pairs(path, {tokenizer = tok, val = 0.1})
  local m = model.encdec{layers = 1, decoder_layers = 1, dim = 16, heads = 2, experts = 4,
    top_k = 2, expert_dim = 16, input_context = 16, context = 16, vocab = tok, moe_every = 1}
  local r = small.run(m, p, t.with(BEGIN, {save = false, paused = true})):steps(2):wait()
  local ids = {}
  for id = 0, 255 do ids[id + 1] = id end
  r.layers["enc 1"].experts[2]:force(ids)
  r.layers["dec 1"].experts[3]:forbid(ids)
  t.is(r:journal()[2].text, "forbid dec 1 3: tokens 0, 1, 2, 3, 4, 5, 250 more", "its place")
  r:steps(1):wait()
  local function share(label, e) return r.layers[label].load[e]:item() end
  t.ok(share("enc 1", 2) > 1.2, "the inputs' tokens are forced: " .. share("enc 1", 2))
  t.ok(share("dec 1", 3) < 0.5, "the outputs' are kept off: " .. share("dec 1", 3))
  r:close()
end

-- ---- what is refused changes nothing ----

do
  local m = make()
  local r = paused(m, {name = "refused"})
  local x, hash, n = r.layers[1].experts[2], r:hash(), #r:journal()
  t.refuses(function() x:force(5) end, "no list", "force: takes a list of token ids, got number")
  t.refuses(function() x:force{1, -1} end, "a negative id", "force: token 2 is -1, must be from")
  t.refuses(function() x:forbid{d.vocab} end, "an id that is not there", "forbid: token 1 is")
  t.refuses(function() x:forbid{"a"} end, "a text", "forbid: token 1 is a")
  t.is(#r:journal(), n, "nothing is written down")
  r.layers[1].experts[1]:forbid{7}
  r.layers[1].experts[3]:forbid{7}
  t.refuses(function() x:forbid{7} end, "too few experts",
    "forbid: L1: token 7 would have 1 of 4 experts to choose among, and needs 2")
  t.refuses(function() x:disable() end, "disable, too", "disable: L1: token 7")
  t.refuses(function() r.layers[1].experts[4]:merge(2) end, "merge, too", "merge: L1: token 7")
  t.refuses(function() r.layers[1].experts[1]:force{7} end, "both", "both forced to expert 1")
  r.layers[2].experts[1]:force{9}
  r.layers[2].experts[2]:force{9}
  t.refuses(function() r.layers[2].experts[3]:force{9} end, "more than K",
    "force: L2: token 9 would be forced to 3 experts, and has 2")
  t.refuses(function() r.top_k = 1 end, "K under that", "top_k")
  t.is(r.top_k, 2, "... which stays")
  t.is(r:hash(), hash, "nothing has changed")
  r:close()
end

for _, name in ipairs {"top_p", "relu", "expert_threshold"} do
  local r = paused(make{router = name})
  t.refuses(function() r.layers[1].experts[2]:force{1} end, name,
    ("force: router '%s' does not choose K experts"):format(name))
  r:close()
end

t.done()
