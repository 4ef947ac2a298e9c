-- clone, swap and merge of experts of a live run: what becomes of parameters, of what the optimizer
-- keeps, of masks and states; that the timeline repeats them bit for bit; and what is refused.
-- TAP.

local t = dofile((os.getenv "srcdir" or ".") .. "/tests/lua/tap.lua")
local small = dofile((os.getenv "srcdir" or ".") .. "/tests/lua/small.lua")
local engine = require "switchyard.engine"

local d = data.synthetic{domains = 4, tokens = 20000, seed = 1}

local function make(more)
  return small.moe(t.with({layers = 2, vocab = d.vocab}, more))
end

local BEGIN = {steps = 20, batch = 2, lr = 3e-3, warmup = 2, eval_every = 10, eval_batches = 1,
               checkpoint_every = 7}

local function run(name, m, f, more)
  return small.run(m, d, t.with(BEGIN, {name = name}, more), f)
end

-- A run that is paused after a few steps, in memory.
local function paused(name, m, more)
  return small.run(m, d, t.with(BEGIN, {name = name, save = false, paused = true}, more)):steps(6)
    :wait()
end

-- By name: what the mixture of layer l has of expert e, parameters and what AdamW keeps of them.
local function parts(r, l, e)
  local path, out = r.dir, {}
  local m = r._m
  for i, info in ipairs(m._info) do
    if info.layer == l and m.params[i].shape[1] == 4 and info.name:find("mlp.", 1, true) then
      out[info.name] = engine.clone(m.params[i]:detach()[e]:contiguous())
    end
  end
  for name, state in pairs(m.states) do
    if name:find(("layers.%d."):format(l - 1), 1, true) then out[name] = state[e]:item() end
  end
  if path then -- what is kept, as a checkpoint has it
    local at = assert(r:checkpoint())
    for name, x in pairs(tensor.load(at .. "/optimizer.safetensors")) do
      local of = name:match "^(.*)%.[mv]$"
      if of and out[of] then out[name] = engine.clone(x[e]:contiguous()) end
    end
  end
  return out
end

local function same(a, b)
  local different, n = {}, 0
  for name, x in pairs(a) do
    n = n + 1
    local equal = type(x) == "number" and x == b[name]
      or type(x) ~= "number" and x:hash() == b[name]:hash()
    if not equal then different[#different + 1] = name end
  end
  return table.concat(different, " "), n
end

-- ---- by hand ----

do
  local r = run("hand", make{router = "deepseek_v3", expert_bias = true, shared_experts = 1}, nil,
    {paused = true}):steps(6):wait()
  local one, two, other = parts(r, 2, 1), parts(r, 2, 3), parts(r, 1, 3)
  local _, n = same(one, one)
  t.ok(n == 3 * (6 + 1) + 1, "parameters, moments and states are seen: " .. n)
  t.ok(same(one, two) ~= "", "two experts are two")
  local x = r.layers[2].experts[1]
  t.ok(rawequal(x:clone(3), x), "a verb gives the expert")
  t.is(same(one, parts(r, 2, 3)), "", "clone: parameters, biases, row, state, moments")
  t.is(same(one, parts(r, 2, 1)), "", "... of an expert that stays")
  t.is(same(other, parts(r, 1, 3)), "", "... of this layer alone")
  local e = r:journal()[#r:journal()]
  t.is(e.kind .. ": " .. e.text, "clone: clone L2 1->3", "its entry")
  t.is(tostring(x), "layer 2 expert 1 of run hand: enabled; clone L2 1->3", "it prints that")
  x:clone(2, {noise = 0.01, router = false})
  local copy = parts(r, 2, 2)
  local name = "model.layers.1.mlp.experts.up_proj.weight"
  local off = (copy[name] - one[name]):pow(2):mean():sqrt():item()
    / one[name]:pow(2):mean():sqrt():item()
  t.ok(off > 0.008 and off < 0.012, "noise is relative: " .. off)
  name = "model.layers.1.mlp.gate.weight"
  t.ok(copy[name]:hash() ~= one[name]:hash(), "router = false: its row is its own")

  one, two = parts(r, 2, 2), parts(r, 2, 4)
  local logits = r._m:logits{1, 2, 3, 4}:clone()
  local loss = r:eval(1)
  r.layers[2].experts[2]:disable()
  r.layers[2].experts[4]:freeze()
  r.layers[2].experts[2]:enable()
  r.layers[2].experts[2]:swap(4)
  t.is(same(one, parts(r, 2, 4)), "", "swap: there")
  t.is(same(two, parts(r, 2, 2)), "", "... and back")
  local apart = (r._m:logits{1, 2, 3, 4} - logits):abs():max():item()
  t.ok(apart < 1e-6, "... nothing else is computed: " .. apart)
  t.near(r:eval(1), loss, 1e-6, "... nor another loss")
  t.ok(tostring(r.layers[2].experts[2]):find "frozen"
    and not tostring(r.layers[2].experts[4]):find "frozen", "... the frozen one goes along")
  r.layers[2].experts[2]:unfreeze()
  r.layers[2].experts[1]:disable()
  r.layers[2].experts[1]:swap(r.layers[2].experts[3])
  t.ok(tostring(r.layers[2].experts[3]):find "disabled"
    and tostring(r.layers[2].experts[1]):find "enabled", "... and a mask")
  r.layers[2].experts[3]:enable()

  one, two = parts(r, 2, 1), parts(r, 2, 4)
  r.layers[2].experts[1]:merge(4, {share = 0.25})
  local now = parts(r, 2, 1)
  local worst = 0
  for key, v in pairs(now) do
    local want = one[key] * 0.25 + two[key] * 0.75
    local diff = type(v) == "number" and math.abs(v - want) or (v - want):abs():max():item()
    worst = math.max(worst, diff)
  end
  t.ok(worst < 1e-7, "merge: the mean of both, moments too: " .. worst)
  t.is(same(two, parts(r, 2, 4)), "", "... of which the other stays")
  t.ok(tostring(r.layers[2].experts[4]):find "disabled", "... and is disabled")
  r:steps(2):wait()
  t.ok(r.loss < 20 and r.layers[2].load[4]:item() == 0, "and it trains on")
  t.raises(function() r.layers[2].experts[1]:merge(3, {share = 0.5}):merge(2) end,
    "merge: 1 of 4 experts would remain in layer 2", "too few would remain")
  r.layers[2].experts[4]:enable()
  r._m.params["model.layers.1.mlp.experts.up_proj.weight"][4]:fill(0 / 0)
  one = parts(r, 2, 1)
  r.layers[2].experts[1]:merge(4, {share = 1, router = false})
  t.is(same(one, parts(r, 2, 1)), "", "merge of nothing of one that is not finite")
  r:close()
end

-- ---- the timeline ----

local function interventions(hashes)
  return function(r, step)
    local l = r.layers
    hashes[step] = r:hash()
    if step == 3 then l[1].experts[2]:clone(4, {noise = 1e-2}) end
    if step == 5 then l[2].experts[1]:swap(3) end
    if step == 9 then l[1].experts[1]:merge(3, {share = "load"}) end
    if step == 11 then l[1].experts[3]:enable():reset() end
    if step == 13 then l[2].experts[2]:clone(1):swap(4) end
  end
end

for _, case in ipairs {
  {"softmax", {}}, {"deepseek_v3", {expert_bias = true, shared_experts = 1}, {optimizer = "muon"}},
  {"noisy_topk", {}, {optimizer = "adafactor"}},
} do
  local name, more, o = table.unpack(case)
  local hashes, again = {}, {}
  local r = run(name, make(t.with(more, {router = name})), interventions(hashes), o)
  local wrong = {}
  for _, step in ipairs {19, 13, 12, 10, 9, 6, 5, 4, 3, 2} do
    r:rewind(step)
    if r:hash() ~= hashes[step] then wrong[#wrong + 1] = step end
  end
  t.is(table.concat(wrong, " "), "", name .. ": rewind")
  r:resume():wait()
  t.is(r:hash(), hashes[20], name .. ": and on again")
  t.ok(replay(name).identical, name .. ": replay: " .. tostring(replay(name)))
  local f = r:fork{step = 12, name = name .. ".fork", paused = true}
  t.is(f:hash(), hashes[12], name .. ": fork")
  f:close()
  r:close()
  again = train.resume(name, {steps = 21, paused = true})
  t.is(again:hash(), hashes[20], name .. ": resume")
  again:close()
end

-- ---- what is refused changes nothing ----

do
  local r = paused("refused", make())
  local x, before, n = r.layers[1].experts[2], r:hash(), #r:journal()
  t.refuses(function() x:clone(9) end, "an expert that is not there", "clone", "no expert 9 in L1",
    "1 to 4")
  t.refuses(function() x:clone(2) end, "itself", "clone: expert 2 and itself")
  t.refuses(function() x:clone() end, "no number", "clone: takes the number of an expert, got nil")
  t.refuses(function() x:swap(r.layers[2].experts[1]) end, "of another layer",
    "swap: both must be experts of one layer")
  t.refuses(function() x:clone(1, {nois = 1}) end, "an option", "clone", "did you mean 'noise'")
  t.refuses(function() x:clone(1, {noise = -1}) end, "noise", "noise")
  t.refuses(function() x:merge(1, {share = 2}) end, "share", "merge", "share")
  x:freeze()
  n = n + 1
  t.refuses(function() r.layers[1].experts[1]:clone(2) end, "clone to a frozen one",
    "clone: L1 expert 2 is frozen")
  t.refuses(function() x:merge(1) end, "merge of a frozen one", "merge: L1 expert 2 is frozen")
  t.refuses(function() r.layers[1].experts[1]:merge(2) end, "merge with a frozen one",
    "merge: L1 expert 2 is frozen")
  x:unfreeze()
  r.layers[1].router:freeze()
  n = n + 2
  t.refuses(function() x:clone(1) end, "a frozen router", "router = false")
  t.is(r:hash(), before, "nothing has changed")
  t.is(#r:journal(), n, "and nothing is written down")
  r.layers[1].router:unfreeze()
  rawset(r, "_busy", "rewound")
  t.refuses(function() x:clone(1) end, "while it is rewound", "run 'refused' is being rewound")
  rawset(r, "_busy", nil)
  t.refuses(function() r.layers[1].experts[1]:disable():merge(2) end, "of a disabled one",
    "merge: L1 expert 1 is disabled")
  r:close()
  t.refuses(function() x:swap(1) end, "a run that is closed", "closed")
  t.refuses(function() x:reset() end, "... reset too", "closed")
end

for _, case in ipairs {
  {"hash", {router = "hash"}, 3, "by token id"},
  {"groups", {router = {"deepseek_v3", groups = 2, keep = 1}}, 3, "two of the 2 groups"},
  {"zero_experts", {router = "zero_experts"}, 3, "rows beyond the E"},
} do
  local r = paused("order-" .. case[1], make(case[2]))
  t.refuses(function() r.layers[1].experts[1]:swap(case[3]) end, case[1] .. ": order matters",
    "swap: ", case[4])
  r.layers[1].experts[1]:clone(2)
  r:steps(1):wait()
  r:close()
end

do
  local r = paused("dense", model.dense{vocab = d.vocab, layers = 1, dim = 16, heads = 2,
    context = 16})
  t.is(r.layers[1].experts, nil, "a dense layer has no experts")
  r:close()
end

-- ---- kill -9, and threads ----

local SCRIPT = [[
  local d = data.synthetic{domains = 4, tokens = 20000, seed = 1}
  local m = model.moe{layers = 2, dim = 16, heads = 2, context = 16, experts = 4, top_k = 2,
    expert_dim = 16, vocab = d.vocab, router = "deepseek_v3"}
  local r = train(m, d, {steps = 14, batch = 2, lr = 3e-3, warmup = 2, name = arg[1], paused = true,
    checkpoint_every = 4})
  every(r, 1, function(r)
    if r.step == 6 then r.layers[1].experts[2]:clone(4, {noise = 1e-2}):swap(3) end
    if r.step == 7 then r.layers[2].experts[2]:merge(4) end
    if r.step == 9 and arg[2] then r._store:flush() os.execute "kill -9 $PPID" end
  end)
  r:resume():wait()
  print(r:hash())
]]

do
  local script = t.write(t.scratch "killed.lua", SCRIPT)
  local function hash(out) return out:match "(%x+)\n$" end
  local whole = hash(t.child(("--threads 1 '%s' whole"):format(script)))
  t.ok(whole, "a script")
  t.is(hash(t.child(("--threads 2 '%s' two"):format(script))), whole, "two threads")
  t.child(("'%s' killed die"):format(script))
  local out = t.child [[-e 'r = train.resume "killed"; r:wait(); print(r:hash())']]
  t.is(hash(out), whole, "killed after the verbs, resumed: " .. out:sub(1, 200))
  out = t.child "replay killed"
  t.ok(out:find "identical through step 14", "and replayed: " .. out)
end

t.done()
