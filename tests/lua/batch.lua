-- Fields of a batch: what a model's function reads of its second argument, what the data cannot
-- give, and loss weights from a file: values, gradients, accumulation, evaluation, resume.

local tap = dofile((os.getenv "srcdir" or ".") .. "/tests/lua/tap.lua")
local small = dofile((os.getenv "srcdir" or ".") .. "/tests/lua/small.lua")
local ok, is = tap.ok, tap.is
local engine = require "switchyard.engine"
local folder = tap.folder "files"

local N, V, B, T = 600, 11, 4, 6
local ids, weights = {}, {}
for i = 1, N do
  ids[i] = (i * 7 + i // 5 * 3) % V
  weights[i] = i % 3 == 0 and 0 or (i % 5) / 2
end
tensor(ids):cast("i32"):save(folder .. "/ids.npy")
tensor(weights):save(folder .. "/weights.npy")
local plain = data.shards(folder .. "/ids.npy", {vocab = V})
local d = data.shards(folder .. "/ids.npy", {vocab = V, weights = folder .. "/weights.npy"})

-- ---- what may be read ----

local read = {}
model.define("reader", function(cfg)
  return function(ids, batch)
    local w = nn.param("w", {V, V}, 0.3)
    for _, name in ipairs(read) do assert(batch[name]) end
    return nn.embedding(ids, w)
  end
end)

local function failure(f, ...)
  local fine, why = pcall(f, ...)
  return not fine and tostring(why) or "none"
end

local function make(fields)
  read = fields or {}
  return model.reader{vocab = V, context = T, seed = 3}
end

local function short(m, data, o)
  return train(m, data, tap.with({steps = 3, batch = B, context = T, save = false, eval_every = 0,
    seed = 5, lr = 0.1, warmup = 0}, o)):wait()
end

ok(failure(make, {"targetz"}):find "unknown field 'targetz'.-did you mean 'targets'",
  "an unknown field: " .. failure(make, {"targetz"}))
local why = failure(short, make{"weights"}, plain)
ok(why:find("the model reads the field 'weights': the data has no loss weights", 1, true),
  "one that the data lacks: " .. why)
is(short(make{"documents", "weights"}, d).step, 3, "those that it has")
do -- ... and the model is given them
  local weigh = true
  model.define("by_document", function(cfg)
    return function(_, batch)
      local x = nn.embedding(batch.documents, nn.param("w", {cfg.vocab, cfg.vocab}, 0.3))
      return weigh and x * batch.weights:unsqueeze(-1) or x
    end
  end)
  local some = data.synthetic{domains = 2, tokens = 3000, seed = 1} -- 3 documents
  local function by_document()
    return model.by_document{vocab = some.vocab, context = T, seed = 3}
  end
  local m = by_document()
  local logits = m:logits{1, 2, 3}
  for i = 1, 3 do
    ok(logits[i]:equal(m.params.w[1]),
      "alone, token " .. i .. " is of the first document, weight 1")
  end
  weigh = false
  local x = small.fields({"tokens", "targets", "documents"}, B, T)
  engine.batch(some, 5, 0, x)
  ok(x.documents:max():item() > x.documents:min():item(), "the batch has several documents")
  m = by_document()
  local rows = m.params.w:index_select(x.documents:view(-1) + 1)
  local want = rows:cross_entropy(x.targets:view(-1)):item()
  local got = short(m, some, {steps = 1}).loss
  ok(math.abs(got - want) < 1e-6, ("training: each token's own: %.7f %.7f"):format(got, want))
end
why = failure(function() make{"targets"}:generate({1, 2}, {tokens = 1}) end)
ok(why:find("a text that is being written has none", 1, true), "targets in generation: " .. why)
why = failure(function()
  model.define("setter", function() return function(ids, batch) batch.tokens = ids end end)
  model.setter{vocab = V, context = T}
end)
ok(why:find("cannot be set", 1, true), why)

-- ---- fields that go by a length of their own ----

do
  local shapes = {}
  model.define("lengths", function(cfg)
    return function(ids, batch)
      for _, name in ipairs(cfg.reads) do shapes[name] = table.concat(batch[name].shape, " ") end
      return nn.embedding(ids, nn.param("w", {cfg.vocab, cfg.vocab}, 0.3))
    end
  end)
  local function lengths(reads, S)
    return model.lengths{vocab = V, context = T, input_context = S, reads = reads}
  end
  local m = lengths({"prefix", "objectives", "sources", "documents"})
  is(short(m, plain, {steps = 1}).step, 1, "a field of a row and one of a token are filled")
  is(shapes.prefix .. ", " .. shapes.objectives .. ", " .. shapes.sources, "4, 4, 4 6",
    "prefix and objectives are (B), sources (B,T)")
  ok(m:loss({1, 2, 3}) > 0, "a text alone has them")
  m = lengths({"inputs", "input_documents", "input_sources"}, 3)
  is(shapes.inputs .. ", " .. shapes.input_documents, "1 3, 1 3", "inputs are (B,S)")
  why = failure(short, m, plain)
  ok(why:find("'next': the model reads the field 'inputs', which it does not fill", 1, true),
    "a field that nobody fills: " .. why)
  why = failure(m.loss, m, {1, 2, 3})
  ok(why:find("reads the field 'inputs': a text alone has none", 1, true), why)
  why = failure(lengths, {"inputs"})
  ok(why:find("the field 'inputs': its configuration has no input_context", 1, true), why)
  local x = {tokens = tensor.zeros(B, T, {dtype = "i32"}),
             prefix = tensor.full(B, 9):cast "i32", sources = tensor.full(B, T, 7):cast "i32"}
  engine.batch(plain, 5, 0, x)
  ok(x.prefix:max():item() == 0 and x.sources:max():item() == 0, "of text without sources: 0")
  why = failure(engine.batch, plain, 5, 0, {tokens = x.tokens, prefix = x.tokens})
  ok(why:find("prefix must be contiguous i32 of the shape (B) of all", 1, true), why)
end

-- ---- the file ----

local function bad(values, what)
  tensor(values):save(folder .. "/bad.npy")
  local x, reason = data.shards(folder .. "/ids.npy", {vocab = V, weights = folder .. "/bad.npy"})
  ok(not x and reason:find(what, 1, true), tostring(reason))
end
bad({1, 2, 3}, "3 weights for 600 tokens")
weights[9] = -1
bad(weights, "weight -1 of token 8 is outside 0..1e6")
weights[9] = 0
local x, reason = data.shards(folder .. "/ids.npy", {vocab = V, weights = folder .. "/ids.npy"})
ok(not x and reason:find("weights must be f32", 1, true), tostring(reason))
ok(d.hash ~= plain.hash, "weights are part of the data's identity")

-- ---- the batch ----

local function fields() return small.fields({"tokens", "targets", "weights"}, B, T) end
local f, again = fields(), fields()
engine.batch(d, 5, 8, f)
engine.batch(d, 5, 8, again)
for name, of in tap.sorted(f) do ok(of:equal(again[name]), name .. ": pure") end
ok(math.abs(f.weights:mean():item() - 1) < 1e-6, "weights average 1")
local _, rest = pcall(engine.batch, plain, 5, 8, f)
ok(tostring(rest):find("the data has no loss weights", 1, true), tostring(rest))
do -- each has the weight of its target: here token i has the id i
  local numbers = {}
  for i = 1, N do numbers[i] = i - 1 end
  tensor(numbers):cast("i32"):save(folder .. "/numbers.npy")
  engine.batch(data.shards(folder .. "/numbers.npy",
    {vocab = N, weights = folder .. "/weights.npy"}), 5, 8, f)
  local want = tensor(weights):index_select(f.targets:view(-1) + 1)
  local few, most = want:min():item(), want:max():item()
  ok(few == 0 and most == 2, "some weigh and some do not")
  ok((f.weights:view(-1) * want:mean() - want):abs():max():item() < 1e-6, "the target's weight")
  ok(f.targets:equal(f.tokens + 1), "a target is the next token")
end

-- ---- the loss, by hand ----

local function by_hand(w, f)
  local rows = w:index_select(f.tokens:view(-1) + 1)
  local losses = -rows:log_softmax(-1):gather(2, f.targets:view(-1, 1) + 1):view(-1)
  return (losses * f.weights:view(-1)):sum():item() / (B * T)
end
local m = make()
local want = by_hand(m.params.w, (function() engine.batch(d, 5, 0, f) return f end)())
local r = short(m, d, {steps = 1})
ok(math.abs(r.loss - want) < 1e-6,
  ("the first step's loss is the weighted mean: %.7f %.7f"):format(r.loss, want))

local uniform = {}
for i = 1, N do uniform[i] = 1 end
tensor(uniform):save(folder .. "/ones.npy")
local ones = data.shards(folder .. "/ids.npy", {vocab = V, weights = folder .. "/ones.npy"})
local a, b = short(make(), plain, {steps = 5}), short(make(), ones, {steps = 5})
is(a:hash(), b:hash(), "weights of 1 have the bits of none")
ok(a:hash() ~= short(make(), d, {steps = 5}):hash(), "others do not")

-- ---- accumulation and evaluation ----

local whole = short(make(), d, {steps = 1, batch = 8})
for _, n in ipairs{2, 4, 8} do
  local parts = short(make(), d, {steps = 1, batch = 8 // n, accumulate = n})
  ok(math.abs(whole.loss - parts.loss) < 1e-6,
    ("%d micro-batches: the loss of one batch"):format(n))
  local g, h = whole:history("grad_norm")[1][2]:item(), parts:history("grad_norm")[1][2]:item()
  ok(math.abs(g - h) < 1e-6 * (1 + g), ("and its gradient's norm: %.8f %.8f"):format(g, h))
end

local function evaluated(m, batch)
  return m:loss(d, {batch = batch, batches = 2})
end
local e = make()
ok(math.abs(evaluated(e, 1) - evaluated(e, 5)) < 1e-6,
  "an evaluation is of its windows, whatever its batch is")
local run = short(e, d, {steps = 1, lr = 0, min_lr = 0})
ok(math.abs(run:eval(2) - evaluated(e, 3)) < 1e-6, "r:eval() says the same")
ok(math.abs(evaluated(e, 3) - e:loss(plain, {batch = 3, batches = 2})) > 1e-4,
  "and not what there is without weights")

-- ---- the operation ----

local logits, t = tensor.randn(4, 5, {seed = 1}), tensor{0, 4, -1, 2}:cast("i32")
local w4 = tensor{1, 1, 1, 1}
ok(logits:weighted_cross_entropy(t, w4):equal((logits:cross_entropy(t))), "ones: the same bits")
local masked = tensor{0, 4, -1, -1}:cast("i32")
local got = logits:weighted_cross_entropy(t, tensor{1, 1, 1, 0}):item()
ok(math.abs(got * 3 - (logits:cross_entropy(masked)):item() * 2) < 1e-6,
  "a weight of 0 is no target, but counts among them")
why = failure(function() return logits:weighted_cross_entropy(t, tensor{1, 1, 1, 1}:grad(true)) end)
ok(why:find("no gradient flows to weights", 1, true), why)
tap.done()
