-- Forms of experts and feed-forward layers, what parameters begin with, padding, the router's
-- precision.  TAP.

local own = dofile((os.getenv "srcdir" or ".") .. "/tests/lua/own_routers.lua")
local t, d, moe, says = own.t, own.data, own.moe, own.says
local ok, is, with, C, E, V, values = t.ok, t.is, t.with, own.C, own.E, own.V, t.values
local engine = require "switchyard.engine"
local F = 8

-- ---- what a parameter begins with ----

local function drawn(init, shape, seed, name)
  model.define("drawn", function()
    return function(ids)
      local w = nn.param(name or "w", shape or {64, 100}, init)
      return nn.linear(nn.embedding(ids, nn.param("e", {V, 4})), nn.param("h", {V, 4}))
        + w:sum() * 0
    end
  end)
  return model.drawn({vocab = V, seed = seed or 3}).params[name or "w"]:detach()
end

local function moments(w)
  local x = w:view(-1)
  return x:mean():item(), math.sqrt(x:square():mean():item()), x:abs():max():item()
end

for form, golden in t.sorted {truncated = "8da0", uniform = "d806", orthogonal = "59fe",
                              normal = "80ee"} do
  local w = drawn {form, 0.5}
  ok(w:hash() == drawn({form, 0.5}):hash(), form .. ": a function of seed and name")
  ok(w:hash() ~= drawn({form, 0.5}, nil, 4):hash(), form .. ": of the seed")
  ok(w:hash() ~= drawn({form, 0.5}, nil, 3, "v"):hash(), form .. ": of the name")
  t.near(moments(w), 0, 0.02, form .. ": mean 0")
  is(w:hash():sub(1, 4), golden, form .. ": golden bits")
end
do
  local _, std, most = moments(drawn({"truncated", 0.5}, {300, 300}))
  t.near(std / 0.5, 0.87962566, 0.01, "truncated: its deviation")
  ok(most <= 1 and most > 0.99, "truncated: at most two deviations", most)
  _, std, most = moments(drawn({"uniform", 0.5}, {300, 300}))
  t.near(std, 0.5 / math.sqrt(3), 0.01, "uniform: its deviation")
  ok(most <= 0.5 and most > 0.499, "uniform: within its bound", most)
  _, std = moments(drawn({"normal", 0.5}, {300, 300}))
  t.near(std, 0.5, 0.01, "normal: its deviation")
  for _, shape in ipairs {{5, 40}, {40, 5}, {7, 7}, {3, 5, 12}, {1, 6}} do
    local w, gain = drawn({"orthogonal", 0.1}, shape), 0.1 * 0.1
    for i = 1, #shape == 3 and shape[1] or 1 do
      local q = #shape == 3 and w[i] or w
      if q.shape[1] > q.shape[2] then q = q:permute({2, 1}):contiguous() end
      local off = t.furthest(q:linear(q), tensor.eye(q.shape[1]) * gain)
      ok(off < 1e-8, ("orthogonal (%s)"):format(table.concat(shape, ", ")), off)
    end
  end
  is(drawn(0.02):hash(), drawn():hash(), "a number is as it was")
end

local function init_refused(init, shape, said)
  t.refuses(function() drawn(init, shape) end, said, "param: init of 'w' ", said)
end
init_refused({"orthogonal", 1}, {5}, "is orthogonal, which a matrix can be: its shape is (5)")
init_refused({"normal"}, nil, "it is {normal, nil}")
init_refused({"zeros", 1}, nil, "it is {zeros, 1}")
init_refused({"gauss", 1}, nil, "it is {gauss, 1}")
init_refused("uniform", nil, "it is uniform")
init_refused({"uniform", -1}, nil, "must be at least 0: it is {uniform, -1}")

-- ---- one expert is the dense layer of its form ----

local ids = {1, 5, 2, 7, 3, 3}
local function losses(m, more)
  local r = train(m, d, with(with(own.TRAIN, {clip = 0}), more)):wait()
  local hash = r:history("loss"):hash()
  r:close()
  return hash
end

-- Without the steps' numbers.
local function randomly(m) -- biases, too
  for i, p in ipairs(m.params) do
    if m._info[i].name:find "bias" then engine.copy(p, tensor.randn(p.shape, {seed = i}) * 0.5) end
  end
end

model.define("with_bias", function(cfg) -- model.dense has no biases
  return function(tokens)
    local x = nn.embedding(tokens, nn.param("embed", {V, C}, 1.0))
    local y = nn.layer(1, function() return nn.scope("mlp", cfg.layer, x) end)
    return nn.linear((x + y):view(-1, C), nn.param("head", {V, C}, 0.2))
  end
end)

-- Of gated forms a dense layer adds the gradients of its input that come by gate and up, experts go
-- on from one to the other: they are apart by a rounding.
local function furthest_of(dense, one)
  local worst = 0
  for i, info in ipairs(dense._info) do
    local p = one.params[info.name:gsub("mlp%.(%w+_proj)", "mlp.experts.%1")]
    worst = math.max(worst, t.furthest(p, dense.params[i]:view(table.unpack(p.shape))))
  end
  return worst
end

local function same_as_one(what, dense, one, gated)
  randomly(dense)
  for i, info in ipairs(dense._info) do
    local p = one.params[info.name:gsub("mlp%.(%w+_proj)", "mlp.experts.%1")]
    engine.copy(p, dense.params[i]:view(table.unpack(p.shape)))
  end
  is(one:logits(ids):hash(), dense:logits(ids):hash(), what .. ": one expert is the dense layer")
  local sgd = {optimizer = "sgd", lr = 0.1}
  local a, b = losses(one, sgd), losses(dense, sgd)
  if not gated then is(a, b, what .. ": through four steps") end
  local off = furthest_of(dense, one)
  ok(off <= (gated and 1e-6 or 0), what .. ": its parameters after four steps", off)
end

local QUIET = {aux = 0, z = 0}
for _, activation in ipairs {"silu", "gelu", "gelu_tanh", "relu", "relu2", "swiglu_oai"} do
  for _, gated in ipairs {true, false} do
    if gated or activation ~= "swiglu_oai" then
      local form = {activation = activation, gated = gated}
      local what = activation .. (gated and ", gated" or ", plain")
      same_as_one(what, model.dense(with(own.DENSE, with(form, {ffn_dim = F}))),
        moe(with(form, {experts = 1, top_k = 1, balance = QUIET})), gated)
      local function biased(layer)
        return model.with_bias {vocab = V, context = 16, layer = layer}
      end
      same_as_one(what .. ", biases",
        biased(function(x) return nn.ffn(x, F, with(form, {bias = true})) end),
        biased(function(x)
          return nn.moe(x, with(form, with(QUIET, {expert_bias = true, experts = 1, top_k = 1,
                                                   expert_dim = F})))
        end), gated)
    end
  end
end

-- ---- many experts in plain operations, biases and all ----

local function oai(g, u)
  local one = g:lt(7):where(g, g * 0 + 7)
  local two = u:lt(7):where(u, u * 0 + 7)
  two = two:gt(-7):where(two, u * 0 - 7)
  return one / (1 + (one * -1.702):exp()) * (two + 1)
end

local function plain_experts(x, gated)
  local p = x:linear(nn.param("gate.weight", {E, C})):softmax(-1)
  local taken, y = p:ge(p:topk(2, -1):min(2, true)), nil
  local gates = own.only(taken, p)
  gates = gates / gates:sum(-1, true)
  local function project(v, name, e, rows, columns)
    local w = nn.param("experts." .. name .. "_proj.weight", {E, rows, columns})
    local b = nn.param("experts." .. name .. "_proj.bias", {E, rows}, "zeros")
    return v:linear(w:narrow(1, e, 1):view(rows, columns)) + b:narrow(1, e, 1)
  end
  for e = 1, E do
    local up = project(x, "up", e, F, C)
    local h = gated and oai(project(x, "gate", e, F, C), up) or up:relu()
    local out = project(h, "down", e, C, F) * gates:narrow(2, e, 1)
    y = y and y + out or out
  end
  return y
end

for _, gated in ipairs {true, false} do
  local form = {activation = gated and "swiglu_oai" or "relu", gated = gated, expert_bias = true}
  local function of(layer) return model.with_bias {vocab = V, context = 16, layer = layer} end
  local a = of(function(x)
    return nn.moe(x, with(form, with(QUIET, {experts = E, top_k = 2, expert_dim = F})))
  end)
  local b = of(function(x)
    return plain_experts(x:view(-1, C), gated):view(table.unpack(x.shape))
  end)
  randomly(a)
  for i, info in ipairs(a._info) do
    -- large, so that the clamp has something to do
    if info.name:find "weight" then engine.copy(a.params[i], a.params[i]:detach() * 60) end
    engine.copy(b.params[info.name], a.params[i])
  end
  local what = gated and "swiglu_oai with biases" or "relu with biases"
  local most = a:logits(ids):abs():max():item()
  ok(t.furthest(a:logits(ids), b:logits(ids)) < 1e-4 * most, what .. ": logits")
  local SGD = {optimizer = "sgd", momentum = 0, nesterov = false, weight_decay = 0, lr = 1e-4,
               warmup = 0, schedule = "constant", steps = 2}
  losses(a, SGD)
  losses(b, SGD)
  local worst = 0
  for i, info in ipairs(a._info) do
    worst = math.max(worst, t.furthest(a.params[i], b.params[info.name]))
  end
  ok(worst < 1e-4, what .. ": gradients", worst)
end

-- ---- dropout of experts ----

do
  local m, n = moe {expert_dropout = 0.4}, moe()
  is(m:logits(ids):hash(), n:logits(ids):hash(), "expert_dropout is of training alone")
  ok(losses(m) ~= losses(n), "where it has an effect")
  is(losses(moe {expert_dropout = 0.4}), losses(moe {expert_dropout = 0.4}), "the same each time")
end

says(function() moe {activation = "swiglu_oai", gated = false} end,
  "model.moe: activation = 'swiglu_oai' is a gated form: it needs gated = true")
t.refuses(function() moe {activation = "swish"} end, "an unknown activation",
  "unknown activation 'swish'", "there are: silu, gelu, gelu_tanh, relu, relu2, swiglu_oai")
t.refuses(function() moe {expert_dropout = 1} end, "all of it", "expert_dropout must be from 0")

-- ---- the router is in fp32, whatever the precision ----

nn.router("exact_logits", {
  rule = "softmax; how far its logits are from sums in fp32",
  route = function(ctx)
    local logits = ctx:logits()
    local w = nn.param("gate.weight", {ctx.E, C}) -- the same
    local exact = (ctx.x:view(ctx.N, 1, C) * w:view(1, ctx.E, C)):sum(-1)
    nn.observe("off", (logits - exact):abs():max())
    nn.observe("most", logits:abs():max())
    local p = logits:softmax(-1)
    local gates, experts = p:topk(ctx.K, -1)
    return {gates = gates, experts = experts, scores = p}
  end,
})
do
  local r = train(moe {router = "exact_logits"}, d, with(own.TRAIN, {precision = "bf16"})):wait()
  for l = 1, 2 do
    local off = values(r, "off." .. l):max():item() / values(r, "most." .. l):min():item()
    ok(off < 1e-6, "bf16: logits of layer " .. l .. " are in fp32", off)
  end
  r:close()
end

-- ---- padding ----

-- Tokens whose ids `pads` divides are padding.
model.define("padded", function(cfg)
  return function(tokens)
    local x = nn.embedding(tokens, nn.param("embed", {V, C}, 1.0))
    local pads = (tokens % cfg.pads):eq(0)
    nn.padding(pads:cast("i32") * -1)
    local y = nn.layer(1, function()
      return nn.scope("mlp", nn.moe, x, {experts = E, top_k = 2, expert_dim = F,
        router = cfg.router, capacity = cfg.capacity, aux = 0.1, z = 0.1})
    end)
    nn.observe("of_padding", (own.only(pads:view(-1, 1), y:view(-1, C))):abs():max())
    return nn.linear((x + y):view(-1, C), nn.param("head", {V, C}, 0.2))
  end
end)

local function mean_of_real(ctx, x)
  local real = (ctx:ids() % 2):cast "f32"
  return (x * real:view(-1, 1)):sum(1) / real:sum()
end

for _, way in ipairs {"experts", "chosen"} do
  nn.router("padded_" .. way, {
    route = function(ctx)
      local logits = ctx:logits()
      local p = logits:softmax(-1)
      local gates, experts = p:topk(ctx.K, -1)
      local taken = p:ge(gates:min(-1, true))
      nn.observe("want_load", mean_of_real(ctx, taken:cast "f32") / 2 * ctx.E)
      nn.observe("want_gate", mean_of_real(ctx, p))
      nn.observe("want_z", mean_of_real(ctx, logits:logsumexp(-1):square():view(-1, 1)):sum())
      nn.observe("want_confidence", mean_of_real(ctx, gates:narrow(2, 1, 1)):sum())
      nn.observe("want_gate_entropy", mean_of_real(ctx, p * p:log() * -1):sum())
      if way == "experts" then return {experts = experts, gates = gates, scores = p} end
      return {chosen = taken, gates = own.only(taken, p), scores = p}
    end,
  })
  local m = model.padded {vocab = V, context = 16, pads = 2, router = "padded_" .. way}
  local r = train(m, d, own.TRAIN):wait()
  for _, name in ipairs {"load", "gate", "z", "confidence", "gate_entropy"} do
    local got = values(r, name .. ".1") -- gate.1 is not of every step
    local off = t.furthest(got, values(r, "want_" .. name .. ".1"):narrow(1, 1, got.shape[1]))
    ok(off < 1e-5, way .. ": " .. name .. " is of what is no padding", off)
  end
  is(values(r, "of_padding"):max():item(), 0, way .. ": padding adds nothing")
  r:close()
end
do -- as many places as there are tokens that count
  local m = model.padded {vocab = V, context = 16, pads = 1, router = "softmax", capacity = 1}
  local r = train(m, d, own.TRAIN):wait()
  is(values(r, "drop.1"):max():item(), 0, "all is padding: nothing is dropped")
  is(values(r, "load.1"):max():item(), 0, "and nobody has a load")
  is(values(r, "balance.1"):max():item(), 0, "nor a loss")
  r:close()
end
t.refuses(function()
  model.define("odd", function()
    return function(tokens)
      local x = nn.embedding(tokens, nn.param("embed", {V, C}, 1.0))
      nn.padding(tokens:narrow(2, 1, 2))
      return nn.linear(nn.layer(1, nn.moe, x, {experts = E, top_k = 2, expert_dim = F}):view(-1, C),
        nn.param("head", {V, C}))
    end
  end)
  model.odd {vocab = V}
end, "padding of another length", "moe: the layer has 4 tokens, and nn.padding was told of 2")

t.done()
