-- r:ablate and saturation: against losses of a model whose mask is set by hand, and how many
-- evaluations are made; what the run is does not change.
local srcdir = os.getenv "srcdir" or "."
local t = dofile(srcdir .. "/tests/lua/tap.lua")
local small = dofile(srcdir .. "/tests/lua/small.lua")
local engine = require "switchyard.engine"
local probe = require "switchyard.lab.probe"

local tok = tokenizer.bytes()
local d = small.words(6000, tok)
local other = data.string(("zu viele köche verderben den brei "):rep(300), {tokenizer = tok})
local mix = data.mix{{d, 0.5}, {other, 0.5}}

local function made(more)
  return small.moe(t.with({layers = 2, dim = 32, vocab = tok}, more))
end

-- A model that has learned something, by a run that is over.
local function learned(more)
  local m = made(more)
  train(m, mix, {steps = 60, batch = 4, lr = 3e-3, eval_every = 0, save = false}):wait():close()
  return m
end

local function numbers(x)
  local list = {}
  for i, v in ipairs(x:view(-1):table()) do list[i] = ("%.17g"):format(v) end
  return table.concat(list, " ")
end

local m = learned()
if arg[1] == "worker" then
  local a = m:ablate{data = mix, batches = 1}
  for _, layer in ipairs(a.layers) do
    print(numbers(layer.delta), numbers(layer.by), numbers(layer.saliency))
  end
  os.exit(true)
end

-- ---- how many evaluations ----

local Probe = getmetatable(probe.new(m, {length = 4})).__index
local over, calls = Probe.over, 0
function Probe.over(...)
  calls = calls + 1
  return over(...)
end
local a = m:ablate{data = mix, batches = 2}
t.is(calls, 2 * 4 + 1, "evaluations: layers x experts + 1 and no more")
t.is(a.evaluations, calls, "as the table says")
Probe.over = over

-- ---- against masks by hand ----

local O = {batches = 2, batch = 16}
t.near(a.loss, m:loss(mix, O), 1e-12, "the loss as it is")
for l, layer in ipairs(a.layers) do
  local mask = m.inputs["mask." .. l]
  for e = 1, 4 do
    local off = {0, 0, 0, 0}
    off[e] = -math.huge
    engine.put(mask, off)
    t.near(layer.delta[e], m:loss(mix, O) - a.loss, 1e-12, ("layer %d without %d"):format(l, e))
    engine.put(mask, {0, 0, 0, 0})
  end
end
t.near(m:loss(mix, O), a.loss, 0, "the model is as it was")
t.is(#a.layers[1].reasons, 0, "no expert was left out")

-- domains: each source's own loss, over all windows
local all = m:ablate{data = mix, batches = 1000}
t.is(table.concat(all.domains, " "), "1 2", "sources of a mix")
t.near(all.by[1], m:loss(d, {batches = 1000}), 1e-5, "the loss of a source")
t.near(all.by[2], m:loss(other, {batches = 1000}), 1e-5, "and of the other")
local mask = m.inputs["mask.1"]
engine.put(mask, {0, -math.huge, 0, 0})
t.near(all.layers[1].by[2][2], m:loss(other, {batches = 1000}) - all.by[2], 1e-5,
  "and without an expert")
engine.put(mask, {0, 0, 0, 0})
t.ok(m:ablate{data = d, batches = 1}.layers[1].by == nil, "one source has no matrix")

-- saliency by hand
local p = probe.new(m, {rows = 16, length = 16, data = mix, output = true})
local sum, n, choices = 0, 0, 0
p:over(2, function(_, rows)
  local x = p.mixtures[2]
  local experts, norms = x.experts:view(-1):table(), x.output:view(-1):table()
  for i = 1, rows * 16 * 2 do
    choices = choices + 1
    if experts[i] == 3 then sum, n = sum + norms[i], n + 1 end
  end
end)
t.near(a.layers[2].saliency[3], sum / n, 1e-12, "saliency: mean of what it adds to its tokens")
t.near(a.layers[2].load[3], n / choices, 1e-12, "and its load")

-- ---- what cannot be disabled ----

engine.put(mask, {-math.huge, -math.huge, 0, 0})
local short = m:ablate{data = d, batches = 1}
t.is(short.evaluations, 4 + 1, "what cannot be disabled is not evaluated")
t.is(short.layers[1].reasons[1], "it is disabled already", "disabled before")
t.is(short.layers[1].reasons[3], "1 of 4 experts would remain, a token needs 2", "too few")
t.ok(short.layers[1].delta[3] ~= short.layers[1].delta[3], "which has no number")
t.ok(tostring(short):find("would remain", 1, true), "and is said")
engine.put(mask, {0, 0, 0, 0})

for _, router in ipairs {"hash", "random", "expert_choice", "relu", "top_p"} do
  local x = made{layers = 1, router = router, top_k = router == "hash" and 1 or 2}
  t.is(x:ablate{data = d, batches = 1}.evaluations, 5, router .. ": by its mask")
end

-- ---- a run ----

local r = train(made(), mix, {steps = 100000, batch = 2, eval_every = 0, save = false})
t.poll(function() return r.step > 3 end)
r:ablate{batches = 1}
local at = r.step
t.poll(function() return r.step > at end)
t.is(r.state, "running", "a run goes on")
r:pause()
t.poll(function() return r.state == "paused" end)
local hash, step = r:hash(), r.step
local of_run = r:ablate{batches = 2}
t.ok(r:hash() == hash and r.step == step and r.state == "paused", "and is what it was")
t.near(of_run.loss, r._m:loss(mix, O), 1e-12, "its data are the run's")
r.layers[2].experts[4]:force{32}
t.near(r:ablate{batches = 2}.loss, r._m:loss(mix, O), 1e-12, "with what surgery did to it")
r:stop():wait()
r:close()
t.refuses(function() r:ablate() end, "a run that is gone", "ablate: run", "is closed")

-- ---- saturation ----

local s = train(made(), mix, {steps = 40, batch = 2, eval_every = 0, checkpoint_every = 0,
                              keep = 10, name = "saturated", paused = true})
for i = 10, 40, 10 do
  s:steps(10):wait(i)
  t.poll(function() return s.state ~= "running" end)
  s:checkpoint()
end
local of = saturation(s, 40, {batches = 1})
t.is(numbers(of.saturation), "1 1", "a checkpoint with itself")
local early = saturation(s, nil, {batches = 1})
t.is(table.concat(early.steps, " "), "10 20 30", "all before")
t.is(early.chance[1], 0.5, "K/E by chance")

-- by hand: the model of step 10, from a run that ends there
local ten = made()
train(ten, mix, {steps = 40, batch = 2, eval_every = 0, save = false, paused = true}):steps(10)
  :wait(10)
local function experts_of(x)
  local q, list = probe.new(x, {rows = 16, length = 16, data = mix}), {}
  q:over(1, function() list = q.mixtures[1].experts:table() end)
  return list
end
local now, before, same = experts_of(s._m), experts_of(ten), 0
for i, row in ipairs(now) do
  for _, e in ipairs(row) do
    same = same + ((e == before[i][1] or e == before[i][2]) and 1 or 0)
  end
end
t.near(early.saturation[1][1]:item(), same / (2 * #now), 1e-12, "as a probe of both shows")
t.ok(early:save(t.scratch "s.csv") and early:save(t.scratch "s.svg"), "written")
t.refuses(function() saturation(s, 15) end, "no checkpoint", "no checkpoint of step 15",
  "10, 20, 30, 40")
t.refuses(function() saturation(m, 10) end, "no run", "takes a run with a directory")
t.refuses(function() saturation(s, {}) end, "no step", "got none")
s:close()
local dead = runs "saturated"
t.is(numbers(saturation(dead, 10, {batches = 1}).saturation), numbers(early.saturation[1]),
  "of a stored run the same")
t.is(dead:ablate{batches = 1}.evaluations, 9, "which is ablated as well")

-- ---- files, threads, refusals ----

t.ok(all:save(t.scratch "a.csv") and all:save(t.scratch "a.svg"), "csv and svg")
t.ok(t.read(t.scratch "a.csv"):find("layer 1,1,2,", 1, true), "with the causal matrix")
local bits = t.worker("ref", 1)
t.ok(bits:find "[%d.e -]+\t[%d.e -]+\t[%d.e -]+\n", "bits", bits)
t.is(t.worker("ref", 2):match "0%.[^\n]*\n[^\n]*\n$", bits:match "0%.[^\n]*\n[^\n]*\n$",
  "the same on 1 and 2 threads")
t.refuses(function() m:ablate() end, "no data", "takes a data set, {data = d}")
t.refuses(function() m:ablate{data = d, batchs = 1} end, "options", "'batches'")
t.refuses(function()
  model.dense{layers = 1, dim = 16, heads = 2, context = 16, vocab = tok, ffn_dim = 16}
    :ablate{data = d}
end, "dense", "no mixture")
t.done()
