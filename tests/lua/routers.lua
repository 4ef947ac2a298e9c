-- Routers as objects: one's own has the bits of the program's; each form that route(ctx) may return
-- is the same as plain operations, gradients as well.  TAP.

local own = dofile((os.getenv "srcdir" or ".") .. "/tests/lua/own_routers.lua")
local t, d, moe, bits, same, only = own.t, own.data, own.moe, own.bits, own.same, own.only
local ok, is, with, V, C, E = t.ok, t.is, t.with, own.V, own.C, own.E
local engine = require "switchyard.engine"

-- ---- one's own is as the program's ----

is(bits(moe {router = "soft"}), bits(moe()), "one's own softmax has the bits of the program's")
for _, more in ipairs {{}, {accumulate = 2}} do
  is(bits(moe {router = {"sig", scale = 2}}, more), bits(moe {router = "sigmoid", scale = 2}, more),
    "one's own sigmoid has the bits of the program's, bias and all")
end
local scaled = bits(moe {router = "sigmoid", scale = 2})
is(bits(moe {router = {"sigmoid", scale = 2}}), scaled, "an option in router = is that beside it")
is(bits(moe {router = {name = "sigmoid", scale = 2}}), scaled, "the name as a field, too")

-- A function, as before there were objects.
function nn.routers.fun(logits, K)
  local p = logits:softmax(-1)
  local gates, experts = p:topk(K, -1)
  return nn.normalize_gates(gates), experts, p
end
is(bits(moe {router = "fun"}), bits(moe()), "a function in nn.routers is a router")
function nn.routers.wrapped(...) return nn.routers.sigmoid(...) end
is(bits(moe {router = "wrapped"}), bits(moe {router = "sigmoid"}),
  "a router can be called as a function")
nn.routers.fun, nn.routers.wrapped = nil, nil

-- ---- identities ----

local function one_expert(router)
  local dense = model.dense(with(own.DENSE, {ffn_dim = 8}))
  local one = moe {experts = 1, top_k = 1, router = router, balance = {aux = 0, z = 0}}
  for i, info in ipairs(dense._info) do
    local p = one.params[info.name:gsub("mlp%.(%w+_proj)", "mlp.experts.%1")]
    engine.copy(p, dense.params[i]:view(table.unpack(p.shape)))
  end
  local ids = {1, 5, 2, 7, 3, 3}
  is(one:logits(ids):hash(), dense:logits(ids):hash(), router .. ": one expert is the dense layer")
  local function losses(m)
    local r = train(m, d, with(own.TRAIN, {clip = 0})):wait()
    local hash = r:history("loss"):hash()
    r:close()
    return hash
  end
  is(losses(one), losses(dense), router .. ": one expert is the dense layer through four steps")
end
one_expert "softmax"
one_expert "soft"

for _, router in ipairs {"softmax", "sigmoid", "soft", "sig", "threshold"} do
  local a, b = moe {router = router}, moe {router = router}
  for i, info in ipairs(a._info) do
    for e, other in ipairs(info.name:find("mlp.", 1, true) and {3, 1, 4, 2} or {}) do
      engine.copy(b.params[i][e], a.params[i][other]:contiguous())
    end
  end
  local ids = {1, 2, 3, 4, 5}
  if router == "threshold" then -- summed in another order
    ok(t.furthest(a:logits(ids), b:logits(ids)) < 1e-6, router .. ": experts in another order")
  else
    is(a:logits(ids):hash(), b:logits(ids):hash(), router .. ": experts in another order")
  end
end

for _, router in ipairs {"threshold", "by_id", "second", "at_input", "nothing", "by_document"} do
  local m, ids = moe {router = router}, {3, 1, 4}
  local function first(...) return m:logits({3, 1, 4, ...}):narrow(1, 1, 3):contiguous():hash() end
  is(first(9, 2, 6), first(10, 11, 12), router .. ": sees no later token")
  local text = m:generate({3, 1, 4}, {tokens = 6, temperature = 0})
  for _ = 1, 6 do
    local rows = m:logits(ids)
    ids[#ids + 1] = rows[rows.shape[1]]:argmax():item() - 1
  end
  is(table.concat(m:_ids("text", text), " "), table.concat(ids, " "),
    router .. ": one token after another is the whole sequence")
end

-- ---- what route(ctx) may return ----

local QUIET = {coefficients = {aux = 0, z = 0}}

same("chosen", "threshold", {dense = function(p)
  local s = p:sigmoid()
  return only(s:gt(0.5), s)
end}, QUIET)

same("own_choice", {"own_choice", allow_leak = true}, {dense = function(p)
  local s = p:softmax(-1)
  local least = s:permute({2, 1}):contiguous():topk(s.shape[1] // 2, -1):min(2):view(1, E)
  return only(s:ge(least), s)
end}, QUIET)

same("fewer", "second", {dense = function(p)
  local s = p:softmax(-1)
  local two = s:topk(2, -1)
  return only(s:ge(two:narrow(2, 2, 1):maximum(two:narrow(2, 1, 1) * 0.7)), s)
end}, QUIET)

same("gate_on = \"input\"", "at_input", {on_input = true, dense = function(p)
  local s = p:sigmoid()
  return only(s:ge(s:max(-1, true)), s)
end}, with(QUIET, {K = 1}))

same("plus and extra", "nothing", {extra = 3, dense = function(p, _, x)
  local s = p:softmax(-1)
  local taken = only(s:ge(s:topk(2, -1):min(2, true)), s)
  local itself, v = taken:narrow(2, E + 1, 1), nn.param("constant", {1, C})
  return taken:narrow(2, 1, E), itself * x + taken:narrow(2, E + 2, 1) * v
end}, {coefficients = {z = 0}})

same("ids", {"by_id", prime = 5}, {scored = false, dense = function(_, batch)
  return (batch.tokens:view(-1) * 5 % E):one_hot({n = E}):cast "f32"
end}, {K = 1})

same("documents", "by_document", {scored = false, dense = function(_, batch)
  return (batch.documents:view(-1) % E):one_hot({n = E}):cast "f32"
end}, {K = 1})

same("x and w of ctx:logits", "two_towers", {scored = false, dense = function(_, _, x)
  local normed = nn.rmsnorm(x, nn.param("norm", {C}, "ones"))
  local first = normed:linear(nn.param("gate.weight", {E, C}))
  nn.loss("z", first:logsumexp(-1):square():mean(), 0.1) -- of the first logits
  local p = (first * x:linear(nn.param("spread.weight", {E, C})):softplus()):softmax(-1)
  return only(p:ge(p:topk(2, -1):min(2, true)), p)
end}, {coefficients = {aux = 0, z = 0.1}})

same("a shared loss of both", "soft", {dense = function(p)
  local s = p:softmax(-1)
  local taken = s:ge(s:topk(2, -1):min(2, true))
  local gates = only(taken, s)
  local load = taken:cast("f32"):mean(1) / 2
  nn.loss("balance", (load * s:mean(1)):sum() * E, 0.3)
  nn.loss("z", p:logsumexp(-1):square():mean(), 0.1)
  return gates / gates:sum(-1, true)
end}, {coefficients = {aux = 0.3, z = 0.1}})

do -- what is computed is what is chosen
  local by_number = bits(moe {normalize = false})
  is(bits(moe {router = "topk_as_chosen"}), by_number, "two chosen have the bits of two numbers")
  is(bits(moe {router = {"topk_as_chosen", bound = true}}), by_number, "... in as many slots")
  local experts = tensor({{1, 0, 3, 0}, {0, 0, 0, 0}, {0, 0, 3, 4}}, {dtype = "i32"})
  local rows, pos, offsets = experts:moe_dispatch {experts = 4}
  is(table.concat(offsets:table(), " "), "0 1 1 3 4", "slots of a product: those that are chosen")
  is(table.concat(rows:table(), " ", 1, 4), "0 0 2 2", "whose they are")
  is(table.concat(pos[2]:table(), " "), "-1 -1 -1 -1", "of none, none")
end

for _, router in ipairs {"threshold", "second", "nothing", {"own_choice", allow_leak = true}} do
  local name = type(router) == "table" and router[1] or router
  local whole, threads = bits(moe {router = router}), tensor.threads()
  is(bits(moe {router = router}, {recompute = true}), whole,
    name .. ": computed again in the backward pass, the same bits")
  tensor.threads(1)
  is(bits(moe {router = router}), whole, name .. ": on one thread, too")
  tensor.threads(threads)
end

-- ---- what route(ctx) is given ----

do
  local seen, modes = nil, {}
  nn.router("looks", {route = function(ctx)
    seen = ("%s E%d K%d N%d B%d T%d layer %d x %s"):format(ctx.mode, ctx.E, ctx.K, ctx.N, ctx.B,
      ctx.T, ctx.layer, table.concat(ctx.x.shape, ","))
    modes[ctx.mode] = seen
    return nn.routers.soft.route(ctx)
  end})
  local m = moe {router = "looks"}
  is(seen, "build E4 K2 N4 B1 T4 layer 2 x 4,16", "when the model is made")
  m:logits {1, 2, 3}
  is(seen, "eval E4 K2 N3 B1 T3 layer 2 x 3,16", "in evaluation")
  m:generate({1}, {tokens = 1})
  ok(seen:find "^decode E4 K2 N%d+ B1 ", "in generation", seen)
  bits(m, {lint = false}) -- which traces it anew
  is(modes.train, "train E4 K2 N32 B2 T16 layer 2 x 32,16", "in training")
  nn.routers.looks = nil
end

t.done()
