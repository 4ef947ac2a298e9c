-- lua/lab/probe.lua: what a probe shows is what the model does, and the model stays as it is.
local srcdir = os.getenv "srcdir" or "."
local t = dofile(srcdir .. "/tests/lua/tap.lua")
local small = dofile(srcdir .. "/tests/lua/small.lua")
local engine = require "switchyard.engine"
local probe = require "switchyard.lab.probe"

local tok = tokenizer.bytes()
local ids = tok:encode "The quick brown"
local T = #ids - 1
local ROUTERS = {"softmax", "switch", "deepseek_v3", "hash", "relu", "expert_choice", "top_p",
                 "expert_threshold", "gpt_oss", "zero_experts"}

local function made(router)
  return small.moe{layers = 2, vocab = tok, router = router, top_k = router == "switch" and 1 or 2}
end

local function probe_of(m, more)
  local p = probe.new(m, t.with({length = T, logits = true}, more))
  return p:put({table.move(ids, 1, T, 1, {})}, {table.move(ids, 2, T + 1, 1, {})})
end

for _, router in ipairs(ROUTERS) do
  local m = made(router)
  local logits = m:logits(table.move(ids, 1, T, 1, {}))
  for _, more in ipairs {{}, {output = true}, {instead = true}} do
    local p = probe_of(m, more):run()
    t.ok(p.logits:equal(logits), ("%s: logits are those without a probe%s"):format(router,
      next(more) and ", with " .. next(more) or ""))
  end
  local p = probe_of(m, {output = true}):run()
  t.near(p.losses:sum():item() / T, m:loss(ids), 2e-6, router .. ": losses add up to the model's")
  t.is(#p.mixtures, 2, router .. ": a mixture a layer")
  local x = p.mixtures[2]
  t.is(x.label .. " " .. x.place .. " " .. x.router, "layer 2 2 " .. router, "named")
  t.ok(x.gates:gt(0):logical_and(x.experts:eq(0)):sum():item() == 0,
    router .. ": no gate without an expert")
  t.ok(x.output:gt(0):equal(x.placed:gt(0):logical_and(x.experts:le(x.E))), router
    .. ": what each choice adds is something where an expert was asked")
end

-- against numbers: softmax over x W^T of the layer's input is what scores are
local m = made "softmax"
local p = probe_of(m):run()
for _, x in ipairs(p.mixtures) do
  t.ok(x.scores:allclose(x.logits:softmax(-1), 1e-6, 1e-7), x.label .. ": scores of logits")
  local _, experts = x.logits:topk(2, -1)
  t.ok(x.experts:equal(experts), x.label .. ": the two largest")
end

-- other experts in their place: 3 and 4 of every token are what a mask of 1 and 2 leaves
local function masked(inputs)
  engine.put(inputs["mask.1"], {-math.huge, -math.huge, 0, 0})
end
local without = probe_of(m):run(masked)
local chosen = without.mixtures[1].experts:table()
local other, flat = probe_of(m, {instead = true}), {}
for i, row in ipairs(chosen) do flat[2 * i - 1], flat[2 * i] = row[1], row[2] end
engine.put(other.mixtures[1].instead, flat)
other:run()
t.ok(other.mixtures[1].experts:equal(without.mixtures[1].experts), "experts that are put in")
t.ok(other.mixtures[1].gates:allclose(without.mixtures[1].gates, 1e-6, 1e-7),
  "gates by the router's own rule")
t.near(other.loss:item(), without.loss:item(), 1e-6, "and the loss is that of the mask")
t.ok(other.loss:item() ~= p.loss:item(), "which is another one")
t.ok(probe_of(m):run().losses:equal(p.losses), "the next is without")

-- data: the windows of m:loss
local d = small.words(4000, tok)
local q, sum, shares, rows = probe.new(m, {rows = 3, length = 16, data = d}), 0, 0, 0
q:over(2, function(now, n, share)
  sum, shares, rows = sum + now.loss:item() * share, shares + share, rows + n
end)
t.near(sum, m:loss(d, {batches = 2, batch = 3}), 1e-6, "loss over data is m:loss")
t.near(shares, 1, 1e-9, "shares add up to 1")
t.ok(rows > 3, "in several batches")

-- a run that goes on
local r = train(m, d, {steps = 100000, batch = 2, save = false, eval_every = 0})
t.ok(t.poll(function() return r.step > 3 end), "the run goes on")
probe_of(m):run()
local at = r.step
t.ok(t.poll(function() return r.step > at end), "and goes on after a probe")
r:stop():wait()
r:close()

-- capacity: what found no place
local c = small.moe{vocab = tok, top_k = 1, capacity = {train = 1, eval = 0.25}}
local full = probe_of(c):run().mixtures[1]
local lost = full.placed:eq(0):cast("f32"):sum():item()
t.ok(lost >= T - 4 and full.experts:gt(0):cast("f32"):sum():item() == T,
  "dropped choices are told: an expert has one slot")

t.refuses(function() probe.new(m, {length = T, row = 2}) end, "unknown options",
  "did you mean 'rows'")
t.done()
