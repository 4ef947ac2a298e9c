-- Objectives of train: what they are given as, losses by objective, accumulation, evaluation, what
-- leads to the same bits, what is refused.  What rows hold: tests/unit/test_objectives.c.  TAP.

local t = dofile((os.getenv "srcdir" or ".") .. "/tests/lua/tap.lua")
local small = dofile((os.getenv "srcdir" or ".") .. "/tests/lua/small.lua")
local engine = require "switchyard.engine"
local objective = require "switchyard.model.objective"

local tok = tokenizer.bytes{sentinels = 100, fim = true}
local d = small.words(4000, tok)
local MIXED = {next = 1, span = 1, prefix = 1, fim = 1}

local function make(more)
  return small.moe(t.with({layers = 2, context = 32, vocab = tok}, more))
end

local function run(by, more, m, on)
  return small.run(m or make(), on or d, t.with({objective = by, steps = 12, batch = 4, lr = 3e-3,
    warmup = 2, eval_every = 6, eval_batches = 2, checkpoint_every = 5, save = false}, more))
end

if arg[1] == "worker" then
  local hash = run(MIXED, {steps = 4, eval_every = 0}):hash()
  print("hash " .. hash)
  os.exit(true)
end

-- ---- as they are given ----

t.is(objective.text(objective.read("train", "span")), "span", "a name")
t.is(objective.read("train", {"span", density = 0.15}), "span", "options as they are by default")
t.is(objective.text(objective.read("train", {"span", density = 0.3, mean = 5})),
  "span (density 0.3, mean 5)", "options")
t.is(objective.text(objective.read("train", {fim = 3, next = {1}})), "next 0.25, fim 0.75",
  "shares are 1 together")
local o = objective.read("train", {fim = {0.5, rate = 0.9}, next = 0.5})
t.is(objective.text(o), "next 0.5, fim 0.5 (rate 0.9)", "a mixture with options")
t.is(objective.text(objective.read("train", o)), objective.text(o), "what is stored is read again")

-- ---- training ----

for _, by in ipairs{"next", "span", "prefix", "fim"} do
  local r = run(by)
  t.is(r.state .. " " .. r.objective, "done " .. by, by .. ": trains")
  t.near(r:eval(2), r.model:loss(d, {batches = 2}), 1e-5, by .. ": m:loss is by it, too")
end
t.is(run("next"):hash(), run():hash(), "next is what there was before")

local function last(r, name)
  local h = r:history(name)
  return h[h.shape[1]][2]:item(), h[h.shape[1]][1]:item(), h.shape[1]
end

do -- losses apart: two runs of one row a step, told by which objective has a value there
  local r = run(MIXED, {batch = 1, steps = 20, eval_every = 20, eval_batches = 1})
  local loss, at, seen = r:history "loss", {}, 0
  for i = 1, loss.shape[1] do at[loss[i][1]:item()] = loss[i][2]:item() end
  for name in t.sorted(MIXED) do
    local h = r:history("loss." .. name)
    for i = 1, h.shape[1] do
      seen = seen + 1
      t.near(h[i][2]:item(), at[h[i][1]:item()], 1e-5, "a step of one row is of one objective")
    end
  end
  t.is(seen, 20, "each step is of one")
  -- an evaluation: the parts, by how many targets they have, are the whole
  local most, least = 0, 99
  for name in t.sorted(MIXED) do
    local v, step = last(r, "val_loss." .. name)
    t.is(step, 20, name .. " of the evaluation")
    most, least = math.max(most, v), math.min(least, v)
  end
  t.ok(least < r.val_loss and r.val_loss < most, "the whole is between its parts")
end

do -- the card
  local r = run({next = 1, fim = 1}, {paused = true})
  t.ok(tostring(r):find("objective  next 0.5, fim 0.5\n", 1, true), "a run shows its objective")
  r:resume():wait()
  t.ok(tostring(r):find "objective  next 0.5, fim 0.5; loss next %d%.%d+, fim %d%.%d+\n",
    "and the loss of each part: " .. tostring(r))
  t.ok(not tostring(run()):find "objective", "next alone goes without saying")
end

do -- the whole is the mean over all targets
  local by = objective.handle(objective.read("train", MIXED), tok)
  local f = small.fields({"tokens", "targets", "objectives"}, 64, 32)
  engine.batch(d, 1, 0, f, by)
  local counts = f.targets:ge(0):cast("f32"):sum(2)
  local r = run(MIXED, {batch = 64, steps = 1, eval_every = 0})
  local sum, all = 0, 0
  for number, name in ipairs(objective.names) do
    local mine = f.objectives:eq(number - 1):cast "f32"
    local n = (mine * counts):sum():item()
    sum, all = sum + n * last(r, "loss." .. name), all + n
  end
  t.near(sum / all, r.loss, 1e-5, "a step's loss is the mean over all its targets")
end

-- ---- accumulation is one batch ----

local function dense() -- without losses of micro-batches
  return model.dense{layers = 2, dim = 16, heads = 2, context = 32, vocab = tok, ffn_dim = 16}
end
for _, by in ipairs{"span", "prefix", MIXED} do
  local one = run(by, {batch = 8, steps = 3, eval_every = 0}, dense())
  local four = run(by, {batch = 2, accumulate = 4, steps = 3, eval_every = 0}, dense())
  t.near(four.loss, one.loss, 2e-5, "accumulated: the loss")
  t.near(four.grad_norm, one.grad_norm, 1e-4, "accumulated: the gradient")
  if type(by) == "table" then
    for name in t.sorted(by) do
      local a, step = last(one, "loss." .. name)
      local b, also = last(four, "loss." .. name)
      t.ok(step == also and math.abs(a - b) < 2e-5, "accumulated: the loss of " .. name)
    end
  end
  t.is(four.tokens, one.tokens, "and as many tokens, none of them padding")
end
t.ok(run("span", {steps = 1}).tokens <= 4 * 32, "padding is no token")
do -- and no mixture routes it
  nn.router("pads", {rule = "padding", doc = "what is padding", route = function(ctx)
    local padding = ctx:padding()
    nn.observe("padded", padding and padding:cast("f32"):sum() or ctx.x:sum() * 0)
    local p = ctx:logits():softmax(-1)
    local gates, experts = p:topk(ctx.K)
    return {gates = gates, experts = experts, scores = p}
  end})
  for by, some in t.sorted {span = true, prefix = false, next = false} do
    local r = run(by, {steps = 3, eval_every = 0}, make {router = "pads", context = 35})
    local padded, before = r:history "padded.1":table(), 0
    for _, row in ipairs(r:history "tokens":table()) do
      t.is(padded[row[1]][2], 4 * 35 - (row[2] - before), by .. ": padding of step " .. row[1])
      before = row[2]
    end
    t.is(before < 3 * 4 * 35, some, by .. ": is there any?")
  end
end

-- ---- a model with an encoder ----

model.define("reader", function(cfg)
  return function(ids, batch)
    local table = nn.param("table", {cfg.vocab, cfg.dim})
    local seen = nn.embedding(batch.inputs, table)
    local counts = batch.input_documents:ge(0):cast("f32"):unsqueeze(-1)
    local memory = (seen * counts):sum(2, {keep = true}) / 64
    return nn.head(nn.embedding(ids, table) + memory, nn.param("head", {cfg.vocab, cfg.dim}))
  end
end)
local function reader(S, T)
  return model.reader{vocab = tok, dim = 16, context = T, input_context = S}
end
for _, by in ipairs{"span", "prefix", {span = 1, prefix = 1}} do
  local r = run(by, {accumulate = 2}, reader(64, 32))
  t.is(r.state, "done", "an encoder reads, the decoder writes")
  t.near(r:eval(2), r.model:loss(d, {batches = 2, context = 32}), 1e-5, "evaluation likewise")
  local one = run(by, {batch = 8, steps = 2, eval_every = 0}, reader(64, 32))
  local four = run(by, {batch = 2, accumulate = 4, steps = 2, eval_every = 0}, reader(64, 32))
  t.near(four.loss, one.loss, 2e-5, "accumulated: the loss")
  t.is(four.tokens, one.tokens, "accumulated: tokens of both sides")
end
do
  local raw, inputs, targets = engine.span_lengths(64, 0.15, 3)
  t.is(raw .. " " .. inputs .. " " .. targets, "70 64 14", "lengths that T5 has for 64")
  local r = run("span", {batch = 2, steps = 3, eval_every = 0}, reader(64, 14))
  t.is(r.tokens, 3 * 2 * (64 + 14), "no token of T5's lengths is padding")
end
for _, by in ipairs{"next", "fim", {span = 1, next = 1}} do
  t.refuses(function() run(by, nil, reader(64, 32)) end, "nothing to read",
    "the model reads the field 'inputs', which it does not fill")
end
t.refuses(function() reader(64, 32):loss "a text" end, "a text alone",
  "the model reads the field 'inputs': a text alone has none")

-- ---- the same bits ----

local function straight(by, more) return run(by, more):hash() end
do
  local want = straight(MIXED, {steps = 14})
  local r = run(MIXED, {steps = 14, save = true, name = "mixed", paused = true})
  r:steps(8)
  r:wait()
  r:stop()
  r:close()
  r = train.resume "mixed"
  t.is(objective.text(r.objective), objective.text(objective.read("train", MIXED)),
    "the objective is in the run's configuration")
  r:wait()
  t.is(r:hash(), want, "resumed")
  local h = r:hash()
  r:rewind(6)
  r:resume():wait()
  t.is(r:hash(), h, "rewound")
  local f = r:fork{step = 9, name = "mixed-fork"}
  f:wait()
  t.is(f:hash(), h, "forked")
  t.ok(replay "mixed", "replayed")
  t.is(r:history("loss.fim"):equal(run(MIXED, {steps = 14}):history "loss.fim"), true,
    "losses apart, too")
end
do
  local want = "hash " .. straight(MIXED, {steps = 4, eval_every = 0})
  for _, way in ipairs{{"ref", 1}, {"ref", 3}, {"avx2", 2}} do
    local got = t.worker(way[1], way[2])
    t.ok(got:find(want, 1, true), ("%s kernels, %d threads: the same bits"):format(way[1], way[2]),
      got)
  end
end
t.is(straight("span", {sampling = "epoch"}), straight("span", {sampling = "epoch"}), "an epoch")
t.is(run("fim", {sampling = "sequential"}).state, "done", "in order")
do -- another context while it runs
  local r = run("span", {steps = 10, save = true, name = "shorter", paused = true})
  every(r, 1, function(self) if self.step == 4 then self.context = 24 end end)
  r:resume():wait()
  local h = r:hash()
  r:rewind(2)
  r:resume():wait()
  t.is(r:hash(), h, "a change of context is had again")
end

-- ---- what is refused ----

local function refuses(f, ...) t.refuses(f, select(1, ...), select(2, ...)) end
refuses(function() run "spam" end, "an unknown one", "unknown objective 'spam'", "'span'")
refuses(function() run{spam = 1} end, "in a mixture", "unknown objective 'spam'")
refuses(function() run{"span", densty = 0.2} end, "an unknown option", "unknown option 'densty'",
  "'density'")
refuses(function() run{"span", density = 2} end, "a value", "density must be from 0.01 to 0.9",
  "it is 2")
refuses(function() run{next = 0, fim = 1} end, "a share of 0", "'next': its share is 0")
refuses(function() run{} end, "none", "none is named")
refuses(function() run(7) end, "a number", "objective must be a name or a table, got number")
local plain = small.words(4000)
refuses(function() run("span", nil, make{vocab = 256}, plain) end, "no sentinels",
  "the tokenizer has no sentinels", "tokenizer.bytes{sentinels = 100}")
refuses(function() run("fim", nil, make{vocab = 256}, plain) end, "no tokens of fim",
  "tokenizer.bytes{fim = true}")
local ids = data.synthetic{domains = 2, tokens = 5000}
refuses(function() run("span", nil, make{vocab = ids.vocab}, ids) end, "no tokenizer",
  "the tokenizer has no sentinels")
refuses(function() run("span", {context = 3}) end, "a short row", "context is 3")
refuses(function() make():loss("a text", {objective = "span"}) end, "a text is read as it is",
  "objective has no effect on a text")
do
  local r = run("span", {paused = true})
  refuses(function() r.objective = "next" end, "it is fixed for the run", "objective")
  refuses(function() r.context = 3 end, "a context too short", "context is 3")
  t.is(r.context, 32, "and the run is unharmed")
  r:resume():wait()
  t.is(r.state, "done", "and goes on")
end
t.ok(make():loss(d, {objective = "span", batches = 1}) > 0, "m:loss by an objective of its own")
t.done()
