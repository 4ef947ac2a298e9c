-- Routers and balance rules as objects: one's own beside the program's, against plain references;
-- what is refused, and by which line; what help, lists and completion say of them.  TAP.

local t = dofile((os.getenv "srcdir" or ".") .. "/tests/lua/tap.lua")
local ok, is = t.ok, t.is
local engine = require "switchyard.engine"
local help = require "switchyard.help.help"
local folder, program = engine.runs_dir(), os.getenv "SWITCHYARD" or "./switchyard"
local d = data.synthetic{domains = 4, tokens = 20000, seed = 1}

local function with(base, more)
  local out = {}
  for k, v in pairs(base) do out[k] = v end
  for k, v in pairs(more or {}) do out[k] = v end
  return out
end

local BASE = {layers = 2, dim = 16, heads = 2, context = 16, vocab = d.vocab,
              experts = 4, top_k = 2, expert_dim = 8}
local function moe(more) return model.moe(with(BASE, more)) end

local TRAIN = {steps = 4, batch = 2, warmup = 1, eval_every = 0, save = false}
local function trained(m, more) return train(m, d, with(TRAIN, more)):wait() end

-- Hash after four steps, and the losses on the way.
local function bits(m, more)
  local r = trained(m, more)
  local hash, losses = r:hash(), r:history("loss"):hash()
  r:close()
  return hash .. " " .. losses
end

-- The line of an error, without the place of the test.
local function line_of(f)
  local good, why = pcall(f)
  return good and "no error" or (tostring(why):gsub("^[^\n]-tests/lua/routers.lua:%d+: ", ""))
end
local function says(f, line, what) is(line_of(f), line, what or line) end

-- ---- one's own is as the program's ----

nn.router("soft", {
  rule = "softmax, the K largest",
  route = function(ctx)
    local p = ctx:logits():softmax(-1)
    local gates, experts = p:topk(ctx.K, -1)
    return {gates = nn.normalize_gates(gates), experts = experts, scores = p}
  end,
})
is(bits(moe {router = "soft"}), bits(moe()), "one's own softmax has the bits of the program's")

nn.router("sig", {
  gives = "logits scores bias",
  rows = {{"scale", "number", 1, 0, 10, help = "factor on the gates"}},
  route = function(ctx)
    local s, bias = ctx:logits():sigmoid(), ctx:bias()
    local _, experts = (s + bias):topk(ctx.K, -1)
    local gates = nn.normalize_gates(s:gather(-1, experts), 1e-20) * ctx.options.scale
    return {gates = gates, experts = experts, scores = s / (s:sum(-1, true) + 1e-20)}
  end,
})
for _, more in ipairs {{}, {accumulate = 2}} do
  is(bits(moe {router = {"sig", scale = 2}}, more), bits(moe {router = "sigmoid", scale = 2}, more),
    "one's own sigmoid has the bits of the program's, bias and all")
end
is(bits(moe {router = {"sigmoid", scale = 2}}), bits(moe {router = "sigmoid", scale = 2}),
  "an option in router = {...} is the one beside it")
is(bits(moe {router = {name = "sigmoid", scale = 2}}), bits(moe {router = "sigmoid", scale = 2}),
  "the name as a field, too")

do -- a function, as before there were objects
  function nn.routers.fun(logits, K)
    local p = logits:softmax(-1)
    local gates, experts = p:topk(K, -1)
    return nn.normalize_gates(gates), experts, p
  end
  is(bits(moe {router = "fun"}), bits(moe()), "a function in nn.routers is a router")
  function nn.routers.wrapped(...) return nn.routers.sigmoid(...) end
  is(bits(moe {router = "wrapped"}), bits(moe {router = "sigmoid"}),
    "a router can be called as a function")
  says(function() moe {router = {"fun", scale = 2}} end,
    "model.moe: router 'fun': it is a function, which has no options: scale")
end

-- ---- identities ----

do -- one expert
  local dense = model.dense {layers = 2, dim = 16, heads = 2, context = 16, vocab = d.vocab,
                             ffn_dim = 8}
  for _, router in ipairs {"softmax", "soft"} do
    local one = moe {experts = 1, top_k = 1, router = router, balance = {aux = 0, z = 0}}
    for i, info in ipairs(dense._info) do
      local name = info.name:gsub("mlp%.(%w+_proj)", "mlp.experts.%1")
      engine.copy(one.params[name], dense.params[i]:view(table.unpack(one.params[name].shape)))
    end
    local ids = {1, 5, 2, 7, 3, 3}
    is(one:logits(ids):hash(), dense:logits(ids):hash(),
      router .. ": one expert is the dense layer, bit for bit")
    local fresh = model.dense {layers = 2, dim = 16, heads = 2, context = 16, vocab = d.vocab,
                               ffn_dim = 8}
    local a, b = trained(one, {clip = 0}), trained(fresh, {clip = 0})
    is(a:history("loss"):hash(), b:history("loss"):hash(), router .. ": ... through four steps")
    a:close() b:close()
  end
end

do -- experts in another order
  local order = {3, 1, 4, 2}
  for _, router in ipairs {"softmax", "sigmoid", "soft", "sig"} do
    local a, b = moe {router = router}, moe {router = router}
    for i, info in ipairs(a._info) do
      local p = a.params[i]
      if info.name:find("mlp.", 1, true) then
        for e = 1, 4 do engine.copy(b.params[i][e], p[order[e]]:contiguous()) end
      end
    end
    is(a:logits({1, 2, 3, 4, 5}):hash(), b:logits({1, 2, 3, 4, 5}):hash(),
      router .. ": experts in another order, the same bits")
  end
end

t.done()
