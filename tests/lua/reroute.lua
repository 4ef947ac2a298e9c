-- r.router = ...: another router on a live run: what stays, what begins, that the timeline repeats
-- it, and that what is refused changes nothing.  TAP.

local t = dofile((os.getenv "srcdir" or ".") .. "/tests/lua/tap.lua")
local small = dofile((os.getenv "srcdir" or ".") .. "/tests/lua/small.lua")
local engine = require "switchyard.engine"

local d = data.synthetic{domains = 4, tokens = 20000, seed = 1}
local BEGIN = {steps = 24, batch = 2, lr = 3e-3, warmup = 2, eval_every = 10, eval_batches = 1,
               checkpoint_every = 5}

local function make(more) return small.moe(t.with({layers = 2, vocab = d.vocab}, more)) end

-- ---- what stays and what begins ----

do
  local m = make()
  local r = small.run(m, d, t.with(BEGIN, {save = false, paused = true})):steps(3):wait()
  local gate = engine.clone(m.params["model.layers.0.mlp.gate.weight"]:detach())
  local hash, logits = r:hash(), m:logits{1, 2, 3}
  t.is(r.router, "softmax", "what it has")
  r.router = "softmax"
  t.is(#r:journal(), 0, "the same again is no change")
  r.router = "deepseek_v3"
  t.is(r.router .. " " .. m.cfg.router, "deepseek_v3 deepseek_v3", "the run and its model have it")
  t.is(m.params["model.layers.0.mlp.gate.weight"]:detach():hash(), gate:hash(), "the weight stays")
  local bias = m.states["model.layers.0.mlp.gate.e_score_correction_bias"]
  t.is(bias:table()[1], 0.0, "a state that is new begins")
  t.is(("%g %g %g"):format(r.aux, r.gamma, r.sequence), "0 0.001 0.0001",
    "coefficients are its own")
  local list = {}
  for _, e in ipairs(r:journal()) do list[#list + 1] = e.kind .. " " .. e.text end
  t.is(table.concat(list, ", "), "router router = deepseek_v3, input aux = 0, input z = 0",
    "the journal")
  r:steps(2):wait()
  t.ok(bias:table()[1] ~= 0, "which moves")
  t.ok(m:logits{1, 2, 3}:hash() ~= logits:hash(), "another function")
  local moved = bias:hash()
  r.router = {"deepseek_v3", groups = 2, keep = 1}
  t.is(r.router.groups, 2, "with options")
  t.is(m.states["model.layers.0.mlp.gate.e_score_correction_bias"]:hash(), moved,
    "a state that both have stays")
  r.layers[1].experts[2]:force{1}
  t.refuses(function() r.router = "top_p" end, "a router that cannot force tokens", "router",
    "gate.scale")
  t.is(r.router.groups, 2, "... is not had")
  r:steps(1):wait()
  t.ok(r.loss < 20 and r:hash() ~= hash, "it trains on")
  r:close()
  local path = t.scratch "model"
  assert(m:save(path))
  t.is(assert(model.load(path)):logits{1, 2, 3}:hash(), m:logits{1, 2, 3}:hash(),
    "saved and loaded")
end

-- ---- the timeline ----

do
  local hashes = {}
  local r = small.run(make{shared_experts = 1}, d, t.with(BEGIN, {name = "switched"}),
    function(r, step)
      hashes[step] = r:hash()
      if step == 4 then r.router = "sigmoid" end
      if step == 6 then r.top_k = 1 end
      if step == 8 then r.router = {"deepseek_v3", scale = 1.5} end
      if step == 9 then r.gamma = 0.01 end
      if step == 12 then r.layers[1].experts[1]:swap(2) end
      if step == 14 then r.router = "switch" end
      if step == 22 then r.router = "sigmoid" end
    end)
  local wrong = {}
  for _, step in ipairs {23, 21, 18, 17, 14, 13, 10, 9, 8, 7, 6, 5, 4, 2} do
    r:rewind(step)
    if r:hash() ~= hashes[step] then wrong[#wrong + 1] = step end
  end
  t.is(table.concat(wrong, " "), "", "rewind")
  t.is(r.router .. r.top_k, "softmax2", "to before it")
  r:resume():wait()
  t.is(r:hash(), hashes[24], "and on again")
  t.ok(replay("switched").identical, "replay: " .. tostring(replay "switched"))
  local f = r:fork{step = 16, name = "switched.fork", paused = true}
  t.is(f:hash() .. f.router, hashes[16] .. "switch", "fork")
  f:close()
  r:rewind(21) -- of a router that takes one expert, where two were at the beginning
  r:checkpoint()
  local logits = r.model:logits{1, 2, 3}:hash()
  t.is(r.router, "switch", "as it was then")
  r:close()
  t.is(runs "switched".model:logits{1, 2, 3}:hash(), logits, "of a stored run")
  local again = train.resume("switched", {steps = 25, paused = true})
  t.is(again:hash() .. again.router, hashes[21] .. "switch", "resume")
  again.router = "sigmoid"
  again:close()
  local out = t.child("--threads 1 replay switched", {environment = "SWITCHYARD_CPU=ref"})
  t.ok(out:find "identical through step 21", "one thread, the reference kernels: " .. out)
end

-- ---- what is refused changes nothing ----

do
  local m = make()
  local r = small.run(m, d, t.with(BEGIN, {save = false, paused = true})):steps(3):wait()
  local hash, inputs = r:hash(), #m._input_names
  for _, case in ipairs {
    {"noisy_topk", "has a parameter model.layers.0.mlp.gate.noise.weight"},
    {"hash", "has no parameter model.layers."}, {"base", "top_k is 2"},
    {"expert_choice", "cannot train for the next token"}, {"softmaxx", "unknown router"},
    {{"deepseek_v3", groups = 9}, "4 experts in 9 groups"}, {5, "must be a name"},
    {{"softmax", frozen = true}, "r.layers[l].router:freeze()"},
    {{"softmax", scale = 2}, "unknown option 'scale'"},
  } do
    t.refuses(function() r.router = case[1] end, "refused: " .. case[2], case[2])
  end
  t.is(("%s %s %d %d"):format(r.router, r:hash(), #r:journal(), #m._input_names),
    ("softmax %s 0 %d"):format(hash, inputs), "nothing has changed")
  r:steps(1):wait()
  r:close()
  r = train(model.dense{vocab = d.vocab, layers = 1, dim = 16, heads = 2, context = 16}, d,
    t.with(BEGIN, {save = false, paused = true}))
  t.refuses(function() r.router = "softmax" end, "a dense model", "router: model.dense has no")
  r:close()
end

t.done()
